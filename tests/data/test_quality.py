"""Encoding and other operations in process: what they do, what they keep, and that their text says all."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from verisight.core.errors import DataError
from verisight.data.quality import Chain, Operation, draw, h264, jpeg, write_h264


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a.astype(float) - b) ** 2).mean())


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / error(a, b))


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_lower_jpeg_quality_is_a_larger_error(portrait: np.ndarray) -> None:
    errors = [error(jpeg(portrait, quality), portrait) for quality in (100, 95, 75, 50, 20, 5, 1)]
    assert errors == sorted(errors)
    assert errors[0] < 10 < errors[-1]


def test_jpeg_keeps_channels_in_order_and_rounds_little_at_best(portrait: np.ndarray) -> None:
    for colour in ([200, 40, 90], [0, 0, 255]):
        flat = np.full((32, 32, 3), colour, np.uint8)
        assert np.abs(jpeg(flat, 100).astype(int) - flat).max() <= 3


def test_jpeg_halves_the_colour_resolution() -> None:
    """4:2:0: two columns of one grey and different colours become one colour."""
    grey, red = (118, 118, 118), (200, 100, 60)  # 0.299 r + 0.587 g + 0.114 b is 118 and 125
    columns = np.array([grey, red], np.uint8)[np.arange(32) % 2][None].repeat(32, axis=0)
    once = jpeg(columns, 100).astype(float)
    chroma = once[..., 0] - once[..., 2]
    assert np.abs(chroma[:, 8:24:2] - chroma[:, 9:24:2]).max() < 30
    assert chroma[:, 8:24].mean() == pytest.approx(70, abs=10)


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (33, 64), (161, 160)])
def test_jpeg_keeps_any_size(portrait: np.ndarray, shape: tuple[int, int]) -> None:
    picture = portrait[: shape[0], : shape[1]]
    made = jpeg(picture, 90)
    assert made.shape == picture.shape
    assert made.dtype == np.uint8
    assert made.flags["C_CONTIGUOUS"]


def test_a_higher_crf_is_a_worse_clip(portrait: np.ndarray, tmp_path: Path) -> None:
    pictures = [portrait[:192, left : left + 192] for left in range(100, 124, 4)]
    quality = {}
    for crf in (10, 23, 40):
        write_h264(pictures, tmp_path / f"{crf}.mp4", crf=crf)
        shown = decoded(tmp_path / f"{crf}.mp4")
        assert len(shown) == len(pictures)
        quality[crf] = np.mean([psnr(a, b) for a, b in zip(shown, pictures, strict=True)])
    assert quality[10] > quality[23] + 3
    assert quality[23] > quality[40] + 3
    assert quality[10] > 30


def test_frames_keep_their_order_and_rate(tmp_path: Path) -> None:
    path = tmp_path / "steps.mp4"
    write_h264((np.full((64, 64, 3), value, np.uint8) for value in (40, 120, 200)), path, crf=10, fps=5)
    assert [round(float(frame.mean()) / 40) for frame in decoded(path)] == [1, 3, 5]
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 5
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_an_odd_last_row_and_column_are_cut(portrait: np.ndarray, tmp_path: Path) -> None:
    odd = cv2.resize(portrait, (131, 97))
    write_h264([odd] * 3, tmp_path / "odd.mp4", crf=10)
    shown = decoded(tmp_path / "odd.mp4")
    assert shown[0].shape == (96, 130, 3)
    assert psnr(shown[0], odd[:96, :130]) > 25


# --- h264 in memory ---


def test_a_clip_through_h264_keeps_number_order_and_size(portrait: np.ndarray) -> None:
    pictures = [np.roll(portrait[40:137, 140:271], 3 * n, axis=1) for n in range(7)]  # 131 x 97: odd both ways
    shown = list(h264(pictures, 18))
    assert len(shown) == 7
    assert all(s.shape == (97, 131, 3) and s.dtype == np.uint8 and s.flags["C_CONTIGUOUS"] for s in shown)
    errors = np.array([[error(s, p) for p in pictures] for s in shown])
    assert errors.argmin(axis=1).tolist() == list(range(7))
    assert psnr(shown[0], pictures[0]) > 30


def test_a_higher_crf_is_worse_in_memory_as_well(portrait: np.ndarray) -> None:
    pictures = [portrait[40:168, left : left + 128] for left in range(140, 152, 4)]
    worse = [
        np.mean([psnr(s, p) for s, p in zip(h264(pictures, crf), pictures, strict=True)]) for crf in (1, 23, 40, 51)
    ]
    assert worse == sorted(worse, reverse=True)
    assert worse[0] > worse[-1] + 10


def test_a_clip_looks_as_it_does_after_a_file(portrait: np.ndarray, tmp_path: Path) -> None:
    """The same encoder at the same setting: the loss is that of a written clip, whose threads alone differ."""
    pictures = [portrait[40:200, left : left + 160] for left in range(130, 154, 2)]
    write_h264(pictures, tmp_path / "clip.mp4", crf=30)
    of_file = np.mean([psnr(s, p) for s, p in zip(decoded(tmp_path / "clip.mp4"), pictures, strict=True)])
    in_memory = np.mean([psnr(s, p) for s, p in zip(h264(pictures, 30, 24), pictures, strict=True)])
    assert in_memory == pytest.approx(of_file, abs=0.5)


def test_h264_repeats_itself_and_begins_before_the_clip_ends(portrait: np.ndarray) -> None:
    fed = 0

    def pictures() -> Iterator[np.ndarray]:
        nonlocal fed
        for n in range(90):
            fed += 1
            yield portrait[100:132, 150 + n % 20 : 182 + n % 20]

    first = h264(pictures(), 23)
    start = next(first)
    assert fed < 70  # what the encoder looks ahead, not the clip
    again = list(h264(pictures(), 23))
    np.testing.assert_array_equal([start, *first], again)
    assert list(h264([], 23)) == []


# --- operations ---


def test_every_operation_keeps_size_and_input(portrait: np.ndarray) -> None:
    picture = portrait[40:137, 140:271]
    before = picture.copy()
    for text in ("jpeg:30", "h264:35", "resize:0.3", "resize:40", "blur:1.5", "noise:8@3", "jpeg:80 resize:0.5 blur:1"):
        made = Chain.parse(text).apply(picture)
        assert made.shape == picture.shape
        assert made.dtype == np.uint8
        assert 1 < error(made, picture) < 3000
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize(
    "text", ["", "resize:1", "resize:512", "resize:30000", "blur:0", "noise:0@1", "blur:0 resize:1"]
)
def test_neutral_values_change_nothing(portrait: np.ndarray, text: str) -> None:
    np.testing.assert_array_equal(Chain.parse(text).apply(portrait), portrait)


def test_jpeg_is_the_loss_that_pillow_makes(portrait: np.ndarray) -> None:
    """Another encoder with the same tables: equal up to rounding in the colour transform."""
    for quality in (30, 75, 95):
        buffer = io.BytesIO()
        Image.fromarray(portrait).save(buffer, "JPEG", quality=quality, subsampling=2)
        theirs = np.asarray(Image.open(buffer).convert("RGB"))
        ours = Chain.parse(f"jpeg:{quality}").apply(portrait)
        assert error(ours, theirs) < error(ours, portrait) / 10


def test_blur_and_resize_are_what_they_say(portrait: np.ndarray) -> None:
    point = np.zeros((65, 65, 3), np.uint8)
    point[32, 32] = 255
    spread = Chain.parse("blur:2").apply(point).astype(float)[..., 0]
    assert spread[32, 32] == pytest.approx(255 / (2 * np.pi * 4), abs=1)  # the peak of a Gaussian of sigma 2
    small = cv2.resize(portrait, (256, 256), interpolation=cv2.INTER_AREA)
    expected = cv2.resize(small, (512, 512), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(Chain.parse("resize:0.5").apply(portrait), expected)
    np.testing.assert_array_equal(Chain.parse("resize:256").apply(portrait), expected)


def test_noise_has_its_deviation_and_its_seed() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    made = Chain.parse("noise:6@5").apply(grey).astype(float) - 128
    assert made.std() == pytest.approx(np.sqrt(36 + 1 / 12), rel=0.02)  # rounding adds 1/12
    assert made.mean() == pytest.approx(0, abs=0.1)
    again = Chain.parse("noise:6@5")
    np.testing.assert_array_equal(again.apply(grey), made + 128)
    assert not np.array_equal(again.apply(grey, time_s=0.04), made + 128)  # another frame of the clip
    assert not np.array_equal(Chain.parse("noise:6@6").apply(grey), made + 128)
    with pytest.raises(DataError, match="noise:6: noise without a seed cannot be repeated; write noise:6@SEED"):
        Chain.parse("noise:6").apply(grey)
    by_rng = [Chain.parse("noise:6").apply(grey, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(by_rng[0], by_rng[1])
    assert not np.array_equal(by_rng[0], by_rng[2])


def test_operations_are_done_in_the_order_written(portrait: np.ndarray) -> None:
    one, other = Chain.parse("blur:2 jpeg:20"), Chain.parse("jpeg:20 blur:2")
    by_hand = jpeg(np.asarray(cv2.GaussianBlur(portrait, (0, 0), 2)), 20)
    np.testing.assert_array_equal(one.apply(portrait), by_hand)
    assert not np.array_equal(other.apply(portrait), by_hand)


def test_a_chain_on_a_clip_is_the_chain_on_its_pictures_unless_it_looks_around(portrait: np.ndarray) -> None:
    pictures = [portrait[40:104, left : left + 64] for left in (150, 160, 170)]
    still = Chain.parse("resize:0.5 noise:4@1 jpeg:50")
    assert not still.over_time
    expected = [still.apply(p, time_s=n / 10) for n, p in enumerate(pictures)]
    np.testing.assert_array_equal(list(still.clip(pictures, fps=10)), expected)
    moving = Chain.parse("resize:0.5 h264:30 jpeg:50")
    assert moving.over_time
    halved = [Chain.parse("resize:0.5").apply(p) for p in pictures]
    expected = [jpeg(p, 50) for p in h264(halved, 30, 10)]
    np.testing.assert_array_equal(list(moving.clip(pictures, fps=10)), expected)


# --- text ---

VALUES = {
    "jpeg": st.integers(1, 100),
    "h264": st.integers(0, 51),
    "resize": st.one_of(st.floats(1e-6, 1), st.integers(8, 30_000)),
    "blur": st.floats(0, 50),
    "noise": st.floats(0, 255),
}
OPERATIONS = st.sampled_from(sorted(VALUES)).flatmap(
    lambda name: st.builds(
        Operation, st.just(name), VALUES[name], st.none() if name != "noise" else st.none() | st.integers(0, 2**32)
    )
)


@given(st.lists(OPERATIONS, max_size=5))
def test_a_chain_reads_back_as_it_was_written(operations: list[Operation]) -> None:
    chain = Chain(tuple(operations))
    assert Chain.parse(str(chain)) == chain
    assert str(Chain.parse(str(chain))) == str(chain)


@given(st.integers(0, 2**32))
def test_what_is_drawn_lies_in_its_range_and_its_text_says_all(seed: int) -> None:
    spec = "resize:0.5..1?0.5 blur:0.3..1.5 jpeg:40..95 noise:2..3"
    chain = draw(spec, np.random.default_rng(seed))
    assert chain == draw(spec, np.random.default_rng(seed)) == Chain.parse(str(chain))
    values = {operation.name: operation.value for operation in chain.operations}
    assert 0.5 <= values.get("resize", 1) <= 1
    assert 0.3 <= values["blur"] <= 1.5
    assert values["jpeg"] in range(40, 96)
    assert 2 <= values["noise"] <= 3
    picture = np.random.default_rng(0).integers(0, 255, (12, 12, 3), np.uint8)
    np.testing.assert_array_equal(chain.apply(picture), Chain.parse(str(chain)).apply(picture))


def test_draws_are_even_over_their_ends_and_probabilities_hold() -> None:
    rng = np.random.default_rng(0)
    chains = [draw("jpeg:1..4 blur:2?0.25", rng) for _ in range(2000)]
    counts = Counter(chain.operations[0].value for chain in chains)
    assert sorted(counts) == [1, 2, 3, 4]
    assert min(counts.values()) > 420  # 500 expected, standard deviation 19
    assert sum(len(chain.operations) == 2 for chain in chains) == pytest.approx(500, abs=80)
    assert {operation.value for chain in chains for operation in chain.operations[1:]} == {2}


def test_named_qualities_are_the_encodings_of_faceforensics() -> None:
    rng = np.random.default_rng(0)
    assert [str(draw(name, rng)) for name in ("raw", "c23", "c40", "c40 jpeg:50", "")] == [
        "",
        "h264:23",
        "h264:40",
        "h264:40 jpeg:50",
        "",
    ]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("jpg:40", "jpg: no operation of this name; did you mean 'jpeg'?"),
        ("c32", "c32: not an operation; did you mean 'c23'?"),
        ("jpeg", "jpeg: not an operation; did you mean 'jpeg:VALUE'?"),
        ("jpeg:0", "jpeg:0: the value of jpeg is out of range; integers 1..100"),
        ("jpeg:40.5", "jpeg:40.5: the value of jpeg is out of range; integers 1..100"),
        ("h264:52", "h264:52: the value of h264 is out of range; integers 0..51"),
        ("resize:0", "resize:0: neither a factor nor a side; at most 1, or from 8 px on"),
        ("resize:3", "resize:3: neither a factor nor a side; at most 1, or from 8 px on"),
        ("blur:-1", "blur:-1: the value of blur is out of range; numbers 0..50"),
        ("noise:x", "noise:x: 'x' is not a number"),
        ("noise:nan", "noise:nan: 'nan' is not a number"),
        ("jpeg:90..40", "jpeg:90..40: not a range; the lower end comes first, and both are of one kind"),
        ("resize:0.5..64", "resize:0.5..64: not a range; the lower end comes first, and both are of one kind"),
        ("blur:1?2", "blur:1?2: ?2 is no probability; 0..1"),
    ],
)
def test_whatever_is_no_operation_is_refused_in_one_line(spec: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        draw(spec, np.random.default_rng(0))
    assert str(caught.value) == message


def test_a_range_or_a_seed_where_none_belongs_is_refused() -> None:
    with pytest.raises(DataError, match=r"jpeg:40\.\.50: a range is drawn from, not applied; give one value"):
        Chain.parse("jpeg:40..50")
    with pytest.raises(DataError, match="jpeg:40@1: only noise has a seed"):
        Chain.parse("jpeg:40@1")

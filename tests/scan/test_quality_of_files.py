"""What is measured of a file, against encoders whose settings are known and pictures whose defects were planted."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.stats import kstest

from verisight.core.detector import Detector
from verisight.core.errors import InputError
from verisight.data.faces import Face
from verisight.data.media import open_media
from verisight.data.quality import blurred, jpeg, noisy, write_h264
from verisight.data.synthetic import synthetic_clip, synthetic_face
from verisight.scan.encoding import encoding_of
from verisight.scan.pipeline import scan_files
from verisight.scan.quality import detail_of, face_window, is_monochrome, measure_quality, screen_p
from verisight.scan.report import write_report

CRFS = (18, 23, 28, 35, 40)
ASTRONAUT = Face((175.0, 60.0, 96.0, 125.0), 1.0)


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray]:
    return [face.picture for face in synthetic_clip(3, frames=12, size=96)]


def encode(clip: list[np.ndarray], path: Path, codec: str = "libx264", **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(24), options=options)
        stream.height, stream.width = clip[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def without_settings(path: Path) -> Path:
    """The same stream in the same container, its SEI units, in which x264 states its settings, taken out."""
    out = path.with_stem(path.stem + "-bare")
    with av.open(str(path)) as old, av.open(str(out), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        bare = av.BitStreamFilterContext("filter_units=remove_types=6", old.streams.video[0], stream)
        for packet in (*old.demux(video=0), None):
            if packet is None or packet.size:
                for kept in bare.filter(packet):
                    kept.stream = stream
                    new.mux(kept)
    assert b"x264" not in out.read_bytes()
    return out


# --- encoding ---


@pytest.mark.parametrize("crf", CRFS)
def test_the_crf_is_what_x264_wrote_down(clip: list[np.ndarray], tmp_path: Path, crf: int) -> None:
    path = tmp_path / "clip.mp4"
    write_h264(clip, path, crf=crf)
    assert encoding_of(path).crf == crf


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("options", [{}, {"preset": "ultrafast"}, {"preset": "veryfast", "g": "4", "bf": "0"}])
def test_without_the_settings_it_is_estimated_within_three(
    clip: list[np.ndarray], tmp_path: Path, options: dict[str, str], suffix: str
) -> None:
    for crf in CRFS:
        bare = without_settings(encode(clip, tmp_path / f"{crf}.{suffix}", crf=str(crf), **options))
        estimate = encoding_of(bare).crf
        assert estimate is not None
        assert abs(estimate - crf) <= 3
        assert estimate == round(estimate)  # whole numbers are how an estimate shows


def test_interlaced_and_multi_slice_streams_are_read_like_plain_ones(clip: list[np.ndarray], tmp_path: Path) -> None:
    kinds = {"plain": {}, "slices": {"slices": "4"}, "fields": {"x264-params": "interlaced=1:tff=1"}}
    for crf in CRFS:
        bare = [
            without_settings(encode(clip, tmp_path / f"{name}{crf}.mp4", crf=str(crf), **options))
            for name, options in kinds.items()
        ]
        estimates = [encoding_of(path).crf for path in bare]
        assert max(estimates) - min(estimates) <= 1


def test_a_constant_quantiser_is_no_crf_and_is_estimated(clip: list[np.ndarray], tmp_path: Path) -> None:
    crf = encoding_of(encode(clip, tmp_path / "qp.mp4", qp="30")).crf
    assert crf == pytest.approx(30, abs=3.5)  # x264 takes 3 off for key frames


def test_other_codecs_have_no_crf(clip: list[np.ndarray], tmp_path: Path) -> None:
    known = encoding_of(encode(clip, tmp_path / "clip.avi", codec="mpeg4"))
    assert (known.codec, known.crf, known.jpeg_quality) == ("mpeg4", None, None)


def test_rates_of_a_clip(clip: list[np.ndarray], tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "ts"):  # the last two state no bit rate
        path = encode(clip, tmp_path / f"clip.{suffix}", crf="23")
        with av.open(str(path)) as container:
            size = sum(packet.size for packet in container.demux(video=0))
        known = encoding_of(path)
        assert known.fps == pytest.approx(24, rel=0.01)
        assert known.kbit_s == pytest.approx(8 * size / (len(clip) / 24) / 1000, rel=0.02)


@pytest.mark.parametrize("quality", [1, 20, 50, 75, 90, 95, 100])
def test_the_quality_of_a_jpeg_is_that_it_was_saved_at(tmp_path: Path, portrait: np.ndarray, quality: int) -> None:
    path = tmp_path / "named.png"
    Image.fromarray(portrait[:64, :64]).save(path, "JPEG", quality=quality)
    known = encoding_of(path)
    assert (known.codec, known.jpeg_quality) == ("jpeg", quality)


def test_other_pictures_have_a_codec_alone(tmp_path: Path, portrait: np.ndarray) -> None:
    for kind in ("PNG", "WEBP", "BMP", "GIF", "TIFF"):
        Image.fromarray(portrait[:32, :32]).save(tmp_path / "picture", kind)
        assert encoding_of(tmp_path / "picture") == (kind.lower(), None, None, None, None)


def test_a_damaged_stream_gives_what_it_can_or_an_input_error(clip: list[np.ndarray], tmp_path: Path) -> None:
    whole = without_settings(encode(clip, tmp_path / "clip.mp4", crf="23")).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "damaged.mp4"
    for trial in range(60):
        data = bytearray(whole[: rng.integers(40, len(whole))] if trial % 3 == 0 else whole)
        for at in rng.integers(0, len(data), 20):
            data[at] = rng.integers(256)
        path.write_bytes(data)
        try:
            crf = encoding_of(path).crf
        except InputError:
            continue
        assert crf is None or 0 <= crf <= 52


# --- detail ---


def enlarged(picture: np.ndarray, share: float, how: int) -> np.ndarray:
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (round(width * share), round(height * share)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=how)


@pytest.fixture(scope="module")
def faces(portrait: np.ndarray) -> list[np.ndarray]:
    return [face_window(portrait, ASTRONAUT), *(synthetic_face(seed, 160).picture for seed in range(5))]


@pytest.mark.parametrize("how", [cv2.INTER_LINEAR, cv2.INTER_CUBIC])
@pytest.mark.parametrize("quality", [None, 90, 50])
def test_detail_falls_as_a_face_is_shrunk_and_enlarged(faces: list[np.ndarray], how: int, quality: int | None) -> None:
    for face in faces:
        seen = [enlarged(face, share, how) if share < 1 else face for share in (1, 1 / 2, 1 / 3, 1 / 4)]
        details = [detail_of(picture if quality is None else jpeg(picture, quality)) for picture in seen]
        assert all(before > after for before, after in pairwise(details))


def test_detail_is_near_the_share_that_is_left(faces: list[np.ndarray]) -> None:
    for share in (1 / 2, 1 / 3, 1 / 4):
        for how in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
            median = np.median([detail_of(enlarged(face, share, how)) for face in faces])
            assert median == pytest.approx(share, rel=0.45)


def test_jpeg_of_90_to_50_hardly_moves_detail(faces: list[np.ndarray]) -> None:
    for face in faces:
        for share, tolerance in ((1, 0.2), (1 / 2, 0.1), (1 / 4, 0.1)):
            seen = enlarged(face, share, cv2.INTER_LINEAR)
            details = [detail_of(jpeg(seen, quality)) for quality in (90, 80, 70, 60, 50)]
            assert max(details) - min(details) <= tolerance


def test_detail_falls_with_blur_and_ignores_brightness(faces: list[np.ndarray]) -> None:
    for face in faces:
        details = [detail_of(blurred(face, sigma)) for sigma in (0.0, 1.0, 2.0, 3.0)]
        assert all(before > after for before, after in pairwise(details))
        dim = np.round(face * 0.5 + 40).astype(np.uint8)
        assert detail_of(blurred(dim, 1.5)) == pytest.approx(detail_of(blurred(face, 1.5)), abs=0.05)


def test_a_gaussian_edge_has_the_blur_of_the_closed_form() -> None:
    """An edge of blur s; the difference of neighbours 2 px apart sees it as if it were sqrt(s^2 + 1/3) wide."""
    x, contrast = np.arange(64) - 32, 100 + 2 * np.cos(np.arange(128) * 2 * np.pi / 16)  # peaks along the edge
    for s in (1.0, 1.5, 2.0):
        edge = np.array([math.erf(v / s / math.sqrt(2)) for v in x])
        face = np.round(128 + contrast[:, None] * edge).astype(np.uint8)[..., None].repeat(3, 2)
        expected = math.sqrt(0.2 / (s**2 + 1 / 3 - 0.46))
        assert detail_of(face) == pytest.approx(expected, rel=0.1)


def test_no_edges_no_detail() -> None:
    assert detail_of(np.full((64, 64, 3), 90, np.uint8)) is None
    assert detail_of(np.zeros((15, 64, 3), np.uint8)) is None
    assert detail_of(np.zeros((0, 0, 3), np.uint8)) is None


# --- screen ---


def on_screen(
    picture: np.ndarray, rng: np.random.Generator, *, turn_deg: float, pitch: float, size: int, blur: float = 0.35
) -> np.ndarray:
    """A camera's picture (size, size, 3) of a screen: stripes of R, G and B under a black grid, turned, resampled,
    blurred, with noise of 2 levels, JPEG 90. pitch : camera pixels per screen pixel."""
    cell = 6
    stripes = np.full((cell, cell, 3), 0.4, np.float32)
    for channel in range(3):
        stripes[:-1, 2 * channel : 2 * channel + 2, channel] = 1
    stripes /= stripes.mean(axis=(0, 1))
    height, width = picture.shape[:2]
    lit = picture.astype(np.float32).repeat(cell, 0).repeat(cell, 1) * np.tile(stripes, (height, width, 1))
    lit = cv2.GaussianBlur(lit, (0, 0), blur * cell / pitch)
    matrix = cv2.getRotationMatrix2D((width * cell / 2, height * cell / 2), turn_deg, pitch / cell)
    matrix[:, 2] += size / 2 - np.array([width, height]) * cell / 2
    taken = cv2.warpAffine(lit, matrix, (size, size), borderMode=cv2.BORDER_REFLECT)
    return jpeg(noisy(np.clip(taken, 0, 255).astype(np.uint8), 2, rng), 90)


def test_the_null_of_the_screen_test_is_a_probability() -> None:
    """On noise, p is no smaller than uniform: the share of p < x is at most about x."""
    rng = np.random.default_rng(0)
    p = [screen_p(rng.integers(0, 256, (256, 256, 3)).astype(np.uint8)) for _ in range(60)]
    assert np.mean(np.array(p) < 0.1) <= 0.2
    assert kstest(p, "uniform", alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize(("size", "needed"), [(384, 1.0), (256, 0.85), (160, 0.7)])
def test_turned_screens_that_the_camera_resolves_are_seen(portrait: np.ndarray, size: int, needed: float) -> None:
    rng = np.random.default_rng(1)
    shown = portrait[20:200, 130:310]
    found = [
        screen_p(on_screen(shown, rng, turn_deg=turn, pitch=pitch, size=size)) < 1e-4
        for turn in (2, 5, 12)
        for pitch in (1.4, 1.8, 2.4)
    ]
    assert np.mean(found) >= needed


def test_the_verdict_and_the_page_of_a_photographed_screen_warn_of_it(
    portrait: np.ndarray, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    taken = on_screen(portrait[20:200, 130:310], np.random.default_rng(1), turn_deg=5, pitch=1.8, size=384)
    Image.fromarray(taken).save(tmp_path / "screen.png")
    detector = Detector.load(tiny_checkpoint)
    finder = lambda picture: [Face((60, 60, 260, 260), 0.9)]  # noqa: E731
    (verdict,) = scan_files([tmp_path / "screen.png"], detector=detector, finder=finder)
    warning = next(warning.text for warning in verdict.warnings if warning.code == "screen")
    write_report(tmp_path / "page.html", [verdict], detector.card, command="verisight scan")
    assert warning in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_clean_pictures_are_no_screens_at_any_jpeg_quality(portrait: np.ndarray) -> None:
    pictures = [portrait, portrait[:256, 128:384], portrait[20:180, 140:300]]
    pictures += [synthetic_face(seed, size).picture for seed in range(4) for size in (160, 256)]
    for picture in pictures:
        for quality in (None, 95, 75, 50, 30):
            assert screen_p(picture if quality is None else jpeg(picture, quality)) > 1e-4


def test_resizing_and_upsampling_are_no_screens(portrait: np.ndarray) -> None:
    face = portrait[20:180, 140:300]
    for share in (0.37, 0.5, 0.75):
        for how in (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC):
            assert screen_p(jpeg(enlarged(jpeg(face, 80), share, how), 90)) > 1e-4
    checkers = face * (1 + 0.04 * (np.indices(face.shape[:2]).sum(0) % 2)[..., None])
    assert screen_p(np.clip(checkers, 0, 255).astype(np.uint8)) > 1e-4
    wave = np.cos(np.pi / 2 * np.arange(160))  # two layers that each double the size
    woven = face + 6 * np.outer(wave, wave)[..., None]
    assert screen_p(np.clip(woven, 0, 255).astype(np.uint8)) > 1e-4


def test_a_pattern_in_one_corner_does_not_speak_for_the_picture(portrait: np.ndarray) -> None:
    striped = portrait[:384, 64:448].astype(np.float32)
    y, x = np.mgrid[:128, :128]
    striped[:128, :128] += 30 * np.sin(2 * np.pi * (0.23 * x + 0.19 * y))[..., None]
    assert screen_p(np.clip(striped, 0, 255).astype(np.uint8)) > 1e-4
    y, x = np.mgrid[:384, :384]
    whole = portrait[:384, 64:448] + 10 * np.sin(2 * np.pi * (0.23 * x + 0.19 * y))[..., None]
    assert screen_p(np.clip(whole, 0, 255).astype(np.uint8)) < 1e-8


# --- colour ---


def test_grey_and_tinted_pictures_are_monochrome_after_jpeg_too(portrait: np.ndarray) -> None:
    grey = cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)
    for picture in (grey, jpeg(grey, 60), np.full((9, 9, 3), (200, 30, 40), np.uint8)):
        assert is_monochrome(picture)
    for picture in (portrait, jpeg(portrait, 40), synthetic_face(1, 96).picture):
        assert not is_monochrome(picture)
    assert not is_monochrome(np.zeros((0, 5, 3), np.uint8))


# --- all together ---


def test_a_photo(tmp_path: Path, portrait: np.ndarray) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(portrait).save(path, quality=82)
    media = open_media(path)
    quality = measure_quality(path, media, pictures=[next(iter(media)).rgb], faces=[[ASTRONAUT]])
    assert (quality.codec, quality.width, quality.height, quality.jpeg_quality) == ("jpeg", 512, 512, 82)
    assert (quality.duration_s, quality.fps, quality.crf, quality.face_px) == (None, None, None, 125.0)
    assert quality.detail == pytest.approx(detail_of(face_window(next(iter(media)).rgb, ASTRONAUT)), abs=1e-3)


def test_a_clip(tmp_path: Path, clip: list[np.ndarray]) -> None:
    path = encode(clip, tmp_path / "clip.mp4", crf="31")
    media = open_media(path, frames=3)
    pictures = [frame.rgb for frame in media]
    faces = [[Face((20, 20, 40, width), 1.0)] for width in (44, 50, 99)]
    quality = measure_quality(path, media, pictures=pictures, faces=faces)
    assert (quality.codec, quality.width, quality.height, quality.fps, quality.crf) == ("h264", 96, 96, 24.0, 31.0)
    assert (quality.duration_s, quality.face_px, quality.jpeg_quality) == (0.5, 50.0, None)


def test_a_file_that_has_gone_keeps_what_its_pixels_told(tmp_path: Path, portrait: np.ndarray) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(portrait).save(path)
    media = open_media(path)
    path.unlink()
    quality = measure_quality(path, media, pictures=[portrait], faces=[[ASTRONAUT]])
    assert (quality.codec, quality.width, quality.face_px) == ("unknown", 512, 125.0)


def test_nothing_seen_is_nothing_claimed(tmp_path: Path, portrait: np.ndarray) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(portrait[:40, :50]).save(path)
    quality = measure_quality(path, open_media(path), pictures=[], faces=[])
    assert quality.model_dump(exclude_none=True) == {"codec": "png", "width": 50, "height": 40}
    with pytest.raises(ValueError, match="1 pictures"):
        measure_quality(path, open_media(path), pictures=[portrait], faces=[])


sides = st.integers(0, 40)
boxes = st.tuples(*[st.floats(-1e6, 1e6) | st.just(math.nan) | st.just(math.inf)] * 4)


@settings(max_examples=40)
@given(st.tuples(sides, sides, st.just(3)).flatmap(lambda shape: arrays(np.uint8, shape)), boxes)
def test_any_pixels_and_any_box_give_numbers_in_range(
    picture: np.ndarray, box: tuple[float, float, float, float]
) -> None:
    detail = detail_of(face_window(picture, Face(box, 1.0)))
    assert detail is None or 0 < detail <= 1
    whole = detail_of(picture)
    assert whole is None or 0 < whole <= 1
    assert screen_p(picture) is None
    is_monochrome(picture)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_pictures_are_no_screens(value: int) -> None:
    for height, width in ((128, 128), (300, 129), (256, 700)):
        p = screen_p(np.full((height, width, 3), value, np.uint8))
        assert p is not None
        assert p > 0.1

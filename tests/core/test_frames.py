"""Frame policies: which numbers they choose, how they are written, and that old cards keep their fingerprint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from verisight.core.checkpoint import load_card, verdict_fingerprint
from verisight.core.errors import RecipeError
from verisight.core.frames import FramePolicy, canonical
from verisight.core.places import WEIGHTS
from verisight.core.preprocess import Preprocess

frames = st.integers(1, 3000)
wanted = st.integers(1, 64)


def chosen(rule: str, frames: int, keys: tuple[int, ...] = ()) -> list[list[int]]:
    return [clip.tolist() for clip in FramePolicy.parse(rule).chosen(frames, np.array(keys, np.int64))]


# --- numbers ---


@given(frames, st.integers(2, 64))
def test_linspace_takes_the_first_the_last_and_what_published_code_takes(n: int, count: int) -> None:
    (taken,) = chosen(f"linspace:{count}", n)
    assert taken == sorted(set(np.linspace(0, n - 1, count).astype(int).tolist()))
    assert (taken[0], taken[-1]) == (0, n - 1)
    assert len(taken) == min(n, count)
    if n >= count > 1:
        assert set(np.diff(taken)) <= {(n - 1) // (count - 1), (n - 1) // (count - 1) + 1}


def test_linspace_by_hand() -> None:
    assert chosen("linspace:4", 10) == [[0, 3, 6, 9]]
    assert chosen("linspace:4", 9) == [[0, 2, 5, 8]]  # 8/3 and 16/3, cut
    assert chosen("linspace:4", 4) == [[0, 1, 2, 3]]
    assert chosen("linspace:4", 3) == [[0, 1, 2]]
    assert chosen("linspace:4", 1) == [[0]]
    assert chosen("linspace:1", 9) == [[0]]


def test_keyframes_are_all_of_them_or_a_spread_of_them() -> None:
    keys = (0, 12, 24, 30, 48)
    assert chosen("keyframes", 60, keys) == [list(keys)]
    assert chosen("keyframes:2", 60, keys) == [[0, 48]]
    assert chosen("keyframes:3", 60, keys) == [[0, 24, 48]]
    assert chosen("keyframes:9", 60, keys) == [list(keys)]
    assert chosen("keyframes:3", 60) == [[]]


def test_clips_by_hand() -> None:
    assert chosen("clip:4x1", 10) == [[3, 4, 5, 6]]  # in the middle
    assert chosen("clip:3x2", 10) == [[2, 3, 4], [6, 7, 8]]  # eight starts, centres of 0-3 and 4-7
    assert chosen("clip:3x1@2", 10) == [[3, 5, 7]]
    assert chosen("clip:4x3", 4) == [[0, 1, 2, 3]]  # exactly one fits
    assert chosen("clip:4x3", 5) == [[0, 1, 2, 3], [1, 2, 3, 4]]  # two starts: two clips, not three
    assert chosen("clip:4x3", 2) == [[0, 1]]
    assert chosen("clip:4x3@2", 5) == [[0, 2, 4]]
    assert chosen("clip:2x2", 1) == [[0]]


@given(frames, st.integers(1, 20), wanted, st.integers(1, 5))
def test_clips_are_whole_distinct_and_evenly_placed(n: int, length: int, count: int, stride: int) -> None:
    clips = chosen(f"clip:{length}x{count}@{stride}", n)
    span = (length - 1) * stride + 1
    assert len(clips) == min(count, max(1, n - span + 1))
    starts = [clip[0] for clip in clips]
    for clip in clips:
        assert clip == list(range(clip[0], min(clip[0] + span, n), stride))
        assert len(clip) == length or n < span
    if len(starts) > 1:
        assert max(np.diff(starts)) - min(np.diff(starts)) <= 1
        assert abs(starts[0] - (n - 1 - (starts[-1] + span - 1))) <= 1  # as much is left before as after


@given(frames)
def test_all_is_every_frame(n: int) -> None:
    assert chosen("all", n) == [list(range(n))]


# --- text ---


@pytest.mark.parametrize(
    "rule", ["uniform:16", "linspace:32", "keyframes", "keyframes:8", "clip:16x4", "clip:16x4@2", "clip:1x1", "all"]
)
def test_a_policy_is_its_text(rule: str) -> None:
    assert str(FramePolicy.parse(rule)) == rule


def test_what_means_the_same_is_written_the_same() -> None:
    assert canonical(16) == canonical("16") == canonical("uniform:16") == 16
    assert canonical(" linspace:032 ") == "linspace:32"
    assert canonical("clip:4x2@1") == "clip:4x2"
    assert FramePolicy.parse(8) == FramePolicy.parse("uniform:8")


@pytest.mark.parametrize(
    "rule", ["", "linspace", "uniform", "8.5", -1, "clip:4", "clip:4x", "all:3", "keyframes:", "x:4", "9" * 5000]
)
def test_another_rule_is_refused_with_the_known_ones(rule: int | str) -> None:
    with pytest.raises(RecipeError, match=r"no frame policy; use N, uniform:N"):
        FramePolicy.parse(rule)


@pytest.mark.parametrize(
    "rule", [0, 4097, "linspace:0", "keyframes:0", "clip:0x4", "clip:4x0", "clip:4x4@0", "clip:65x64"]
)
def test_nothing_or_too_much_is_refused(rule: int | str) -> None:
    with pytest.raises(RecipeError, match="takes 1 to 4096 frames"):
        FramePolicy.parse(rule)


# --- in a preprocess ---


def test_a_preprocess_keeps_the_canonical_text_and_travels_as_json() -> None:
    assert Preprocess(frames="uniform:8") == Preprocess(frames=8) == Preprocess(frames="8")
    assert Preprocess().model_dump(mode="json")["frames"] == 16
    made = Preprocess(frames="linspace:32")
    assert Preprocess.model_validate_json(made.model_dump_json()) == made
    assert made.frames == "linspace:32"
    with pytest.raises(RecipeError):
        Preprocess(frames="linspce:32")
    with pytest.raises(ValidationError):
        Preprocess(frames=None)  # type: ignore[arg-type]


def test_the_shipped_detector_keeps_the_fingerprint_under_which_its_record_stands() -> None:
    path = WEIGHTS / "deepfake.safetensors"
    assert load_card(path).preprocess.frames == 16
    assert verdict_fingerprint(path) == "5fb36693ddbc64ce"

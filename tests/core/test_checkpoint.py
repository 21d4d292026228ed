"""One format, written whole or not at all; whatever else lies under its name is refused unopened."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from verisight.core.checkpoint import (
    Calibration,
    Card,
    Threshold,
    fingerprint,
    load_card,
    load_tensors,
    save_checkpoint,
    verdict_fingerprint,
)
from verisight.core.errors import MissingWeights
from verisight.core.preprocess import Preprocess

CARD = Card(
    name="mine",
    method="deepfake/erm",
    task="deepfake",
    positive="fake",
    recipe={"method": {"id": "deepfake/erm", "dropout": 0.1}, "name": "mine"},
    preprocess=Preprocess(size=64, mean=(0.1, 0.2, 0.3)),
    aggregate="mean-of-faces",
    calibration=Calibration(temperature=2.5, fitted_on="select abc"),
    threshold=Threshold(value=0.25, rule="fpr@0.05", fitted_on="select abc"),
    data={"train": "abc: 3 real, 4 fake"},
    metrics={"auc": 0.75},
    notes="line\nbreaks and \u2028 stay",
    versions={"torch": "2"},
)
TENSORS = {
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "single": np.array([1e-30, np.pi], np.float32),
    "count": np.array(7, np.int64),
    "empty": np.empty((0, 3), np.float32),
}


def test_tensors_and_card_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "mine.safetensors"
    save_checkpoint(path, TENSORS, CARD)
    assert load_card(path) == CARD
    back = load_tensors(path)
    assert back.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert back[name].dtype == tensor.dtype
        np.testing.assert_array_equal(back[name], tensor)
    assert [p.name for p in path.parent.iterdir()] == ["mine.safetensors"]


def test_a_crash_while_saving_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.safetensors"
    save_checkpoint(path, TENSORS, CARD)

    def half(part: Path, _: bytes) -> None:
        with open(part, "wb") as file:
            file.write(b"half a fi")
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {}, CARD.model_copy(update={"name": "other"}))
    assert load_card(path) == CARD
    np.testing.assert_array_equal(load_tensors(path)["single"], TENSORS["single"])
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path / "new.safetensors", {}, CARD)
    assert not (tmp_path / "new.safetensors").exists()


@pytest.mark.parametrize("start", [b"\x80\x0f", b"PK"])
def test_a_header_length_that_begins_like_a_pickle_or_a_zip_is_no_reason_to_refuse(
    tmp_path: Path, start: bytes
) -> None:
    path = tmp_path / "mine.safetensors"
    save_checkpoint(path, TENSORS, CARD)
    missing = int.from_bytes(start, "little") - int.from_bytes(path.read_bytes()[:8], "little")
    card = CARD.model_copy(update={"notes": CARD.notes + "n" * missing})
    save_checkpoint(path, TENSORS, card)
    assert path.read_bytes()[:2] == start
    assert load_card(path) == card
    assert load_tensors(path).keys() == TENSORS.keys()


class Trap:
    """A pickle of it makes a folder when it is opened."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.target,)


def foreign(kind: str, folder: Path) -> bytes:
    if kind.startswith("pickle"):
        return pickle.dumps(Trap(folder / "owned"), protocol=int(kind[-1]))
    if kind == "torch.save":
        import torch

        torch.save({"w": Trap(folder / "owned")}, folder / "t.pt")
        return (folder / "t.pt").read_bytes()
    if kind == "torch.save, old format":
        import torch

        torch.save({"w": torch.zeros(2)}, folder / "t.pt", _use_new_zipfile_serialization=False)
        return (folder / "t.pt").read_bytes()
    if kind == "random":
        return np.random.default_rng(0).bytes(4096)
    whole = folder / "whole.safetensors"
    save_checkpoint(whole, {"w": np.zeros((64, 64), np.float32)}, CARD)
    content = whole.read_bytes()
    header = int.from_bytes(content[:8], "little")
    return {
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(512),
        "empty": b"",
        "eight bytes": content[:8],
        "cut in the header": content[: 8 + header // 2],
        "cut in the tensors": content[:-100],
        "longer than it says": content + b"x",
        "huge header": (2**63).to_bytes(8, "little") + content[8:],
        "header of another type": (2).to_bytes(8, "little") + b"{]",
        "text": b"not weights at all\n",
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "pickle 0", "pickle 2", "pickle 4", "pickle 5", "torch.save", "torch.save, old format", "hdf5", "random",
        "empty", "eight bytes", "cut in the header", "cut in the tensors", "longer than it says", "huge header",
        "header of another type", "text",
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_any_other_content_is_refused_by_name_and_never_run(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"trap{suffix}"
    path.write_bytes(foreign(kind, tmp_path))
    with pytest.raises(MissingWeights, match=f"trap{suffix}"):
        load_card(path)
    with pytest.raises(MissingWeights, match=f"trap{suffix}"):
        load_tensors(path)
    assert not (tmp_path / "owned").exists()


def test_the_trap_would_have_sprung(tmp_path: Path) -> None:
    pickle.loads(foreign("pickle 4", tmp_path))
    assert (tmp_path / "owned").is_dir()


def test_tensors_without_a_card_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    safetensors.numpy.save_file({"w": np.zeros(2, np.float32)}, path)
    with pytest.raises(MissingWeights, match="without a Verisight card"):
        load_card(path)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", '"card"', "[" * 100_000, CARD.model_dump_json().replace('"mine"', "3", 1),
        json.dumps({**json.loads(CARD.model_dump_json()), "surprise": 1}),
        json.dumps({**json.loads(CARD.model_dump_json()), "calibration": {"temperature": 0}}),
    ],
    ids=["nothing", "cut", "list", "bare", "text", "deep", "wrong type", "unknown key", "temperature 0"],
)  # fmt: skip
def test_a_card_that_does_not_validate_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    safetensors.numpy.save_file({"w": np.zeros(2, np.float32)}, path, metadata={"verisight": text})
    with pytest.raises(MissingWeights, match="does not validate"):
        load_card(path)


@pytest.mark.parametrize("name", ["gone.safetensors", "."])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="no such checkpoint file"):
        load_card(tmp_path / name)


def test_the_fingerprint_is_the_head_of_the_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert fingerprint(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()[:16]


@pytest.mark.parametrize(
    ("score", "temperature", "probability"),
    [(0, 1, 0.5), (0, 9, 0.5), (math.log(3), 1, 0.75), (2 * math.log(3), 2, 0.75), (-math.log(4), 1, 0.2)],
)
def test_probability_is_the_sigmoid_of_the_score_over_the_temperature(
    score: float, temperature: float, probability: float
) -> None:
    assert float(Calibration(temperature=temperature).probability(score)) == pytest.approx(probability, abs=1e-15)


@given(st.floats(allow_nan=False), st.floats(1e-3, 1e3))
def test_probability_stays_in_bounds_and_is_symmetric_at_any_score(score: float, temperature: float) -> None:
    calibration = Calibration(temperature=temperature)
    low, high = calibration.probability([score, -score])
    assert 0 <= low <= 1
    assert low + high == pytest.approx(1, abs=1e-12)


def test_probability_keeps_the_shape_and_grows_with_the_score() -> None:
    scores = np.linspace(-20, 20, 12, dtype=np.float32).reshape(3, 4)
    probability = Calibration(temperature=0.7).probability(scores)
    assert probability.shape == (3, 4)
    assert probability.dtype == np.float64
    assert (np.diff(probability.ravel()) > 0).all()


@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_a_temperature_that_would_turn_scores_around_is_refused(temperature: float) -> None:
    with pytest.raises(ValidationError, match="temperature"):
        Calibration(temperature=temperature)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"metrics": {"AUC": 0.9}, "notes": "more words", "licence": "another"}, True),
        ({"threshold": Threshold(value=0.6, rule="balanced", fitted_on="x")}, False),
        ({"calibration": Calibration(temperature=2.0)}, False),
        ({"preprocess": Preprocess(size=64)}, False),
        ({"aggregate": "mean-of-frame-max"}, False),
        ({"name": "other"}, False),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else str(value),
)
def test_the_verdict_fingerprint_changes_with_what_a_verdict_depends_on_alone(
    tmp_path: Path, changes: dict[str, Any], same: bool
) -> None:
    save_checkpoint(tmp_path / "a.safetensors", TENSORS, CARD)
    save_checkpoint(tmp_path / "b.safetensors", TENSORS, CARD.model_copy(update=changes))
    first, second = (verdict_fingerprint(tmp_path / f"{name}.safetensors") for name in "ab")
    assert (first == second) is same


def test_the_verdict_fingerprint_changes_with_a_single_weight(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", TENSORS, CARD)
    name, tensor = next((n, t) for n, t in TENSORS.items() if t.size)
    changed = {**TENSORS, name: np.where(np.arange(tensor.size).reshape(tensor.shape) == 0, tensor + 1, tensor)}
    changed[name] = changed[name].astype(tensor.dtype)
    save_checkpoint(tmp_path / "b.safetensors", changed, CARD)
    assert verdict_fingerprint(tmp_path / "a.safetensors") != verdict_fingerprint(tmp_path / "b.safetensors")

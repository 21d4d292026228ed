"""ONNX Runtime and torch give the same scores; an export is made once, proved, and never half used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from verisight.core.checkpoint import load_card, load_tensors, save_checkpoint
from verisight.core.detector import Detector
from verisight.core.errors import VerisightError
from verisight.core.places import cache_folder


@pytest.fixture(scope="module")
def exported(tiny_checkpoint: Path) -> Path:
    """The one export that this file makes, in the cache folder of the session."""
    Detector.load(tiny_checkpoint)
    (file,) = (cache_folder() / "onnx").glob(f"{Detector.load(tiny_checkpoint).fingerprint}-*.onnx")
    return file


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("VERISIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "onnx"


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_onnx_equals_torch_within_1e_4(exported: Path, tiny_checkpoint: Path, rows: int) -> None:
    batch = np.random.default_rng(rows).standard_normal((rows, 3, 32, 32)).astype(np.float32)
    torch_scores = Detector.load(tiny_checkpoint, runtime="torch").score(batch)
    onnx_scores = Detector.load(tiny_checkpoint).score(batch)
    assert onnx_scores.shape == (rows,)
    np.testing.assert_allclose(onnx_scores, torch_scores, atol=1e-4)
    if rows > 1:
        assert np.ptp(torch_scores) > 0.1  # else agreement would say nothing


def test_a_second_load_exports_nothing(exported: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("exported again")

    monkeypatch.setattr(torch.onnx, "export", never)
    before = exported.stat()
    Detector.load(tiny_checkpoint)
    assert exported.stat().st_mtime_ns == before.st_mtime_ns


def test_an_export_cut_short_is_not_used(
    tiny_checkpoint: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(_: Any, __: Any, target: str, **___: Any) -> None:
        Path(target).write_bytes(b"half a network")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.onnx, "export", half)
    for _ in range(2):  # the second load starts anew instead of reading what the first one left
        with pytest.raises(KeyboardInterrupt):
            Detector.load(tiny_checkpoint)
        assert list(empty_cache.rglob("*.onnx")) == []


def test_what_a_killed_export_left_behind_is_passed_over(
    exported: Path, tiny_checkpoint: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = empty_cache / "tmpkilled" / "network.onnx"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a network")
    monkeypatch.setattr(torch.onnx, "export", lambda _, __, target, **___: shutil.copy(exported, target))
    batch = np.ones((2, 3, 32, 32), np.float32)
    expected = Detector.load(tiny_checkpoint, runtime="torch").score(batch)
    np.testing.assert_allclose(Detector.load(tiny_checkpoint).score(batch), expected, atol=1e-4)
    assert (empty_cache / exported.name).is_file()


def test_an_export_that_differs_from_torch_is_refused_and_not_kept(
    exported: Path, tiny_checkpoint: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tensors = load_tensors(tiny_checkpoint)
    tensors["logit.bias"] = tensors["logit.bias"] + np.float32(0.001)
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, tensors, load_card(tiny_checkpoint))
    monkeypatch.setattr(torch.onnx, "export", lambda _, __, target, **___: shutil.copy(exported, target))
    with pytest.raises(VerisightError, match=r"differs from torch by 1\.0e-03 .* --runtime torch"):
        Detector.load(other)
    assert list(empty_cache.rglob("*.onnx")) == []


def test_another_checkpoint_does_not_meet_the_first_ones_export(
    exported: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Under the same file name: the cache goes by content."""
    other = tmp_path / tiny_checkpoint.name
    save_checkpoint(other, load_tensors(tiny_checkpoint), load_card(tiny_checkpoint).model_copy(update={"name": "x"}))

    def asked(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.onnx, "export", asked)
    with pytest.raises(KeyboardInterrupt):
        Detector.load(other)

"""A trained thing that scores: one class for torch networks, ONNX sessions and a user's own callable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from verisight.core import catalogue
from verisight.core.checkpoint import Calibration, Card, Threshold, load_card, verdict_fingerprint
from verisight.core.errors import InputError, MissingWeights, nearest
from verisight.core.places import WEIGHTS
from verisight.core.preprocess import Preprocess

Floats = NDArray[np.float32]
Scorer = Callable[[Floats], Floats | tuple[Floats, Floats]]
Runtime = Literal["onnx", "torch"]


class Measured(NamedTuple):
    """What a detector says of a batch.

    score : (N,) float32 logits, higher = positive.
    novelty : (N,) float32 in 0..1, the share of the selection split's faces that look more usual to the detector; None
        from a detector that was given no idea of what is usual.
    """

    score: Floats
    novelty: Floats | None


class Detector:
    """A card and a function from a batch to scores.

    Parameters
    ----------
    card : what the detector says of itself.
    scorer : (N, 3, S, S) float32, normalised by `card.preprocess` -> (N,) float32 logits, higher = positive; or these
        and (N,) distances from what is usual, of which `card.novelty` has the quantiles.
    fingerprint : identifies what its verdicts depend on; part of the key under which the scan ledger remembers a
        verdict.

    Examples
    --------
    >>> import numpy as np
    >>> card = Card(name="mean", method="user", task="deepfake", positive="fake", recipe={},
    ...             preprocess=Preprocess(size=16), aggregate="mean-of-faces")
    >>> mine = Detector(card, lambda batch: batch.mean(axis=(1, 2, 3)))
    >>> mine.score(np.ones((2, 3, 16, 16), np.float32))
    array([1., 1.], dtype=float32)
    """

    NO_FINGERPRINT = "none"

    def __init__(self, card: Card, scorer: Scorer, fingerprint: str = NO_FINGERPRINT) -> None:
        self.card = card
        self.fingerprint = fingerprint
        self._scorer = scorer

    @classmethod
    def load(cls, name_or_path: str | Path, *, runtime: Runtime = "onnx") -> Detector:
        """A shipped detector by its catalogue id, or a checkpoint by its path.

        runtime : `onnx` scores on the CPU through ONNX Runtime (exported once, then cached); `torch` scores
            through the network itself, on the GPU when there is one.

        Raises
        ------
        MissingWeights : neither a known name nor a readable checkpoint.
        """
        from verisight.core.runtime import onnx_scorer, torch_scorer

        path = checkpoint_path(name_or_path)
        card = load_card(path)
        scorer = onnx_scorer(path, card) if runtime == "onnx" else torch_scorer(path, card)
        return cls(card, scorer, verdict_fingerprint(path))

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def preprocess(self) -> Preprocess:
        return self.card.preprocess

    @property
    def threshold(self) -> Threshold:
        return self.card.threshold

    @property
    def calibrator(self) -> Calibration:
        return self.card.calibration

    def measure(self, batch: NDArray[Any]) -> Measured:
        """Logits of a batch, and how unusual its items are; each item's own, whatever the others.

        batch : (N, 3, S, S) with S = `preprocess.size`, finite floating-point numbers, N >= 1.

        Raises
        ------
        InputError : wrong shape or type, empty, or not finite.
        """
        rows = self._checked(batch)
        found = self._scorer(rows)
        score, distance = found if isinstance(found, tuple) else (found, None)
        scores = np.asarray(score, dtype=np.float32).reshape(-1)
        if len(scores) != len(rows):  # a user's callable may return two columns, one per class
            raise InputError(self.name, f"its scorer gave {len(scores)} scores for {len(rows)} rows")
        if distance is None or not self.card.novelty:
            return Measured(scores, None)
        knots = self.card.novelty
        share = np.interp(np.asarray(distance).reshape(-1), knots, np.linspace(0, 1, len(knots)))
        return Measured(scores, share.astype(np.float32))

    def score(self, batch: NDArray[Any]) -> Floats:
        """The logits alone: (N,) float32. Batch and errors as `measure`."""
        return self.measure(batch).score

    def _checked(self, batch: NDArray[Any]) -> Floats:
        expected = (3, self.preprocess.size, self.preprocess.size)
        array = np.asarray(batch)
        if array.ndim != 4 or array.shape[1:] != expected:
            raise InputError(self.name, f"expects a batch (N, {', '.join(map(str, expected))}), got {array.shape}")
        if len(array) == 0:
            raise InputError(self.name, "the batch is empty")
        if not np.issubdtype(array.dtype, np.floating):
            raise InputError(
                self.name, f"expects floating-point numbers, got {array.dtype}", "apply verisight.data.preprocess first"
            )
        rows = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(rows).all():
            raise InputError(self.name, "the batch holds NaN or infinite values")
        return rows


def checkpoint_path(name_or_path: str | Path) -> Path:
    """The file behind a catalogue id or a path."""
    shipped = {e.id: WEIGHTS / e.target for e in catalogue.entries("detector")}
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path)
    if not path.exists() and path.suffix != ".safetensors":
        raise MissingWeights(name_or_path, "neither a shipped detector nor a file", nearest(str(name_or_path), shipped))
    return path

"""One checkpoint format: a safetensors file whose metadata is the card of the detector.

Pickle files are never opened: not ours, not a stranger's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from verisight.core.errors import MissingWeights
from verisight.core.preprocess import Preprocess
from verisight.core.value import Value

Tensors = Mapping[str, NDArray[Any]]
_KEY = "verisight"


class Calibration(Value):
    """From a score (a logit) to a probability: sigmoid(score / temperature + bias), or a line through knots.

    bias : in logits; 0 for temperature scaling, free for Platt scaling.
    knots : (score, probability) pairs of an isotonic fit, both rising; between them the line, beyond them the end's
        value. Where there are any, temperature and bias stay at 1 and 0.
    band : (score, low, high) in rising order of the score: the bounds of 95 % of the probabilities that this score gets
        when the select data are drawn anew.
    """

    temperature: Annotated[float, Field(gt=0)] = 1.0
    fitted_on: str = "not fitted"
    bias: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    knots: tuple[tuple[float, float], ...] = ()
    band: tuple[tuple[float, float, float], ...] = ()

    @model_validator(mode="after")
    def _monotone(self) -> Calibration:
        if self.knots:
            x, y = np.array(self.knots, np.float64).T
            if not (np.isfinite(x).all() and (np.diff(x) > 0).all() and (np.diff(y) >= 0).all()):
                raise ValueError("the knots of a calibration rise in score and do not fall in probability")
            if not (y[0] >= 0 and y[-1] <= 1) or (self.temperature, self.bias) != (1.0, 0.0):
                raise ValueError("knots are probabilities in 0..1, with temperature 1 and bias 0 beside them")
        if self.band:
            x, low, high = np.array(self.band, np.float64).T
            rising = all((np.diff(side) >= 0).all() for side in (low, high)) and (np.diff(x) > 0).all()
            if not (rising and np.isfinite(x).all() and low[0] >= 0 and high[-1] <= 1 and (low <= high).all()):
                raise ValueError("the band of a calibration rises with the score, between 0 and 1, low below high")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is not used is not written: cards of temperatures, and their fingerprints, stay as they always were."""
        return {key: value for key, value in whole(self).items() if key not in ("bias", "knots", "band") or value}

    def probability(self, score: ArrayLike) -> NDArray[np.float64]:
        """Probability of the positive class, elementwise, float64 in [0, 1]; it never falls as the score rises."""
        s = np.asarray(score, dtype=np.float64)
        if self.knots:
            x, y = np.array(self.knots, np.float64).T
            return np.asarray(np.interp(s, x, y))
        with np.errstate(over="ignore"):
            scaled = np.clip(s / self.temperature + self.bias, -60, 60)
        return np.asarray(1.0 / (1.0 + np.exp(-scaled)))

    def interval(self, low: float, high: float) -> tuple[float, float]:
        """Bounds of the probability of a score that lies between two, with what the select data leave open.

        Without a band they are the probabilities of the two. The point's own probability always lies inside.
        """
        bounds = self.probability([low, high])
        if self.band:
            x, lows, highs = np.array(self.band, np.float64).T
            bounds = np.array([min(bounds[0], np.interp(low, x, lows)), max(bounds[1], np.interp(high, x, highs))])
        return float(bounds[0]), float(bounds[1])

    def __str__(self) -> str:
        if self.knots:
            return f"isotonic, {len(self.knots)} knots"
        return f"temperature {self.temperature:.3f}" + (f", bias {self.bias:+.3f}" if self.bias else "")


class Threshold(Value):
    """A probability from which on a file is called positive, the rule that chose it, and the data it saw."""

    value: float
    rule: str
    fitted_on: str


class Card(Value):
    """What a detector says of itself.

    positive : name of the class that high scores mean (`fake`).
    aggregate : how the faces of one file become one score.
    clear : below it a file is called real; from it up to `threshold` lies the zone of doubt, in which a verdict is not
        given. None: no such zone.
    novelty : distances of faces of the select split from what the network is used to, at evenly spaced quantiles from 0
        to 1; empty where the checkpoint holds no idea of what is usual.
    data : fingerprint and counts of each split it was trained, calibrated and reported on.
    metrics : of the report split at the time of writing; the record has them with intervals.
    """

    name: str
    method: str
    task: str
    positive: str
    recipe: dict[str, Any]
    preprocess: Preprocess
    aggregate: str
    calibration: Calibration = Calibration()
    threshold: Threshold = Threshold(value=0.5, rule="default", fitted_on="not fitted")
    clear: Threshold | None = None
    novelty: tuple[float, ...] = ()
    data: dict[str, str] = {}
    metrics: dict[str, float] = {}
    licence: str = "not stated"
    notes: str = ""
    versions: dict[str, str] = {}


def save_checkpoint(path: Path, tensors: Tensors, card: Card) -> None:
    """Write atomically: an interrupted save leaves the old file or none."""
    from safetensors.numpy import save

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(save(dict(tensors), metadata={_KEY: card.model_dump_json()}))
    os.replace(part, path)


def load_card(path: Path) -> Card:
    """The card alone; no tensor is read.

    Raises
    ------
    MissingWeights : no such file, a pickle or another foreign format, a safetensors file without a card.
    """
    from safetensors import safe_open

    with _refusing_foreign(path), safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
    if _KEY not in metadata:
        raise MissingWeights(path, "a safetensors file without a Verisight card", "write it with: verisight train")
    try:
        return Card.model_validate_json(metadata[_KEY])
    except ValidationError as error:
        raise MissingWeights(path, "its card does not validate", "it was written by another version") from error


def load_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """All tensors, as numpy arrays in their stored types.

    Raises
    ------
    MissingWeights : as `load_card`, save for the card.
    """
    from safetensors.numpy import load_file

    with _refusing_foreign(path):
        return dict(load_file(path))


def verdict_fingerprint(path: Path) -> str:
    """16 hex digits over all of a checkpoint that a verdict depends on: tensors, preprocess, aggregate, calibration,
    threshold.

    Words on the card (metrics, notes, licence) may change without making the ledger judge anew or a record stray.
    """
    card = load_card(path)
    judging = {"name", "method", "positive", "preprocess", "aggregate", "calibration", "threshold"}
    judging |= {name for name in ("clear", "novelty") if getattr(card, name)}  # without them, as it always was
    judges = card.model_dump_json(include=judging)
    with open(path, "rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))  # the header, which holds the card, is passed over
        digest = hashlib.file_digest(file, "sha256")
    digest.update(judges.encode())
    return digest.hexdigest()[:16]


def fingerprint(path: Path) -> str:
    """First 16 hex digits of the SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@contextmanager
def _refusing_foreign(path: Path) -> Iterator[None]:
    """Refuse what is not a whole safetensors file."""
    from safetensors import SafetensorError

    if not path.is_file():
        raise MissingWeights(path, "no such checkpoint file", "see: verisight list --kind detector")
    with open(path, "rb") as file:
        head = file.read(9)
    # Eight bytes of header length, then JSON. The length may begin like a pickle (0x80) or a zip (PK): those say
    # nothing.
    if path.suffix != ".safetensors" or head[8:9] != b"{":
        raise MissingWeights(
            path,
            "not a safetensors checkpoint; files that can run code when opened are never loaded",
            "convert it with safetensors in an environment that trusts it",
        )
    try:
        yield
    except SafetensorError as error:
        raise MissingWeights(path, f"not a whole safetensors file ({error})", "copy or train it again") from error

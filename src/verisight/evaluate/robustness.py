"""Does a detector hold when pictures were shared, real faces come from elsewhere, or the finder's box is a little off?

Three questions, each with intervals over groups: the figures of a record under seven conditions, false alarms source
by source, and how far a score moves with the crop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.detector import Detector
from verisight.core.errors import DataError
from verisight.core.preprocess import Preprocess
from verisight.core.value import Value
from verisight.data.faces import Face, finish
from verisight.data.preprocess import normalise
from verisight.data.quality import Picture
from verisight.evaluate.abstention import share
from verisight.evaluate.intervals import Interval, Weights, percentile
from verisight.evaluate.metrics import Floats
from verisight.evaluate.protocol import Report, Scores

CONDITIONS = {  # as `verisight.data.quality.draw` reads them
    "raw": "",
    "crf23": "h264:23",
    "crf40": "h264:40",
    "jpeg75": "jpeg:75",
    "jpeg50": "jpeg:50",
    "half": "resize:0.5",
    "blur": "blur:1.5",
}
FEWEST = 5  # groups: a source known from one or two videos says what their scenes look like
MARGINS = (1.0, 1.1, 1.2, 1.25, 1.3, 1.4, 1.5, 1.6)
SHIFT = 0.1  # of the longer box side


class Alarms(Value):
    """Real files of one source. rate : share called fake. doubt : share in the zone of doubt; None without a zone."""

    files: int
    rate: Interval
    doubt: Interval | None


class FalseAlarms(Value):
    """False alarms source by source.

    mean : of the rates of those sources that have FEWEST groups, which are `counted`; each weighs the same. None where
        no source has as many.
    """

    sources: dict[str, Alarms]
    counted: tuple[str, ...]
    mean: Interval | None


def false_alarms(
    scores: Sequence[Scores[Report]],
    calibration: Calibration,
    threshold: Threshold,
    clear: Threshold | None = None,
    *,
    resamples: int = 2000,
) -> FalseAlarms:
    """How often real files are called fake, by source; fakes among the rows are passed over.

    scores : one or more report sets; their sources are told apart by name.

    Raises
    ------
    DataError : data that are not of a report split, or no real file among them.
    """
    strange = [part.split.__name__.lower() for part in scores if part.split is not Report]
    if strange:
        raise DataError("false alarms", f"were to be reported on {strange[0]} data", "use test data")
    found = {}
    for part in scores:
        probability = calibration.probability(part.score)
        lower = threshold.value if clear is None else clear.value
        called, unsure = probability >= threshold.value, (probability >= lower) & (probability < threshold.value)
        for source in sorted(set(part.source[part.label == 0].tolist())):
            of = (part.label == 0) & (part.source == source)
            found[source] = Alarms(
                files=int(of.sum()),
                rate=share(called[of], part.group[of], resamples=resamples),
                doubt=None if clear is None else share(unsure[of], part.group[of], resamples=resamples),
            )
    if not found:
        raise DataError("false alarms", "there is no real file", "add some (label 0)")
    counted = {name: alarms.rate for name, alarms in found.items() if alarms.rate.groups >= FEWEST}
    return FalseAlarms(sources=found, counted=tuple(counted), mean=mean_of(counted) if counted else None)


def mean_of(figures: Mapping[str, Interval]) -> Interval:
    """The mean of independent figures, its bounds recovered from theirs (Zou, Donner 2008, "MOVER").

        m - sqrt(sum (x_k - l_k)^2) / K   to   m + sqrt(sum (u_k - x_k)^2) / K

    A figure at 0 or 1, whose draws are all alike, so adds what its exact bound leaves open.

    Raises
    ------
    DataError : a figure has no bounds.
    """
    down, up = 0.0, 0.0
    for name, figure in figures.items():
        if figure.low is None or figure.high is None:
            raise DataError(name, f"has no bounds ({figure.unknown})", "leave it out of the mean")
        down, up = down + (figure.value - figure.low) ** 2, up + (figure.high - figure.value) ** 2
    value, count = float(np.mean([figure.value for figure in figures.values()])), len(figures)
    return Interval(
        value=value,
        low=value - math.sqrt(down) / count,
        high=value + math.sqrt(up) / count,
        method="MOVER over sources",
        groups=sum(figure.groups for figure in figures.values()),
    )


class Placement(NamedTuple):
    """Where a crop lies: its side, and the shift of its centre, as shares of the longer side of the face box."""

    margin: float
    right: float = 0.0
    down: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.margin:.2f}" + (", moved" if self.right or self.down else "")


PLACEMENTS = tuple(
    Placement(margin, right, down)
    for margin in MARGINS
    for right, down in ((0.0, 0.0), (-SHIFT, 0.0), (SHIFT, 0.0), (0.0, -SHIFT), (0.0, SHIFT))
)


class Seen(NamedTuple):
    """A picture with the face that is looked at. group : what its score may depend on with others'."""

    picture: Picture
    face: Face
    group: str


def cut(picture: Picture, face: Face, placement: Placement, preprocess: Preprocess) -> Picture | None:
    """The crop at a placement, finished for the detector; None where it would reach over the border.

    `crop_face` would move or shrink the square there, and show something else than what was asked for.
    """
    x, y, w, h = face.box
    side = max(1, round(face.size_px * placement.margin))
    left = round(x + w / 2 + placement.right * face.size_px - side / 2)
    top = round(y + h / 2 + placement.down * face.size_px - side / 2)
    if left < 0 or top < 0 or left + side > picture.shape[1] or top + side > picture.shape[0]:
        return None
    return finish(np.ascontiguousarray(picture[top : top + side, left : left + side]), preprocess)


def placed_scores(detector: Detector, seen: Iterable[Seen]) -> tuple[Floats, NDArray[np.str_]]:
    """(P, V) a score for every picture at every one of PLACEMENTS, NaN where it does not fit; (P,) groups.

    Pictures in which the detector's own margin does not fit are left out: nothing could be compared with it.
    """
    own = _reference(detector.preprocess)
    rows, groups = [], []
    for picture, face, group in seen:
        crops = [cut(picture, face, placement, detector.preprocess) for placement in PLACEMENTS]
        fits = [crop is not None for crop in crops]
        if not fits[own]:
            continue
        row = np.full(len(PLACEMENTS), np.nan)
        row[fits] = detector.score(normalise([crop for crop in crops if crop is not None], detector.preprocess))
        rows.append(row)
        groups.append(group)
    return np.reshape(rows, (-1, len(PLACEMENTS))).astype(np.float64), np.array(groups, np.str_)


class Change(Value):
    """Crops at one kind of placement against the detector's own, in the same pictures.

    pictures : in which it fits. moved : mean change of the score, in logits. flips : share called otherwise.
    """

    pictures: int
    moved: Interval
    flips: Interval


class CropSpread(Value):
    """How far a score depends on where the crop was cut.

    pictures : looked at. placements : name -> change; those that fit in no picture are not there.
    sd : standard deviation of the score over the placements of a picture, root mean square over pictures, in logits.
    between : standard deviation over pictures at the detector's own placement, in logits: what `sd` is to be held
        against.
    flips : share of the other placements at which a picture is called otherwise, doubt being a call of its own; each
        picture weighs the same. opposite : of those, from real to fake or back.
    """

    pictures: int
    sd: Interval
    between: Interval
    flips: Interval
    opposite: Interval
    placements: dict[str, Change]


def crop_spread(
    score: Floats,
    group: NDArray[np.str_],
    detector: Detector,
    *,
    resamples: int = 2000,
) -> CropSpread:
    """The figures of `placed_scores`, at the detector's own threshold and zone of doubt.

    score : (P, V). group : (P,).

    Raises
    ------
    DataError : no picture, or none in which a second placement fits.
    """
    own = _reference(detector.preprocess)
    others = np.isfinite(score)
    others[:, own] = False
    rows = others.any(axis=1)
    if not rows.any():
        raise DataError("crop stability", "no picture in which two crops fit", "use pictures with surroundings")
    score, group, others = score[rows], group[rows], others[rows]
    call = _calls(score, detector)
    flipped = others & (call != call[:, [own]])
    opposite = others & (np.abs(call - call[:, [own]]) == 2)
    variance = np.nanvar(score, axis=1, ddof=1)

    def mean(values: Floats, of: NDArray[np.bool_] | slice = slice(None), *, root: bool = False) -> Interval:
        return _over_groups(
            lambda w: float(np.sqrt(np.average(values, weights=w)) if root else np.average(values, weights=w)),
            group[of],
            resamples,
        )

    kinds: dict[str, list[int]] = {}
    for v, placement in enumerate(PLACEMENTS):
        if v != own and others[:, v].any():
            kinds.setdefault(placement.name, []).append(v)
    placements = {}
    for name, columns in kinds.items():
        of = np.asarray(others[:, columns].any(axis=1))
        moved = np.nanmean(score[of][:, columns] - score[of][:, [own]], axis=1)
        flips = flipped[of][:, columns].sum(axis=1) / others[of][:, columns].sum(axis=1)
        placements[name] = Change(pictures=int(of.sum()), moved=mean(moved, of), flips=mean(flips, of))
    count = others.sum(axis=1)
    reference = score[:, own]
    return CropSpread(
        pictures=len(score),
        sd=mean(variance, root=True),
        between=_over_groups(lambda w: _deviation(reference, w), group, resamples),
        flips=mean(flipped.sum(axis=1) / count),
        opposite=mean(opposite.sum(axis=1) / count),
        placements=placements,
    )


def _reference(preprocess: Preprocess) -> int:
    """The placement that the detector's own crops have."""
    if Placement(preprocess.margin) not in PLACEMENTS:
        raise DataError(f"margin {preprocess.margin:g}", "is none of the placements", f"known: {MARGINS}")
    return PLACEMENTS.index(Placement(preprocess.margin))


def _calls(score: Floats, detector: Detector) -> NDArray[np.int64]:
    """-1 real, 0 in doubt, 1 fake; of NaN anything."""
    probability = detector.calibrator.probability(np.nan_to_num(score))
    clear = detector.card.clear or detector.threshold
    return np.where(probability >= detector.threshold.value, 1, np.where(probability < clear.value, -1, 0))


def _over_groups(statistic: Callable[[Weights | None], float], group: NDArray[np.str_], resamples: int) -> Interval:
    return percentile(statistic, np.zeros(len(group)), group, resamples=resamples)[0]


def _deviation(values: Floats, weight: Weights | None) -> float:
    centre = np.average(values, weights=weight)
    return float(np.sqrt(np.average((values - centre) ** 2, weights=weight)))

"""What should know nothing of a forgery, and often does: controls to stand beside every detector.

Each is a logistic regression on a few facts of a file that no forensic reasoning needs. Where one comes near a
detector, the classes can be told by colour, sharpness, size or encoding, and the detector's figure is no evidence that
it sees forgeries. They are fitted on the fit split, calibrated on the select split and reported on the report split, by
the protocol of the detector and on the files that gave a crop.

One regression serves all generators, as one detector does. An AUC far below 1/2 in a scope also says that the fact
tells the two apart there, only the other way round than over all.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import InputError
from verisight.core.progress import track
from verisight.data.crops import CropSet
from verisight.data.decode.files import refusing, regular
from verisight.data.manifest import Manifest
from verisight.data.media import LIMITS, open_media
from verisight.evaluate.intervals import Metrics
from verisight.evaluate.metrics import Floats, checked
from verisight.evaluate.protocol import Fit, Protocol, Report, Scores, Select, Split, Unit
from verisight.evaluate.score import joined, require_split, scores_of

SplitT = TypeVar("SplitT", bound=Split)


class Part(NamedTuple):
    """One split and the crops of its files, at one quality."""

    manifest: Manifest
    crops: CropSet

    def rows(self) -> NDArray[np.int64]:
        """(N,) rows of the manifest whose files gave a crop, rising."""
        return np.unique(self.crops.row)

    def paths(self) -> list[Path]:
        """Of these rows."""
        paths = self.manifest.paths()
        return [paths[row] for row in self.rows()]

    def mean_over_crops(self, values: Floats) -> Floats:
        """(M, D) of the crops -> (N, D) of their files."""
        _, file = np.unique(self.crops.row, return_inverse=True)
        sums = np.stack([np.bincount(file, column) for column in values.T], axis=1)
        return np.asarray(sums / np.bincount(file)[:, None])


Parts = Mapping[str, Part]  # one split by quality, as `crops_at` names them; "": as the files are
Facts = Callable[[Part], Floats]  # (N, D), a row a file


def colour_moments(part: Part) -> Floats:
    """(N, 6) mean and standard deviation of R, G and B over a crop; the mean over the crops of a file."""
    moments = [np.append(crop.mean(axis=(0, 1)), crop.std(axis=(0, 1))) for crop in part.crops.images]
    return part.mean_over_crops(np.array(moments, np.float64))


def sharpness_and_bytes(part: Part) -> Floats:
    """(N, 2) log of the variance of a crop's Laplacian, the mean over the crops of a file; log of the file's bytes."""
    import cv2

    grey = (cv2.cvtColor(np.asarray(crop), cv2.COLOR_RGB2GRAY) for crop in part.crops.images)
    sharpness = part.mean_over_crops(np.array([[np.log1p(cv2.Laplacian(g, cv2.CV_64F).var())] for g in grey]))
    return np.column_stack([sharpness, np.log([path.stat().st_size for path in part.paths()])])


def jpeg_quality(part: Part) -> Floats:
    """(N, 2) whether a file is a JPEG; the quality of its encoding, 1..100, and 0 where it is none."""
    found = [quality_of(path) for path in part.paths()]
    return np.array([(quality is not None, quality or 0) for quality in found], np.float64)


def image_size(part: Part) -> Floats:
    """(N, 2) log of the width and the height of a file's pictures, in pixels."""
    opened = (open_media(path, frames=1) for path in part.paths())
    return np.log(np.array([(media.width, media.height) for media in opened], np.float64))


def spectrum(part: Part) -> Floats:
    """(N, S / 2) log power of every ring of a grey crop's spectrum; the mean over the crops of a file."""
    import cv2

    size = part.crops.images.shape[1]
    down, across = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    ring = np.rint(np.hypot(down, across) * size).astype(np.int64).ravel()
    kept = ring < size // 2
    count = np.bincount(ring[kept])
    window = np.outer(np.hanning(size), np.hanning(size))  # without it the borders draw a cross over all rings
    rows = []
    for crop in part.crops.images:
        grey = cv2.cvtColor(np.asarray(crop), cv2.COLOR_RGB2GRAY).astype(np.float64)
        power = np.abs(np.fft.rfft2((grey - grey.mean()) * window)).ravel() ** 2
        rows.append(np.log(np.bincount(ring[kept], power[kept]) / count + 1))
    return part.mean_over_crops(np.array(rows))


CONTROLS: dict[str, Facts] = {
    "colour moments": colour_moments,
    "spectrum": spectrum,
    "sharpness and file size": sharpness_and_bytes,
    "JPEG quality": jpeg_quality,
    "image size": image_size,
}


def controls(
    fit: Parts, select: Parts, report: Parts, protocol: Protocol, *, unit: Unit = "file", seed: int = 0
) -> dict[str, Metrics]:
    """Name -> figures, of every control and of a random score. One regression serves all qualities.

    unit : what one row of the figures is; frames have the score of their file.
    seed : of the random score.

    Raises
    ------
    DataError : a part is of another split, a split lacks one of the classes, a group stands in two.
    """
    for part in fit.values():
        require_split(part.manifest, Fit)
    label = np.concatenate([part.manifest.column("label")[part.rows()] for part in fit.values()])
    checked(label, np.zeros(len(label)), needs=(0, 1), what="controls")

    def figures(score: Callable[[Part], Floats]) -> Metrics:
        on_select = joined({name: _scored(part, score(part), Select, unit) for name, part in select.items()})
        on_report = joined({name: _scored(part, score(part), Report, unit) for name, part in report.items()})
        return protocol.run(on_select, on_report, unit=unit).metrics

    def control(facts: Facts) -> Metrics:
        model = regression().fit(np.concatenate([facts(part) for part in fit.values()]), label)
        return figures(lambda part: model.decision_function(facts(part)))

    out = {name: control(CONTROLS[name]) for name in track(CONTROLS, "controls", total=len(CONTROLS))}
    rng = np.random.default_rng(seed)
    return out | {"random score": figures(lambda part: rng.normal(size=len(part.rows())))}


def quality_of(path: Path) -> int | None:
    """The JPEG quality 1..100 at which libjpeg would have written the luminance table that is nearest; None: no JPEG.

    Exact for what libjpeg wrote. Encoders with tables of their own (phones, Photoshop) get the nearest.
    """
    from PIL import Image

    try:
        with refusing(path, "no JPEG"), regular(path, LIMITS) as file, Image.open(file, formats=["JPEG"]) as image:
            table = np.array(image.quantization[0])  # type: ignore[attr-defined]
    except InputError:
        return None
    return 1 + int(np.abs(_libjpeg_tables() - table).sum(axis=1).argmin())


@cache
def _libjpeg_tables() -> NDArray[np.int64]:
    """(100, 64) luminance tables of the qualities 1..100, by writing a picture at each."""
    from PIL import Image

    tables = []
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            tables.append(image.quantization[0])  # type: ignore[attr-defined]
    return np.array(tables, np.int64)


def regression() -> Any:
    """An unfitted logistic regression with a ridge on standardised facts; facts without variance say nothing."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _scored(part: Part, score: Floats, mark: type[SplitT], unit: Unit) -> Scores[SplitT]:
    rows = part.rows()
    if unit == "frame":
        return scores_of(part.manifest, part.crops.row, score[np.searchsorted(rows, part.crops.row)], mark)
    return scores_of(part.manifest, rows, score, mark)

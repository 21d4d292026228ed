"""Synthetic faces and forgeries made on the spot, for demos, tutorials and tests.

Nobody is shown: `data/portrait/` draws every face from random numbers. Everything made here is to be called synthetic,
and a figure reached on it says that the code works, not how a detector does on photographs. The shipped face finder
sees all of 300 such faces, at 128 and at 256 px, with a mean score of 0.93; its eyes lie within a tenth of the eyes'
distance of ours, its nose tip and mouth corners within a seventh (medians).

A draw is a function of its seeds alone: `synthetic_face(7)` is the same picture in every process.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import DataError, nearest
from verisight.data.faces import Face, similarity
from verisight.data.manifest import strict_split
from verisight.data.portrait.paint import paint
from verisight.data.portrait.person import Person, Shot, shape
from verisight.data.portrait.view import View
from verisight.data.quality import Picture

Kind = Literal["blend", "swap", "upsample"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SPLIT_SHARES = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class SyntheticFace:
    """A drawn face and where its parts are, in pixels of the picture; integers are pixel centres.

    picture : (S, S, 3) uint8 RGB.
    landmarks5 : (5, 2) float32 x, y of the eyes (left and right in the picture), nose tip and mouth corners.
    landmarks68 : (68, 2) float32 in iBUG order: 0-16 jaw, left to right in the picture; 17-21, 22-26 brows; 27-35 nose;
        36-41, 42-47 eyes; 48-67 mouth.
    box : x, y, width, height, from the forehead to the chin, as a face finder would draw it.
    """

    picture: Picture
    landmarks5: NDArray[np.float32]
    landmarks68: NDArray[np.float32]
    box: tuple[float, float, float, float]

    @property
    def face(self) -> Face:
        """What a perfect finder would say."""
        return Face(self.box, 1.0, self.landmarks5)


class Planted(NamedTuple):
    """A forgery. mask : (S, S) float32 0..1, what was changed and how much; where it is 0 no pixel differs."""

    picture: Picture
    mask: NDArray[np.float32]


def synthetic_face(seed: int, size: int = 256, *, shot: int = 0) -> SyntheticFace:
    """A face that nobody has.

    seed : the person. size : side of the picture in pixels, at least 48. shot : the occasion: pose, expression, light,
        background and sensor noise differ, the person stays.
    """
    person, occasion = _drawn(seed, shot)
    return _render(person, occasion, size, (seed, shot, 0))


def synthetic_clip(seed: int, frames: int = 24, size: int = 256, *, shot: int = 0) -> list[SyntheticFace]:
    """The person `seed` turning, blinking and speaking through one shot; noise is new in every frame.

    `write_h264((f.picture for f in clip), path, crf=18)` makes a file of it.
    """
    person, occasion = _drawn(seed, shot)
    rng = np.random.default_rng((seed, shot, 3))
    phase, speed = (
        rng.uniform(0, 2 * np.pi, 4),
        rng.uniform(0.7, 1.3, 4) * 2 * np.pi / 48,
    )  # about two seconds at 24 fps
    blink = int(rng.integers(8, 40))
    clip = []
    for i in range(frames):
        wave = np.sin(phase + speed * i * [1, 1, 1, 4])
        moved = replace(
            occasion,
            yaw=occasion.yaw + 0.10 * wave[0],
            pitch=occasion.pitch + 0.05 * wave[1],
            roll=occasion.roll + 0.04 * wave[2],
            open=max(0.0, 0.10 * wave[3]),
            lids=occasion.lids * (0.25 if (i - blink) % 60 < 3 else 1.0),
        )
        clip.append(_render(person, moved, size, (seed, shot, i)))
    return clip


def plant(face: SyntheticFace, kind: Kind, rng: np.random.Generator, donor: SyntheticFace | None = None) -> Planted:
    """A forgery of a face.

    kind : `blend`, another version of the face itself, changed in colour and sharpness and slightly moved, behind a
        soft seam; `swap`, the inner face of `donor` warped onto this one by the landmarks, the step in colour mostly
        taken away; `upsample`, the face as the upsampling layers of a generator leave it: half the resolution and a
        periodic pattern of two pixels.
    donor : of a swap; by default a person drawn from `rng`.

    Raises
    ------
    DataError : an unknown kind.
    """
    if kind not in KINDS:
        raise DataError(kind, "no such kind of synthetic forgery", nearest(kind, KINDS))
    hull = (
        np.concatenate([face.landmarks68, _forehead(face.landmarks68)]) if kind == "upsample" else face.landmarks68[17:]
    )
    mask = _soft_hull(hull, face, rng)
    if kind == "blend":
        source = _another_version(face, rng)
    elif kind == "swap":
        donor = donor or synthetic_face(int(rng.integers(2**40, 2**41)), len(face.picture))
        source = _warped(donor, face, mask)
    else:
        source = _upsampled(face.picture.astype(np.float32), rng)
    pixels = face.picture + mask[..., None] * (source - face.picture)
    return Planted(np.asarray(np.clip(np.round(pixels), 0, 255), dtype=np.uint8), mask)


def synthetic_folder(
    out: str | Path,
    identities: int,
    per_identity: int,
    kinds: Sequence[Kind] = KINDS,
    seed: int = 0,
    *,
    size: int = 256,
    jpeg_quality: int | None = None,
) -> Path:
    """A data set of synthetic people, read by `layout=folder` and, with people and pairs, by `layout=pack`.

    `real/train/person000/00.png` is a shot, `fake/train/person000/00-swap.png` the forgery planted in the same shot;
    kinds take turns. A person stands in one split (60, 20, 20 % of the people), and every donor is somebody else who is
    seen nowhere else. `index.csv` says subject, donor, pair and generator.

    identities : at least 3. kinds : may be empty: then no fakes. jpeg_quality : write JPEG at this quality; None: PNG.

    Returns `out`.
    """
    out = Path(out)
    people = [f"person{i:03d}" for i in range(identities)]
    homes = strict_split([[p] for p in people], SPLIT_SHARES, seed)
    splits = {person: str(home) for person, home in zip(people, homes, strict=True)}
    rows = list[dict[str, str | int]]()
    for i, person in enumerate(people):
        for shot in range(per_identity):
            number = i * per_identity + shot
            face = synthetic_face(_address(seed, i), size, shot=shot)
            place, suffix = f"{splits[person]}/{person}/{shot:02d}", "png" if jpeg_quality is None else "jpg"
            facts = {"split": splits[person], "group": person, "subject": person, "pair": f"{person}/{shot:02d}"}
            rows.append(
                {"path": f"real/{place}.{suffix}", "label": 0, "generator": "real", "source": "synthetic", **facts}
            )
            _write(out / str(rows[-1]["path"]), face.picture, jpeg_quality)
            if not kinds:
                continue
            kind = kinds[number % len(kinds)]
            donor = synthetic_face(_address(seed, identities + number), size, shot=shot) if kind == "swap" else None
            forged = plant(face, kind, np.random.default_rng((seed, number, 5)), donor).picture
            rows.append(
                {"path": f"fake/{place}-{kind}.{suffix}", "label": 1, "generator": f"synthetic-{kind}", **facts}
            )
            rows[-1]["donor"] = f"person{identities + number:03d}" if donor else ""
            _write(out / str(rows[-1]["path"]), forged, jpeg_quality)
    names = ("path", "label", "split", "group", "subject", "donor", "pair", "generator", "source")
    with open(out / "index.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return out


def blended_forgery(picture: Picture, face: Face) -> Picture:
    """The picture with another version of its own face blended in.

    The inner face is mirrored, shrunk to two fifths and enlarged again, shifted in colour, and blended over a soft
    ellipse in the face box: the traces of a face swap (soft inner face, seam, colour step) without a second person.

    picture : (H, W, 3) uint8 RGB. face : of that picture.
    """
    x, y, w, h = (round(v) for v in face.box)
    height, width = picture.shape[:2]
    left, top, right, bottom = max(0, x), max(0, y), min(width, x + w), min(height, y + h)
    inner = picture[top:bottom, left:right]
    size = (inner.shape[1], inner.shape[0])
    small = cv2.resize(
        inner[:, ::-1], (max(2, size[0] * 2 // 5), max(2, size[1] * 2 // 5)), interpolation=cv2.INTER_AREA
    )
    other = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    other = np.clip(other * np.array([1.06, 0.98, 0.92], np.float32) + 4, 0, 255)

    mask = np.zeros(inner.shape[:2], np.float32)
    cv2.ellipse(mask, (size[0] // 2, size[1] * 11 // 20), (size[0] * 2 // 5, size[1] * 2 // 5), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), max(1.0, size[0] / 25))[..., None]
    forged = picture.copy()
    forged[top:bottom, left:right] = np.round(inner * (1 - mask) + other * mask).astype(np.uint8)
    return forged


def _address(seed: int, person: int) -> int:
    """The seed of the i-th person of a data set: no two data sets with small seeds share a person."""
    return seed * 2**20 + person


def _drawn(seed: int, shot: int) -> tuple[Person, Shot]:
    return Person.draw(np.random.default_rng((seed, 1))), Shot.draw(np.random.default_rng((seed, shot, 2)))


def _render(person: Person, occasion: Shot, size: int, address: tuple[int, int, int]) -> SyntheticFace:
    """address : person, shot and frame; the frame alone moves the sensor's noise."""
    points = shape(person, occasion)
    picture = paint(
        person, occasion, points, size, np.random.default_rng((*address[:2], 4)), np.random.default_rng((*address, 6))
    )
    at = View(occasion, size).pixels(points).astype(np.float32)
    eyes = [at[36:42].mean(0), at[42:48].mean(0)]
    outline = np.concatenate([at[:17], _forehead(at)])
    (left, top), (right, bottom) = outline.min(0), outline.max(0)
    return SyntheticFace(
        picture=picture,
        landmarks5=np.stack([*eyes, at[30], at[48], at[54]]),
        landmarks68=at,
        box=(float(left), float(top), float(right - left), float(bottom - top)),
    )


def _forehead(landmarks68: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, 2) points over the brows, as far above them as the brows are from the nose tip."""
    up = landmarks68[27] - landmarks68[30]
    return np.stack([landmarks68[19] + 0.9 * up, landmarks68[24] + 0.9 * up])


def _soft_hull(points: NDArray[np.float32], face: SyntheticFace, rng: np.random.Generator) -> NDArray[np.float32]:
    """(S, S) 0..1: the convex hull of points, grown by a twentieth of the face and softened by 1 to 4 hundredths."""
    side = max(face.box[2:])
    hull = cv2.convexHull(np.round(points * 16).astype(np.int32))
    mask = np.zeros(face.picture.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, hull, 255, cv2.LINE_AA, 4)
    grown = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(side / 20) + 1,) * 2))
    soft = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), side * rng.uniform(0.01, 0.04))
    return np.asarray(np.clip(soft / 255, 0, 1), dtype=np.float32)


def _another_version(face: SyntheticFace, rng: np.random.Generator) -> NDArray[np.float32]:
    """The picture moved by up to 2 % of the face, shrunk and enlarged again, and shifted in colour."""
    height, width = face.picture.shape[:2]
    factor = rng.uniform(0.4, 0.7)
    small = cv2.resize(face.picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    other = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    shift = rng.uniform(-0.02, 0.02, 2) * max(face.box[2:])
    matrix = np.column_stack([np.eye(2) * rng.uniform(0.98, 1.02), shift])
    other = cv2.warpAffine(other, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(other * rng.uniform(0.9, 1.1, 3) + rng.uniform(-8, 8, 3), dtype=np.float32)


def _warped(donor: SyntheticFace, face: SyntheticFace, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """The donor laid over the face by the similarity between their inner points, its colours moved most of the way."""
    matrix = similarity(donor.landmarks68[17:].astype(np.float64), face.landmarks68[17:].astype(np.float64))
    size = (face.picture.shape[1], face.picture.shape[0])
    laid = cv2.warpAffine(donor.picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    inside = mask > 0.5
    step = face.picture[inside].mean(0) - laid[inside].mean(0)
    return np.asarray(laid + 0.7 * step, dtype=np.float32)


def _upsampled(picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Half the resolution, brought back by a transposed convolution whose four phases have unequal gains.

    What a stride of two with an odd kernel does (Odena, Dumoulin, Olah, Distill 2016): peaks at half the sampling rate.
    """
    height, width = picture.shape[:2]
    small = cv2.resize(picture, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    gain = rng.permutation([1.035, 1.0, 0.995, 0.97]).reshape(2, 2, 1)
    return np.asarray(large * np.tile(gain, (-(-height // 2), -(-width // 2), 1))[:height, :width], dtype=np.float32)


def _write(path: Path, picture: Picture, jpeg_quality: int | None) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    if jpeg_quality is None:
        Image.fromarray(picture).save(path)
    else:
        Image.fromarray(picture).save(path, quality=jpeg_quality)

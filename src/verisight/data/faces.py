"""Faces: finding them, and cutting them out the same way in training and in scanning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.core.places import WEIGHTS
from verisight.core.preprocess import Preprocess
from verisight.core.runtime import onnx_session
from verisight.data.quality import Picture, jpeg


@dataclass(frozen=True)
class Face:
    """A found face, in pixels of the picture.

    box : x, y, width, height; may reach over the border.
    score : the finder's confidence, 0..1.
    landmarks : (5, 2) float32 x, y of the eyes (left and right in the picture), nose tip and mouth corners;
        None from a finder that gives none.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: NDArray[np.float32] | None = None

    @property
    def size_px(self) -> float:
        """Longer side of the box."""
        return max(self.box[2], self.box[3])


FaceFinder = Callable[[Picture], list[Face]]  # best face first


class YuNet:
    """The shipped face finder: box, score and five landmarks (Wu, Peng, Yu 2023), through ONNX Runtime.

    Parameters
    ----------
    long_side : the picture is shrunk so that its longer side is at most this many pixels, a multiple of 32.
    min_score : faces below it are dropped.
    max_iou : of two boxes that overlap more, the better one stays.
    """

    STRIDES = (8, 16, 32)

    def __init__(self, long_side: int = 640, min_score: float = 0.6, max_iou: float = 0.3) -> None:
        self.long_side, self.min_score, self.max_iou = long_side, min_score, max_iou
        # One picture a call and one thread a call, called from as many threads as there are cores: 148 pictures of
        # 640 x 640 a second on two cores. Two threads in one caller: 120; in two callers: 144. Two to eight pictures a
        # call, which the network would take, are slower in all of these (128 to 96): a picture fills the cache alone.
        self._session = onnx_session(WEIGHTS / "yunet.onnx", threads=1)

    def __call__(self, picture: Picture) -> list[Face]:
        """Faces of an RGB picture (H, W, 3) uint8, best first."""
        height, width = picture.shape[:2]
        scale = min(1.0, self.long_side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        padded = np.zeros((-(-size[1] // 32) * 32, -(-size[0] // 32) * 32, 3), np.uint8)
        padded[: size[1], : size[0]] = small
        names = [f"{kind}_{s}" for s in self.STRIDES for kind in ("cls", "obj", "bbox", "kps")]
        values = self._session.run(names, {"input": cv2.dnn.blobFromImage(padded, swapRB=True)})  # BGR, 0..255
        outputs = dict(zip(names, values, strict=True))
        found = [self._decode(outputs, stride, padded.shape[1] // stride) for stride in self.STRIDES]
        score, box, points = (np.concatenate(parts) for parts in zip(*found, strict=True))
        scales = np.array([width / size[0], height / size[1]], np.float32)
        keep = cv2.dnn.NMSBoxes(box.tolist(), score.tolist(), self.min_score, self.max_iou)
        order = sorted(np.asarray(keep, dtype=int).reshape(-1), key=lambda i: -score[i])
        return [
            Face(
                box=tuple((box[i].reshape(2, 2) * scales).reshape(4).tolist()),
                score=float(score[i]),
                landmarks=points[i] * scales,
            )
            for i in order
        ]

    def _decode(
        self, outputs: dict[str, NDArray[np.float32]], stride: int, columns: int
    ) -> tuple[NDArray[np.float32], ...]:
        """Scores (M,), boxes (M, 4) and landmarks (M, 5, 2) of the cells of one stride that pass `min_score`."""
        objectness = np.clip(outputs[f"cls_{stride}"][0, :, 0], 0, 1) * np.clip(outputs[f"obj_{stride}"][0, :, 0], 0, 1)
        score = np.sqrt(objectness)
        cells = np.flatnonzero(score >= self.min_score)
        corner = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
        raw = outputs[f"bbox_{stride}"][0, cells]
        size = np.exp(raw[:, 2:]) * stride
        centre = (corner + raw[:, :2]) * stride
        points = (corner[:, None] + outputs[f"kps_{stride}"][0, cells].reshape(-1, 5, 2)) * stride
        return score[cells], np.concatenate([centre - size / 2, size], axis=1), points


def judgeable(face: Face, preprocess: Preprocess) -> bool:
    """Whether a face is sure and large enough: the same for training and scanning."""
    return face.score >= preprocess.min_face_score and face.size_px >= preprocess.min_face_px


def crop_face(picture: Picture, face: Face, preprocess: Preprocess) -> Picture:
    """The square crop of a face, (S, S, 3) uint8 with S = `preprocess.size`.

    The square has `margin` times the longer box side, is moved and then shrunk to lie inside the picture, and is
    resized by area averaging when it shrinks and bicubically when it grows. With `align` the five landmarks are
    first mapped onto the template by the least-squares similarity.
    """
    if preprocess.align and face.landmarks is not None:
        return finish(_aligned(picture, face.landmarks, preprocess), preprocess)
    left, top, side = square_of(face, (picture.shape[1], picture.shape[0]), preprocess)
    return finish(picture[top : top + side, left : left + side], preprocess)


def square_of(face: Face, size: tuple[int, int], preprocess: Preprocess) -> tuple[int, int, int]:
    """Left, top and side in pixels of the square that is cut from a picture of the size (width, height)."""
    width, height = size
    x, y, w, h = face.box
    side = max(1, min(round(face.size_px * preprocess.margin), height, width))
    left = int(np.clip(round(x + w / 2 - side / 2), 0, width - side))
    return left, int(np.clip(round(y + h / 2 - side / 2), 0, height - side)), side


def box_in_crop(face: Face, size: tuple[int, int], preprocess: Preprocess) -> tuple[float, float, float, float]:
    """The face's box in pixels of its crop, as `crop_face` cuts it without `align`; it may reach over the border.

    size : width and height of the picture.
    """
    left, top, side = square_of(face, size, preprocess)
    zoom = preprocess.size / side
    x, y, w, h = face.box
    return (x - left) * zoom, (y - top) * zoom, w * zoom, h * zoom


def finish(crop: Picture, preprocess: Preprocess) -> Picture:
    """The last two steps of every crop, found or given: resize to (S, S), then the common JPEG encoding."""
    size = preprocess.size
    if crop.shape[:2] != (size, size):
        shrinks = min(crop.shape[:2]) > size
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.ascontiguousarray(crop if preprocess.jpeg_quality is None else jpeg(crop, preprocess.jpeg_quality))


# The 112 px template of face recognition (eyes, nose tip, mouth corners); a face box spans about 3/4 of it.
_TEMPLATE = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]], np.float64)
_TEMPLATE_BOX_PX = 84.0


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """The 2 x 3 similarity (rotation, scale, shift) that maps points (N, 2) onto points with least squares.

    Umeyama, "Least-squares estimation of transformation parameters", PAMI 1991.
    """
    centre_s, centre_t = source.mean(axis=0), target.mean(axis=0)
    s, t = source - centre_s, target - centre_t
    u, d, vt = np.linalg.svd(t.T @ s / len(source))
    flip = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(flip) @ vt
    scale = float((d * flip).sum() / s.var(axis=0).sum())
    return np.column_stack([scale * rotation, centre_t - scale * rotation @ centre_s])


def _aligned(picture: Picture, landmarks: NDArray[np.float32], preprocess: Preprocess) -> Picture:
    zoom = preprocess.size / (_TEMPLATE_BOX_PX * preprocess.margin)
    target = (_TEMPLATE - _TEMPLATE.mean(axis=0)) * zoom + preprocess.size / 2
    matrix = similarity(landmarks.astype(np.float64), target)
    size = (preprocess.size, preprocess.size)
    warped = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


def face_finder(name: str = "yunet") -> FaceFinder:
    """A finder of the catalogue, ready to call."""
    from verisight.core import catalogue

    finder: FaceFinder = catalogue.find(name, "finder").load()()
    return finder

"""Where points come to lie in the picture, and masks drawn there."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from verisight.data.portrait.person import Points, Shot, depth

Field = NDArray[np.float32]  # (S, S) or (S, S, 3)


class View:
    """The camera: an orthographic view of the face, turned by yaw and pitch, then rolled, scaled and shifted."""

    def __init__(self, shot: Shot, size: int) -> None:
        self.shot, self.size = shot, size
        self.unit = shot.scale * size  # pixels per half face width
        c, s = np.cos(shot.roll), np.sin(shot.roll)
        self.turn = np.array([[c, -s], [s, c]])
        self.centre = (0.5 + np.asarray(shot.shift)) * size - 0.5
        y, x = np.mgrid[0:size, 0:size].astype(np.float32)
        u = np.stack([x - self.centre[0], y - self.centre[1]], axis=-1) @ self.turn / self.unit
        self.u, self.v = u[..., 0].astype(np.float32), u[..., 1].astype(np.float32)  # the picture in the face's units

    def flat(self, points: Points) -> Points:
        """(N, 3) or, on the head's surface, (N, 2) -> (N, 2) after yaw and pitch, still in the face's units."""
        x, y = points[:, 0], points[:, 1]
        z = points[:, 2] if points.shape[1] == 3 else depth(points)
        x, z = (
            np.cos(self.shot.yaw) * x + np.sin(self.shot.yaw) * z,
            np.cos(self.shot.yaw) * z - np.sin(self.shot.yaw) * x,
        )
        return np.column_stack([x, np.cos(self.shot.pitch) * y + np.sin(self.shot.pitch) * z])

    def pixels(self, points: Points) -> Points:
        """(N, 3) or (N, 2) -> (N, 2) x, y in pixels; integers are pixel centres."""
        return np.asarray(self.flat(points) @ self.turn.T * self.unit + self.centre)

    def fill(self, points: Points, soft: float = 0.0) -> Field:
        """(S, S) 0..1: a polygon given as for `pixels`, its edge smoothed over `soft` face units."""
        return self._drawn(self.pixels(points), soft, 0)

    def stroke(self, points: Points, width: float, soft: float) -> Field:
        """(S, S) 0..1: a line of this width in face units."""
        return self._drawn(self.pixels(points), soft, max(1, round(width * self.unit)))

    def spot(self, point: Points, sx: float, sy: float) -> Field:
        """(S, S) 0..1: a Gaussian bump around a (2,) or (3,) point, its deviations in face units; 0 beyond four."""
        x, y = self.flat(point[None])[0]
        here = self._window(self.pixels(point[None]), 4 * max(sx, sy) * self.unit)
        bump: Field = np.zeros((self.size, self.size), np.float32)
        bump[here] = np.exp(-((self.u[here] - x) ** 2) / (2 * sx**2) - (self.v[here] - y) ** 2 / (2 * sy**2))
        return bump

    def _drawn(self, at: Points, soft: float, width: int) -> Field:
        """A filled polygon (width 0) or a line through pixels (N, 2), with smooth edges."""
        here = self._window(at, 4 * soft * self.unit + width + 2)
        mask = np.zeros((self.size, self.size), np.float32)
        part = np.zeros(mask[here].shape, np.uint8)
        if not part.size:
            return mask
        corners = [np.round((at - [here[1].start, here[0].start]) * 256).astype(np.int32)]
        if width:
            cv2.polylines(part, corners, False, 255, width, cv2.LINE_AA, 8)
        else:
            cv2.fillPoly(part, corners, 255, cv2.LINE_AA, 8)
        mask[here] = self.smooth(part.astype(np.float32) / np.float32(255), soft)
        return mask

    def _window(self, at: Points, margin: float) -> tuple[slice, slice]:
        """Rows and columns of the picture that hold the points and a margin around them."""
        low, high = np.floor(at.min(0) - margin).astype(int), np.ceil(at.max(0) + margin).astype(int) + 1
        (left, top), (right, bottom) = np.clip(low, 0, self.size), np.clip(high, 0, self.size)
        return slice(top, bottom), slice(left, right)

    def smooth(self, field: Field, soft: float) -> Field:
        sigma = soft * self.unit
        return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma)) if sigma > 0.25 else field

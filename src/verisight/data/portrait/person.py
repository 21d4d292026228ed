"""Who is shown, how on this occasion, and where the 68 points of the face then lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (N, 2) or (N, 3)

_SKINS = np.array([[0.96, 0.80, 0.71], [0.90, 0.70, 0.58], [0.78, 0.57, 0.43], [0.58, 0.39, 0.28], [0.38, 0.25, 0.18]])
_HAIRS = np.array([[0.06, 0.05, 0.05], [0.16, 0.10, 0.07], [0.30, 0.19, 0.12], [0.62, 0.48, 0.28], [0.55, 0.54, 0.53]])
_IRISES = np.array([[0.20, 0.12, 0.07], [0.32, 0.22, 0.12], [0.28, 0.36, 0.26], [0.33, 0.44, 0.55]])


@dataclass(frozen=True)
class Person:
    """What stays with a person. Lengths in half face widths, colours in RGB 0..1."""

    skin: Points
    hair: Points
    iris: Points
    chin: float  # y of the chin
    square: float  # exponent of the jaw's ellipse
    eyes: tuple[float, float, float]  # distance from the middle, half width, half height
    nose: tuple[float, float]  # y of the tip, half width
    mouth: tuple[float, float, float]  # y, half width, thickness of a lip
    brows: tuple[float, float, float]  # height over the eyes, thickness, fall to the outside
    hairline: float  # y of the hairline above the nose
    volume: float  # how far the hair stands off the head
    length: float  # y where the hair ends
    beard: float  # 0 .. 1

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Person:
        """A person at random."""
        u = rng.uniform
        at = u(0, len(_SKINS) - 1)
        skin = np.array([np.interp(at, range(len(_SKINS)), _SKINS[:, c]) for c in range(3)]) * u(0.96, 1.04, 3)
        hairs = _HAIRS[:2] if at > 2.5 else _HAIRS
        return cls(
            skin=skin,
            hair=hairs[rng.integers(len(hairs))] * u(0.8, 1.25),
            iris=_IRISES[rng.integers(1 if at > 2.5 else len(_IRISES))],
            chin=u(1.32, 1.52),
            square=u(1.95, 2.45),
            eyes=(u(0.40, 0.46), u(0.17, 0.21), u(0.065, 0.09)),
            nose=(u(0.44, 0.54), u(0.17, 0.25)),
            mouth=(u(0.88, 0.96), u(0.30, 0.40), u(0.055, 0.10)),
            brows=(u(0.22, 0.31), u(0.035, 0.07), u(-0.02, 0.08)),
            hairline=u(-1.08, -0.78),
            volume=u(0.06, 0.24),
            length=u(0.9, 2.2) if rng.random() < 0.45 else u(-0.1, 0.25),
            beard=u(0.3, 0.8) if rng.random() < 0.25 else 0.0,
        )


@dataclass(frozen=True)
class Shot:
    """What changes from picture to picture. Angles in radians, lengths in half face widths."""

    yaw: float
    pitch: float
    roll: float
    smile: float  # 0 .. 1
    open: float  # of the mouth
    lids: float  # 1 = eyes open, 0 = shut
    scale: float  # half face width in shares of the picture's side
    shift: tuple[float, float]  # of the point between the eyes from the picture's middle, in shares of its side
    lamp: tuple[float, float, float]
    ambient: float
    tint: Points
    backdrop: Points  # (3, 3): two ends of a gradient and the colour of its spots
    cloth: Points
    noise: float  # standard deviation of the sensor's noise, in levels of 255

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Shot:
        """An occasion at random."""
        u = rng.uniform
        return cls(
            yaw=u(-0.32, 0.32),
            pitch=u(-0.12, 0.14),
            roll=u(-0.16, 0.16),
            smile=u(0, 1),
            open=max(0.0, u(-0.12, 0.12)),
            lids=u(0.8, 1.1),
            scale=u(0.225, 0.29),
            shift=(u(-0.05, 0.05), u(-0.06, 0.02)),
            lamp=(u(-0.8, 0.8), u(-0.9, -0.1), u(0.7, 1.2)),
            ambient=u(0.36, 0.55),
            tint=u(0.93, 1.05, 3),
            backdrop=u(0.15, 0.85) + u(-0.08, 0.08, (3, 3)) + u(-0.12, 0.12, (3, 1)),
            cloth=np.clip(u(0.08, 0.7) + u(-0.15, 0.15, 3), 0.04, 0.8),
            noise=u(2.0, 4.5),
        )


def shape(person: Person, shot: Shot) -> Points:
    """(68, 3) points of the face, not yet turned, in iBUG order."""
    angle = np.linspace(0, np.pi, 17)
    jaw = np.column_stack([-_power(np.cos(angle), person.square), person.chin * _power(np.sin(angle), person.square)])
    up, _, fall = person.brows
    t = np.linspace(-1, 1, 5)
    brow = np.column_stack([-person.eyes[0] - 0.02 + 0.29 * t, -up - 0.05 * (1 - t**2) + fall * (1 - t) / 2])
    tip, wing = person.nose
    bridge = np.column_stack([np.zeros(4), np.linspace(0.04, tip, 4)])
    nostrils = np.column_stack([wing * np.linspace(-1, 1, 5), tip + np.array([0.09, 0.12, 0.145, 0.12, 0.09])])
    mid, half, high = person.eyes
    high *= shot.lids
    eye = np.array([[-1, 0.0], [-0.38, -1], [0.34, -0.95], [1, 0.12], [0.36, 0.75], [-0.36, 0.85]]) * [half, high]
    left = eye - [mid, 0]
    points = np.concatenate(
        [jaw, brow, _mirror(brow)[::-1], bridge, nostrils, left, _mirror(left)[_EYE], _lips(person, shot)]
    )
    z = depth(points)
    z[:17] = 0  # the jaw is the outline of the head
    z[27:31] += [0.02, 0.10, 0.20, 0.30]
    z[31:36] += [0.08, 0.14, 0.18, 0.14, 0.08]
    z[48:] += 0.06
    return np.column_stack([points, z])


_EYE = [3, 2, 1, 0, 5, 4]  # the right eye runs from its inner corner over the upper lid, the left one from its outer


def _lips(person: Person, shot: Shot) -> Points:
    y, half, thick = person.mouth
    half = half * (1 + 0.16 * shot.smile)
    corner = -0.07 * shot.smile
    gap = shot.open
    x = half * np.array([-1, -0.6, -0.22, 0, 0.22, 0.6, 1])
    top = np.array(
        [corner, corner / 2 - 0.75 * thick, -1.2 * thick, -thick, -1.2 * thick, corner / 2 - 0.75 * thick, corner]
    )
    low = np.array([corner / 3 + thick + gap * 0.8, 1.35 * thick + gap, 1.45 * thick + gap])
    outer = np.column_stack([[*x, *x[5:0:-1]], y + np.array([*top, low[0], low[1], low[2], low[1], low[0]])])
    inner_x = half * np.array([-0.86, -0.25, 0, 0.25, 0.86, 0.25, 0, -0.25])
    inner_y = y + np.array([corner * 0.9, 0, 0.012, 0, corner * 0.9, 0.012 + gap, 0.018 + gap, 0.012 + gap])
    return np.concatenate([outer, np.column_stack([inner_x, inner_y])])


def depth(points: Points) -> Points:
    """(N,) z of the head's ellipsoid over x and y."""
    inside = 1 - (points[:, 0] / 1.1) ** 2 - ((points[:, 1] - 0.05) / 1.7) ** 2
    return np.asarray(0.85 * np.sqrt(np.maximum(inside, 0)))


def _power(values: Points, exponent: float) -> Points:
    """A coordinate of the superellipse."""
    return np.asarray(np.sign(values) * np.abs(values) ** (2 / exponent))


def _mirror(points: Points) -> Points:
    return points * [-1, 1]

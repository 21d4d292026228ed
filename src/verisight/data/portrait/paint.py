"""The picture, painted from the back to the front: backdrop, hair, body, head, features, hair."""

from __future__ import annotations

import cv2
import numpy as np

from verisight.data.portrait.person import Person, Points, Shot, depth
from verisight.data.portrait.view import Field, View
from verisight.data.quality import Picture


def clouds(rng: np.random.Generator, size: int, grain: float) -> Field:
    """(S, S) smooth noise of mean 0 and deviation 1; grain : its wavelength in shares of the side."""
    coarse = max(3, round(1 / grain) + 2)
    noise = cv2.resize(
        rng.standard_normal((coarse, coarse)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-6))


def paint(
    person: Person, shot: Shot, points: Points, size: int, rng: np.random.Generator, sensor: np.random.Generator
) -> Picture:
    """The picture, (S, S, 3) uint8 RGB.

    points : (68, 3) of `shape`. rng : of all that stays while a clip runs. sensor : of the noise that does not.
    """
    view = View(shot, size)
    light, gloss = _light(view, points)
    canvas = _backdrop(view, rng)
    strands = _strands(view, rng)
    _over(canvas, _back_hair(person, view), person.hair * 0.55, strands)
    _body(canvas, person, view, points)
    skin = _skin(person, view, points, rng)
    head = view.fill(_outline(points, 1.0), 0.012)
    for side in (-1, 1):  # ears, behind the head
        lobe = np.array(
            [[side * (1.0 + 0.09 * np.cos(a)), 0.14 + 0.24 * np.sin(a), -0.1] for a in np.linspace(0, 6.2, 20)]
        )
        _over(canvas, view.fill(lobe, 0.015), skin * np.float32(0.82), light)
    red = np.stack(
        [1 + 0.15 * (1 - light), np.ones_like(light), np.ones_like(light)], axis=-1
    )  # light seeps through skin
    _over(canvas, head, skin * red, light)
    canvas += (head * gloss)[..., None]
    _features(canvas, person, view, points, light, strands)
    _over(canvas, _front_hair(person, view), person.hair, strands * (0.45 + 0.6 * light))
    canvas = cv2.GaussianBlur(canvas * shot.tint.astype(np.float32), (0, 0), max(0.3, 0.0022 * size))
    levels = 255 * np.clip(canvas, 0.01, 0.99)
    levels += np.float32(shot.noise) * sensor.standard_normal(canvas.shape, dtype=np.float32)
    return np.asarray(np.clip(np.round(levels), 0, 255), dtype=np.uint8)


def _over(canvas: Field, alpha: Field, colour: Field | Points, shade: Field | None = None) -> None:
    """Lay a colour, (3,) or (S, S, 3), times a shade (S, S), over the canvas, where alpha is not zero."""
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    if not len(rows):
        return
    here = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    paint = np.asarray(colour, np.float32)
    paint = paint[here] if paint.ndim == 3 else paint
    if shade is not None:
        paint = paint * shade[here][..., None]
    canvas[here] += alpha[here][..., None] * (paint - canvas[here])


def _light(view: View, points: Points) -> tuple[Field, Field]:
    """(S, S) diffuse light, about 1 where the lamp stands square, and the gloss to be added."""
    inside = np.maximum(1 - (view.u / 1.16) ** 2 - ((view.v - 0.05) / 1.75) ** 2, 0.02)
    height = 0.85 * np.sqrt(inside)
    for at, sx, sy, rise in (
        (points[27:29].mean(0), 0.075, 0.22, 0.10), (points[29], 0.09, 0.15, 0.10), (points[30], 0.12, 0.10, 0.13),
        (points[31], 0.06, 0.06, 0.045), (points[35], 0.06, 0.06, 0.045),
        (points[36:42].mean(0), 0.21, 0.13, -0.075), (points[42:48].mean(0), 0.21, 0.13, -0.075),
        (points[19], 0.25, 0.07, 0.035), (points[24], 0.25, 0.07, 0.035),
        (points[[36, 48]].mean(0), 0.22, 0.20, 0.05), (points[[45, 54]].mean(0), 0.22, 0.20, 0.05),
        (points[51], 0.06, 0.05, -0.02), (points[57] + [0, 0.07, 0], 0.18, 0.035, -0.03),
        (points[8] - [0, 0.17, 0], 0.17, 0.12, 0.06), (points[48], 0.05, 0.07, -0.02), (points[54], 0.05, 0.07, -0.02),
    ):  # fmt: skip
        height += rise * view.spot(at, sx, sy)
    dy, dx = np.gradient(height * view.unit)
    c, s = view.turn[0, 0], view.turn[1, 0]
    normal = np.stack([-dx, -dy, np.ones_like(dx)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    lamp = np.asarray(view.shot.lamp) / np.linalg.norm(view.shot.lamp)
    lamp = np.array([c * lamp[0] - s * lamp[1], s * lamp[0] + c * lamp[1], lamp[2]])
    half = lamp + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    diffuse = np.clip(normal @ lamp.astype(np.float32), 0, None)
    gloss = 0.10 * np.clip(normal @ half.astype(np.float32), 0, 1) ** 28
    light = view.shot.ambient + (1.08 - view.shot.ambient) * diffuse
    return view.smooth(light.astype(np.float32), 0.01), view.smooth(gloss.astype(np.float32), 0.01)


def _backdrop(view: View, rng: np.random.Generator) -> Field:
    """A gradient with soft spots and a little unevenness."""
    first, last, spot = np.clip(view.shot.backdrop, 0.04, 0.96).astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : view.size, 0 : view.size].astype(np.float32) / view.size - 0.5
    t = np.clip(0.5 + np.cos(angle) * x + np.sin(angle) * y, 0, 1)[..., None]
    canvas = first * (1 - t) + last * t
    for _ in range(int(rng.integers(0, 6))):
        disc = np.hypot(x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.5, 0.5)) / rng.uniform(0.05, 0.2)
        _over(
            canvas, (rng.uniform(0.2, 0.7) / (1 + np.exp(np.clip(14 * (disc - 1), -30, 30)))).astype(np.float32), spot
        )
    return np.asarray(canvas * (1 + 0.03 * clouds(rng, view.size, 0.15)[..., None]), dtype=np.float32)


def _skin(person: Person, view: View, points: Points, rng: np.random.Generator) -> Field:
    """(S, S, 3) colour of the skin before light: blotches, pores, warm cheeks and nose, a shaven or bearded chin."""
    blotch = 0.025 * clouds(rng, view.size, 0.12) + 0.012 * clouds(rng, view.size, 0.03)
    pores = view.smooth(rng.standard_normal(view.u.shape, dtype=np.float32), 0.012)
    grain = 1 + blotch + 0.012 * pores / (pores.std() + 1e-6)
    warm = sum(view.spot(points[at].mean(0), s, s) for at, s in (([36, 48], 0.2), ([45, 54], 0.2), ([30, 33], 0.12)))
    colour: Field = person.skin.astype(np.float32) * grain[..., None]
    colour *= 1 + np.asarray(warm)[..., None] * np.array([0.03, -0.06, -0.05], np.float32)
    if person.beard:
        low = np.concatenate([points[1:16, :2] * 0.99, [[0.62, 0.75], [0, 0.68], [-0.62, 0.75]]])
        stubble = (
            view.fill(low, 0.07) * person.beard * (0.8 + 0.12 * rng.standard_normal(view.u.shape, dtype=np.float32))
        )
        _over(colour, np.clip(stubble, 0, 0.9), person.hair * 0.9 + 0.06)
    return colour


def _body(canvas: Field, person: Person, view: View, points: Points) -> None:
    """Neck and shoulders, the neck in the shadow of the chin."""
    low = points[8, 1]
    neck = np.array(
        [
            [-0.62, 0.8, 0],
            [0.62, 0.8, 0],
            [0.66, low + 0.5, 0],
            [1.0, low + 1.2, 0],
            [-1.0, low + 1.2, 0],
            [-0.66, low + 0.5, 0],
        ]
    )
    shade = 0.55 + 0.2 * np.clip((view.v - low) * 1.6, 0, 1)
    _over(canvas, view.fill(neck, 0.03), person.skin, shade)
    x = np.linspace(-3.2, 3.2, 30)
    collar = low + 0.42 + 0.16 * np.abs(x) ** 1.5 - 0.25 * np.exp(-((np.abs(x) - 0.8) ** 2) / 0.05) * 0.6
    shirt = np.column_stack([[*x, 3.2, -3.2], [*collar, 6, 6], np.zeros(32)])
    folds = 0.85 + 0.15 * np.sin(view.u * 5 + view.v * 2)
    _over(canvas, view.fill(shirt, 0.02), view.shot.cloth, folds)


def _outline(points: Points, grow: float) -> Points:
    """(N, 3) outline of the head: the jaw, closed over the skull."""
    angle = np.linspace(0, np.pi, 24)[1:-1]
    skull = np.column_stack([np.cos(angle), -1.36 * np.sin(angle) ** 0.85, np.zeros(22)])
    jaw = np.column_stack([points[:17, :2], np.zeros(17)])
    return np.concatenate([jaw, skull]) * [grow, grow, 1]


def _features(canvas: Field, person: Person, view: View, points: Points, light: Field, strands: Field) -> None:
    """Eyes, brows, nostrils, folds and mouth."""
    dark = person.skin * [0.42, 0.30, 0.28]
    lit = 0.35 + 0.65 * light
    for ring, nose_side in ((points[36:42], 3), (points[42:48], 0)):
        _eye(canvas, person, view, ring, nose_side, dark, lit)
    for brow in (points[17:22], points[22:27]):
        thick = person.brows[1] * np.array([0.5, 0.9, 1.0, 1.0, 0.8])[:: 1 if brow[0, 0] < 0 else -1]
        band = np.concatenate([brow - np.outer(thick, [0, 1, 0]), (brow + np.outer(thick, [0, 1, 0]))[::-1]])
        _over(canvas, view.fill(band, 0.022) * 0.85, person.hair * 0.7, strands * lit)
    for at, sx in ((32, 0.045), (34, 0.045)):
        _over(canvas, 0.75 * view.spot(points[at] - [0, 0.012, 0], sx, 0.024), dark * 0.45)
    wings = [points[[31]] + [[-0.03, -0.12, 0], [-0.05, -0.03, 0], [0.0, 0.03, 0]]]
    wings += [points[[35]] + [[0.03, -0.12, 0], [0.05, -0.03, 0], [0.0, 0.03, 0]]]
    for wing in wings:
        _over(canvas, 0.35 * view.stroke(wing, 0.03, 0.03), dark)
    for side, wing_at, corner in ((-1, 31, 48), (1, 35, 54)):
        fold = np.array([points[wing_at] + [side * 0.05, -0.06, 0], points[corner] + [side * 0.06, -0.12, 0]])
        _over(canvas, (0.10 + 0.14 * view.shot.smile) * view.stroke(fold, 0.03, 0.04), dark)
    _mouth(canvas, person, view, points, dark, lit)


def _eye(canvas: Field, person: Person, view: View, ring: Points, inner: int, dark: Points, lit: Field) -> None:
    """ring : (6, 3) from one corner over the upper lid and back below. inner : which of them lies at the nose."""
    centre = ring.mean(0)
    half = np.ptp(ring[:, 0]) / 2
    curve = _closed_curve(ring)
    opening = view.fill(curve, 0.006)
    _over(canvas, 0.30 * view.spot(centre - [0, 0.04, 0], half * 1.0, half * 0.62), dark)
    _over(canvas, opening, np.array([0.90, 0.87, 0.85]), 0.25 + 0.72 * lit)
    ball = centre - [0, 0.006, 0]
    distance = np.hypot(*(axis - at for axis, at in zip((view.u, view.v), view.flat(ball[None])[0], strict=True)))
    radius, pixel = 0.5 * half, 1 / view.unit
    iris = opening * np.clip((radius - distance) / pixel + 0.5, 0, 1)
    rim = np.clip(distance / radius, 0, 1) ** 4
    _over(canvas, iris, person.iris, (1.25 - 0.8 * rim) * lit)
    _over(canvas, opening * np.clip((0.45 * radius - distance) / pixel + 0.5, 0, 1), np.full(3, 0.02))
    _over(canvas, 0.35 * opening * view.stroke(curve[:13], 0.05, 0.03), np.full(3, 0.08))  # the lid's shadow
    _over(canvas, 0.85 * view.stroke(curve[:13], 0.028, 0.008), dark * 0.45)
    _over(canvas, 0.30 * view.stroke(curve[12:], 0.02, 0.012), dark)
    _over(canvas, 0.35 * view.stroke(curve[1:12] - [0, 0.065, 0], 0.02, 0.018), dark)  # the crease
    glint = ball - [-0.22 * radius * np.sign(view.shot.lamp[0]), 0.3 * radius, 0]
    _over(canvas, 0.9 * opening * np.minimum(1.4 * view.spot(glint, 0.14 * radius, 0.14 * radius), 1), np.full(3, 0.97))


def _closed_curve(ring: Points) -> Points:
    """(25, 3) the lids as two arcs through the six points of an eye: parabolas over the corners."""
    first, last = ring[0], ring[3]
    t = np.linspace(0, 1, 13)[:, None]
    base = first * (1 - t) + last * t
    arch = 4 * t * (1 - t)
    rise = (ring[1:3] - (ring[[0, 3]] * [[2 / 3], [2 / 3]] + ring[[3, 0]] * [[1 / 3], [1 / 3]])).mean(0) / (8 / 9)
    drop = (ring[4:6] - (ring[[3, 0]] * [[2 / 3], [2 / 3]] + ring[[0, 3]] * [[1 / 3], [1 / 3]])).mean(0) / (8 / 9)
    return np.concatenate([base + arch * rise, (base + arch * drop)[-2::-1]])


def _mouth(canvas: Field, person: Person, view: View, points: Points, dark: Points, lit: Field) -> None:
    lip = person.skin * [0.86, 0.58, 0.57]
    upper, lower = points[[*range(48, 55), 64, 63, 62, 61, 60]], points[[*range(54, 60), 48, 60, 67, 66, 65, 64]]
    _over(canvas, 0.85 * view.fill(upper, 0.02), lip * 0.80, lit)
    _over(canvas, 0.85 * view.fill(lower, 0.022), lip * 1.02, lit)
    _over(canvas, 0.22 * view.spot(points[57] - [0, 0.04, 0], 0.09, 0.02), np.full(3, 0.95))
    gap = points[[60, 61, 62, 63, 64, 65, 66, 67]]
    if view.shot.open > 0.02:
        _over(canvas, view.fill(gap, 0.01), dark * 0.30)
        teeth = gap[[0, 1, 2, 3, 4]] * [0.85, 1, 1]
        low = teeth[::-1] - [0, -min(0.06, 0.6 * view.shot.open), 0]
        row = view.fill(gap, 0.01) * view.fill(np.concatenate([teeth, low]), 0.012)
        _over(canvas, 0.9 * row, np.array([0.86, 0.83, 0.78]), lit)
    _over(canvas, 0.75 * view.stroke(points[[48, 60, 61, 62, 63, 64, 54]], 0.022, 0.012), dark * 0.5)


def _strands(view: View, rng: np.random.Generator) -> Field:
    """(S, S) shade of hair: noise drawn out downwards, about 1."""
    noise = rng.standard_normal((view.size, view.size), dtype=np.float32)
    strands = cv2.GaussianBlur(noise, (0, 0), sigmaX=max(0.5, 0.006 * view.unit), sigmaY=0.16 * view.unit)
    return np.asarray(np.clip(1 + 0.13 / (strands.std() + 1e-6) * strands, 0.3, 2.0), dtype=np.float32)


def _crown(person: Person, grow: float) -> Points:
    angle = np.linspace(np.pi, 0, 26)
    return np.column_stack([(1 + grow) * np.cos(angle), -0.1 - (1.3 + grow) * np.sin(angle) ** 0.85, np.full(26, -0.1)])


def _back_hair(person: Person, view: View) -> Field:
    crown = _crown(person, person.volume)
    low = max(person.length, 0.1)
    side = 1 + person.volume * 0.8
    return view.fill(
        np.concatenate(
            [
                crown,
                [[side, low * 0.6, -0.3], [side * 0.8, low, -0.3], [-side * 0.8, low, -0.3], [-side, low * 0.6, -0.3]],
            ]
        ),
        0.03,
    )


def _front_hair(person: Person, view: View) -> Field:
    """The hair before the forehead: between the crown and the hairline."""
    crown = _crown(person, person.volume * 0.75)
    x = np.linspace(1.0, -1.0, 21)
    line = (
        person.hairline + (0.75 + person.hairline * 0.25) * np.abs(x) ** 3.2 + 0.05 * np.sin(3 * x + person.chin * 40)
    )
    front = np.column_stack([x, line, depth(np.column_stack([x * 0.97, line]))])
    return view.fill(np.concatenate([crown, front]), 0.03)

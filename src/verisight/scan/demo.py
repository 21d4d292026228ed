"""A small scene made on the spot from a public-domain portrait: what `verisight demo` scans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from verisight.core.errors import MissingExtra
from verisight.data.faces import face_finder
from verisight.data.quality import Picture, write_h264
from verisight.data.synthetic import blended_forgery


def portrait() -> Picture:
    """NASA's portrait of Eileen Collins, (512, 512, 3) uint8, public domain; ships inside scikit-image."""
    try:
        from skimage.data import astronaut
    except ModuleNotFoundError as error:
        raise MissingExtra("demo", "needs the package 'scikit-image'", "run: pip install 'verisight[demo]'") from error
    return np.asarray(astronaut())  # type: ignore[no-untyped-call]


def build_scene(folder: Path) -> None:
    """Write the portrait and a blended forgery of it as JPEG and as H.264 clips (CRF 23 and 40), and a broken file."""
    folder.mkdir(parents=True, exist_ok=True)
    real = portrait()
    scene = {"portrait": real, "forged": blended_forgery(real, face_finder()(real)[0])}
    for name, picture in scene.items():
        Image.fromarray(picture).save(folder / f"{name}.jpg", quality=92)
        for crf in (23, 40):
            write_h264(panned(picture), folder / f"{name}-crf{crf}.mp4", crf=crf)
    whole = (folder / "portrait.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[: len(whole) // 3])


def panned(picture: Picture, frames: int = 48, window: int = 384) -> Iterator[Picture]:
    """A camera that drifts over a picture: `frames` windows of `window` px."""
    for i in range(frames):
        left = round((picture.shape[1] - window) * i / (frames - 1))
        yield picture[:window, left : left + window]

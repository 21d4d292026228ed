"""Pictures of the demo scene's report for the docs: `python experiments/screenshots.py`.

Needs Chromium and the package playwright. What they show is scikit-image's public-domain portrait and a forgery of it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import sync_playwright

from verisight.cli.scanning import demo

IMAGES = Path(__file__).parents[1] / "docs/images"
SHOTS: dict[str, tuple[int, int, Literal["light", "dark"]]] = {  # name -> width, height, colour scheme
    "report-desktop": (1280, 1500, "light"),
    "report-dark": (1280, 1500, "dark"),
    "report-phone": (390, 1500, "light"),
}


def main() -> None:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), sync_playwright() as driver:
        demo(Path("demo-out"))
        browser = driver.chromium.launch(executable_path=program)
        for name, (width, height, scheme) in SHOTS.items():
            tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            tab.goto((Path(folder) / "demo-out/report.html").as_uri())
            path = IMAGES / f"{name}.png"
            tab.screenshot(path=path)
            with Image.open(path) as picture:
                picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()

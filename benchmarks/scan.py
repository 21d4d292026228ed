"""How fast is a scan? `python benchmarks/scan.py [--photos 100]`: stage rates, and the whole against a plain pipeline.

The plain pipeline is what a script does: decode every sampled picture, find, crop and score one at a time with the
network in eager torch. Both run in one process on one machine on the same synthetic scene; ratios count, not rates.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from verisight.core.detector import Detector
from verisight.data.faces import crop_face, face_finder
from verisight.data.media import open_media
from verisight.data.preprocess import normalise
from verisight.scan.demo import build_scene, portrait
from verisight.scan.pipeline import scan_files


def seconds(deed: Callable[[], object], repeats: int = 3) -> float:
    """Median wall time of a deed, after one that is not counted."""
    deed()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        deed()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def plain(paths: list[Path], detector: Detector) -> list[float]:
    """One file, one picture, one face at a time."""
    finder, scores = face_finder(), []
    for path in paths:
        for frame in open_media(path, frames=detector.preprocess.frames):
            for face in finder(frame.rgb):
                crop = crop_face(frame.rgb, face, detector.preprocess)
                scores.append(float(detector.score(normalise([crop], detector.preprocess))[0]))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=100)
    arguments = parser.parse_args()
    onnx, torch = Detector.load("deepfake-erm"), Detector.load("deepfake-erm", runtime="torch")
    finder, picture = face_finder(), portrait()
    face = finder(picture)[0]
    batch = normalise([crop_face(picture, face, onnx.preprocess)] * 32, onnx.preprocess)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_scene(folder / "scene")
        clip = folder / "scene" / "portrait-crf23.mp4"
        photos = [folder / f"{i}.jpg" for i in range(arguments.photos)]
        for i, path in enumerate(photos):
            Image.fromarray(np.roll(picture, i, axis=1)).save(path, quality=90)
        frames = onnx.preprocess.frames
        rates = {
            "decode_photos_per_s": len(photos) / seconds(lambda: [list(open_media(p)) for p in photos]),
            "decode_clip_frames_per_s": frames / seconds(lambda: list(open_media(clip, frames=frames))),
            "find_pictures_per_s": 20 / seconds(lambda: [finder(picture) for _ in range(20)]),
            "crop_faces_per_s": 20 / seconds(lambda: [crop_face(picture, face, onnx.preprocess) for _ in range(20)]),
            "score_onnx_faces_per_s": 32 / seconds(lambda: onnx.score(batch)),
            "score_torch_faces_per_s": 32 / seconds(lambda: torch.score(batch)),
        }
        ours = seconds(lambda: list(scan_files(photos, detector=onnx)), repeats=3)
        theirs = seconds(lambda: plain(photos, torch), repeats=3)
    result = {
        "cores": os.cpu_count(),
        "stages": {name: round(rate, 1) for name, rate in rates.items()},
        "photos_per_s": {"scan": round(len(photos) / ours, 1), "plain_torch": round(len(photos) / theirs, 1)},
        "scan_over_plain": round(theirs / ours, 2),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

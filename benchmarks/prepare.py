"""How fast is `verisight prepare`? `python benchmarks/prepare.py [--data clips.zip]`: against a plain script.

The plain script is what one writes in an afternoon: for every video, cv2.VideoCapture up to the last wanted frame, the
same finder on the whole frame, the same crop, cv2.imwrite, one after the other. Both make the same crops of the same
frames in one process; they take turns, and the ratios of wall times count, not the rates. Sets:

    clips     each video by itself
    pairs     one original and four fakes of it, as in FaceForensics++: prepare finds faces on the original alone
    c40       each video as it is and at CRF 40, which the script encodes to a file and reads again
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from verisight.core.preprocess import Preprocess
from verisight.core.recipe import DataSpec
from verisight.data.faces import crop_face, face_finder, judgeable
from verisight.data.media import open_media
from verisight.data.prepare import prepare
from verisight.data.quality import Picture, write_h264
from verisight.scan.demo import portrait

PREPROCESS = Preprocess(size=160, frames=16)
FPS = 25
# seconds, width, height, frames between key frames: x264 keeps them 10 s apart, a telephone 1 s
SIZES = {
    "10 s 1280x720": (10, 1280, 720, 250),
    "4 s 640x480": (4, 640, 480, 250),
    "30 s 640x360 of a telephone": (30, 640, 360, FPS),
}


def moving(seconds: int, width: int, height: int, seed: int) -> Iterator[Picture]:
    """The portrait on a path over a textured background, with a little sensor noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (height // 40, width // 40, 3), np.uint8)
    ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    side = int(height * 0.7)
    face = cv2.resize(portrait(), (side, side), interpolation=cv2.INTER_AREA)
    noise = rng.integers(0, 6, (8, height, width, 1), np.uint8)
    for n in range(seconds * FPS):
        phase = 2 * np.pi * n / (4 * FPS) + seed
        left = int((width - side) * (0.5 + 0.45 * np.sin(phase)))
        top = int((height - side) * (0.5 + 0.45 * np.sin(1.7 * phase)))
        picture = ground.copy()
        picture[top : top + side, left : left + side] = face
        yield cv2.add(picture, noise[n % 8].repeat(3, axis=2))


def encode(path: Path, size: tuple[int, int, int, int], seed: int) -> None:
    """Write the moving portrait with libx264 at CRF 23."""
    seconds, width, height, apart = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "23", "g": str(apart)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in moving(seconds, width, height, seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def make_clips(folder: Path, size: tuple[int, int, int, int], count: int, pairs: bool) -> list[str]:
    """Clips and their index; with `pairs` the first of every five is the original of the other four."""
    rows = []
    for n in range(count):
        seed = n // 5 if pairs else n
        encode(folder / f"{n}.mp4", size, seed)
        fake = n % 5 > 0 if pairs else n % 2
        rows.append({"path": f"{n}.mp4", "label": int(fake), "split": "train", "pair": f"p{seed}" if pairs else ""})
    return write_index(folder, rows)


def write_index(folder: Path, rows: list[dict[str, Any]]) -> list[str]:
    with open(folder / "index.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return [row["path"] for row in rows]


def unpack(archive: Path, folder: Path) -> list[str]:
    """The videos of clips.zip; a fake and the original of the same cut are a pair."""
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
    with open(folder / "index.csv", newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    keep = ("path", "label", "generator")
    cut = [{**{k: row[k] for k in keep}, "pair": f"{row['video']} {row['start_s']}", "split": "train"} for row in rows]
    return write_index(folder, cut)


def plain(folder: Path, names: list[str], out: Path, crf: int | None) -> int:
    """One video, one frame, one face at a time."""
    finder, crops = face_finder(), 0
    for name in names:
        sources = {"same": folder / name}
        if crf is not None:
            sources["encoded"] = out / "encoded.mp4"
            write_h264(every_frame(folder / name), sources["encoded"], crf=crf, fps=FPS)
        for quality, source in sources.items():
            (out / quality / name).mkdir(parents=True)
            for n, frame in enumerate(wanted_frames(source)):
                faces = [face for face in finder(frame) if judgeable(face, PREPROCESS)]
                if faces:
                    crop = crop_face(frame, max(faces, key=lambda f: f.size_px), PREPROCESS)
                    cv2.imwrite(str(out / quality / name / f"{n:04d}.png"), crop[:, :, ::-1])
                    crops += 1
    return crops


def every_frame(path: Path) -> Iterator[Picture]:
    capture = cv2.VideoCapture(str(path))
    while True:
        read, frame = capture.read()
        if not read:
            return
        yield np.ascontiguousarray(frame[:, :, ::-1])


def wanted_frames(path: Path) -> Iterator[Picture]:
    """Those in the middle of equal parts; the others are grabbed, not converted, which is quicker than to read them."""
    capture = cv2.VideoCapture(str(path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = {int((i + 0.5) * count / PREPROCESS.frames) for i in range(int(PREPROCESS.frames))}
    for n in range(max(wanted) + 1):
        if not capture.grab():
            return
        if n in wanted:
            yield np.ascontiguousarray(capture.retrieve()[1][:, :, ::-1])


def race(folder: Path, names: list[str], repeats: int, crf: int | None = None) -> dict[str, Any]:
    """Both in turns, the first turn not counted; times, the median ratio and its range."""
    taken: dict[str, list[tuple[float, float]]] = {"prepare": [], "plain": []}
    crops = {}
    for turn in range(repeats + 1):
        for who in ("prepare", "plain") if turn % 2 else ("plain", "prepare"):
            with tempfile.TemporaryDirectory() as place:
                start, cpu = time.perf_counter(), cpu_seconds()
                if who == "plain":
                    crops[who] = plain(folder, names, Path(place), crf)
                else:
                    spec = DataSpec(path=str(folder), layout="pack")
                    qualities = ("same",) if crf is None else ("same", f"h264:{crf}")
                    crops[who] = prepare(spec, Path(place), preprocess=PREPROCESS, qualities=qualities).crops
                if turn:
                    taken[who].append((time.perf_counter() - start, cpu_seconds() - cpu))
    ratios = sorted(b[0] / a[0] for a, b in zip(taken["prepare"], taken["plain"], strict=True))
    cpu = {who: float(np.median([cpu for _, cpu in of])) / len(names) for who, of in taken.items()}
    return {
        "videos": len(names),
        "crops": crops,
        "videos_per_s": {who: round(len(names) / np.median([wall for wall, _ in of]), 2) for who, of in taken.items()},
        "cpu_s_per_video": {who: round(seconds, 3) for who, seconds in cpu.items()},
        "cpu_plain_over_prepare": round(cpu["plain"] / cpu["prepare"], 2),
        "wall_plain_over_prepare": round(float(np.median(ratios)), 2),
        "range": [round(ratios[0], 2), round(ratios[-1], 2)],
    }


def cpu_seconds() -> float:
    """Of this process, all threads: it does not care who else is at work."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def profile(videos: list[Path]) -> dict[str, float]:
    """CPU milliseconds a video and step, one after the other: what no arrangement of threads can go below."""
    finder = face_finder()
    spent = dict.fromkeys(("decode", "find", "cut and write"), 0.0)
    for video in videos:
        start = time.process_time()
        pictures = [frame.rgb for frame in open_media(video, frames=PREPROCESS.frames)]
        decoded = time.process_time()
        faces = [finder(picture) for picture in pictures]
        found = time.process_time()
        for picture, seen in zip(pictures, faces, strict=True):
            for face in seen[:1]:
                cv2.imencode(".png", crop_face(picture, face, PREPROCESS))
        steps = (decoded - start, found - decoded, time.process_time() - found)
        spent = {name: spent[name] + step for name, step in zip(spent, steps, strict=True)}
    return {name: round(1000 * seconds / len(videos), 1) for name, seconds in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--videos", type=int, default=10, help="of each synthetic set, a multiple of five")
    parser.add_argument("--data", type=Path, help="clips.zip: real videos as well")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/prepare.json"))
    arguments = parser.parse_args()
    result: dict[str, Any] = {"cores": os.cpu_count(), "repeats": arguments.repeats, "load_before": os.getloadavg()[0]}
    for name, size in SIZES.items():
        for pairs in (False, True):
            with tempfile.TemporaryDirectory() as place:
                names = make_clips(Path(place), size, arguments.videos, pairs)
                result[f"{name}, {'pairs' if pairs else 'clips'}"] = race(Path(place), names, arguments.repeats)
                if not pairs:
                    result[f"{name}, CPU ms of a video"] = profile([Path(place) / path for path in names])
                if name == "4 s 640x480" and not pairs:
                    result[f"{name}, c40"] = race(Path(place), names, max(1, arguments.repeats // 2), crf=40)
        print(json.dumps(result, indent=2), flush=True)
    if arguments.data:
        with tempfile.TemporaryDirectory() as place:
            result["real videos, pairs"] = race(Path(place), unpack(arguments.data, Path(place)), arguments.repeats)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

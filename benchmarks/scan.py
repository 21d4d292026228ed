"""How fast is a scan? `python benchmarks/scan.py [--small]`: against a script, and against its own slowest stage.

Both judge the same frames with a network of the same kind, in one process each, in turns; medians of ratios count, not
the rates. Everything is synthetic: a public-domain portrait moving over a textured ground.

    clip      ten seconds of 1280x720, 25 fps, H.264: every frame is judged
    photos    JPEGs of about one megapixel with one face

Two scripts stand beside the scan, as one writes them in an afternoon: a file, a frame, a face at a time.

    mtcnn     cv2.VideoCapture or Pillow, facenet-pytorch's MTCNN with its defaults, timm's tf_efficientnet_lite0 in
              eager torch. The goal, 8 times as fast, is set against it.
    yunet     the same with the finder that the scan has: what is left of the ratio when the finder does not count.

facenet-pytorch is for this benchmark only: `pip install --no-deps facenet-pytorch==2.6.0 requests tqdm`; its weights
are in the package. Beside a CPU build of torch the compiled part of torchvision cannot be loaded; there MTCNN's
non-maximum suppression runs through OpenCV, which is compiled code too.

`stages` are measured alone, each with all cores; `describe` is what the scripts do not do at all: quality, screen,
EXIF, C2PA. `wall_over_slowest_stage` is what overlapping is to bring to 1 where stages wait for different things. Where
they all want the same cores no order of work goes below `wall_over_cpu_bound` = 1: the CPU time of all stages over the
cores, or the slowest stage where that is longer. Peak memory is of a process of its own for each scene.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image
from prepare import cpu_seconds, encode, moving

from verisight.core.catalogue import DEFAULT_DETECTOR
from verisight.core.checkpoint import load_card, load_tensors, save_checkpoint
from verisight.core.detector import Detector, checkpoint_path
from verisight.core.preprocess import Preprocess
from verisight.data.faces import crop_face, face_finder
from verisight.data.media import open_media
from verisight.data.preprocess import normalise
from verisight.data.quality import Picture
from verisight.scan.pipeline import scan_files
from verisight.scan.provenance import provenance_of
from verisight.scan.quality import measure_quality
from verisight.scan.watch import KEPT

CORES = os.cpu_count() or 1
GOALS = {"scan_over_mtcnn": 8.0, "wall_over_slowest_stage": 1.15}
HELD = 50  # frames in memory while a stage is measured alone
Boxes = list[tuple[float, float, float, float]]
Find = Callable[[Picture], Boxes]


def told(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


# --- scenes


def make_photos(folder: Path, count: int) -> list[Path]:
    """JPEGs of 1184x888 at quality 90, the face at another place in each."""
    paths = [folder / f"{i:04d}.jpg" for i in range(count)]
    pictures = (picture for seed in range(count) for picture in islice(moving(4, 1184, 888, seed), 25))
    for path, picture in zip(paths, pictures, strict=False):
        Image.fromarray(picture).save(path, quality=90)
    return paths


def make_long(source: Path, target: Path, seconds: int) -> None:
    """A clip of this length: the packets of a short one again and again, so that two hours are written in seconds."""
    with av.open(str(source)) as short, av.open(str(target), "w") as long:
        video = short.streams.video[0]
        stream = long.add_stream_from_template(video)
        packets = [(p.pts, p.dts, bytes(p), p.is_keyframe) for p in short.demux(video) if p.dts is not None]
        length = len(packets) * (packets[1][1] - packets[0][1])
        rounds = round(seconds / float(length * video.time_base))
        for turn in range(rounds):
            for pts, dts, content, key in packets:
                packet = av.Packet(content)
                packet.stream, packet.time_base, packet.is_keyframe = stream, video.time_base, key
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                long.mux(packet)


def every_frame_checkpoint(folder: Path) -> Path:
    """The shipped detector with `frames: all`."""
    source = checkpoint_path(DEFAULT_DETECTOR)
    card = load_card(source)
    every = card.model_copy(update={"preprocess": card.preprocess.model_copy(update={"frames": "all"})})
    path = folder / "every-frame.safetensors"
    save_checkpoint(path, load_tensors(source), every)
    return path


# --- the scripts


class Script:
    """One file, one frame, one face at a time; `spent` says on what.

    finder : from a picture to boxes x, y, width, height.
    """

    def __init__(self, finder: Find, preprocess: Preprocess) -> None:
        import timm
        import torch

        self._torch, self._find, self._preprocess = torch, finder, preprocess
        self._network = timm.create_model("tf_efficientnet_lite0", num_classes=1).eval()
        self.spent = dict.fromkeys(("decode", "find", "crop", "score"), 0.0)
        self.frames = self.faces = 0

    def __call__(self, paths: Sequence[Path]) -> None:
        for path in paths:
            pictures = frames_of(path)
            while (picture := self._timed("decode", next, pictures, None)) is not None:
                self.frames += 1
                for box in self._timed("find", self._find, picture):
                    crop = self._timed("crop", self._cut, picture, box)
                    self._timed("score", self._score, crop)
                    self.faces += 1

    def _timed(self, step: str, deed: Callable[..., Any], *arguments: Any) -> Any:
        start = time.perf_counter()
        result = deed(*arguments)
        self.spent[step] += time.perf_counter() - start
        return result

    def _cut(self, picture: Picture, box: tuple[float, float, float, float]) -> Picture:
        x, y, w, h = box
        side = max(w, h) * self._preprocess.margin
        left, top = max(0, int(x + w / 2 - side / 2)), max(0, int(y + h / 2 - side / 2))
        square = picture[top : top + int(side), left : left + int(side)]
        return cv2.resize(square, (self._preprocess.size, self._preprocess.size), interpolation=cv2.INTER_AREA)

    def _score(self, crop: Picture) -> float:
        batch = self._torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1
        with self._torch.no_grad():
            return float(self._torch.sigmoid(self._network(batch))[0, 0])


def frames_of(path: Path) -> Iterator[Picture]:
    if path.suffix == ".jpg":
        yield np.asarray(Image.open(path).convert("RGB"))
        return
    capture = cv2.VideoCapture(str(path))
    while True:
        read, frame = capture.read()
        if not read:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def mtcnn() -> Find:
    from verisight.core import torchvision_ops

    torchvision_ops.ensure()
    import torch
    from facenet_pytorch import MTCNN
    from facenet_pytorch.models.utils import detect_face
    from torchvision.extension import _has_ops

    if not _has_ops():
        detect_face.batched_nms = nms
    network = MTCNN(keep_all=True, device="cpu")

    def find(picture: Picture) -> Boxes:
        with torch.no_grad():
            corners, _ = network.detect(picture)
        return [] if corners is None else [(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in corners.tolist()]

    return find


def nms(corners: Any, scores: Any, group: Any, most_iou: float) -> Any:
    """torchvision's `batched_nms`: indices of what stays, best first; boxes of different groups leave each other be."""
    if not len(corners):
        return group.long()
    apart = (corners + (group * (corners.max() + 1))[:, None]).double().numpy()
    boxes = np.column_stack([apart[:, :2], apart[:, 2:] - apart[:, :2]])
    kept = np.asarray(cv2.dnn.NMSBoxes(boxes, scores.numpy(), 0.0, most_iou), np.int64).reshape(-1)
    return scores.new_tensor(kept[np.argsort(-scores.numpy()[kept], kind="stable")]).long()


def yunet() -> Find:
    finder = face_finder()
    return lambda picture: [face.box for face in finder(picture)]


# --- measuring


def race(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, Any]:
    """Wall and CPU seconds of each, in turns that begin with another one each time; and their ratios to the scan."""
    wall: dict[str, list[float]] = {name: [] for name in runs}
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start, used = time.perf_counter(), cpu_seconds()
            runs[name]()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(cpu_seconds() - used)
            told(f"turn {turn + 1} of {repeats}: {name} took {wall[name][-1]:.1f} s")
    ratios = {n: [b / a for a, b in zip(wall["scan"], wall[n], strict=True)] for n in names if n != "scan"}
    return {
        "wall_s": {name: round(float(np.median(taken)), 3) for name, taken in wall.items()},
        "cpu_s": {name: round(float(np.median(taken)), 3) for name, taken in cpu.items()},
        **{f"scan_over_{name}": round(float(np.median(of)), 2) for name, of in ratios.items()},
        **{f"range_over_{name}": [round(min(of), 2), round(max(of), 2)] for name, of in ratios.items()},
    }


def stage(deed: Callable[[Any], object], items: Iterable[Any], scale: float, repeats: int) -> dict[str, float]:
    """Median wall and CPU seconds of a stage alone, with a thread a core; `scale` items of the scene stand for one."""
    wall, cpu, items = [], [], list(items)
    with ThreadPoolExecutor(CORES) as pool:
        for _ in range(repeats + 1):  # the first is not counted
            start, used = time.perf_counter(), cpu_seconds()
            list(pool.map(deed, items))
            wall.append((time.perf_counter() - start) * scale)
            cpu.append((cpu_seconds() - used) * scale)
    return {"wall_s": round(float(np.median(wall[1:])), 3), "cpu_s": round(float(np.median(cpu[1:])), 3)}


def stages(paths: Sequence[Path], detector: Detector, count: int, repeats: int) -> dict[str, dict[str, float]]:
    """Each stage of the scan of these files alone. count : pictures in them."""
    finder, preprocess = face_finder(), detector.preprocess
    pictures = list(islice((f.rgb for path in paths for f in open_media(path, frames=preprocess.frames)), HELD))
    found = [(picture, finder(picture)[0]) for picture in pictures]
    crops = [crop_face(picture, face, preprocess) for picture, face in found]
    scale = count / len(pictures)

    def decode(path: Path) -> None:
        for _ in open_media(path, frames=preprocess.frames):
            pass

    def describe(path: Path) -> None:
        """What a verdict says beside the score. The pictures are others of the same make."""
        shown = found[:KEPT] if len(paths) == 1 else found[:1]
        media = open_media(path, frames=preprocess.frames)
        measure_quality(path, media, pictures=[p for p, _ in shown], faces=[(face,) for _, face in shown])
        provenance_of(path)

    steps: dict[str, tuple[Callable[[Any], object], Iterable[Any], float]] = {
        "decode": (decode, paths, 1.0),
        "find": (finder, pictures, scale),
        "crop": (lambda pair: crop_face(*pair, preprocess), found, scale),
        "score": (lambda batch: detector.measure(normalise(batch, preprocess)), [crops], scale),
        "describe": (describe, paths, 1.0),
    }
    measured = {}
    for name, step in steps.items():
        measured[name] = stage(*step, repeats)
        measured[name]["per_s"] = round(count / measured[name]["wall_s"], 1)
        told(f"{name} alone: {measured[name]}")
    return measured


def compare(
    paths: Sequence[Path], detector: Detector, finders: dict[str, Find], *, count: int, repeats: int
) -> dict[str, Any]:
    """The whole story of a scene. count : pictures in it, each with one face."""
    scripts = {name: Script(find, detector.preprocess) for name, find in finders.items()}
    scored: list[int] = []

    def scan() -> None:
        scored.append(sum(len(verdict.faces) for verdict in scan_files(paths, detector=detector)))

    alone = stages(paths, detector, count, repeats)
    scan()  # once for the caches
    result = race({"scan": scan} | {n: lambda s=s: s(paths) for n, s in scripts.items()}, repeats)
    wall, cpu = result["wall_s"]["scan"], sum(step["cpu_s"] for step in alone.values())
    return {
        "files": len(paths),
        "pictures": count,
        "faces": {"scan": scored[-1]} | {name: round(s.faces / repeats) for name, s in scripts.items()},
        "pictures_per_s": {name: round(count / taken, 1) for name, taken in result["wall_s"].items()},
        **result,
        "stages": alone,
        "wall_over_slowest_stage": round(wall / max(step["wall_s"] for step in alone.values()), 2),
        "wall_over_cpu_bound": round(wall / max(cpu / CORES, *(step["wall_s"] for step in alone.values())), 2),
        "scripts_ms_a_picture": {
            name: {step: round(1000 * spent / s.frames, 2) for step, spent in s.spent.items()}
            for name, s in scripts.items()
        },
    }


def peak_memory(paths: Sequence[Path], checkpoint: str | Path) -> dict[str, float]:
    """Of a process of its own, in MB: with everything loaded and one small file judged, and after the scan."""
    command = [sys.executable, __file__, "--memory-of", str(checkpoint)]
    done = subprocess.run(command, input="\n".join(map(str, paths)), capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    told(f"peak memory of {len(paths)} files such as {paths[0].name}: {result}")
    return result


def measure_memory(checkpoint: str) -> None:
    """What the process of its own does: files come on stdin."""
    detector, start = Detector.load(checkpoint), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        small = make_photos(Path(folder), 1)
        faces = sum(len(verdict.faces) for verdict in scan_files(small, detector=detector))
    loaded = peak_mb()
    faces = sum(len(v.faces) for v in scan_files(map(Path, sys.stdin.read().split("\n")), detector=detector))
    seconds = time.perf_counter() - start
    print(json.dumps({"loaded_mb": loaded, "peak_mb": peak_mb(), "faces": faces, "seconds": round(seconds, 1)}))


def met(scene: dict[str, Any], goal: str) -> bool:
    """Whether a scene reaches a goal: a ratio to a script from below, one to a stage from above."""
    return bool(scene[goal] >= GOALS[goal] if goal.startswith("scan_over") else scene[goal] <= GOALS[goal])


def peak_mb() -> float:
    """Of this process alone: what `getrusage` says begins, on Linux, with the peak of the process that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        return round(int(status.read_text().split("VmHWM:")[1].split()[0]) / 1e3, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="two seconds, 20 photos, one turn: does it run?")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results") / "scan.json")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        measure_memory(arguments.memory_of)
        return
    seconds, photos, raced, hours = (2, 20, 10, 0.02) if arguments.small else (10, 1000, 100, 2.0)
    repeats = 1 if arguments.small else arguments.repeats
    result: dict[str, Any] = {
        "cores": CORES,
        "load_before": round(os.getloadavg()[0], 2),
        "repeats": repeats,
        "detector": DEFAULT_DETECTOR,
        "versions": {n: importlib.metadata.version(n) for n in ("torch", "onnxruntime", "av", "facenet-pytorch")},
        "goals": GOALS,
    }

    def put(name: str, value: object) -> None:
        """What is measured is on the disk, whatever happens to the rest."""
        result[name] = value
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told("making the scenes")
        encode(folder / "clip.mp4", (seconds, 1280, 720, 250), 0)
        encode(folder / "short.mp4", (10, 640, 360, 250), 0)
        make_long(folder / "short.mp4", folder / "long.mp4", int(3600 * hours))
        stills = make_photos(folder, photos)
        told("loading detector and finders")
        every, shipped = Detector.load(every_frame_checkpoint(folder)), Detector.load(DEFAULT_DETECTOR)
        finders = {"mtcnn": mtcnn(), "yunet": yunet()}
        put("clip", compare([folder / "clip.mp4"], every, finders, count=25 * seconds, repeats=repeats))
        put("photos", compare(stills[:raced], shipped, finders, count=raced, repeats=repeats))
        start = time.perf_counter()
        faces = sum(len(verdict.faces) for verdict in scan_files(stills, detector=shipped))
        rate = round(photos / (time.perf_counter() - start), 1)
        put("all_photos", {"files": photos, "faces": faces, "photos_per_s": rate})
        memory = {
            f"clip of {seconds} s, every frame": ([folder / "clip.mp4"], folder / "every-frame.safetensors"),
            f"clip of {hours} h, as shipped": ([folder / "long.mp4"], DEFAULT_DETECTOR),
            f"{photos} photos": (stills, DEFAULT_DETECTOR),
        }
        put("memory", {scene: peak_memory(*of) for scene, of in memory.items()})
    result["load_after"] = round(os.getloadavg()[0], 2)
    put("goals_met", {f"{scene} {goal}": met(result[scene], goal) for scene in ("clip", "photos") for goal in GOALS})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

"""What a scan makes of difficult files: no face for an hour, one only at its end, several people, turned phones, doubt.

Detectors here are closed forms of a crop's colour, so that no figure depends on a trained network; faces are drawn
(`verisight.data.synthetic`) and found by the shipped finder, or are squares that a finder of three lines knows.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from samples import clip

from verisight.core.checkpoint import Card, Threshold
from verisight.core.detector import Detector
from verisight.core.preprocess import Preprocess
from verisight.data.faces import Face
from verisight.data.synthetic import synthetic_face
from verisight.scan.pipeline import scan_files
from verisight.scan.verdict import Verdict

FPS = 5
RED, GREY = (230, 60, 60), (128, 128, 128)


def redness(*, clear: float | None = None, aggregate: str = "most-suspicious-person", frames: int = 16) -> Detector:
    """Score in logits = 4 where a crop is as red as RED, -4 where red equals blue, and a line between."""
    card = Card(
        name="redness",
        method="test",
        task="deepfake",
        positive="fake",
        recipe={},
        preprocess=Preprocess(size=32, margin=1.0, frames=frames),
        aggregate=aggregate,
        threshold=Threshold(value=0.8, rule="test", fitted_on="test"),
        clear=None if clear is None else Threshold(value=clear, rule="test", fitted_on="test"),
    )
    full = (RED[0] - RED[2]) / 127.5

    def score(batch: np.ndarray) -> np.ndarray:
        return 8 * (batch[:, 0] - batch[:, 2]).mean(axis=(1, 2)) / full - 4

    return Detector(card, score, "f00d")


def squares(picture: np.ndarray) -> list[Face]:
    """The squares of `scene`: whatever is not its background, one face for each connected column of it."""
    busy = (np.abs(picture.astype(int) - 20).max(axis=2) > 25).any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], busy.astype(int), [0]])))
    faces = []
    for left, right in edges.reshape(-1, 2).tolist():
        rows = np.flatnonzero((np.abs(picture[:, left:right].astype(int) - 20).max(axis=2) > 25).any(axis=1))
        if right - left > 8:
            faces.append(Face((left, rows[0], right - left, rows[-1] - rows[0] + 1), 0.9))
    return faces


def scene(*people: tuple[int, tuple[int, int, int]], side: int = 64) -> np.ndarray:
    """(120, 320, 3): squares of these colours with these left edges on a dark ground."""
    picture = np.full((120, 320, 3), 20, np.uint8)
    for left, colour in people:
        picture[28 : 28 + side, left : left + side] = colour
    return picture


def judge(path: Path, detector: Detector, finder=squares) -> Verdict:
    (verdict,) = scan_files([path], detector=detector, finder=finder)
    return verdict


def mp4(path: Path, picture: Callable[[int], np.ndarray], frames: int = 40, **options: object) -> Path:
    height, width = picture(0).shape[:2]
    shape = {"frames": frames, "size": (width, height), "fps": FPS}
    path.write_bytes(clip("mp4", "libx264", picture=picture, options={"crf": "8"}, **shape, **options))
    return path


def spliced(path: Path, parts: Sequence[tuple[bytes, int]]) -> Path:
    """One MP4 of clips of the same encoder, each so many times: packets with later times, nothing encoded anew."""
    shift = 0
    with av.open(str(path), "w", format="mp4") as out:
        stream = None
        for content, times in parts:
            with av.open(io.BytesIO(content)) as source:
                track = source.streams.video[0]
                packets = [packet for packet in source.demux(track) if packet.size]
                if stream is None:
                    stream = out.add_stream_from_template(track)
                kept = [(bytes(p), p.pts, p.dts, p.is_keyframe, p.duration, p.time_base) for p in packets]
            length = round(len(kept) / FPS / kept[0][-1])
            for _ in range(times):
                for data, pts, dts, key, duration, base in kept:
                    packet = av.Packet(data)
                    packet.stream, packet.time_base, packet.duration, packet.is_keyframe = stream, base, duration, key
                    packet.pts, packet.dts = pts + shift, dts + shift
                    out.mux(packet)
                shift += length
    return path


def ten_seconds(picture: np.ndarray) -> bytes:
    height, width = picture.shape[:2]
    return clip(
        "mp4",
        "libx264",
        frames=10 * FPS,
        size=(width, height),
        fps=FPS,
        picture=lambda i: picture + np.uint8(i % 2),
        options={"g": str(10 * FPS)},
    )


@pytest.fixture(scope="module")
def parts() -> tuple[bytes, bytes]:
    """Ten seconds without and with a face, 320 x 120."""
    return ten_seconds(scene()), ten_seconds(scene((100, RED)))


# --- long clips ---


def test_an_hour_without_a_face_is_looked_at_three_times_and_abstained_from(tmp_path: Path, parts) -> None:
    path = spliced(tmp_path / "hour.mp4", [(parts[0], 360)])
    verdict = judge(path, redness())
    assert (verdict.status, verdict.label, verdict.probability) == ("abstained", None, None)
    looked = int(re.fullmatch(r"no face found in (\d+) pictures of the clip", verdict.reason or "").group(1))
    assert 16 + 64 + 200 < looked <= 16 + 64 + 256


def test_a_face_only_at_the_end_of_an_hour_is_found_and_looked_at_closely(tmp_path: Path, parts) -> None:
    path = spliced(tmp_path / "end.mp4", [(parts[0], 349), (parts[1], 11)])  # from 58:10 on; a first look ends at 58:07
    verdict = judge(path, redness())
    assert (verdict.status, verdict.label) == ("scored", "fake")
    assert re.search(r"a face only from 58:\d\d on", verdict.reason or "")
    assert 8 <= len(verdict.faces) <= 17
    assert all(face.time_s >= 3490 for face in verdict.faces)
    (person,) = verdict.people
    assert person.faces == len(verdict.faces)
    assert person.start_s < 3520
    assert person.end_s > 3580


def test_two_hours_need_no_more_memory_than_ten_seconds(tmp_path: Path, parts) -> None:
    (tmp_path / "short.mp4").write_bytes(parts[1])
    spliced(tmp_path / "long.mp4", [(parts[0], 700), (parts[1], 20)])
    program = """
import re, sys
from pathlib import Path
from verisight.scan.pipeline import scan_files
sys.path.insert(0, sys.argv[1])
from scan.test_situations import redness, squares
def peak_kb():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
short, = scan_files([sys.argv[2] + "/short.mp4"], detector=redness(), finder=squares)
before = peak_kb()
long, = scan_files([sys.argv[2] + "/long.mp4"], detector=redness(), finder=squares)
assert short.status == long.status == "scored", (short, long)
assert long.faces[-1].time_s > 7100
print(peak_kb() - before)
"""
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tests), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": f"{tests}"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20_000  # the pictures looked at would be 40 MB together, the clip's 36,000 frames 4 GB


# --- people ---


def test_of_two_people_the_forged_one_decides(tmp_path: Path) -> None:
    path = mp4(tmp_path / "two.mp4", lambda i: scene((30 + i % 3, GREY), (200, RED)))
    verdict = judge(path, redness())
    left, right = verdict.people
    assert (left.faces, right.faces) == (16, 16)
    assert left.probability < 0.05 < 0.95 < right.probability
    assert left.counted
    assert right.counted
    assert (verdict.label, verdict.probability) == ("fake", right.probability)
    assert {face.person for face in verdict.faces if face.box[0] > 150} == {1}
    assert {face.person for face in verdict.faces if face.box[0] < 150} == {0}


def test_a_passer_by_is_shown_but_does_not_decide(tmp_path: Path) -> None:
    def picture(i: int) -> np.ndarray:
        return scene((30, GREY), (220, RED)) if 20 <= i < 24 else scene((30, GREY))

    verdict = judge(mp4(tmp_path / "passes.mp4", picture), redness())
    stays, passes = verdict.people
    assert passes.probability > 0.95
    assert not passes.counted
    assert passes.start_s == pytest.approx(4, abs=0.5)
    assert (verdict.label, verdict.probability) == ("real", stays.probability)
    assert verdict.probability < 0.05


def test_a_person_is_judged_by_the_mean_over_time_not_by_the_worst_picture(tmp_path: Path) -> None:
    path = mp4(tmp_path / "blinks.mp4", lambda i: scene((100, RED if i % 8 == 0 else GREY)))
    verdict = judge(path, redness())
    (person,) = verdict.people
    assert max(face.score for face in verdict.faces) > 0.95
    assert verdict.label == "real"
    assert person.probability == verdict.probability


def test_in_a_picture_a_speck_beside_a_large_face_does_not_decide(tmp_path: Path) -> None:
    picture = np.full((600, 900, 3), 20, np.uint8)
    picture[100:500, 50:450] = GREY
    picture[250:330, 600:680] = RED  # a fifth of the other's side
    Image.fromarray(picture).save(tmp_path / "speck.png")
    verdict = judge(tmp_path / "speck.png", redness())
    assert [person.counted for person in verdict.people] == [True, False]
    assert verdict.label == "real"
    assert len(verdict.faces) == 2
    picture[250:370, 600:720] = RED  # now three tenths
    Image.fromarray(picture).save(tmp_path / "guest.png")
    verdict = judge(tmp_path / "guest.png", redness())
    assert [person.counted for person in verdict.people] == [True, True]
    assert verdict.label == "fake"
    assert verdict.people[1].start_s is None


# --- a phone held sideways ---


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_phone_video_is_judged_upright(tmp_path: Path, turn: int) -> None:
    upright = np.full((320, 240, 3), 110, np.uint8)
    upright[60:260, 20:220] = synthetic_face(3, 200).picture
    stored = np.ascontiguousarray(np.rot90(upright, -turn // 90))  # what the sensor saw
    path = mp4(tmp_path / "phone.mp4", lambda i: stored, frames=8, rotation=turn)
    plain = judge(mp4(tmp_path / "plain.mp4", lambda i: upright, frames=8), redness(), finder=None)
    verdict = judge(path, redness(), finder=None)
    assert verdict.status == "scored"
    assert len(verdict.faces) == len(plain.faces) == 8
    for face, expected in zip(verdict.faces, plain.faces, strict=True):
        assert face.box == pytest.approx(expected.box, abs=2)
        assert face.score == pytest.approx(expected.score, abs=0.02)


# --- doubt ---


def between_grey_and_red(share: float) -> tuple[int, int, int]:
    return tuple(round(g + share * (r - g)) for g, r in zip(GREY, RED, strict=True))


def test_in_the_zone_of_doubt_there_is_a_probability_but_no_label(tmp_path: Path) -> None:
    Image.fromarray(scene((100, between_grey_and_red(0.6)))).save(tmp_path / "doubt.png")
    verdict = judge(tmp_path / "doubt.png", redness(clear=0.3))
    assert (verdict.status, verdict.label) == ("abstained", None)
    assert 0.3 <= verdict.probability < 0.8
    assert verdict.interval == pytest.approx((verdict.probability,) * 2)
    assert verdict.reason == (
        f"in doubt: {verdict.probability:.2f} is too high to call it real (under 0.30)"
        " and too low to call it fake (from 0.80)"
    )
    assert judge(tmp_path / "doubt.png", redness()).label == "real"  # a detector without such a zone


def test_frames_that_disagree_are_doubled_once_and_leave_a_wide_interval(tmp_path: Path) -> None:
    def flickers(i: int) -> np.ndarray:
        return scene((100, between_grey_and_red(0.3 if i % 4 < 2 else 1.0)))

    torn = judge(mp4(tmp_path / "torn.mp4", flickers, frames=160), redness())
    assert 28 <= len(torn.faces) <= 31  # 16, then the 15 between them
    assert torn.interval[0] < 0.8 <= torn.interval[1]
    assert torn.interval[0] < torn.probability < torn.interval[1]
    over = "{:.2f} to {:.2f} leaves both sides of 0.80 open".format(*torn.interval)
    assert torn.reason == f"its pictures disagree after {len(torn.faces)} pictures: {over}"
    sure = judge(mp4(tmp_path / "sure.mp4", lambda i: scene((100, RED)), frames=160), redness())
    assert len(sure.faces) == 16
    assert sure.interval[1] - sure.interval[0] < 0.01

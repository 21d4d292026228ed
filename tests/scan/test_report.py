"""The HTML page: everything is in it, nothing gets out of it, and everybody can read it."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from verisight.core.checkpoint import Calibration, Card, Threshold
from verisight.core.errors import VerisightError
from verisight.core.preprocess import Preprocess
from verisight.data.media import open_media
from verisight.data.quality import write_h264
from verisight.scan import report
from verisight.scan.evidence import FACE_PX, FRAME_PX, Cut, Evidence, data_uri, evidence_of
from verisight.scan.heat import FaceHeat, Heat
from verisight.scan.report import MOST_LINES, Report, timeline, urgency, write_report
from verisight.scan.verdict import Caution, FaceVerdict, Person, Provenance, Quality, Verdict

THRESHOLD = 0.625
HOSTILE = 'x/<img src="http://evil.test/x" onerror=alert(1)>\'"&{{7*7}}\u202egpj.exe\nline\x1b[31m</h3>.jpg'
CARD = Card(
    name="tiny",
    method="deepfake/erm",
    task="deepfake",
    positive="fake",
    recipe={},
    preprocess=Preprocess(size=64),
    aggregate="mean-of-frame-max",
    calibration=Calibration(temperature=1.25, fitted_on="select, 40 files"),
    threshold=Threshold(value=THRESHOLD, rule="fpr@0.05", fitted_on="select, 40 files"),
    data={"train": "1318 real, 1744 fake"},
    metrics={"AUC": 0.91234},
    licence="Apache-2.0",
    notes="A first version <of its kind>.",
    versions={"torch": "2.6.0"},
)


def verdict(path: str, probability: float | None = None, **facts: Any) -> Verdict:
    label = None if probability is None else "fake" if probability >= THRESHOLD else "real"
    given = {"status": "scored" if label else "abstained", "label": label, "probability": probability}
    base = {"path": path, "threshold": THRESHOLD, "detector": "tiny@f00d", "seconds": 0.1}
    return Verdict.model_validate(base | given | facts)


def face(score: float = 0.5, time_s: float | None = None, x: float = 20.0, person: int = 0) -> FaceVerdict:
    return FaceVerdict(box=(x, 20.0, 40.0, 40.0), score=score, time_s=time_s, person=person)


def shots(picture: np.ndarray, faces: list[FaceVerdict]) -> list[Evidence]:
    """The portrait as evidence of these faces, one picture for each time."""
    small = data_uri(np.ascontiguousarray(picture[20:220, 130:330]))
    cuts = [Cut(f, n, small) for n, f in enumerate(faces, 1)]
    times = dict.fromkeys(f.time_s for f in faces)
    return [Evidence(small, (400, 300), t, tuple(c for c in cuts if c.face.time_s == t)) for t in times]


class Page(HTMLParser):
    """What a browser would see: every tag with its attributes, and the text of the body."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._silent = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._silent = tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(
    folder: Path,
    verdicts: list[Verdict],
    evidence: Any = None,
    command: str = "verisight scan x",
    card: Card = CARD,
    heat: Any = None,
) -> Page:
    """The page as a browser sees it. evidence : what is shown of each verdict; None: what the files hold."""
    path = folder / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        if evidence is not None:
            patch.setattr(report, "evidence_of", lambda verdict, preprocess: evidence(verdict))
        write_report(path, verdicts, card, command=command, heat=heat)
    return Page(path.read_text(encoding="utf-8"))


def test_fakes_come_first_then_doubt_then_what_failed_then_the_rest_each_by_probability(tmp_path: Path) -> None:
    given = [
        verdict("low.jpg", 0.1),
        verdict("no-face.jpg", reason="no face found"),
        verdict("fake.jpg", 0.7),
        verdict("broken.jpg", status="failed", reason="cut off"),
        verdict("high.jpg", 0.6),
        verdict("faker.jpg", 0.9),
    ]
    text = page(tmp_path, given).text
    order = ["faker.jpg", "fake.jpg", "no-face.jpg", "broken.jpg", "high.jpg", "low.jpg"]
    places = [re.search(rf"(?<!\w){re.escape(name)}", text) for name in order]
    assert all(places)
    assert [p.start() for p in places if p] == sorted(p.start() for p in places if p)


def test_the_overview_counts_and_states_the_threshold(tmp_path: Path) -> None:
    given = [verdict(f"{i}.jpg", p) for i, p in enumerate((0.9, 0.8, 0.1, 0.2, 0.3))]
    seen = page(tmp_path, [*given, verdict("n.jpg", reason="no face found")])
    words = " ".join(seen.text.split())
    assert "6 files scanned" in words
    assert "2 fake 1 abstained 0 failed 3 no forgery found" in words
    assert "from a probability of 62 % on it calls a file fake" in words
    assert "2 of 6 files are called fake" in words
    assert "does not prove that a file is authentic" in words


def test_the_page_says_what_the_detector_is_and_how_to_get_the_same_again(tmp_path: Path) -> None:
    words = " ".join(
        page(tmp_path, [verdict("a.jpg", 0.1)], command="verisight scan 'a b' --report r.html").text.split()
    )
    for fact in (
        "tiny@f00d",
        "0.625, by the rule fpr@0.05, set on select, 40 files",
        "temperature 1.250, fitted on select, 40 files",
        "1318 real, 1744 fake",
        "AUC 0.912",
        "deepfake/erm",
        "A first version <of its kind>.",
        "torch 2.6.0",
        "verisight scan 'a b' --report r.html",
    ):
        assert fact in words, fact


def test_nobody_reads_that_a_file_is_real(tmp_path: Path) -> None:
    text = page(tmp_path, [verdict("a.jpg", 0.1)]).text
    assert "No forgery found a.jpg 10 %" in " ".join(text.split())
    assert not re.search(r"\breal\b", text.replace("1318 real, 1744 fake", ""))


def test_the_page_asks_for_nothing_and_runs_nothing(tmp_path: Path, portrait: np.ndarray) -> None:
    shown = shots(portrait, [face()])
    seen = page(tmp_path, [verdict("a.jpg", 0.9, faces=[face()])], lambda v: shown)
    assert not seen.all("script")
    assert not seen.all("link")
    assert {image["src"] for image in seen.all("img")} == {shown[0].uri}
    for tag, attributes in seen.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert re.match(r"#|data:image/webp;base64,", attributes.get(name) or "#"), (tag, attributes)
    (policy,) = [m["content"] for m in seen.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize("field", ["path", "reason", "detector", "command"])
def test_hostile_text_is_shown_escaped(tmp_path: Path, field: str) -> None:
    harmless = page(tmp_path, [verdict("x/a.jpg", 0.9, reason="r")])
    facts = {"reason": "r"} | ({field: HOSTILE} if field in ("reason", "detector") else {})
    path = HOSTILE if field == "path" else "x/a.jpg"
    seen = page(tmp_path, [verdict(path, 0.9, **facts)], command=HOSTILE if field == "command" else "verisight scan x")
    assert [tag for tag, _ in seen.tags] == [tag for tag, _ in harmless.tags]
    assert not set(seen.text) & set("\u202e\x1b")
    assert '<img src="http://evil.test/x" onerror=alert(1)>' in seen.text
    assert "{{7*7}}" in seen.text
    assert r"\u202egpj.exe\nline\x1b[31m" in seen.text


def test_the_bar_is_as_long_as_the_probability_and_the_threshold_is_marked(tmp_path: Path) -> None:
    seen = page(tmp_path, [verdict("a.jpg", 0.875, interval=(0.8125, 0.9375))])
    assert "87.50%" in [rect.get("width") for rect in seen.all("rect") if rect.get("class") == "share"]
    (interval,) = [rect for rect in seen.all("rect") if rect.get("class") == "interval"]
    assert (interval["x"], interval["width"]) == ("81.25%", "12.50%")
    assert {line["x1"] for line in seen.all("line") if line.get("class") == "threshold"} == {"62.50%"}
    labels = [svg.get("aria-label") for svg in seen.all("svg")]
    assert "Probability of forgery 88 %, 95 % interval 81-94 %, threshold 62 %" in labels


def test_the_zone_of_doubt_is_drawn_and_its_files_stand_as_abstained_with_their_figure(tmp_path: Path) -> None:
    clear = Threshold(value=0.25, rule="fnr@0.1", fitted_on="select, 40 files")
    doubted = verdict("d.jpg", reason="in doubt").model_copy(update={"probability": 0.5})
    card = CARD.model_copy(update={"clear": clear})
    seen = page(tmp_path, [doubted, verdict("n.jpg", reason="no face found"), verdict("a.jpg", 0.1)], card=card)
    words = " ".join(seen.text.split())
    assert "below 25 % it found no forgery, and in between it does not say" in words
    assert "2 abstained 1 in doubt" in words
    assert "Abstained: in doubt d.jpg" in words
    zones = [(r["x"], r["width"]) for r in seen.all("rect") if r.get("class") == "doubt"]
    assert zones == [("25.00%", "37.50%")] * 3  # in the histogram, and for each file with a probability
    assert "0.250, by the rule fnr@0.1" in words


def test_each_shown_face_has_its_score_its_time_and_a_description(tmp_path: Path, portrait: np.ndarray) -> None:
    faces = [face(0.75, 1.5), face(0.5, 2.5)]
    seen = page(tmp_path, [verdict("a.mp4", 0.9, faces=faces)], lambda v: shots(portrait, list(v.faces)))
    words = " ".join(seen.text.split())
    assert "75 % at 1.5 s" in words
    assert "50 % at 2.5 s" in words
    assert [i["alt"] for i in seen.all("img")] == [
        "The picture at 1.5 s",
        "Face 1",
        "The picture at 2.5 s",
        "Face 2",
    ]
    boxes = [(r["x"], r["y"], r["width"], r["height"]) for r in seen.all("rect") if r.get("class") == "halo"]
    assert boxes == [("20.0", "20.0", "40.0", "40.0")] * 2


def test_cautions_facts_and_origin_of_a_file_are_told(tmp_path: Path) -> None:
    facts = {
        "warnings": [Caution(code="small-face", text="The face is small."), Caution(code="own", text="Odd <b>.")],
        "quality": Quality(codec="h264", width=640, height=360, fps=25.0, crf=31.0, face_px=60.0, detail=0.5),
        "provenance": Provenance(claims=("It says that it was made by AI.",), made_with=("Camera X",)),
        "novelty": 0.75,
    }
    words = " ".join(page(tmp_path, [verdict("a.mp4", 0.9, **facts)]).text.split())
    for fact in (
        "The face is small.",
        "Odd <b>.",
        "640 × 360 px",
        "like CRF 31 of x264",
        "that of a face of 30 px",
        "It says that it was made by AI.",
        "Camera X",
        "more than 75 % of the faces",
    ):
        assert fact in words, fact


def test_a_heat_map_stands_beside_the_face_of_the_first_files_only(
    tmp_path: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MOST_HEAT", 2)
    asked = []

    def heat(given: Verdict) -> list[FaceHeat]:
        asked.append(given.path)
        return [FaceHeat(face(), portrait[:64, :64], Heat(np.ones((64, 64), np.float32)), "around the mouth")]

    given = [verdict(f"{i}.jpg", 0.9 - 0.01 * i, faces=[face()]) for i in range(4)]
    seen = page(tmp_path, given, lambda v: shots(portrait, list(v.faces)), heat=heat)
    assert asked == ["0.jpg", "1.jpg"]
    assert [i["alt"] for i in seen.all("img")].count("The same face under its heat map: around the mouth") == 2


def test_the_timeline_draws_the_highest_face_of_each_picture_in_time_order() -> None:
    faces = [face(0.5, 4.0), face(0.25, 0.0), face(1.0, 0.0), face(0.0, 1.0)]
    drawn = timeline(verdict("a.mp4", 0.9, faces=faces))
    assert drawn is not None
    (line,) = drawn.lines
    assert line.path == "0.00,0.00 25.00,100.00 100.00,50.00"
    assert drawn.duration_s == 4.0


def test_each_person_has_a_line_and_the_one_who_decides_lies_on_top() -> None:
    faces = [face(score, float(t), person=who) for who, score in enumerate((0.2, 0.9, 0.95)) for t in range(2)]
    people = [
        Person(person=0, probability=0.2, faces=2),
        Person(person=1, probability=0.9, faces=2),
        Person(person=2, probability=0.95, faces=2, counted=False),
    ]
    drawn = timeline(verdict("a.mp4", 0.9, faces=faces, people=people))
    assert drawn is not None
    assert [line.person.person for line in drawn.lines] == [2, 0, 1]
    assert [line.decides for line in drawn.lines] == [False, False, True]


def test_a_crowd_is_cut_to_the_most_suspicious() -> None:
    crowd = range(MOST_LINES + 3)
    faces = [face(0.01 * who, float(t), person=who) for who in crowd for t in range(2)]
    people = [Person(person=who, probability=0.01 * who, faces=2) for who in crowd]
    drawn = timeline(verdict("a.mp4", 0.1, faces=faces, people=people))
    assert drawn is not None
    assert (len(drawn.lines), drawn.left_out) == (MOST_LINES, 3)
    assert drawn.lines[-1].person.person == MOST_LINES + 2


def test_the_page_draws_a_timeline_of_a_clip(tmp_path: Path) -> None:
    seen = page(tmp_path, [verdict("a.mp4", 0.9, faces=[face(0.5, 0.0), face(0.75, 2.0)])])
    assert "0.00,50.00 100.00,25.00" in [line.get("points") for line in seen.all("polyline")]
    assert "37.50" in [rule.get("y1") for rule in seen.all("line")]  # the threshold, from above


@pytest.mark.parametrize("faces", [[], [face()], [face(), face(x=60)], [face(0.5, 1.0), face(0.6, 1.0)]])
def test_one_picture_has_no_timeline(faces: list[FaceVerdict]) -> None:
    assert timeline(verdict("a", 0.9, faces=faces)) is None


def test_the_histogram_holds_every_scored_file_once(tmp_path: Path) -> None:
    with Report(tmp_path / "r.html", CARD, command="x") as made:
        for p in (0.0, 0.01, 0.049, 0.05, 0.999, 1.0):
            made.add(verdict(f"{p}.jpg", p))
        made.add(verdict("n.jpg"))
    assert [bar.total() for bar in made._bins] == [3, 1, *[0] * 17, 2]


def test_what_needs_a_look_most_is_most_urgent() -> None:
    doubted = verdict("d").model_copy(update={"probability": 0.5})
    order = [
        verdict("f", 0.99),
        verdict("f", 0.7),
        doubted,
        verdict("x", status="failed"),
        verdict("r", 0.3),
        verdict("r", 0.1),
        verdict("n"),
    ]
    assert [urgency(v) for v in order] == sorted((urgency(v) for v in order), reverse=True)


def test_memory_is_bounded_whatever_the_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_CARDS", 7)
    with Report(tmp_path / "r.html", CARD, command="x") as made:
        for i in range(1000):
            made.add(verdict(f"{i}.jpg", (i * 37 % 1000) / 1000))
            assert len(made._kept) <= 7
    text = Page((tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert all(f"{i}.jpg" in text for i in range(1000) if i * 37 % 1000 >= 993)


def test_a_large_scan_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_CARDS", 5)
    asked: list[str] = []
    given = [verdict(f"real{i}.jpg", 0.1) for i in range(6)] + [verdict(f"fake{i}.jpg", 0.9) for i in range(3)]
    seen = page(tmp_path, given, lambda v: asked.append(v.path) or [])
    assert len(seen.all("article")) == 5
    assert sorted(asked) == ["fake0.jpg", "fake1.jpg", "fake2.jpg", "real0.jpg", "real1.jpg"]  # none in vain
    words = " ".join(seen.text.split())
    assert "This page shows the 5 files that need a look most; 4 more were left out." in words
    assert "6 no forgery found" in words


def test_nothing_scanned_is_a_page_too(tmp_path: Path) -> None:
    assert "No files were scanned" in page(tmp_path, []).text


def test_an_interrupted_report_leaves_the_old_one(tmp_path: Path) -> None:
    page(tmp_path, [verdict("old.jpg", 0.1)])

    def interrupted(v: Verdict) -> list[Evidence]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        page(tmp_path, [verdict("new.jpg", 0.1)], interrupted)
    assert "old.jpg" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_report_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VerisightError, match="the report cannot be written"):
        write_report(tmp_path / "file" / "r.html", [], CARD, command="x")
    with pytest.raises(VerisightError, match="is no regular file"):
        write_report(tmp_path, [], CARD, command="x")


def picture(path: Path, colours: list[tuple[int, int, int]]) -> Path:
    """Squares of 80 px beside one another, each of one colour."""
    strip = np.concatenate([np.full((80, 80, 3), colour, np.uint8) for colour in colours], axis=1)
    Image.fromarray(strip).save(path)
    return path


def mean_colour(cut: Cut) -> np.ndarray:
    shown = pixels(cut.uri)
    assert max(shown.shape) <= max(FACE_PX)
    return shown.mean(axis=(0, 1))


def pixels(uri: str) -> np.ndarray:
    shown = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/webp;base64,"))))
    assert shown.format == "WEBP"
    return np.asarray(shown.convert("RGB"), float)


def test_evidence_is_cut_where_the_face_was(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    path = picture(tmp_path / "three.png", colours)
    given = verdict(str(path), 0.9, faces=[face(0.1 * i, x=80.0 * i + 20) for i in range(3)])
    (shown,) = evidence_of(given, Preprocess(size=32, margin=1.0))
    assert shown.size == (240, 80)
    assert max(pixels(shown.uri).shape) <= max(FRAME_PX)
    cuts = {cut.face.box[0]: mean_colour(cut) for cut in shown.cuts}
    for i, colour in enumerate(colours):
        np.testing.assert_allclose(cuts[80.0 * i + 20], colour, atol=8)


def test_evidence_shows_the_six_highest_faces_the_highest_first(tmp_path: Path) -> None:
    path = picture(tmp_path / "one.png", [(9, 9, 9)])
    faces = [face(score, x=float(i)) for i, score in enumerate((0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6))]
    (shown,) = evidence_of(verdict(str(path), 0.9, faces=faces), Preprocess())
    assert shown.cuts[0].face.score == 0.9
    assert sorted(cut.face.score for cut in shown.cuts) == [0.3, 0.4, 0.6, 0.7, 0.8, 0.9]
    assert sorted(cut.number for cut in shown.cuts) == [1, 2, 3, 4, 5, 6]


def test_evidence_of_a_clip_is_cut_at_its_time_and_the_face_that_decides_leads(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    greys = [40, 40, 40, 40, 220, 220, 220, 220]
    write_h264([np.full((80, 80, 3), grey, np.uint8) for grey in greys], path, crf=10, fps=8)
    preprocess = Preprocess(frames=4)
    from verisight.data.media import open_media

    times = [frame.time_s for frame in open_media(path, frames=4)]
    given = verdict(str(path), 0.9, faces=[face(0.9, times[-1]), face(0.8, times[0])])
    lead, other = evidence_of(given, preprocess)
    assert [lead.time_s, other.time_s] == [times[-1], times[0]]
    np.testing.assert_allclose(mean_colour(lead.cuts[0]), 220, atol=8)
    np.testing.assert_allclose(mean_colour(other.cuts[0]), 40, atol=8)


def test_a_face_of_a_later_look_is_found_again(tmp_path: Path) -> None:
    """Its time is none of the first look's."""
    path = tmp_path / "clip.mp4"
    write_h264([np.full((80, 80, 3), 10 * i, np.uint8) for i in range(20)], path, crf=10, fps=10)
    (later,) = open_media(path, frames=2).at([0.7])
    assert later.time_s == pytest.approx(0.7)
    (shown,) = evidence_of(verdict(str(path), 0.9, faces=[face(0.9, later.time_s)]), Preprocess(frames=2))
    np.testing.assert_allclose(mean_colour(shown.cuts[0]), 70, atol=8)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xd8\xff changed since"])
def test_a_file_that_has_gone_or_changed_gives_no_evidence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    given = verdict(str(path), 0.9, faces=[face()])
    assert evidence_of(given, Preprocess()) == []
    assert "could not be read again" in page(tmp_path, [given]).text


# --- in a browser
# ---------------------------------------------------------------------------------------------------------

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--no-first-run"]

# Every visible text and its contrast with what lies behind it (WCAG 2.1, relative luminance).
CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const linear = v => v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !e.getClientRects().length) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    found.push([text.slice(0, 40), (a + .05) / (b + .05)]);
  }
  return found;
}"""
UNLABELLED = """[...document.querySelectorAll('[aria-labelledby]')]
  .filter(e => !document.getElementById(e.getAttribute('aria-labelledby'))).length"""
IDS = "[...document.querySelectorAll('[id]')].map(e => e.id)"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package 'playwright'")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("needs Chromium; on Debian: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> str:
    """Address of a page with every kind of card, hostile and long names among them."""
    times = [0.25 + 0.5 * i for i in range(16)]
    people = [Person(person=n, probability=0.8 - 0.3 * n, faces=16, counted=n < 2) for n in range(3)]
    told = {
        "people": people,
        "interval": (0.8, 0.97),
        "novelty": 0.4,
        "warnings": [Caution(code="small-face", text="The face is small."), Caution(code="own", text="Odd.")],
        "quality": Quality(codec="h264", width=640, height=360, fps=25.0, duration_s=8.0, crf=31.0, face_px=60.0),
        "provenance": Provenance(c2pa="invalid", claims=("x" * 120,), made_with=("Camera X",)),
        "reason": "stops early: 13 of 16 read",
    }
    verdicts = [
        verdict("photos/clip.mp4", 0.9, faces=[face(0.8, t, person=n) for n in range(3) for t in times], **told),
        verdict("doubt.jpg", reason="in doubt").model_copy(update={"probability": 0.5}),
        verdict(HOSTILE, 0.7, faces=[face(), face(x=90)]),
        verdict("photos/" + "long-folder/" * 9 + "x" * 120 + ".jpg", 0.1, faces=[face()]),
        verdict("n.jpg", reason="no face found"),
        verdict("broken.jpg", status="failed", reason="unbroken" * 40),
    ]
    path = tmp_path_factory.mktemp("page") / "report.html"

    def heat(given: Verdict) -> list[FaceHeat]:
        ramp = np.linspace(-1, 1, 64, dtype=np.float32)[None].repeat(64, axis=0)
        return [FaceHeat(given.faces[0], portrait[60:124, 190:254], Heat(ramp), "around the mouth")]

    card = CARD.model_copy(update={"clear": Threshold(value=0.4, rule="fnr@0.1", fitted_on="select")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "evidence_of", lambda v, _: shots(portrait, list(v.faces[:6])))
        write_report(path, verdicts, card, command="verisight scan " + "x" * 200, heat=heat)
    return path.as_uri()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_the_page_is_quiet_fits_and_can_be_read(
    chromium: Any, shown: str, scheme: str, width: int
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.on("dialog", lambda dialog: messages.append(dialog.message))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(shown)
    assert messages == []
    assert [url for url in requests if not url.startswith("data:")] == [shown]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    contrasts = tab.evaluate(CONTRAST)
    assert len(contrasts) > 50
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []
    dark = sum(tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")) < 3 * 128
    assert dark == (scheme == "dark")
    context.close()


@pytest.mark.browser
def test_in_a_browser_the_page_has_landmarks_headings_and_a_keyboard_path(chromium: Any, shown: str) -> None:
    tab = chromium.new_page(reduced_motion="reduce")
    tab.goto(shown)
    assert [tab.locator(tag).count() for tag in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    levels = tab.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert tab.evaluate(UNLABELLED) == 0
    assert len(set(tab.evaluate(IDS))) == len(tab.evaluate(IDS))
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the files"
    targets = []
    while "#fake" not in targets and len(targets) < 9:
        tab.keyboard.press("Tab")
        targets.append(tab.evaluate("document.activeElement.getAttribute('href')"))
    assert targets == ["#worth", "#fake"]
    tab.keyboard.press("Enter")
    tab.wait_for_url("**#fake")
    assert tab.locator("#fake").evaluate("e => e.getBoundingClientRect().top < innerHeight")
    summaries = tab.locator("summary").count()
    reached: set[int] = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("[...document.querySelectorAll('summary')].indexOf(document.activeElement)"))
    assert set(range(summaries)) <= reached
    assert summaries > 2
    tab.close()


@pytest.mark.browser
def test_in_a_browser_a_choice_hides_the_other_verdicts_and_the_page_prints(chromium: Any, shown: str) -> None:
    tab = chromium.new_page(viewport={"width": 1000, "height": 800})
    tab.goto(shown)
    assert tab.locator(".group:visible").count() == 4
    tab.get_by_label("no forgery found", exact=True).check()
    assert tab.locator(".group:visible").count() == 1
    assert tab.pdf(format="A4").startswith(b"%PDF")
    tab.close()

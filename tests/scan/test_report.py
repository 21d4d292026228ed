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
from verisight.data.quality import write_h264
from verisight.scan import report
from verisight.scan.report import Evidence, Timeline, evidence_of, write_report
from verisight.scan.verdict import FaceVerdict, Verdict

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


def face(score: float = 0.5, time_s: float | None = None, x: float = 20.0) -> FaceVerdict:
    return FaceVerdict(box=(x, 20.0, 40.0, 40.0), score=score, time_s=time_s)


def crop(picture: np.ndarray) -> str:
    """A data URI of the portrait's face."""
    stream = io.BytesIO()
    Image.fromarray(picture[20:220, 130:330]).resize((160, 160)).save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


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
    folder: Path, verdicts: list[Verdict], evidence: Any = lambda v: [], command: str = "verisight scan x"
) -> Page:
    path = folder / "report.html"
    write_report(path, verdicts, CARD, command=command, evidence=evidence)
    return Page(path.read_text(encoding="utf-8"))


def test_fakes_come_first_then_what_failed_then_the_rest_each_by_probability(tmp_path: Path) -> None:
    given = [
        verdict("low.jpg", 0.1),
        verdict("no-face.jpg", reason="no face found"),
        verdict("fake.jpg", 0.7),
        verdict("broken.jpg", status="failed", reason="cut off"),
        verdict("high.jpg", 0.6),
        verdict("faker.jpg", 0.9),
    ]
    text = page(tmp_path, given).text
    order = ["faker.jpg", "fake.jpg", "broken.jpg", "no-face.jpg", "high.jpg", "low.jpg"]
    places = [re.search(rf"(?<!\w){re.escape(name)}", text) for name in order]
    assert all(places)
    assert [p.start() for p in places if p] == sorted(p.start() for p in places if p)


def test_the_overview_counts_and_states_the_threshold(tmp_path: Path) -> None:
    given = [verdict(f"{i}.jpg", p) for i, p in enumerate((0.9, 0.8, 0.1, 0.2, 0.3))]
    seen = page(tmp_path, [*given, verdict("n.jpg", reason="no face found")])
    words = " ".join(seen.text.split())
    assert "6 files scanned" in words
    assert "2 fake 0 failed 1 abstained 3 no forgery found" in words
    assert "From 62 % on, a file is called fake" in words
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
        "A first version <of its kind>.",
        "torch 2.6.0",
        "verisight scan 'a b' --report r.html",
    ):
        assert fact in words, fact


def test_nobody_reads_that_a_file_is_real(tmp_path: Path) -> None:
    text = page(tmp_path, [verdict("a.jpg", 0.1)]).text
    assert "no forgery found, 10 %" in " ".join(text.split())
    assert not re.search(r"\breal\b", text.replace("1318 real, 1744 fake", ""))


def test_the_page_asks_for_nothing_and_runs_nothing(tmp_path: Path, portrait: np.ndarray) -> None:
    shown = crop(portrait)
    seen = page(tmp_path, [verdict("a.jpg", 0.9, faces=[face()])], lambda v: [Evidence(v.faces[0], shown)])
    assert not seen.all("script")
    assert not seen.all("link")
    assert [image["src"] for image in seen.all("img")] == [shown]
    for tag, attributes in seen.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert re.match(r"#|data:image/jpeg;base64,", attributes.get(name) or "#"), (tag, attributes)
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
    seen = page(tmp_path, [verdict("a.jpg", 0.875)])
    assert "87.50" in [rect.get("width") for rect in seen.all("rect")]
    assert "62.50" in [line.get("x1") for line in seen.all("line")]
    assert "Probability of forgery 88 %, threshold 62 %" in [svg.get("aria-label") for svg in seen.all("svg")]


def test_each_shown_face_has_its_score_its_time_and_a_description(tmp_path: Path, portrait: np.ndarray) -> None:
    faces = [face(0.75, 1.5), face(0.5, 2.5)]
    seen = page(
        tmp_path, [verdict("a.mp4", 0.9, faces=faces)], lambda v: [Evidence(f, crop(portrait)) for f in v.faces]
    )
    words = " ".join(seen.text.split())
    assert "75 % at 1.5 s" in words
    assert "50 % at 2.5 s" in words
    assert [i["alt"] for i in seen.all("img")] == [
        "Face 1 of 2, 1.5 s into the clip",
        "Face 2 of 2, 2.5 s into the clip",
    ]


def test_the_timeline_draws_the_highest_face_of_each_picture_in_time_order(tmp_path: Path) -> None:
    faces = [face(0.5, 4.0), face(0.25, 0.0), face(1.0, 0.0), face(0.0, 1.0)]
    seen = page(tmp_path, [verdict("a.mp4", 0.9, faces=faces)])
    (line,) = seen.all("polyline")
    assert line["points"] == "0.00,0.00 25.00,100.00 100.00,50.00"
    assert "37.50" in [rule.get("y1") for rule in seen.all("line")]  # the threshold, from above


@pytest.mark.parametrize("faces", [[], [face()], [face(), face(x=60)], [face(0.5, 1.0), face(0.6, 1.0)]])
def test_one_picture_has_no_timeline(tmp_path: Path, faces: list[FaceVerdict]) -> None:
    assert not page(tmp_path, [verdict("a", 0.9, faces=faces)]).all("polyline")


def test_the_dots_of_a_timeline_lie_on_its_line() -> None:
    timeline = Timeline(((0.0, 0.0), (2.0, 1.0)))
    assert timeline.line == "0.00,100.00 100.00,0.00"
    assert timeline.dots == "M0.00,100.00h0 M100.00,0.00h0"


def test_the_histogram_holds_every_scored_file_once(tmp_path: Path) -> None:
    given = [verdict(f"{p}.jpg", p) for p in (0.0, 0.01, 0.049, 0.05, 0.999, 1.0)]
    assert report._histogram([*given, verdict("n.jpg")]) == [3, 1, *[0] * 17, 2]


def test_a_large_scan_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_CARDS", 5)
    asked: list[str] = []
    given = [verdict(f"real{i}.jpg", 0.1) for i in range(6)] + [verdict(f"fake{i}.jpg", 0.9) for i in range(3)]
    seen = page(tmp_path, given, lambda v: asked.append(v.path) or [])
    assert len(seen.all("article")) == 5
    assert asked == ["fake0.jpg", "fake1.jpg", "fake2.jpg", "real0.jpg", "real1.jpg"]  # no work for what is not shown
    words = " ".join(seen.text.split())
    assert "This page shows 5 files; 4 more were left out. --format jsonl has them all." in words
    assert "6 no forgery found" in words


def test_nothing_scanned_is_a_page_too(tmp_path: Path) -> None:
    assert "0 files scanned" in page(tmp_path, []).text


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
        write_report(tmp_path / "file" / "r.html", [], CARD, command="x", evidence=lambda v: [])


def picture(path: Path, colours: list[tuple[int, int, int]]) -> Path:
    """Squares of 80 px beside one another, each of one colour."""
    strip = np.concatenate([np.full((80, 80, 3), colour, np.uint8) for colour in colours], axis=1)
    Image.fromarray(strip).save(path)
    return path


def mean_colour(evidence: Evidence) -> np.ndarray:
    code = base64.b64decode(evidence.jpeg.removeprefix("data:image/jpeg;base64,"))
    shown = Image.open(io.BytesIO(code))
    assert shown.format == "JPEG"
    assert max(shown.size) <= report.EVIDENCE_PX
    return np.asarray(shown.convert("RGB"), float).mean(axis=(0, 1))


def test_evidence_is_cut_where_the_face_was(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    path = picture(tmp_path / "three.png", colours)
    given = verdict(str(path), 0.9, faces=[face(0.1 * i, x=80.0 * i + 20) for i in range(3)])
    shown = {e.face.box[0]: mean_colour(e) for e in evidence_of(given, Preprocess(size=32, margin=1.0))}
    for i, colour in enumerate(colours):
        np.testing.assert_allclose(shown[80.0 * i + 20], colour, atol=4)


def test_evidence_shows_the_six_highest_faces(tmp_path: Path) -> None:
    path = picture(tmp_path / "one.png", [(9, 9, 9)])
    faces = [face(score, x=float(i)) for i, score in enumerate((0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6))]
    shown = evidence_of(verdict(str(path), 0.9, faces=faces), Preprocess())
    assert sorted(e.face.score for e in shown) == [0.3, 0.4, 0.6, 0.7, 0.8, 0.9]


def test_evidence_of_a_clip_is_cut_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    greys = [40, 40, 40, 40, 220, 220, 220, 220]
    write_h264([np.full((80, 80, 3), grey, np.uint8) for grey in greys], path, crf=10, fps=8)
    preprocess = Preprocess(frames=4)
    from verisight.data.media import open_media

    times = [frame.time_s for frame in open_media(path, frames=4)]
    given = verdict(str(path), 0.9, faces=[face(0.9, times[-1]), face(0.8, times[0])])
    first, last = evidence_of(given, preprocess)
    assert [first.face.time_s, last.face.time_s] == [times[0], times[-1]]
    np.testing.assert_allclose(mean_colour(first), 40, atol=8)
    np.testing.assert_allclose(mean_colour(last), 220, atol=8)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xd8\xff changed since"])
def test_a_file_that_has_gone_or_changed_gives_no_evidence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    given = verdict(str(path), 0.9, faces=[face()])
    assert evidence_of(given, Preprocess()) == []
    assert "could not be read again" in page(tmp_path, [given], lambda v: evidence_of(v, Preprocess())).text


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
    verdicts = [
        verdict("photos/clip.mp4", 0.9, faces=[face(0.8, t) for t in times], reason="stops early: 13 of 16 read"),
        verdict(HOSTILE, 0.7, faces=[face(), face(x=90)]),
        verdict("photos/" + "long-folder/" * 9 + "x" * 120 + ".jpg", 0.1, faces=[face()]),
        verdict("n.jpg", reason="no face found"),
        verdict("broken.jpg", status="failed", reason="unbroken" * 40),
    ]
    path = tmp_path_factory.mktemp("page") / "report.html"
    image = crop(portrait)
    write_report(
        path,
        verdicts,
        CARD,
        command="verisight scan " + "x" * 200,
        evidence=lambda v: [Evidence(f, image) for f in v.faces[:6]],
    )
    return path.as_uri()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
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
    tab = chromium.new_page()
    tab.goto(shown)
    assert [tab.locator(tag).count() for tag in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    levels = tab.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert tab.evaluate(UNLABELLED) == 0
    assert len(set(tab.evaluate(IDS))) == len(tab.evaluate(IDS))
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the files"
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**#fake")
    assert tab.locator("#fake").evaluate("e => e.getBoundingClientRect().top < innerHeight")
    tab.close()

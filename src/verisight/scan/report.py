"""A self-contained HTML page of a scan: what was found, where one sees it, and what it is worth."""

from __future__ import annotations

import contextlib
import heapq
import os
import platform
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

from verisight.core.checkpoint import Card
from verisight.core.errors import VerisightError
from verisight.core.progress import track
from verisight.evaluate.record import now
from verisight.scan.cautions import LONG
from verisight.scan.evidence import Evidence, data_uri, evidence_of
from verisight.scan.heat import STRONGEST, FaceHeat, overlay, palette
from verisight.scan.output import percent, span, visible, word
from verisight.scan.provenance import facts
from verisight.scan.verdict import Person, Quality, Verdict

if TYPE_CHECKING:
    from jinja2 import Template

Heater = Callable[[Verdict], Sequence[FaceHeat]]

MOST_CARDS = 500  # what a browser shows with ease, and what is held in memory
MOST_HEAT = 60  # files with a heat map, which costs some fifty scores of the detector
MOST_LINES = 6  # people in one timeline
BINS = 20  # of the histogram of probabilities: 5 % each

# What a reader must see first comes first. The anchor names the section; `mark` says the same without colour.
SECTIONS = (
    ("fake", "fake", "▲"),
    ("abstained", "abstained", "?"),
    ("failed", "failed", "✕"),
    ("no forgery found", "fine", "○"),
)
STACK = ("no forgery found", "abstained", "fake")  # a bar of the histogram, from below


@dataclass(frozen=True)
class Where:
    """What the detector saw of the face that decides, and the same under its heat map, as data URIs. words : where
    most of the heat lies."""

    crop: str
    overlay: str
    words: str


@dataclass(frozen=True)
class Line:
    """One person over time. points : (% from the left, % from the top) of a plot, in time order."""

    person: Person
    decides: bool
    points: tuple[tuple[float, float], ...]

    @property
    def path(self) -> str:
        """The points of an SVG polyline in a space of 100 x 100."""
        return " ".join(f"{x:.2f},{y:.2f}" for x, y in self.points)


@dataclass(frozen=True)
class Timeline:
    """The people of a clip; the one who decides is the last, drawn on top. left_out : people not drawn."""

    duration_s: float
    lines: tuple[Line, ...]
    left_out: int


@dataclass(frozen=True)
class FileCard:
    """What the page says of one file.

    evidence : the picture with the face that decides comes first.
    """

    verdict: Verdict
    evidence: Sequence[Evidence]
    where: Where | None = None

    @property
    def name(self) -> str:
        """The path without its folders."""
        return os.path.basename(self.verdict.path) or self.verdict.path

    @property
    def shown(self) -> int:
        """How many faces are."""
        return sum(len(evidence.cuts) for evidence in self.evidence)

    @property
    def timeline(self) -> Timeline | None:
        return timeline(self.verdict)


@dataclass(frozen=True)
class Section:
    """The files of one verdict. number : of all of them; shown : of those with a card. cards : made one by one."""

    word: str
    anchor: str
    mark: str
    number: int
    shown: int
    cards: Iterable[FileCard]


class Report:
    """A page that takes verdicts one by one, as a context, and is written atomically when it ends well.

    Of however many files it counts all and holds the MOST_CARDS that a person should look at first, so that its memory
    is bounded. Their evidence is cut from the files again at the end, card by card, straight into the page.

    Parameters
    ----------
    path : of the page. card : of the detector. command : that makes the verdicts.
    heat : gives the heat of a file's faces, of which the first is shown: `heats_of`, bound to a detector. It is asked
        for at most MOST_HEAT files; None: the page has no heat maps.

    Raises
    ------
    VerisightError : the page cannot be written; before the first verdict, if that can be known.
    """

    def __init__(self, path: Path, card: Card, *, command: str, heat: Heater | None = None) -> None:
        self._path, self._card, self._command, self._heat = path.resolve(), card, command, heat
        self._part = self._path.with_name(f".{self._path.name}.part")  # hidden, as no scan is to find it
        self._kept: list[tuple[tuple[int, float], int, Verdict]] = []  # a heap; the file to drop first is at its top
        self._numbers: Counter[str] = Counter()
        self._in_doubt, self._faces = 0, 0
        self._bins = [Counter[str]() for _ in range(BINS)]

    def __enter__(self) -> Self:
        if self._path.exists() and not self._path.is_file():
            raise VerisightError(self._path, "exists and is no regular file", "name another file")
        with self._writing():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._part.touch()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with self._writing():
                    self._write()
        finally:
            self._part.unlink(missing_ok=True)

    def add(self, verdict: Verdict) -> None:
        """Count a verdict, and keep it while it is among those that matter most."""
        name = word(verdict)
        self._numbers[name] += 1
        self._faces += len(verdict.faces)
        if verdict.probability is not None:
            self._in_doubt += verdict.status == "abstained"
            self._bins[min(int(verdict.probability * BINS), BINS - 1)][name] += 1
        entry = (urgency(verdict), -self._numbers.total(), verdict)  # of equals the earlier one stays
        if len(self._kept) < MOST_CARDS:
            heapq.heappush(self._kept, entry)
        else:
            heapq.heappushpop(self._kept, entry)

    def _write(self) -> None:
        files = self._numbers.total()
        parts = _template().generate(
            sections=self._sections(),
            numbers=self._numbers,
            files=files,
            in_doubt=self._in_doubt,
            faces=self._faces,
            left_out=files - len(self._kept),
            most=MOST_CARDS,
            bars=[[(name, bar[name]) for name in STACK] for bar in self._bins],
            card=self._card,
            detector=max(self._kept)[2].detector if self._kept else self._card.name,
            command=self._command,
            versions={"verisight": version("verisight"), "python": platform.python_version()},
            created=now(),
            metrics=[(name, f"{value:.3f}") for name, value in self._card.metrics.items()],
            long=LONG,
            palette=_palette(),
        )
        with open(self._part, "w", encoding="utf-8", newline="\n") as page:
            page.writelines(parts)
        os.replace(self._part, self._path)

    def _sections(self) -> list[Section]:
        """One section for each verdict; the cards of all of them come out of one stream, in that order."""
        files = [verdict for *_, verdict in sorted(self._kept, reverse=True)]
        groups = [sorted((v for v in files if word(v) == name), key=_by_probability) for name, *_ in SECTIONS]
        cards = self._cards([verdict for group in groups for verdict in group])
        return [
            Section(name, anchor, mark, self._numbers[name], len(group), _next(cards, len(group)))
            for (name, anchor, mark), group in zip(SECTIONS, groups, strict=True)
        ]

    def _cards(self, verdicts: Sequence[Verdict]) -> Iterator[FileCard]:
        """Cards in the order given. Files are read ahead by a few threads; heat maps are made one at a time."""
        heated = 0
        for verdict, evidence in track(_ahead(self._evidence, verdicts), "report", len(verdicts)):
            heats: Sequence[FaceHeat] = ()
            if self._heat is not None and evidence and heated < MOST_HEAT:
                heats = self._heat(verdict)[:1]
                heated += 1
            where = [Where(data_uri(h.crop), data_uri(overlay(h.crop, h.heat)), h.where) for h in heats]
            yield FileCard(verdict, evidence, *where)

    def _evidence(self, verdict: Verdict) -> list[Evidence]:
        return evidence_of(verdict, self._card.preprocess)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"the report cannot be written ({error.strerror})"
            raise VerisightError(self._path, reason, "name another file") from error


def write_report(
    path: Path, verdicts: Iterable[Verdict], card: Card, *, command: str, heat: Heater | None = None
) -> None:
    """Write the page of verdicts that are there already; arguments and errors as those of `Report`."""
    with Report(path, card, command=command, heat=heat) as report:
        for verdict in verdicts:
            report.add(verdict)


def urgency(verdict: Verdict) -> tuple[int, float]:
    """What a person should look at first is highest: fakes, what lies in doubt, what nobody judged for it could not be
    read, what passed, and last what shows no face; within each by probability."""
    if verdict.probability is None:
        return (2 if verdict.status == "failed" else 0), 0.0
    return (4 if verdict.label == "fake" else 1 if verdict.label else 3), verdict.probability


def timeline(verdict: Verdict) -> Timeline | None:
    """None for a picture, and for a clip of which one picture was judged."""
    times = {face.time_s for face in verdict.faces if face.time_s is not None}
    if len(times) < 2:
        return None
    length = max(*times, (verdict.quality and verdict.quality.duration_s) or 0.0)
    decisive = verdict.suspect
    people = {person.person: person for person in verdict.people}
    lines = []
    for number in sorted({face.person for face in verdict.faces}):
        highest: dict[float, float] = {}
        for face in verdict.faces:
            if face.person == number and face.time_s is not None:
                highest[face.time_s] = max(face.score, highest.get(face.time_s, 0.0))
        points = tuple((100 * t / length, 100 * (1 - p)) for t, p in sorted(highest.items()))
        person = people.get(number) or Person(person=number, probability=max(highest.values()), faces=len(points))
        lines.append(Line(person, decisive is None or number == decisive.person, points))
    lines.sort(key=lambda line: (line.decides, line.person.counted, line.person.probability))
    return Timeline(length, tuple(lines[-MOST_LINES:]), max(0, len(lines) - MOST_LINES))


def quality_facts(quality: Quality) -> list[tuple[str, str]]:
    """Name and value of what is known, for people."""
    rows = [("format", quality.codec), ("picture", f"{quality.width} × {quality.height} px")]
    if quality.jpeg_quality is not None:
        rows.append(("JPEG quality", f"about {quality.jpeg_quality} of 100"))
    if quality.duration_s is not None:
        rows.append(("length", f"{quality.duration_s:.1f} s"))
    if quality.fps is not None:
        rows.append(("pictures a second", f"{quality.fps:.4g}"))
    if quality.kbit_s is not None:
        rows.append(("bit rate", f"{quality.kbit_s:,.0f} kbit/s"))
    if quality.crf is not None:
        rows.append(("compression", f"like CRF {quality.crf:.0f} of x264; 0 is lossless, 51 the worst"))
    if quality.face_px is not None:
        rows.append(("face", f"{quality.face_px:.0f} px"))
    if quality.face_px is not None and quality.detail is not None:
        rows.append(("detail in the face", f"that of a face of {quality.detail * quality.face_px:.0f} px"))
    return rows


def _by_probability(verdict: Verdict) -> float:
    return -1.0 if verdict.probability is None else -verdict.probability


def _ahead(
    work: Callable[[Verdict], list[Evidence]], verdicts: Iterable[Verdict]
) -> Iterator[tuple[Verdict, list[Evidence]]]:
    """What `work` gives for each, in the order given; a few are at work before they are asked for."""
    workers = os.cpu_count() or 1
    waiting: deque[tuple[Verdict, Future[list[Evidence]]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for verdict in verdicts:
            waiting.append((verdict, pool.submit(work, verdict)))
            if len(waiting) > 2 * workers:
                first, result = waiting.popleft()
                yield first, result.result()
        for first, result in waiting:
            yield first, result.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _next(cards: Iterator[FileCard], number: int) -> Iterator[FileCard]:
    """The next so many. It asks for no more than these: the rest is another section's."""
    for _ in range(number):
        yield next(cards)


def _palette() -> str:
    """The colours of a heat map from `against` to `for fake`, clear in the middle: stops of a CSS gradient."""
    stops = [(palette()[round(255 * share)], STRONGEST * abs(2 * share - 1)) for share in (0, 0.25, 0.5, 0.75, 1)]
    return ", ".join(f"rgb({r} {g} {b} / {alpha:.2f})" for (r, g, b), alpha in stops)


def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("verisight", "scan"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"visible": visible, "percent": percent, "span": span}
    environment.filters |= {"made_of": quality_facts, "origin": facts}
    return environment.get_template("report.html.j2")

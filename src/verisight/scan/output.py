"""Verdicts on stdout: a table for people; JSON, JSON lines and CSV for programs."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Callable
from typing import Protocol, Self, TextIO

from verisight.scan.verdict import Verdict

# A detector cannot prove that something is real: neither the words nor a green light may say so.
WORDS = {"fake": "fake", "real": "no forgery found"}
STYLES = {"fake": "bold red", "no forgery found": "cyan", "abstained": "yellow", "failed": "magenta"}
_FILE = 42  # the column of the table where the file begins


def word(verdict: Verdict) -> str:
    """The verdict as people read it."""
    return WORDS[verdict.label] if verdict.label else verdict.status


def percent(probability: float) -> str:
    """A probability for people; what is not certain never reads as 0 % or 100 %."""
    if 0 < probability < 0.005:
        return "<1 %"
    if 0.995 <= probability < 1:
        return ">99 %"
    return f"{100 * probability:.0f} %"


def visible(text: str) -> str:
    """Text in which control characters, reordering marks and line breaks show as escapes.

    File names are a stranger's: raw, they could colour a terminal, or read backwards.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class Writer(Protocol):
    """A format: used as a context, given verdicts one by one."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def write(self, verdict: Verdict) -> None:
        """Take one verdict."""
        ...


class JsonLines:
    """One object a line, out as soon as it is there."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def write(self, verdict: Verdict) -> None:
        self._stream.write(verdict.model_dump_json() + "\n")
        self._stream.flush()


class Json:
    """One array; closed properly even when the scan is interrupted."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._count = stream, 0

    def __enter__(self) -> Self:
        self._stream.write("[")
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.write("\n]\n")
        self._stream.flush()

    def write(self, verdict: Verdict) -> None:
        self._stream.write((",\n" if self._count else "\n") + verdict.model_dump_json())
        self._count += 1


class Csv:
    """One row a file, out as soon as it is there; `faces` counts them. Nothing in it runs as a spreadsheet formula."""

    COLUMNS = (
        "path",
        "status",
        "label",
        "probability",
        "threshold",
        "reason",
        "faces",
        "highest_face_score",
        "detector",
        "seconds",
    )

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # All text is quoted: csv leaves a carriage return bare, at which every reader would end the row.
        self._rows = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)

    def __enter__(self) -> Self:
        self._rows.writerow(self.COLUMNS)
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def write(self, verdict: Verdict) -> None:
        row = verdict.model_dump() | {
            "path": f"./{verdict.path}" if _is_formula(verdict.path) else verdict.path,  # still the same file
            "reason": f"'{verdict.reason}" if _is_formula(verdict.reason) else verdict.reason,
            "detector": f"'{verdict.detector}" if _is_formula(verdict.detector) else verdict.detector,
            "faces": len(verdict.faces),
            "highest_face_score": max((face.score for face in verdict.faces), default=None),
        }
        self._rows.writerow([row[name] for name in self.COLUMNS])
        self._stream.flush()


class Table:
    """For people: a row a file as it is judged, then a line that counts. Colour only on a terminal.

    console : for a progress bar that is to stay below the rows.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self.console = Console(file=stream, highlight=False, emoji=False)
        # A file or a pipe has no width: nothing is shortened there.
        self._room = max(20, self.console.width - _FILE) if self.console.is_terminal else 10_000
        self._cells = "█░" if self.console.encoding.startswith("utf") else "#."
        self._counts = dict.fromkeys(STYLES, 0)

    def __enter__(self) -> Self:
        self._print((f"{'verdict':<16} {'fake':>6} {'':<10} {'faces':>5}  file", "bold"))
        return self

    def __exit__(self, *_: object) -> None:
        files = sum(self._counts.values())
        scored = self._counts["fake"] + self._counts["no forgery found"]
        counts = ", ".join(f"{number} {name}" for name, number in self._counts.items())
        self._print(("", ""))
        self._print((f"{files} {'file' if files == 1 else 'files'}, {scored} scored: {counts}", ""))
        if self._counts["no forgery found"]:
            self._print(("'No forgery found' is not a proof of authenticity.", "dim"))

    def write(self, verdict: Verdict) -> None:
        name = word(verdict)
        self._counts[name] += 1
        share = "-" if verdict.probability is None else percent(verdict.probability)
        faces = str(len(verdict.faces) or "-")
        self._print(
            (f"{name:<16}", STYLES[name]),
            (f" {share:>6} ", ""),
            (f"{self._bar(verdict.probability):<10}", STYLES[name]),
            (f" {faces:>5}  {shortened(visible(verdict.path), self._room)}", ""),
        )
        for line in textwrap.wrap(visible(verdict.reason or ""), self._room):
            self._print((" " * _FILE + line, "dim"))

    def _bar(self, probability: float | None) -> str:
        """Ten cells, as many filled as tenths."""
        if probability is None:
            return ""
        filled = round(10 * probability)
        return self._cells[0] * filled + self._cells[1] * (10 - filled)

    def _print(self, *parts: tuple[str, str]) -> None:
        """One line of text and style pairs; no markup, since file names may hold brackets."""
        from rich.text import Text

        self.console.print(Text.assemble(*parts), soft_wrap=True)


def writer(format: str, stream: TextIO) -> Writer:
    """The writer of a format: table, json, jsonl or csv. What programs read is UTF-8 whatever the locale says."""
    kinds: dict[str, Callable[[TextIO], Writer]] = {"table": Table, "json": Json, "jsonl": JsonLines, "csv": Csv}
    if isinstance(stream, io.TextIOWrapper):
        if format == "table":
            stream.reconfigure(errors="backslashreplace")
        else:
            stream.reconfigure(encoding="utf-8", newline="\n")
    return kinds[format](stream)


def shortened(text: str, width: int) -> str:
    """Text of at most `width` terminal cells, cut in the middle so that its end, a file's name, stays."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    tail = width * 2 // 3
    return set_cell_size(text, width - tail - 1) + "…" + set_cell_size(text[::-1], tail)[::-1]


def _is_formula(text: str | None) -> bool:
    return bool(text) and str(text)[0] in "=+-@\t\r"

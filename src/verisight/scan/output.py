"""Verdicts on stdout: a table for people; JSON, JSON lines and CSV for programs."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Protocol, Self, TextIO

from verisight.scan.verdict import Verdict

WORDS = {"fake": "fake", "real": "no forgery found"}  # a detector cannot prove that something is real
STYLES = {"fake": "bold red", "no forgery found": "green", "abstained": "yellow", "failed": "magenta"}


def word(verdict: Verdict) -> str:
    """The verdict as people read it."""
    return WORDS[verdict.label] if verdict.label else verdict.status


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
    """One row a file. A field that a spreadsheet would run as a formula gets a leading quote."""

    COLUMNS = ("path", "status", "label", "probability", "threshold", "reason", "faces", "detector", "seconds")

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rows = csv.writer(stream, lineterminator="\n")

    def __enter__(self) -> Self:
        self._rows.writerow(self.COLUMNS)
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def write(self, verdict: Verdict) -> None:
        row = {name: getattr(verdict, name) for name in self.COLUMNS} | {"faces": len(verdict.faces)}
        self._rows.writerow(["" if v is None else _harmless(v) for v in row.values()])
        self._stream.flush()


class Table:
    """For people: a row a file as it is judged, then a line that counts."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._counts = dict.fromkeys(("fake", "no forgery found", "abstained", "failed"), 0)

    def __enter__(self) -> Self:
        self._console.print(f"[bold]{'verdict':<17} {'fake':>5} {'faces':>5}  file[/]")
        return self

    def __exit__(self, *_: object) -> None:
        counted = sum(self._counts.values())
        parts = [f"{number} {name}" for name, number in self._counts.items() if number]
        self._console.print(f"\n{counted} files: {', '.join(parts) or 'none'}")
        if self._counts["no forgery found"]:
            self._console.print("[dim]'No forgery found' is not a proof of authenticity.[/]")

    def write(self, verdict: Verdict) -> None:
        from rich.markup import escape

        verdict_word = word(verdict)
        self._counts[verdict_word] += 1
        share = "-" if verdict.probability is None else f"{100 * verdict.probability:.0f} %"
        faces = str(len(verdict.faces)) if verdict.faces else "-"
        reason = f" [dim]{escape(verdict.reason)}[/]" if verdict.reason else ""
        file = escape(_shown(verdict.path, 60))
        style = STYLES[verdict_word]
        self._console.print(f"[{style}]{verdict_word:<17}[/] {share:>5} {faces:>5}  {file}{reason}")


def writer(format: str, stream: TextIO) -> Writer:
    """The writer of a format: table, json, jsonl or csv."""
    kinds: dict[str, Callable[[TextIO], Writer]] = {"table": Table, "json": Json, "jsonl": JsonLines, "csv": Csv}
    return kinds[format](stream)


def _harmless(value: object) -> object:
    text = str(value)
    return "'" + text if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _shown(path: str, width: int) -> str:
    """A path on one line, shortened in the middle so that its name stays."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in path)
    if len(clean) <= width:
        return clean
    tail = width * 2 // 3
    return clean[: width - tail - 1] + "…" + clean[-tail:]

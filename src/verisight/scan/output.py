"""Verdicts on stdout or in a file: a table for people; JSON, JSON lines, CSV and Parquet for programs."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, Self, TextIO, Union, get_args, get_origin

from verisight.core.errors import VerisightError
from verisight.core.value import Value
from verisight.scan.verdict import Verdict

if TYPE_CHECKING:
    import pyarrow as pa

# A detector cannot prove that something is real: neither the words nor a green light may say so.
WORDS = {"fake": "fake", "real": "no forgery found"}
STYLES = {"fake": "bold red", "no forgery found": "cyan", "abstained": "yellow", "failed": "magenta"}
_BELOW = 17  # the column of the table where what is said of a file begins
_MOST_CAUTIONS = 2  # in the table; programs get all
_GROUP = 8192  # verdicts and faces in one row group of Parquet: what is held in memory


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


def span(interval: tuple[float, float]) -> str:
    """An interval of a probability in percent, such as `88-99`; rounded outwards, so that it never reads narrower."""
    low, high = interval
    return f"{math.floor(100 * low + 1e-9)}-{math.ceil(100 * high - 1e-9)}"


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
    """One row a file, out as soon as it is there. Nothing in it runs as a spreadsheet formula.

    `people` and `faces` count them, `warnings` are codes with `;` between them, `codec` to `crf` are of the quality.
    """

    COLUMNS = (
        "path",
        "status",
        "label",
        "probability",
        "interval_low",
        "interval_high",
        "threshold",
        "reason",
        "novelty",
        "people",
        "faces",
        "highest_face_score",
        "warnings",
        "codec",
        "width",
        "height",
        "face_px",
        "jpeg_quality",
        "crf",
        "c2pa",
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
        low, high = verdict.interval or (None, None)
        quality = {} if verdict.quality is None else verdict.quality.model_dump()
        cells = {
            **quality,
            **dict(verdict),
            "interval_low": low,
            "interval_high": high,
            "people": len(verdict.people),
            "faces": len(verdict.faces),
            "highest_face_score": max((face.score for face in verdict.faces), default=None),
            "warnings": ";".join(caution.code for caution in verdict.warnings),
            "c2pa": verdict.provenance and verdict.provenance.c2pa,
        }
        row = {name: _harmless(cells.get(name)) for name in self.COLUMNS}
        if _is_formula(verdict.path):
            row["path"] = f"./{verdict.path}"  # still the same file
        self._rows.writerow(row.values())
        self._stream.flush()


class Parquet:
    """The fields of JSON as typed columns: lists and structs where JSON has arrays and objects.

    stream : binary; whole only after the context has ended, since Parquet ends with its table of contents.
    """

    def __init__(self, stream: BinaryIO) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = pa.schema(list(_arrow(Verdict)))
        self._file = pq.ParquetWriter(stream, self._schema, compression="zstd")
        self._held = list[Verdict]()
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._put()
        self._file.close()

    def write(self, verdict: Verdict) -> None:
        self._held.append(verdict)
        self._size += 1 + len(verdict.faces)
        if self._size >= _GROUP:
            self._put()

    def _put(self) -> None:
        """Write what is held as one row group."""
        import pyarrow as pa

        if self._held:
            rows = [verdict.model_dump() for verdict in self._held]
            self._file.write_table(pa.Table.from_pylist(rows, schema=self._schema))
            self._held, self._size = [], 0


class Table:
    """For people: a row a file as it is judged, then a line that counts. Colour only on a terminal.

    console : for a progress bar that is to stay below the rows.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self.console = Console(file=stream, highlight=False, emoji=False)
        # A file or a pipe has no width: nothing is shortened there.
        width = self.console.width if self.console.is_terminal else 10_000
        self._share = 14 if width >= 80 else 5  # `97 % (88-99)`, or without the interval
        self._file = 28 + self._share + 8  # the column where the file begins
        self._room, self._room_below = max(20, width - self._file), max(20, width - _BELOW)
        self._cells = "█░" if self.console.encoding.startswith("utf") else "#."
        self._counts = dict.fromkeys(STYLES, 0)

    def __enter__(self) -> Self:
        share = f"{'fake':>5} (95 %)"[: self._share]
        self._print((f"{'verdict':<16} {share:<{self._share}} {'':<10} {'faces':>5}  file", "bold"))
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
        share = f"{'-' if verdict.probability is None else percent(verdict.probability):>5}"
        if verdict.interval is not None and self._share > len(share):
            share += f" ({span(verdict.interval)})"
        faces = str(len(verdict.faces) or "-")
        self._print(
            (f"{name:<16}", STYLES[name]),
            (f" {share:<{self._share}} ", ""),
            (f"{self._bar(verdict.probability):<10}", STYLES[name]),
            (f" {faces:>5}  {shortened(visible(verdict.path), self._room)}", ""),
        )
        self.note(visible(verdict.reason or ""))
        for caution in verdict.warnings[:_MOST_CAUTIONS]:
            self.note(visible(f"! {caution.text}"))
        if (more := len(verdict.warnings) - _MOST_CAUTIONS) > 0:
            self.note(f"! {more} more; --format json and --report have all")

    def note(self, text: str) -> None:
        """Lines below the row that was written last."""
        for line in text.splitlines():
            for piece in textwrap.wrap(visible(line), self._room_below):
                self._print((" " * _BELOW + piece, "dim"))

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


TEXT: dict[str, Callable[[TextIO], Writer]] = {"table": Table, "json": Json, "jsonl": JsonLines, "csv": Csv}


def writer(format: str, stream: TextIO) -> Writer:
    """The writer of a format of text, to a stream. What programs read is UTF-8 whatever the locale says.

    Raises
    ------
    VerisightError : the format is Parquet, which is binary and cannot be read before it is whole.
    """
    if format == "parquet":
        raise VerisightError("--format parquet", "is binary and goes to a file", "add: --out FILE.parquet")
    if isinstance(stream, io.TextIOWrapper):
        if format == "table":
            stream.reconfigure(errors="backslashreplace")
        else:
            stream.reconfigure(encoding="utf-8", newline="\n")
    return TEXT[format](stream)


@contextlib.contextmanager
def file_writer(format: str, path: Path) -> Iterator[Writer]:
    """The writer of any format to a file, which bears its name only when it is whole.

    Until then it is `.NAME.part` beside it: hidden, so that no scan of that folder takes it for a picture. Ctrl-C
    closes it with what is done and gives it its name; a fault leaves the part, and a file that was there before.

    Raises
    ------
    VerisightError : the file cannot be written, or something is there that is no file.
    """
    path = path.resolve()  # a link stays a link
    part = path.with_name(f".{path.name}.part")
    if path.exists() and not path.is_file():  # to put a file in the place of /dev/null would be a mischief
        raise VerisightError(path, "exists and is no regular file", "name another file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            if format == "parquet":
                out: Writer = stack.enter_context(Parquet(stack.enter_context(open(part, "wb"))))
            else:
                out = stack.enter_context(TEXT[format](stack.enter_context(_text_file(part))))
            yield out
    except KeyboardInterrupt:
        os.replace(part, path)
        raise
    except OSError as error:
        raise VerisightError(path, f"cannot be written ({error.strerror})", "name another file") from error
    else:
        os.replace(part, path)


def _text_file(path: Path) -> TextIO:
    return open(path, "w", encoding="utf-8", newline="\n")


def shortened(text: str, width: int) -> str:
    """Text of at most `width` terminal cells, cut in the middle so that its end, a file's name, stays."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    tail = width * 2 // 3
    return set_cell_size(text, width - tail - 1) + "…" + set_cell_size(text[::-1], tail)[::-1]


def _is_formula(text: object) -> bool:
    return isinstance(text, str) and text[:1] in tuple("=+-@\t\r")


def _harmless(cell: object) -> object:
    """A cell that no spreadsheet computes."""
    return f"'{cell}" if _is_formula(cell) else cell


def _arrow(kind: Any) -> pa.DataType:
    """The Arrow type of a field of a value, from its annotation: the contract of JSON is that of Parquet."""
    import pyarrow as pa

    if isinstance(kind, type) and issubclass(kind, Value):
        return pa.struct([(name, _arrow(field.annotation)) for name, field in kind.model_fields.items()])
    within = [part for part in get_args(kind) if part not in (NoneType, ...)]
    if get_origin(kind) is tuple:
        return pa.list_(_arrow(within[0]))
    if get_origin(kind) in (Union, UnionType):
        return _arrow(within[0])
    if get_origin(kind) is Literal:
        return pa.string()
    return {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}[kind]

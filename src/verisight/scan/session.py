"""One run of `verisight scan`: inputs, ledger, progress, output and report around the pipeline."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from verisight.core.catalogue import DEFAULT_DETECTOR
from verisight.core.detector import Detector, Runtime
from verisight.core.errors import VerisightError
from verisight.core.places import cache_folder
from verisight.core.progress import track
from verisight.scan.heat import heats_of
from verisight.scan.inputs import Inputs
from verisight.scan.ledger import Ledger
from verisight.scan.output import Table, file_writer, writer
from verisight.scan.pipeline import scan_files
from verisight.scan.report import Report
from verisight.scan.verdict import Verdict


def scan_session(
    paths: Iterable[Path],
    *,
    detector: str = DEFAULT_DETECTOR,
    format: str = "table",
    out: Path | None = None,
    explain: bool = False,
    report: Path | None = None,
    ledger: str = "",
    force: bool = False,
    runtime: Runtime = "onnx",
    stream: TextIO | None = None,
) -> int:
    """Scan, print, remember, report; returns the number of files that failed.

    format : table, json, jsonl, csv, or parquet, which needs `out`.
    out : a file for the verdicts, in place of `stream`, which is stdout by default.
    explain : say below each row of the table what speaks for its verdict.
    report : a file for the HTML page.
    ledger : a database URL, `none`, or empty for the SQLite file in the cache folder.

    Raises
    ------
    VerisightError : the call cannot be carried out as given, or its output cannot be written.
    """
    if explain and format != "table":
        raise VerisightError("--explain", f"is text for people, which --format {format} has no place for", "drop one")
    stream = stream or sys.stdout
    writing = writer(format, stream) if out is None else file_writer(format, out)
    loaded = Detector.load(detector, runtime=runtime)
    start, files, failed = time.perf_counter(), 0, 0
    with _report(report, loaded) as page:
        with contextlib.ExitStack() as stack:
            book = None if ledger == "none" else stack.enter_context(Ledger(ledger or default_ledger()))
            sink = stack.enter_context(writing)
            found = scan_files(paths, detector=loaded, ledger=book, force=force)
            verdicts = stack.enter_context(contextlib.closing(found))
            console = sink.console if isinstance(sink, Table) and sink.console.is_terminal else None
            barred = out is None and console is None and stream.isatty()  # a bar would stand in the middle of JSON
            total = paths.count if isinstance(paths, Inputs) else None
            for verdict in verdicts if barred else track(verdicts, "scanning", total, console):
                sink.write(verdict)
                if explain and isinstance(sink, Table):
                    sink.note(_explanation(verdict, loaded))
                if page is not None:
                    page.add(verdict)
                files += 1
                failed += verdict.status == "failed"
        known = 0 if book is None else book.found
        print(summary(files, known, time.perf_counter() - start), file=sys.stderr)
    if report is not None:
        print(f"report: {report}", file=sys.stderr)
    return failed


def summary(files: int, known: int, seconds: float) -> str:
    """What a scan came to, such as `500 files in 12.5 s (40 files/s), 120 of them from the ledger`."""
    rate = files / seconds
    shown = f"{rate:.0f}" if rate >= 9.95 else f"{rate:.2g}"
    text = f"{files} {'file' if files == 1 else 'files'} in {seconds:.1f} s ({shown} files/s)"
    return f"{text}, {known} of them from the ledger" if known else text


def _report(path: Path | None, detector: Detector) -> contextlib.AbstractContextManager[Report | None]:
    """The page, if one is wanted; it is written when its context ends."""
    if path is None:
        return contextlib.nullcontext()
    command = shlex.join(["verisight", *sys.argv[1:]])
    return Report(path, detector.card, command=command, heat=lambda verdict: heats_of(verdict, detector, most=1))


def _explanation(verdict: Verdict, detector: Detector) -> str:
    from verisight.scan.explain import explain

    return explain(verdict, detector.card, heats_of(verdict, detector))


def default_ledger() -> str:
    """URL of the SQLite file in the cache folder."""
    return f"sqlite:///{cache_folder() / 'ledger.sqlite'}"

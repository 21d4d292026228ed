"""One run of `verisight scan`: inputs, ledger, progress, output and report around the pipeline."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from verisight.core.catalogue import DEFAULT_DETECTOR
from verisight.core.detector import Detector, Runtime
from verisight.core.places import cache_folder
from verisight.core.progress import track
from verisight.scan.inputs import Inputs
from verisight.scan.ledger import Ledger
from verisight.scan.output import Table, writer
from verisight.scan.pipeline import scan_files
from verisight.scan.report import evidence_of, write_report
from verisight.scan.verdict import Verdict


def scan_session(
    paths: Iterable[Path],
    *,
    detector: str = DEFAULT_DETECTOR,
    format: str = "table",
    report: Path | None = None,
    ledger: str = "",
    force: bool = False,
    runtime: Runtime = "onnx",
    stream: TextIO | None = None,
) -> int:
    """Scan, print, remember, report; returns the number of files that failed.

    ledger : a database URL, `none`, or empty for the SQLite file in the cache folder.
    """
    loaded = Detector.load(detector, runtime=runtime)
    failed, kept = 0, list[Verdict]()
    total = paths.count() if isinstance(paths, Inputs) and sys.stderr.isatty() else None
    with contextlib.ExitStack() as stack:
        book = None if ledger == "none" else stack.enter_context(Ledger(ledger or default_ledger()))
        out_stream = stream or sys.stdout
        out = stack.enter_context(writer(format, out_stream))
        verdicts = stack.enter_context(contextlib.closing(scan_files(paths, detector=loaded, ledger=book, force=force)))
        table = out.console if isinstance(out, Table) and out.console.is_terminal else None
        barred = table is None and out_stream.isatty()  # a bar would stand in the middle of JSON on a terminal
        for verdict in verdicts if barred else track(verdicts, "scanning", total, table):
            out.write(verdict)
            failed += verdict.status == "failed"
            if report is not None:
                kept.append(verdict)
    if report is not None:
        command = shlex.join(["verisight", *sys.argv[1:]])
        write_report(report, kept, loaded.card, command=command, evidence=lambda v: evidence_of(v, loaded.preprocess))
        print(f"report: {report}", file=sys.stderr)
    return failed


def default_ledger() -> str:
    """URL of the SQLite file in the cache folder."""
    return f"sqlite:///{cache_folder() / 'ledger.sqlite'}"

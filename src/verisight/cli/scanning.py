"""Verbs that judge: scan, demo."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from verisight.core.catalogue import DEFAULT_DETECTOR


class Format(StrEnum):
    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


class RuntimeChoice(StrEnum):
    onnx = "onnx"
    torch = "torch"


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    app.command()(scan)
    app.command()(demo)


def scan(
    paths: Annotated[
        list[str], typer.Argument(help="Pictures, clips, folders, quoted globs; - reads a list from stdin.")
    ],
    detector: Annotated[str, typer.Option(help="An id of `verisight list`, or a checkpoint.")] = DEFAULT_DETECTOR,
    format: Annotated[
        Format, typer.Option(help="table: for people. The others: for programs; parquet needs --out.")
    ] = Format.table,
    out: Annotated[
        Path | None, typer.Option(help="Write the verdicts to this file, not to stdout. It appears when it is whole.")
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Below each row of the table: in plain words, how sure that is, where in the face it shows, what to do"
            " next. Takes seconds a file.",
        ),
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Also write one self-contained HTML page here.")] = None,
    ledger: Annotated[
        str,
        typer.Option(help="Where verdicts are remembered: a database URL, or 'none'. Default: in the cache folder."),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Judge anew what the ledger knows.")] = False,
    runtime: Annotated[
        RuntimeChoice, typer.Option(help="onnx: fast on a CPU. torch: the network itself, on a GPU if there is one.")
    ] = RuntimeChoice.onnx,
) -> None:
    """Is a face in these files forged? One verdict a file.

    A verdict is a calibrated probability of fake with its 95 % interval and a label, or an abstention with its reason
    (no face, too small, in doubt).
    A low probability does not prove that a file is authentic.

    Files that this detector has judged before are not opened again; a killed scan goes on where it was.
    """
    import os
    import sys

    from verisight.core.errors import ExitCode
    from verisight.scan.inputs import Inputs
    from verisight.scan.session import scan_session

    try:
        failed = scan_session(
            Inputs(paths, sys.stdin),
            detector=detector,
            format=format.value,
            out=out,
            explain=explain,
            report=report,
            ledger=ledger,
            force=force,
            runtime=runtime.value,
        )
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing is wrong, and Python must not complain while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ExitCode.DONE) from None
    if failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def demo(out: Annotated[Path, typer.Option(help="Folder for the scene and its report.")] = Path("demo-out")) -> None:
    """Build a small scene from a public-domain portrait (real, forged, as clips, one broken file) and scan it."""
    from verisight.scan.demo import build_scene
    from verisight.scan.inputs import Inputs
    from verisight.scan.session import scan_session

    build_scene(out / "scene")
    report = out / "report.html"
    scan_session(Inputs([str(out / "scene")]), report=report, ledger="none")
    typer.echo(f"\nbroken.jpg fails on purpose: it is cut off. The same as a page: {report}")

"""The verb that sets records side by side: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(compare)


def compare(
    records: Annotated[list[Path], typer.Argument(help="Folders of `verisight eval`; the first is compared with.")],
    metric: Annotated[str, typer.Option(help="A metric of the records, such as auc, eer or tpr.")] = "auc",
    out: Annotated[
        Path | None, typer.Option(help="Folder for compare.md, compare.json and the plot compare.svg.")
    ] = None,
) -> None:
    """Compare detectors on the same data: figures over seeds, paired differences with intervals, controls beside them.

    Records that differ in the seed alone are taken together.

    Example: verisight compare runs/one/record runs/other/record --out comparison
    """
    from verisight.evaluate.compare import compare as run

    found = run(records, metric)
    typer.echo(found.text(), nl=False)
    if out is not None:
        found.save(out)
        typer.echo(f"\nwritten: {out}")

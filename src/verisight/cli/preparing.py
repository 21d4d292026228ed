"""The verb that makes training data: prepare."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from verisight.data.prepare import Prepared


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(prepare)


def prepare(
    layout: Annotated[str, typer.Argument(help="How the data set names its files: `verisight list --kind layout`.")],
    folder: Annotated[str, typer.Argument(help="The data set.", metavar="DIR")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="data.key=value, such as data.options.quality=c23 data.faces=whole")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="New folder for the crops and their index.")],
    quality: Annotated[
        list[str] | None,
        typer.Option(help="same, raw, c23, c40, or operations ('jpeg:40..90 blur:1'); give it again for pairs."),
    ] = None,
    frames: Annotated[str, typer.Option(help="Pictures of a clip: how many, or linspace:N, keyframes, all.")] = "16",
    size: Annotated[int, typer.Option(help="Side of a crop in pixels.")] = 160,
    margin: Annotated[float, typer.Option(help="Side of the crop over the longer side of the face.")] = 1.25,
    workers: Annotated[int | None, typer.Option(help="Videos in work at once; by default one a core.")] = None,
    seed: Annotated[int, typer.Option(help="Of splits and of drawn qualities.")] = 0,
) -> None:
    """Cut the faces of a data set, once, into a folder that trains.

    Faces are found on originals and cut at the same boxes from their fakes, and at every quality. A killed run goes on
    where it was. The folder holds index.csv (data.layout=pack data.faces=whole), skipped.csv and contact.jpg.

    Example: verisight prepare folder my-videos --out crops --quality raw --quality c23 --quality c40
    """
    import sys

    from verisight.core.errors import ExitCode
    from verisight.core.preprocess import Preprocess
    from verisight.core.recipe import DataSpec, data_block, validate
    from verisight.data.cut import SAME
    from verisight.data.prepare import Unfinished
    from verisight.data.prepare import prepare as run

    preprocess = validate(Preprocess, {"frames": frames, "size": size, "margin": margin}, "prepare")
    try:
        made = run(
            validate(DataSpec, {**data_block(overrides or []), "layout": layout, "path": folder}, "prepare"),
            out,
            preprocess=preprocess,
            qualities=quality or (SAME,),
            workers=workers,
            seed=seed,
        )
    except Unfinished as error:
        print(f"verisight: {error}", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from error
    _show(made)
    if made.failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _show(made: Prepared) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("split", "label", "crops", box=None, header_style="bold")
    table.columns[2].justify = "right"
    for (split, label), crops in sorted(made.counts.items()):
        table.add_row(split, "fake" if label else "real", str(crops))
    console.print(table)
    if made.skipped:
        reasons = Table("files without crops", "reason", box=None, header_style="bold")
        reasons.columns[0].justify = "right"
        for reason, files in Counter(reason for _, reason, _ in made.skipped).most_common(10):
            reasons.add_row(str(files), reason)
        console.print("", reasons)
    went_on = f" ({made.resumed} of {made.units} units were done before)" if made.resumed else ""
    kept = made.files - len(made.skipped)
    typer.echo(f"\n{made.crops} crops of {kept} of {made.files} files in {made.seconds:.0f} s{went_on}")
    if made.notes:
        typer.echo(f"{len(made.notes)} notes, such as: {made.notes[0]}")
    typer.echo(f"look at: {made.out / 'contact.jpg'}")
    typer.echo(f"next: verisight train RECIPE data.path={made.out} data.layout=pack data.faces=whole")

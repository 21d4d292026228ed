"""DFDC, the Deepfake Detection Challenge: 23,654 real clips and 104,500 fakes of ten seconds.

Train: folders (`dfdc_train_part_0` to `_49`, at any depth), each with `metadata.json`: name -> label REAL or FAKE,
split, and for fakes the name of the original. Test, and val where it is there: a folder with `labels.csv`, filename and
label with 1 = fake, the clips beside it or below it; its split is that of the folder's name, test by default.

Label traps: the two tables spell labels differently; both are read by name. Some clips called FAKE are said to be
changed in sound alone: their picture equals the original.

Splits: `official`: 119,154 train (100,000 fake), 4,000 val, 5,000 public test. `parts` cuts whole training parts by
`data.splits`: [0.9,0.1,0] takes a val from them, [0.7,0.15,0.15] also a test for whoever has no other. Group: the
original, which many fakes share; people recur across parts, and no table names them. Clips named in a table and absent
are counted; half of the parts will do.

Access: an account on the challenge site, with its terms.
Cite: Dolhansky, Bitton, Pflaum et al., The DeepFake Detection Challenge Dataset, 2020, arXiv 2006.07397.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.core.value import Value
from verisight.data.layouts.disjoint import sides
from verisight.data.layouts.layout import (
    Layout,
    Promise,
    count_notes,
    files_below,
    manifest_of,
    options_of,
    root_of,
    write_clip,
)
from verisight.data.layouts.names import STRAY, Row, read_json, told
from verisight.data.manifest import Manifest

SPLIT_SIZES = {"train": 119_154, "val": 4_000, "test": 5_000}
EXPECTED = {"real": 23_654, "fake": 104_500}
TRAIN_LABELS = {"REAL": 0, "FAKE": 1}
TEST_LABELS = {"0": 0, "1": 1}
SPLIT_OF = {"train": "train", "val": "val", "validation": "val", "test": "test"}


class Options(Value):
    """split : `official`; or `parts`, whole training parts cut by `data.splits`."""

    split: Literal["official", "parts"] = "official"


@dataclass
class _Seen:
    """What one walk found, and what has become of it.

    clips : folder -> lower-case name -> path. rows : by the clip's name. part_of : group of a training row -> its part.
    """

    clips: dict[str, dict[str, str]]
    rows: dict[str, Row] = field(default_factory=dict)
    part_of: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    def add(self, path: str, label: int, split: str, original: str = "") -> str:
        """Take a clip in; the name of its group."""
        video = PurePosixPath(path).stem
        row = {
            "path": path,
            "label": label,
            "split": split,
            "group": original or video,
            "video": video,
            "pair": original,
            "generator": "dfdc" if label else "real",
            "source": "" if label else "dfdc",
        }
        if self.rows.setdefault(video, row) is not row:
            self.twice.append(path)
        return str(row["group"])


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Index every folder below `spec.path` that holds `metadata.json` or `labels.csv`.

    Raises
    ------
    DataError : neither file anywhere; a table that cannot be read; a label of another spelling.
    """
    root, options = root_of(spec), options_of(spec, Options)
    tables: dict[str, list[str]] = {"metadata.json": [], "labels.csv": []}
    seen = _Seen(clips={})
    for path in files_below(root, (*tables, ".mp4")):
        folder, _, name = path.rpartition("/")
        if name in tables:
            tables[name].append(folder)
        elif name.lower().endswith(".mp4"):
            seen.clips.setdefault(folder, {})[name.lower()] = path
    lists = tables["labels.csv"]
    parts = [folder for folder in tables["metadata.json"] if folder not in lists]  # the test set brings both
    if not parts and not lists:
        raise DataError(root, "holds no metadata.json or labels.csv", "they come in the archives of DFDC: keep them")
    for folder in parts:
        _read_part(root, folder, seen)
    for folder in lists:
        _read_labels(root, folder, seen)
    rows = list(seen.rows.values())
    if options.split == "parts" and seen.part_of:
        side = sides(seen.part_of.values(), spec.splits, seed, what="training parts")
        rows = [{**r, "split": side[seen.part_of[r["group"]]]} if r["group"] in seen.part_of else r for r in rows]
    notes = told(seen.absent, "clips of the tables that are absent") + told(seen.stray, STRAY)
    notes += told(seen.twice, "clips left out because their name stands in two folders")
    if not lists and options.split == "official":
        notes.append("no labels.csv: every clip is train; data.options.split=parts cuts the training parts")
    return manifest_of(rows, root, [*notes, *count_notes(rows, EXPECTED)])


def _read_part(root: Path, folder: str, seen: _Seen) -> None:
    """A folder with `metadata.json`."""
    table = root / folder / "metadata.json"
    content = read_json(table)
    if not isinstance(content, dict):
        raise DataError(table, "must map names of clips to their labels", "download it again")
    clips = dict(seen.clips.get(folder, {}))
    for name, entry in content.items():
        label = TRAIN_LABELS.get(str(entry.get("label"))) if isinstance(entry, dict) else None
        split = SPLIT_OF.get(str(entry.get("split", "train"))) if isinstance(entry, dict) else None
        if label is None or split is None:
            raise DataError(table, f"'{name}' needs a label REAL or FAKE and a known split, got {entry}")
        path = clips.pop(name.lower(), None)
        if path is None:
            seen.absent.append(f"{folder}/{name}")
            continue
        own = PurePosixPath(name).stem
        group = seen.add(path, label, split, PurePosixPath(str(entry.get("original") or own)).stem if label else own)
        seen.part_of.setdefault(group, folder)
    seen.stray += clips.values()


def _read_labels(root: Path, folder: str, seen: _Seen) -> None:
    """A folder with `labels.csv`, the clips beside it or in a folder below it."""
    table = root / folder / "labels.csv"
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(table, f"not a readable table ({error})", "download it again") from error
    if lines and not {"filename", "label"} <= set(lines[0]):
        raise DataError(table, "has no columns filename and label", "use the table that came with the test clips")
    split = SPLIT_OF.get(PurePosixPath(folder).name.lower(), "test")
    within = [name for name in seen.clips if name == folder or not folder or name.startswith(f"{folder}/")]
    clips = {name: path for place in reversed(within) for name, path in seen.clips[place].items()}
    for line in lines:
        name, label = _name(line), TEST_LABELS.get(str(line["label"]).strip())
        if label is None:
            raise DataError(table, f"the label of '{name}' must be 0 (real) or 1 (fake), got '{line['label']}'")
        path = clips.get(name.lower())
        if path is None:
            seen.absent.append(f"{folder}/{name}" if folder else name)
        else:
            seen.add(path, label, split)
    listed = {_name(line).lower() for line in lines}
    seen.stray += [path for name, path in seen.clips.get(folder, {}).items() if name not in listed]


def _name(line: Mapping[str, str | None]) -> str:
    return (line["filename"] or "").strip().replace("\\", "/").rpartition("/")[2]


def tiny_copy(folder: Path) -> Promise:
    """Two parts of two reals and four fakes, one fake missing; a test folder of four."""
    for part, letters in enumerate("ab"):
        here, metadata = folder / f"dfdc_train_part_{part}", {}
        for i in range(2):
            real = f"{letters * 8}r{'xy'[i]}.mp4"
            metadata[real] = {"label": "REAL", "split": "train"}
            write_clip(here / real, 10 * part + i)
            for j in range(2):
                fake = f"{letters * 8}{'xy'[i]}{'fg'[j]}.mp4"
                metadata[fake] = {"label": "FAKE", "split": "train", "original": real}
                if (part, i, j) != (1, 1, 1):
                    write_clip(here / fake, 10 * part + i, forged=True)
        (here / "metadata.json").write_text(json.dumps(metadata))
    write_clip(folder / "dfdc_train_part_0/not_in_the_table.mp4", 0)
    (folder / ".DS_Store").touch()
    lines = ["filename,label"]
    for i in range(4):
        lines.append(f"cccccccct{'abcd'[i]}.mp4,{i % 2}")
        write_clip(folder / f"test/cccccccct{'abcd'[i]}.mp4", 30 + i, forged=i % 2 == 1)
    (folder / "test/labels.csv").write_text("\n".join(lines) + "\n")
    return Promise(
        spec=DataSpec(path=str(folder), layout="dfdc"),
        labels={0: 6, 1: 9},
        splits={"train": 11, "test": 4},
        groups=8,
        generators={"dfdc": 9},
        notes=(
            "clips of the tables that are absent: 1, such as dfdc_train_part_1/bbbbbbbbyg.mp4",
            "files not named like clips of this set: 1, such as dfdc_train_part_0/not_in_the_table.mp4",
            "6 real files where the published set has 23654",
        ),
    )


DFDC = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="terms of the challenge site, by account",
    citation="Dolhansky et al., The DeepFake Detection Challenge Dataset, 2020, arXiv 2006.07397",
    expected=EXPECTED,
    options=Options,
    leaks="Many fakes share one original; people recur across training parts, and no table names them.",
)

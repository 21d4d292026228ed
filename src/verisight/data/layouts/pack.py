"""A folder, or a zip of one, with an `index.csv` beside the files.

Columns `path` and `label` are required. Further ones are those of the manifest: split, group, video, subject, donor,
pair, generator, source (or real_source), quality, domain, box, applied; others are ignored. Without a column `group`,
`video`, `subject` or `identity` is the group. Rows without a file are refused by name; files without a row are a
note.
"""

from __future__ import annotations

import csv
import posixpath
import zipfile
import zlib
from pathlib import Path

from verisight.core.checkpoint import fingerprint
from verisight.core.errors import DataError, nearest
from verisight.core.places import cache_folder
from verisight.core.recipe import DataSpec
from verisight.data.layouts.layout import Layout, Promise, files_below, write_picture
from verisight.data.layouts.names import told
from verisight.data.manifest import SCHEMA, Manifest, split_by_group

_ALIASES = {"group": ("video", "subject", "identity"), "source": ("real_source", "real_source_or_dataset")}


def read_pack(spec: DataSpec, seed: int = 0) -> Manifest:
    """Index `spec.path`; a zip is unpacked once into the cache folder.

    Raises
    ------
    DataError : no index, no `path` or `label` column, a row whose file is missing, whatever Manifest refuses.
    """
    given = Path(spec.path)
    root = _unpacked(given) if given.is_file() and zipfile.is_zipfile(given) else given
    below = list(root.glob("*/index.csv"))
    if len(below) == 1 and not (root / "index.csv").exists():  # the zip holds the folder itself
        root = below[0].parent
    index = root / "index.csv"
    if not index.is_file():
        raise DataError(given, "holds no index.csv", "use data.layout=folder for real/ and fake/ folders")
    try:
        with open(index, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(index, f"not a readable table ({error})", "save it as UTF-8 CSV") from error
    if not rows:
        raise DataError(index, "has no rows")
    columns: dict[str, list[str]] = {}
    for name in SCHEMA.names:
        column = next((c for c in (name, *_ALIASES.get(name, ())) if c in rows[0]), None)
        if column:
            columns[name] = [row[column] or "" for row in rows]
    for name in ("path", "label"):
        if name not in columns:
            raise DataError(index, f"has no column '{name}'", nearest(name, filter(None, rows[0])))
    if "source" in columns:  # a source says where a real comes from; some indexes fill it in for fakes too
        columns["source"] = [
            s if label == "0" else "" for s, label in zip(columns["source"], columns["label"], strict=True)
        ]
    if "split" not in columns:
        groups = columns.get("group", columns["path"])
        labels = [int(label == "1") for label in columns["label"]]
        columns["split"] = split_by_group(groups, labels, spec.splits, seed)
    listed = {posixpath.normpath(path.replace("\\", "/")) for path in columns["path"]}
    where = {_top(path) for path in listed}  # a contact sheet beside the folders of samples is none of them
    unlisted = [path for path in files_below(root) if path not in listed and _top(path) in where]
    manifest = Manifest.from_columns(columns, root, told(unlisted, "files without a row in the index, left out"))
    for path in manifest.paths():
        if not path.is_file():
            raise DataError(path, "stands in the index, but there is no such file")
    return manifest


def _unpacked(archive: Path) -> Path:
    """The folder in the cache that holds the archive's content; entries that would leave it are refused."""
    target = cache_folder() / "packs" / f"{archive.stem}-{fingerprint(archive)}"
    if (target / ".whole").is_file():
        return target
    try:
        with zipfile.ZipFile(archive) as content:
            for name in content.namelist():
                parts = name.replace("\\", "/").split("/")
                if ".." in parts or not parts[0] or ":" in parts[0]:
                    raise DataError(archive, f"its entry '{name}' would be written outside the folder")
            content.extractall(target)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # damaged, cut short, encrypted
        raise DataError(archive, f"cannot be unpacked ({error})") from error
    (target / ".whole").touch()
    return target


def _top(path: str) -> str:
    """The first folder of a path; "" for a file in the root."""
    return path.split("/")[0] if "/" in path else ""


def tiny_copy(folder: Path) -> Promise:
    """Six pairs of one person each with all columns, on Windows paths, a column of no meaning, a file without a row."""
    names = SCHEMA.names
    lines = [",".join((*names, "remark"))]
    for n in range(6):
        split = ("train", "train", "train", "train", "val", "test")[n]
        for label, kind in enumerate(("real", "fake")):
            write_picture(folder / kind / f"{n}.png", n, forged=bool(label))
            row = {
                "path": f"{kind}\\{n}.png",
                "label": str(label),
                "split": split,
                "group": f"p{n}",
                "subject": f"s{n}",
            }
            row |= {"video": f"{kind}/v{n}", "pair": f"p{n}", "quality": "raw", "box": "8 8 16 16"}
            row |= {"generator": "patch", "donor": f"s{n}"} if label else {"generator": "real", "source": "noise"}
            lines.append(",".join([row.get(name, "") for name in names] + ["seen"]))
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    write_picture(folder / "real" / "spare.png", 9)
    (folder / "real" / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(folder), layout="pack"),
        labels={0: 6, 1: 6},
        splits={"train": 8, "val": 2, "test": 2},
        groups=6,
        generators={"patch": 6},
        subjects=6,
        notes=("files without a row in the index, left out: 1, such as real/spare.png",),
    )


PACK = Layout(
    read=read_pack,
    tiny_copy=tiny_copy,
    licence="that of the pack; look for a README or LICENSE in it",
    citation="whom the pack names",
    leaks="what the columns split, group and subject say",
)

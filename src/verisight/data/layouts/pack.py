"""A folder, or a zip of one, with an `index.csv` beside the files.

Columns `path` and `label` are required. Known further ones: split, group (or video, subject), generator, source
(or real_source), quality, pair. Others are ignored. Rows without a file are refused by name.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from pathlib import Path

from verisight.core.checkpoint import fingerprint
from verisight.core.errors import DataError, nearest
from verisight.core.places import cache_folder
from verisight.core.recipe import DataSpec
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
    manifest = Manifest.from_columns(columns, root)
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

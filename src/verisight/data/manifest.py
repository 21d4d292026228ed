"""The manifest: a validated, fingerprinted table of samples. Every layout ends here, every loader starts here."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from verisight.core.errors import DataError, nearest

SPLITS = ("train", "val", "test")
SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # relative to the root
        ("label", pa.int8()),  # 1 = positive class (fake), 0 = negative (real)
        ("split", pa.string()),  # train, val or test
        ("group", pa.string()),  # what no split may cut: video, subject, pair
        ("video", pa.string()),  # the clip that a row is, or is a frame of; its path when nothing else is known
        ("subject", pa.string()),  # the person whose body and background are seen; "" when unknown
        ("donor", pa.string()),  # the person whose face or motion a fake took; "" without one
        ("pair", pa.string()),  # rows of one original share it; "" when unpaired
        ("generator", pa.string()),  # what made a fake; "real" where label is 0
        ("source", pa.string()),  # where a real comes from; "" where label is 1
        ("quality", pa.string()),  # raw, c23, c40, ...; "" when unknown
        ("domain", pa.string()),  # what rules align and samplers balance; "" = generator of a fake, source of a real
        ("box", pa.string()),  # known face: "x y w h" in pixels; of a clip "time_s x y w h; ..."; "" = find it
        ("applied", pa.string()),  # what we did to the picture: "jpeg:40 blur:1.2" (data/quality.py); "" = nothing
    ]
)
_REQUIRED = ("path", "label")


class Manifest:
    """A table with the columns of SCHEMA and the folder that its paths are relative to.

    Parameters
    ----------
    table : a column for each name in SCHEMA.
    root : folder of the files; not part of the fingerprint.
    notes : what the layout noticed (missing files, counts that differ from the published ones), one line each; not
        part of the fingerprint.

    Raises
    ------
    DataError : no rows, a path twice or outside the root, a label other than 0 and 1, an unknown split, a group
        in two splits.
    """

    def __init__(self, table: pa.Table, root: Path, notes: Sequence[str] = ()) -> None:
        self.table = table
        self.root = root
        self.notes = tuple(notes)
        self._validate()

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]], root: Path, notes: Sequence[str] = ()) -> Manifest:
        """From named columns; `path` and `label` are required, the rest is filled in.

        Defaults: split `train`, group and video = path, generator `fake` or `real` by the label, the rest empty.
        """
        for name in _REQUIRED:
            if name not in columns:
                raise DataError(root, f"the index has no column '{name}'", nearest(name, columns))
        unknown = set(columns) - set(SCHEMA.names)
        if unknown:
            name = sorted(unknown)[0]
            raise DataError(root, f"unknown column '{name}'", nearest(name, SCHEMA.names))
        paths = [_path(value) for value in columns["path"]]
        labels = [_label(value, path) for value, path in zip(columns["label"], paths, strict=True)]
        filled: dict[str, Sequence[Any]] = {"split": ["train"] * len(paths), "group": paths, "video": paths}
        filled["generator"] = ["fake" if label else "real" for label in labels]
        for name in SCHEMA.names:
            filled.setdefault(name, [""] * len(paths))
        filled.update({name: [str(v) for v in values] for name, values in columns.items()})
        filled["path"], filled["label"] = paths, labels
        return cls(pa.table({name: filled[name] for name in SCHEMA.names}, schema=SCHEMA), root, notes)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> NDArray[Any]:
        """One column as a numpy array: int64 for `label`, str objects for the rest."""
        values = np.asarray(self.table.column(name).to_numpy())
        return values.astype(np.int64) if name == "label" else values

    def domain(self) -> NDArray[Any]:
        """Per row, the column `domain`; where it is empty, the generator of a fake or the source of a real."""
        named = self.column("domain")
        origin = np.where(self.column("label") == 1, self.column("generator"), self.column("source"))
        return np.where(named == "", origin, named)

    def paths(self) -> list[Path]:
        """Absolute paths, row by row."""
        return [self.root / p for p in self.table.column("path").to_pylist()]

    def split(self, name: str) -> Manifest:
        """The rows of one split.

        Raises
        ------
        DataError : no row carries it.
        """
        return self.where(pc.equal(self.table.column("split"), name), f"no rows in split '{name}'")

    def where(self, mask: Any, if_empty: str = "no rows are left") -> Manifest:
        """The rows where a boolean array is true."""
        rows = self.table.filter(mask if isinstance(mask, (pa.Array, pa.ChunkedArray)) else pa.array(mask))
        if rows.num_rows == 0:
            present = ", ".join(sorted(set(self.table.column("split").to_pylist())))
            raise DataError(self.root, if_empty, f"splits present: {present}")
        return Manifest(rows, self.root, self.notes)

    def fingerprint(self) -> str:
        """16 hex digits over all rows in path order: equal on two machines, whatever the order of the listing."""
        order = np.argsort(self.column("path").astype(str), kind="stable")
        digest = hashlib.sha256()
        for row in self.table.take(order).to_pylist():
            digest.update("\x1f".join(str(row[name]) for name in SCHEMA.names).encode() + b"\x1e")
        return digest.hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write as Parquet or CSV, by the file's extension."""
        if path.suffix == ".parquet":
            pa.parquet.write_table(self.table, path)
        elif path.suffix == ".csv":
            pa.csv.write_csv(self.table, path)
        else:
            raise DataError(path, f"cannot write a manifest as '{path.suffix}'", "use .parquet or .csv")

    @classmethod
    def load(cls, path: Path, root: Path | None = None) -> Manifest:
        """Read what `save` wrote; paths are relative to `root`, by default the folder of the file."""
        try:
            table = pa.parquet.read_table(path) if path.suffix == ".parquet" else _read_csv(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(path, f"not a readable manifest ({error})") from error
        return cls.from_columns(
            {n: ["" if v is None else v for v in table.column(n).to_pylist()] for n in table.column_names},
            root or path.parent,
        )

    def _validate(self) -> None:
        if len(self) == 0:
            raise DataError(self.root, "holds no samples")
        paths = self.table.column("path").to_pylist()
        for label, path in zip(self.table.column("label").to_pylist(), paths, strict=True):
            _label(label, path)
        seen: set[str] = set()
        for path in paths:
            if path in seen:
                raise DataError(path, "stands twice in the index")
            if path.startswith("/") or ".." in path.split("/") or ":" in path.split("/")[0]:
                raise DataError(path, "a path must be relative and stay inside the data folder")
            seen.add(path)
        unknown = set(self.table.column("split").to_pylist()) - set(SPLITS)
        if unknown:
            raise DataError(self.root, f"unknown split '{sorted(unknown)[0]}'", nearest(sorted(unknown)[0], SPLITS))
        home: dict[str, str] = {}
        for group, split in zip(
            self.table.column("group").to_pylist(), self.table.column("split").to_pylist(), strict=True
        ):
            if home.setdefault(group, split) != split:
                raise DataError(group, f"this group stands in two splits, {home[group]} and {split}", "keep it whole")


def split_by_group(
    groups: Sequence[str], labels: Sequence[int], shares: tuple[float, float, float], seed: int
) -> list[str]:
    """A split for every row: whole groups, close to the wanted shares within each class, fixed by the seed.

    groups, labels : one per row. shares : of train, val and test; they sum to 1.

    Raises
    ------
    DataError : shares that do not sum to one; fewer groups of a class than splits with a share.
    """
    _check_shares(shares)
    label_of = dict(zip(groups, labels, strict=True))  # a mixed group counts under its last label
    home: dict[str, str] = {}
    for label in sorted(set(label_of.values())):
        members = sorted(g for g, of in label_of.items() if of == label)
        wanted = [name for name, share in zip(SPLITS, shares, strict=True) if share > 0]
        if len(members) < len(wanted):
            raise DataError(
                f"label {label}",
                f"{len(members)} groups cannot fill {len(wanted)} splits",
                "add files, or name splits by folders train/, val/, test/",
            )
        np.random.default_rng((seed, label)).shuffle(members)
        edges = np.round(np.cumsum([share for share in shares if share > 0]) * len(members)).astype(int)
        for i in range(len(wanted)):  # every wanted split gets at least one group, the last one all that are left
            after = len(wanted) - 1 - i
            edges[i] = min(max(edges[i], i + 1), len(members) - after) if after else len(members)
        for position, group in enumerate(members):
            home[group] = wanted[int(np.searchsorted(edges, position, side="right"))]
    return [home[g] for g in groups]


def strict_split(
    people_of_row: Sequence[Sequence[str]], shares: tuple[float, float, float], seed: int
) -> list[str | None]:
    """A split for every row such that no person stands in two; None for a row that has to be left out.

    A fake joins two people. People whom rows tie together stay on one side where that fits the shares. A ring of
    people that fits no split is cut, person by person, and the rows that then join two splits are None; so is a row
    that names nobody, because it cannot be shown to be disjoint. Where everybody is swapped with everybody, a share p
    of the people keeps about p^2 of the fakes: count the None.

    people_of_row : per row the subject, the donor, whoever else is seen or heard; "" = unknown, ignored.
    shares : of train, val and test; they sum to 1. A person weighs as many rows as name them.

    Raises
    ------
    DataError : shares that do not sum to one; fewer people than splits with a share.
    """
    _check_shares(shares)
    rows = [sorted({person for person in people if person}) for people in people_of_row]
    weight = Counter(person for people in rows for person in people)
    room = {name: share * weight.total() for name, share in zip(SPLITS, shares, strict=True) if share > 0}
    if len(weight) < len(room):
        raise DataError("strict split", f"{len(weight)} people cannot fill {len(room)} splits")
    home = _homes(_rings(rows), weight, room, np.random.default_rng(seed))
    sides = [{home[person] for person in people} for people in rows]
    return [side.pop() if len(side) == 1 else None for side in sides]


def _homes(
    rings: list[list[str]], weight: Mapping[str, int], room: dict[str, float], rng: np.random.Generator
) -> dict[str, str]:
    """Person -> split. Every ring goes where most room is left; no split stays empty.

    A ring heavier than a twentieth of all is placed first, heaviest first, and only where it overfills by no more than
    that twentieth and leaves people for the splits still empty; else its people go one by one, among the light rings.
    """
    slack = sum(weight.values()) / 20
    home: dict[str, str] = {}
    empty = set(room)

    def place(ring: list[str], where: str) -> None:
        home.update(dict.fromkeys(ring, where))
        room[where] -= sum(weight[person] for person in ring)
        empty.discard(where)

    def heaviness(ring: list[str]) -> int:
        return sum(weight[person] for person in ring)

    light = [ring for ring in rings if heaviness(ring) <= slack]
    for ring in sorted((r for r in rings if heaviness(r) > slack), key=heaviness, reverse=True):
        roomiest = max(room, key=lambda name: room[name])
        spare = len(weight) - len(home) - len(ring)
        if len(ring) > 1 and heaviness(ring) <= room[roomiest] + slack and spare >= len(empty - {roomiest}):
            place(ring, roomiest)
        else:
            light += [[person] for person in ring]
    while len(light) < len(empty):
        cut = next(ring for ring in light if len(ring) > 1)
        light.remove(cut)
        light += [[person] for person in cut]
    for done, at in enumerate(rng.permutation(len(light))):
        open_to = empty if len(light) - done == len(empty) else room
        place(light[at], max(open_to, key=lambda name: (room[name], name)))
    return home


def _rings(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The people whom rows tie together, directly or through others: sorted, the rings by their first person."""
    head: dict[str, str] = {}

    def find(person: str) -> str:
        while head.setdefault(person, person) != person:
            head[person] = head[head[person]]
            person = head[person]
        return person

    for people in rows:
        for other in people:
            head[find(other)] = find(people[0])
    rings = defaultdict(list)
    for person in sorted(head):
        rings[find(person)].append(person)
    return sorted(rings.values())


def _check_shares(shares: tuple[float, float, float]) -> None:
    if not (abs(sum(shares) - 1) <= 1e-6 and min(shares) >= 0):
        raise DataError(f"splits={list(shares)}", "shares must be at least 0 and sum to 1")


def _read_csv(path: Path) -> pa.Table:
    """Every column as text: a group called 007 is not the number 7."""
    as_text = pa.csv.ConvertOptions(column_types={name: pa.string() for name in SCHEMA.names})
    return pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(newlines_in_values=True), convert_options=as_text)


def _path(value: Any) -> str:
    path = str(value).replace("\\", "/")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise DataError(path, "its name is not UTF-8", "rename it") from error
    return path


def _label(value: Any, path: str) -> int:
    if str(value) not in ("0", "1"):
        raise DataError(path, f"the label must be 0 (real) or 1 (fake), got '{value}'")
    return int(value)

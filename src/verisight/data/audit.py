"""The leakage audit: what a data set's splits share, and what else than the faces tells its classes apart.

A test figure is worth something when nothing of the test split was seen in training, and when the answer cannot be read
off the file. `audit` looks for people, pairs, videos and pictures that stand in two splits, for files that cannot be
read, for splits that lack a class, and for shortcuts: format, dimensions or sizes that go with the label.

Splits as their authors published them often share people; that is a property of such a set, and a note. Under `strict`,
for splits that claim to be disjoint, it is an error.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from verisight.core.value import Value
from verisight.data.duplicates import MAX_BITS, MIN_CORRELATION, Seen, close_pairs, look_at
from verisight.data.manifest import SPLITS, Manifest

Severity = Literal["error", "warning", "note"]
Columns = Mapping[str, NDArray[Any]]

MAX_EXAMPLES = 5
SHORTCUT_AUC = 0.7  # what a fact about the file may reach before it is called a shortcut
_NAMES = {0: "real", 1: "fake"}


class Finding(Value):
    """One thing that the audit has to say.

    kind : a stable name, such as `people` or `near-duplicates`. count : of what `text` counts. examples : at most five.
    """

    severity: Severity
    kind: str
    count: int
    text: str
    examples: tuple[str, ...] = ()


class Share(Value):
    """Files of one generator in one split."""

    split: str
    label: int
    generator: str
    files: int


class Audit(Value):
    """What was looked at and what was found.

    videos : different (video, generator, quality): one clip under four methods is four videos.
    pixels : whether files were opened, or only looked up.
    """

    fingerprint: str
    strict: bool
    pixels: bool
    files: int
    videos: int
    people: int
    shares: tuple[Share, ...]
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """Findings that make the splits unfit for a figure."""
        return sum(finding.severity == "error" for finding in self.findings)

    def table(self) -> str:
        """The counts as a Markdown table, then the notes and the findings, gravest first."""
        lines = [
            f"{self.files} files, {self.videos} videos, {self.people or 'no'} people named; {self.fingerprint}",
            "",
        ]
        lines += ["| split | label | generator | files |", "| --- | --- | --- | ---: |"]
        lines += [f"| {s.split} | {_NAMES.get(s.label, s.label)} | {s.generator} | {s.files} |" for s in self.shares]
        lines += ["", *(f"note     layout: {note}" for note in self.notes)]
        for finding in self.findings:
            lines.append(f"{finding.severity:8} {finding.kind}: {finding.text}")
            lines += [f"         - {example}" for example in finding.examples]
        unseen = "" if self.pixels else "; no file was opened: copies were not looked for"
        rule = "no two splits may share anybody" if self.strict else "shared people are taken as the set's own rule"
        lines.append(f"{self.errors or 'no'} error{'s' * (self.errors != 1)} ({rule}{unseen})")
        return "\n".join(lines)


def audit(manifest: Manifest, *, strict: bool = False, pixels: bool = True) -> Audit:
    """Audit a manifest.

    strict : the splits claim to share nobody: people, pairs and near-duplicates in two splits are errors.
    pixels : open every file once; else only its presence, its size and its name are looked at.
    """
    return audit_table(
        manifest.table, manifest.root, manifest.fingerprint(), manifest.notes, strict=strict, pixels=pixels
    )


def audit_table(
    table: pa.Table,
    root: Path,
    fingerprint: str = "not a manifest",
    notes: Sequence[str] = (),
    *,
    strict: bool = False,
    pixels: bool = True,
) -> Audit:
    """Audit a table with the columns of SCHEMA, also one that Manifest refuses because a group stands in two splits."""
    columns = {name: np.asarray(table.column(name).to_pylist(), dtype=object) for name in table.column_names}
    seen = look_at([root / p for p in columns["path"]]) if pixels else [_stat(root / p) for p in columns["path"]]
    found = [
        *_shared(columns, strict),
        *_faults(columns, seen),
        *_copies(columns, seen),
        *(_near_copies(columns, seen, strict) if pixels else ()),
        *_classes(columns),
        *_shortcuts(columns, seen),
    ]
    rank = ("error", "warning", "note")
    kinds = Counter(zip(columns["split"], columns["label"], columns["generator"], strict=True))
    order = sorted(kinds, key=lambda key: (_order(key[0]), *key))
    return Audit(
        fingerprint=fingerprint,
        strict=strict,
        pixels=pixels,
        files=len(columns["path"]),
        videos=len(set(_videos(columns))),
        people=len({*columns["subject"], *columns["donor"]} - {""}),
        shares=tuple(Share(split=s, label=int(n), generator=g, files=kinds[s, n, g]) for s, n, g in order),
        notes=tuple(notes),
        findings=tuple(sorted(found, key=lambda finding: rank.index(finding.severity))),
    )


def _stat(path: Path) -> Seen:
    try:
        return Seen(format=path.suffix.lower().lstrip("."), bytes=path.stat().st_size)
    except OSError as error:
        return Seen(fault="no such file" if isinstance(error, FileNotFoundError) else error.strerror or "unreadable")


def _videos(columns: Columns) -> list[tuple[str, str, str]]:
    """Per row what makes it a video of its own: methods and qualities often give their clips the same name."""
    return list(zip(columns["video"], columns["generator"], columns["quality"], strict=True))


def _homes(names: Iterable[Any], splits: Iterable[str]) -> dict[Any, list[str]]:
    """Name -> the splits that it stands in, where these are several; "" names nothing."""
    homes: dict[Any, set[str]] = defaultdict(set)
    for name, split in zip(names, splits, strict=True):
        homes[name].add(split)
    homes.pop("", None)
    return {name: sorted(home, key=_order) for name, home in sorted(homes.items()) if len(home) > 1}


def _order(split: str) -> int:
    return SPLITS.index(split) if split in SPLITS else len(SPLITS)


def _shared(columns: Columns, strict: bool) -> Iterator[Finding]:
    """Groups, videos, people, swapped couples and pairs in two splits."""
    split = columns["split"]
    mild: Severity = "error" if strict else "warning"
    if homes := _homes(columns["group"], split):
        yield _finding("error", "groups", homes, "groups stand in two splits, and a group is what no split may cut")
    named = [
        "" if path == video[0] else f"{video[0]} ({' '.join(filter(None, video[1:]))})"
        for path, video in zip(columns["path"], _videos(columns), strict=True)
    ]
    if homes := _homes(named, split):
        yield _finding("error", "videos", homes, "videos have frames in two splits")
    people = np.concatenate([columns["subject"], columns["donor"]])
    if homes := _homes(people, np.concatenate([split, split])):
        known = set(people[np.concatenate([split, split]) == "train"]) - {""}
        shown = [bool({s, d} & known) for s, d in zip(columns["subject"], columns["donor"], strict=True)]
        outside = np.asarray(shown)[split != "train"]
        text = f"people stand in two splits; {outside.sum()} of {len(outside)} files outside train show one of train's"
        yield _finding("error" if strict else "note", "people", homes, text)
    couples = [
        "+".join(sorted((s, d))) if s and d else "" for s, d in zip(columns["subject"], columns["donor"], strict=True)
    ]
    if homes := _homes(couples, split):
        yield _finding(mild, "couples", homes, "couples of people are swapped with each other in two splits")
    if homes := _homes(columns["pair"], split):
        yield _finding(mild, "pairs", homes, "pairs, an original and what was made of it, stand in two splits")


def _finding(severity: Severity, kind: str, homes: Mapping[str, Sequence[str]], text: str) -> Finding:
    examples = tuple(f"{name}: {', '.join(home)}" for name, home in list(homes.items())[:MAX_EXAMPLES])
    return Finding(severity=severity, kind=kind, count=len(homes), text=f"{len(homes)} {text}", examples=examples)


def _faults(columns: Columns, seen: Sequence[Seen]) -> Iterator[Finding]:
    absent = [p for p, s in zip(columns["path"], seen, strict=True) if s.fault == "no such file"]
    broken = [
        f"{p}: {s.fault}" for p, s in zip(columns["path"], seen, strict=True) if s.fault not in ("", "no such file")
    ]
    for kind, paths, text in (
        ("missing", absent, "files are not there"),
        ("unreadable", broken, "files cannot be read"),
    ):
        if paths:
            yield Finding(
                severity="error", kind=kind, count=len(paths), text=f"{len(paths)} {text}", examples=_first(paths)
            )


def _copies(columns: Columns, seen: Sequence[Seen]) -> Iterator[Finding]:
    """Files with the same content: in two splits, with two labels, or merely twice."""
    sorts: dict[str, list[list[int]]] = {"copies": [], "labels": [], "repeated": []}
    for rows in _alike(seen):
        across, torn = (len(set(columns[name][rows])) > 1 for name in ("split", "label"))
        for sort, holds in (("copies", across), ("labels", torn), ("repeated", not (across or torn))):
            sorts[sort] += [rows] if holds else []
    texts: tuple[tuple[Severity, str, str], ...] = (
        ("error", "copies", "files stand in two splits under several names, equal to the bit"),
        ("error", "labels", "files are called real and fake at once, equal to the bit"),
        ("note", "repeated", "files stand in their split more than once, equal to the bit"),
    )
    for severity, kind, text in texts:
        if found := sorts[kind]:
            examples = _first(" = ".join(_placed(columns, row) for row in rows[:2]) for rows in found)
            yield Finding(
                severity=severity, kind=kind, count=len(found), text=f"{len(found)} {text}", examples=examples
            )


def _alike(seen: Sequence[Seen]) -> list[list[int]]:
    """The rows of every content that several files have."""
    rows: dict[bytes, list[int]] = defaultdict(list)
    for row, look in enumerate(seen):
        if look.digest:
            rows[look.digest].append(row)
    return [same for same in rows.values() if len(same) > 1]


def _near_copies(columns: Columns, seen: Sequence[Seen], strict: bool) -> Iterator[Finding]:
    """Files of which a near-duplicate stands in an earlier split; what `_copies` has named is not named again."""
    told = {row for rows in _alike(seen) if len(set(columns["split"][rows])) > 1 for row in rows}
    found: dict[int, int] = {}  # row -> a row of an earlier split that shows the same
    sides = {name: _pictures(seen, np.flatnonzero(columns["split"] == name)) for name in SPLITS}
    for earlier, later in combinations(SPLITS, 2):
        (rows_a, bits_a, grey_a), (rows_b, bits_b, grey_b) = sides[earlier], sides[later]
        for i, j in close_pairs((bits_a, grey_a), (bits_b, grey_b), f"comparing {later} with {earlier}"):
            for first, second in zip(rows_a[i].tolist(), rows_b[j].tolist(), strict=True):
                if second not in told:
                    found.setdefault(second, first)
    if found:
        crossing = sum(columns["label"][a] != columns["label"][b] for a, b in found.items())
        text = (
            f"{len(found)} files show nearly what a file of another split shows (at most {MAX_BITS} of 256 hash bits, "
        )
        text += f"correlation at least {MIN_CORRELATION}); {crossing} of them match a file of the other class"
        examples = _first(f"{_placed(columns, a)} ~ {_placed(columns, b)}" for a, b in found.items())
        severity: Severity = "error" if strict else "warning"
        yield Finding(severity=severity, kind="near-duplicates", count=len(found), text=text, examples=examples)


def _pictures(
    seen: Sequence[Seen], rows: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.uint64], NDArray[np.uint8]]:
    """Row, bits and grey copy of every picture of some rows."""
    kept = [(row, seen[row].bits, seen[row].grey) for row in rows.tolist()]
    whole = [(row, bits, grey) for row, bits, grey in kept if bits is not None and grey is not None and len(bits)]
    if not whole:
        return np.empty(0, np.intp), np.empty((0, 4), np.uint64), np.empty((0, 1), np.uint8)
    at = np.repeat([row for row, _, _ in whole], [len(bits) for _, bits, _ in whole])
    return at, np.concatenate([bits for _, bits, _ in whole]), np.concatenate([grey for _, _, grey in whole])


def _classes(columns: Columns) -> Iterator[Finding]:
    """Splits with one class, classes that hardly occur, and splits that no group guards."""
    for split in SPLITS:
        labels = columns["label"][columns["split"] == split].astype(int)
        if not len(labels):
            continue
        fakes = int(labels.sum())
        rare = min(fakes, len(labels) - fakes)
        if rare == 0:
            text = f"{split} holds {_NAMES[int(labels[0])]} files alone: no AUC, no threshold, no comparison"
            yield Finding(severity="warning", kind="one-class", count=len(labels), text=text)
        elif rare < 0.1 * len(labels):
            name = _NAMES[int(2 * fakes < len(labels))]
            text = f"{rare} of {len(labels)} files in {split} are {name}: accuracy says little here"
            yield Finding(severity="note", kind="imbalance", count=rare, text=text)
    if len(set(columns["split"])) > 1 and (columns["group"] == columns["path"]).all():
        text = "every file is its own group: nothing but the search for copies guards these splits"
        yield Finding(severity="note", kind="no-groups", count=len(columns["path"]), text=text)


def _shortcuts(columns: Columns, seen: Sequence[Seen]) -> Iterator[Finding]:
    """Facts about the file that separate the classes, counted once a video."""
    first = {video: row for row, video in reversed(list(enumerate(_videos(columns)))) if not seen[row].fault}
    rows = sorted(first.values())
    label = columns["label"][rows].astype(int)
    facts: dict[str, list[float]] = {}
    if all(seen[row].width for row in rows):
        pixels = [seen[row].width * seen[row].height for row in rows]
        facts["width"] = [seen[row].width for row in rows]
        facts["height"] = [seen[row].height for row in rows]
        facts["bytes per pixel"] = [seen[row].bytes / area for row, area in zip(rows, pixels, strict=True)]
    facts["file size"] = [seen[row].bytes for row in rows]
    formats = np.array([seen[row].format for row in rows])
    if 0 < label.sum() < len(label):
        share = {name: label[formats == name].mean() for name in set(formats)}
        said = "; ".join(f"{_NAMES[k]}: {_tally(formats[label == k])}" for k in (0, 1))
        yield from _shortcut("file format", [share[name] for name in formats], label, said)
        for name, values in facts.items():
            middle = [np.median(np.asarray(values)[label == k]) for k in (0, 1)]
            yield from _shortcut(name, values, label, f"medians: real {middle[0]:.4g}, fake {middle[1]:.4g}")


def _shortcut(name: str, values: Sequence[float], label: NDArray[np.int64], said: str) -> Iterator[Finding]:
    """A warning when a fact ranks the classes by more than SHORTCUT_AUC, and by three times what chance would do."""
    from scipy.stats import rankdata

    fakes, reals = int(label.sum()), int((1 - label).sum())
    wins = rankdata(values)[label == 1].sum() - fakes * (fakes + 1) / 2
    auc = wins / (fakes * reals)
    by_chance = np.sqrt((len(label) + 1) / (12 * fakes * reals))  # deviation of the AUC of a coin (Mann, Whitney 1947)
    if abs(auc - 0.5) > max(SHORTCUT_AUC - 0.5, 3 * by_chance):
        text = f"{name} alone separates the classes with AUC {max(auc, 1 - auc):.2f} ({said})"
        yield Finding(severity="warning", kind=f"shortcut: {name}", count=len(label), text=text)


def _tally(names: NDArray[Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names.tolist()).most_common(3))


def _placed(columns: Columns, row: int) -> str:
    return f"{columns['path'][row]} ({columns['split'][row]}, {_NAMES.get(int(columns['label'][row]))})"


def _first(examples: Iterable[str]) -> tuple[str, ...]:
    return tuple(example for example, _ in zip(examples, range(MAX_EXAMPLES), strict=False))

"""The contract of a layout: its tiny copy becomes the manifest that it promises, wherever and however it is listed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import numpy as np

from verisight.core.errors import DataError, VerisightError
from verisight.core.recipe import DataSpec
from verisight.data.audit import Finding, audit
from verisight.data.layouts.layout import Layout, Promise
from verisight.data.manifest import Manifest
from verisight.testing.contract import clause, expect, run

ROOTS = ("real", "fake_data", "fake/test", "original/train")  # names of a root that must mean nothing


@dataclass(frozen=True)
class LayoutCase:
    """A layout with its tiny copy on the disk.

    folder : holds the copy. promise : what the layout says will come out of it.
    """

    layout: Layout
    folder: Path
    promise: Promise

    @classmethod
    def written(cls, layout: Layout, folder: Path) -> Self:
        """Write the tiny copy into `folder`/copy."""
        copy = folder / "copy"
        copy.mkdir(parents=True)
        return cls(layout, copy, layout.tiny_copy(copy))

    def __str__(self) -> str:
        return f"layout {self.promise.spec.layout}"

    def read(self, **options: Any) -> Manifest:
        """The manifest of the copy, with the promised options and these."""
        spec = self.promise.spec
        return self.layout(spec.model_copy(update={"options": {**spec.options, **options}}), 0)

    def moved(self, folder: Path) -> LayoutCase:
        """The same copy in another place."""
        shutil.copytree(self.folder, folder, symlinks=True)
        inside = Path(self.promise.spec.path).relative_to(self.folder)
        spec = self.promise.spec.model_copy(update={"path": str(folder / inside)})
        return LayoutCase(self.layout, folder, replace(self.promise, spec=spec))


def check_layout(layout: Layout, *, exempt: Mapping[str, str] | None = None) -> None:
    """Hold a layout to its contract, on its own tiny copy in a temporary folder.

    exempt : name of a clause -> why it does not hold here.

    Raises
    ------
    ContractError : names the first broken clause.
    """
    with tempfile.TemporaryDirectory() as folder:
        run(LAYOUT_CLAUSES, LayoutCase.written(layout, Path(folder)), exempt or {})


@clause
def licence_and_citation_are_stated(case: LayoutCase) -> None:
    expect(case.layout.licence.strip(), "the licence is empty")
    expect(case.layout.citation.strip(), "the citation is empty")


@clause
def labels_are_as_promised(case: LayoutCase) -> None:
    _counts(case, "label", case.read().column("label").tolist(), case.promise.labels)


@clause
def splits_are_as_promised(case: LayoutCase) -> None:
    _counts(case, "split", case.read().column("split"), case.promise.splits)


@clause
def generators_are_as_promised(case: LayoutCase) -> None:
    manifest = case.read()
    fakes = manifest.column("generator")[manifest.column("label") == 1]
    _counts(case, "generator", fakes, case.promise.generators or {"fake": len(fakes)})


@clause
def groups_are_as_promised(case: LayoutCase) -> None:
    groups = set(case.read().column("group"))
    expect(len(groups) == case.promise.groups, f"{len(groups)} groups, promised {case.promise.groups}: {_few(groups)}")


@clause
def subjects_are_as_promised(case: LayoutCase) -> None:
    subjects = set(case.read().column("subject")) - {""}
    wanted = case.promise.subjects
    expect(len(subjects) == wanted, f"{len(subjects)} subjects, promised {wanted}: {_few(subjects)}")


@clause
def notes_are_as_promised(case: LayoutCase) -> None:
    notes = case.read().notes
    for text in case.promise.notes:
        expect(any(text in note for note in notes), f"no note says '{text}'; there are: {list(notes)}")
    expect(all("\n" not in note for note in notes), "a note of more than one line")


@clause
def every_path_is_a_file(case: LayoutCase) -> None:
    absent = [str(path) for path in case.read().paths() if not path.is_file()]
    expect(not absent, f"rows without a file: {_few(absent)}")


@clause
def columns_mean_what_the_schema_says(case: LayoutCase) -> None:
    manifest = case.read()
    fake = manifest.column("label") == 1
    named_real = manifest.column("generator") == "real"
    for wrong, what in (
        (~fake & ~named_real, "a real with a generator"),
        (fake & (named_real | (manifest.column("generator") == "")), "a fake without a generator of its own"),
        (fake & (manifest.column("source") != ""), "a fake with the source of a real"),
        (~fake & (manifest.column("donor") != ""), "a real with a donor"),
    ):
        expect(not wrong.any(), f"{what}: {_few(manifest.column('path')[wrong])}")


@clause
def reading_again_gives_the_same(case: LayoutCase) -> None:
    _same(case.read(), case.read(), "the second reading")


@clause
def the_order_of_the_listing_changes_nothing(case: LayoutCase) -> None:
    expected = case.read()
    for order in (_reversed, _shuffled):
        with _listed(order):
            _same(expected, case.read(), f"a listing in {order.__name__.strip('_')} order")


@clause
def the_name_of_the_root_changes_nothing(case: LayoutCase) -> None:
    expected = case.read()
    with tempfile.TemporaryDirectory() as place:
        for name in ROOTS:
            _same(expected, case.moved(Path(place) / name).read(), f"a root called {name}")


@clause
def no_group_stands_in_two_splits(case: LayoutCase) -> None:
    """Groups, and the frames of a video, as the leakage audit sees them."""
    torn = [f.text for f in _leaks(case.read()) if f.kind in ("groups", "videos")]
    expect(not torn, "; ".join(torn))


@clause
def people_shared_by_splits_are_said_to_be(case: LayoutCase) -> None:
    """An official split may share people; then `leaks` says so, in words."""
    shared = [f"{f.text}, such as {f.examples[0]}" for f in _leaks(case.read()) if f.kind == "people"]
    expect(not shared or case.layout.leaks.strip(), f"`leaks` is empty, yet {'; '.join(shared)}")


@clause
def a_strict_split_shares_nobody(case: LayoutCase) -> None:
    """Asked of layouts whose options know `split: strict`: no error of the strict audit."""
    if _offers_strict(case.layout):
        found = [f.text for f in _leaks(case.read(split="strict"), strict=True) if f.severity == "error"]
        expect(not found, f"with split=strict, {'; '.join(found)}")


@clause
def csv_and_parquet_keep_the_fingerprint(case: LayoutCase) -> None:
    manifest = case.read()
    with tempfile.TemporaryDirectory() as place:
        for suffix in (".csv", ".parquet"):
            file = Path(place) / f"manifest{suffix}"
            manifest.save(file)
            again = Manifest.load(file, manifest.root)
            expect(again.fingerprint() == manifest.fingerprint(), f"{suffix} came back with another fingerprint")


@clause
def the_folder_is_left_alone(case: LayoutCase) -> None:
    before = _tree(case.folder)
    case.read()
    changed = sorted(before.items() ^ _tree(case.folder).items())
    expect(not changed, f"reading wrote into the folder: {_few(name for name, _ in changed)}")


@clause
def what_is_not_this_data_set_is_refused(case: LayoutCase) -> None:
    with tempfile.TemporaryDirectory() as place:
        empty, stray = Path(place) / "empty", Path(place) / "stray"
        empty.mkdir()
        stray.mkdir()
        (stray / "notes.txt").write_text("nothing of this data set")
        for path, what in ((Path(place) / "absent", "no folder"), (empty, "an empty folder"), (stray, "a stray file")):
            _refuses(case, case.promise.spec.model_copy(update={"path": str(path)}), what, DataError)


@clause
def an_unknown_option_is_refused(case: LayoutCase) -> None:
    options = {**case.promise.spec.options, "no_such_option": 1}
    _refuses(case, case.promise.spec.model_copy(update={"options": options}), "an unknown option", VerisightError)


LAYOUT_CLAUSES = (
    licence_and_citation_are_stated,
    labels_are_as_promised,
    splits_are_as_promised,
    generators_are_as_promised,
    groups_are_as_promised,
    subjects_are_as_promised,
    notes_are_as_promised,
    every_path_is_a_file,
    columns_mean_what_the_schema_says,
    reading_again_gives_the_same,
    the_order_of_the_listing_changes_nothing,
    the_name_of_the_root_changes_nothing,
    no_group_stands_in_two_splits,
    people_shared_by_splits_are_said_to_be,
    a_strict_split_shares_nobody,
    csv_and_parquet_keep_the_fingerprint,
    the_folder_is_left_alone,
    what_is_not_this_data_set_is_refused,
    an_unknown_option_is_refused,
)


def _counts(case: LayoutCase, column: str, values: Iterable[Any], promised: Mapping[Any, int]) -> None:
    found = dict(sorted(Counter(values).items()))
    wanted = {key: count for key, count in sorted(promised.items()) if count}
    expect(found == wanted, f"{column} counts {found}, promised {wanted}")


def _same(expected: Manifest, found: Manifest, what: str) -> None:
    if expected.table.equals(found.table):
        expect(expected.notes == found.notes, f"{what} gave other notes: {list(found.notes)}")
        return
    ours, theirs = expected.table.to_pylist(), found.table.to_pylist()
    if len(ours) != len(theirs):
        expect(False, f"{what} gave {len(theirs)} rows instead of {len(ours)}")
    first = next((a, b) for a, b in zip(ours, theirs, strict=True) if a != b)
    differs = {name: (first[0][name], first[1][name]) for name in first[0] if first[0][name] != first[1][name]}
    expect(False, f"{what} gave other rows, first at {first[0]['path']}: {differs}")


def _leaks(manifest: Manifest, *, strict: bool = False) -> tuple[Finding, ...]:
    return audit(manifest, strict=strict, pixels=False).findings


def _offers_strict(layout: Layout) -> bool:
    field = layout.options.model_fields.get("split")
    return field is not None and "strict" in str(field.annotation)


def _reversed(names: list[str]) -> list[str]:
    return names[::-1]


def _shuffled(names: list[str]) -> list[str]:
    return [names[i] for i in np.random.default_rng(0).permutation(len(names))]


class _Scan:
    """What `os.scandir` gives, in another order: an iterator that is its own context."""

    def __init__(self, entries: Iterable[os.DirEntry[str]]) -> None:
        self.entries = iter(entries)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> os.DirEntry[str]:
        return next(self.entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.entries = iter(())


@contextmanager
def _listed(order: Callable[[list[str]], list[str]]) -> Iterator[None]:
    """Every listing of a folder, through `os` or `pathlib`, comes in this order of its sorted names."""
    listdir, scandir = os.listdir, os.scandir

    def scan(path: Any = ".") -> _Scan:
        with scandir(path) as entries:
            named = {entry.name: entry for entry in entries}
        return _Scan(named[name] for name in order(sorted(named)))

    def listed(path: Any = ".") -> list[str]:
        return order(sorted(listdir(path)))

    with patch.object(os, "scandir", scan), patch.object(os, "listdir", listed):
        yield


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with size and time of change."""
    found = {}
    for path in folder.rglob("*"):
        facts = path.lstat()
        found[path.relative_to(folder).as_posix()] = (facts.st_size, facts.st_mtime_ns)
    return found


def _refuses(case: LayoutCase, spec: DataSpec, what: str, error: type[VerisightError]) -> None:
    try:
        case.layout(spec, 0)
    except error as refusal:
        expect("\n" not in str(refusal), f"{what} is refused in more than one line")
    except Exception as other:
        expect(False, f"{what} ends in {type(other).__name__} instead of {error.__name__}: {other}")
    else:
        expect(False, f"{what} was read without a complaint")


def _few(names: Iterable[object]) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")

"""Every layout of the catalogue keeps the contract, and each way of breaking it is called by the name of its clause."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest

from verisight.core import catalogue
from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.core.value import Value
from verisight.data.layouts.layout import Layout, Promise, files_below, manifest_of, root_of, write_picture
from verisight.data.manifest import Manifest
from verisight.testing import ContractError, check_layout, name_of
from verisight.testing.layout import LAYOUT_CLAUSES, LayoutCase

Row = dict[str, Any]


@pytest.mark.parametrize("entry", catalogue.entries("layout"), ids=lambda e: e.id)
def test_layouts_of_the_catalogue_keep_the_contract(entry: catalogue.Entry) -> None:
    layout = entry.load()
    assert isinstance(layout, Layout), f"{entry.target} is a plain function, without a tiny copy to be tried on"
    check_layout(layout)


# --- a small right layout: <split>/<person>_<0 or 1>.png ---


class Options(Value):
    """split : as the folders say, or such that nobody stands on two sides (here: person 0 is left out of test)."""

    split: Literal["official", "strict"] = "official"


def tiny_copy(folder: Path) -> Promise:
    for split, people in (("train", (0, 1, 2)), ("test", (3, 4))):
        for person in people:
            for label in (0, 1):
                write_picture(folder / split / f"p{person}_{label}.png", person, forged=bool(label))
    write_picture(folder / "test" / "stray.png", 9)
    return Promise(
        spec=DataSpec(path=str(folder), layout="small"),
        labels={0: 5, 1: 5},
        splits={"train": 6, "test": 4},
        groups=5,
        generators={"blend": 5},
        subjects=5,
        notes=["1 stray file"],
    )


def row_of(path: str) -> Row | None:
    split, _, name = path.rpartition("/")
    person, _, label = name.removesuffix(".png").partition("_")
    if label not in ("0", "1"):
        return None
    fake = label == "1"
    return {
        "path": path,
        "label": int(fake),
        "split": split.rpartition("/")[2],
        "group": person,
        "video": f"{person}_{label}",
        "subject": person,
        "generator": "blend" if fake else "real",
        "source": "" if fake else "camera",
    }


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    root = root_of(spec)
    rows = [row_of(path) for path in files_below(root)]
    return manifest_of([row for row in rows if row], root, [f"{rows.count(None)} stray file"])


SMALL = Layout(read=read, tiny_copy=tiny_copy, licence="CC0", citation="nobody", options=Options)


def test_a_right_layout_keeps_the_contract() -> None:
    check_layout(SMALL)


def test_it_leaves_nothing_behind_and_finds_its_copy_by_itself(tmp_path: Path) -> None:
    case = LayoutCase.written(SMALL, tmp_path)
    moved = case.moved(tmp_path / "elsewhere")
    assert moved.promise.spec.path == str(tmp_path / "elsewhere")
    assert moved.read().table.equals(case.read().table)
    for clause in LAYOUT_CLAUSES:
        clause(case)
    assert sorted(os.listdir(tmp_path)) == ["copy", "elsewhere"]


# --- planted faults ---


def changed(change: Callable[[Row], Mapping[str, Any]], **layout: Any) -> Layout:
    """The small layout with every row changed."""

    def broken(spec: DataSpec, seed: int = 0) -> Manifest:
        right = read(spec, seed)
        rows = [{**row, **change(row)} for row in right.table.to_pylist()]
        return Manifest.from_columns({k: [r[k] for r in rows] for k in rows[0]}, right.root, right.notes)

    return replace(SMALL, read=broken, **layout)


def promising(**other: Any) -> Layout:
    return replace(SMALL, tiny_copy=lambda folder: replace(tiny_copy(folder), **other))


def only(keep: Callable[[Row], bool]) -> Layout:
    def broken(spec: DataSpec, seed: int = 0) -> Manifest:
        right = read(spec, seed)
        return right.where([keep(row) for row in right.table.to_pylist()])

    return replace(SMALL, read=broken)


def by_listing(spec: DataSpec, seed: int = 0) -> Manifest:
    """Takes as test whatever comes last in the listing."""
    right = read(spec, seed)
    last = [name for folder in sorted(os.listdir(right.root)) for name in os.listdir(right.root / folder)][-1][:2]
    rows = [{**r, "split": "test" if r["group"] == last else "train"} for r in right.table.to_pylist()]
    return Manifest.from_columns({k: [r[k] for r in rows] for k in rows[0]}, right.root, right.notes)


def in_order_of_listing(spec: DataSpec, seed: int = 0) -> Manifest:
    """The right rows, but as `os.scandir` happens to give them."""
    right, at = read(spec, seed), {}
    for split in sorted(os.listdir(right.root)):
        with os.scandir(right.root / split) as entries:
            for entry in entries:
                at[f"{split}/{entry.name}"] = len(at)
    rows = sorted(right.table.to_pylist(), key=lambda row: at[row["path"]])
    return Manifest.from_columns({k: [r[k] for r in rows] for k in rows[0]}, right.root, right.notes)


def by_whole_path(spec: DataSpec, seed: int = 0) -> Manifest:
    """Looks for `fake` anywhere in the path."""
    right = read(spec, seed)
    rows = [{**r, "label": int(r["label"] or "fake" in str(right.root))} for r in right.table.to_pylist()]
    return Manifest.from_columns({k: [r[k] for r in rows] for k in rows[0]}, right.root, right.notes)


def root_in_notes(spec: DataSpec, seed: int = 0) -> Manifest:
    right = read(spec, seed)
    return Manifest(right.table, right.root, [*right.notes, f"read from {right.root.name}"])


READS = iter(range(10**6))


def restless(spec: DataSpec, seed: int = 0) -> Manifest:
    right = read(spec, seed)
    return Manifest(right.table, right.root, [*right.notes, f"reading {next(READS)}"])


def indexing(spec: DataSpec, seed: int = 0) -> Manifest:
    (root_of(spec) / "index.cache").write_text("for the next time")
    return read(spec, seed)


def crashing(spec: DataSpec, seed: int = 0) -> Manifest:
    os.listdir(spec.path)  # raises FileNotFoundError where there is no folder
    return read(spec, seed)


def lenient(spec: DataSpec, seed: int = 0) -> Manifest:
    try:
        return read(spec, seed)
    except DataError:
        return Manifest.from_columns({"path": ["none.png"], "label": [0]}, Path(spec.path))


def listing_gone(row: Row) -> Mapping[str, Any]:
    return {"path": row["path"].replace("p3", "p7")}


def with_nothing(spec: DataSpec, seed: int = 0) -> Manifest:
    """A table with nulls in place of empty texts."""
    right = read(spec, seed)
    at = right.table.column_names.index("donor")
    empty = pa.nulls(len(right), pa.string())
    return Manifest(right.table.set_column(at, "donor", empty), right.root, right.notes)


class Open(Value):
    model_config = {"extra": "allow"}


PLANTED: list[tuple[str, Layout, str]] = [
    ("licence_and_citation_are_stated", replace(SMALL, licence=" "), "licence"),
    ("licence_and_citation_are_stated", replace(SMALL, citation=""), "citation"),
    ("labels_are_as_promised", changed(lambda r: {"label": 1 - r["label"]}, tiny_copy=lambda f: uneven(f)), "promised"),
    ("labels_are_as_promised", only(lambda r: r["path"] != "test/p3_1.png"), r"counts \{0: 5, 1: 4\}"),
    ("splits_are_as_promised", changed(lambda r: {"split": "train"}), r"counts \{'train': 10\}"),
    ("generators_are_as_promised", changed(lambda r: {"generator": r["group"]}), "generator counts"),
    ("generators_are_as_promised", promising(generators={}), r"promised \{'fake': 5\}"),
    ("groups_are_as_promised", changed(lambda r: {"group": r["path"]}), "10 groups, promised 5"),
    ("subjects_are_as_promised", changed(lambda r: {"subject": ""}), "0 subjects, promised 5"),
    ("notes_are_as_promised", promising(notes=["2 stray files"]), "no note says '2 stray files'"),
    ("every_path_is_a_file", changed(listing_gone), "rows without a file: .*p7_0.png"),
    ("columns_mean_what_the_schema_says", changed(lambda r: {"generator": "blend"}), "a real with a generator"),
    ("columns_mean_what_the_schema_says", changed(lambda r: {"generator": "real"}), "a fake without a generator"),
    ("columns_mean_what_the_schema_says", changed(lambda r: {"source": "camera"}), "source of a real"),
    ("columns_mean_what_the_schema_says", changed(lambda r: {"donor": "p0"}), "a real with a donor"),
    ("reading_again_gives_the_same", replace(SMALL, read=restless), "other notes"),
    ("the_order_of_the_listing_changes_nothing", replace(SMALL, read=by_listing), "'split'"),
    ("the_order_of_the_listing_changes_nothing", replace(SMALL, read=in_order_of_listing), "other rows, first at"),
    ("the_name_of_the_root_changes_nothing", replace(SMALL, read=by_whole_path), "fake_data gave other rows.*'label'"),
    ("the_name_of_the_root_changes_nothing", replace(SMALL, read=root_in_notes), "called real gave other notes"),
    ("no_group_stands_in_two_splits", changed(lambda r: {"video": "one"}), "videos have frames in two splits"),
    ("no_group_stands_in_two_splits", changed(lambda r: {"group": "one"}), "stands in two splits"),
    ("people_shared_by_splits_are_said_to_be", changed(lambda r: {"subject": "p0"}), "`leaks` is empty"),
    ("people_shared_by_splits_are_said_to_be", changed(lambda r: donated(r)), "`leaks` is empty"),
    (
        "a_strict_split_shares_nobody",
        changed(lambda r: {"subject": "p0"}, leaks="people"),
        "with split=strict, 1 people",
    ),
    ("a_strict_split_shares_nobody", changed(lambda r: {"pair": "one"}, leaks="pairs"), "with split=strict, 1 pairs"),
    ("csv_and_parquet_keep_the_fingerprint", replace(SMALL, read=with_nothing), "another fingerprint"),
    ("the_folder_is_left_alone", replace(SMALL, read=indexing), "wrote into the folder: index.cache"),
    ("what_is_not_this_data_set_is_refused", replace(SMALL, read=crashing), "FileNotFoundError instead of DataError"),
    ("what_is_not_this_data_set_is_refused", replace(SMALL, read=lenient), "was read without a complaint"),
    ("an_unknown_option_is_refused", replace(SMALL, options=Open), "was read without a complaint"),
]


def uneven(folder: Path) -> Promise:
    """One real more, so that swapped labels show in the counts."""
    promise = tiny_copy(folder)
    write_picture(folder / "train" / "p5_0.png", 5)
    return replace(promise, labels={0: 6, 1: 5}, splits={"train": 7, "test": 4}, groups=6, subjects=6)


def donated(row: Row) -> Mapping[str, Any]:
    """Fakes of the test split take their face from a person of the training split."""
    return {"donor": "p0"} if row["label"] and row["split"] == "test" else {}


@pytest.mark.parametrize(("name", "broken", "told"), PLANTED, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(PLANTED)])
def test_a_planted_fault_is_called_by_the_name_of_its_clause(
    name: str, broken: Layout, told: str, tmp_path: Path
) -> None:
    clause = next(c for c in LAYOUT_CLAUSES if name_of(c) == name)
    with pytest.raises(ContractError, match=told) as caught:
        clause(LayoutCase.written(broken, tmp_path))
    assert caught.value.clause == name
    assert str(caught.value).startswith(f"layout small breaks the clause '{name}': ")


def test_every_clause_has_a_planted_fault() -> None:
    assert {name for name, _, _ in PLANTED} == {name_of(c) for c in LAYOUT_CLAUSES}


def test_listings_are_as_before_after_the_check() -> None:
    before: Sequence[Any] = (os.listdir, os.scandir)
    with pytest.raises(ContractError):
        check_layout(replace(SMALL, read=by_listing))
    assert (os.listdir, os.scandir) == before

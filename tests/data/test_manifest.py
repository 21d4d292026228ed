"""The manifest refuses what does not hold together, and is the same table on every machine."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from verisight.core.errors import DataError
from verisight.data.manifest import SCHEMA, SPLITS, Manifest, split_by_group, strict_split

ROOT = Path("root")


def manifest(**changes: Any) -> Manifest:
    columns: dict[str, Any] = {
        "path": ["a.png", "b.png", "c/d.mp4"],
        "label": [0, 1, 1],
        "split": ["train", "val", "test"],
    }
    return Manifest.from_columns({**columns, **changes}, ROOT)


def test_what_a_layout_leaves_out_is_filled_in() -> None:
    made = Manifest.from_columns({"path": ["a.png", "b.png"], "label": ["0", "1"]}, ROOT)
    assert made.table.schema == SCHEMA
    assert made.column("label").tolist() == [0, 1]
    assert made.column("label").dtype == np.int64
    assert made.column("split").tolist() == ["train", "train"]
    assert made.column("group").tolist() == ["a.png", "b.png"]
    assert made.column("generator").tolist() == ["real", "fake"]
    assert made.column("quality").tolist() == ["", ""]
    assert made.paths() == [ROOT / "a.png", ROOT / "b.png"]


def test_domain_is_the_generator_of_a_fake_and_the_source_of_a_real() -> None:
    made = manifest(generator=["real", "gan", "swap"], source=["web", "", ""])
    assert made.domain().tolist() == ["web", "gan", "swap"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"path": ["a.png", "b.png", "a.png"]}, "a.png: stands twice"),
        ({"path": ["a.png", "c\\d.png", "c/d.png"]}, "c/d.png: stands twice"),
        ({"path": ["a.png", "/etc/passwd", "c"]}, "/etc/passwd: a path must be relative"),
        ({"path": ["a.png", "../b.png", "c"]}, "../b.png: a path must be relative"),
        ({"path": ["a.png", "x/../../b.png", "c"]}, "x/../../b.png: a path must be relative"),
        ({"path": ["a.png", "..\\b.png", "c"]}, "../b.png: a path must be relative"),
        ({"path": ["a.png", "C:\\b.png", "c"]}, "C:/b.png: a path must be relative"),
        ({"path": ["a.png", "\\\\host\\b.png", "c"]}, "//host/b.png: a path must be relative"),
        ({"path": ["a.png", "http://host/b.png", "c"]}, "a path must be relative"),
        ({"path": ["a.png", "b\udcff.png", "c"]}, "not UTF-8"),
        ({"label": [0, 1, 2]}, "c/d.mp4: the label must be 0 (real) or 1 (fake), got '2'"),
        ({"label": [0, 1, ""]}, "got ''"),
        ({"label": ["real", "fake", "fake"]}, "got 'real'"),
        ({"label": [0.0, 1.0, 1.0]}, "got '0.0'"),
        ({"label": [0, 1, None]}, "got 'None'"),
        ({"split": ["train", "valid", "test"]}, "unknown split 'valid'; did you mean 'val'?"),
        ({"split": ["train", "", "test"]}, "unknown split ''"),
        ({"group": ["g", "h", "g"]}, "g: this group stands in two splits, train and test"),
        ({"colour": ["", "", ""]}, "unknown column 'colour'"),
        ({"genrator": ["", "", ""]}, "did you mean 'generator'?"),
        ({"path": [], "label": [], "split": []}, "holds no samples"),
    ],
)
def test_a_table_that_does_not_hold_together_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(DataError) as caught:
        manifest(**changes)
    assert named in str(caught.value)


@pytest.mark.parametrize("name", ["path", "label"])
def test_a_required_column_is_asked_for(name: str) -> None:
    columns = {"path": ["a"], "label": [0]}
    columns[f"{name}s"] = columns.pop(name)
    with pytest.raises(DataError, match=rf"no column '{name}'; did you mean '{name}s'"):
        Manifest.from_columns(columns, ROOT)


def test_a_table_made_elsewhere_is_validated_too() -> None:
    rows = manifest().table
    with pytest.raises(DataError, match="got '2'"):
        Manifest(rows.set_column(1, SCHEMA.field("label"), pa.array([0, 1, 2], pa.int8())), ROOT)


def test_splits_partition_the_rows_and_a_missing_one_is_named() -> None:
    made = manifest()
    assert [made.split(name).column("path").tolist() for name in SPLITS] == [["a.png"], ["b.png"], ["c/d.mp4"]]
    with pytest.raises(DataError, match=r"no rows in split 'val'; splits present: train"):
        made.split("train").split("val")
    assert made.where(made.column("label") == 1).column("path").tolist() == ["b.png", "c/d.mp4"]


# Text that a table may hold: no broken surrogates.
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=6)
awkward = st.one_of(words, st.sampled_from(["007", "1e3", "2024-01-01", "true", "NA", "null", "", 'a"b', "a,b", " a "]))


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    names = draw(st.lists(awkward, min_size=1, max_size=6, unique=True))
    rows = {
        "path": [f"{i}/{name}".replace("/..", "/.") for i, name in enumerate(names)],
        "label": draw(st.lists(st.sampled_from([0, 1]), min_size=len(names), max_size=len(names))),
        "split": [draw(st.sampled_from(SPLITS)) for _ in names],
    }
    for column in ("generator", "source", "quality", "pair"):
        rows[column] = draw(st.lists(awkward, min_size=len(names), max_size=len(names)))
    return rows


@given(tables(), st.randoms())
def test_the_fingerprint_knows_neither_row_order_nor_root(columns: dict[str, list[Any]], random) -> None:
    made = Manifest.from_columns(columns, ROOT)
    order = list(range(len(made)))
    random.shuffle(order)
    shuffled = {name: [values[i] for i in order] for name, values in columns.items()}
    assert Manifest.from_columns(shuffled, Path("/elsewhere")).fingerprint() == made.fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"path": ["a.png", "b.png", "c/e.mp4"]},
        {"label": [1, 1, 1]},
        {"split": ["val", "val", "test"]},
        {"group": ["x", "b.png", "c/d.mp4"]},
        {"generator": ["real", "x", "fake"]},
        {"source": ["x", "", ""]},
        {"quality": ["", "c23", ""]},
        {"pair": ["", "", "x"]},
    ],
)
def test_the_fingerprint_knows_every_column(change: dict[str, Any]) -> None:
    assert manifest(**change).fingerprint() != manifest().fingerprint()
    assert len(manifest().fingerprint()) == 16


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@given(columns=tables())
def test_a_saved_manifest_comes_back_equal(tmp_path_factory, suffix: str, columns: dict[str, list[Any]]) -> None:
    path = tmp_path_factory.mktemp("saved") / f"m{suffix}"
    made = Manifest.from_columns(columns, ROOT)
    made.save(path)
    back = Manifest.load(path)
    assert back.table.equals(made.table)
    assert back.fingerprint() == made.fingerprint()
    assert back.root == path.parent
    assert Manifest.load(path, ROOT).root == ROOT


@pytest.mark.parametrize(
    ("name", "content"),
    [("m.parquet", b"PAR1 not really"), ("m.parquet", b""), ("m.csv", b""), ("m.csv", b"path,label\na.png\n"),
     ("m.csv", b"path,label\n\xff\xfe,0\n")],
)  # fmt: skip
def test_what_is_no_manifest_is_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        Manifest.load(tmp_path / name)


def test_a_missing_file_and_an_unknown_format_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv"):
        Manifest.load(tmp_path / "gone.csv")
    with pytest.raises(DataError, match=r"cannot write a manifest as '\.xlsx'"):
        manifest().save(tmp_path / "m.xlsx")


# --- split_by_group ---

shares_with_holes = st.sampled_from(
    [(0.7, 0.15, 0.15), (0.9, 0.0, 0.1), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0),
     (0.98, 0.01, 0.01), (0.01, 0.0, 0.99), (1 / 3, 1 / 3, 1 / 3)]
)  # fmt: skip


@st.composite
def grouped(draw: st.DrawFn) -> tuple[list[str], list[int]]:
    """Rows in groups of one to four; at least three groups of each label."""
    rows = []
    for label in (0, 1):
        for g in range(draw(st.integers(3, 30))):
            rows += [(f"{label}-{g}", label)] * draw(st.integers(1, 4))
    groups, labels = zip(*draw(st.permutations(rows)), strict=True)
    return list(groups), list(labels)


@given(grouped(), shares_with_holes, st.integers(0, 2**32 - 1))
def test_groups_stay_whole_and_every_wanted_split_gets_both_labels_and_no_other_gets_any(rows, shares, seed) -> None:
    groups, labels = rows
    splits = split_by_group(groups, labels, shares, seed)
    homes = defaultdict(set)
    for group, split in zip(groups, splits, strict=True):
        homes[group].add(split)
    assert all(len(home) == 1 for home in homes.values())
    wanted = {name for name, share in zip(SPLITS, shares, strict=True) if share > 0}
    found = set(zip(splits, labels, strict=True))
    assert found == {(name, label) for name in wanted for label in (0, 1)}


@given(grouped(), shares_with_holes, st.integers(0, 2**32 - 1))
def test_group_counts_are_within_two_of_the_wanted_shares(rows, shares, seed) -> None:
    groups, labels = rows
    splits = split_by_group(groups, labels, shares, seed)
    for label in (0, 1):
        homes = {g: s for g, s, of in zip(groups, splits, labels, strict=True) if of == label}
        count = Counter(homes.values())
        for name, share in zip(SPLITS, shares, strict=True):
            assert abs(count[name] - share * len(homes)) <= 2


@given(grouped(), st.integers(0, 2**32 - 1), st.randoms())
def test_the_split_of_a_group_hangs_on_the_seed_and_not_on_the_order_of_rows(rows, seed, random) -> None:
    groups, labels = rows
    shares = (0.7, 0.15, 0.15)
    first = dict(zip(groups, split_by_group(groups, labels, shares, seed), strict=True))
    order = list(range(len(groups)))
    random.shuffle(order)
    shuffled = [groups[i] for i in order]
    again = split_by_group(shuffled, [labels[i] for i in order], shares, seed)
    assert dict(zip(shuffled, again, strict=True)) == first


def test_another_seed_gives_another_split() -> None:
    groups = [str(i) for i in range(40)]
    labels = [i % 2 for i in range(40)]
    assert split_by_group(groups, labels, (0.7, 0.15, 0.15), 0) != split_by_group(groups, labels, (0.7, 0.15, 0.15), 1)


@pytest.mark.parametrize("shares", [(0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (0, 0, 0), (float("nan"), 0.5, 0.5)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(DataError, match="sum to 1"):
        split_by_group(["a", "b"], [0, 1], shares, 0)


@given(st.integers(1, 2), st.integers(1, 5))
def test_too_few_groups_are_refused_with_their_number(few: int, per_group: int) -> None:
    assume(few * per_group >= 1)
    groups = [f"r{i}" for i in range(9)] + [f"f{i}" for i in range(few) for _ in range(per_group)]
    labels = [0] * 9 + [1] * (few * per_group)
    with pytest.raises(DataError, match=rf"label 1: {few} groups cannot fill 3 splits"):
        split_by_group(groups, labels, (0.7, 0.15, 0.15), 0)


# --- strict_split ---


@st.composite
def swapped(draw: st.DrawFn) -> list[list[str]]:
    """Rows that name one person, two, or nobody; at least three people."""
    people = [f"p{i}" for i in range(draw(st.integers(3, 20)))]
    rows = [[person] for person in people]
    rows += draw(st.lists(st.lists(st.sampled_from([*people, ""]), min_size=0, max_size=2), max_size=60))
    return draw(st.permutations(rows))


@given(swapped(), shares_with_holes, st.integers(0, 2**32 - 1))
def test_nobody_stands_in_two_splits_and_no_wanted_split_is_empty(rows, shares, seed) -> None:
    splits = strict_split(rows, shares, seed)
    homes = defaultdict(set)
    for people, split in zip(rows, splits, strict=True):
        for person in set(people) - {""}:
            homes[person].add(split)
    assert all(len(home - {None}) == 1 for home in homes.values())  # everybody has a row of his own here
    wanted = {name for name, share in zip(SPLITS, shares, strict=True) if share > 0}
    assert set(splits) - {None} == wanted


@given(swapped(), shares_with_holes, st.integers(0, 2**32 - 1))
def test_only_rows_that_join_two_splits_or_name_nobody_are_left_out(rows, shares, seed) -> None:
    splits = strict_split(rows, shares, seed)
    home = {people[0]: split for people, split in zip(rows, splits, strict=True) if len(set(people)) == 1 and people[0]}
    for people, split in zip(rows, splits, strict=True):
        sides = {home[person] for person in people if person}
        assert split == (sides.pop() if len(sides) == 1 else None)


@given(swapped(), st.integers(0, 2**32 - 1), st.randoms())
def test_the_strict_split_hangs_on_the_seed_and_not_on_the_order_of_rows_or_names(rows, seed, random) -> None:
    first = strict_split(rows, (0.7, 0.15, 0.15), seed)
    order = list(range(len(rows)))
    random.shuffle(order)
    again = strict_split([rows[i][::-1] for i in order], (0.7, 0.15, 0.15), seed)
    assert again == [first[i] for i in order]


@given(st.integers(1, 6), st.integers(20, 80), shares_with_holes, st.integers(0, 2**32 - 1))
def test_couples_stay_together_and_the_shares_are_kept(methods, couples, shares, seed) -> None:
    """FaceForensics++ in small: two people swapped with each other by every method; nothing needs to be left out."""
    rows = [[f"{c}{who}"] for c in range(couples) for who in "ab"]
    rows += [[f"{c}a", f"{c}b"] for c in range(couples) for _ in range(2 * methods)]
    splits = strict_split(rows, shares, seed)
    assert None not in splits
    count = Counter(splits[: 2 * couples])
    for name, share in zip(SPLITS, shares, strict=True):
        assert abs(count[name] / 2 - share * couples) <= 2


def test_where_everybody_is_swapped_with_everybody_the_square_of_the_share_is_left() -> None:
    """Celeb-DF in small: 60 people, each with ten reals, each pair both ways."""
    people = [f"id{i}" for i in range(60)]
    reals = [[person] for person in people for _ in range(10)]
    rows = reals + [[a, b] for a in people for b in people if a != b]
    splits = strict_split(rows, (0.7, 0.15, 0.15), 0)
    real = {name: count / 10 for name, count in Counter(splits[: len(reals)]).items()}
    assert real == {"train": 42, "val": 9, "test": 9}
    assert Counter(splits[len(reals) :]) == {
        "train": 42 * 41,
        "val": 9 * 8,
        "test": 9 * 8,
        None: 60 * 59 - 42 * 41 - 2 * 9 * 8,
    }


def test_a_large_ring_that_fits_is_kept_whole_and_one_that_does_not_is_cut() -> None:
    small = [[f"s{i}"] for i in range(40)]
    ring = [[f"r{i}", f"r{(i + 1) % 10}"] for i in range(10) for _ in range(2)]  # half of all namings
    kept, cut = (strict_split(small + ring, shares, 0) for shares in ((0.6, 0.2, 0.2), (0.4, 0.3, 0.3)))
    assert set(kept[40:]) == {"train"}
    assert Counter(kept[:40]) == {"train": 8, "val": 16, "test": 16}  # 40 + 8 of 80 namings are three fifths
    assert None in cut[40:]


@pytest.mark.parametrize("seed", range(5))
def test_a_ring_is_cut_where_a_split_would_else_stay_empty(seed: int) -> None:
    splits = strict_split([["a", "b"], ["a"], ["b"], ["c"]], (0.7, 0.15, 0.15), seed)
    assert splits[0] is None
    assert sorted(map(str, splits[1:])) == ["test", "train", "val"]


def test_too_few_people_are_refused_with_their_number() -> None:
    with pytest.raises(DataError, match="2 people cannot fill 3 splits"):
        strict_split([["a", "b"], ["a"], [""]], (0.7, 0.15, 0.15), 0)
    with pytest.raises(DataError, match="sum to 1"):
        strict_split([["a"]], (0.7, 0.7, 0.15), 0)


def test_another_seed_gives_another_strict_split() -> None:
    rows = [[str(i)] for i in range(40)]
    assert strict_split(rows, (0.7, 0.15, 0.15), 0) != strict_split(rows, (0.7, 0.15, 0.15), 1)

"""Who hangs together, and splits in which nobody stands twice."""

from __future__ import annotations

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.errors import DataError
from verisight.data.layouts.disjoint import components, on_one_side, sides

names = st.text("abcdefgh", min_size=1, max_size=2)


@given(st.lists(st.tuples(names, names), max_size=20))
def test_components_are_those_of_the_graph_named_by_their_smallest(pairs: list[tuple[str, str]]) -> None:
    graph = networkx.Graph(pairs)
    expected = {name: min(part) for part in networkx.connected_components(graph) for name in part}
    assert components(pairs) == expected


def test_sides_depend_on_the_set_of_names_and_the_seed_alone() -> None:
    people = [f"id{i}" for i in range(20)]
    first = sides(people, (0.5, 0.25, 0.25), 3, what="people")
    assert first == sides(people[::-1] * 2, (0.5, 0.25, 0.25), 3, what="people")
    assert first != sides(people, (0.5, 0.25, 0.25), 4, what="people")
    assert [list(first.values()).count(name) for name in ("train", "val", "test")] == [10, 5, 5]


def test_too_few_to_cut_is_said_in_the_words_of_the_set() -> None:
    assert sides([], (0.7, 0.15, 0.15), 0, what="actors") == {}
    assert sides(["a"], (0, 0, 1), 0, what="actors") == {"a": "test"}
    with pytest.raises(DataError, match=r"2 actors: cannot fill 3 splits; .*data\.splits=\[0,0,1\]"):
        sides(["a", "b", "a"], (0.7, 0.15, 0.15), 0, what="actors")


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(-1, 8)), min_size=12, max_size=60).filter(
        lambda rows: len({id for row in rows for id in row if id >= 0}) >= 3
    ),
    st.integers(0, 5),
)
def test_nobody_stands_on_two_sides_and_every_row_is_kept_or_named(pairs: list[tuple[int, int]], seed: int) -> None:
    rows = [
        {"path": str(i), "video": f"v{i}", "subject": str(subject), "donor": "" if donor < 0 else str(donor)}
        for i, (subject, donor) in enumerate(pairs)
    ]
    kept, mixed = on_one_side(rows, (0.6, 0.2, 0.2), seed)
    side: dict[str, str] = {}
    for row in kept:
        for name in (f"person {row['subject']}", f"person {row['donor'] or row['subject']}", f"group {row['group']}"):
            assert side.setdefault(name, row["split"]) == row["split"]
    graph = networkx.Graph((row["subject"], row["donor"] or row["subject"]) for row in kept)
    whole = {name: min(part) for part in networkx.connected_components(graph) for name in part}
    assert [row["group"] for row in kept] == [whole[row["subject"]] for row in kept]
    assert sorted([row["path"] for row in kept] + mixed) == sorted(row["path"] for row in rows)


def test_an_unnamed_person_is_one_of_its_own() -> None:
    rows = [{"path": f"{i}", "video": f"v{i}", "subject": "", "donor": ""} for i in range(6)]
    kept, mixed = on_one_side(rows, (0.5, 0, 0.5), 0)
    assert [row["group"] for row in kept] == [f"v{i}" for i in range(6)]
    assert sorted(row["split"] for row in kept) == ["test"] * 3 + ["train"] * 3
    assert mixed == []

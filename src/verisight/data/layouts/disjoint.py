"""Splits that share nobody: what hangs together, and which side it falls on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from verisight.core.errors import DataError
from verisight.data.layouts.names import Row
from verisight.data.manifest import split_by_group, strict_split


def components(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each name -> the smallest name that it hangs together with, over any number of pairs.

    pairs : two names each; a name paired with itself stands alone.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = list(pairs)
    names = sorted({name for edge in edges for name in edge})
    at = {name: i for i, name in enumerate(names)}
    ends = ([at[a] for a, _ in edges], [at[b] for _, b in edges])
    graph = coo_array(([1] * len(edges), ends), shape=(len(names), len(names)))
    _, numbers = connected_components(graph, directed=False) if names else (0, [])
    first: dict[int, str] = {}
    return {name: first.setdefault(int(number), name) for name, number in zip(names, numbers, strict=True)}


def sides(names: Iterable[str], shares: tuple[float, float, float], seed: int, *, what: str) -> dict[str, str]:
    """Each name -> train, val or test, close to the shares, fixed by the seed and the set of names.

    names : people, pairs or parts, each as often as it likes. shares : `DataSpec.splits`. what : they are, for errors.

    Raises
    ------
    DataError : fewer names than splits with a share; shares that do not sum to one.
    """
    ordered = sorted(set(names))
    wanted = sum(share > 0 for share in shares)
    if 0 < len(ordered) < wanted:
        raise DataError(
            f"{len(ordered)} {what}", f"cannot fill {wanted} splits", "to test on all of them: data.splits=[0,0,1]"
        )
    return dict(zip(ordered, split_by_group(ordered, [0] * len(ordered), shares, seed), strict=True))


def people(row: Row) -> tuple[str, str]:
    """Subject and donor of a row: the subject twice without a donor, the video for an unnamed subject."""
    subject = str(row["subject"] or row["video"])
    return subject, str(row["donor"] or subject)


def on_one_side(rows: Sequence[Row], shares: tuple[float, float, float], seed: int) -> tuple[list[Row], list[str]]:
    """Rows with a split in which nobody stands twice, and as group whoever hangs together by the rows that are left.

    Also the paths of the rows that had to go, because their two people stand in different splits.
    """
    ends = [people(row) for row in rows]
    split = strict_split(ends, shares, seed)
    whole = components(pair for pair, name in zip(ends, split, strict=True) if name)
    kept = [
        {**row, "group": whole[a], "split": name} for row, (a, _), name in zip(rows, ends, split, strict=True) if name
    ]
    return kept, [str(row["path"]) for row, name in zip(rows, split, strict=True) if not name]

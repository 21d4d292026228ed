"""The figure of left-out families is the one of its definition, and its intervals hold what they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts import without
from verisight.data.manifest import Manifest
from verisight.evaluate.leave_out import left_out, scopes

FAMILIES = {"swaps": ("swap",), "drawn": ("gan", "diffusion")}
MATCHED = {"swap": ("tv",), "gan": ("photo",)}
PARTS = (("train", "val"), ("val",))


def manifest(groups: int = 30) -> Manifest:
    rows = [
        {"generator": name, "label": 1, "source": ""} for name in ("swap", "gan", "diffusion") for _ in range(groups)
    ] + [{"generator": "real", "label": 0, "source": name} for name in ("tv", "photo", "lfw") for _ in range(groups)]
    for i, row in enumerate(rows):
        kind = row["generator"] if row["label"] else row["source"]
        # a swap and its real share a group
        of = {"swap": "tv", "gan": "photo"}.get(str(kind), str(kind))
        row |= {"path": f"{i}.png", "group": f"{of}{i % groups}", "split": ("train", "val", "test")[i % 3]}
    return Manifest.from_columns({name: [row[name] for row in rows] for name in rows[0]}, Path("."))


def test_scopes_are_the_generator_and_its_reals_or_the_reals_that_were_not_trained_on() -> None:
    table = manifest()
    found = {scope.generator: scope for scope in scopes(table, FAMILIES, MATCHED, *PARTS)}
    source, split = table.column("source"), table.column("split")
    assert set(found) == {"swap", "gan", "diffusion"}
    swap, diffusion = found["swap"], found["diffusion"]
    assert set(source[swap.rows[~swap.fake]]) == {"tv"}
    assert set(split[swap.rows]) == {"train", "val"}
    assert set(source[diffusion.rows[~diffusion.fake]]) == {"tv", "photo", "lfw"}
    assert set(split[diffusion.rows[~diffusion.fake]]) == {"val"}
    assert set(split[diffusion.rows[diffusion.fake]]) == {"train", "val"}


def test_a_generator_of_few_videos_is_passed_over_and_a_family_without_any_is_refused() -> None:
    with pytest.raises(DataError, match="5 groups"):
        scopes(manifest(groups=6), FAMILIES, MATCHED, ("test",), ("test",))


def test_a_generator_without_reals_is_refused() -> None:
    with pytest.raises(DataError, match="no reals"):
        scopes(manifest(), FAMILIES, {**MATCHED, "gan": ("nowhere",)}, *PARTS)


def test_aucs_and_means_are_those_of_their_definition() -> None:
    table = manifest()
    where = scopes(table, FAMILIES, MATCHED, *PARTS)
    rng = np.random.default_rng(0)
    scores = {family: rng.normal(size=len(table)).round(1) + table.column("label") for family in FAMILIES}
    found = left_out(scores, where, resamples=50)
    by_hand = [roc_auc_score(s.fake, scores[s.family][s.rows]) for s in where]
    assert_allclose(found.auc, by_hand)
    assert_allclose(found.mean().value, (by_hand[0] + (by_hand[1] + by_hand[2]) / 2) / 2)
    assert_allclose(found.family("drawn").value, (by_hand[1] + by_hand[2]) / 2)


def test_a_resample_is_a_weighted_auc_of_whole_groups() -> None:
    table = manifest(groups=8)
    where = scopes(table, {"swaps": ("swap",)}, MATCHED, ("train", "val", "test"), ("test",))
    score = np.random.default_rng(3).normal(size=len(table))
    found = left_out({"swaps": score}, where, resamples=20, seed=5)
    (scope,) = where
    groups = np.unique(scope.group)
    counts = np.random.default_rng((5, len(groups))).multinomial(len(groups), [1 / len(groups)] * len(groups), 20)
    for count, auc in zip(counts, found.resampled[:, 0], strict=True):
        weight = count[np.searchsorted(groups, scope.group)]
        assert_allclose(auc, roc_auc_score(scope.fake, score[scope.rows], sample_weight=weight))


def test_equal_methods_do_not_differ_and_the_better_one_is_ahead_for_sure() -> None:
    table = manifest(groups=60)
    where = scopes(table, FAMILIES, MATCHED, *PARTS)
    rng = np.random.default_rng(1)
    good = {family: rng.normal(size=len(table)) + 3 * table.column("label") for family in FAMILIES}
    chance = {family: rng.normal(size=len(table)) for family in FAMILIES}
    one, other = left_out(good, where, resamples=300), left_out(chance, where, resamples=300)
    same = one.minus(one)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    ahead = one.minus(other)
    assert ahead.low is not None
    assert ahead.low > 0.2
    assert ahead.low < ahead.value < (ahead.high or 0)


def test_leaving_out_drops_generators_and_the_reals_of_their_origin() -> None:
    spec = DataSpec(path=".", matched=MATCHED, leave_out=("swap", "diffusion"))
    kept = without(manifest(), spec)
    assert set(kept.column("generator")) == {"gan", "real"}
    assert set(kept.column("source")[kept.column("label") == 0]) == {"photo", "lfw"}


def test_leaving_out_what_is_not_there_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DataError, match="swap"):
        without(manifest(), DataSpec(path=".", leave_out=("swop",)))

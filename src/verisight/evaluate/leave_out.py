"""How well are families of forgeries told that were left out of training? Leave one family out, with one figure.

    figure = mean over families of the mean over the family's generators of AUC(generator, its reals)

Each family is scored by a detector that never saw it, nor the reals that it is compared with. The interval is that of a
bootstrap of groups within each family; two methods are compared on the same resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verisight.core.errors import DataError
from verisight.data.manifest import Manifest
from verisight.evaluate.intervals import Interval
from verisight.evaluate.metrics import Floats

FEWEST = 5  # groups of fakes: a generator known from one or two videos says what the scene looks like


@dataclass(frozen=True)
class Scope:
    """The fakes of one generator and the reals that they are compared with.

    rows : (N,) of the manifest; fake : (N,) whether each is a fake; group : (N,) names.
    """

    family: str
    generator: str
    rows: NDArray[np.int64]
    fake: NDArray[np.bool_]
    group: NDArray[np.str_]


def scopes(
    manifest: Manifest,
    families: Mapping[str, Sequence[str]],
    matched: Mapping[str, Sequence[str]],
    splits: Sequence[str],
    unseen: Sequence[str],
) -> list[Scope]:
    """What each family is judged on: its generators' rows of `splits`, against their matched reals of `splits`; where a
    generator has none, against all reals of the splits in `unseen`, since reals that stay in training are known.

    Generators with fewer than FEWEST groups in these splits are left out.

    Raises
    ------
    DataError : a family of which nothing is left, or a generator without reals.
    """
    label, split = manifest.column("label"), manifest.column("split").astype(str)
    generator, source = manifest.column("generator").astype(str), manifest.column("source").astype(str)
    group = manifest.column("group").astype(str)
    found: list[Scope] = []
    for family, names in families.items():
        for name in names:
            fakes = (label == 1) & (generator == name) & np.isin(split, splits)
            if len(np.unique(group[fakes])) < FEWEST:
                continue
            known = name in matched
            reals = np.isin(source, matched[name]) & np.isin(split, splits) if known else np.isin(split, unseen)
            reals &= label == 0
            if not reals.any():
                raise DataError(name, f"no reals to compare it with in {', '.join(splits if known else unseen)}")
            rows = np.flatnonzero(fakes | reals)
            found.append(Scope(family, name, rows, label[rows] == 1, group[rows]))
        if not any(scope.family == family for scope in found):
            raise DataError(family, f"none of its generators has {FEWEST} groups in {', '.join(splits)}")
    return found


@dataclass(frozen=True)
class LeftOut:
    """AUCs of one method and their resamples.

    auc : (K,) of each scope. resampled : (B, K). families : (K,) names. groups : of all families.
    """

    auc: Floats
    resampled: Floats
    families: tuple[str, ...]
    groups: int

    def of(self, scope: int) -> Interval:
        """One generator."""
        return self._interval(self.auc[scope], self.resampled[:, scope])

    def family(self, name: str) -> Interval:
        """The mean over the generators of one family."""
        of = np.array(self.families) == name
        return self._interval(self.auc[of].mean(), self.resampled[:, of].mean(axis=1))

    def mean(self) -> Interval:
        """The mean over families."""
        return self._interval(float(self._means(self.auc[None])[0]), self._means(self.resampled))

    def minus(self, other: LeftOut) -> Interval:
        """The difference of the means, on the same resamples."""
        away = self._means(self.resampled) - other._means(other.resampled)
        return self._interval(float((self._means(self.auc[None]) - other._means(other.auc[None]))[0]), away)

    def _interval(self, value: float, resampled: Floats, level: float = 0.95) -> Interval:
        low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
        bounds = {"low": float(low), "high": float(high), "level": level}
        return Interval(value=float(value), groups=self.groups, resamples=len(resampled), **bounds)

    def _means(self, auc: Floats) -> Floats:
        names = np.array(self.families)
        by_family = [auc[:, names == name].mean(axis=1) for name in dict.fromkeys(self.families)]
        return np.asarray(np.mean(by_family, axis=0))


def left_out(scores: Mapping[str, Floats], scopes: Sequence[Scope], *, resamples: int = 2000, seed: int = 0) -> LeftOut:
    """The AUCs of a method, and of `resamples` bootstraps of the groups of every family.

    scores : family -> (N,) a score for every row of the manifest, by the detector that was kept from this family; rows
        of no scope may be anything.
    seed : equal seeds give equal resamples, so that methods can be compared.
    """
    auc, resampled, total = np.empty(len(scopes)), np.empty((resamples, len(scopes))), 0
    for family in dict.fromkeys(scope.family for scope in scopes):
        of = [k for k, scope in enumerate(scopes) if scope.family == family]
        groups = np.unique(np.concatenate([scopes[k].group for k in of]))
        total += len(groups)
        counts = _multinomial(len(groups), resamples, np.random.default_rng((seed, len(groups))))
        for k in of:
            scope = scopes[k]
            value = scores[family][scope.rows]
            weight = counts[:, np.searchsorted(groups, scope.group)].astype(np.float64)
            fake, real = value[scope.fake], value[~scope.fake]
            better = (fake[:, None] > real) + 0.5 * (fake[:, None] == real)
            auc[k] = better.mean()
            w_fake, w_real = weight[:, scope.fake], weight[:, ~scope.fake]
            won = np.einsum("bf,bf->b", w_fake, (better @ w_real.T).T)
            mass = w_fake.sum(axis=1) * w_real.sum(axis=1)
            with np.errstate(invalid="ignore"):
                resampled[:, k] = np.where(mass > 0, won / mass, auc[k])
    return LeftOut(auc, resampled, tuple(scope.family for scope in scopes), total)


def _multinomial(groups: int, resamples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(B, G) how often each group is drawn, G draws with replacement."""
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples)

"""Calibrators recover what is known, agree with scikit-learn and scipy, keep the order, and see select data only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from verisight.core.checkpoint import Calibration, Card
from verisight.core.errors import DataError
from verisight.core.recipe import EvaluateSpec
from verisight.evaluate.calibration import BOUNDS, FITS, fit_isotonic, fit_platt, fit_temperature, with_band
from verisight.evaluate.metrics import auc, balanced_accuracy, brier, ece
from verisight.evaluate.protocol import Fit, Protocol, Report, Scores, Select, Split


def scores_of(label: np.ndarray, score: np.ndarray, split: type[Split] = Select) -> Scores:
    name = np.array([f"{i}.png" for i in range(len(label))])
    return Scores(
        split=split, fingerprint="feed", path=name, label=label, score=score, group=name, generator=name, source=name
    )


def drawn_from(temperature: float, rows: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are 1 with probability sigmoid(logit / temperature)."""
    rng = np.random.default_rng(0)
    score = rng.normal(0.5, 3, rows)
    return (rng.random(rows) < 1 / (1 + np.exp(-score / temperature))).astype(np.int64), score


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    fitted = fit_temperature(scores_of(*drawn_from(temperature))).temperature
    assert_allclose(fitted, temperature, rtol=0.04)


def test_at_the_optimum_the_derivative_of_the_likelihood_is_zero() -> None:
    y, s = drawn_from(2.0, rows=500)
    fitted = fit_temperature(scores_of(y, s))
    # d NLL / d (1/T) = mean of (sigmoid(s / T) - y) s
    assert_allclose(((fitted.probability(s) - y) * s).mean(), 0, atol=1e-5)


def test_overconfident_scores_become_calibrated_and_keep_their_order() -> None:
    y, s = drawn_from(4.0)
    fitted = fit_temperature(scores_of(y, s))
    raw = 1 / (1 + np.exp(-s))
    assert ece(y, raw) > 0.1
    assert ece(y, fitted.probability(s)) < 0.015
    assert auc(y, fitted.probability(s)) == auc(y, s)


def test_separable_scores_stop_at_the_lower_bound_and_inverted_ones_at_the_upper() -> None:
    y, s = np.array([0, 0, 1, 1]), np.array([-2.0, -1.0, 1.0, 2.0])
    assert_allclose(fit_temperature(scores_of(y, s)).temperature, BOUNDS[0])
    assert_allclose(fit_temperature(scores_of(y, -s)).temperature, BOUNDS[1])


def test_huge_logits_do_not_overflow() -> None:
    y, s = np.array([0, 1, 0, 1]), np.array([-1e6, 1e6, 1e6, 1e6])
    assert np.isfinite(fit_temperature(scores_of(y, s)).temperature)


def test_the_prior_is_that_of_the_select_split_and_stated() -> None:
    y, s = drawn_from(1.0, rows=2000)
    keep = (y == 0) | (np.arange(2000) % 10 == 0)  # one fake in ten
    fitted = fit_temperature(scores_of(y[keep], s[keep]))
    assert fitted.fitted_on == f"select feed, {keep.sum()} files, {y[keep].mean():.0%} positive"
    everything_twice = fit_temperature(scores_of(np.tile(y[keep], 2), np.tile(s[keep], 2)))
    assert_allclose(everything_twice.temperature, fitted.temperature, rtol=1e-5)


NAMES = {"temperature": "a temperature", "platt": "a Platt scaling", "isotonic": "an isotonic calibration"}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("split", [Fit, Report])
def test_other_data_than_select_are_refused(split: type[Split], kind: str) -> None:
    with pytest.raises(DataError, match=f"{NAMES[kind]}: was to be chosen on {split.__name__.lower()} data"):
        FITS[kind](scores_of(*drawn_from(1.0, rows=50), split))


@pytest.mark.parametrize("kind", NAMES)
def test_one_class_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match=f"{NAMES[kind]}: the 3 rows hold no negatives"):
        FITS[kind](scores_of(np.ones(3, np.int64), np.arange(3.0)))


def test_every_name_of_a_recipe_has_a_fit() -> None:
    for kind, fit in FITS.items():
        assert EvaluateSpec(calibration=kind).calibration == kind
        chosen = Protocol(EvaluateSpec(calibration=kind)).choose(scores_of(*drawn_from(1.0, rows=50)))[0]
        assert chosen.model_copy(update={"band": ()}) == fit(scores_of(*drawn_from(1.0, rows=50)))
        assert bool(chosen.band) == (kind != "none")


def test_the_band_holds_the_truth_and_narrows_with_the_root_of_the_data() -> None:
    """Labels drawn with the probability sigmoid(score): the line p = sigmoid(s) lies in the band of a good fit."""
    wide = []
    for rows in (400, 6400):
        fitted = with_band(fit_platt, scores_of(*drawn_from(1.0, rows=rows)), resamples=100)
        score, low, high = np.array(fitted.band).T
        inside = np.abs(score) < 4
        truth = 1 / (1 + np.exp(-score))
        assert ((low - 0.02 <= truth) & (truth <= high + 0.02))[inside].mean() > 0.9
        wide.append((high - low)[inside].mean())
    assert 2.5 < wide[0] / wide[1] < 6  # the root of 16 is 4


def test_groups_are_drawn_whole_so_copies_do_not_narrow_the_band() -> None:
    label, score = drawn_from(1.0, rows=100)
    plain = scores_of(label, score)
    name = np.repeat(plain.group, 20)
    tripled = Scores(
        split=Select,
        fingerprint="feed",
        path=np.array([f"{i}.png" for i in range(2000)]),
        label=np.repeat(label, 20),
        score=np.repeat(score, 20),
        group=name,
        generator=name,
        source=name,
    )
    one, other = (np.array(with_band(fit_temperature, scores, resamples=50).band) for scores in (plain, tripled))
    assert_allclose(one, other, atol=0.01)


def test_an_interval_holds_the_probabilities_of_its_scores() -> None:
    fitted = with_band(fit_temperature, scores_of(*drawn_from(1.0, rows=200)), resamples=50)
    for low, high in ((-100.0, 100.0), (0.3, 0.3), (-2.0, 1.0)):
        bounds = fitted.interval(low, high)
        assert 0 <= bounds[0] <= fitted.probability(low) <= fitted.probability(high) <= bounds[1] <= 1
    assert fitted.interval(0.0, 0.0) != (0.5, 0.5)
    assert Calibration(temperature=2.0).interval(1.0, 1.0) == pytest.approx([1 / (1 + np.exp(-0.5))] * 2)


@pytest.mark.parametrize("band", [((0, 0.2, 0.1),), ((1, 0, 0.1), (0, 0.1, 0.2)), ((0, -0.1, 0.1),), ((0, 0.3, 1.1),)])
def test_an_impossible_band_is_refused(band: tuple[tuple[float, float, float], ...]) -> None:
    with pytest.raises(ValidationError, match="band"):
        Calibration(band=band)


@pytest.mark.parametrize(("temperature", "bias"), [(0.5, 1.0), (3.0, -2.0)])
def test_platt_recovers_a_known_temperature_and_bias(temperature: float, bias: float) -> None:
    rng = np.random.default_rng(0)
    s = rng.normal(0.5, 3, 40_000)
    y = (rng.random(len(s)) < 1 / (1 + np.exp(-(s / temperature + bias)))).astype(np.int64)
    fitted = fit_platt(scores_of(y, s))
    assert_allclose([fitted.temperature, fitted.bias], [temperature, bias], rtol=0.06)


@pytest.mark.parametrize("unit", [0.1, 1.0, 5.0])
def test_platt_is_the_minimum_that_scikit_learn_and_scipy_find(unit: float) -> None:
    from scipy.optimize import minimize
    from sklearn.linear_model import LogisticRegression

    y, s = drawn_from(2.0, rows=400)
    s = unit * (s + 1)
    fitted = fit_platt(scores_of(y, s))
    found = np.array([1 / fitted.temperature, fitted.bias])
    n1, n0 = (y == 1).sum(), (y == 0).sum()
    target = np.where(y == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))

    # A row with target t is a row of label 1 with weight t and one of label 0 with weight 1 - t.
    twice, label, weight = np.tile(s, 2)[:, None], np.repeat([1, 0], 400), np.append(target, 1 - target)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(twice, label, sample_weight=weight)
    assert_allclose(found, [theirs.coef_[0, 0], theirs.intercept_[0]], rtol=1e-4)

    loss = lambda x: (np.logaddexp(0, x[0] * s + x[1]) - target * (x[0] * s + x[1])).mean()  # noqa: E731
    lowest = minimize(loss, [1 / unit, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15}).fun
    assert loss(found) <= lowest + 1e-10


def test_platt_is_finite_on_separable_scores_and_never_turns_a_ranking_round() -> None:
    y, s = np.array([0, 0, 1, 1]), np.array([-2.0, -1.0, 1.0, 2.0])
    fitted = fit_platt(scores_of(y, s))
    # Targets 1/4 and 3/4; by symmetry b = 0, and both scores of a class pull a to where their mean gradient is zero.
    assert_allclose(fitted.bias, 0, atol=1e-6)
    p = fitted.probability(s)
    assert_allclose(((p - np.array([0.25, 0.25, 0.75, 0.75])) * s).sum(), 0, atol=1e-6)
    inverted = fit_platt(scores_of(y, -s))
    assert_allclose(inverted.temperature, BOUNDS[1])
    assert (np.diff(inverted.probability(np.arange(5.0))) > 0).all()


ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=2, max_size=30).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(ROWS)
def test_isotonic_is_scikit_learns_and_rises(rows: list[tuple[int, int]]) -> None:
    from sklearn.isotonic import IsotonicRegression

    y, s = np.array(rows).T
    fitted = fit_isotonic(scores_of(y, s.astype(float)))
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(s, y)
    grid = np.linspace(-6, 6, 97)
    assert_allclose(fitted.probability(grid), theirs.predict(grid), atol=1e-12)
    assert (np.diff(fitted.probability(grid)) >= 0).all()


@given(ROWS)
def test_isotonic_has_no_calibration_error_on_what_it_saw_and_no_rising_map_has_a_lower_brier_score(
    rows: list[tuple[int, int]],
) -> None:
    y, s = np.array(rows).T
    p = fit_isotonic(scores_of(y, s.astype(float))).probability(s)
    for level in np.unique(p):
        assert_allclose(y[p == level].mean(), level, atol=1e-12)
    for other in (1 / (1 + np.exp(-s)), (s + 4) / 8, np.full(len(y), y.mean())):
        assert brier(y, p) <= brier(y, other) + 1e-12


@given(ROWS, st.sampled_from(["balanced", "fpr@0.0", "fpr@0.25"]))
def test_thresholds_work_on_the_ties_of_isotonic_probabilities(rows: list[tuple[int, int]], rule: str) -> None:
    y, s = np.array(rows).T
    protocol = Protocol(EvaluateSpec(calibration="isotonic", threshold=rule))
    calibration, threshold = protocol.choose(scores_of(y, s.astype(float)))
    p = calibration.probability(s)
    decision = p >= threshold.value
    if rule == "balanced":
        every_cut = [balanced_accuracy(y, p >= cut) for cut in [*np.unique(p), 2]]
        assert_allclose(balanced_accuracy(y, decision), max(every_cut), atol=1e-12)
    else:
        assert decision[y == 0].mean() <= float(rule[4:])


def test_a_calibration_survives_json_and_a_card_whatever_its_kind() -> None:
    y, s = drawn_from(2.0, rows=300)
    for kind, fit in FITS.items():
        fitted = fit(scores_of(y, s))
        again = Calibration.model_validate_json(fitted.model_dump_json())
        assert again == fitted, kind
        assert_array_equal(again.probability(s), fitted.probability(s))


def test_cards_of_temperatures_are_read_and_written_as_before() -> None:
    text = '{"temperature":1.25,"fitted_on":"select, 40 files"}'
    assert Calibration.model_validate_json(text).model_dump_json() == text
    assert Calibration.model_validate_json(text) == Calibration(temperature=1.25, fitted_on="select, 40 files")
    assert '"calibration":{"temperature":1.0,"fitted_on":"not fitted"}' in card().model_dump_json()
    assert card().model_dump()["calibration"] == {"temperature": 1.0, "fitted_on": "not fitted"}


def card() -> Card:
    from verisight.core.preprocess import Preprocess

    return Card(
        name="x", method="x", task="x", positive="fake", recipe={}, preprocess=Preprocess(), aggregate="mean-of-faces"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"bias": float("nan")},
        {"knots": [[1.0, 0.5], [1.0, 0.6]]},
        {"knots": [[1.0, 0.5], [0.0, 0.6]]},
        {"knots": [[0.0, 0.5], [1.0, 0.4]]},
        {"knots": [[0.0, -0.1], [1.0, 0.4]]},
        {"knots": [[0.0, 0.1], [1.0, 1.4]]},
        {"knots": [[0.0, float("nan")], [1.0, 0.4]]},
        {"knots": [[0.0, 0.1], [float("inf"), 0.4]]},
        {"knots": [[0.0, 0.1]], "bias": 1.0},
        {"knots": [[0.0, 0.1]], "temperature": 2.0},
    ],
    ids=str,
)
def test_a_card_cannot_hold_a_calibration_that_turns_scores_round(fields: dict) -> None:
    with pytest.raises(ValidationError):
        Calibration.model_validate(fields)


def test_probability_follows_its_closed_form() -> None:
    assert_allclose(Calibration(temperature=2, bias=1).probability([0, 2]), 1 / (1 + np.exp([-1.0, -2.0])))
    assert_array_equal(Calibration(temperature=0.1).probability([-1e9, 1e9]), [1 / (1 + np.exp(60)), 1.0])
    steps = Calibration(knots=((-1, 0.2), (1, 0.6)))
    assert_allclose(steps.probability([-9, -1, 0, 1, 9]), [0.2, 0.2, 0.4, 0.6, 0.6])
    assert Calibration(knots=((0, 0.3),)).probability(5.0) == 0.3


def test_it_says_in_a_word_what_it_is() -> None:
    assert str(Calibration(temperature=1.25)) == "temperature 1.250"
    assert str(Calibration(temperature=2, bias=-0.5)) == "temperature 2.000, bias -0.500"
    assert str(Calibration(knots=((-1, 0.2), (1, 0.6)))) == "isotonic, 2 knots"

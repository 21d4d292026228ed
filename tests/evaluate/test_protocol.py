"""Nothing is chosen on report data; every figure says what it was compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from pydantic import ValidationError

from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.errors import DataError, RecipeError
from verisight.core.recipe import EvaluateSpec
from verisight.evaluate.metrics import auc, balanced_accuracy, ece, eer
from verisight.evaluate.protocol import (
    Fit,
    Protocol,
    Report,
    Scores,
    Select,
    Split,
    choose_threshold,
    oracle_threshold,
)

UNSCALED = Calibration()
AT_HALF = Threshold(value=0.5, rule="by hand", fitted_on="nothing")


def scores_of(
    label: object,
    score: object,
    split: type[Split] = Select,
    *,
    group: object = None,
    generator: object = None,
    source: object = None,
    prefix: str = "",
) -> Scores:
    label = np.asarray(label)
    path = np.array([f"{prefix}{i}.png" for i in range(len(label))])
    return Scores(
        split=split,
        fingerprint="feed",
        path=path,
        label=label,
        score=np.asarray(score, np.float64),
        group=path if group is None else np.asarray(group),
        generator=np.where(label == 1, "swap", "real") if generator is None else np.asarray(generator),
        source=np.where(label == 1, "", "camera") if source is None else np.asarray(source),
    )


def scene(split: type[Split], seed: int, prefix: str) -> Scores:
    """30 files each: reals of two cameras, fakes of two generators. Camera B scores as high as generator `near`."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(["A", "B", "near", "far"], 30)
    mean = {"A": -2.0, "B": 1.0, "near": 1.0, "far": 3.0}
    return scores_of(
        np.isin(kind, ("near", "far")).astype(int),
        rng.normal([mean[k] for k in kind], 1),
        split,
        generator=np.where(np.isin(kind, ("near", "far")), kind, "real"),
        source=np.where(np.isin(kind, ("A", "B")), kind, ""),
        prefix=prefix,
    )


PROTOCOL = Protocol(EvaluateSpec(resamples=100), matched={"near": ("B",)})


@pytest.mark.parametrize("split", [Fit, Report])
def test_choosing_a_threshold_on_other_data_than_select_raises(split: type[Split]) -> None:
    with pytest.raises(
        DataError, match=f"a threshold: was to be chosen on {split.__name__.lower()} data; use the select"
    ):
        choose_threshold(scores_of([0, 1], [0, 1], split), UNSCALED, "balanced")


def test_choosing_on_report_data_does_not_type_check(tmp_path: Path) -> None:
    from mypy import api

    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        "from verisight.core.checkpoint import Calibration\n"
        "from verisight.evaluate.calibration import fit_temperature\n"
        "from verisight.evaluate.protocol import Fit, Report, Scores, Select, choose_threshold\n"
        "def use(fit: Scores[Fit], select: Scores[Select], report: Scores[Report]) -> None:\n"
        "    choose_threshold(select, fit_temperature(select), 'balanced')\n"
        "    choose_threshold(report, Calibration(), 'balanced')\n"
        "    fit_temperature(report)\n"
        "    fit_temperature(fit)\n"
    )
    settings = tmp_path / "mypy.ini"  # skipping what the marks do not depend on takes a tenth of the time
    settings.write_text(
        "[mypy]\nfollow_imports = skip\nignore_missing_imports = True\n"
        "[mypy-verisight.evaluate.*]\nfollow_imports = silent\n"
    )
    output, _, _ = api.run([f"--config-file={settings}", f"--cache-dir={tmp_path / 'cache'}", str(snippet)])
    errors = [line.split(":", 1)[1] for line in output.splitlines() if "error" in line and "snippet" in line]
    assert [line.split(":")[0] for line in errors] == ["6", "7", "8"], output
    assert 'incompatible type "Scores[Report]"; expected "Scores[Select]"' in errors[0]


def test_an_oracle_says_so_and_fits_in_no_record() -> None:
    oracle = oracle_threshold(scores_of([0, 1], [-1, 1], Report), UNSCALED, "balanced")
    assert str(oracle) == "0.5000 (oracle: chosen on the data it is reported on)"
    assert not isinstance(oracle, Threshold)
    with pytest.raises(ValidationError):
        Threshold.model_validate(oracle)


ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=30).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(ROWS)
def test_no_cut_between_scores_is_more_balanced_than_the_chosen_one(rows: list[tuple[int, int]]) -> None:
    label, score = np.array(rows).T
    chosen = choose_threshold(scores_of(label, score), UNSCALED, "balanced")
    probability = UNSCALED.probability(score)
    reached = balanced_accuracy(label, probability >= chosen.value)
    every_cut = [balanced_accuracy(label, score >= cut) for cut in np.arange(-3, 5)]
    assert_allclose(reached, max(every_cut), atol=1e-12)


@given(ROWS, st.sampled_from([0.0, 0.05, 0.25, 0.5]))
def test_a_false_alarm_rule_is_kept_and_not_a_step_too_strict(rows: list[tuple[int, int]], share: float) -> None:
    label, score = np.array(rows).T
    chosen = choose_threshold(scores_of(label, score), UNSCALED, f"fpr@{share}").value
    probability = UNSCALED.probability(score)
    alarms = (probability[label == 0] >= chosen).mean()
    assert alarms <= share
    below = probability[probability < chosen]
    if len(below) and (probability < below.max()).any():  # a lower candidate exists: it breaks the rule
        assert (probability[label == 0] >= below.max()).mean() > share


@pytest.mark.parametrize("reals", [20, 40, 60, 100, 200])
def test_a_share_that_is_a_whole_number_of_files_is_used_in_full(reals: int) -> None:
    """1 - 95 / 100 > 0.05 in floating point: counted by subtraction, one allowed alarm would be lost."""
    label = np.append(np.zeros(reals, int), 1)
    chosen = choose_threshold(scores_of(label, np.linspace(-2, 2, reals + 1)), UNSCALED, "fpr@0.05").value
    alarms = (UNSCALED.probability(np.linspace(-2, 2, reals + 1)[:-1]) >= chosen).sum()
    assert alarms == reals // 20


def test_a_saturated_score_can_still_be_refused() -> None:
    scores = scores_of([0, 0, 1], [500.0, -1.0, 1.0])  # the real at 500 has probability 1.0 exactly
    chosen = choose_threshold(scores, UNSCALED, "fpr@0.0").value
    assert not (UNSCALED.probability(scores.score) >= chosen).any()


def test_the_threshold_lies_midway_between_the_classes_and_says_what_it_saw() -> None:
    chosen = choose_threshold(scores_of([0, 0, 1, 1], [-3, -1, 1, 3]), UNSCALED, "balanced")
    assert chosen == Threshold(value=0.5, rule="balanced", fitted_on="select feed, 4 files")


@pytest.mark.parametrize("rule", ["balance", "fpr", "fpr@", "fpr@high", "fpr@1", "fpr@-0.1", "fpr@nan", "tpr@0.9"])
def test_an_unknown_rule_is_refused(rule: str) -> None:
    with pytest.raises(RecipeError, match="no threshold rule of this name; known: balanced, fpr@X"):
        choose_threshold(scores_of([0, 1], [0, 1]), UNSCALED, rule)


def test_every_generator_is_compared_with_matched_reals_where_it_has_any_and_with_all() -> None:
    report = scene(Report, 1, "r")
    figures = PROTOCOL.report(report, UNSCALED, AT_HALF)
    assert list(figures) == ["all", "far vs all reals", "near vs matched reals", "near vs all reals"]
    near, camera_b, real = report.generator == "near", report.source == "B", report.label == 0
    for scope, rows in [
        ("all", np.full(120, True)),
        ("far vs all reals", (report.generator == "far") | real),
        ("near vs matched reals", near | camera_b),
        ("near vs all reals", near | real),
    ]:
        y, s = report.label[rows], report.score[rows]
        p = UNSCALED.probability(s)
        assert figures[scope]["auc"].value == auc(y, s)
        assert figures[scope]["eer"].value == eer(y, s)
        assert figures[scope]["balanced_accuracy"].value == balanced_accuracy(y, p >= 0.5)
        assert figures[scope]["tpr"].value == (p[y == 1] >= 0.5).mean()
        assert figures[scope]["fpr"].value == (p[y == 0] >= 0.5).mean()
    assert figures["all"]["ece"].value == ece(report.label, UNSCALED.probability(report.score))
    assert figures["near vs all reals"]["auc"].value > figures["near vs matched reals"]["auc"].value + 0.15


def test_matched_reals_that_are_not_in_the_data_leave_the_comparison_with_all() -> None:
    figures = Protocol(EvaluateSpec(resamples=100), {"near": ("C",)}).report(scene(Report, 1, "r"), UNSCALED, AT_HALF)
    assert "near vs matched reals" not in figures
    assert "near vs all reals" in figures


def test_a_rate_of_one_class_rests_on_the_groups_of_that_class() -> None:
    """Forty fakes of forty people against forty frames of one real video: only the fakes have an interval."""
    report = scores_of(
        np.repeat([1, 0], 40),
        np.random.default_rng(0).normal(size=80),
        Report,
        group=np.append(np.arange(40), np.full(40, 99)),
    )
    figures = PROTOCOL.report(report, UNSCALED, AT_HALF)["all"]
    assert figures["tpr"].low is not None
    assert figures["fpr"].low is None
    assert figures["auc"].low is None


def test_one_class_is_refused_and_the_reals_to_add_are_named() -> None:
    fakes = scores_of([1, 1], [0, 1], Report, generator=["near", "near"])
    with pytest.raises(DataError, match=r"AUC: all 2 report files are fake; add reals \(label 0\) of B"):
        PROTOCOL.report(fakes, UNSCALED, AT_HALF)
    with pytest.raises(DataError, match=r"AUC: all 2 report files are real; add fakes \(label 1\)"):
        PROTOCOL.report(scores_of([0, 0], [0, 1], Report), UNSCALED, AT_HALF)


def test_figures_are_not_reported_on_the_data_of_the_choice() -> None:
    with pytest.raises(DataError, match="were to be reported on select data"):
        PROTOCOL.report(scene(Select, 0, "s"), UNSCALED, AT_HALF)


def test_a_run_chooses_on_one_split_and_reports_on_the_other() -> None:
    select, report = scene(Select, 0, "s"), scene(Report, 1, "r")
    outcome = PROTOCOL.run(select, report)
    assert outcome.calibration.fitted_on.startswith("select feed, 120 files")
    assert outcome.threshold == choose_threshold(select, outcome.calibration, "balanced")
    assert outcome.metrics == PROTOCOL.report(report, outcome.calibration, outcome.threshold)


def test_report_data_do_not_move_what_is_chosen() -> None:
    select = scene(Select, 0, "s")
    first, second = (PROTOCOL.run(select, scene(Report, seed, "r")) for seed in (1, 2))
    assert (first.calibration, first.threshold) == (second.calibration, second.threshold)
    assert first.metrics != second.metrics


def test_a_group_on_both_sides_is_refused() -> None:
    with pytest.raises(DataError, match="120 groups stand in select and in report data"):
        PROTOCOL.run(scene(Select, 0, "s"), scene(Report, 1, "s"))


def test_without_calibration_scores_are_taken_as_logits() -> None:
    protocol = Protocol(EvaluateSpec(calibration="none"))
    assert protocol.choose(scene(Select, 0, "s"))[0] == Calibration()


@pytest.mark.parametrize(
    ("label", "score", "group", "named"),
    [
        ([], [], None, "scores of select data: there are no rows"),
        ([0, 2], [0, 1], None, "labels must be 0 or 1"),
        ([0, 1], [0, np.inf], None, "not finite"),
        ([0, 1], [0, 1], ["a"], "column 'group' has 1 rows for 2 labels"),
    ],
)
def test_columns_that_do_not_fit_are_refused(label: list, score: list, group: list | None, named: str) -> None:
    with pytest.raises(DataError, match=named):
        scores_of(label, score, group=group)

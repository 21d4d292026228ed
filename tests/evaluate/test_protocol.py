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
    choose_clear,
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
    **named: object,
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
        **{name: np.asarray(column) for name, column in named.items()},
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
        "from verisight.evaluate.calibration import FITS, fit_isotonic, fit_platt, fit_temperature\n"
        "from verisight.core.checkpoint import Threshold\n"
        "from verisight.core.recipe import EvaluateSpec\n"
        "from verisight.evaluate.protocol import Fit, Protocol, Report, Scores, Select\n"
        "from verisight.evaluate.protocol import choose_threshold, oracle_threshold\n"
        "spec, at = EvaluateSpec(), Threshold(value=0.5, rule='by hand', fitted_on='nothing')\n"
        "def use(fit: Scores[Fit], select: Scores[Select], report: Scores[Report]) -> None:\n"
        "    choose_threshold(select, fit_temperature(select), 'balanced')\n"
        "    choose_threshold(report, Calibration(), 'balanced')\n"
        "    fit_temperature(report)\n"
        "    fit_temperature(fit)\n"
        "    fit_platt(report)\n"
        "    fit_isotonic(report)\n"
        "    FITS['platt'](report)\n"
        "    choose_threshold(report.by('video'), Calibration(), 'balanced')\n"
        "    choose_threshold(select.by('video'), Calibration(), 'balanced')\n"
        "    Protocol(spec).choose(report)\n"
        "    Protocol(spec).choose(Protocol(spec).units(report, 'video'))\n"
        "    Protocol(spec).report(select, Calibration(), at)\n"
        "    Protocol(spec).run(report, report)\n"
        "    Protocol(spec).report(report, Calibration(), oracle_threshold(report, Calibration(), 'balanced'))\n"
    )
    settings = tmp_path / "mypy.ini"  # skipping what the marks do not depend on takes a tenth of the time
    settings.write_text(
        "[mypy]\nfollow_imports = skip\nignore_missing_imports = True\n"
        "[mypy-verisight.evaluate.*,verisight.core.checkpoint]\nfollow_imports = silent\n"
    )
    output, _, _ = api.run([f"--config-file={settings}", f"--cache-dir={tmp_path / 'cache'}", str(snippet)])
    errors = [line.split(":", 1)[1] for line in output.splitlines() if "error" in line and "snippet" in line]
    assert [int(line.split(":")[0]) for line in errors] == [10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22], output
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


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-8, 8)), min_size=2), st.sampled_from([0.0, 0.1, 0.25]))
def test_a_zone_of_doubt_misses_no_more_than_allowed_and_is_not_a_step_too_low(
    rows: list[tuple[int, int]], share: float
) -> None:
    label, score = (np.array(column) for column in zip(*[(0, -1), (1, 1), *rows], strict=True))
    never = Threshold(value=2.0, rule="by hand", fitted_on="nothing")
    clear = choose_clear(scores_of(label, score), UNSCALED, f"fnr@{share}", never)
    assert clear is not None
    probability = UNSCALED.probability(score)
    fakes = probability[label == 1]
    assert (fakes < clear.value).mean() <= share
    levels = np.unique(probability)
    above = levels[levels >= clear.value]
    if len(above):  # one step further and more would be missed
        assert (fakes <= above[0]).mean() > share


def test_there_is_no_doubt_where_none_is_wanted_or_the_classes_lie_apart() -> None:
    apart = scores_of([0, 0, 1, 1], [-3, -2, 2, 3])
    threshold = choose_threshold(apart, UNSCALED, "fpr@0.05")
    assert choose_clear(apart, UNSCALED, "none", threshold) is None
    assert choose_clear(apart, UNSCALED, "fnr@0.05", threshold) is None
    mixed = scores_of([0, 1, 0, 1], [-3, -2, 2, 3])
    threshold = choose_threshold(mixed, UNSCALED, "fpr@0.0")
    clear = choose_clear(mixed, UNSCALED, "fnr@0.0", threshold)
    assert clear is not None
    assert UNSCALED.probability(-3) < clear.value < UNSCALED.probability(-2)
    assert Protocol(EvaluateSpec(doubt="fnr@0.0")).clear(mixed, UNSCALED, threshold) == clear


def test_doubt_is_chosen_on_select_data_only() -> None:
    with pytest.raises(DataError, match="zone of doubt"):
        choose_clear(scores_of([0, 1], [0, 1], Report), UNSCALED, "fnr@0.1", AT_HALF)


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


def frames() -> Scores:
    """Two real videos and a fake of two frames each, of two people, in three groups; and one photo of nobody known."""
    return scores_of(
        [0, 0, 0, 0, 1, 1, 1],
        [1.0, 3.0, -1.0, 0.0, 2.0, 6.0, 5.0],
        Report,
        group=["g", "g", "h", "h", "g", "g", "photo"],
        video=["v1", "v1", "v2", "v2", "v3", "v3", "p.png"],
        subject=["ann", "ann", "bob", "bob", "ann", "ann", ""],
    )


def test_a_video_has_the_mean_of_its_rows() -> None:
    videos = frames().by("video")
    assert videos.score.tolist() == [2.0, -0.5, 4.0, 5.0]
    assert videos.path.tolist() == videos.video.tolist() == ["v1", "v2", "v3", "p.png"]
    assert videos.label.tolist() == [0, 0, 1, 1]
    assert videos.group.tolist() == ["g", "h", "g", "photo"]
    assert videos.subject.tolist() == ["ann", "bob", "ann", ""]
    assert videos.split is Report
    assert videos.fingerprint == "feed"


def test_a_rule_may_combine_otherwise() -> None:
    assert frames().by("video", lambda scores, _: max(scores)).score.tolist() == [3.0, 0.0, 6.0, 5.0]


def test_a_person_is_never_averaged_over_both_labels_and_the_unknown_falls_back_to_the_group() -> None:
    people = frames().by("subject")
    assert list(zip(people.path, people.label, people.score, strict=True)) == [
        ("ann", 0, 2.0),
        ("bob", 0, -0.5),
        ("ann", 1, 4.0),
        ("photo", 1, 5.0),
    ]


def test_a_group_that_is_called_like_a_person_is_not_that_person() -> None:
    mixed = scores_of([1, 1], [0.0, 4.0], group=["x", "7"], subject=["7", ""])
    assert mixed.by("subject").score.tolist() == [0.0, 4.0]


def test_generators_and_sources_of_a_unit_stay_apart() -> None:
    both = scores_of(
        [1, 1, 0, 0], [1.0, 2.0, 3.0, 4.0], generator=["a", "b", "real", "real"], source=["", "", "A", "B"],
        video=["v"] * 4, group=["g"] * 4,
    )  # fmt: skip
    assert both.by("video").score.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_files_of_frames_and_frames_as_they_are() -> None:
    crops = scores_of([0, 0, 1], [1.0, 2.0, 5.0])
    crops = Scores(**{**vars(crops), "path": np.array(["a", "a", "b"]), "group": np.array(["a", "a", "b"])})
    assert crops.by("frame") is crops
    assert crops.by("file").score.tolist() == [1.5, 5.0]
    assert crops.by("file").path.tolist() == ["a", "b"]


def test_a_unit_in_two_groups_is_refused_by_name() -> None:
    torn = scores_of([0, 1], [0.0, 1.0], group=["g", "h"], video=["v", "v"])
    with pytest.raises(DataError, match="v: this video stands in two groups, g and h"):
        torn.by("video")


def test_without_names_every_file_is_its_own_video_and_person() -> None:
    plain = scores_of([0, 1, 1], [0.0, 1.0, 2.0])
    for unit in ("file", "video", "subject"):
        assert plain.by(unit).score.tolist() == [0.0, 1.0, 2.0]


UNITS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.floats(-5, 5)), min_size=1, max_size=30)


@given(UNITS)
def test_units_keep_every_row_once_and_doing_it_twice_changes_nothing(rows: list[tuple[int, int, float]]) -> None:
    label, video, score = (np.array(column) for column in zip(*rows, strict=True))
    scores = scores_of(label, score, video=video.astype(str), group=video.astype(str))
    once = scores.by("video", lambda values, times: float(len(values)) if times else 0.0)
    assert once.score.sum() == len(rows)
    means = scores.by("video")
    assert len(means) == len({(a, b) for a, b, _ in rows})
    assert_allclose(means.by("video").score, means.score)
    for name, of, mean in zip(means.video, means.label, means.score, strict=True):
        assert_allclose(mean, score[(video.astype(str) == name) & (label == of)].mean(), atol=1e-12)


def test_a_report_per_video_is_the_report_of_the_videos() -> None:
    rng = np.random.default_rng(3)
    video = np.repeat(np.arange(40), 5)
    report = scores_of(
        video % 2, rng.normal(video % 2, 1), Report, video=video.astype(str), group=(video // 2).astype(str)
    )
    figures = PROTOCOL.report(report, UNSCALED, AT_HALF, unit="video")["all"]
    mean = np.array([report.score[video == v].mean() for v in range(40)])
    assert figures["auc"].value == pytest.approx(auc(np.arange(40) % 2, mean))
    assert figures["tpr"].value == (mean[1::2] >= 0).mean()
    assert figures["auc"].groups == 20
    by_frame = PROTOCOL.report(report, UNSCALED, AT_HALF, unit="frame")["all"]
    assert by_frame["auc"].value == auc(report.label, report.score)
    assert by_frame["auc"].value < figures["auc"].value - 0.1  # averaging five frames takes noise away


def test_the_aggregate_of_the_recipe_combines_the_rows_of_a_unit() -> None:
    protocol = Protocol(EvaluateSpec(aggregate="mean-of-faces", resamples=100))
    assert protocol.units(frames(), "video").score.tolist() == [2.0, -0.5, 4.0, 5.0]


def test_a_run_per_video_chooses_on_videos_too() -> None:
    rng, video = np.random.default_rng(4), np.repeat(np.arange(30), 4)
    select, report = (
        scores_of(video % 2, rng.normal(video % 2, 2), of, prefix=p, group=np.char.add(p, video.astype(str)),
                  video=video.astype(str))
        for of, p in ((Select, "s"), (Report, "r"))
    )  # fmt: skip
    outcome = PROTOCOL.run(select, report, unit="video")
    assert outcome.threshold == choose_threshold(select.by("video"), outcome.calibration, "balanced")
    assert "30 files" in outcome.threshold.fitted_on


def test_the_auc_has_delongs_interval_and_the_others_a_bootstrap() -> None:
    figures = PROTOCOL.report(scene(Report, 1, "r"), UNSCALED, AT_HALF)["all"]
    assert figures["auc"].method == "DeLong, clustered by group"
    for name, figure in figures.items():
        assert figure.low is not None
        assert figure.low <= figure.value <= figure.high or name in ("ece", "tpr_at_5_fpr")
        assert (figure.resamples > 0) == (name != "auc")


def test_a_rate_without_an_exception_leaves_open_what_its_groups_leave_open() -> None:
    """Rule of three: no false alarm in 30 real groups is no proof of less than about one in ten."""
    report = scores_of(np.repeat([0, 1], 60), np.repeat([-5.0, 5.0], 60), Report, group=np.arange(120) // 2)
    figures = PROTOCOL.report(report, UNSCALED, AT_HALF)["all"]
    assert_allclose([figures["fpr"].low, figures["fpr"].high], [0, 1 - 0.025 ** (1 / 30)])
    assert_allclose([figures["tpr"].low, figures["tpr"].high], [0.025 ** (1 / 30), 1])
    assert figures["auc"].low == figures["tpr"].low
    assert figures["eer"].low is None


def test_what_judges_probabilities_stands_with_all_rows_only() -> None:
    figures = PROTOCOL.report(scene(Report, 1, "r"), UNSCALED, AT_HALF)
    ranking = {"auc", "average_precision", "eer", "tpr_at_5_fpr", "balanced_accuracy", "tpr", "fpr"}
    assert set(figures["all"]) == ranking | {"ece", "brier", "log_loss"}
    assert set(figures["near vs all reals"]) == ranking

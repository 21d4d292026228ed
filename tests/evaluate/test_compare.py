"""Records side by side: seeds together, differences on the same rows, corrected, and refused where nothing fits."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.errors import DataError
from verisight.core.recipe import EvaluateSpec, Reported
from verisight.evaluate.compare import Comparison, compare, holm
from verisight.evaluate.delong import auc_difference, auc_interval
from verisight.evaluate.metrics import auc, eer
from verisight.evaluate.protocol import Protocol, Report, Scores
from verisight.evaluate.record import Environment, Record

CALIBRATION = Calibration(temperature=1.5, fitted_on="select")
THRESHOLD = Threshold(value=0.5, rule="balanced", fitted_on="select")
MATCHED = {"near": ("B",)}


def scores(seed: int, skill: float, *, keep: slice = slice(None), fingerprint: str = "feed") -> Scores[Report]:
    """40 videos of two files: reals of cameras A and B, fakes of two generators; what is hard is hard for everybody."""
    kind = np.repeat(["A", "B", "near", "far"], 20)
    video = np.arange(80) // 2
    hard = np.random.default_rng(99).normal(0, 1, 40)[video]
    label = np.isin(kind, ("near", "far")).astype(int)
    columns = {
        "label": label,
        "score": skill * label + hard + np.random.default_rng(seed).normal(0, 0.5, 80),
        "path": np.array([f"{i:02d}.png" for i in range(80)]),
        "group": np.array([f"g{v}" for v in video]),
        "generator": np.where(label == 1, kind, "real"),
        "source": np.where(label == 0, kind, ""),
        "video": np.array([f"v{v}" for v in video]),
    }
    return Scores(split=Report, fingerprint=fingerprint, **{name: column[keep] for name, column in columns.items()})


def write(folder: Path, found: Scores[Report], name: str = "erm", seed: int = 0, **changes: object) -> Path:
    spec = EvaluateSpec(resamples=100)
    recipe = {"name": name, "rule": {"id": "plain"}, "seed": seed, "evaluate": spec.model_dump(mode="json")}
    unit = changes.get("unit", "file")
    record = Record.model_validate(
        {
            "name": name,
            "detector": f"{name}@{folder.name}",
            "recipe": recipe,
            "seeds": (seed,),
            "data": {"test": "feed"},
            "threshold": THRESHOLD,
            "calibration": CALIBRATION,
            "matched": MATCHED,
            "metrics": Protocol(spec, MATCHED).report(found, CALIBRATION, THRESHOLD, unit=unit),
            "scores_fingerprint": found.fingerprint,
            "environment": Environment.here(),
            "created": "2026-01-01T00:00:00+00:00",
            **changes,
        }
    )
    record.save(folder, found)
    return folder


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return write(tmp_path / "one", scores(0, 1.0))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write(tmp_path / "other", scores(1, 1.8), "qad")


def test_each_scope_has_the_figures_of_the_records_and_their_paired_difference(one: Path, other: Path) -> None:
    found = compare([one, other])
    assert found.names == ("erm", "qad")
    assert found.scopes == ("all", "far vs all reals", "near vs matched reals", "near vs all reals")
    a, b = scores(0, 1.0), scores(1, 1.8)
    for scope, rows in Protocol(EvaluateSpec(), MATCHED).scopes(a).items():
        y, ours, theirs = a.label[rows], a.score[rows], b.score[rows]
        assert found.figures["erm"][scope].mean == Record.load(one).metrics[scope]["auc"]
        difference = found.differences["qad"][scope]
        assert_allclose(difference.interval.value, auc(y, theirs) - auc(y, ours))
        assert difference.p == pytest.approx(auc_difference(y, theirs, ours, a.group[rows]).p)
        assert difference.interval.low < difference.interval.value < difference.interval.high
    assert found.differences["qad"]["all"].interval.low > 0
    separate = [auc_interval(s.label, s.score, s.group) for s in (a, b)]
    assert separate[0].high > separate[1].low  # pairing sees what the two intervals do not


def test_p_values_are_corrected_over_the_scopes(one: Path, other: Path) -> None:
    by_scope = compare([one, other]).differences["qad"]
    assert [d.p_holm for d in by_scope.values()] == holm([d.p for d in by_scope.values()])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_rule(p: list[float]) -> None:
    """Adjusted p <= alpha exactly where Holm's procedure, written out, rejects at alpha."""
    adjusted = holm(p)
    for alpha in (0.01, 0.05, 0.3):
        rejected = set()
        for step, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            if p[i] * (len(p) - step) > alpha:
                break
            rejected.add(i)
        assert {i for i, value in enumerate(adjusted) if value <= alpha} == rejected
    assert all(0 <= before <= after <= 1 for before, after in zip(p, adjusted, strict=True))


def test_holm_of_a_textbook_case() -> None:
    assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_records_that_differ_in_the_seed_alone_are_one_detector(tmp_path: Path, one: Path) -> None:
    seeds = [write(tmp_path / f"qad{k}", scores(10 + k, 1.8), "qad", k, notes=f"seed {k}") for k in range(3)]
    found = compare([one, seeds[0], seeds[1], seeds[2]])
    assert found.names == ("erm", "qad")
    assert found.detectors["qad"] == ("qad@qad0", "qad@qad1", "qad@qad2")
    values = [auc(s.label, s.score) for s in (scores(10 + k, 1.8) for k in range(3))]
    figure = found.figures["qad"]["all"]
    assert_allclose([figure.mean.value, figure.sd, figure.seeds], [np.mean(values), np.std(values, ddof=1), 3])
    assert found.figures["erm"]["all"].sd is None
    first = scores(0, 1.0)
    expected = np.mean(values) - auc(first.label, first.score)
    assert_allclose(found.differences["qad"]["all"].interval.value, expected)
    columns = np.stack([scores(10 + k, 1.8).score for k in range(3)], axis=1)
    assert_allclose(found.differences["qad"]["all"].p, auc_difference(first.label, columns, first.score, first.group).p)
    assert f"sd {np.std(values, ddof=1):.3f} of 3 seeds" in found.text()


def test_namesakes_are_told_apart_by_what_differs_in_their_recipes(tmp_path: Path, one: Path) -> None:
    recipe = Record.load(one).recipe
    awp = write(tmp_path / "awp", scores(2, 1.2), recipe={**recipe, "rule": {"id": "awp", "radius": 0.1}})
    assert compare([one, awp]).names == ("erm (rule.id=plain, rule.radius=unset)", "erm (rule.id=awp, rule.radius=0.1)")


def test_rows_are_found_by_name_whatever_their_order(tmp_path: Path, one: Path, other: Path) -> None:
    turned = write(tmp_path / "turned", scores(1, 1.8, keep=slice(None, None, -1)), "qad")
    assert compare([one, turned]).differences == compare([one, other]).differences


def test_rows_that_are_not_shared_are_named_and_not_paired(tmp_path: Path, one: Path) -> None:
    fewer = write(tmp_path / "fewer", scores(1, 1.8, keep=slice(3, None)), "qad")
    found = compare([one, fewer])
    assert found.differences == {"qad": {}}
    said = "qad is not paired with erm: 3 rows have a score from one of them only, such as 00.png."
    assert found.notes == (said,)
    assert said in found.text()
    assert "qad - erm" not in found.text()


def test_figures_per_video_are_paired_by_video(tmp_path: Path) -> None:
    folders = [
        write(tmp_path / name, scores(k, skill), name, unit="video")
        for k, (name, skill) in enumerate([("a", 1), ("b", 2)])
    ]
    found = compare(folders)
    assert found.unit == "video"
    assert found.text().startswith("# AUC per video\n")
    a, b = (scores(k, skill).by("video") for k, skill in enumerate([1, 2]))
    assert_allclose(found.differences["b"]["all"].interval.value, auc(b.label, b.score) - auc(a.label, a.score))


def test_frames_of_one_file_are_paired_in_their_order(tmp_path: Path) -> None:
    found = [scores(k, 1.5) for k in (0, 1)]
    path = np.array([f"{i // 2:02d}.mp4" for i in range(80)])
    frames = [Scores(**{**vars(s), "path": path}) for s in found]
    folders = [write(tmp_path / n, s, n, unit="frame") for n, s in zip("ab", frames, strict=True)]
    expected = auc(found[1].label, found[1].score) - auc(found[0].label, found[0].score)
    assert_allclose(compare(folders).differences["b"]["all"].interval.value, expected)


def test_another_metric_is_computed_from_the_scores_even_where_the_record_lacks_it(one: Path, other: Path) -> None:
    tree = json.loads((one / "record.json").read_text())
    for figures in tree["metrics"].values():
        del figures["eer"]
    (one / "record.json").write_text(json.dumps(tree))
    found = compare([one, other], "eer")
    a = scores(0, 1.0)
    assert_allclose(found.figures["erm"]["all"].mean.value, eer(a.label, a.score))
    assert found.differences["qad"]["all"].p < 0.2
    assert "Lower is better." in found.text()
    assert "paired draws" in found.p_method


def test_a_metric_of_probabilities_stands_with_all_rows(one: Path, other: Path) -> None:
    assert compare([one, other], "brier").scopes == ("all",)


def test_controls_and_figures_of_others_stand_beside_and_say_whom_they_beat(tmp_path: Path, one: Path) -> None:
    worse = {"image size": {"all": {"auc": auc_interval([0, 1, 0, 1], [0, 2, 1, 3], range(4))}}}
    beside = {"controls": worse, "reference": (Reported(metric="auc all", value=0.5, source="a paper"),)}
    found = compare([one, write(tmp_path / "with", scores(1, 1.8), "qad", **beside)])
    lines = found.table().splitlines()
    assert lines[0] == "|  | erm | qad | qad - erm | control: image size | a paper |"
    assert lines[2].startswith("| all | ")
    assert lines[2].endswith("1.000 [0.16, 1.00] **(no worse than erm, qad)** | 0.50 |")
    assert lines[3].endswith("| - | - |")


def test_two_detectors_with_other_figures_of_one_control_keep_both(tmp_path: Path) -> None:
    def with_control(name: str, value: float) -> Path:
        interval = auc_interval([0, 1, 0, 1], [0, 2, 1, 3], range(4)).model_copy(update={"value": value})
        return write(tmp_path / name, scores(0, 1.0), name, controls={"size": {"all": {"auc": interval}}})

    assert list(compare([with_control("a", 0.6), with_control("b", 0.7)]).controls) == ["size", "size (crops of b)"]
    assert list(compare([with_control("c", 0.6), with_control("d", 0.6)]).controls) == ["size"]


def test_one_record_alone_is_a_table_without_differences(one: Path) -> None:
    found = compare([one])
    assert found.table().splitlines()[0] == "|  | erm |"
    assert "Differences" not in found.text()


def test_a_class_in_one_group_has_a_difference_without_interval_and_p(tmp_path: Path) -> None:
    def single(seed: int) -> Scores[Report]:
        s = scores(seed, 1.0)
        return Scores(**{**vars(s), "group": np.where(s.label == 1, "the one", s.group)})

    found = compare([write(tmp_path / n, single(k), n) for k, n in enumerate("ab")])
    difference = found.differences["b"]["all"]
    assert (difference.interval.low, difference.p, difference.p_holm) == (None, None, None)
    assert str(difference).endswith("[too few groups]")


def test_what_is_saved_is_the_table_the_values_and_the_plot(tmp_path: Path, one: Path, other: Path) -> None:
    found = compare([one, other])
    found.save(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["compare.json", "compare.md", "compare.svg"]
    text = (tmp_path / "out/compare.json").read_text()
    assert Comparison.model_validate_json(text).table() == found.table()
    assert (tmp_path / "out/compare.md").read_text() == found.text()
    assert str(tmp_path) not in text


def refused(folders: list[Path], reason: str, metric: str = "auc") -> None:
    with pytest.raises(DataError, match=reason) as caught:
        compare(folders, metric)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_compared_is_refused_in_a_line(tmp_path: Path, one: Path) -> None:
    refused([], "compare: no record was given")
    refused([one, tmp_path / "absent"], "absent: no readable record")
    refused([one], "acu: no metric of this name; did you mean 'auc'", "acu")
    refused([one, one], "the same detector on the same data as .*one; give it once")
    per_video = write(tmp_path / "video", scores(1, 1), "qad", unit="video")
    refused([one, per_video], "video: its figures are per video, those of .*one per file")
    elsewhere = write(tmp_path / "elsewhere", scores(1, 1, fingerprint="beef"), "qad")
    refused([one, elsewhere], r"reports on other data \(beef\) than .*one \(feed\); evaluate both on one data set")
    unmatched = write(tmp_path / "unmatched", scores(1, 1), "qad", matched={})
    refused([one, unmatched], "compares generators with other reals")
    short = write(tmp_path / "short", scores(5, 1, keep=slice(1, None)), seed=1)
    refused([one, short], "a seed of erm that scored other rows: 1 rows")


def test_scores_of_one_class_are_refused_in_a_line(tmp_path: Path, one: Path) -> None:
    reals = scores(0, 1.0, keep=slice(0, 40))
    record = Record.load(one)
    record.model_copy(update={"metrics": {}, "detector": "x@y"}).save(tmp_path / "reals", reals)
    refused([tmp_path / "reals"], "AUC: .*hold no positives")


def test_a_figure_that_does_not_follow_from_the_scores_is_refused(one: Path) -> None:
    tree = json.loads((one / "record.json").read_text())
    tree["metrics"]["all"]["auc"]["value"] += 0.01
    (one / "record.json").write_text(json.dumps(tree))
    refused([one], r"auc of 'all' is 0\.\d+ in the record and 0\.\d+ by its scores; evaluate again")


SVG = "{http://www.w3.org/2000/svg}"


def test_the_plot_names_every_scope_and_detector_and_repeats_itself(tmp_path: Path, one: Path, other: Path) -> None:
    found = compare([one, other])
    for name in ("a", "b"):
        found.save(tmp_path / name)
    written = (tmp_path / "a/compare.svg").read_bytes()
    assert written == (tmp_path / "b/compare.svg").read_bytes()
    texts = {"".join(t.itertext()).strip() for t in ElementTree.fromstring(written).iter(f"{SVG}text")}
    assert {*found.scopes, "erm", "qad"} <= texts
    assert any(t.startswith("AUC per file, with 95% intervals") for t in texts)


def test_the_plot_grows_with_what_it_shows(tmp_path: Path, one: Path, other: Path) -> None:
    from verisight.evaluate.plot import forest

    small = compare([one, other])
    wide = {name: {f"generator {i} vs all reals": by["all"] for i in range(12)} for name, by in small.figures.items()}
    big = small.model_copy(update={"scopes": tuple(wide["erm"]), "figures": wide, "differences": {}})
    heights = []
    for found in (small, big):
        forest(found, tmp_path / "x.svg")
        heights.append(float(ElementTree.parse(tmp_path / "x.svg").getroot().attrib["height"].removesuffix("pt")))
    assert heights[1] > 2 * heights[0]


def test_matched_reals_of_generators_that_are_not_there_do_not_count(tmp_path: Path, one: Path) -> None:
    matched = {**Record.load(one).protocol().matched, "a generator of another data set": ("somewhere",)}
    other = write(tmp_path / "more", scores(1, 1), "qad", matched=matched)
    assert compare([one, other]).names == ("erm", "qad")

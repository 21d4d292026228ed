"""A record comes back as it was written, belongs to its scores, and renders its own table."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from numpy.testing import assert_array_equal

from verisight.core.checkpoint import Calibration, Threshold
from verisight.core.errors import DataError
from verisight.core.recipe import EvaluateSpec, Reported
from verisight.evaluate.intervals import Interval
from verisight.evaluate.protocol import Protocol, Report, Scores
from verisight.evaluate.record import HEADINGS, Environment, Record, mean_over_seeds, now, without_places


def interval(value: float) -> Interval:
    low, high = round(value - 0.05, 6), round(value + 0.05, 6)
    return Interval(value=value, low=low, high=high, groups=7, resamples=100)


def record(**changes: object) -> Record:
    fields = {
        "name": "tiny",
        "detector": "tiny@0123",
        "recipe": {"name": "tiny", "optimiser": {"lr": 0.00061}, "data": {"path": "pack"}},
        "seeds": (0, 1),
        "data": {"train": "aaaa: 3 real, 4 fake", "test": "feed: 2 real, 1 fake"},
        "threshold": Threshold(value=0.123456789012, rule="fpr@0.05", fitted_on="select bbbb, 9 files"),
        "calibration": Calibration(temperature=1.5, fitted_on="select bbbb, 9 files"),
        "unit": "video",
        "matched": {"swap": ("camera",)},
        "metrics": {
            "all": {"eer": interval(0.21), "auc": interval(0.81)},
            "swap vs matched reals": {"auc": interval(0.6)},
        },
        "controls": {"image size": {"all": {"auc": interval(0.5)}, "swap vs matched reals": {"auc": interval(0.9)}}},
        "reference": (Reported(metric="auc all", value=0.99, source="a paper"),),
        "skipped": ("x/1.png: no face",),
        "scores_fingerprint": "feed",
        "environment": Environment.here(),
        "notes": "synthetic",
        "created": now(),
    }
    return Record.model_validate({**fields, **changes})


def scores(fingerprint: str = "feed", shift: float = 0.0) -> Scores[Report]:
    return Scores(
        split=Report,
        fingerprint=fingerprint,
        path=np.array(["a.png", "b.png", "ü c.png"]),
        label=np.array([0, 0, 1]),
        score=np.array([-1.25, 0.1, 2.0]) + shift,
        group=np.array(["g", "g", "h"]),
        generator=np.array(["real", "real", "swap"]),
        source=np.array(["camera", "camera", ""]),
        video=np.array(["v", "v", "w"]),
        subject=np.array(["ann", "ann", ""]),
    )


def test_record_and_scores_come_back_as_they_were_written(tmp_path: Path) -> None:
    record().save(tmp_path / "new" / "folder", scores())
    loaded = Record.load(tmp_path / "new" / "folder")
    assert loaded == record(created=loaded.created)
    read = loaded.scores(tmp_path / "new" / "folder")
    for name in ("path", "label", "score", "group", "generator", "source", "video", "subject"):
        assert_array_equal(getattr(read, name), getattr(scores(), name))
    assert read.split is Report
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == ["record.json", "scores.parquet"]


def test_the_table_of_scores_can_be_read_by_anyone(tmp_path: Path) -> None:
    record().save(tmp_path, scores())
    frame = pa.parquet.read_table(tmp_path / "scores.parquet").to_pydict()
    assert frame["split"] == ["test"] * 3
    assert frame["path"] == ["a.png", "b.png", "ü c.png"]
    np.testing.assert_allclose(frame["probability"], 1 / (1 + np.exp(-np.array([-1.25, 0.1, 2.0]) / 1.5)))


def test_two_saves_are_equal_to_the_byte_and_readable(tmp_path: Path) -> None:
    one = record(created="2026-01-01T00:00:00+00:00")
    one.save(tmp_path / "a", scores())
    Record.load(tmp_path / "a").save(tmp_path / "b", scores())
    for name in ("record.json", "scores.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    text = (tmp_path / "a" / "record.json").read_text()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == list(Record.model_fields)


def test_figures_are_rounded_and_what_decides_is_not(tmp_path: Path) -> None:
    record(metrics={"all": {"auc": interval(2 / 3)}}).save(tmp_path, scores())
    tree = json.loads((tmp_path / "record.json").read_text())
    assert tree["metrics"]["all"]["auc"]["value"] == 0.666667
    assert tree["threshold"]["value"] == 0.123456789012


def test_scores_of_other_data_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not the ones that the record was computed from"):
        record().save(tmp_path / "r", scores("beef"))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("changes", [{"detector": "tiny@4567"}, {"scores_fingerprint": "beef"}])
def test_scores_of_another_run_are_not_read(tmp_path: Path, changes: dict[str, str]) -> None:
    record().save(tmp_path, scores())
    with pytest.raises(DataError, match="belongs to another record"):
        record(**changes).scores(tmp_path)


def test_scores_that_were_changed_after_writing_are_not_read(tmp_path: Path) -> None:
    record().save(tmp_path, scores())
    path = tmp_path / "scores.parquet"
    table = pa.parquet.read_table(path)
    better = table.set_column(table.column_names.index("score"), "score", pa.array([-9.0, -9.0, 9.0]))
    pa.parquet.write_table(better, path)
    with pytest.raises(DataError, match="changed after it was written"):
        record().scores(tmp_path)


def test_a_person_that_was_changed_after_writing_is_noticed(tmp_path: Path) -> None:
    record().save(tmp_path, scores())
    table = pa.parquet.read_table(tmp_path / "scores.parquet")
    for column in ("subject", "video"):
        other = table.set_column(table.column_names.index(column), column, pa.array(["a", "b", "c"]))
        for changed in (other, table.drop_columns([column])):
            pa.parquet.write_table(changed, tmp_path / "scores.parquet")
            with pytest.raises(DataError, match="changed after it was written"):
                record().scores(tmp_path)


SHIPPED = Path(__file__).parents[2] / "results/deepfake/erm-fakes/seed0"


def written_by_the_first_version(folder: Path) -> None:
    """No units, no matched reals; scores without videos, people and qualities, digested over what there is."""
    new = record(recipe={"name": "tiny", "data": {"path": "pack", "matched": {"swap": ["camera"]}}})
    new.save(folder, scores())
    tree = json.loads((folder / "record.json").read_text())
    del tree["unit"], tree["matched"]
    (folder / "record.json").write_text(json.dumps(tree))
    table = pa.parquet.read_table(folder / "scores.parquet").drop_columns(["video", "subject", "quality"])
    s, digest = scores(), hashlib.sha256()
    digest.update(s.label.astype("<i8").tobytes() + s.score.astype("<f8").tobytes())
    for name in ("path", "group", "generator", "source"):
        digest.update("\x1f".join(getattr(s, name).tolist()).encode() + b"\x1e")
    metadata = {**table.schema.metadata, b"verisight.digest": digest.hexdigest()[:16].encode()}
    pa.parquet.write_table(table.replace_schema_metadata(metadata), folder / "scores.parquet")


def test_a_record_of_the_first_version_is_read_with_files_as_units(tmp_path: Path) -> None:
    written_by_the_first_version(tmp_path)
    old = Record.load(tmp_path)
    read = old.scores(tmp_path)
    assert old.unit == "file"
    assert read.video.tolist() == read.path.tolist()
    assert read.subject.tolist() == ["", "", ""]
    assert old.protocol().matched == {"swap": ("camera",)}  # those of the recipe


def test_the_shipped_record_is_read() -> None:
    old = Record.load(SHIPPED)
    assert len(old.scores(SHIPPED)) == sum(int(n) for n in old.data["test"].split(": ")[1].split() if n.isdigit())


def test_a_record_says_which_reals_it_was_compared_with() -> None:
    here = record(recipe={"data": {"matched": {"swap": ["other"]}}, "evaluate": {"aggregate": "mean-of-faces"}})
    assert here.protocol().matched == {"swap": ("camera",)}
    assert here.protocol().spec.aggregate == "mean-of-faces"
    assert record(recipe={}, matched=None).protocol().matched == {}


def test_a_broken_or_missing_record_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable record"):
        Record.load(tmp_path)
    (tmp_path / "record.json").write_text('{"name": "half"')
    with pytest.raises(DataError, match="no readable record"):
        Record.load(tmp_path)
    (tmp_path / "scores.parquet").write_text("not parquet")
    with pytest.raises(DataError, match="no readable scores"):
        record().scores(tmp_path)


def test_an_interrupted_save_leaves_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record().save(tmp_path, scores())
    before = (tmp_path / "record.json").read_bytes()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pa.parquet, "write_table", die)
    with pytest.raises(KeyboardInterrupt):
        record(notes="second").save(tmp_path, scores(shift=1.0))
    assert (tmp_path / "record.json").read_bytes() == before
    assert_array_equal(Record.load(tmp_path).scores(tmp_path).score, scores().score)


def test_the_table_is_rendered_from_the_figures_and_owns_up_to_losses() -> None:
    assert record().table().splitlines() == [
        "|  | AUC | EER | control: image size | a paper |",
        "| --- | --- | --- | --- | --- |",
        "| all | 0.810 [0.76, 0.86] | 0.210 [0.16, 0.26] | 0.500 [0.45, 0.55] | 0.99 **(better than ours)** |",
        "| swap vs matched reals | 0.600 [0.55, 0.65] | - | 0.900 [0.85, 0.95] **(control wins)** | - |",
    ]


def test_a_name_with_a_bar_does_not_break_the_table() -> None:
    table = record(metrics={"a|b vs all reals": {"auc": interval(0.5)}}, controls={}, reference=()).table()
    assert table.splitlines()[-1].startswith(r"| a\|b vs all reals | 0.500")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/jane/photos/pack.zip", "pack.zip"),
        ("/home/jane doe/photos/my pack", "my pack"),
        ("/home/jane/photos/", "photos"),
        ("~/photos/pack", "pack"),
        (r"C:\Users\jane\pack", "pack"),
        ("a/b.png: cannot open '/tmp/x/y.png'", "a/b.png: cannot open 'y.png'"),
        ("read from path=/srv/data/pack today", "read from path=pack today"),
        ("see https://example.org/a/b and this/that, 3 / 4", "see https://example.org/a/b and this/that, 3 / 4"),
        ("real/1.png: no face", "real/1.png: no face"),
    ],
)
def test_places_on_this_machine_are_cut_and_the_rest_is_kept(text: str, kept: str) -> None:
    assert without_places({"a": [text, 3, None]}) == {"a": [kept, 3, None]}


def test_a_record_holds_no_place_of_this_machine(tmp_path: Path) -> None:
    place = str(tmp_path / "pack")
    record(recipe={"data": {"path": place}}, skipped=(f"a.png: no such file {place}",), notes=place).save(
        tmp_path, scores()
    )
    assert str(tmp_path) not in (tmp_path / "record.json").read_text()


def test_the_environment_names_machine_and_versions() -> None:
    here = Environment.here()
    assert here.versions["numpy"] == np.__version__
    assert here.cores >= 1
    assert here.threads >= 1
    assert here.cpu


def test_the_mean_over_seeds_comes_with_the_sample_deviation() -> None:
    runs = [record(metrics={"all": {"auc": interval(v)}}) for v in (0.7, 0.8, 0.9)]
    assert mean_over_seeds(runs, "all", "auc") == pytest.approx((0.8, 0.1))
    assert np.isnan(mean_over_seeds(runs[:1], "all", "auc")[1])


def test_seeds_without_the_figure_or_of_another_unit_have_no_mean() -> None:
    with pytest.raises(DataError, match="brier of 'all': not in every record: tiny@0123"):
        mean_over_seeds([record()], "all", "brier")
    with pytest.raises(DataError, match="not in every record: tiny@4567"):
        mean_over_seeds([record(), record(unit="file", detector="tiny@4567")], "all", "auc")
    with pytest.raises(DataError, match="there is none"):
        mean_over_seeds([], "all", "auc")


def test_every_metric_of_a_protocol_has_a_heading() -> None:
    figures = Protocol(EvaluateSpec(resamples=100)).report(
        scores(), Calibration(), Threshold(value=0.5, rule="by hand", fitted_on="nothing")
    )
    assert list(HEADINGS) == list(figures["all"])

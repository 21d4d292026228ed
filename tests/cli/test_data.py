"""data check from the command line: its exit codes, its output, its refusals."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from verisight.cli.main import run
from verisight.data.manifest import Manifest
from verisight.data.synthetic import synthetic_folder


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_folder(tmp_path_factory.mktemp("clean"), 3, 2, ("blend",), size=48)


@pytest.fixture
def copied(clean: Path, tmp_path: Path) -> Path:
    """The clean set with one training picture in the test split too."""
    root = Path(shutil.copytree(clean, tmp_path / "copied"))
    shutil.copy(next((root / "real/train").rglob("*.png")), root / "real/test/stranger.png")
    return root


def cli(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["verisight", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        run()
    return int(done.value.code or 0)


def test_a_clean_set_is_exit_code_0_however_it_is_given(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", clean)
    for given in (clean, archive, clean / "index.csv"):
        assert cli(monkeypatch, "data", "check", given, "--strict") == 0
        out = capsys.readouterr().out
        assert "| test | fake | synthetic-blend | 2 |" in out
        assert out.splitlines()[-1] == "no errors (no two splits may share anybody)"
    manifest = Manifest.load(clean / "index.csv")
    manifest.save(clean / "again.parquet")
    assert cli(monkeypatch, "data", "check", clean / "again.parquet") == 0
    assert manifest.fingerprint() in capsys.readouterr().out


def test_a_leak_is_exit_code_3_and_named(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(monkeypatch, "data", "check", copied, "--layout", "folder") == 3
    out = capsys.readouterr().out
    assert "error    copies: 1 files stand in two splits" in out
    assert "real/test/stranger.png (test, real)" in out
    assert cli(monkeypatch, "data", "check", copied, "--layout", "folder", "--no-pixels") == 0
    assert "no file was opened: copies were not looked for" in capsys.readouterr().out


def test_json_is_all_that_is_printed(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(monkeypatch, "data", "check", copied, "--layout", "folder", "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert [f["kind"] for f in told["findings"]] == ["copies"]
    assert told["files"] == 13
    assert str(copied) not in json.dumps(told)


def test_settings_of_the_data_block_reach_the_layout(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("real", "fake"):
        (tmp_path / label).mkdir()
        for i, path in enumerate(sorted((clean / label).rglob("*.png"))):
            shutil.copy(path, tmp_path / label / f"{i}.png")
    assert cli(monkeypatch, "data", "check", tmp_path, "data.splits=[0.5,0,0.5]", "--no-pixels") == 0
    out = capsys.readouterr().out
    assert "| train | real | real | 3 |" in out
    assert "| val |" not in out


HEADER = "path,label,split,group\n"


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("gone.csv", None, "gone.csv: no such file or folder"),
        ("m.csv", HEADER + "a.png,2,train,g\n", "a.png: the label must be 0 (real) or 1 (fake), got '2'"),
        ("m.csv", HEADER + "a.png,0,train,g\na.png,1,train,h\n", "a.png: stands twice in the index"),
        ("m.csv", HEADER + "a.png,0,train,g\nb.png,1,test,g\n", "g: this group stands in two splits, train and test"),
        ("m.csv", HEADER + "a.png,0,tset,g\n", "unknown split 'tset'; did you mean 'test'?"),
        ("m.csv", "path,label\na.png\n", "m.csv: not a readable manifest"),
        ("m.parquet", "PAR1", "m.parquet: not a readable manifest"),
        ("m.txt", "path label", "m.txt: not a manifest"),
        ("m.zip", "PK", "m.zip"),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | None,
    named: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    assert cli(monkeypatch, "data", "check", tmp_path / name) == 2
    printed = capsys.readouterr()
    assert named in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert printed.out == ""


def test_an_unknown_layout_and_a_setting_of_another_block_are_refused(
    clean: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(monkeypatch, "data", "check", clean, "--layout", "foldr") == 2
    assert "did you mean 'folder'?" in capsys.readouterr().err
    assert cli(monkeypatch, "data", "check", clean, "seed=3") == 2
    assert "use data.KEY=VALUE" in capsys.readouterr().err

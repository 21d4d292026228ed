"""list, info, config, doctor: what a stranger reads first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from verisight.cli.main import app
from verisight.core import catalogue
from verisight.core.errors import RecipeError

ROOT = Path(__file__).parents[2]


def shown(*arguments: str) -> str:
    done = CliRunner(env={"COLUMNS": "160"}).invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_list_shows_every_entry() -> None:
    output = shown("list")
    assert all(entry.id in output for entry in catalogue.ENTRIES)


@pytest.mark.parametrize("kind", ["method", "rule", "layout", "finder", "detector"])
def test_list_of_one_kind_shows_that_kind_only(kind: str) -> None:
    first_column = re.findall(r"^ (\S+) ", shown("list", "--kind", kind), re.MULTILINE)
    assert first_column == ["id", *[e.id for e in catalogue.entries(kind)]]


def test_list_of_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'method'"):
        shown("list", "--kind", "methd")


@pytest.mark.parametrize("entry", catalogue.ENTRIES, ids=lambda entry: entry.id)
def test_info_of_every_entry(entry: catalogue.Entry) -> None:
    assert entry.id in shown("info", entry.id)


def test_info_of_the_shipped_detector_says_where_its_threshold_was_set_and_what_it_learned_from() -> None:
    output = shown("info", catalogue.DEFAULT_DETECTOR)
    for fact in ("threshold", "select ", "data train", "data val", "licence", "AUC dfdc_faceswap vs matched reals"):
        assert fact in output


@pytest.mark.parametrize("recipe", sorted(ROOT.glob("recipes/**/*.yaml")), ids=lambda path: path.stem)
def test_config_prints_a_recipe_that_reads_back(recipe: Path, tmp_path: Path) -> None:
    teacher = ["method.teacher=somebody"] if recipe.stem.startswith("add-") else []
    printed = shown("config", str(recipe), "data.path=somewhere", "seed=7", *teacher)
    assert yaml.safe_load(printed)["seed"] == 7
    again = tmp_path / "again.yaml"
    again.write_text(printed)
    assert shown("config", str(again)) == printed


def test_doctor_finds_all_in_place_in_the_environment_of_the_tests() -> None:
    lines = shown("doctor").splitlines()
    assert not [line for line in lines if line.startswith("absent")]
    assert any("deepfake.safetensors" in line for line in lines)


@pytest.mark.parametrize("verb", ["scan", "demo", "config", "train", "eval", "list", "info", "doctor"])
def test_help_of_every_verb_teaches(verb: str) -> None:
    assert "Usage:" in shown(verb, "--help")

"""Recipes: defaults, overrides, and one line for every way to get one wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from verisight.core.errors import RecipeError
from verisight.core.preprocess import Preprocess
from verisight.core.recipe import AugmentSpec, DataSpec, Recipe, load_recipe, validate

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))
TEXT = "name: small\nmethod: {id: deepfake/erm}\ndata:\n  path: pictures\n"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


def test_what_is_not_given_has_the_documented_default(small: Path) -> None:
    recipe = load_recipe(small)
    assert recipe.data == DataSpec(path="pictures", layout="folder", splits=(0.7, 0.15, 0.15), balance="label")
    assert recipe.preprocess == Preprocess()
    assert recipe.rule == {"id": "plain"}
    assert recipe.evaluate.threshold == "balanced"
    assert (recipe.seed, recipe.licence, recipe.reported) == (0, "not stated", ())


@pytest.mark.parametrize(
    ("override", "reach", "value"),
    [
        ("data.path=a/b c", "data.path", "a/b c"),
        ("data.path=a=b", "data.path", "a=b"),
        ("data.splits=[0.5,0.25,0.25]", "data.splits", (0.5, 0.25, 0.25)),
        ("preprocess.size=64", "preprocess.size", 64),
        ("preprocess.jpeg_quality=null", "preprocess.jpeg_quality", None),
        ("preprocess.align=true", "preprocess.align", True),
        ("optimiser.lr=1e-3", "optimiser.lr", 1e-3),
        ("evaluate.threshold=fpr@0.01", "evaluate.threshold", "fpr@0.01"),
        ("evaluate.threshold=fpr@.5", "evaluate.threshold", "fpr@.5"),
        ("seed=7", "seed", 7),
        ("method.backbone=resnet18", "method.backbone", "resnet18"),
        ("trainer.max_epochs=3", "trainer.max_epochs", 3),
    ],
)
def test_an_override_reaches_inside_with_dots(small: Path, override: str, reach: str, value: Any) -> None:
    found: Any = load_recipe(small, [override])
    for part in reach.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


def test_the_last_override_wins_and_neighbours_stay(small: Path) -> None:
    recipe = load_recipe(small, ["preprocess.size=64", "preprocess.size=96"])
    assert recipe.preprocess == Preprocess(size=96)
    assert recipe.data.path == "pictures"


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("preproces.size=64", "unknown key 'preproces'; did you mean 'preprocess'?"),
        ("preprocess.sise=64", "unknown key 'preprocess.sise'; did you mean 'size'?"),
        ("data.pth=x", "unknown key 'data.pth'; did you mean 'path'?"),
        ("augment.color=0.1", "unknown key 'augment.color'; did you mean 'colour'?"),
        (
            "optimiser.learning_rate=1",
            "unknown key 'optimiser.learning_rate'; known: fall, hold, lr, momentum, name, warmup, weight_decay",
        ),
        ("loader.batch=3", "unknown key 'loader.batch'; did you mean 'batch_size'?"),
        ("evaluate.treshold=balanced", "unknown key 'evaluate.treshold'; did you mean 'threshold'?"),
        ("reported=[{metrik: auc, value: 1, source: t}]", "unknown key 'reported.0.metrik'; did you mean 'metric'?"),
    ],
)
def test_an_unknown_key_at_any_depth_is_answered_with_the_nearest(small: Path, override: str, answer: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(answer)):
        load_recipe(small, [override])


def test_a_misspelt_required_key_is_called_misspelt_not_missing(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(TEXT.replace("name:", "naem:"))
    with pytest.raises(RecipeError, match=r"unknown key 'naem'; did you mean 'name'\?"):
        load_recipe(path)


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda p: p.stem)
def test_a_value_left_open_is_named_with_the_override_that_fills_it(recipe: Path) -> None:
    with pytest.raises(RecipeError, match=r"'data.path' must be given; add: data.path=\.\.\."):
        load_recipe(recipe)


def missing(recipe: Path) -> list[str]:
    """What a user has to say: where the data are, and of whom a student learns."""
    return ["data.path=somewhere", *(["method.teacher=somebody"] if recipe.stem.startswith("add-") else [])]


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda p: p.stem)
def test_every_recipe_of_the_project_holds_together_once_it_knows_where_the_data_are(recipe: Path) -> None:
    from verisight.core.aggregate import aggregate
    from verisight.core.catalogue import find
    from verisight.engine.train import update_rule

    loaded = load_recipe(recipe, missing(recipe))
    find(loaded.data.layout, "layout")
    aggregate(loaded.evaluate.aggregate)
    update_rule(loaded.rule)
    settings = {key: value for key, value in loaded.method.items() if key != "id"}
    validate(find(loaded.method["id"], "method").load().Config, settings, recipe.stem)
    assert recipe.stem.startswith(loaded.method["id"].split("/")[1])


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda p: p.stem)
def test_a_recipe_survives_json(recipe: Path) -> None:
    loaded = load_recipe(recipe, [*missing(recipe), "reported=[{metric: auc, value: 0.5, source: Table 1}]"])
    assert Recipe.model_validate_json(loaded.model_dump_json()) == loaded
    assert Recipe.model_validate(loaded.model_dump(mode="json")) == loaded


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("data=5", "'data'"),
        ("data.path=", "'data.path'"),
        ("data.splits=[0.5]", "'data.splits"),
        ("data.faces=maybe", "'data.faces'"),
        ("data.balance=person", "'data.balance'"),
        ("data.matched=[a]", "'data.matched'"),
        ("method=3", "'method'"),
        ("name=A b", "'name'"),
        ("preprocess.size=15", "'preprocess.size'"),
        ("preprocess.size=64.5", "'preprocess.size'"),
        ("preprocess.size=big", "'preprocess.size'"),
        ("preprocess.margin=0.5", "'preprocess.margin'"),
        ("preprocess.jpeg_quality=101", "'preprocess.jpeg_quality'"),
        ("preprocess.std=[0.5,0,0.5]", "'preprocess.std.1'"),
        ("preprocess.frames=0", "frames=0: takes 1 to 4096 frames"),
        ("preprocess.min_face_score=.nan", "'preprocess.min_face_score'"),
        ("augment.crop=1", "'augment.crop'"),
        ("augment.upsample=1.5", "'augment.upsample'"),
        ("optimiser.lr=0", "'optimiser.lr'"),
        ("optimiser.warmup=1", "'optimiser.warmup'"),
        ("loader.batch_size=0", "'loader.batch_size'"),
        ("loader.workers=-1", "'loader.workers'"),
        ("evaluate.threshold=fpr@1", "'evaluate.threshold'"),
        ("evaluate.threshold=fpr@.", "'evaluate.threshold'"),
        ("evaluate.calibration=beta", "'evaluate.calibration'"),
        ("evaluate.aggregate=mean-of-face", "did you mean 'mean-of-faces'"),
        ("evaluate.resamples=10", "'evaluate.resamples'"),
        ("seed=-1", "'seed'"),
        ("data.path.deeper=1", "'data.path'"),
        ("data.path=${nowhere}", "nowhere"),
        ("name=[", "not a readable recipe"),
    ],
)
def test_a_wrong_type_or_range_is_one_line_that_names_the_key(small: Path, override: str, named: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(small, [override])
    assert named in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    [b"- a\n- b\n", b"a: [1", b"a: b: c", b"\xff\xfe\x00\x01", b"name: x\nname: y\n", b"? [a, b]\n: c\n", b"a: ${a}\n"],
    ids=["list", "open bracket", "two colons", "not text", "key twice", "list as key", "circle"],
)
def test_what_is_no_recipe_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"broken\.yaml: not a readable recipe"):
        load_recipe(path)


def test_yaml_cannot_build_python_objects(tmp_path: Path) -> None:
    path = tmp_path / "trap.yaml"
    path.write_text(TEXT + f"notes: !!python/object/apply:os.mkdir ['{tmp_path / 'owned'}']\n")
    with pytest.raises(RecipeError, match="not a readable recipe"):
        load_recipe(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", ["", "just words", "# a comment"])
def test_an_empty_recipe_says_what_is_needed_first(tmp_path: Path, content: str) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(content)
    with pytest.raises(RecipeError, match="'name' must be given" if content != "just words" else "unknown key"):
        load_recipe(path)


@pytest.mark.parametrize("missing", ["no/such.yaml", "."])
def test_a_missing_file_is_named(missing: str) -> None:
    with pytest.raises(RecipeError, match="no such recipe file"):
        load_recipe(missing)


def test_an_override_without_an_equals_sign_is_refused(small: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.path: an override has the form key=value"):
        load_recipe(small, ["data.path"])


def test_values_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        AugmentSpec().crop = 0.5

"""The catalogue is plain data that holds: unique ids, targets that import and are what their kind says."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from verisight.core.catalogue import DEFAULT_DETECTOR, ENTRIES, Entry, entries, find
from verisight.core.errors import MissingExtra, RecipeError
from verisight.core.places import WEIGHTS


def test_ids_are_unique_and_every_line_says_what_it_is() -> None:
    ids = [e.id for e in ENTRIES]
    assert len(ids) == len(set(ids))
    assert all(e.summary for e in ENTRIES)


@pytest.mark.parametrize("entry", entries("method"), ids=lambda e: e.id)
def test_methods_are_methods_of_their_task_with_a_config(entry: Entry) -> None:
    from verisight.engine.method import Method, MethodConfig

    method = entry.load()
    assert issubclass(method, Method)
    assert not inspect.isabstract(method)
    assert issubclass(method.Config, MethodConfig)
    assert entry.task == method.task == entry.id.split("/")[0]
    assert method.positive


@pytest.mark.parametrize("entry", entries("rule"), ids=lambda e: e.id)
def test_rules_have_a_step(entry: Entry) -> None:
    assert list(inspect.signature(entry.load().step).parameters) == ["self", "closure", "parameters", "optimizer"]


@pytest.mark.parametrize("entry", entries("layout"), ids=lambda e: e.id)
def test_layouts_take_a_data_block_and_a_seed(entry: Entry) -> None:
    assert list(inspect.signature(entry.load()).parameters) == ["spec", "seed"]


@pytest.mark.parametrize("entry", entries("finder"), ids=lambda e: e.id)
def test_finders_find_nothing_on_a_blank_picture(entry: Entry) -> None:
    import numpy as np

    assert entry.load()()(np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.parametrize("entry", entries("detector"), ids=lambda e: e.id)
def test_shipped_detectors_are_safetensors_of_the_weights_folder(entry: Entry) -> None:
    from verisight.core.checkpoint import load_card

    card = load_card(WEIGHTS / entry.target)
    assert card.name == entry.id
    assert find(card.method, "method").task == card.task == entry.task


def test_the_default_detector_is_in_the_catalogue() -> None:
    assert find(DEFAULT_DETECTOR, "detector").kind == "detector"


def test_entries_of_a_kind_keep_the_order_of_the_table() -> None:
    assert [e for e in entries() if e.kind == "layout"] == list(entries("layout"))
    assert entries() == ENTRIES


@pytest.mark.parametrize(
    ("id", "kind", "answer"),
    [
        ("deepfake/emr", None, "did you mean 'deepfake/erm'"),
        ("foldr", "layout", "did you mean 'folder'"),
        ("deepfake/erm", "rule", "known: awp, plain"),  # right name, wrong kind
        ("", "layout", "known: celebdf-v1, celebdf-v2"),
    ],
)
def test_an_unknown_id_is_answered_with_the_nearest(id: str, kind, answer: str) -> None:
    with pytest.raises(RecipeError, match=answer):
        find(id, kind)


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    needy = Entry("x", "finder", "no_such_package_xyz.part:Thing", "needs much", extras=("landmarks",))
    with pytest.raises(MissingExtra, match=r"'no_such_package_xyz'.*pip install 'verisight\[landmarks\]'"):
        needy.load()


def test_a_fault_of_ours_is_not_called_a_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError):
        Entry("x", "finder", "verisight.no_such_module:Thing", "", extras=("landmarks",)).load()


def test_reading_the_catalogue_imports_nothing_that_it_names() -> None:
    code = "import sys, verisight.core.catalogue as c; c.entries(); print('torch' in sys.modules, 'cv2' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "False"]

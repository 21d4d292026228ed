"""The reference pages show docstrings as they are meant."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[2] / "docs" / "reference" / "docstrings.py"


@pytest.mark.parametrize(
    ("ours", "shown"),
    [
        ("One line.", "One line."),
        (
            "T.\n\nParameters\n----------\na : x.\nb, c : y\n    and z.",
            "T.\n\n**Parameters**\n\n- `a`: x.\n- `b`, `c`: y\n    and z.",
        ),
        ("T.\na : right below.", "T.\n\n- `a`: right below."),
        ("label : 0 or 1. score, other : logits, e.g. 0.5", "- `label`: 0 or 1.\n- `score`, `other`: logits, e.g. 0.5"),
        ("Note: no entry.", "Note: no entry."),
        ("E\n---\n>>> f(\n...     1)\na : 2\n\nafter", "**E**\n\n\n```pycon\n>>> f(\n...     1)\na : 2\n```\n\nafter"),
        (">>> a\n1\n>>> b\n2", "\n```pycon\n>>> a\n1\n>>> b\n2\n```"),
    ],
)
def test_entries_become_lists_headings_bold_and_doctests_code(ours: str, shown: str) -> None:
    spec = importlib.util.spec_from_file_location("docstrings", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    assert plugin.markdown(ours) == shown

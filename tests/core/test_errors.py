"""Every message is one line, and a misspelt name is answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.errors import (
    DataError,
    ExitCode,
    InputError,
    MissingExtra,
    MissingWeights,
    RecipeError,
    VerisightError,
    nearest,
    one_line,
)


@given(st.text(), st.text(), st.text())
def test_a_message_is_one_printable_line_whatever_its_parts(thing: str, reason: str, step: str) -> None:
    message = str(VerisightError(thing, reason, step))
    assert message.isprintable()
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "trap",
    [
        "a\nb", "a\r\nb", "a\x00b", "a\x1bb", "a\u2028b", "a\u2029b", "a\x85b", "a\u202eb", "a\u2066b", "a\u200fb",
        "a\udcffb", "a\tb", "a\x7fb", "a\u00a0b",
    ],
)  # fmt: skip
def test_breaks_controls_direction_marks_and_broken_bytes_become_one_space(trap: str) -> None:
    assert one_line(trap.replace("b", " b")) == "a b"


def test_thing_reason_and_next_step_stand_in_this_order() -> None:
    assert str(InputError("x.jpg", "broken", "copy it again")) == "x.jpg: broken; copy it again"
    assert str(InputError("x.jpg", "broken")) == "x.jpg: broken"
    assert InputError("x\ny", "b\nc").reason == "b c"


@pytest.mark.parametrize("kind", [InputError, RecipeError, DataError, MissingExtra, MissingWeights])
def test_one_tree(kind: type[VerisightError]) -> None:
    with pytest.raises(VerisightError, match="thing: reason"):
        raise kind("thing", "reason")


def test_nearest_names_the_closest_or_all() -> None:
    assert nearest("batch", ["batch_size", "workers"]) == "did you mean 'batch_size'?"
    assert nearest("zzz", ["workers", "batch_size"]) == "known: batch_size, workers"
    assert nearest("x", []) == "known: "


def test_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0, "FAULT": 1, "USAGE": 2, "SOME_FAILED": 3, "INTERRUPTED": 130,
    }  # fmt: skip

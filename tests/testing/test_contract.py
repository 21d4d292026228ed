"""What the checkers share: the first broken clause is named, and an exemption has a reason."""

from __future__ import annotations

import subprocess
import sys

import pytest

import verisight.testing
from verisight.testing.contract import ContractError, clause, expect, name_of, run

RAN: list[str] = []


@clause
def first(case: str) -> None:
    RAN.append("first")
    expect(case != "bad", f"saw {case}")


@clause
def second(case: str) -> None:
    RAN.append("second")
    {}[case]


def test_the_first_broken_clause_ends_the_check_with_its_name_and_what_was_seen() -> None:
    RAN.clear()
    with pytest.raises(ContractError, match=r"^bad breaks the clause 'first': saw bad$") as caught:
        run([first, second], "bad", {})
    assert RAN == ["first"]
    assert (caught.value.clause, caught.value.seen) == ("first", "saw bad")
    assert isinstance(caught.value, AssertionError)


def test_an_error_in_the_part_is_a_breach_with_its_cause_attached() -> None:
    with pytest.raises(ContractError, match=r"'second': KeyError: 'good'") as caught:
        run([first, second], "good", {})
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_exempt_clause_does_not_run() -> None:
    RAN.clear()
    run([first, second], "good", {"second": "its dictionary is empty by design"})
    assert RAN == ["first"]


@pytest.mark.parametrize(
    ("exempt", "told"), [({"secnd": "x"}, r"did you mean 'second'\?"), ({"second": " "}, "needs a reason")]
)
def test_a_wrong_exemption_is_refused_before_anything_runs(exempt: dict[str, str], told: str) -> None:
    RAN.clear()
    with pytest.raises(ValueError, match=told):
        run([first, second], "good", exempt)
    assert RAN == []


def test_names_are_those_of_the_functions() -> None:
    assert [name_of(each) for each in (first, second)] == ["first", "second"]


def test_every_checker_is_offered_by_the_package() -> None:
    for name in verisight.testing.__all__:
        assert callable(getattr(verisight.testing, name)), name
    with pytest.raises(AttributeError, match="no attribute 'check_nothing'"):
        verisight.testing.check_nothing  # noqa: B018


def test_the_checker_of_layouts_needs_no_torch() -> None:
    code = "import sys; from verisight.testing import check_layout; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False"]

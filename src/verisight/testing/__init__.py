"""Public checkers of the five contracts: a part that passes fits every other part of the toolkit.

    check_method    named finite losses, no memory, learns, saves and reloads, two ranks equal one process
    check_rule      radius zero is plain, weights restored, micro-batches and ranks weighed by their rows
    check_attack    inside budget and bounds, no trace on the model, a row by itself
    check_detector  the same score through every runtime and in every batch, strange batches refused
    check_layout    the promised counts from a tiny copy, whatever its place and the order of its listing

Each runs a list of clauses and stops at the first that is broken, with a `ContractError` that names the clause and
what was seen. The lists (`METHOD_CLAUSES`, ... in the module of each checker) are public, so that a test suite may run
clause by clause:

    @pytest.mark.parametrize("clause", RULE_CLAUSES, ids=name_of)
    def test_my_rule(clause):
        clause(RuleCase(MyRule))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from verisight.testing.contract import ContractError, name_of

if TYPE_CHECKING:
    from verisight.testing.attack import check_attack
    from verisight.testing.detector import check_detector
    from verisight.testing.layout import check_layout
    from verisight.testing.method import check_method
    from verisight.testing.rule import check_rule

__all__ = [
    "ContractError",
    "check_attack",
    "check_detector",
    "check_layout",
    "check_method",
    "check_rule",
    "name_of",
]


def __getattr__(name: str) -> Any:
    """The checkers are imported when they are asked for: that of layouts needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{name.removeprefix('check_')}"), name)

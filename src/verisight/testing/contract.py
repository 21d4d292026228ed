"""What the checkers share: clauses, and the error that names the broken one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TypeVar

from verisight.core.errors import nearest, one_line

CaseT = TypeVar("CaseT")


class ContractError(AssertionError):
    """A clause of a contract is broken.

    clause : its name. seen : what was found instead.
    """

    def __init__(self, subject: str, clause: str, seen: str) -> None:
        self.subject, self.clause, self.seen = subject, clause, seen
        super().__init__(f"{subject} breaks the clause '{clause}': {seen}")


class _Seen(Exception):
    """What a clause found; `clause` adds whose it is."""


def expect(holds: object, seen: str) -> None:
    """Inside a clause: end it with `seen` unless `holds` is true."""
    if not holds:
        raise _Seen(seen)


def clause(check: Callable[[CaseT], None]) -> Callable[[CaseT], None]:
    """A function of a case that ends in a `ContractError` with its own name, whatever goes wrong in it.

    An error in the part under test is a breach too: it stays attached as the cause.
    """

    @wraps(check)
    def named(case: CaseT) -> None:
        try:
            check(case)
        except _Seen as seen:
            raise ContractError(str(case), check.__name__, str(seen)) from None
        except Exception as error:
            raise ContractError(str(case), check.__name__, f"{type(error).__name__}: {one_line(error)}") from error

    return named


def name_of(clause: Callable[[CaseT], None]) -> str:
    """The name of a clause, as errors and `exempt` say it."""
    return clause.__name__


def run(clauses: Sequence[Callable[[CaseT], None]], case: CaseT, exempt: Mapping[str, str]) -> None:
    """Every clause in order, save the exempt ones.

    exempt : name of a clause -> why it does not hold for this part.

    Raises
    ------
    ContractError : at the first broken clause. ValueError : an exemption from a clause that does not exist, or without
        a reason.
    """
    names = [name_of(each) for each in clauses]
    for name, reason in exempt.items():
        if name not in names:
            raise ValueError(f"no clause '{name}' to be exempt from; {nearest(name, names)}")
        if not reason.strip():
            raise ValueError(f"the exemption from '{name}' needs a reason")
    for each in clauses:
        if name_of(each) not in exempt:
            each(case)

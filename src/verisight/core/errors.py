"""The exception tree and the exit codes of the command line.

Every message is one line: the thing, the reason, the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller."""

    DONE = 0
    FAULT = 1  # a fault of ours
    USAGE = 2  # the call cannot be carried out as given
    SOME_FAILED = 3  # finished; some inputs failed, each named
    INTERRUPTED = 130  # stopped by the user; a rerun resumes


class VerisightError(Exception):
    """Base of every error that a user can cause or mend.

    Parameters
    ----------
    thing : what the message is about (a path, a key, an id).
    reason : what is wrong with it.
    next_step : what to do about it; empty when the reason says it all.
    """

    def __init__(self, thing: object, reason: str, next_step: str = "") -> None:
        self.thing, self.reason, self.next_step = one_line(thing), one_line(reason), one_line(next_step)
        super().__init__(f"{self.thing}: {self.reason}" + (f"; {self.next_step}" if self.next_step else ""))


class InputError(VerisightError):
    """A file cannot be read as a picture or video, or a path does not exist."""


class RecipeError(VerisightError):
    """A recipe, or an override of one, does not validate."""


class DataError(VerisightError):
    """A data set, a manifest or a split does not hold together."""


class MissingExtra(VerisightError):
    """An optional package is needed and not installed."""


class MissingWeights(VerisightError):
    """A weight file is absent, or is of a kind that is never loaded."""


def one_line(text: object) -> str:
    """Text without line breaks or control characters, so that one error stays one line in any log."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def nearest(name: str, known: Iterable[str]) -> str:
    """The next step for a misspelt name: the closest known one, or all of them."""
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(options)}"

"""The house's docstrings as Markdown, for the reference pages.

Ours name an argument as `name : what it is`, without a type, since the annotation has it; numpydoc would read the words
after the colon as the type. This griffe extension turns such lines into lists, underlined headings into bold words,
and doctests into code blocks.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ENTRY = re.compile(r"^(?P<names>\*?\w+(?:\.\w+)*(?:, \*?\w+)*) : (?P<what>.*)$")
_NEXT_ENTRY = re.compile(r"(?<=\.) (?=\*?\w+(?:, \w+)* : )")  # several on one line: `label : 0 or 1. score : a logit.`
_UNDERLINE = re.compile(r"^-{3,}$")


def markdown(docstring: str) -> str:
    """A docstring of ours as Markdown."""
    out: list[str] = []
    lines = docstring.splitlines()
    for i, line in enumerate(lines):
        entry = _ENTRY.match(line)
        if _UNDERLINE.match(line) and out:
            out[-1] = f"**{out[-1]}**"
            out.append("")
        elif line.startswith(">>>") and not (i and lines[i - 1].startswith((">>>", "..."))):
            out += ["", "```pycon", line] if not _in_code(out) else [line]
        elif not line.strip() and _in_code(out):
            out += ["```", ""]
        elif entry and not _in_code(out):
            if out and out[-1] and not out[-1].startswith(("- ", "    ")):
                out.append("")
            out += [_item(part) for part in _NEXT_ENTRY.split(line)]
        else:
            out.append(line)
    return "\n".join([*out, "```"] if _in_code(out) else out)


def _item(line: str) -> str:
    entry = _ENTRY.match(line)
    assert entry, line
    names = ", ".join(f"`{name}`" for name in entry["names"].split(", "))
    return f"- {names}: {entry['what']}"


def _in_code(out: list[str]) -> bool:
    return sum(line.startswith("```") for line in out) % 2 == 1


class HouseDocstrings(griffe.Extension):
    """Rewrites every docstring of the package once it is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)

"""How a stranger's words and the findings become the short texts of a `Provenance`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from verisight.core.errors import one_line
from verisight.scan.verdict import Provenance

MOST_CHARACTERS, MOST_TEXTS = 120, 12
State = Literal["absent", "unread", "valid", "untrusted", "invalid"]

# IPTC NewsCodes, digitalsourcetype: the last part of the address, in lower case -> what is said by it.
SOURCES = {
    "trainedalgorithmicmedia": "was made by generative AI",
    "compositewithtrainedalgorithmicmedia": "was made in part by generative AI",
    "compositesynthetic": "holds parts that were made by a computer",
    "algorithmicmedia": "was made by an algorithm without training data",
    "datadrivenmedia": "was made from data by an algorithm",
    "algorithmicallyenhanced": "was enhanced by an algorithm",
    "virtualrecording": "records a virtual event or a synthetic scene",
    "digitalcapture": "was captured by a digital camera",
    "computationalcapture": "was captured by a camera that computes, as in phones",
    "digitalcreation": "was drawn or made in software by a person",
    "digitalart": "was drawn or made in software by a person",
    "humanedits": "was edited by a person",
    "composite": "was put together from several pictures",
    "compositecapture": "was put together from several captured pictures",
    "screencapture": "is a capture of a screen",
}
_GENERATORS = re.compile(
    r"stable[ _-]?diffusion|sdxl|automatic1111|comfyui|invokeai|invoke-ai|novelai|midjourney|dall[-·•. ]?e\b"
    r"|adobe[ _-]?firefly|fooocus|leonardo\.ai|ideogram|dreamstudio|flux\.1|chatgpt|gpt-4o|gpt-image|openai|google ai"
    r"|runwayml|krea\.ai|playground ?ai|nightcafe|swarmui|easy diffusion|draw things",
    re.IGNORECASE,
)
_SWAPPERS = re.compile(
    r"faceapp|\breface\b|deepfacelab|facefusion|face-?swap|\broop\b|deepfacelive|simswap", re.IGNORECASE
)


@dataclass
class Traces:
    """What was found so far. urgent : claims that a reader must see first."""

    c2pa: State = "absent"
    urgent: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    made_with: list[str] = field(default_factory=list)
    taken: str | None = None

    def software(self, name: str, *, role: str = "software") -> None:
        """Note a tool; one that is known to make or swap faces and pictures is a claim as well."""
        if name and (kind := tool_kind(name)):
            self.urgent.append(f"Its metadata name {kind} as its software: {quoted(name)}.")
        if name:
            self.made_with.append(f"{role}: {name}")

    def source(self, code: str, *, speaker: str, about: str = "it") -> None:
        """Note an IPTC digital source type. code : its address or the last part of that."""
        word = re.split(r"[/#:]", code.strip())[-1].lower()
        if said := SOURCES.get(word):
            weighty = "algorithmic" in word or word == "compositesynthetic"
            (self.urgent if weighty else self.claims).append(f"{speaker} that {about} {said}.")

    def provenance(self) -> Provenance:
        return Provenance(
            c2pa=self.c2pa,
            claims=_listed([*self.urgent, *self.claims]),
            made_with=_listed(self.made_with),
            taken=self.taken,
        )


def tool_kind(name: str) -> str | None:
    """What kind of tool a name is known to be, if that says something about forgery."""
    if _SWAPPERS.search(name):
        return "a tool that alters faces"
    return "a tool of generative AI" if _GENERATORS.search(name) else None


def plain(raw: bytes | str, most: int = 60) -> str:
    """A stranger's text on one line, cut at `most`: no control characters, reordering marks or lone surrogates."""
    raw = raw[: 16 * most]
    if isinstance(raw, bytes):
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
    else:
        text = raw
    return _cut(one_line(text), most)


def quoted(name: str) -> str:
    return f"'{name}'"


def moment(raw: bytes | str, offset: bytes | str = "") -> str | None:
    """Date and time as EXIF, XMP and QuickTime spell them -> `2024-05-01 12:00:00`; None: no date, or a zero."""
    text = plain(raw, 40)
    found = re.match(r"(\d{4})[:-](\d\d)[:-](\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?)?", text)
    if not found or not ("1900" < found[1] < "2200" and "01" <= found[2] <= "12" and "01" <= found[3] <= "31"):
        return None
    if found[1] == "1904" or text.startswith("1970-01-01"):  # the zeros of QuickTime and Unix
        return None
    zone = found[5] or plain(offset, 6)
    day = f"{found[1]}-{found[2]}-{found[3]}"
    return (
        f"{day} {found[4]}{'' if zone == 'Z' or not zone else ' ' + zone}{' UTC' if zone == 'Z' else ''}"
        if found[4]
        else day
    )


def _listed(texts: Iterable[str]) -> tuple[str, ...]:
    """Each once, short, and not more than a person reads."""
    return tuple(_cut(one_line(text), MOST_CHARACTERS) for text in dict.fromkeys(texts))[:MOST_TEXTS]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"

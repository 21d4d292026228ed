"""What a file says of its own origin: C2PA manifests, camera and software tags, marks of generators, encoder settings.

It is read, never believed blindly, and is no part of a score: whoever can edit a file can edit all of this but a
signature. Nothing here decodes a pixel, writes, touches the network, or raises on a stranger's file. Where somebody was
and what he is called (GPS, author, owner, serial numbers) is not read at all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from verisight.core.errors import VerisightError
from verisight.data.decode.files import DECODER_FAULTS, LIMITS, Limits, refusing, regular
from verisight.data.decode.sniff import sniff
from verisight.scan.provenance.clips import clip_traces
from verisight.scan.provenance.containers import Parts, find_parts
from verisight.scan.provenance.manifest import read_manifest
from verisight.scan.provenance.pictures import picture_traces
from verisight.scan.provenance.words import Traces
from verisight.scan.verdict import Provenance

_STATES = {
    "valid": "Its C2PA signature holds: the file is as somebody on the trust list signed it.",
    "untrusted": "Its C2PA signature holds, but the signer is on no trust list given here: anybody can sign like that.",
    "invalid": "Its C2PA manifest is invalid: what it claims is worth nothing.",
    "unread": "It carries a C2PA manifest that was not read.",
}
_CAVEAT = "None of this is part of the score; what is not signed can be written and removed by anybody."


def provenance_of(path: Path, *, trust: str | None = None, limits: Limits = LIMITS) -> Provenance:
    """What a picture or clip says of its own origin; empty where it says nothing or cannot be read.

    trust : certificates of the authorities to trust, PEM, one after the other, such as the C2PA trust list. Without it
        no signature is better than `untrusted`.
    limits : what a file may ask of the decoder.

    The state of a C2PA manifest is `unread` without `verisight[provenance]`, and when checking it would take more than
    the limits of `manifest`. Remote manifests are mentioned and never fetched.

    Raises
    ------
    VerisightError : `trust` holds no certificate.
    """
    if trust is not None and "-----BEGIN CERTIFICATE-----" not in trust:
        raise VerisightError("the trust list", "holds no certificate in PEM form", "give the text of a .pem file")
    traces, parts = Traces(), Parts()
    with _whatever_can_be_read(), refusing(path, "a broken file"), regular(path, limits) as file:
        kind, name = sniff(path, file.read(4096))
        with _whatever_can_be_read():
            find_parts(file, name, parts)
        if parts.manifest:
            with _whatever_can_be_read():
                file.seek(0)
                traces.c2pa = "unread"
                traces.c2pa = read_manifest(file, name, trust, traces)
        with _whatever_can_be_read():
            if kind == "image":
                picture_traces(file, name, parts, traces)
            else:
                clip_traces(path, name, parts, traces, limits)
    return traces.provenance()


def facts(provenance: Provenance) -> list[str]:
    """Sentences for a report, what matters most first; none when the file says nothing.

    The words of the file among them are a stranger's: without control characters and short, but not more than that.
    """
    said = [_STATES[provenance.c2pa]] if provenance.c2pa in _STATES else []
    said += provenance.claims
    said += [f"{trace[:1].upper()}{trace[1:]}." for trace in provenance.made_with]
    if provenance.taken:
        said.append(f"Taken, as it says: {provenance.taken}.")
    return [*said, _CAVEAT] if said else []


@contextlib.contextmanager
def _whatever_can_be_read() -> Iterator[None]:
    """One part of a file that is broken does not keep the others from being read."""
    with contextlib.suppress(VerisightError, *DECODER_FAULTS):
        yield

"""C2PA manifests through the library of their makers, which is optional, told to stay off the network, and metered.

Source: C2PA technical specification 2.1, sections 10 (manifests), 14 (trust model) and 15 (validation).
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from verisight.scan.provenance.words import State, Traces, plain, quoted

_MOST_BYTES = 2**31  # that the library may read of one file: a second or two of hashing a GiB, and it reads some twice
_MOST_CALLS = 200_000
_MOST_ACTIONS, _MOST_TOOLS = 6, 3
_MIMES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "mov": "video/mp4",
    "avi": "video/avi",
}
_STATES: dict[str, State] = {"Trusted": "valid", "Valid": "untrusted", "Invalid": "invalid"}
_SPEAKER = "Its C2PA manifest says"
_SETTINGS = {
    "verify": {"verify_after_reading": True, "verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
    # An empty list of hosts allows none. Identity assertions do not heed it (c2pa-rs issue 1645): they stay unread.
    "core": {"allowed_network_hosts": [], "decode_identity_assertions": False},
}
_FAILURES = (  # beginning or end of a validation code -> what it means
    ("Hash.mismatch", "The content was changed after it was signed."),
    ("hashedURI.mismatch", "The manifest was changed after it was signed."),
    ("assertion.missing", "A part of the manifest was taken out after it was signed."),
    ("claimSignature.mismatch", "The signature does not fit the manifest."),
    ("claimSignature.missing", "The manifest is not signed."),
    ("signingCredential.expired", "The certificate of the signer had run out."),
    ("outsideValidity", "The certificate of the signer was not in force at the time."),
    ("signingCredential.revoked", "The certificate of the signer was withdrawn."),
    ("signingCredential.invalid", "The certificate of the signer is not fit for C2PA."),
    ("algorithm.unsupported", "It is signed in a way that is not known here."),
)


def read_manifest(file: BinaryIO, name: str, trust: str | None, traces: Traces) -> State:
    """Validate the manifest store in a file and note what it claims.

    file : open, at its start. name : of its format, as `sniff` calls it. trust : PEM certificates of authorities.
    """
    try:
        import c2pa
    except (ImportError, OSError):  # OSError: its library is for another machine
        traces.claims.append("It carries a C2PA manifest; to read it: pip install 'verisight[provenance]'.")
        return "unread"
    metered = _Metered(file)
    try:
        settings = c2pa.Settings.from_dict(_SETTINGS | ({"trust": {"trust_anchors": trust}} if trust else {}))
        with c2pa.Context(settings) as context, c2pa.Reader(_MIMES[name], metered, context=context) as reader:
            store: dict[str, Any] = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return "absent"
    except c2pa.C2paError as error:
        if metered.spent:
            traces.claims.append("It carries a C2PA manifest; to check it would take too long.")
            return "unread"
        traces.claims.append(f"Its C2PA manifest cannot be read: {plain(str(error), 70)}.")
        return "invalid"
    state = _STATES.get(str(store.get("validation_state")), "invalid")
    if state == "invalid":
        traces.urgent += _failures(store)
    _claims(store, traces)
    return state


class _Metered(io.RawIOBase):
    """The file as the library reads it: up to so many bytes and calls, then nothing but errors."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._bytes, self._calls = file, _MOST_BYTES, _MOST_CALLS

    @property
    def spent(self) -> bool:
        return self._bytes < 0 or self._calls < 0

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._pay(len(data))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._pay(0)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def write(self, _: Any) -> int:
        """The library asks for this method and does not call it when it reads."""
        raise io.UnsupportedOperation("read only")

    def _pay(self, size: int) -> None:
        self._bytes, self._calls = self._bytes - size, self._calls - 1
        if self.spent:
            raise OSError("too much to read")


def _failures(store: dict[str, Any]) -> list[str]:
    """Why a manifest does not hold, in words; the untrusted signer of a broken one is the least of it."""
    codes = [str(each.get("code")) for each in _dicts(store.get("validation_status"))]
    codes = [code for code in dict.fromkeys(codes) if code != "signingCredential.untrusted"]
    said = [next((words for key, words in _FAILURES if key in code), f"It fails: {plain(code)}.") for code in codes]
    return list(dict.fromkeys(said))[:3]


def _claims(store: dict[str, Any], traces: Traces) -> None:
    manifests = store.get("manifests")
    manifests = manifests if isinstance(manifests, dict) else {}
    active = manifests.get(store.get("active_manifest"))
    active = active if isinstance(active, dict) else {}
    actions = list(_actions(active))
    for source in _sources(actions):
        traces.source(source, speaker=_SPEAKER)
    for label, earlier in manifests.items():
        if label != store.get("active_manifest") and isinstance(earlier, dict):
            for source in _sources(_actions(earlier)):
                traces.source(source, speaker=_SPEAKER, about="something that it was made from")
    if signer := _signer(active):
        traces.claims.append(signer)
    if tools := _names(active, actions):
        traces.claims.append(f"{_SPEAKER} that it was made with {', '.join(map(quoted, tools))}.")
    verbs = dict.fromkeys(plain(str(a.get("action")), 30).removeprefix("c2pa.").replace("_", " ") for a in actions)
    if verbs:
        more = ", ..." if len(verbs) > _MOST_ACTIONS else ""
        traces.claims.append(f"{_SPEAKER} what was done: {', '.join(list(verbs)[:_MOST_ACTIONS])}{more}.")
    if number := sum(1 for _ in _dicts(active.get("ingredients"))):
        traces.claims.append(f"{_SPEAKER} that it was made from {number} other {'file' if number == 1 else 'files'}.")


def _signer(manifest: dict[str, Any]) -> str:
    """Whom the certificate names, and when, if a time stamp says so."""
    info = manifest.get("signature_info")
    info = info if isinstance(info, dict) else {}
    name, issuer = plain(str(info.get("common_name") or ""), 40), plain(str(info.get("issuer") or ""), 40)
    who = " of ".join(quoted(part) for part in dict.fromkeys((name, issuer)) if part)
    when = plain(str(info.get("time") or ""), 19).replace("T", " ")
    return f"It is signed by {who}{f', {when}' if when else ''}." if who else ""


def _names(manifest: dict[str, Any], actions: list[dict[str, Any]]) -> list[str]:
    """The tools: what made the claim, and what the actions name."""
    agents = [action.get("softwareAgent") for action in actions]
    named = [manifest.get("claim_generator_info"), *agents]
    found = list[str]()
    for each in named:
        for tool in [each] if isinstance(each, str) else _dicts(each if isinstance(each, list) else [each]):
            words = (tool,) if isinstance(tool, str) else (tool.get("name"), tool.get("version"))
            found.append(plain(" ".join(str(word) for word in words if word), 30))
    return list(dict.fromkeys(filter(None, found)))[:_MOST_TOOLS]


def _actions(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for assertion in _dicts(manifest.get("assertions")):
        data = assertion.get("data")
        if str(assertion.get("label")).startswith("c2pa.actions") and isinstance(data, dict):
            yield from _dicts(data.get("actions"))


def _sources(actions: Iterable[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(str(action["digitalSourceType"]) for action in actions if "digitalSourceType" in action))


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list, whatever a stranger put there."""
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))

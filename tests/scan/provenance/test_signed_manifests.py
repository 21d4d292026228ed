"""C2PA manifests: what is signed, by whom, and whether it still holds; all of it without a network."""

from __future__ import annotations

import io
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from origins import Listener, Signer, encoded, of

from verisight.core.errors import VerisightError
from verisight.scan.provenance import facts, manifest
from verisight.scan.provenance.words import Traces

c2pa = pytest.importorskip("c2pa")


def test_a_signature_of_nobody_known_is_untrusted_and_its_claims_are_told(signed: bytes, tmp_path: Path) -> None:
    provenance = of(signed, tmp_path)
    assert provenance.c2pa == "untrusted"
    assert provenance.claims == (
        "Its C2PA manifest says that it was made by generative AI.",
        "It is signed by 'Test Camera' of 'Test Signers'.",
        "Its C2PA manifest says that it was made with 'test tool 1.0', 'Dream Machine'.",
        "Its C2PA manifest says what was done: created, color adjustments.",
    )


def test_a_signature_that_chains_to_the_trust_list_is_valid(signed: bytes, signer: Signer, tmp_path: Path) -> None:
    assert of(signed, tmp_path, trust=signer.authority).c2pa == "valid"


def test_a_changed_pixel_makes_it_invalid_trusted_or_not(signed: bytes, signer: Signer, tmp_path: Path) -> None:
    at = len(signed) - 40  # in the scan
    changed = signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]
    for trust in (None, signer.authority):
        provenance = of(changed, tmp_path, trust=trust)
        assert provenance.c2pa == "invalid"
        assert provenance.claims[0] == "The content was changed after it was signed."
    assert facts(provenance)[0] == "Its C2PA manifest is invalid: what it claims is worth nothing."


def test_a_changed_claim_makes_it_invalid(signed: bytes, tmp_path: Path) -> None:
    changed = signed.replace(b"Dream Machine", b"Honest Camera")
    assert changed != signed
    assert of(changed, tmp_path).c2pa == "invalid"


def test_a_trust_list_without_certificates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerisightError, match="holds no certificate"):
        of(encoded(), tmp_path, trust="Adobe")


@pytest.mark.parametrize(
    ("format", "mime"),
    [
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("TIFF", "image/tiff"),
        ("AVIF", "image/avif"),
    ],
)
def test_the_manifest_is_found_in_every_kind_of_picture(format: str, mime: str, signer: Signer, tmp_path: Path) -> None:
    plain = encoded(format)
    assert of(plain, tmp_path).c2pa == "absent"
    assert of(signer.sign(plain, mime), tmp_path).c2pa == "untrusted"


def test_the_manifest_is_found_in_a_clip(signer: Signer, clip: Path, tmp_path: Path) -> None:
    provenance = of(signer.sign(clip.read_bytes(), "video/mp4"), tmp_path)
    assert provenance.c2pa == "untrusted"
    assert any(text.startswith("encoder: x264") for text in provenance.made_with)


def test_what_an_earlier_version_says_is_not_lost(signed: bytes, signer: Signer, tmp_path: Path) -> None:
    said = {"claim_generator_info": [{"name": "editor"}], "assertions": []}
    provenance = of(signer.sign(signed, "image/jpeg", said, edits=True), tmp_path)
    assert "Its C2PA manifest says that something that it was made from was made by generative AI." in provenance.claims
    assert "Its C2PA manifest says that it was made from 1 other file." in provenance.claims


def test_without_the_extra_a_manifest_is_told_but_unread(
    signed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    provenance = of(signed, tmp_path)
    assert provenance.c2pa == "unread"
    assert provenance.claims == ("It carries a C2PA manifest; to read it: pip install 'verisight[provenance]'.",)
    assert of(encoded(), tmp_path).c2pa == "absent"


def test_what_would_take_too_long_is_left_unread(
    signed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_MOST_BYTES", len(signed) // 2)
    provenance = of(signed, tmp_path)
    assert provenance.c2pa == "unread"
    assert provenance.claims == ("It carries a C2PA manifest; to check it would take too long.",)


def test_the_network_is_not_touched_by_python(signed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert of(signed, tmp_path).c2pa == "untrusted"


def test_neither_remote_manifests_nor_revocation_are_fetched(
    signed: bytes, signer: Signer, listener: Listener, tmp_path: Path
) -> None:
    """The library has sockets of its own, so a listener counts. With its other settings, it does call."""
    remote = signer.sign(encoded(), "image/jpeg", remote=listener.url + "manifest.c2pa")
    before = listener.calls
    provenance = of(remote, tmp_path)
    assert provenance.c2pa == "absent"
    assert provenance.claims == ("It names a C2PA manifest that is kept elsewhere; that was not fetched.",)
    assert of(signed, tmp_path, trust=signer.authority).c2pa == "valid"
    assert manifest.read_manifest(io.BytesIO(remote), "JPEG", None, Traces()) in ("absent", "invalid")
    assert listener.calls == before

    with pytest.raises(c2pa.C2paError):
        c2pa.Reader("image/jpeg", io.BytesIO(remote))
    assert listener.calls > before
    before = listener.calls
    asking = {"verify": {"ocsp_fetch": True}, "trust": {"trust_anchors": signer.authority}}
    with c2pa.Context(c2pa.Settings.from_dict(asking)) as context:
        c2pa.Reader("image/jpeg", io.BytesIO(signed), context=context).close()
    assert listener.calls > before


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda s: (
            st.lists(s)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "manifests",
                        "active_manifest",
                        "a",
                        "assertions",
                        "label",
                        "data",
                        "actions",
                        "action",
                        "digitalSourceType",
                        "softwareAgent",
                        "claim_generator_info",
                        "signature_info",
                        "ingredients",
                        "validation_status",
                        "code",
                        "name",
                    ]
                ),
                s,
            )
        ),
        max_leaves=30,
    )
)
def test_a_manifest_of_any_shape_is_read(store: Any) -> None:
    store = {"active_manifest": "a", "manifests": {"a": store, "b": store}, "validation_status": store}
    manifest._claims(store, Traces())
    manifest._failures(store)

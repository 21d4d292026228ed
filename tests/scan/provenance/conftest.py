"""Whoever signs, what is signed, and a clip."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from origins import GENERATED, RNG, Listener, Signer, encoded

from verisight.data.quality import write_h264


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.fixture(scope="session")
def signer(listener: Listener) -> Signer:
    c2pa, x509 = pytest.importorskip("c2pa"), pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = dt.datetime.now(dt.UTC)
    oid = x509.oid

    def builder(subject: str, key: Any) -> Any:
        names = [
            x509.Name(
                [
                    x509.NameAttribute(oid.NameOID.ORGANIZATION_NAME, "Test Signers"),
                    x509.NameAttribute(oid.NameOID.COMMON_NAME, name),
                ]
            )
            for name in (subject, "Test Root")
        ]
        made = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=1))
        return made.not_valid_after(now + dt.timedelta(days=30))

    def usage(**allowed: bool) -> Any:
        names = (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        )
        return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = builder("Test Root", root_key).add_extension(x509.BasicConstraints(True, None), critical=True)
    root = root.add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
    root = root.sign(root_key, hashes.SHA256())
    leaf = builder("Test Camera", key).add_extension(x509.BasicConstraints(False, None), critical=True)
    leaf = leaf.add_extension(usage(digital_signature=True), critical=True)
    purposes = x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
    leaf = leaf.add_extension(purposes, critical=False)
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    leaf = leaf.add_extension(authority_id, critical=False)
    inquiry = x509.AccessDescription(
        oid.AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(listener.url)
    )
    leaf = leaf.add_extension(x509.AuthorityInformationAccess([inquiry]), critical=False)
    leaf = leaf.sign(root_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    chain = leaf.public_bytes(pem) + root.public_bytes(pem)
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    context = c2pa.Context(c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}}))  # they take seconds
    with_key = c2pa.Signer.from_info(c2pa.C2paSignerInfo("es256", chain, private, None))

    def sign(
        content: bytes, mime: str, said: dict[str, Any] = GENERATED, *, remote: str = "", edits: bool = False
    ) -> bytes:
        signed = io.BytesIO()
        maker = c2pa.Builder.from_json(json.dumps(said), context)
        if remote:
            maker.set_remote_url(remote)
            maker.set_no_embed()
        if edits:
            maker.set_intent(c2pa.C2paBuilderIntent.EDIT)  # the content becomes what it was made from
        maker.sign(with_key, mime, io.BytesIO(content), signed)
        return signed.getvalue()

    return Signer(root.public_bytes(pem).decode(), sign)


@pytest.fixture(scope="session")
def signed(signer: Signer) -> bytes:
    return signer.sign(encoded(), "image/jpeg")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_h264([RNG.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(3)], path, crf=31)
    return path

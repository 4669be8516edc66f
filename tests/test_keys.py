"""Which keys are taken, how they may be written, and what is said of the others."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from taskward.identity import KeyConfigurationError, KeyRing, load_keys
from taskward.identity.keys import VerificationKey, canonical
from tests.issuer import ALGORITHMS, ASYMMETRIC, GOOD, SECRET, issuer

FORMS = {
    "EdDSA": (PrivateFormat.PKCS8, PrivateFormat.OpenSSH),
    "Ed25519": (PrivateFormat.PKCS8, PrivateFormat.OpenSSH),
    "RS256": (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL, PrivateFormat.OpenSSH),
}


def certificate(private: Any) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, private.public_key(), 1, since, since + dt.timedelta(days=9999))
    used = None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(private, used).public_bytes(Encoding.PEM).decode()


def public_pem(private: Any) -> str:
    return str(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def algorithms(keys: KeyRing) -> tuple[str, ...]:
    assert keys.current is not None
    (key,) = keys.current.keys
    return key.algorithms


def refusal(public_key: str) -> str:
    with pytest.raises(KeyConfigurationError) as refused:
        load_keys(public_key=public_key)
    sentence = str(refused.value)
    assert "TASKWARD_PUBLIC_KEY" in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "-----" not in sentence
    material = [line for line in public_key.replace("\\n", "\n").splitlines() if len(line) > 20 and "-----" not in line]
    assert not any(line in sentence for line in material)
    # What hangs on an exception ends up in logs as well.
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return sentence


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_public_key_is_read_however_it_is_written(algorithm: str, tmp_path: Path):
    signer = issuer(algorithm)
    file = tmp_path / "key.pem"
    file.write_text(signer.public_pem)
    certified = tmp_path / "certificate.pem"
    certified.write_text("Subject: issuer\n" + certificate(signer.private))
    for written in (
        signer.public_pem,
        signer.public_pem.strip().replace("\n", "\\n"),
        "  " + signer.public_pem.replace("\n", "\r\n") + "\n\n",
        str(file),
        certificate(signer.private),
        certificate(signer.private).replace("\n", "\\n"),
        str(certified),
    ):
        keys = load_keys(public_key=written)
        assert canonical(algorithm) in algorithms(keys)
        assert signer.verifier(keys).verify(signer.sign()).user_id == GOOD["sub"]


def test_a_path_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    tmp_path.joinpath("key.pem").write_text(issuer("ES256").public_pem)
    assert algorithms(load_keys(public_key="~/key.pem")) == ("ES256",)


def test_the_pkcs1_form_of_an_rsa_key_is_read():
    public = issuer("RS256").private.public_key()
    assert "RS256" in algorithms(load_keys(public_key=public.public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode()))


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_private_key_is_refused_in_every_form(algorithm: str, tmp_path: Path):
    private = issuer(algorithm).private
    forms = [
        private.private_bytes(Encoding.PEM, form, encryption).decode()
        for form in FORMS.get(algorithm, FORMS["RS256"])
        for encryption in (NoEncryption(), BestAvailableEncryption(b"password"))
        if (form, type(encryption)) != (PrivateFormat.OpenSSH, BestAvailableEncryption)  # would need bcrypt
    ]
    file = tmp_path / "private.pem"
    file.write_text(forms[0])
    # A file of both, as some tools write them, still gives the private key away.
    both = issuer(algorithm).public_pem + forms[0]
    for written in (*forms, forms[0].replace("\n", "\\n"), str(file), both, certificate(private) + forms[0]):
        assert "holds a private key" in refusal(written)


def test_a_short_rsa_key_is_refused():
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is what is refused
    assert "RSA key of 1024 bits; at least 2048" in refusal(public_pem(weak))
    assert "RSA key of 1024 bits" in refusal(certificate(weak))


@pytest.mark.parametrize(
    "private",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
        x25519.X25519PrivateKey.generate(),
        dsa.generate_private_key(2048),
    ],
    ids=lambda private: type(private).__name__ + getattr(getattr(private, "curve", None), "name", ""),
)
def test_a_key_of_another_kind_is_refused(private: Any):
    assert "is not an RSA, P-256, P-384, P-521 or Ed25519 key" in refusal(public_pem(private))


def test_what_is_no_key_is_refused(tmp_path: Path):
    pem = issuer("ES256").public_pem
    lines = pem.splitlines()
    for garbage in (
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        pem.replace("PUBLIC KEY", "CERTIFICATE"),
        certificate(issuer("ES256").private).replace("CERTIFICATE", "PUBLIC KEY"),
        "\n".join([lines[0], lines[1][::-1], *lines[2:]]),
        pem[: len(pem) // 2],
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----",
        "-----BEGIN PUBLIC KEY-----\n\u00e9\u4e2d\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA\udcff\n-----END PUBLIC KEY-----",
    ):
        assert "not a PEM public key or certificate" in refusal(garbage)
    empty = tmp_path / "empty.pem"
    empty.touch()
    assert "not a PEM public key or certificate" in refusal(str(empty))
    der = tmp_path / "key.der"
    public = issuer("ES256").private.public_key()
    der.write_bytes(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert "not a PEM public key or certificate" in refusal(str(der))


def test_what_is_no_file_is_refused(tmp_path: Path):
    key = "".join(issuer("ES256").public_pem.splitlines()[1:-1])
    for missing in (
        str(tmp_path / "missing.pem"),
        str(tmp_path),
        key,
        "x" * 300,
        "x" * 5000,
        "a\0b",
        "~nobody-at-all/k",
        " ",
    ):
        sentence = refusal(missing)
        assert "neither a PEM key nor a file that can be read" in sentence
        assert not missing.strip() or missing not in sentence


def test_a_file_that_never_ends_is_refused():
    assert "TASKWARD_PUBLIC_KEY" in refusal("/dev/zero")


@pytest.mark.parametrize(
    ("length", "expected"),
    [(32, ("HS256",)), (47, ("HS256",)), (48, ("HS256", "HS384")), (63, ("HS256", "HS384")), (64, ALGORITHMS[:3])],
)
def test_a_secret_verifies_what_it_is_long_enough_for(length: int, expected: tuple[str, ...]):
    assert algorithms(load_keys(secrets=[SECRET[:length]])) == expected
    if "HS512" not in expected:
        with pytest.raises(
            KeyConfigurationError, match=r"^TASKWARD_ALGORITHMS names none .* HS512 from 64 bytes on\.$"
        ):
            load_keys(secrets=[SECRET[:length]], algorithms=["HS512"])


def test_a_public_key_verifies_what_its_kind_allows_and_the_settings_do_not_forbid():
    rsa_family = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
    families = dict.fromkeys(rsa_family, rsa_family) | dict.fromkeys(("EdDSA", "Ed25519"), ("EdDSA",))
    for algorithm in ASYMMETRIC:
        pem = issuer(algorithm).public_pem
        assert algorithms(load_keys(public_key=pem)) == families.get(algorithm, (algorithm,))
        assert algorithms(load_keys(public_key=pem, algorithms=[algorithm, "HS256"])) == (canonical(algorithm),)
        with pytest.raises(KeyConfigurationError, match="of a kind that TASKWARD_ALGORITHMS does not allow"):
            load_keys(public_key=pem, algorithms=["HS256"])


def test_no_key_can_be_made_for_an_algorithm_of_the_other_kind():
    public = issuer("ES256").private.public_key()
    for algorithm in ALGORITHMS:
        symmetric = algorithm.startswith("HS")
        with pytest.raises(ValueError, match="have no algorithm in common"):
            VerificationKey(("HS256", "ES256", canonical(algorithm)), public if symmetric else SECRET)
        with pytest.raises(ValueError, match="have no algorithm in common"):
            VerificationKey((canonical(algorithm),), public if symmetric else SECRET)


@pytest.mark.parametrize("name", ["none", "rs256", "RS1", "HS256 ", "ES256K", "dir"])
def test_an_algorithm_that_is_not_known_is_refused_by_a_sentence_with_those_that_are(name: str):
    with pytest.raises(KeyConfigurationError, match=r"^TASKWARD_ALGORITHMS may name ES256, .* and nothing else[.;]"):
        load_keys(secrets=[SECRET], algorithms=["HS256", name])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("eddsa", "EdDSA"),
        ("rs256", "RS256"),
        ("ES-256", "ES256"),
        ("ED25519", "Ed25519"),
        ("RS1", None),
        ("ES256K", None),
        ("none", None),
    ],
)
def test_an_algorithm_that_is_written_otherwise_is_recognized(written: str, meant: str | None):
    with pytest.raises(KeyConfigurationError) as refused:
        load_keys(secrets=[SECRET], algorithms=["HS256", written])
    hint = f"; did you mean {meant}?" if meant else "."
    assert str(refused.value).endswith(f"and nothing else{hint}")


def test_without_any_key_the_sentence_names_all_ways_to_give_one():
    with pytest.raises(KeyConfigurationError) as refused:
        load_keys()
    names = "JWT_SECRET", "ISSUER", "JWKS_URL", "PUBLIC_KEY"
    assert all(f"TASKWARD_{name}" in str(refused.value) for name in names)
    assert "BETTER_AUTH_SECRET" in str(refused.value)


def test_a_key_does_not_show_its_secret():
    assert SECRET not in repr(load_keys(secrets=[SECRET]).current)

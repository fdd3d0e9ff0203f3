"""Certificates of the laboratory: one authority, and a certificate for each device and server (ECDSA, P-256)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY = "ca"
YEARS = timedelta(days=3652)
DAY = timedelta(days=1)
DEVICE = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (*DEVICE, ExtendedKeyUsageOID.SERVER_AUTH)
"""A server is a client of the other one."""


class PkiError(ValueError):
    """It cannot be made; the text says why."""


def enrol(folder: Path, devices: Iterable[str], servers: Iterable[str] = (), days: int = 825) -> list[Path]:
    """Certificates for these common names, NAME.pem and NAME.key in the folder, and the authority ca.pem with ca.key,
    which is made if it is not there. That of a device cannot pass for a server's. Nothing is overwritten: PkiError,
    before anything is written."""
    servers = frozenset(servers)
    names = list(dict.fromkeys((*sorted(servers), *devices)))
    for name in names:
        if not name or len(name) > 64 or not name.isascii() or "/" in name or name.startswith(".") or name == AUTHORITY:
            raise PkiError(f"{name!r} is no name for a device")
    there = [path for name in names for path in _paths(folder, name) if path.exists()]
    if there:
        raise PkiError(f"{there[0]} exists; certificates are never overwritten")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority, signing = _authority(folder)
    made = []
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _begun(name, key.public_key(), authority.subject, timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(SERVER if name in servers else DEVICE), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
            .sign(signing, hashes.SHA256())
        )
        made.append(_write(folder, name, certificate, key))
    return made


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.pem", folder / f"{name}.key"


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    public, private = _paths(folder, AUTHORITY)
    if public.exists() != private.exists():
        raise PkiError(f"{folder}: of {public.name} and {private.name} one is missing")
    if public.exists():
        try:
            key = serialization.load_pem_private_key(private.read_bytes(), None)
            certificate = x509.load_pem_x509_certificate(public.read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise PkiError(f"{private}: cannot be read ({type(error).__name__})") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError(f"{private}: not a key of ours")
        return certificate, key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "flisr laboratory")])
    certificate = (
        _begun("flisr laboratory", key.public_key(), name, YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(folder, AUTHORITY, certificate, key)
    return certificate, key


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _begun(name: str, key: ec.EllipticCurvePublicKey, issuer: x509.Name, life: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _write(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Path:
    public, private = _paths(folder, name)
    octets = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for path, content, mode in (
        (private, octets, 0o600),
        (public, certificate.public_bytes(serialization.Encoding.PEM), 0o644),
    ):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    return public

"""Certificates of the laboratory: one authority, and a certificate for each device, server and client with a role
(ECDSA, P-256); renewed and revoked here as well."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.station import durable

AUTHORITY = "ca"
LIST = b"-----BEGIN X509 CRL-----"
YEARS = timedelta(days=3652)
DAY = timedelta(days=1)
DEVICE = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (*DEVICE, ExtendedKeyUsageOID.SERVER_AUTH)
"""A server is a client of the other one."""


class PkiError(ValueError):
    """It cannot be made; the text says why."""


ROLES = x509.ObjectIdentifier("1.2.840.10070.8.1")
"""IECUserRoles of IEC 62351-8."""
LIST_DAYS = 30
"""A list of revoked certificates is in time for so long."""


def enrol(
    folder: Path,
    devices: Iterable[str],
    servers: Iterable[str] = (),
    roles: Mapping[str, bytes] | None = None,
    days: int = 825,
) -> list[Path]:
    """Certificates for these common names, NAME.pem and NAME.key in the folder, and the authority ca.pem with ca.key,
    which is made if it is not there. That of a device cannot pass for a server's. ``roles``: clients, with the value of
    their extension IECUserRoles. Nothing is overwritten: PkiError, before anything is written."""
    servers = frozenset(servers)
    roles = roles or {}
    names = list(dict.fromkeys((*sorted(servers), *devices, *roles)))
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
        builder = (
            _begun(name, key.public_key(), authority.subject, timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(SERVER if name in servers else DEVICE), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        )
        if name in roles:
            builder = builder.add_extension(x509.UnrecognizedExtension(ROLES, roles[name]), critical=False)
        made.append(_write(folder, name, builder.sign(signing, hashes.SHA256()), key))
    return made


def renew(folder: Path, names: Iterable[str], days: int = 825) -> list[Path]:
    """New keys and certificates in place of those of these names, which say the same otherwise. The former ones stay
    good until they are over or revoked. PkiError, before anything is written, if one is not there."""
    authority, signing = _authority_there(folder)
    former = [(name, _certificate(folder, name)) for name in names]
    made = []
    for name, old in former:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _begun(name, key.public_key(), authority.subject, timedelta(days=days))
        for extension in old.extensions:
            if extension.oid != x509.SubjectKeyIdentifier.oid:
                builder = builder.add_extension(extension.value, extension.critical)
        certificate = builder.sign(signing, hashes.SHA256())
        public, private = _paths(folder, name)
        durable.replace(private, _private(key), 0o600)
        durable.replace(public, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        made.append(public)
    return made


def revoke(folder: Path, names: Iterable[str], days: int = LIST_DAYS) -> int:
    """Put the certificates of these names on the authority's list, which stands behind its certificate in ca.pem, and
    make the list good for so many days from now; without names that only. How many are on it."""
    authority, signing = _authority_there(folder)
    public, _ = _paths(folder, AUTHORITY)
    now = datetime.now(UTC)
    on_it = {entry.serial_number: entry for entry in _revoked(public)}
    for certificate in [_certificate(folder, name) for name in names]:
        if certificate.issuer != authority.subject:
            raise PkiError(f"{certificate.subject.rfc4514_string()}: not of this authority")
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now)
        on_it.setdefault(certificate.serial_number, entry.build())
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.subject)
    builder = builder.last_update(now - timedelta(minutes=5)).next_update(now + timedelta(days=days))
    for revoked in on_it.values():
        builder = builder.add_revoked_certificate(revoked)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    made = (
        builder.add_extension(identifier, critical=False)
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        .sign(signing, hashes.SHA256())
    )
    content = authority.public_bytes(serialization.Encoding.PEM) + made.public_bytes(serialization.Encoding.PEM)
    durable.replace(public, content, 0o644)
    return len(on_it)


def _revoked(public: Path) -> list[x509.RevokedCertificate]:
    content = public.read_bytes()
    if LIST not in content:
        return []
    try:
        return list(x509.load_pem_x509_crl(content[content.index(LIST) :]))
    except ValueError:
        raise PkiError(f"{public}: its list of revoked certificates cannot be read") from None


def _certificate(folder: Path, name: str) -> x509.Certificate:
    public, _ = _paths(folder, name)
    if "/" in name or name == AUTHORITY:
        raise PkiError(f"{name!r} is no name for a device")
    try:
        return x509.load_pem_x509_certificate(public.read_bytes())
    except (OSError, ValueError) as error:
        raise PkiError(f"{public}: cannot be read ({type(error).__name__})") from None


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


def _authority_there(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    for path in _paths(folder, AUTHORITY):
        if not path.exists():
            raise PkiError(f"{path}: no such file")
    return _authority(folder)


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
    for path, content, mode in (
        (private, _private(key), 0o600),
        (public, certificate.public_bytes(serialization.Encoding.PEM), 0o644),
    ):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    return public


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

"""TLS as both ends use it (IEC 62351-3): certificates on both sides, one authority, TLS 1.2 at the least."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, NamedTuple

CRL = b"-----BEGIN X509 CRL-----"


class Identity(NamedTuple):
    """Files of one end: its certificate, its private key, and the authority that both ends trust."""

    certificate: Path
    private_key: Path
    authority: Path
    """May contain the authority's list of revoked certificates (CRL, PEM) as well, which then must be in time."""


class IdentityError(ValueError):
    """These files cannot be used; the text says which and why."""


def context(identity: Identity, server: bool) -> ssl.SSLContext:
    """Both ends must show a certificate of the authority, and one for their end: that of a member is for clients only
    (extended key usage), so that none can pass for a server. Host names are not looked at."""
    for path in identity:
        if not path.is_file():
            raise IdentityError(f"{path}: no such file")
    mode = identity.private_key.stat().st_mode & 0o777
    if mode & 0o077:
        raise IdentityError(f"{identity.private_key}: mode {mode:04o} lets others read the private key; expected 0600")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    try:
        made.load_cert_chain(identity.certificate, identity.private_key, password=_no_password)
        made.load_verify_locations(identity.authority)
        if CRL in identity.authority.read_bytes():
            made.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except (ssl.SSLError, OSError) as error:
        raise IdentityError(
            f"{identity.certificate}, {identity.private_key}, {identity.authority}: {error.args[-1]}"
        ) from None
    return made


def _no_password() -> bytes:
    """Nobody is there to type one."""
    return b""


def name_of(certificate: Any) -> str:
    """The subject's common name, of what ``getpeercert`` gave, or else its first DNS name; empty if there is none."""
    for part in (certificate or {}).get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return next((str(value) for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS"), "")


def end_of(certificate: Any) -> float:
    """When what ``getpeercert`` gave is over (s, UTC)."""
    return ssl.cert_time_to_seconds((certificate or {})["notAfter"])


def stamp_of(identity: Identity) -> tuple[tuple[int, int] | None, ...]:
    """Tells whether the files are others than before."""
    return tuple(_stamp(path) for path in identity)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def cause(error: Exception) -> str:
    """Why a connection did not come about or ended, in few words; what OpenSSL says begins with its own name for it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "silent"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error)

"""TLS as both ends use it (IEC 62351-3): certificates on both sides, one authority, TLS 1.2 at the least."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """Files of one end: its certificate, its private key, and the authority that both ends trust."""

    certificate: Path
    private_key: Path
    authority: Path


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

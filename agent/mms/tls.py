"""TLS of the MMS server after IEC 62351-3: certificates on both sides, one authority, its list of revoked ones.

Python's own TLS (OpenSSL), not libiec61850's: that one waits in the handshake with everything standing still, so one
client that connects and says nothing would stop the process that writes the latch.
"""

from __future__ import annotations

import base64
import calendar
import contextlib
import ssl
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.keyserver.tls import CRL, Identity, IdentityError, cause, context, end_of, name_of, stamp_of
from agent.mms import ber

__all__ = ["Credentials", "Identity", "IdentityError", "Peer", "cause", "load", "peer_of", "same_authority", "stamp_of"]

UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
CIPHERS: Final = "ECDHE+AESGCM"
"""For TLS 1.2: ephemeral keys and authenticated encryption only. Those of TLS 1.3 all are; OpenSSL chooses of them."""
OPTIONS: Final = (
    ssl.OP_NO_TICKET
    | ssl.OP_NO_RENEGOTIATION
    | ssl.OP_NO_COMPRESSION
    | ssl.OP_CIPHER_SERVER_PREFERENCE
    | ssl.OP_SINGLE_ECDH_USE
)
"""No tickets and no renegotiation: keys are renewed by a new association, in which certificate and list are looked at
again."""


class Credentials(NamedTuple):
    """What the server shows and whom it trusts, as the files were when they were read."""

    context: ssl.SSLContext
    stamp: object
    name: str
    until_s: float
    """End of its own certificate (UTC)."""
    list_until_s: float | None
    """Until when the list of revoked certificates is in time (UTC); None: there is none."""


class Peer(NamedTuple):
    """Who a client is, by its verified certificate."""

    name: str
    until_s: float
    certificate: bytes
    """DER."""


def load(identity: Identity) -> Credentials:
    """Read and try the files; IdentityError if a client of this authority could not accept this server."""
    stamp = stamp_of(identity)
    try:
        made = context(identity, server=True)
        seen = _own(identity)
        list_end = _list_end(identity.authority.read_bytes())
    except OSError as error:
        raise IdentityError(f"{error.filename or identity.authority}: {error.strerror}") from None
    made.num_tickets = 0
    return Credentials(restricted(made), stamp, name_of(seen), end_of(seen), list_end)


def restricted(made: ssl.SSLContext) -> ssl.SSLContext:
    """The context, with what IEC 62351-3 leaves of TLS."""
    made.set_ciphers(CIPHERS)
    made.options |= OPTIONS
    return made


def _own(identity: Identity) -> dict[str, Any]:
    """Our certificate as a client of the same authority sees it: a handshake with ourselves, in memory."""
    ours = context(identity, server=True)
    ours.verify_mode = ssl.CERT_NONE
    theirs = context(identity, server=False)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ours.wrap_bio(up, down, server_side=True)
    client = theirs.wrap_bio(down, up)
    try:
        for end in (client, server) * 4:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLError as error:
        raise IdentityError(
            f"{identity.certificate} is no certificate for a server of {identity.authority}: {cause(error)}"
        ) from None
    told = client.getpeercert()
    if not told:
        raise IdentityError(f"{identity.certificate}: no handshake with it")
    return told


def _list_end(authority: bytes) -> float | None:
    """nextUpdate of the lists (CRL) in a PEM file; the first one that ends."""
    ends = []
    # OpenSSL has taken the lists: one that is odd in another way only goes without a warning.
    with contextlib.suppress(ValueError, IndexError):
        for block in authority.split(CRL)[1:]:
            signed = ber.whole(base64.b64decode(block.partition(b"-----END")[0])).parts()[0]
            times = [part for part in signed.parts() if part.tag in (UTC_TIME, GENERALIZED_TIME)]
            for told in times[1:2]:
                form = "%y%m%d%H%M%SZ" if told.tag == UTC_TIME else "%Y%m%d%H%M%SZ"
                ends.append(calendar.timegm(time.strptime(told.content.decode(), form)))
    return float(min(ends)) if ends else None


def peer_of(connection: ssl.SSLSocket) -> Peer:
    """The client at the other end of a finished handshake; ValueError if it shows nothing that can be used."""
    certificate = connection.getpeercert(binary_form=True)
    told = connection.getpeercert()
    if not certificate or not told:
        raise ValueError("no certificate")
    peer = Peer(name_of(told), end_of(told), certificate)
    if not peer.name:
        raise ValueError("a certificate without a name")
    # A resumed session does not look at the time again.
    if peer.until_s <= time.time():
        raise ValueError("certificate has expired")
    return peer


def same_authority(one: Path, other: Path) -> bool:
    """Whether two files have an authority in common; IdentityError if one cannot be read."""
    found = []
    for path in (one, other):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            made.load_verify_locations(path)
        except (ssl.SSLError, OSError) as error:
            raise IdentityError(f"{path}: {error.args[-1]}") from None
        found.append(set(made.get_ca_certs(binary_form=True)))
    return bool(found[0] & found[1])

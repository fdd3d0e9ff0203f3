"""One GOOSE stream as publisher and subscriber both know it: control block, addresses, timing (from SCL)."""

from __future__ import annotations

from dataclasses import dataclass

from agent.goose.codec import CodecError

RGOOSE_PORT = 102


@dataclass(frozen=True, slots=True)
class Stream:
    """A GSEControl and its address. Plain values only, so that it travels as JSON."""

    gocb_ref: str
    """``IED+LD/LLN0$GO$name``."""
    dat_set: str
    """``IED+LD/LLN0$name``."""
    go_id: str
    appid: int
    conf_rev: int
    b_types: tuple[str, ...]
    """Basic types of the members, in order; empty on a subscriber that takes any data set."""
    mac: str = ""
    """Layer 2 destination, ``01-0C-CD-01-00-01`` or with colons."""
    vlan: tuple[int, int] | None = None
    """(identifier, priority); None: untagged."""
    min_ms: int = 4
    """First retransmission interval."""
    max_ms: int = 1000
    """Last one (heartbeat)."""
    group: str = ""
    """Multicast group of R-GOOSE; empty: layer 2."""
    port: int = RGOOSE_PORT

    @property
    def destination(self) -> bytes:
        """The MAC address as six octets."""
        return mac_octets(self.mac)

    @property
    def routed(self) -> bool:
        """R-GOOSE."""
        return bool(self.group)


def mac_octets(text: str) -> bytes:
    """Six octets of a MAC address written with hyphens or colons."""
    try:
        octets = bytes.fromhex(text.replace("-", "").replace(":", ""))
    except ValueError:
        octets = b""
    if len(octets) != 6:
        raise CodecError(f"{text!r} is no MAC address", "unencodable")
    return octets

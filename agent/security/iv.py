"""IVs that never come twice with one key (NIST SP 800-38D, 8.2), pure: the disk is ``agent.station.numbers``.

``fixed field 4 octets (who publishes) · invocation counter 8 octets``

One counter serves all keys of a process and never goes back. Each process takes a whole block, of which the end is on
disk before the first IV is used: whatever becomes of the process, the next one begins behind the block. A block lasts
for 35 years at 1,000 frames a second, so that nothing is written while the process runs.

Where no mark can be read (the first start, a lost or damaged file, no state directory at all) the counter begins at a
random place of 2^63. Two beginnings of the same publisher meet with a chance below 2^-22 even if each were used for ten
years; the standard's other construction (8.2.2, random IVs) relies on nothing else.
"""

from __future__ import annotations

import hashlib
import secrets

from agent.security.frames import FrameError

FIXED = 4
COUNTER = 8
BLOCK = 1 << 40
LIMIT = 1 << 64
FIRST_LIMIT = 1 << 63
"""Beginnings lie below: what follows is room for 8 million starts."""


class IvError(FrameError):
    """There is none left: nothing is signed any more."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "iv-exhausted")


def fixed_field(publisher: str) -> bytes:
    """Four octets for a publisher's name. That no two names of a feeder share them is checked when it is compiled."""
    return hashlib.sha256(publisher.encode()).digest()[:FIXED]


class Ivs:
    """The IVs of one block, each once."""

    __slots__ = ("_end", "_fixed", "_next")

    def __init__(self, fixed: bytes, block: range) -> None:
        if len(fixed) != FIXED or not 0 <= block.start <= block.stop <= LIMIT:
            raise ValueError("no block of IVs")
        self._fixed = fixed
        self._next = block.start
        self._end = block.stop

    def take(self) -> bytes:
        """The next one; IvError when the block is used up."""
        number = self._next
        if number >= self._end:
            raise IvError("all IVs of the block are used")
        self._next = number + 1
        return self._fixed + number.to_bytes(COUNTER, "big")


def beginning() -> int:
    """A random place to begin at."""
    return secrets.randbelow(FIRST_LIMIT)


def block(mark: int, size: int = BLOCK) -> range:
    """The block behind a mark; its end is the next mark. IvError if there is no room left."""
    if not 0 <= mark <= LIMIT - size:
        raise IvError("the counter of IVs is used up: new keys and a new state directory are needed")
    return range(mark, mark + size)


def passing() -> Ivs:
    """For a process without a state directory (a command, a simulated device): random from the first octet on."""
    return Ivs(secrets.token_bytes(FIXED), block(beginning()))

"""The keys of one group in time: who signs now, and which key a frame may still bear. Pure, times are µs UTC.

=================  ==========================================  ====================================================
key                when                                        what it does
=================  ==========================================  ====================================================
next               before its ``from``                         verifies already: a publisher's clock may be ahead
current            ``from`` is past, no later one is, nor is   signs and verifies
                   ``until``
previous           since the next one's ``from``, or its own   verifies for the grace: a publisher's clock may be
                   ``until``                                   behind, and frames may be on their way
expired            after the grace                             is refused (``expired-key``)
=================  ==========================================  ====================================================

Keys without times are current from the beginning, the first of them signs. If no key is current, the next one signs
ahead of its time, and if there is none, the last one after its time: whether that is believed is for the hearer to
say, and a publisher that falls silent would be no safer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from agent.security.frames import FrameError, Key

GRACE_S = 300
MINUTE_US = 60_000_000
MINUTES_MAX = 0x7FFF
EVER = 1 << 63
_BEGINNING = -1


class Period(NamedTuple):
    """What holds from ``since_us`` to before ``until_us``."""

    key: Key
    time_to_next_min: int
    since_us: int
    until_us: int


class KeyGroup:
    """See the module. One key at least."""

    def __init__(self, keys: Iterable[Key], grace_s: int = GRACE_S) -> None:
        self.keys = tuple(keys)
        if not self.keys:
            raise ValueError("a group without keys")
        self.grace_s = grace_s
        self._by_time = sorted(self.keys, key=_begins)
        """Of equal times the first in the file comes first."""
        starts = sorted({_begins(key) for key in self.keys})
        self._found: dict[int, tuple[Key, int]] = {}
        for key in self.keys:
            following = next((start for start in starts if start > _begins(key)), EVER)
            end = min(following, _ends(key))
            self._found[key.identifier] = (key, EVER if end == EVER else end + grace_s * 1_000_000)
        edges = {_begins(key) for key in self.keys} | {_ends(key) for key in self.keys}
        self._edges = sorted(edge for edge in edges if 0 <= edge < EVER)

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys)

    def find(self, identifier: int, now_us: int = 0) -> Key:
        """The key that a frame names, if it may still be used; FrameError otherwise. ``now_us`` 0: not judged."""
        found = self._found.get(identifier)
        if found is None:
            raise FrameError(f"key {identifier} is not known", "unknown-key")
        if now_us >= found[1]:
            raise FrameError(f"key {identifier} has expired", "expired-key")
        return found[0]

    def refused_from_us(self, identifier: int) -> int:
        """From when on frames may not bear this key any more; :data:`EVER`: they always may."""
        return self._found[identifier][1]

    def signing(self, now_us: int) -> Key:
        """The key that signs."""
        begun = [key for key in self._by_time if _begins(key) <= now_us]
        current = [key for key in begun if now_us < _ends(key)]
        if current:
            last = _begins(current[-1])
            return next(key for key in current if _begins(key) == last)
        if len(begun) < len(self._by_time):
            return self._by_time[len(begun)]
        return max(self._by_time, key=_ends)

    def period(self, now_us: int) -> Period:
        """The signing key, the minutes to the next one, and how long both stay so."""
        key = self.signing(now_us)
        until = next((edge for edge in self._edges if edge > now_us), EVER)
        upcoming = next((_begins(k) for k in self._by_time if _begins(k) > max(now_us, _begins(key))), None)
        if upcoming is None:
            return Period(key, key.time_to_next_min, now_us, until)
        minutes = min(-((now_us - upcoming) // MINUTE_US), MINUTES_MAX)
        return Period(key, minutes, now_us, min(until, upcoming - (minutes - 1) * MINUTE_US))


def _begins(key: Key) -> int:
    return _BEGINNING if key.valid_from_us is None else key.valid_from_us


def _ends(key: Key) -> int:
    return EVER if key.valid_until_us is None else key.valid_until_us

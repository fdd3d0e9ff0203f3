"""Publishers and subscribers of one link: payloads go to the subscriber whose address they bear, deadlines are kept.

The owner waits for :meth:`Endpoint.fileno` and :attr:`Endpoint.deadline`, then calls :meth:`Endpoint.receive` and
:meth:`Endpoint.timer`. No clock is read here: receive times are the link's, ``now`` is the caller's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from agent.goose.frame import address
from agent.goose.inbox import Inbox
from agent.goose.layout import MEMBERS, SQ_NUM
from agent.goose.link import L2, Link, Udp
from agent.goose.opener import Opener
from agent.goose.publisher import Publisher, publisher_quality
from agent.goose.stream import Stream
from agent.goose.subscriber import Accepted, Drop, Dropped, Lost, Subscriber
from agent.security.ring import KeyGroup


class Heard(NamedTuple):
    """An accepted frame (new state or repetition) and when the kernel took it, µs UTC."""

    subscriber: Subscriber[Any]
    result: Accepted[Any]
    t_us: int


class Silent(NamedTuple):
    """A stream whose time to live has run out."""

    subscriber: Subscriber[Any]
    result: Lost


def link_spec(
    streams_in: Iterable[Stream], interface: str = "", udp_port: int = 0, interface_address: str = "127.0.0.1"
) -> L2 | Udp:
    """The link that hears these streams: UDP if a port is given, else layer 2 on ``interface``."""
    if udp_port:
        groups = tuple(dict.fromkeys(stream.group for stream in streams_in))
        return Udp(groups, udp_port, interface_address)
    return L2(interface, tuple(dict.fromkeys(stream.mac for stream in streams_in)))


class Endpoint:
    """See the module."""

    def __init__(
        self,
        link: Link,
        publishers: Iterable[Publisher[Any]] = (),
        subscribers: Iterable[Subscriber[Any]] = (),
        urgent: Mapping[int, frozenset[str]] | None = None,
    ) -> None:
        """``urgent``: of subscribers (by number), the members of the data set whose change cannot wait while the link
        is relaxed; of all others no change can. It matters for a link that is an :class:`agent.goose.inbox.Inbox`."""
        self.link = link
        self._inbox = link if isinstance(link, Inbox) else None
        self._urgent = urgent or {}
        self.publishers = tuple(publishers)
        self.subscribers = tuple(subscribers)
        self._timed: tuple[Publisher[Any] | Subscriber[Any], ...] = (*self.publishers, *self.subscribers)
        self.foreign = 0
        """Payloads for none of our subscribers."""
        self._by_address: dict[bytes, list[Subscriber[Any]]] = {}
        for subscriber in self.subscribers:
            stream = subscriber.stream
            destination = b"" if stream.routed else stream.destination
            self._by_address.setdefault(destination + stream.appid.to_bytes(2, "big"), []).append(subscriber)
        self._number = {id(subscriber): number for number, subscriber in enumerate(self.subscribers)}
        self._routed = bool(self.subscribers) and self.subscribers[0].stream.routed
        self._opener = Opener(self.subscribers)
        if self._inbox is not None:
            self._inbox.open_by(self._opener)
            for number, subscriber in enumerate(self.subscribers):
                self._inbox.stream(number, *self._mask(subscriber, number))

    def fileno(self) -> int:
        """The link's."""
        return self.link.fileno()

    @property
    def deadline(self) -> int | None:
        """When to call :meth:`timer`, µs UTC."""
        first: int | None = None
        for timed in self._timed:
            due = timed.deadline
            if due is not None and (first is None or due < first):
                first = due
        return first

    def publish(self, publisher: Publisher[Any], message: Any, now: int) -> bool:
        """A new state, onto the wire; False if the system did not take the frame (it is repeated anyway)."""
        return self.link.send(publisher.publish(message, now), publisher.stream.group)

    def receive(self) -> list[Heard]:
        """Everything that has come and was accepted; the rest is counted."""
        if self._inbox is not None:
            return self._taken(self._inbox)
        heard: list[Heard] = []
        for payload, _source, t_us in self.link.receive():
            subscriber, result = self.take(payload, t_us)
            if subscriber is not None and isinstance(result, Accepted):
                heard.append(Heard(subscriber, result, t_us))
        return heard

    def _taken(self, inbox: Inbox) -> list[Heard]:
        """Of a new state, repetitions can wait; while relaxed, also changes of what is not urgent."""
        heard: list[Heard] = []
        for slot, payload in inbox.taken():
            t_us, shape, octets = slot.t_us, slot.shape, b""
            subscriber: Subscriber[Any] | None
            opened = self._opener.opened(shape, slot.found, payload, t_us) if shape >= 0 else None
            if opened is None:
                octets = payload[: slot.length]
                subscriber, result = self._search(octets, t_us)
            else:
                subscriber, result = opened
            if subscriber is not None and isinstance(result, Accepted):
                heard.append(Heard(subscriber, result, t_us))
                if result.new:
                    at = octets.find(subscriber.layout.opening) if octets else slot.found.at
                    if at >= 0:
                        slot.news_at, slot.news = at, self._number[id(subscriber)]
        return heard

    def _mask(self, subscriber: Subscriber[Any], number: int) -> tuple[bytes, bytes | None]:
        layout = subscriber.layout
        exact = layout.mask(lambda value: value == SQ_NUM)
        urgent = self._urgent.get(number)
        if urgent is None:
            return exact, None
        fields = [member.field for member in subscriber.data_set.members]
        matters = {MEMBERS + i for i, field in enumerate(fields) if field in urgent}
        return exact, layout.mask(lambda value: value < SQ_NUM + 1 or (value >= MEMBERS and value not in matters))

    def take(self, payload: bytes, t_us: int) -> tuple[Subscriber[Any] | None, Accepted[Any] | Dropped]:
        """One payload, from a link or a recording."""
        return self._opener.take(payload, t_us) or self._search(payload, t_us)

    def _search(self, payload: bytes, t_us: int) -> tuple[Subscriber[Any] | None, Accepted[Any] | Dropped]:
        """Whose it is, by asking them."""
        result: Accepted[Any] | Dropped = Dropped(Drop.FOREIGN)
        for subscriber in self._candidates(payload):
            result = subscriber.receive(payload, t_us)
            if not (isinstance(result, Dropped) and result.reason is Drop.FOREIGN):
                return subscriber, result
        self.foreign += 1
        return None, result

    def _candidates(self, payload: bytes) -> Sequence[Subscriber[Any]]:
        """By the address; all of them if that may be encrypted, and what stands in its place is chance."""
        found = self._by_address.get(self._address(payload), [])
        if self._routed and (payload[26:27] == b"\x0c" if payload[15:16] == b"\x02" else payload[22:23] != b"\0"):
            return (*found, *self.subscribers)
        return found

    def _address(self, payload: bytes) -> bytes:
        if self._routed:
            if payload[15:16] != b"\x02":
                return payload[34:36]
            return payload[45:47] if payload[26:27] == b"\x0c" else payload[33:35]
        return address(payload)

    def timer(self, now: int) -> list[Silent]:
        """Send what is due, and name the streams that have gone silent."""
        for publisher in self.publishers:
            payload = publisher.timer(now)
            if payload is not None:
                self.link.send(payload, publisher.stream.group)
        silent: list[Silent] = []
        for subscriber in self.subscribers:
            lost = subscriber.timer(now)
            if lost is not None:
                silent.append(Silent(subscriber, lost))
        return silent

    def rekey(self, keys: KeyGroup) -> None:
        """Other keys from the next frame on, sent or heard; CodecError, and nothing has changed, if they do not fit."""
        for publisher in self.publishers:
            publisher.check(keys)
        for publisher in self.publishers:
            publisher.rekey(keys)
        for subscriber in self.subscribers:
            subscriber.rekey(keys)
        self._opener = Opener(self.subscribers)
        if self._inbox is not None:
            self._inbox.open_by(self._opener)

    def time_quality(self, good: bool, quality: int | None = None) -> None:
        """Whether our clock can be relied on decides whether the age of what is heard is checked. ``quality``: the
        octet for every t that is published from now on (IEC 61850-8-1); None: no more is known."""
        octet = publisher_quality(good, quality)
        for publisher in self.publishers:
            publisher.quality = octet
        for subscriber in self.subscribers:
            subscriber.time_good = good

    def numbers(self) -> dict[str, int]:
        """Last stNum by control block reference, for a high-water mark on disk."""
        return {publisher.stream.gocb_ref: publisher.st_num for publisher in self.publishers}

    def counters(self) -> dict[str, int]:
        """By cause, over all streams."""
        total: Counter[str] = Counter()
        for subscriber in self.subscribers:
            total.update(subscriber.counters)
        total["foreign"] += self.foreign
        total["sent"] = sum(publisher.sent for publisher in self.publishers)
        return dict(total)

    def stream_counters(self) -> dict[str, dict[str, int]]:
        """By control block reference and cause."""
        return {subscriber.stream.gocb_ref: dict(subscriber.counters) for subscriber in self.subscribers}

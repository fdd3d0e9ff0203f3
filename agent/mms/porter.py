"""The door of the MMS server: lets clients in, knows who each is, and carries what they say to the server and back.

The server (libiec61850) listens on a port of loopback that only this door uses: who comes there from elsewhere is shown
out (:class:`agent.mms.server.MmsServer`). Nothing here waits: not for a handshake, not for a client that does not read.
One thread; the owner calls :meth:`Porter.turn` when the file descriptor is readable and :meth:`Porter.tick` now and
then.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from agent.mms import roles
from agent.mms.association import Association, EndedError, Warden
from agent.mms.audit import Audit
from agent.mms.callers import Caller
from agent.mms.limits import Limits
from agent.mms.roles import EVERYTHING, Grant, Right
from agent.mms.tcp import Patience, keep_alive
from agent.mms.tls import Credentials, Identity, IdentityError, cause, load, peer_of, stamp_of

HANDSHAKE_S: Final = 5.0
ARRIVALS_MAX: Final = 8
"""Handshakes under way at a time, and of one turn."""
BACKLOG: Final = 128
"""Connections that wait to be taken, eight a turn: where this is full an honest client waits for a second."""
LOOK_S: Final = 1.0
"""So often the certificate's files are looked at."""
PATIENCE: Final = Patience(idle_s=30, again_s=10, lost_s=60)
"""With a client that has gone without a word."""
LOOPBACK: Final = "127.0.0.1"


class Doorway(NamedTuple):
    """Where and how clients are let in."""

    address: str
    port: int
    identity: Identity | None = None
    """None: plain text, for a laboratory."""
    limits: Limits = Limits()
    area: str = ""
    """Roles for other areas of responsibility do not count; empty: areas are not looked at."""


STRANGER: Final = Caller("", False)


@dataclass(slots=True, eq=False)
class _Arrival:
    """A client in its handshake."""

    socket: ssl.SSLSocket
    address: str
    until: float
    events: int = select.EPOLLIN


class Porter:
    """See the module. ``inner``: the server's port on loopback; ``more``: its further ones."""

    def __init__(self, doorway: Doorway, inner: int, audit: Audit, more: Sequence[int] = ()) -> None:
        """IdentityError if the certificate's files cannot be used, OSError if the address cannot."""
        self._identity = doorway.identity
        self._credentials: Credentials | None = None if doorway.identity is None else load(doorway.identity)
        self._ports = (inner, *more)
        self._limits = doorway.limits
        self._audit = audit
        self._area = doorway.area
        self._arrivals: dict[int, _Arrival] = {}
        self._inside: dict[str, Association] = {}
        self._by_fd: dict[int, Association] = {}
        self._look_at = 0.0
        self.problem = ""
        """Why changed files of the certificate are not used."""
        family = socket.AF_INET6 if ":" in doorway.address else socket.AF_INET
        self._listener = socket.create_server((doorway.address, doorway.port), family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)

    def fileno(self) -> int:
        """Readable when there is something to do."""
        return self._epoll.fileno()

    @property
    def connections(self) -> int:
        """Clients that were let in."""
        return len(self._inside)

    @property
    def ends(self) -> dict[str, float]:
        """What will be over, and when (UTC)."""
        if self._credentials is None:
            return {}
        of_list = self._credentials.list_until_s
        found = {"the server's certificate": self._credentials.until_s}
        return found if of_list is None else found | {"the authority's list of revoked certificates": of_list}

    def caller(self, inner: str) -> Caller:
        """Who speaks on a connection, as the server sees its address."""
        association = self._inside.get(inner)
        if association is None:
            return STRANGER
        return Caller(association.warden.who, Right.CONTROL in association.warden.grant.rights)

    def knows(self, inner: str) -> bool:
        """Whether a connection to the server is one of this door."""
        return inner in self._inside

    def shown_out(self, inner: str) -> None:
        """Somebody of this machine came to the server's own port."""
        self._audit.refused("", inner, "came to the server's own port")

    # --- the loop ----------------------------------------------------------------------------------------------------

    def turn(self) -> bool:
        """Do what can be done without waiting; whether the server has something new to read."""
        now = time.monotonic()
        new = False
        for fd, _event in self._epoll.poll(0):
            if fd == self._listener.fileno():
                self._accept(now)
            elif fd in self._arrivals:
                new |= self._shake(self._arrivals[fd], now)
            elif fd in self._by_fd:
                new |= self._move(self._by_fd[fd], now)
        return new

    def tick(self) -> None:
        """End what is over."""
        now = time.monotonic()
        for arrival in list(self._arrivals.values()):
            if now > arrival.until:
                self._turn_away(arrival, f"no handshake within {HANDSHAKE_S:g} s")
        for association in list(self._inside.values()):
            if now > association.ends_at:
                self._end(association, association.why)
            elif now - association.heard_at > self._limits.idle_s:
                self._end(association, "idle")
            elif late := association.late(now):
                self._end(association, late)
            elif association.waiting or association.behind:
                self._move(association, now)
        if self._identity is not None and now >= self._look_at:
            self._look_at = now + LOOK_S
            self._renew(self._identity)

    def close(self) -> None:
        """End all."""
        for arrival in list(self._arrivals.values()):
            self._turn_away(arrival, "the agent stops")
        for association in list(self._inside.values()):
            self._end(association, "the agent stops")
        self._epoll.close()
        self._listener.close()

    # --- arriving ----------------------------------------------------------------------------------------------------

    def _accept(self, now: float) -> None:
        for _ in range(ARRIVALS_MAX - len(self._arrivals)):
            try:
                client, peer = self._listener.accept()
            except OSError:
                return
            address = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
            why = self._full(peer[0])
            if why:
                self._audit.refused("", address, why)
                client.close()
                continue
            client.setblocking(False)
            with contextlib.suppress(OSError):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(client, PATIENCE)
            if self._credentials is None:
                self._let_in(client, address, "", EVERYTHING, "", now)
                continue
            try:
                secured = self._credentials.context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            except OSError as error:
                self._audit.refused("", address, cause(error))
                client.close()
                continue
            arrival = _Arrival(secured, address, now + HANDSHAKE_S)
            self._arrivals[secured.fileno()] = arrival
            self._epoll.register(secured, arrival.events)
        if len(self._arrivals) >= ARRIVALS_MAX:
            # Others wait in the listener's queue; without this it would ring all the time.
            self._epoll.modify(self._listener, 0)

    def _full(self, host: str) -> str:
        here = Counter(
            address.rpartition(":")[0].strip("[]")
            for address in (
                *(one.address for one in self._inside.values()),
                *(one.address for one in self._arrivals.values()),
            )
        )
        if len(self._inside) >= self._limits.clients:
            return f"{self._limits.clients} clients are connected"
        if here[host] >= self._limits.of_address:
            return f"{self._limits.of_address} clients of this address are connected"
        return ""

    def _shake(self, arrival: _Arrival, now: float) -> bool:
        try:
            arrival.socket.do_handshake()
            peer = peer_of(arrival.socket)
        except ssl.SSLWantReadError:
            self._want(arrival, select.EPOLLIN)
            return False
        except ssl.SSLWantWriteError:
            self._want(arrival, select.EPOLLOUT)
            return False
        except (OSError, ValueError) as error:
            self._turn_away(arrival, cause(error))
            return False
        self._gone(arrival)
        granted = roles.grant(peer.certificate, self._area)
        if len(self._inside) >= self._limits.clients:
            self._audit.refused(peer.name, arrival.address, f"{self._limits.clients} clients are connected")
            arrival.socket.close()
            return False
        version = f"{arrival.socket.version()} {(arrival.socket.cipher() or ('',))[0]}"
        self._let_in(arrival.socket, arrival.address, peer.name, granted, version, now, peer.until_s - time.time())
        return True

    def _want(self, arrival: _Arrival, events: int) -> None:
        if arrival.events != events:
            arrival.events = events
            self._epoll.modify(arrival.socket, events)

    def _gone(self, arrival: _Arrival) -> None:
        del self._arrivals[arrival.socket.fileno()]
        self._epoll.unregister(arrival.socket)
        self._epoll.modify(self._listener, select.EPOLLIN)

    def _turn_away(self, arrival: _Arrival, why: str) -> None:
        self._audit.refused("", arrival.address, why)
        self._gone(arrival)
        arrival.socket.close()

    def _let_in(
        self,
        client: socket.socket,
        address: str,
        who: str,
        granted: Grant,
        version: str,
        now: float,
        left_s: float = float("inf"),
    ) -> None:
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            server.bind((LOOPBACK, 0))
            association = Association(client, server, address, Warden(who, granted, self._audit), now)
            if left_s < self._limits.session_s:
                association.ends_at, association.why = now + left_s, "its certificate is over"
            elif self._credentials is not None:
                association.ends_at, association.why = now + self._limits.session_s, "at the end of its time"
            # Known before the server can see it.
            self._inside[association.inner] = association
            server.setblocking(False)
            association.port = self._emptiest()
            with contextlib.suppress(BlockingIOError):
                server.connect((LOOPBACK, association.port))
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self._inside = {key: one for key, one in self._inside.items() if one.server is not server}
            self._audit.refused(who, address, f"the server cannot be reached: {error.strerror or error}")
            client.close()
            server.close()
            return
        for end in (client, server):
            self._by_fd[end.fileno()] = association
            self._epoll.register(end, select.EPOLLIN)
        self._audit.associated(who, address, granted.words, version, granted.passed_over)

    def _emptiest(self) -> int:
        """The server's port with the fewest clients."""
        used = Counter(one.port for one in self._inside.values())
        return min(self._ports, key=lambda port: used[port])

    # --- inside ------------------------------------------------------------------------------------------------------

    def _move(self, association: Association, now: float) -> bool:
        if association.client.fileno() < 0:
            return False  # ended in this very turn
        try:
            new = association.turn(now)
        except EndedError as error:
            self._end(association, str(error))
            return True
        self._epoll.modify(association.client, select.EPOLLIN | (select.EPOLLOUT if association.waiting else 0))
        self._epoll.modify(association.server, select.EPOLLIN | (select.EPOLLOUT if association.behind else 0))
        return new

    def _end(self, association: Association, why: str) -> None:
        for end in (association.client, association.server):
            self._epoll.unregister(end)
            del self._by_fd[end.fileno()]
        del self._inside[association.inner]
        association.close()
        self._audit.ended(association.warden.who, association.address, why)

    def _renew(self, identity: Identity) -> None:
        """Use other files from now on; who is inside shows its certificate again."""
        assert self._credentials is not None
        if stamp_of(identity) == self._credentials.stamp:
            return
        try:
            self._credentials = load(identity)
        except IdentityError as error:
            self.problem = str(error)
            return
        self.problem = ""
        for association in list(self._inside.values()):
            self._end(association, "certificates or the list of revoked ones have changed")

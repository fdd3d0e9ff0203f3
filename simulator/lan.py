"""Virtual local area networks without a tool: network namespaces, veth pairs and one bridge, by system calls.

The calling process goes into a namespace of its own that holds the station-bus bridge (:meth:`Lan.open`, with one
thread running); every host is a namespace beside it. Nothing has a name in the file system: when the processes and this
object are gone, so is the network. As root a network namespace is enough; an ordinary user gets it inside a user
namespace, where he is root; where neither is allowed, :func:`permitted` says so and :class:`Loopback` stands in (the
host's own loopback interface, for multicast over UDP).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

CLONE_NEWNET = 0x4000_0000
CLONE_NEWUSER = 0x1000_0000
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
BRIDGE = "station"
T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)


class LanError(OSError):
    """The kernel does not allow it; the text says what."""


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise LanError(number, f"{what}: {os.strerror(number)}")


def _unshare_all() -> None:
    """Into a new network namespace, as an ordinary user inside a new user namespace with our user mapped to root."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _check(_libc.unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)")
        return
    _check(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNET), "unshare(CLONE_NEWUSER|CLONE_NEWNET)")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")


def permitted() -> str:
    """Empty if this process may have namespaces with a bridge of its own, else the reason (tried in a child)."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read)
            _unshare_all()
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW):
                pass
            from pyroute2 import IPRoute

            with IPRoute() as route:
                route.link("add", ifname=BRIDGE, kind="bridge")
            status = 0
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(write, str(error).encode()[:500])
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        why = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return "" if status == 0 else why or "not permitted"


def in_thread(function: Callable[[], T]) -> T:
    """Run in a fresh thread (namespaces belong to threads) and return or raise what it did."""
    result: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            result.append(function())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body, name="namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def _quiet_ipv6() -> None:
    """No neighbour discovery or router solicitation: a captured frame is a frame of ours."""
    for scope in ("default", "all"):
        with contextlib.suppress(OSError):
            Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("1", encoding="ascii")


class Host(Protocol):
    """Where a process runs."""

    name: str

    def enter(self) -> None:
        """Put the calling thread there."""


class Namespace:
    """One host: a network namespace, kept alive by its descriptor."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fd = in_thread(self._create)

    @staticmethod
    def _create() -> int:
        _check(_libc.unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)")
        _quiet_ipv6()
        return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self) -> None:
        """The calling thread's sockets and children are this host's from now on."""
        _check(_libc.setns(self.fd, CLONE_NEWNET), f"setns({self.name})")

    def run(self, function: Callable[[], T]) -> T:
        """Call a function on this host."""

        def body() -> T:
            self.enter()
            return function()

        return in_thread(body)


class Processes:
    """Children that die with us: by the kernel if we are killed, by :meth:`stop` otherwise. By process id only."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []
        # What a killed child leaves behind becomes ours, so that nothing stays.
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def spawn(
        self,
        argv: Sequence[str],
        host: Host | None = None,
        output: IO[bytes] | int | None = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program on a host; its session is its own, so that Ctrl-C reaches only us."""
        parent = os.getpid()

        def prepare() -> None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            if host is not None:
                host.enter()

        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else {**os.environ, **environment},
            cwd=directory,
            preexec_fn=prepare,  # noqa: PLW1509 - only system calls, nothing that another thread could hold
            start_new_session=True,
        )
        self._children.append(child)
        return child

    def stop(self, patience_s: float = 3.0) -> None:
        """End all children and their children: politely, then not."""
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        end = time.monotonic() + patience_s
        for child in self._children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, end - time.monotonic()))
        for _ in range(50):
            left = [pid for pid in descendants(os.getpid()) if not _reap(pid)]
            if not left:
                break
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            threading.Event().wait(0.02)
        for child in self._children:
            child.poll()
        self._children.clear()


def _reap(pid: int) -> bool:
    """True if this was a dead child (now waited for)."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not Path(f"/proc/{pid}").exists()


def descendants(root: int) -> list[int]:
    """Process ids of all children of children, from /proc."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = Path(entry.path, "stat").read_text(errors="replace")
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return sorted(found - {root})
        found |= more


class Lan:
    """The station bus (a bridge here) and hosts with their links."""

    def __init__(self) -> None:
        self.hosts: dict[str, Namespace] = {}
        self._ports: dict[str, int] = {}
        self._bridges: dict[str, int] = {}
        self._route: Any = None

    @classmethod
    def open(cls) -> Lan:
        """Move this process (one thread, no way back) into a namespace with a bridge; LanError if forbidden."""
        lan = cls()
        _unshare_all()
        _quiet_ipv6()
        from pyroute2 import IPRoute

        lan._route = IPRoute()
        lan._up(lan._index("lo"))
        lan._bridge(BRIDGE)
        return lan

    def _index(self, name: str) -> int:
        return int(self._route.link_lookup(ifname=name)[0])

    def _up(self, index: int, **more: Any) -> None:
        self._route.link("set", index=index, state="up", **more)

    def _bridge(self, name: str) -> int:
        if name not in self._bridges:
            # Snooping would prune GOOSE groups nobody asked for by IGMP; a spanning tree would wait for 30 s.
            self._route.link("add", ifname=name, kind="bridge", br_mcast_snooping=0, br_stp_state=0)
            self._bridges[name] = self._index(name)
            self._up(self._bridges[name])
        return self._bridges[name]

    def host(self, name: str) -> Namespace:
        """A new host with nothing but its loopback."""
        host = Namespace(name)
        self.hosts[name] = host
        host.run(lambda: _bring_up("lo", None))
        return host

    def attach(self, host: Namespace, interface: str = "station", address: str | None = None) -> None:
        """A port of the bridge for this host; ``address`` as in 10.0.0.1/24."""
        port = f"p{len(self._ports)}"
        self._route.link("add", ifname=port, kind="veth", peer={"ifname": interface, "net_ns_fd": host.fd})
        self._ports[host.name] = self._index(port)
        self._up(self._ports[host.name], master=self._bridges[BRIDGE])
        host.run(lambda: _bring_up(interface, address))

    def join(self, one: Namespace, other: Namespace, interface: str = "process") -> None:
        """A cable between two hosts, the same interface name at both ends."""

        def add() -> None:
            from pyroute2 import IPRoute

            with IPRoute() as route:
                route.link("add", ifname=interface, kind="veth", peer={"ifname": interface, "net_ns_fd": other.fd})

        one.run(add)
        for host in (one, other):
            host.run(lambda: _bring_up(interface, None))

    def cut(self, *groups: Iterable[str]) -> None:
        """Split the station bus: each group of hosts on a bridge of its own, all others stay."""
        for number, group in enumerate(groups, 2):
            bridge = self._bridge(f"{BRIDGE}{number}")
            for name in group:
                self._up(self._ports[name], master=bridge)

    def unplug(self, name: str, plugged: bool = False) -> None:
        """Pull (or plug) a host's cable to the station bus."""
        self._route.link("set", index=self._ports[name], state="up" if plugged else "down")

    def heal(self) -> None:
        """All hosts on one bridge again."""
        for port in self._ports.values():
            self._up(port, master=self._bridges[BRIDGE])

    def close(self) -> None:
        """Let go of everything; namespaces end with their last process."""
        for host in self.hosts.values():
            os.close(host.fd)
        self.hosts.clear()
        if self._route is not None:
            self._route.close()
            self._route = None


def _bring_up(interface: str, address: str | None) -> None:
    from pyroute2 import IPRoute

    with IPRoute() as route:
        index = route.link_lookup(ifname=interface)[0]
        if address is not None:
            ip, _, length = address.partition("/")
            route.addr("add", index=index, address=ip, prefixlen=int(length or "24"))
        route.link("set", index=index, state="up")


class Loopback:
    """The host's own network in place of a namespace: for multicast over UDP where namespaces are forbidden."""

    name = "loopback"

    def enter(self) -> None:
        """Nothing to enter."""

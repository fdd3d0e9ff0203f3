"""Servers and members over real TLS: pulls, pushes, strangers, losses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.keyserver import client, payloads, pki, policy, server, store
from agent.keyserver.authority import Authority
from agent.keyserver.client import Heard, KeyClient
from agent.keyserver.payloads import Keys, Pull, Refused
from agent.keyserver.tls import Identity, IdentityError, context

WAIT_S = 20.0


class Running:
    """A server in a thread of its own, stopped by its own handle."""

    def __init__(self, file: Path) -> None:
        self.lines: list[str] = []
        self.server = server.KeyServer(policy.load(file), self.lines.append)
        self.loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        until(self.server.ready.is_set)

    def _run(self) -> None:
        self._task = self.loop.create_task(self.server.run())
        try:
            self.loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self.loop.close()

    def stop(self) -> None:
        if self._task is None or self.loop.is_closed():
            return
        self.loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(WAIT_S)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("pki")
    pki.enrol(made, ["F1", "R11", "stranger"], ["server1", "server2"])
    return made


def identity(folder: Path, name: str, authority: Path | None = None) -> Identity:
    return Identity(folder / f"{name}.pem", folder / f"{name}.key", authority or folder / "ca.pem")


def configured(folder: Path, place: Path, number: int = 1, port: int = 0, life: int = 60, peer: str = "") -> Path:
    file = place / f"server{number}.yaml"
    file.write_text(
        f"""
flisr-key-server: 1
number: {number}
listen: 127.0.0.1:{port}
certificate: {folder}/server{number}.pem
private-key: {folder}/server{number}.key
ca: {folder}/ca.pem
store: {place}/server{number}.store
takeover-s: 2
{peer}
groups:
  flisr: {{algorithm: hmac-sha256-128, life-s: {life}, ahead-s: {life // 2}, members: [F1, R11]}}
"""
    )
    return file


@contextmanager
def serving(file: Path) -> Iterator[Running]:
    running = Running(file)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def member(servers: list[tuple[str, int]], who: Identity) -> Iterator[list[Heard]]:
    """Everything that a member hears, as it comes."""
    heard: list[Heard] = []
    asking = KeyClient(servers, who, ["flisr"])
    asking.start()
    stop = threading.Event()

    def listen() -> None:
        while not stop.wait(0.02):
            heard.extend(asking.heard())

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        yield heard
    finally:
        stop.set()
        listening.join()
        asking.close()


def keys_in(heard: list[Heard]) -> list[Keys]:
    return [entry.message for entry in heard if isinstance(entry.message, Keys)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_members_pull_and_are_told_of_the_next_key(folder: Path, tmp_path: Path) -> None:
    with (
        serving(configured(folder, tmp_path, life=4)) as running,
        member([running.server.address], identity(folder, "F1")) as first,
        member([running.server.address], identity(folder, "R11")) as second,
    ):
        until(lambda: len(keys_in(first)) >= 3 and len(keys_in(second)) >= 3)
        known = {key.identifier: key.secret for told in keys_in(first) for key in told.keys}
        for told in keys_in(second):
            for key in told.keys:
                assert known.get(key.identifier, key.secret) == key.secret
        assert keys_in(first)[-1].sequence > keys_in(first)[0].sequence
        said = "\n".join(running.lines)
    assert "F1 connected" in said
    assert not any(secret.hex() in said or repr(secret) in said for secret in known.values())
    assert (tmp_path / "server1.store").stat().st_mode & 0o777 == 0o600


def test_a_stranger_gets_nothing(folder: Path, tmp_path: Path) -> None:
    """A certificate of our authority is not enough: the group's members are named."""
    with serving(configured(folder, tmp_path)) as running:
        with member([running.server.address], identity(folder, "stranger")) as heard:
            until(lambda: bool(heard))
            assert isinstance(heard[0].message, Refused)
        assert keys_in(heard) == []
        assert running.server.counters["refused"] == 1


def test_certificates_of_others_do_not_get_through(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another authority's, on either side; one that is over; none at all."""
    other = tmp_path / "other"
    pki.enrol(other, ["F1"])
    old = tmp_path / "old"
    old.mkdir()
    for name in ("ca.pem", "ca.key"):
        (old / name).write_bytes((folder / name).read_bytes())
    monkeypatch.setattr(pki, "DAY", timedelta(days=30))
    pki.enrol(old, ["F1"], days=-1)
    with serving(configured(folder, tmp_path)) as running:
        for who in (
            identity(other, "F1", folder / "ca.pem"), identity(folder, "F1", other / "ca.pem"), identity(old, "F1"),
        ):  # fmt: skip
            with member([running.server.address], who) as heard:
                until(lambda: bool(heard))
                assert heard[0].message is None
                assert heard[0].why
        with pytest.raises(OSError), socket.create_connection(running.server.address) as plain:  # noqa: PT011, PT012
            plain.settimeout(5)
            bare = ssl.create_default_context(cafile=folder / "ca.pem")
            bare.check_hostname = False
            with bare.wrap_socket(plain) as link:
                link.sendall(payloads.encode(Pull("flisr")))
                if not link.recv(1):
                    raise ConnectionResetError
        until(lambda: running.server.counters["handshake"] == 4)
        assert running.server.counters["pulled"] == 0
        refused = [line for line in running.lines if "refused: " in line]
        assert any("certificate has expired" in line for line in refused), refused


def test_a_member_cannot_pass_for_a_server(folder: Path, tmp_path: Path) -> None:
    """Who has stolen a device's certificate must not hand out keys with it."""
    file = configured(folder, tmp_path)
    file.write_text(file.read_text().replace("/server1.pem", "/R11.pem").replace("/server1.key", "/R11.key"))
    with serving(file) as false, member([false.server.address], identity(folder, "F1")) as heard:
        until(lambda: bool(heard))
        assert "certificate" in heard[0].why
        assert keys_in(heard) == []


def test_a_disk_that_refuses_keeps_new_keys_from_being_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, full = configured(folder, tmp_path, life=4), threading.Event()
    save = store.save

    def refusing(path: Path, authority: Authority) -> None:
        if full.is_set():
            raise OSError(28, "No space left on device")
        save(path, authority)

    monkeypatch.setattr(store, "save", refusing)
    with serving(file) as running, member([running.server.address], identity(folder, "F1")) as first:
        until(lambda: bool(keys_in(first)))
        full.set()
        until(lambda: any("ALARM" in line for line in running.lines))
        known = {key.identifier for told in keys_in(first) for key in told.keys}
        with member([running.server.address], identity(folder, "R11")) as second:
            until(lambda: bool(keys_in(second)))
            assert {key.identifier for told in keys_in(second) for key in told.keys} <= known
        full.clear()
        until(lambda: any(key.identifier not in known for told in keys_in(first) for key in told.keys))


def test_a_member_that_takes_nothing_stalls_nobody(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks and asks, and does not read the answers; and another has lost its connections without a word."""
    monkeypatch.setattr(server, "SENT_S", 1.0)
    with serving(configured(folder, tmp_path, life=4)) as running:
        known = context(identity(folder, "R11"), server=False)
        deaf = known.wrap_socket(socket.create_connection(running.server.address))
        deaf.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(100_000):
                deaf.sendall(payloads.encode(Pull("flisr")))
        with member([running.server.address], identity(folder, "F1")) as heard:
            until(lambda: len(keys_in(heard)) >= 3)
        lost = [known.wrap_socket(socket.create_connection(running.server.address)) for _ in range(6)]
        for link in lost:
            link.sendall(payloads.encode(Pull("flisr")))
        assert lost[-1].recv(4)
        assert running.server.counters["displaced"] >= 2
        for link in (deaf, *lost):
            link.close()


def test_garbage_and_silence_stall_nobody(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_FRAME_S", 1.0)
    with serving(configured(folder, tmp_path)) as running:
        known = context(identity(folder, "R11"), server=False)

        def connected() -> ssl.SSLSocket:
            return known.wrap_socket(socket.create_connection(running.server.address))

        silent, halfway = connected(), connected()
        halfway.sendall(payloads.encode(Pull("flisr"))[:7])
        for octets in (b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\x01\x00", bytes(4)):
            with connected() as link:
                link.sendall(octets)
                link.settimeout(5)
                assert link.recv(100) == b""
        with socket.create_connection(running.server.address) as plain:
            plain.sendall(b"not TLS at all")
            with member([running.server.address], identity(folder, "F1")) as heard:
                until(lambda: bool(keys_in(heard)))
        until(lambda: running.server.counters["silent"] == 2)
        assert running.server.counters["oversized"] == 2
        silent.close()
        halfway.close()


def test_the_second_server_stands_in(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one goes for a while: the member hears new keys from the second, and the first learns of them."""
    monkeypatch.setattr(client, "RETRY_S", (0.2,))
    monkeypatch.setattr(server, "RETRY_S", 0.2)
    ports = free_port(), free_port()
    peers = [f"peer: {{address: '127.0.0.1:{ports[2 - n]}', name: server{3 - n}}}" for n in (1, 2)]
    files = [configured(folder, tmp_path, n, ports[n - 1], 8, peers[n - 1]) for n in (1, 2)]
    servers = [("127.0.0.1", port) for port in ports]
    with serving(files[1]) as second:
        with (
            serving(files[0]) as first,
            member(servers, identity(folder, "F1")) as heard,
        ):
            until(lambda: bool(keys_in(heard)))
            until(lambda: any("group flisr" in line for line in second.lines))
            begun = {key.identifier for told in keys_in(heard) for key in told.keys}
            assert all(identifier % 2 for identifier in begun)
            first.stop()
            until(lambda: any(key.identifier % 2 == 0 for told in keys_in(heard) for key in told.keys))
            assert {entry.server for entry in heard if entry.message} == {f"127.0.0.1:{port}" for port in ports}
        made = {key.identifier for told in keys_in(heard) for key in told.keys}
        with serving(files[0]) as first:
            until(lambda: any(str(number) in line for line in first.lines for number in made - begun))


@contextmanager
def hanging(folder: Path, directory: Path) -> Iterator[tuple[str, int]]:
    """A server that gives each member its first answers, and then no word any more."""
    policy_of = policy.load(configured(folder, directory, 2)).groups
    made = Authority(policy_of, 1, os.urandom, 0)
    made.advance(0)
    made.announce()
    speaking = context(identity(folder, "server2"), server=True)
    links: list[ssl.SSLSocket] = []

    def attend(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                links.append(speaking.wrap_socket(listener.accept()[0], server_side=True))
                links[-1].recv(100)
                links[-1].sendall(payloads.encode(made.answer("F1", "flisr", 0)))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=attend, args=(listener,))
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for link in links:
        link.close()


def test_a_server_that_hangs_is_left(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has answered once, its host keeps the connection: the other one is asked. Alone, somebody is told."""
    monkeypatch.setattr(client, "REFRESH_S", 0.5)
    monkeypatch.setattr(client, "ANSWER_S", 0.5)
    monkeypatch.setattr(client, "RETRY_S", (0.2,))
    with hanging(folder, tmp_path) as hung:
        with member([hung], identity(folder, "F1")) as heard:
            until(lambda: bool(keys_in(heard)))
        with (
            serving(configured(folder, tmp_path)) as running,
            member([hung, running.server.address], identity(folder, "F1")) as heard,
        ):
            other = f"127.0.0.1:{running.server.address[1]}"
            until(lambda: any(entry.server == other and entry.message for entry in heard))
            assert heard[0].server != other


def revoke(folder: Path, name: str) -> None:
    """Put a list that names this certificate behind that of the authority."""
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    serial = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes()).serial_number
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now - timedelta(days=1))
        .next_update(now + timedelta(days=1))
        .add_revoked_certificate(entry)
        .sign(key, hashes.SHA256())
    )
    with (folder / "ca.pem").open("ab") as file:
        file.write(made.public_bytes(serialization.Encoding.PEM))


def test_a_revoked_certificate_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server notices the new list, and all that are connected show their certificates again."""
    monkeypatch.setattr(client, "RETRY_S", (0.2,))
    pki.enrol(tmp_path, ["F1", "R11"], ["server1"])
    with (
        serving(configured(tmp_path, tmp_path)) as running,
        member([running.server.address], identity(tmp_path, "F1")) as stolen,
        member([running.server.address], identity(tmp_path, "R11")) as honest,
    ):
        until(lambda: bool(keys_in(stolen)) and bool(keys_in(honest)))
        revoke(tmp_path, "F1")
        until(lambda: "certificates read again" in running.lines)
        until(lambda: any("certificate revoked" in line for line in running.lines))
        seen = len(keys_in(honest))
        until(lambda: len(keys_in(honest)) > seen or any("R11 connected" in line for line in running.lines[-6:]))
        known = len(keys_in(stolen))
        until(lambda: running.server.counters["handshake"] >= 3)
        assert len(keys_in(stolen)) == known
        (tmp_path / "ca.pem").write_text("nothing")
        until(lambda: any("ALARM" in line and "former certificates stay" in line for line in running.lines))


def test_a_certificate_that_comes_to_its_end_is_told_and_ends_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "REFRESH_S", 0.3)
    pki.enrol(tmp_path, ["F1"], ["server1"], days=2)
    with (
        serving(configured(tmp_path, tmp_path)) as running,
        member([running.server.address], identity(tmp_path, "F1")) as heard,
    ):
        until(lambda: bool(keys_in(heard)))
        assert any("F1 connected" in line and "its certificate ends on 20" in line for line in running.lines)
        running.server._sessions[0].until_s = time.time()
        until(lambda: running.server.counters["certificate"] >= 1)
        assert "F1: refused, its certificate is over" in running.lines


def test_the_laboratorys_certificates_pass_the_strictest_reading(folder: Path) -> None:
    """RFC 5280, as OpenSSL reads it when told to (and Python from 3.13 on)."""
    ends = [context(identity(folder, name), server=name == "server1") for name in ("server1", "F1")]
    for end in ends:
        end.verify_flags |= ssl.VERIFY_X509_STRICT
    left, right = socket.socketpair()
    with left, right:
        thread = threading.Thread(target=lambda: ends[0].wrap_socket(left, server_side=True).close())
        thread.start()
        with ends[1].wrap_socket(right, server_hostname="server1") as link:
            assert link.version() == "TLSv1.3"
        thread.join()


def test_a_server_that_comes_back_serves_what_it_had(folder: Path, tmp_path: Path) -> None:
    file = configured(folder, tmp_path)
    with serving(file) as running, member([running.server.address], identity(folder, "F1")) as heard:
        until(lambda: bool(keys_in(heard)))
    with serving(file) as running, member([running.server.address], identity(folder, "F1")) as again:
        until(lambda: bool(keys_in(again)))
    assert [k.secret for k in keys_in(again)[0].keys] == [k.secret for k in keys_in(heard)[0].keys]


def test_files_that_cannot_be_used_are_named(folder: Path, tmp_path: Path) -> None:
    key = tmp_path / "open.key"
    key.write_bytes((folder / "F1.key").read_bytes())
    key.chmod(0o644)
    for bad, words in (
        (Identity(folder / "none.pem", folder / "F1.key", folder / "ca.pem"), "no such file"),
        (Identity(folder / "F1.pem", key, folder / "ca.pem"), "0644"),
        (Identity(folder / "F1.pem", folder / "R11.key", folder / "ca.pem"), "R11.key"),
    ):
        with pytest.raises(IdentityError, match=words):
            context(bad, server=False)
    with pytest.raises(pki.PkiError, match="no name"):
        pki.enrol(folder, ["Schütz"])
    with pytest.raises(pki.PkiError, match="never overwritten"):
        pki.enrol(folder, ["new", "F1"])
    assert not (folder / "new.pem").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("number: 3", "number"),
        ("listen: 8852", "HOST:PORT"),
        ("groups: {}", "groups: none"),
        ("groups: {g: {members: []}}", "members"),
        ("groups: {g: {members: [F1], algorithm: md5}}", "unknown algorithm"),
        ("groups: {g: {members: [F1], life-s: 10, ahead-s: 10}}", "ahead-s"),
        ("colour: red", "unknown field"),
        ("peer: 10.0.0.1:2", "peer"),
        ("groups: {g: {members: [F1], hold-s: -1}}", "hold-s"),
        ("takeover-s: soon", "takeover-s"),
        ("store: [", "not YAML"),
    ],
)
def test_a_wrong_policy_is_refused_with_the_field(folder: Path, tmp_path: Path, line: str, words: str) -> None:
    file = configured(folder, tmp_path)
    name = line.partition(":")[0]
    kept = [old for old in file.read_text().splitlines() if not old.startswith(f"{name}:")]
    if name == "groups":
        kept = [old for old in kept if not old.startswith("  ")]
    file.write_text("\n".join([line, *kept]))
    with pytest.raises(policy.PolicyError, match=words):
        policy.load(file)

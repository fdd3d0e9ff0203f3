"""``flisr agent run``: from files and options to a running station process.

Reading SCL costs 20 MB that would stay: it happens in a child that hands back the compiled configuration and ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.logic.messages import LockRecord
from agent.mms.limits import Limits
from agent.station import keyset, plain
from agent.station.keeper import KeySource
from agent.station.lockfile import lock
from agent.station.served import HOLD_S, Served, ServerOptions
from agent.station.settings import Engineered
from agent.station.station import Station, StationSettings
from agent.time.clock import PtpSettings, SourceKind, TimeSource
from agent.time.profile import Profile
from scl.topology import Feeder

if TYPE_CHECKING:
    from agent.mms.porter import Doorway

USAGE = 64
DATA_ERROR = 65
ALREADY = 75


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``flisr agent run``."""

    scd: Path
    ratings: Path | None
    ied: str
    keys: Path | None
    state_dir: Path
    station_bus: str | None = None
    process_bus: str | None = None
    udp: bool = False
    udp_port: int = 102
    udp_interface: str = "127.0.0.1"
    mms_plain: tuple[str, int] | None = None
    time_source: str = "kernel"
    ptp_socket: str = ""
    ptp_domain: int = 0
    ptp_profile: str = "any"
    ptp_hold_over: float = 30.0
    priority: int = 50
    replace: bool = False
    key_server: tuple[tuple[str, int], ...] = ()
    certificate: Path | None = None
    private_key: Path | None = None
    ca: Path | None = None
    key_hold: int = HOLD_S
    mms: tuple[str, int] | None = None
    mms_certificate: Path | None = None
    mms_private_key: Path | None = None
    mms_ca: Path | None = None
    mms_area: str = ""
    mms_clients: int = Limits().clients
    mms_clients_of_address: int = Limits().of_address
    mms_idle: float = Limits().idle_s
    mms_session: float = Limits().session_s


def time_source(options: Options) -> TimeSource:
    """Whom to believe about the clock."""
    hold_over_us = int(options.ptp_hold_over * 1_000_000)
    settings = PtpSettings(options.ptp_socket, options.ptp_domain, Profile(options.ptp_profile), hold_over_us)
    return TimeSource(SourceKind(options.time_source), settings)


class RefusedError(Exception):
    """The configuration is refused; the lines say what is wrong with it."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def compile_apart(options: Options) -> tuple[dict[str, Any], str]:
    """Compile in a child process: the document and, where MMS is wanted, the served model as JSON; RefusedError with
    what is wrong."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _child(options, read, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise RefusedError(["reading the configuration failed without a word"]) from error
    if "refused" in answer:
        raise RefusedError([str(line) for line in answer["refused"]])
    return answer["agent"], str(answer["model"])


def _child(options: Options, read: int, write: int) -> None:
    """Never returns."""
    status = 1
    try:
        os.close(read)
        from agent.station.compile import agent_config, problems, served_model

        try:
            agent = agent_config(options)
            # Text, and for the station process alone: the other one has no use for it, this one none after the start.
            wanted = options.mms or options.mms_plain
            model = json.dumps(served_model(options, agent), separators=(",", ":")) if wanted else ""
            answer: dict[str, Any] = {"agent": plain.dump(agent), "model": model}
        except Exception as error:
            answer = {"refused": problems(error)}
        with os.fdopen(write, "wb") as pipe:
            pipe.write(json.dumps(answer, separators=(",", ":")).encode())
        status = 0
    finally:
        os._exit(status)


def key_source(options: Options) -> Path | Served:
    """The key file, or the servers, of which the first answer is waited for if none was ever heard."""
    identity = (options.certificate, options.private_key, options.ca)
    if options.keys is not None:
        if options.key_server or any(identity):
            raise RefusedError(["give --keys, or --key-server with --certificate, --private-key and --ca; not both"])
        return options.keys
    certificate, private_key, ca = identity
    if not options.key_server or certificate is None or private_key is None or ca is None:
        raise RefusedError(["give --keys, or --key-server with --certificate, --private-key and --ca"])
    from agent.keyserver.tls import Identity, IdentityError

    try:
        wanted = ServerOptions(options.key_server, Identity(certificate, private_key, ca), options.key_hold)
        served = Served(wanted, options.state_dir.resolve())
        wrong = served.first()
    except (IdentityError, OSError) as error:
        raise RefusedError([str(error)]) from error
    if wrong:
        served.client.close()
        raise RefusedError([wrong])
    return served


def doorway(options: Options) -> Doorway | None:
    """Where MMS clients are let in, with the files of the certificate tried; RefusedError says what is wrong."""
    files = (options.mms_certificate, options.mms_private_key, options.mms_ca)
    if options.mms and options.mms_plain:
        raise RefusedError(["give --mms or --mms-plain, not both"])
    if any(files) and not options.mms:
        raise RefusedError(["--mms-certificate, --mms-private-key and --mms-ca need --mms"])
    if not options.mms and not options.mms_plain:
        return None
    from agent.mms.porter import Doorway
    from agent.mms.tls import Identity, IdentityError, load, same_authority

    limits = Limits(options.mms_clients, options.mms_clients_of_address, options.mms_idle, options.mms_session)
    if options.mms_plain:
        return Doorway(*options.mms_plain, limits=limits)
    assert options.mms is not None
    certificate, private_key, ca = files
    if certificate is None or private_key is None or ca is None:
        raise RefusedError(["--mms needs --mms-certificate, --mms-private-key and --mms-ca; without TLS: --mms-plain"])
    try:
        identity = Identity(certificate, private_key, ca)
        load(identity)
        if options.ca is not None and same_authority(ca, options.ca):
            # Its certificate is a server's: the members of the group would take it for a key server.
            raise RefusedError([f"{ca}: the key servers' authority too; MMS needs one of its own"])
    except IdentityError as error:
        raise RefusedError([str(error)]) from error
    return Doorway(*options.mms, identity, limits, options.mms_area)


def keys_end(agent: dict[str, Any]) -> int | None:
    """When the keys of a compiled configuration are over; None: never."""
    groups = [agent["keys"], *([] if agent["sv"] is None else [agent["sv"]["keys"]])]
    return keyset.end_of(*([key["until_us"] for key in group] for group in groups))


def prepare_directory(path: Path) -> None:
    """Make the state directory; refuse one that others may look into."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777
    if mode & 0o022:
        raise RefusedError([f"{path}: others may write there (mode {mode:04o}); 0700 is needed"])
    if path.stat().st_uid != os.geteuid():
        raise RefusedError([f"{path}: belongs to another user"])


def run(options: Options, say: Callable[[str], None]) -> int:
    """Run until told to stop; the exit status."""
    try:
        if options.udp == bool(options.station_bus or options.process_bus):
            raise RefusedError(["name --station-bus and --process-bus, or --udp"])
        mms = doorway(options)
        prepare_directory(options.state_dir)
        source = key_source(options)
    except RefusedError as error:
        for line in error.lines:
            say(line)
        return DATA_ERROR
    try:
        agent, model = compile_apart(replace(options, keys=source.path if isinstance(source, Served) else source))
    except RefusedError as error:
        for line in error.lines:
            say(line)
        if isinstance(source, Served):
            source.client.close()
        return DATA_ERROR
    directory = options.state_dir.resolve()
    device = agent["feeder"]["devices"][agent["device"]]

    def document(record: LockRecord | None, unreadable: str, numbers: dict[str, int], good: bool) -> dict[str, Any]:
        restored = None if record is None else plain.dump(record)
        return {
            "agent": agent,
            "record": restored,
            "unreadable": bool(unreadable),
            "numbers": numbers,
            "time_good": good,
        }

    settings = StationSettings(
        directory=directory,
        ied=options.ied,
        device=device["name"],
        station_name=agent["feeder"]["name"],
        digest=agent["digest"],
        frequency_hz=agent["feeder"]["frequency_hz"],
        peer_names={int(peer["device"]): str(peer["name"]) for peer in agent["peers"]},
        time_source=time_source(options),
        mms=mms,
        model=model,
        document=document,
        keys=KeySource(source, options.udp, agent["sv"] is not None, keys_end(agent)),
        engineered=Engineered(plain.load(Feeder, agent["feeder"]), agent["device"], agent["sv"] is not None),
    )
    if options.udp:
        say("R-GOOSE and R-SV over UDP")
    if lock(directory, "station", wait_s=1.0) is None:
        say(f"another station process holds {directory}")
        return ALREADY
    return Station(settings, say).run(options.replace)

"""Command line and addresses that the simulated IEDs share: from an SCD to what is needed on the wire."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.core.config import SvSourceConfig
    from agent.goose.dataset import DataSet
    from agent.goose.stream import Stream
    from agent.logic.messages import BreakerCommand, BreakerStatus
    from agent.security.keys import KeyRing
    from scl.scheme import GooseControl, IedWire, Scheme


class WiringError(Exception):
    """The process cannot be started from these files; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an IED lives: on an Ethernet interface, or on UDP multicast."""

    interface: str
    """Empty: UDP."""
    udp_port: int
    udp_interface: str


@dataclass(frozen=True, slots=True)
class Options:
    """The options that all simulated IEDs have."""

    scd: Path
    ratings: Path | None
    ied: str
    keys: Path
    plant: Path
    place: Place
    compiled: Path | None = None
    """What SCD and ratings come to, where somebody has read them already."""


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """A command line with the common options."""
    made = argparse.ArgumentParser(prog=name, description=description)
    made.add_argument("--scd", required=True, type=Path, help="SCD file")
    made.add_argument("--ratings", type=Path, help="what SCL has no place for (YAML)")
    made.add_argument("--compiled", type=Path, help="what --scd and --ratings come to (JSON), if read already")
    made.add_argument("--ied", required=True, help="name of this IED in the SCD file")
    made.add_argument("--keys", required=True, type=Path, help="key file, see 'flisr keys lab'")
    made.add_argument("--plant", required=True, type=Path, help="socket of the plant process")
    bus = made.add_mutually_exclusive_group(required=True)
    bus.add_argument("--interface", metavar="IF", help="Ethernet interface")
    bus.add_argument("--udp", action="store_true", help="R-GOOSE and R-SV over UDP multicast")
    made.add_argument("--udp-port", type=int, default=102)
    made.add_argument("--udp-interface", default="127.0.0.1", metavar="ADDRESS", help="IPv4 address of the interface")
    return made


def options(parsed: argparse.Namespace) -> Options:
    """The common options out of a parsed command line."""
    place = Place(parsed.interface or "", parsed.udp_port, parsed.udp_interface)
    return Options(parsed.scd, parsed.ratings, parsed.ied, parsed.keys, parsed.plant, place, parsed.compiled)


def refuse(error: Exception) -> int:
    """Say what is wrong, line by line; the exit status."""
    for line in getattr(error, "problems", None) or (error,):
        print(line, file=sys.stderr)
    return 65


def read(chosen: Options, role: str) -> tuple[Scheme, IedWire, KeyRing]:
    """SCD and keys. WiringError, SclError, KeyFileError."""
    from agent.security.keys import load

    scheme = _scheme(chosen)
    ied = scheme.ieds.get(chosen.ied)
    if ied is None or ied.role != role or ied.device is None:
        there = ", ".join(sorted(name for name, entry in scheme.ieds.items() if entry.role == role))
        raise WiringError(f"{chosen.scd}: {chosen.ied} is no {role.replace('_', ' ')}; there are: {there}")
    return scheme, ied, load(chosen.keys)


def _scheme(chosen: Options) -> Scheme:
    """To read SCL costs a quarter of a second and 20 MB: two dozen IEDs of one laboratory need not all do it."""
    if chosen.compiled is None:
        from scl.derive import read

        return read(chosen.scd, chosen.ratings)
    from agent.station import plain
    from scl.scheme import Scheme

    try:
        return plain.load(Scheme, json.loads(chosen.compiled.read_bytes()))
    except (OSError, ValueError) as error:
        raise WiringError(f"{chosen.compiled}: {error}") from error


def stream(control: GooseControl, data_set: DataSet[BreakerCommand] | DataSet[BreakerStatus], place: Place) -> Stream:
    """The GOOSE stream of a control block whose data set is the scheme's."""
    from agent.goose.described import misfits, stream_of

    routed = not place.interface
    for line in misfits(control, data_set, routed):
        raise WiringError(line)
    return stream_of(control, data_set, routed, place.udp_port)


def sv_source(
    scheme: Scheme, ied: IedWire, keys: KeyRing, place: Place, noise: tuple[float, float], tick_us: int = 500
) -> SvSourceConfig:
    """The stream that a merging unit publishes."""
    from agent.core.config import Key, Layer2, Multicast, SvSourceConfig
    from agent.security.frames import HMACS
    from agent.station.compile import layout_of
    from agent.station.keyset import GROUP, SAMPLES_GROUP

    if not ied.sv_out:
        raise WiringError(f"{ied.name} publishes no Sampled Values")
    control = ied.sv_out[0]
    layout = layout_of(control, scheme.feeder.frequency_hz)
    if layout is None:
        rate = round(control.samples_per_second(scheme.feeder.frequency_hz))
        raise WiringError(f"{control.cb_ref}: {rate} samples/s with {control.no_asdu} ASDUs is not supported")
    link: Layer2 | Multicast
    if place.interface:
        link = Layer2(place.interface, control.mac, (control.vlan_id, control.vlan_priority))
    elif control.ip:
        link = Multicast(control.ip, place.udp_port, place.udp_interface)
    else:
        raise WiringError(f"{control.cb_ref}: no multicast group (IP)")
    key = keys.signing(next((name for name in (SAMPLES_GROUP, GROUP) if name in keys.groups), keys.groups[0]))
    if key.algorithm not in HMACS:
        raise WiringError(f"{control.cb_ref}: key {key.identifier} is {key.algorithm.text}, these sign by HMAC")
    return SvSourceConfig(
        sv_id=control.sv_id,
        appid=control.appid,
        link=link,
        layout=layout,
        conf_rev=control.conf_rev,
        key=Key(key.identifier, key.secret, key.algorithm.size),
        tick_us=tick_us,
        current_noise_a=noise[0],
        voltage_noise_v=noise[1],
        seed=sum(ied.name.encode()) or 1,
    )

"""Where a stream that a person publishes goes: from the options of ``flisr sv publish`` and ``flisr sv play``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from agent.core.config import Key as CoreKey
from agent.core.config import Layer2, Layout, Multicast, SvSourceConfig
from agent.goose.codec import CodecError
from agent.goose.frame import ETHERTYPE_SV
from agent.goose.link import L2, Link, Udp, open_link
from agent.goose.text import moment
from agent.security.frames import HMACS, Key
from agent.security.keys import KeyFileError, load
from agent.sv.frame import sealer
from agent.sv.play import SECOND_US, Player
from scl.names import read_names
from scl.problem import SclError

AHEAD_US = 400_000
"""At least so long before the first frame: it has to be computed."""
COMPUTED_AHEAD = 2000
"""Frames."""


class OutletError(ValueError):
    """What was asked for cannot be published; the text says which option and why."""


class Outlet(NamedTuple):
    """A stream's address, and how its frames are made and sent."""

    link: Link
    group: str
    sv_id: str
    conf_rev: int
    seal: Callable[[bytes], bytes]


class _Address(NamedTuple):
    appid: int
    mac: str
    vlan: tuple[int, int] | None
    conf_rev: int


def _address(options: Mapping[str, Any]) -> _Address:
    if bool(options["interface"]) == bool(options["group"]):
        raise OutletError("give one of --interface and --group")
    if options["scd"] is None:
        try:
            return _Address(int(options["appid"], 16), options["mac"], None, options["conf_rev"])
        except ValueError:
            raise OutletError("--appid is hexadecimal") from None
    try:
        names = read_names(options["scd"])
    except SclError as error:
        raise OutletError(f"{options['scd']}: {error}") from error
    control = names.samples.get(options["sv_id"])
    if control is None:
        known = ", ".join(sorted(names.samples)[:6]) or "none"
        raise OutletError(f"--sv-id: no stream {options['sv_id']!r} in the file (there is: {known} …)")
    return _Address(control.appid, control.mac, (control.vlan_id, control.vlan_priority), control.conf_rev)


def _key(options: Mapping[str, Any]) -> Key | None:
    if (options["keys"] is None) != options["no_authentication"]:
        raise OutletError("give --keys, or --no-authentication by name")
    try:
        return None if options["keys"] is None else load(options["keys"]).signing(options["key_group"])
    except KeyFileError as error:
        raise OutletError(str(error)) from error


def config_of(options: Mapping[str, Any]) -> SvSourceConfig:
    """For the compiled source."""
    address, key = _address(options), _key(options)
    if key is not None and key.algorithm not in HMACS:
        raise OutletError(f"the compiled source signs by HMAC, not by {key.algorithm.text}")
    return SvSourceConfig(
        options["sv_id"], address.appid,
        Layer2(options["interface"], address.mac, address.vlan) if options["interface"]
        else Multicast(options["group"], options["port"], options["address"]),
        next(layout for layout in Layout if layout.text == options["layout"]), address.conf_rev,
        None if key is None else CoreKey(key.identifier, key.secret, key.algorithm.size),
        simulation=options["simulation"],
    )  # fmt: skip


def open_outlet(options: Mapping[str, Any]) -> Outlet:
    """For frames that are made here; OutletError, or OSError for what the system refused."""
    address, key = _address(options), _key(options)
    if options["interface"]:
        link = open_link(L2(options["interface"], ethertype=ETHERTYPE_SV))
    else:
        link = open_link(Udp(port=options["port"], interface_address=options["address"]))
    try:
        mac = address.mac if options["interface"] else ""
        seal = sealer(address.appid, key, mac=mac, source=link.address or bytes(6), vlan=address.vlan)
    except CodecError as error:
        link.close()
        raise OutletError(str(error)) from error
    return Outlet(link, options["group"], options["sv_id"], address.conf_rev, seal)


def send(outlet: Outlet, player: Player) -> dict[str, Any]:
    """Play once, from the next full second on: each frame when its last sample's time has come."""
    now = time.time_ns() // 1000
    start = (now + AHEAD_US + SECOND_US) // SECOND_US * SECOND_US
    source = player.frames(outlet.sv_id, outlet.conf_rev, start, outlet.seal)
    waiting = [frame for _, frame in zip(range(COMPUTED_AHEAD), source, strict=False)]
    frames = unsent = latest = 0
    at = 0
    while at < len(waiting):
        due, payload = waiting[at]
        late = time.time_ns() // 1000 - due
        if late < 0:
            time.sleep(-late / 1e6)
            continue
        latest = max(latest, late)
        frames += 1
        unsent += not outlet.link.send(payload, outlet.group)
        at += 1
        if (upcoming := next(source, None)) is not None:
            waiting.append(upcoming)
        if at > COMPUTED_AHEAD:
            del waiting[:at]
            at = 0
    began = start + round(player.lead_in_s * SECOND_US)
    return {
        "frames": frames, "unsent": unsent, "latest_us": latest, "began": moment(start), "record_began": moment(began),
    }  # fmt: skip

"""Where a stream that a person publishes goes: from the options of ``flisr sv publish`` and ``flisr sv play``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from agent.core.config import Key as CoreKey
from agent.core.config import Layer2, Layout, Multicast, SvSourceConfig
from agent.goose.codec import CodecError
from agent.goose.frame import ETHERTYPE_SV
from agent.goose.link import Link
from agent.goose.outgoing import OutgoingError, appid_of, check_way, chosen, names_in, open_way, signing_keys
from agent.goose.text import moment
from agent.security.frames import HMACS, Key
from agent.sv.frame import sealer
from agent.sv.play import SECOND_US, Player

AHEAD_US = 400_000
"""At least so long before the first frame: it has to be computed."""
COMPUTED_AHEAD = 2000
"""Frames."""


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
    check_way(options)
    if options["scd"] is None:
        return _Address(appid_of(options), options["mac"], None, options["conf_rev"])
    control = chosen(names_in(options["scd"]).samples, options["sv_id"], "--sv-id", "stream")
    return _Address(control.appid, control.mac, (control.vlan_id, control.vlan_priority), control.conf_rev)


def _key(options: Mapping[str, Any]) -> Key | None:
    keys = signing_keys(options)
    return None if keys is None else keys.signing(time.time_ns() // 1000)


def config_of(options: Mapping[str, Any]) -> SvSourceConfig:
    """For the compiled source."""
    address, key = _address(options), _key(options)
    if key is not None and key.algorithm not in HMACS:
        raise OutgoingError(f"'flisr sv publish' signs by HMAC, not by {key.algorithm.text}")
    return SvSourceConfig(
        options["sv_id"], address.appid,
        Layer2(options["interface"], address.mac, address.vlan) if options["interface"]
        else Multicast(options["group"], options["port"], options["address"]),
        next(layout for layout in Layout if layout.text == options["layout"]), address.conf_rev,
        None if key is None else CoreKey(key.identifier, key.secret, key.algorithm.size),
        simulation=options["simulation"],
    )  # fmt: skip


def open_outlet(options: Mapping[str, Any]) -> Outlet:
    """For frames that are made here; OutgoingError, or OSError for what the system refused."""
    address, key = _address(options), _key(options)
    link = open_way(options, ETHERTYPE_SV)
    try:
        mac = address.mac if options["interface"] else ""
        seal = sealer(address.appid, key, mac=mac, source=link.address or bytes(6), vlan=address.vlan)
    except CodecError as error:
        link.close()
        raise OutgoingError(str(error)) from error
    return Outlet(link, options["group"], options["sv_id"], address.conf_rev, seal)


def send(outlet: Outlet, player: Player) -> dict[str, Any]:
    """Play once, from the next full second on: each frame when its last sample's time has come."""
    now = time.time_ns() // 1000
    start = (now + AHEAD_US + SECOND_US) // SECOND_US * SECOND_US
    source = player.frames(outlet.sv_id, outlet.conf_rev, start, outlet.seal)
    waiting = deque(islice(source, COMPUTED_AHEAD))
    frames = unsent = latest = 0
    while waiting:
        due, payload = waiting[0]
        late = time.time_ns() // 1000 - due
        if late < 0:
            time.sleep(-late / 1e6)
            continue
        latest = max(latest, late)
        frames += 1
        unsent += not outlet.link.send(payload, outlet.group)
        waiting.popleft()
        waiting.extend(islice(source, 1))
    began = start + round(player.lead_in_s * SECOND_US)
    return {
        "frames": frames, "unsent": unsent, "latest_us": latest, "began": moment(start), "record_began": moment(began),
    }  # fmt: skip

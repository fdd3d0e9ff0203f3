"""The compiled core of one agent, made from its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.security.ring import EVER, KeyGroup
from agent.station.config import AgentConfig, KeyConfig
from scl.topology import NeutralMode, Pickups

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.core.config import Key
    from agent.core.protection import ProtectionCore


ZERO_SHARE = 0.02


def core_keys(keys: Iterable[KeyConfig], grace_s: int) -> tuple[Key, ...]:
    """For the compiled receiver."""
    from agent.core.config import Key
    from agent.station.wire import key_of

    group = KeyGroup(map(key_of, keys), grace_s)
    ends = [(key, group.refused_from_us(key.identifier)) for key in group]
    return tuple(
        Key(key.identifier, key.secret, key.algorithm.size, key.algorithm.iv_size > 0, 0 if end == EVER else end)
        for key, end in ends
    )


def core(agent: AgentConfig, pickups: Pickups) -> ProtectionCore | None:
    """The receiver of the device's stream, not yet started; None for a device without a merging unit.

    What counts as no current follows the engineered pick-up, not the one that is set.
    """
    if agent.sv is None:
        return None
    from agent.core.config import EarthMode, Layer2, Layout, Multicast, ProtectionConfig
    from agent.core.protection import ProtectionCore

    earth = {
        NeutralMode.SOLID: EarthMode.TRIP,
        NeutralMode.RESISTANCE: EarthMode.TRIP,
        NeutralMode.COMPENSATED: EarthMode.WATTMETRIC,
        NeutralMode.ISOLATED: EarthMode.VARMETRIC,
    }
    device = agent.feeder.devices[agent.device]
    link: Layer2 | Multicast
    if agent.link.udp_port:
        link = Multicast(agent.sv.group, agent.link.udp_port, agent.link.udp_interface)
    else:
        link = Layer2(agent.link.process_bus, agent.sv.mac)
    return ProtectionCore(
        ProtectionConfig(
            sv_id=agent.sv.sv_id,
            appid=agent.sv.appid,
            link=link,
            layout=Layout[agent.sv.layout],
            conf_rev=agent.sv.conf_rev,
            keys=core_keys(agent.sv.keys, agent.key_grace_s),
            phase_pickup_a=pickups.phase_a,
            earth_pickup_a=pickups.earth_a,
            zero_current_a=ZERO_SHARE * device.phase_pickup_a,
            nominal_kv=agent.feeder.nominal_kv,
            earth_mode=earth[agent.feeder.neutral],
        )
    )

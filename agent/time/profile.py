"""Power-utility profiles of PTP: does a clock run as the profile says?

A profile cannot be told from the outside: linuxptp 3.1.1 announces that of IEEE 1588 whatever it is set to. What can be
seen is compared with the profile's values; the plant engineer names the profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from agent.time.datasets import ClockDescription, PortDataSet

PEER_TO_PEER = 2
ETHERNET = 3


class Profile(StrEnum):
    """What the network was set up for."""

    ANY = "any"
    IEC_61850_9_3 = "61850-9-3"
    C37_238_2011 = "c37.238-2011"
    C37_238_2017 = "c37.238-2017"


def deviations(profile: Profile, port: PortDataSet, description: ClockDescription | None) -> tuple[str, ...]:
    """What is not as the profile says, for people. All three want the same of a port: peer delay, Ethernet, 1 s."""
    return () if profile is Profile.ANY else tuple(_deviations(profile, port, description))


def _deviations(profile: Profile, port: PortDataSet, description: ClockDescription | None) -> Iterator[str]:
    if port.mechanism != PEER_TO_PEER:
        yield "the delay is not measured peer to peer"
    if description is not None and description.protocol != ETHERNET:
        yield "PTP runs over UDP, not over Ethernet"
    intervals = (("announce", port.log_announce), ("sync", port.log_sync), ("pdelay", port.log_min_peer_delay_request))
    for name, log in intervals:
        if log != 0:
            yield f"{name} interval {2.0**log:g} s, not 1 s"
    # The first edition lets clocks that may become grandmaster give up after two.
    timeouts = (2, 3) if profile is Profile.C37_238_2011 else (3,)
    if port.announce_timeout not in timeouts:
        yield f"announce receipt timeout {port.announce_timeout}, not {timeouts[-1]}"

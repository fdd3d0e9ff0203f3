"""Time."""

from __future__ import annotations

import time

from agent.logic.messages import Position
from tests.conformance.asking import name
from tests.conformance.device import Device

CLOCK_FAILURE, NOT_SYNCHRONIZED = 0x40, 0x20
NOT_KNOWN = 31
"""TmAcc and the accuracy in TimeQuality: significant bits of the fraction are not known."""


def stamps_what_happened(device: Device) -> None:
    """A change has the time at which it was seen, in UTC."""
    with device.client() as client:
        began = time.time()
        device.put(Position.OPEN)
        device.until(lambda: client.read(name(device, "XCBR1$ST$Pos$stVal")).value[0] >> 6 == 1)
        told = client.read(name(device, "XCBR1$ST$Pos$t"))
        assert began - 1 < told.value.timestamp() < time.time() + 1


def says_how_good_its_time_is(device: Device) -> None:
    """TimeQuality of every time stamp is that of the clock (LTMS): no failure, synchronized, its accuracy."""
    with device.client() as client:
        assert client.read(name(device, "LTMS1$ST$TmChSt1$stVal")).value is True
        accuracy = client.read(name(device, "LTMS1$ST$TmAcc$stVal")).value
        device.put(Position.OPEN)
        device.until(lambda: client.read(name(device, "XCBR1$ST$Pos$stVal")).value[0] >> 6 == 1)
        quality = client.read(name(device, "XCBR1$ST$Pos$t")).quality
        assert not quality & (CLOCK_FAILURE | NOT_SYNCHRONIZED)
        assert quality & 0x1F == accuracy or accuracy == NOT_KNOWN


def answers_sntp(device: Device) -> None:
    """Takes its time from an SNTP server."""
    raise AssertionError("there is no procedure for SNTP yet")

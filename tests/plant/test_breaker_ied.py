"""The breaker's IED between real GOOSE frames and the plant's coil: only what is authentic and fresh moves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.goose.dataset import command_data_set, status_data_set
from agent.goose.publisher import Publisher
from agent.goose.stream import Stream
from agent.goose.subscriber import Accepted, Subscriber
from agent.logic.messages import BreakerCommand, Live, Position
from agent.security.frames import Algorithm, Key
from simulator.ieds import link, retained
from simulator.ieds.breaker import INDICATOR_US, BreakerIed
from simulator.ieds.cabinet import Retained
from tests.goose.lab import Ether

NOW = 1_800_000_000_000_000
KEY = Key(1, Algorithm.HMAC_SHA256_128, bytes(range(32)))
FORGED = Key(1, Algorithm.HMAC_SHA256_128, bytes(32))
ORDERS, POSITIONS = command_data_set(), status_data_set()
OPER = Stream(
    "R_AGFLISR/LLN0$GO$gcbOper", "R_AGFLISR/LLN0$dsOper", "R_Oper", 0x1001, 1, ORDERS.b_types, "01-0C-CD-01-00-01"
)
POS = Stream(
    "R_BRCTRL/LLN0$GO$gcbPos", "R_BRCTRL/LLN0$dsPos", "R_Pos", 0x1002, 1, POSITIONS.b_types, "01-0C-CD-01-00-02"
)


class Bay:
    """IED, its agent's publisher, and the plant's end of the copper."""

    def __init__(self, tmp_path: Path, closed: bool = True) -> None:
        self.tmp_path = tmp_path
        self.plant = link.bind(tmp_path / "plant")
        self.plant.settimeout(0.05)
        self.agent = Publisher(OPER, ORDERS, KEY)
        self.hears = Subscriber(POS, POSITIONS, (KEY,))
        self.start(closed)

    def start(self, closed: bool, now: int = NOW) -> None:
        """As after power on."""
        if hasattr(self, "ied"):
            assert self.ied.keeper.flush()
        self.wire = Ether()
        copper = link.PlantLink(self.tmp_path / "plant", "R_BR")
        mark = retained.read(self.tmp_path)[1]
        orders = Subscriber(OPER, ORDERS, (KEY,), mark=mark)
        positions = Publisher(POS, POSITIONS, KEY)
        self.ied = BreakerIed("R_BR", "R", orders, positions, self.wire, copper, self.tmp_path, None)
        self.ied.timer(now)
        assert self.coils()[0]["hello"] == "R_BR"
        self.ied.told({"position": 2 if closed else 1, "live": [True, False]}, now)

    def coils(self) -> list[dict[str, object]]:
        """What the plant was told."""
        found = []
        while True:
            try:
                found.append(json.loads(self.plant.recv(65536)))
            except TimeoutError:
                return found

    def status(self) -> object:
        """What the agent knows."""
        result = self.hears.receive(self.wire.sent[-1], NOW)
        assert isinstance(result, Accepted)
        return result.message


def test_trip_and_position_travel_as_goose_only(tmp_path: Path) -> None:
    bay = Bay(tmp_path)
    bay.ied.frame(bay.agent.publish(BreakerCommand(), NOW), NOW)
    assert bay.coils() == []
    trip = BreakerCommand(trip=True, block_close=True)
    bay.ied.frame(bay.agent.publish(trip, NOW + 1000), NOW + 1000)
    assert bay.coils() == [{"coil": "open", "device": "R"}]
    bay.ied.told({"position": 1}, NOW + 48_000)
    bay.ied.told({"live": [True, False]}, NOW + 48_000)
    status = bay.status()
    assert (status.position, status.blocked, status.operations) == (Position.OPEN, True, 1)
    assert (status.live_a, status.live_b) == (Live.LIVE, Live.DEAD)
    assert bay.ied.keeper.flush()
    assert retained.read(tmp_path)[0] == Retained(True, 0)


def test_forged_replayed_stale_and_simulated_orders_move_nothing(tmp_path: Path) -> None:
    bay = Bay(tmp_path, closed=False)
    first = bay.agent.publish(BreakerCommand(), NOW)
    bay.ied.frame(first, NOW)
    close = BreakerCommand(close_number=1, close_expiry_us=NOW + 500_000)
    bay.ied.frame(Publisher(OPER, ORDERS, FORGED, first_st_num=5).publish(close, NOW + 1), NOW + 1)
    bay.ied.frame(Publisher(OPER, ORDERS, None, first_st_num=5).publish(close, NOW + 1), NOW + 1)
    bay.ied.frame(Publisher(OPER, ORDERS, KEY, first_st_num=5, simulation=True).publish(close, NOW + 1), NOW + 1)
    bay.ied.frame(Publisher(OPER, ORDERS, KEY, first_st_num=5).publish(close, NOW - 60_000_000), NOW + 1)
    assert bay.coils() == []
    real = bay.agent.publish(close, NOW + 2000)
    bay.ied.frame(real, NOW + 2000)
    assert bay.coils() == [{"coil": "close", "device": "R"}]
    bay.ied.told({"position": 2}, NOW + 60_000)
    bay.ied.told({"position": 1}, NOW + 90_000)
    bay.ied.frame(real, NOW + 100_000)
    bay.ied.frame(first, NOW + 100_000)
    assert bay.coils() == []


def test_restart_moves_nothing_keeps_the_block_and_takes_no_replay(tmp_path: Path) -> None:
    bay = Bay(tmp_path, closed=False)
    free = bay.agent.publish(BreakerCommand(close_number=1), NOW)
    bay.ied.frame(free, NOW)
    blocked = BreakerCommand(close_number=1, block_close=True)
    bay.ied.frame(bay.agent.publish(blocked, NOW + 1000), NOW + 1000)
    bay.start(closed=False, now=NOW + 2000)
    assert bay.status().blocked
    sent = len(bay.wire.sent)
    bay.ied.frame(free, NOW + 5000)
    assert len(bay.wire.sent) == sent
    # An order that came while it was down is not carried out.
    late = BreakerCommand(close_number=2, close_expiry_us=NOW + 900_000)
    bay.ied.frame(bay.agent.publish(late, NOW + 6000), NOW + 6000)
    assert bay.coils() == []
    (tmp_path / retained.NAME).write_text("{")
    bay.start(closed=False, now=NOW + 7000)
    assert bay.status().blocked


def test_voltage_indicators_take_their_time(tmp_path: Path) -> None:
    bay = Bay(tmp_path)
    bay.ied.told({"live": [False, False]}, NOW + 1000)
    assert bay.status().live_a is Live.LIVE
    assert bay.ied.deadline() is not None
    bay.ied.timer(NOW + 1000 + INDICATOR_US)
    assert bay.status().live_a is Live.DEAD


def test_a_full_disk_is_said_and_the_block_holds_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bay = Bay(tmp_path, closed=False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(retained, "write", full)
    bay.ied.frame(bay.agent.publish(BreakerCommand(block_close=True), NOW), NOW)
    assert bay.ied.keeper.flush()
    assert "not retained" in capsys.readouterr().out
    assert bay.status().blocked

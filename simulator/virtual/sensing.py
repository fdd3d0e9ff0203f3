"""From plant truth to measurements: delays of a protection core, and the stated lies.

Pick-up: 3.0 to 4.2 ms after the current rose (sub-cycle element), stamped with its sample time, at the brain one
merging-unit delay and up to 0.3 ms later. Drop-off and current zero: 8 to 11 ms after interruption. Voltage: 10 ms
(merging unit), 15 ms (the breaker IED's presence indication). Load: the new average after 100 ms, held through an
episode. A conventional relay (device without SV) raises its flags after 25 to 35 ms and drops them after 20 to 30 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.logic.messages import Direction, Level, Live, Measurement

if TYPE_CHECKING:
    from simulator.virtual.world import World

MU_DELAY = 1_000
LEVELS = (Level.QUIET, Level.START, Level.PICKUP)


class Sensing:
    """The measurement chain of every device."""

    def __init__(self, world: World) -> None:
        self.world = world
        plant, count = world.plant, world.count
        self.has_mu = [d.merging_unit is not None for d in world.feeder.devices]
        self.blind = [not mu for mu in self.has_mu]
        self.known = [0] * count
        self.sign = [0] * count
        self.most_a = [0.0] * count
        """Greatest fault current since the present episode began."""
        self.zero = [plant.amps(d) <= world.layout.zero_a[d] for d in range(count)]
        self.live = [(True, True)] * count
        self.load = list(zip(plant.kw, plant.kvar, strict=True))
        self.load_pending = [False] * count
        self.meas = [
            Measurement(current_zero=self.zero[d], p_kw=plant.kw[d], q_kvar=plant.kvar[d], live_a=Live.LIVE)
            for d in range(count)
        ]

    def changed(self, now: int) -> None:
        """The plant was solved anew: plan what each device will notice, and when."""
        world = self.world
        plant, at = world.plant, world.at
        sides, zero_a = world.layout.sides, world.layout.zero_a
        live = [plant.live(z) for z in range(world.layout.zones)]
        fault_a, kw, kvar = plant.fault_a, plant.kw, plant.kvar
        for device in range(world.count):
            level = plant.level(device) if fault_a[device] else 0
            sign = (1 if fault_a[device] > 0 else -1) if level else 0
            if level:
                self.most_a[device] = max(self.most_a[device], abs(fault_a[device]))
            if level != self.known[device] or sign != self.sign[device]:
                if level > self.known[device]:
                    at(now + 3_000 + int(world.random() * 1_200), self._rise, device, level)
                else:
                    at(now + 8_000 + int(world.random() * 3_000), self._fall, device, None)
                self.known[device], self.sign[device] = level, sign
            a, b = sides[device]
            zero = plant.amps(device) <= zero_a[device]
            sees = (live[a], live[b])
            if zero != self.zero[device] or sees != self.live[device]:
                self.zero[device] = zero
                at(now + 10_000 + int(world.random() * 1_000), self._look, device, None)
                if sees != self.live[device]:
                    self.live[device] = sees
                    at(now + 15_000, self._presence, device, None)
            if not self.load_pending[device] and level == 0:
                p, q = self.load[device]
                if abs(kw[device] - p) > 0.5 or abs(kvar[device] - q) > 0.5:
                    self.load_pending[device] = True
                    at(now + 100_000, self._load, device, None)

    def _tell(self, now: int, device: int, **changed: Any) -> None:
        measurement = self.meas[device] = self.meas[device]._replace(upto_us=now - MU_DELAY, **changed)
        if not self.blind[device]:
            self.world.measured(device, measurement, now)

    def _rise(self, now: int, device: int, level: int) -> None:
        world = self.world
        lie = world.bays.faulty[device]
        amps = world.plant.fault_a[device]
        if lie.missing or world.plant.level(device) < level:
            return
        if not self.has_mu[device]:
            world.at(now + 22_000 + int(world.random() * 10_000), self._flags, device, None)
            return
        arrives = now + MU_DELAY + int(world.random() * 300) + int(lie.late_ms * 1000)
        direction = Direction.INTO_B if amps > 0 else Direction.INTO_A
        if lie.false_direction:
            direction = Direction.INTO_A if amps > 0 else Direction.INTO_B
        said = Level.START if lie.start_only else LEVELS[level]
        world.at(arrives, self._risen, device, (said, direction, now + int(lie.late_ms * 1000), abs(amps)))

    def _risen(self, now: int, device: int, what: tuple[Level, Direction, int, float]) -> None:
        level, direction, start, amps = what
        meas = self.meas[device]
        if meas.level in (Level.START, Level.PICKUP):
            start = meas.start_us
            amps = max(amps, meas.peak_a)
        self.world.met["pickup" if level is Level.PICKUP else "start"] += 1
        self._tell(
            now, device, level=level, direction=direction, start_us=start, end_us=0, peak_a=amps, current_zero=False
        )

    def _fall(self, now: int, device: int, _: None) -> None:
        if not self.has_mu[device]:
            self.world.at(now + 15_000, self._flags, device, None)
            return
        self.world.at(now + MU_DELAY + 100, self._fallen, device, now)

    def _fallen(self, now: int, device: int, end: int) -> None:
        meas, plant = self.meas[device], self.world.plant
        if meas.level not in (Level.START, Level.PICKUP):
            return
        level = plant.level(device)
        if level:
            amps = plant.fault_a[device]
            direction = Direction.INTO_B if amps > 0 else Direction.INTO_A
            if self.world.bays.faulty[device].false_direction:
                direction = Direction.INTO_A if amps > 0 else Direction.INTO_B
            said = Level.START if self.world.bays.faulty[device].start_only else LEVELS[level]
            self._tell(now, device, level=said, direction=direction)
            return
        self._tell(
            now, device, level=Level.QUIET, end_us=end, current_zero=self.zero[device], peak_a=self.most_a[device]
        )
        self.most_a[device] = 0.0

    def _flags(self, now: int, device: int, _: None) -> None:
        level = self.world.plant.level(device)
        amps = self.world.plant.fault_a[device]
        direction = Direction.NONE if not level else Direction.INTO_B if amps > 0 else Direction.INTO_A
        self.world.bays.flags(now, device, LEVELS[level], direction)

    def _look(self, now: int, device: int, _: None) -> None:
        world = self.world
        zero = world.plant.amps(device) <= world.layout.zero_a[device]
        live_a = Live.LIVE if world.plant.live(world.layout.sides[device][0]) else Live.DEAD
        meas = self.meas[device]
        if zero != meas.current_zero or live_a is not meas.live_a:
            self._tell(now, device, current_zero=zero, live_a=live_a)

    def _presence(self, now: int, device: int, _: None) -> None:
        plant = self.world.plant
        a, b = self.world.layout.sides[device]
        self.world.bays.saw(
            now, device, Live.LIVE if plant.live(a) else Live.DEAD, Live.LIVE if plant.live(b) else Live.DEAD
        )

    def _load(self, now: int, device: int, _: None) -> None:
        self.load_pending[device] = False
        plant = self.world.plant
        if plant.level(device):
            return
        p, q = plant.kw[device], plant.kvar[device]
        if (p, q) != self.load[device]:
            self.load[device] = (p, q)
            self._tell(now, device, p_kw=p, q_kvar=q)

    def set_blind(self, now: int, device: int, blind: bool) -> None:
        """The SV stream stops, or comes back."""
        if not self.has_mu[device]:
            return
        self.blind[device] = blind
        meas = self.meas[device]
        if blind:
            self.world.measured(device, meas._replace(level=Level.BLIND, live_a=Live.UNKNOWN), now)
        else:
            self._tell(now, device)

"""The core's filters and elements, said once more in plain Python: every sum over its whole window, nothing recursive.

``agent/core/detector.c`` is tested equal to this, sample by sample. It costs some 0.5 ms a sample.
Magnitudes are A or V r.m.s.; a *phasor* is a Fourier sum over the last half or full cycle.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.core.config import EarthMode, ProtectionConfig
from agent.logic.messages import Direction, Level, Live, Measurement
from agent.sv.onset import Onset
from agent.sv.strike import Strikes

TABLE_UNIT = 1 << 20
MIMIC_CYCLES = 2.0
SUB_CYCLE_MARGIN = 1.07
ENERGISED_FACTOR = 2.0
HIGH_SET = 12.0
SLIGHT_SECOND = 0.06
EARLY_CYCLES = 0.3
SEALED_CYCLES = 5
SEALED_FACTOR = 1.5
GROWN_SHARE = 0.25
CURRENTS = (0, 1, 2)
VOLTAGES = (4, 5, 6)
A = cmath.rect(1.0, math.radians(120))


@dataclass
class _Element:
    on: bool = False
    below: int = 0
    above: int = 0


@dataclass(frozen=True)
class _Values:
    """Filter outputs of one sample; index 3 is the sum of the three phases."""

    full: tuple[complex, ...]
    half: tuple[complex, ...]
    full_mimic: tuple[complex, ...]
    half_mimic: tuple[complex, ...]
    second: tuple[float, ...]
    voltage: tuple[complex, ...]
    voltage_mimic: tuple[complex, ...]

    @property
    def low_set(self) -> tuple[float, ...]:
        """What the full-cycle elements compare: the smaller of the plain sum and the one behind the mimic."""
        return tuple(min(abs(a), abs(b)) for a, b in zip(self.full, self.full_mimic, strict=True))

    @property
    def high_set(self) -> tuple[float, ...]:
        return tuple(min(abs(a), abs(b)) for a, b in zip(self.half, self.half_mimic, strict=True))


class Reference:
    """One stream's filters and elements; ``sample`` takes eight counts and gives the measurement."""

    def __init__(self, config: ProtectionConfig) -> None:
        self.config = config
        self.cycle = config.layout.rate // config.layout.frequency
        zero = config.zero_current_a
        self.zero_current = 0.02 * config.phase_pickup_a if zero is None else zero
        self.phase_v = 1000.0 * (config.nominal_kv or 0.0) / math.sqrt(3)
        table = [2 * math.pi * k / self.cycle for k in range(self.cycle)]
        self._cosine = [_half_away(math.cos(x) * TABLE_UNIT) for x in table]
        self._sine = [_half_away(math.sin(x) * TABLE_UNIT) for x in table]
        tau = MIMIC_CYCLES * self.cycle
        one = cmath.exp(-2j * math.pi / self.cycle)
        gain = (1 + tau) - tau * one
        self._mimic = ((1 + tau) / gain, -tau * one / gain)
        self.measurement = Measurement(level=Level.BLIND, current_zero=False)
        self.strikes = Strikes(config, self.cycle)
        self.values: _Values | None = None
        self.forget()

    def adjust(self, phase_pickup_a: float, earth_pickup_a: float) -> None:
        """Other thresholds, between two samples."""
        self.config = replace(self.config, phase_pickup_a=phase_pickup_a, earth_pickup_a=earth_pickup_a)
        self._onset.adjust(self.config)
        self.strikes.adjust(self.config)

    def forget(self) -> None:
        """After a gap: blind until a cycle has passed."""
        m = self.measurement
        if m.level in (Level.START, Level.PICKUP):
            m = m._replace(end_us=m.upto_us)
        self.measurement = m._replace(
            level=Level.BLIND,
            direction=Direction.NONE,
            current_zero=False,
            live_a=Live.UNKNOWN,
            earth_alarm=False,
        )
        self._rows: list[tuple[int, ...]] = []
        self._past: list[_Values] = []
        self._small = [0, 0, 0]
        self._all_small = 0
        self._restrained = self._shaken = self._early = 0
        self._sub_off_until = self._sub_high_until = self._earth_off_until = self._sealed_until = 0
        self._phase_start, self._phase_pickup = _Element(), _Element()
        self._earth_start, self._earth_pickup = _Element(), _Element()
        self._next_direction, self._direction_count = Direction.NONE, 0
        self._memory, self._memory_until = 0j, 0
        self._load: tuple[complex, ...] = ()
        self._episode_index = 0
        self._alarm_count = 0
        self._powers: list[complex] = []
        self._onset = Onset(self.config, self.cycle)
        self.strikes.forget()

    # --- filters ---

    def _sum(self, channel: int, end: int, length: int, harmonic: int = 1) -> complex:
        """Fourier sum over ``length`` samples before ``end`` as an r.m.s. phasor; before the first sample lie zeros."""
        scale = self.config.current_scale if channel in CURRENTS else self.config.voltage_scale
        real = imaginary = 0
        for n in range(max(0, end - length), end):
            at = harmonic * (n % self.cycle) % self.cycle
            real += self._rows[n][channel] * self._cosine[at]
            imaginary -= self._rows[n][channel] * self._sine[at]
        return complex(real, imaginary) * (scale * math.sqrt(2) / TABLE_UNIT / length)

    def _filter(self, end: int) -> _Values:
        def both(channels: Sequence[int], length: int) -> tuple[tuple[complex, ...], tuple[complex, ...]]:
            now = [self._sum(c, end, length) for c in channels]
            before = [self._sum(c, end - 1, length) for c in channels]
            now.append(sum(now))
            before.append(sum(before))
            return tuple(now), tuple(self._mimic[0] * x + self._mimic[1] * y for x, y in zip(now, before, strict=True))

        full, full_mimic = both(CURRENTS, self.cycle)
        half, half_mimic = both(CURRENTS, self.cycle // 2)
        voltage, voltage_mimic = both(VOLTAGES, self.cycle)
        harmonics = [self._sum(c, end, self.cycle, 2) for c in CURRENTS]
        second = tuple(abs(x) for x in (*harmonics, sum(harmonics)))
        return _Values(full, half, full_mimic, half_mimic, second, voltage, voltage_mimic)

    # --- one sample ---

    def sample(self, row: Sequence[int], time_us: int) -> Measurement:
        """One sample in, the measurement out."""
        self._rows.append(tuple(row))
        index = len(self._rows)
        self.measurement = self.measurement._replace(upto_us=time_us)
        if index <= self.cycle:
            return self.measurement
        self._look_at_onset(index)
        v = self.values = self._filter(index)
        self._past.append(v)
        back = min(len(self._past) - 1, 3 * self.cycle // 2)
        old = self._past[-1 - back]
        was = self.measurement.level in (Level.START, Level.PICKUP)
        live = self._presence(v, index)
        zero = self._zeros(row, old, index)
        self._elements(v, old, self._load if was else old.full_mimic[:3], live, index)
        level = Level.QUIET
        if self._phase_start.on or self._earth_start.on:
            level = Level.START
        if self._phase_pickup.on or self._earth_pickup.on:
            level = Level.PICKUP
        m = self.measurement._replace(level=level, live_a=live, current_zero=zero)
        if level is not Level.QUIET and not was:
            m = m._replace(start_us=time_us, end_us=0, pickup_us=0, peak_a=0.0)
            self._begin(old, index)
        if level is Level.PICKUP and not m.pickup_us:
            m = m._replace(pickup_us=time_us)
        if level is Level.QUIET:
            if was:
                m = m._replace(end_us=time_us)
                self._powers.clear()
            m = self._power(m._replace(direction=Direction.NONE), v, index)
        else:
            peak = max(m.peak_a, *v.low_set[:3], *v.high_set[:3])
            m = m._replace(peak_a=peak, direction=self._direction(m.direction, v, index))
        self.measurement = m._replace(earth_alarm=self._alarm(m.earth_alarm, v, index))
        return self.measurement

    def _begin(self, old: _Values, index: int) -> None:
        self._episode_index = index
        self._next_direction, self._direction_count = Direction.NONE, 0
        self._load = old.full_mimic[:3]
        self._memory = positive_sequence(old.voltage)
        good = abs(self._memory) >= 0.2 * self.phase_v
        self._memory_until = index + 25 * self.cycle if good else 0

    def _look_at_onset(self, index: int) -> None:
        now, before = self._rows[index - 1], self._rows[index - 1 - self.cycle]
        amperes, volts = self.config.current_scale, self.config.voltage_scale
        self._onset.sample(
            [now[c] * amperes for c in CURRENTS],
            [before[c] * amperes for c in CURRENTS],
            [now[c] * volts for c in VOLTAGES],
            [before[c] * volts for c in VOLTAGES],
        )

    # --- presence ---

    def _presence(self, v: _Values, index: int) -> Live:
        if not self.phase_v:
            return Live.UNKNOWN
        before = self.measurement.live_a
        most = max(abs(x) for x in v.voltage[:3])
        live = before
        if most < 0.20 * self.phase_v:
            live = Live.DEAD
        elif before is Live.UNKNOWN or most >= 0.22 * self.phase_v:
            live = Live.LIVE
        if before is Live.DEAD and live is Live.LIVE:
            self._sub_off_until = index + 3 * self.cycle // 2
        return live

    def _zeros(self, row: Sequence[int], old: _Values, index: int) -> bool:
        peak = self.zero_current * math.sqrt(2) / self.config.current_scale
        opened = self.cycle // 16
        for p in CURRENTS:
            if abs(row[p]) > peak:
                if self._small[p] >= self.cycle // 2:
                    self._sub_high_until = index + 3 * self.cycle // 2
                self._small[p] = 0
                continue
            self._small[p] += 1
            load = abs(old.full_mimic[p])
            if self._small[p] == opened and load >= self.config.earth_pickup_a:
                crossing = self.cycle / math.pi * math.asin(min(1.0, self.zero_current / load))
                if 1.5 * crossing < opened:
                    self._earth_off_until = index + 3 * self.cycle // 2
        self._all_small = self._all_small + 1 if all(abs(row[p]) <= peak for p in CURRENTS) else 0
        return self._all_small >= 2 * self.cycle // 5

    # --- elements ---

    def _settle(self, element: _Element, on: bool, half: float, full: float, threshold: float) -> None:
        reset = self.config.reset_factor * threshold
        if on:
            element.on, element.below = True, 0
        elif element.on:
            low = half < reset and (full < reset or half < 0.5 * threshold)
            element.below = element.below + 1 if low else 0
            if element.below >= self.cycle // 8:
                element.on, element.below = False, 0

    def _distorted(self, second: float, now: complex, before: complex) -> bool:
        """Second harmonic over what the current has grown by."""
        return second > self.config.second_harmonic * max(abs(now - before), GROWN_SHARE * abs(now))

    def _elements(self, v: _Values, old: _Values, load: Sequence[complex], live: Live, index: int) -> None:
        c = self.config
        floor = 0.5 * c.start_factor * c.phase_pickup_a
        distorted = [p for p in CURRENTS if self._distorted(v.second[p], v.full[p], load[p])]
        restrain = any(abs(v.full[p]) >= floor for p in distorted)
        self._restrained = self._restrained + 1 if restrain else 0
        shaken = any(v.second[p] >= SLIGHT_SECOND * c.phase_pickup_a for p in distorted)
        self._shaken = self._shaken + 1 if shaken else 0
        if not self._phase_start.on:
            self._early = self._shaken
        if self._shaken >= self.cycle and self._early >= EARLY_CYCLES * self.cycle:
            self._sealed_until = index + SEALED_CYCLES * self.cycle
        sub = index >= self._sub_off_until and live is not Live.DEAD and self._restrained < self.cycle
        margin = SUB_CYCLE_MARGIN * (ENERGISED_FACTOR if index < self._sub_high_until else 1.0)
        low, high = max(v.low_set[:3]), max(v.high_set[:3])
        full_mimic = [abs(x) for x in v.full_mimic]
        half_mimic = [abs(x) for x in v.half_mimic]
        full, half = max(full_mimic[:3]), max(half_mimic[:3])
        threshold = c.start_factor * c.phase_pickup_a
        self._settle(self._phase_start, low >= threshold or half >= threshold, half, full, threshold)
        threshold = c.phase_pickup_a
        least = SEALED_FACTOR * threshold if index < self._sealed_until else threshold
        picked = (
            (low >= least and not restrain)
            or (sub and self._onset.phase_open > 0 and high >= margin * threshold)
            or high >= HIGH_SET * threshold
        )
        self._settle(self._phase_pickup, picked, half, full, threshold)
        if c.earth_mode is not EarthMode.TRIP:
            return
        base = max(c.earth_pickup_a, c.earth_restraint * max(full, half))
        threshold = c.start_factor * base
        low, high = v.low_set[3], v.high_set[3]
        started = low >= threshold or half_mimic[3] >= threshold
        self._settle(self._earth_start, started, half_mimic[3], full_mimic[3], threshold)
        lasting = low >= base and not restrain
        by_full = lasting and not self._distorted(v.second[3], v.full[3], sum(load))
        by_half = sub and self._onset.earth_open > 0 and high >= margin * base
        pickup = self._earth_pickup
        pickup.above = pickup.above + 1 if lasting else 0
        picked = index >= self._earth_off_until and (
            (by_half and _rising(v.high_set, old, high))
            or (by_full and _rising(v.low_set, old, low))
            or (by_full and pickup.above >= 3 * self.cycle // 2)
        )
        self._settle(pickup, picked, half_mimic[3], full_mimic[3], base)

    # --- direction ---

    def _direction(self, before: Direction, v: _Values, index: int) -> Direction:
        if before is Direction.NONE:
            before = Direction.UNKNOWN
        found = self._look(v, index)
        if found is Direction.UNKNOWN:
            self._direction_count = 0
            return before
        self._direction_count = self._direction_count + 1 if found is self._next_direction else 1
        self._next_direction = found
        needed = 2 if before is Direction.UNKNOWN else self.cycle // 2
        return found if self._direction_count >= needed else before

    def _look(self, v: _Values, index: int) -> Direction:
        polarising = self._memory if index < self._memory_until else positive_sequence(v.voltage_mimic)
        if not self.phase_v or abs(polarising) < 0.1 * self.phase_v:
            return Direction.UNKNOWN
        age = index - self._episode_index
        current = v.half_mimic if age < self.cycle else v.full_mimic
        band = 0.4 if age < self.cycle // 2 else 0.12  # the window still straddles the inception
        if self._phase_start.on:
            most = max(abs(x) for x in current[:3])
            faulted = [p for p in CURRENTS if abs(current[p]) >= 0.6 * most]
            torque = sum(current[p] * (polarising * A**-p).conjugate() for p in faulted)
            torque *= cmath.rect(1, math.radians(50))
        elif abs(v.voltage_mimic[3]) >= 0.06 * self.phase_v:
            torque = v.full_mimic[3] * (-v.voltage_mimic[3]).conjugate() * cmath.rect(1, math.radians(45))
        else:
            p = max(CURRENTS, key=lambda k: abs(current[k] - self._load[k]))
            torque = current[3] * (polarising * A**-p).conjugate() * cmath.rect(1, math.radians(50))
        share = torque.real / max(abs(torque), 1e-12)
        return Direction.INTO_B if share > band else Direction.INTO_A if share < -band else Direction.UNKNOWN

    # --- alarm and load ---

    def _alarm(self, alarm: bool, v: _Values, index: int) -> bool:
        mode = self.config.earth_mode
        if mode not in (EarthMode.WATTMETRIC, EarthMode.VARMETRIC) or not self.phase_v:
            return alarm
        u0 = v.voltage_mimic[3] / 3
        self.strikes.sample(*self._residuals(index - 1), *self._residuals(index - 1 - self.cycle), index)
        self.strikes.age(abs(u0) < 0.2 * self.phase_v, index)
        want = alarm
        if abs(u0) >= 0.3 * self.phase_v:
            flow = v.full_mimic[3] * (-u0).conjugate() / abs(u0)
            part = flow.real if mode is EarthMode.WATTMETRIC else flow.imag
            if part >= self.config.earth_pickup_a:
                want = True
            elif part < self.config.reset_factor * self.config.earth_pickup_a:
                want = False
            if self.strikes.direction is Direction.INTO_B and part > -self.config.earth_pickup_a:
                want = True
        elif abs(u0) < 0.2 * self.phase_v:
            want = False
        if self.strikes.again:
            want = True
        self._alarm_count = self._alarm_count + 1 if want != alarm else 0
        if self._alarm_count < 5 * self.cycle:
            return alarm
        self._alarm_count = 0
        return want

    def _residuals(self, at: int) -> tuple[float, float]:
        row = self._rows[at]
        amperes = sum(row[c] for c in CURRENTS) * self.config.current_scale
        return amperes, sum(row[c] for c in VOLTAGES) * (self.config.voltage_scale / 3)

    def _power(self, m: Measurement, v: _Values, index: int) -> Measurement:
        """Average of five cycles that ended one and a half cycles ago, in quarter cycles."""
        if index % (self.cycle // 4):
            return m
        self._powers.append(sum(v.voltage[p] * v.full[p].conjugate() for p in CURRENTS) / 1000)
        kept = self._powers[:-6][-20:]
        if not kept:
            return m
        mean = sum(kept) / len(kept)
        return m._replace(p_kw=mean.real, q_kvar=mean.imag)


def positive_sequence(v: Sequence[complex]) -> complex:
    """Of phases a, b, c."""
    return (v[0] + A * v[1] + A * A * v[2]) / 3


def _rising(now: Sequence[float], old: _Values, residual: float) -> bool:
    """Some phase carries more than 1.5 cycles ago: a fault adds current, a pole that opens takes it away."""
    return any(now[p] >= abs(old.full_mimic[p]) + 0.3 * residual for p in CURRENTS)


def _half_away(x: float) -> int:
    """C's lround."""
    return math.floor(abs(x) + 0.5) * (1 if x >= 0 else -1)

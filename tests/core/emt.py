"""An oracle for earth faults: three feeders behind one transformer, integrated in the phase domain.

Every feeder is two three-phase pi sections (mutual coupling by zero and positive sequence), the transformer's star
point is isolated or on a coil, loads hang in delta, the fault is a resistance between one phase and earth. Between
switchings all that is linear and solved exactly by the matrix exponential (scipy.linalg.expm), 40,000 points a second;
what merging units see has passed a third-order filter at 1.6 kHz. A device in the middle of a feeder sits behind the
near capacitance of its section, whose discharge into a fault beside it takes nanoseconds. It shares nothing with the
plant's waves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import expm
from scipy.signal import butter, sosfilt, sosfilt_zi

Real = npt.NDArray[np.float64]
OMEGA = 2 * math.pi * 50.0
RATE = 4000
FINE = 10
STEP = 1.0 / (RATE * FINE)
PHASE_V = 10_000.0 / math.sqrt(3)
FEEDERS, SECTIONS = 3, 2
OPEN_OHM = 1e7
PHASES = 3
BUS_F = 20e-9
NEUTRAL_F = 50e-9


@dataclass(frozen=True)
class Line:
    """Per kilometre."""

    r1: float = 0.12
    l1: float = 0.35e-3
    r0: float = 0.6
    l0: float = 1.2e-3
    c1: float = 0.30e-6
    c0: float = 0.25e-6


CABLE = Line()
OVERHEAD = Line(0.2, 1.1e-3, 0.4, 4.5e-3, 11e-9, 5e-9)


@dataclass(frozen=True)
class Grid:
    """The network and its fault. ``detuning`` of the coil (0.1: 10 % over-compensated); None: isolated."""

    km: tuple[float, float, float] = (12.0, 8.0, 5.0)
    lines: tuple[Line, Line, Line] = (CABLE, CABLE, CABLE)
    detuning: float | None = None
    coil_loss: float = 0.03
    source_mh: float = 3.0
    source_ohm: float = 0.1
    load_kw: tuple[float, float, float] = (1500.0, 1000.0, 600.0)
    faulted: int = 0
    """Feeder with the fault."""
    at: int = 1
    """Behind its first or second section: 0 or 1."""
    fault_ohm: float = 1.0

    @property
    def capacitance(self) -> float:
        """Of a phase to earth, F."""
        return sum(k * line.c0 for k, line in zip(self.km, self.lines, strict=True))


def matrices(grid: Grid, fault_ohm: float, poles: tuple[float, ...] = (0.0,) * 9) -> tuple[Real, Real, Real]:
    """A of dx/dt = A x, and what feeder heads and second sections' devices see of x.

    x: bus and section nodes' voltages, neutral, source, section and load currents, coil, cosine and sine of the source.
    """
    nodes = 1 + FEEDERS * SECTIONS
    v, neutral = np.arange(nodes * PHASES).reshape(nodes, PHASES), nodes * PHASES
    at = neutral + 1
    source = np.arange(at, at + 3)
    line = np.arange(at + 3, at + 3 + FEEDERS * SECTIONS * 3).reshape(FEEDERS, SECTIONS, 3)
    at += 3 + line.size
    load = np.arange(at, at + FEEDERS * 3).reshape(FEEDERS, 3)
    coil, turn = at + load.size, at + load.size + 1
    size = turn + 2
    flow = np.zeros((nodes * PHASES, size))
    """Current into the capacitances of each node."""
    farads = np.zeros((nodes * PHASES, nodes * PHASES))
    a = np.zeros((size, size))
    a[turn, turn + 1], a[turn + 1, turn] = -OMEGA, OMEGA
    farads[v[0], v[0]] += BUS_F
    head_share = np.zeros((FEEDERS, 3, nodes * PHASES))
    for p in range(3):
        flow[v[0, p], source[p]] += 1.0
        a[source[p], neutral] += 1e3 / grid.source_mh
        a[source[p], v[0, p]] -= 1e3 / grid.source_mh
        a[source[p], source[p]] -= grid.source_ohm * 1e3 / grid.source_mh
        lag = 2 * math.pi / 3 * p
        crest = math.sqrt(2) * PHASE_V * 1e3 / grid.source_mh
        a[source[p], turn] += crest * math.cos(lag)
        a[source[p], turn + 1] += crest * math.sin(lag)
        a[neutral, source[p]] -= 1 / NEUTRAL_F
    farads_phase = 3 * grid.capacitance
    leak = 1e-8
    if grid.detuning is not None:
        henry = 1 / (OMEGA**2 * farads_phase * (1 + grid.detuning))
        a[coil, neutral] += 1 / henry
        a[neutral, coil] -= 1 / NEUTRAL_F
        leak = grid.coil_loss * OMEGA * farads_phase
    a[neutral, neutral] -= leak / NEUTRAL_F
    for f in range(FEEDERS):
        km, kind = grid.km[f] / SECTIONS, grid.lines[f]
        resistance, inductance = km * _block(kind.r0, kind.r1), np.linalg.inv(km * _block(kind.l0, kind.l1))
        half = km / 2 * _block(kind.c0, kind.c1)
        for k in range(SECTIONS):
            near = v[0] if k == 0 else v[1 + f * SECTIONS + k - 1]
            far = v[1 + f * SECTIONS + k]
            farads[np.ix_(near, near)] += half
            farads[np.ix_(far, far)] += half
            if k == 0:
                head_share[f][:, near] += half
            pole = np.diag(poles[3 * f : 3 * f + 3]) if k == 0 else np.zeros((3, 3))
            a[np.ix_(line[f, k], line[f, k])] -= inductance @ (resistance + pole)
            a[np.ix_(line[f, k], near)] += inductance
            a[np.ix_(line[f, k], far)] -= inductance
            flow[near, line[f, k]] -= 1.0
            flow[far, line[f, k]] += 1.0
        ohm = 3 * (PHASE_V**2) * 3 / (grid.load_kw[f] * 1e3)
        henry = 0.3 * ohm / OMEGA
        end = v[1 + f * SECTIONS + SECTIONS - 1]
        for p in range(3):
            q = (p + 1) % 3
            a[load[f, p], end[p]] += 1 / henry
            a[load[f, p], end[q]] -= 1 / henry
            a[load[f, p], load[f, p]] -= ohm / henry
            flow[end[p], load[f, p]] -= 1.0
            flow[end[q], load[f, p]] += 1.0
    struck = v[1 + grid.faulted * SECTIONS + grid.at, 0]
    flow[struck, struck] -= 1 / fault_ohm
    a[: nodes * PHASES] += np.linalg.solve(farads, flow)
    seen = np.zeros((FEEDERS, SECTIONS, 6, size))
    for f in range(FEEDERS):
        for k in range(SECTIONS):
            seen[f, k, :3, line[f, k]] = np.eye(3)
            seen[f, k, 3:, v[0] if k == 0 else v[1 + f * SECTIONS]] = np.eye(3)
        seen[f, 0, :3] += head_share[f] @ a[: nodes * PHASES]
    steady = np.zeros((size, 2))
    states = a[:turn, :turn]
    drive = a[:turn, turn] - 1j * a[:turn, turn + 1]
    answer = np.linalg.solve(1j * OMEGA * np.eye(turn) - states, drive)
    steady[:turn, 0], steady[:turn, 1] = answer.real, answer.imag
    return a, seen, steady


def _block(zero: float, positive: float) -> Real:
    block: Real = np.full((3, 3), (zero - positive) / 3) + np.eye(3) * positive
    return block


def _at(steady: Real, angles: Real) -> Real:
    """The steady state when the source's phase A is at these angles (of its cosine)."""
    x: Real = np.outer(steady[:, 0], np.cos(angles)) - np.outer(steady[:, 1], np.sin(angles))
    x[-2], x[-1] = np.cos(angles), np.sin(angles)
    return x


def strike(grid: Grid, degrees: npt.ArrayLike, before: int, after: int) -> Real:
    """A and V (angles x feeders x sections x samples x 6): a fault that stays, at these angles past the voltage's
    positive-going zero; sample ``before`` is the first after it."""
    angles = np.radians(np.atleast_1d(np.asarray(degrees, dtype=float)) - 90.0)
    calm, seen, steady = matrices(grid, OPEN_OHM)
    x = _at(steady, angles - OMEGA * STEP * FINE * before)
    fine = np.empty(((before + after) * FINE, len(angles), *seen.shape[:-1]))
    walk = expm(calm * STEP)
    for n in range(before * FINE):
        fine[n] = np.einsum("fksx,xa->afks", seen, x)
        x = walk @ x
    struck, seen, _ = matrices(grid, grid.fault_ohm)
    walk = expm(struck * STEP)
    for n in range(before * FINE, (before + after) * FINE):
        fine[n] = np.einsum("fksx,xa->afks", seen, x)
        x = walk @ x
    return sampled(fine)


def arcing(grid: Grid, degrees: float, before: int, after: int, arc_ms: float = 2.0) -> Real:
    """As ``strike`` of one angle (feeders x sections x samples x 6), with an arc: it goes out at the first zero of its
    current after so long, and comes back at 0.9 of the phase voltage's crest."""
    calm, seen, steady = matrices(grid, OPEN_OHM)
    burning, shown, _ = matrices(grid, grid.fault_ohm)
    walks = expm(calm * STEP), expm(burning * STEP)
    struck = PHASES * (1 + grid.faulted * SECTIONS + grid.at)
    angle = np.radians([degrees - 90.0]) - OMEGA * STEP * FINE * before
    x = _at(steady, angle)[:, 0]
    fine = np.empty(((before + after) * FINE, *seen.shape[:-1]))
    alight, since = False, 0
    for n in range(len(fine)):
        if n >= before * FINE and not alight:
            alight = n == before * FINE or bool(abs(x[struck]) >= 0.9 * math.sqrt(2) * PHASE_V)
            since = n
        fine[n] = (shown if alight else seen) @ x
        volts = x[struck]
        x = walks[alight] @ x
        if alight and volts * x[struck] <= 0 and (n - since) * STEP * 1e3 >= arc_ms:
            alight = False
    return sampled(fine)


def switching(grid: Grid, feeder: int, makes_s: tuple[float, ...], before: int, after: int) -> Real:
    """One feeder is open and closed pole by pole (feeders x sections x samples x 6)."""
    fine = np.empty(((before + after) * FINE, FEEDERS, SECTIONS, 2 * PHASES))
    walk = seen = np.zeros(0)
    x = np.zeros(0)
    made: tuple[bool, ...] | None = None
    for n in range(len(fine)):
        now = tuple(n * STEP >= before * FINE * STEP + t for t in makes_s)
        if now != made:
            poles = [0.0] * (FEEDERS * PHASES)
            poles[PHASES * feeder : PHASES * feeder + PHASES] = [0.0 if on else OPEN_OHM for on in now]
            states, seen, steady = matrices(grid, OPEN_OHM, tuple(poles))
            walk = expm(states * STEP)
            x = _at(steady, np.zeros(1))[:, 0] if made is None else x
            made = now
        fine[n] = seen @ x
        x = walk @ x
    return sampled(fine)


def sampled(fine: Real) -> Real:
    """Behind the instruments' filter, at the merging unit's rate."""
    filters = butter(3, 1600.0, fs=RATE * FINE, output="sos")
    start = sosfilt_zi(filters)[:, :, *([None] * (fine.ndim - 1))] * fine[0]
    passed, _ = sosfilt(filters, fine, axis=0, zi=start)
    return np.moveaxis(passed[::FINE], 0, -2)


def counts(rows: Real) -> npt.NDArray[np.int32]:
    """Eight counts of 9-2LE a sample."""
    amps, volts = rows[..., :3], rows[..., 3:]
    parts = (amps, amps.sum(axis=-1, keepdims=True), volts, volts.sum(axis=-1, keepdims=True))
    scaled = np.concatenate([x * (1000.0 if k < 2 else 100.0) for k, x in enumerate(parts)], axis=-1)
    return np.rint(scaled).astype(np.int32)

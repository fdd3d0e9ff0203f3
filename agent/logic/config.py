"""Every waiting time and limit of the brain, with its reason. All microseconds unless the name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BrainConfig:
    """Defaults fit agents on one station bus; a wide-area group raises the ``answer`` figures."""

    pickup_spread: int = 1_500
    """After our pick-up a neighbour that carries the same fault current has started at the latest by then."""
    dropoff_spread: int = 25_000
    """The same at drop-off: a full-cycle filter and the last pole's arc."""
    far_answer: int = 3_000
    """So much later answers a device that shares no zone with the one that picked up."""
    answer_wait: int = 9_000
    """From our pick-up: spread, two transfers and one retransmission. Who has not answered by then is uncertain."""
    late_look: int = 7_000
    """The least of it that is left once the pick-up has come to our notice: after a stall, answers wait unread, and the
    others have yet to be asked."""
    conventional_wait: int = 45_000
    """Instead of it where a neighbour has no SV: its relay needs up to two cycles."""
    conventional_delay: int = 25_000
    """How far behind real time a conventional relay's quiet flag may be."""
    claim_age: int = 2_000_000
    """A claim older than this locks, but trips no more."""
    fuse_wait: int = 100_000
    """In a zone with fused laterals a fault is the fuse's for so long."""
    voltage_lag: int = 60_000
    """Voltage indications follow the truth within this time."""
    deadlock: int = 2_500_000
    """A dead section that no plan of any agent's has led to be fed for so long: whoever can feed it alone asks."""
    operate_margin: int = 45_000
    """On top of the rated opening time: the last pole's current zero, its confirmation and the position's GOOSE."""
    position_margin: int = 200_000
    """On top of that when no pole carries current any more and only the position is still to come."""
    zero_wait: int = 700_000
    """A load-break switch that sees no current zero for so long has failed to isolate."""
    order_look: int = 25_000
    """A load-break switch that carries current is opened by order when it still carries load only so much later: a
    cycle for the slowest element, and the way of the samples."""
    clear_step: int = 120_000
    """A breaker above waits so long for each breaker between it and the claimed zone: opening time, arc, margin."""
    backup_base: int = 400_000
    """Time-graded backup of the last breaker before the end of a feeder …"""
    backup_step: int = 250_000
    """… and of each one before it."""
    introduction: int = 20_000
    """An agent that starts speaks first when it has heard its breaker's IED, or after this time."""
    startup: int = 600_000
    """Silence after start: listen, and measure the load, before agreeing to anything."""
    settle: int = 15_000
    """A dead section must be dead, and the picture unchanged, this long before anyone asks to feed it."""
    settle_move: int = 30_000
    """After the last switch has moved, sagging voltages come back within this time."""
    unsettled_wait: int = 1_000_000
    """While positions, pick-ups or voltages around a dead section still move, planning waits, at most so long."""
    generation_wait: int = 60_000
    """A section with generation is dead only if it stays dead so long after the last switch beside it moved."""
    infeed_loss_wait: int = 300_000
    """The same when no fault explains it: the supply may come back by itself."""
    act_within: int = 250_000
    """A request is carried out within this time of being made or given up …"""
    shed_hold: int = 1_500_000
    """A device that opened for a plan asks for nothing itself so long: the plan's other steps come first."""
    lease: int = 1_200_000
    """… and a grant binds this long if its request is never withdrawn: longer than act + close + transfer."""
    explain: int = 2_000_000
    """A section dark for so long, with no plan for it, is explained on the record."""
    retry: int = 400_000
    """Pause after a request that was not agreed; grows with each attempt."""
    close_validity: int = 100_000
    """The breaker's IED must start a close within this time of the order."""
    close_margin: int = 120_000
    """On top of the rated closing time before a close counts as failed."""
    onto_fault_window: int = 300_000
    """Pick-up within this time of our own close trips at once."""
    reservation_hold: int = 500_000
    """Capacity stays reserved so long after the request is done: until measured flow contains it."""
    reclose_reset: int = 600_000
    """After a reclose shot without pick-up for so long the fault was temporary."""
    claim_withdrawn: int = 30_000_000
    """Shots are counted anew after this time."""
    backfeed_machine: float = 8.0
    """Greatest fault current of a machine, multiple of its rating …"""
    backfeed_inverter: float = 1.2
    """… and of an inverter."""
    reach_factor: float = 1.2
    """A two-phase fault at the end of a restored path must be this multiple of every pick-up on it."""
    plan_limit: int = 6_000
    """Assignments that the exact search of a partial restoration may try; beyond it the search is greedy."""

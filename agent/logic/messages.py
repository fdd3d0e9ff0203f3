"""What goes into a brain and what comes out: plain immutable tuples, shared by the real shell and the simulator.

All times are integer microseconds of one time scale (UTC in the shell, virtual time in the simulator). Zone and device
sets are bit masks over the indices of :class:`scl.topology.Feeder`. Positive power flows from side A to side B.

The same :class:`Report` is a GOOSE data set on the wire (``agent.goose.dataset`` maps field by field) and an object in
the simulator. It is *state*, not an order: the newest report of a peer replaces the one before, so loss, duplication
and delay of frames can postpone a decision and never corrupt one.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Position(IntEnum):
    """Dbpos of IEC 61850-7-3."""

    INTERMEDIATE = 0
    OPEN = 1
    CLOSED = 2
    BAD = 3


class Direction(IntEnum):
    """Where fault current flows through a device."""

    NONE = 0
    INTO_B = 1
    INTO_A = 2
    UNKNOWN = 3


class Level(IntEnum):
    """How sure the overcurrent elements are: quiet, start (0.8 x pick-up), pick-up; BLIND without valid samples."""

    QUIET = 0
    START = 1
    PICKUP = 2
    BLIND = 3


class Live(IntEnum):
    """Voltage on one side of a device: DEAD is below 20 % of nominal in all phases, on valid data."""

    DEAD = 0
    LIVE = 1
    UNKNOWN = 2


class Measurement(NamedTuple):
    """What the protection core (or a conventional IED's flags) says of one device now."""

    level: Level = Level.QUIET
    direction: Direction = Direction.NONE
    """As measured (with voltage). The brain checks it against topology before it believes or publishes it."""
    start_us: int = 0
    """Sample time at which the present or last episode (level >= START) began; 0: never."""
    end_us: int = 0
    """Sample time at which the last episode ended; 0 while it lasts or if there was none."""
    upto_us: int = 0
    """Everything above is evaluated up to this sample time."""
    peak_a: float = 0.0
    """Largest fault-phase current of the present or last episode, A r.m.s."""
    current_zero: bool = True
    """No current in any pole, confirmed (also true through an open switch)."""
    p_kw: float = 0.0
    """Three-phase active power A to B, averaged over ~100 ms, held from before an episode."""
    q_kvar: float = 0.0
    live_a: Live = Live.UNKNOWN
    """Voltage on side A from the merging unit's voltage channels (the instrument side); UNKNOWN if it has none."""
    earth_alarm: bool = False
    """Earth fault in an isolated or compensated network: an alarm, not a trip."""
    pickup_us: int = 0
    """Sample time at which that episode reached PICKUP; 0: it did not. By then every device of the same setting that
    carries the fault current has left QUIET (start elements are the more eager ones)."""


class BreakerStatus(NamedTuple):
    """What the breaker's own IED says by GOOSE."""

    position: Position = Position.BAD
    live_a: Live = Live.UNKNOWN
    """Voltage presence indication (VPIS, IEC 62271-213) on side A."""
    live_b: Live = Live.UNKNOWN
    local: bool = False
    """Local/remote key in local: no remote or automatic close."""
    blocked: bool = False
    """The mechanism's IED holds close-blocked (its own retained copy of the lock-out)."""
    healthy: bool = True
    """Spring charged, no mechanism alarm."""
    operations: int = 0
    """Operation counter."""
    relay_level: Level = Level.QUIET
    """Conventional protection in the same IED (device without SV): its pick-up flag …"""
    relay_direction: Direction = Direction.NONE
    """… and direction, if it has one."""


class BreakerCommand(NamedTuple):
    """The order to the breaker's IED: a state it can take over at any repetition, not a pulse.

    ``trip`` is level-sensitive: while true the mechanism opens and stays open. A close is one shot: the IED closes once
    when ``close_number`` grows, only if the frame is authentic, not test, not blocked, and its clock is below
    ``close_expiry_us``.
    """

    trip: bool = False
    close_number: int = 0
    close_expiry_us: int = 0
    block_close: bool = False


class RequestKind(IntEnum):
    """What an agent asks its peers to agree to."""

    NONE = 0
    RESTORE = 1
    """Close my device and so feed ``zones``."""
    RECLOSE = 2
    """Configured automatic reclose shot onto ``zones``, which may still be faulted."""
    RETURN = 3
    """Return to normal: ``opens`` carries load now, then my device feeds ``zones``."""


class Request(NamedTuple):
    """One step that needs agreement: prepared here, granted by every agent named by topology, then carried out."""

    number: int = 0
    """Grows with every new request of this agent, over restarts as well; 0: no request."""
    kind: RequestKind = RequestKind.NONE
    zones: int = 0
    """Zones that the close energises."""
    p_kw: float = 0.0
    q_kvar: float = 0.0
    opens: int = 0
    """Devices that must be open first (shedding, splitting); their agents open them."""


class Report(NamedTuple):
    """Everything an agent tells its peers: one GOOSE data set."""

    position: Position = Position.BAD
    level: Level = Level.BLIND
    direction: Direction = Direction.NONE
    start_us: int = 0
    end_us: int = 0
    upto_us: int = 0
    peak_a: float = 0.0
    live_a: Live = Live.UNKNOWN
    live_b: Live = Live.UNKNOWN
    p_kw: float = 0.0
    q_kvar: float = 0.0
    claim_number: int = 0
    """Grows with each claim of this agent, over restarts as well."""
    claim_zones: int = 0
    """Zones this agent has found faulted and not yet released."""
    claim_us: int = 0
    """When the newest of them was found."""
    claim_final: bool = True
    """False: an automatic reclose shot is still to come; close is refused to all others, nothing is latched yet."""
    locked_a: bool = False
    """Locked out because of a fault on side A …"""
    locked_b: bool = False
    """… on side B."""
    latched: bool = False
    """The lock-out is on disk (fsync)."""
    failed: bool = False
    """The device did not open when told (breaker failure)."""
    automation: bool = True
    """Automation is on: the agent restores. Off: it still trips and locks."""
    tagged: bool = False
    """A hot-line or maintenance tag is set: no close by anyone."""
    ready: bool = False
    """Up, synchronized with its breaker IED, past its start-up silence."""
    request: Request = Request()
    grants: tuple[tuple[int, int], ...] = ()
    """(device index of the requester, request number) that this agent agrees to; at most GRANTS_MAX."""


GRANTS_MAX = 4


class LockRecord(NamedTuple):
    """What must survive: written by the sibling process, on disk before ``latched`` is announced."""

    locked_a: bool
    locked_b: bool
    tagged: bool
    claim_number: int
    claim_zones: int
    request_number: int
    claims_seen: tuple[tuple[int, int], ...] = ()
    """(device index, claim number) of peers' claims already acted on or released."""


class CommandKind(IntEnum):
    """What a person (or SCADA) may ask of an agent; each is answered by a :class:`CommandResult`."""

    OPEN = 1
    CLOSE = 2
    RELEASE = 3
    """Release the lock-out; local and by role only (the station process proves both)."""
    TAG = 4
    UNTAG = 5
    AUTOMATION_ON = 6
    AUTOMATION_OFF = 7
    RETURN_TO_NORMAL = 8


class Command(NamedTuple):
    """An order from outside; ``origin`` is for the record."""

    kind: CommandKind
    identifier: int
    origin: str
    local: bool = False
    """Given at the device by an authorised role, not over the network."""


class Refusal(IntEnum):
    """Why an order was not carried out; the MMS server turns it into the AddCause of IEC 61850-7-2."""

    NONE = 0
    LOCKED_OUT = 1
    TAGGED = 2
    AUTOMATION_OFF = 3
    LOCAL = 4
    BOTH_SIDES_LIVE = 5
    NOT_DEAD = 6
    STALE_DATA = 7
    NOT_AGREED = 8
    CAPACITY = 9
    POSITION = 10
    NOT_AUTHORISED = 11
    UNHEALTHY = 12
    BREAKING_CAPACITY = 13
    FAULT_PRESENT = 14
    NOT_LATCHED = 15


# --- what a brain's step returns -------------------------------------------------------------------------------------


class Publish(NamedTuple):
    """Send this report to all peers now (a new stNum)."""

    report: Report


class Operate(NamedTuple):
    """Send this order to the breaker's IED now (a new stNum)."""

    command: BreakerCommand


class Latch(NamedTuple):
    """Write this to disk; answer with ``Brain.latched(record, ok, now)``."""

    record: LockRecord


class CommandResult(NamedTuple):
    """The answer to a :class:`Command`."""

    identifier: int
    accepted: bool
    refusal: Refusal = Refusal.NONE
    text: str = ""


class Event(NamedTuple):
    """For the record: name from ``docs/reference/events.md``, device index that reports, free details."""

    name: str
    now_us: int
    details: tuple[tuple[str, str | int | float | bool], ...] = ()


Action = Publish | Operate | Latch | CommandResult | Event

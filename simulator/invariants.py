"""The nine invariants, judged on plant truth after every step. Shares nothing with the brain but the messages it sends.

1  A faulted zone, once dead, is never energised again, but by a breaker with automatic reclose shots configured, at
   most as often as it has shots. *Except*: once, if the fault could not be seen (no device beside it carried pick-up
   current into its zone for 15 ms, or 45 ms if only conventional relays did, or 110 ms with fused laterals, while none
   left it: struck while dead, hidden by or before another fault, fed by generators only), or if a scenario makes a
   device lie undetectably (pick-up late, missing or of false direction; a load-break switch without voltage and
   current that says open and is not): no checker can ask a brain to know what every sensor denies. Each reason counts
   once a fault, a lie once for each lying contact; the switch onto it must then clear it and keep it dead.
2  No contact is made with both sides live, no island holds a loop, two sources, or a source's own zone fed from
   elsewhere (unless the device that was closed has ``allow_parallel``). Islands on generators count as live. What a
   lying contact joins is judged as if it were open.
3  A mechanism never starts to close while its IED retains the block, nor on an order that left the agent while locked
   or tagged. Locked: since the agent first said so (report or order), until a local, authorised release; after a crash,
   what is on disk or retained by the IED counts.
4  *Calm runs* (all agents healthy, every frame delivered in the end, nobody lies; where frames were lost and a claim
   was widened because an answer came too late, the run is not calm): at the end every boundary of a seen,
   permanent fault's zone is open; what else is open was open before, bounds a faulted zone, was opened by a recorded
   plan, or keeps a dark zone dark or two live parts apart. A fault behind a lateral fuse opens nothing.
5  *Calm runs*: kW by priority restored are not below what brute force finds (:mod:`simulator.oracle`; not judged where
   its search was cut short; after a switch onto an unseen fault, what is fed stays fed, and so does what a reclose
   shot has fed, or what was asked for before anybody could know that more supply would be lost; a zone that
   had been fed for less than 2 s when the outage began counts, as a dead one, with its generators lost: its load has
   not been metered yet). *All runs*: a healthy zone that could be reached and is dark has
   a stated reason on record: a "dark" or claim event that names it, a request for it given up, or a silent, tagged,
   locked, blind or ordered agent beside it; or such an agent or a zone with a stated reason lies on every way to it.
6  After every closing: no device, zone or source is loaded above its rating that was not so before. Islands with a
   fault in them are left out, and scenarios with a lying contact.
7  No frame that is unauthenticated, replayed, stale or in test mode is accepted by any agent or breaker IED (stricter
   than "moves no device").
8  From its restart until its start-up silence is over (0.4 s) an agent's device starts no movement on an order given
   after the restart, unless fault current flows, has flowed since or less than 30 ms before (a filter's memory), or
   another agent has made a claim since; at the end it is ready again.
9  When contacts part, the current through the device is within its breaking capacity. *Except* where the fault struck
   while they were moving: an order that is being carried out cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from agent.logic.messages import BreakerCommand, LockRecord, Position, Report, RequestKind
from simulator.aftermath import LastWord
from simulator.virtual.plant import DEAD, ISLAND, Fault

if TYPE_CHECKING:
    from simulator.virtual.world import World

SEEN_AFTER = 15_000
SEEN_AFTER_RELAY = 45_000
"""A conventional relay needs longer: its own filter and element, a contact, a poll."""
SEEN_AFTER_FUSED = 110_000
"""Where a zone has fused laterals, a fault is first left to the fuse."""
STARTUP = 400_000
FILTER_MEMORY = 30_000
"""Fault current that is over shows in measurements for so long: a full-cycle filter and the drop-off."""
LOSS_SEEN = 10_000
"""A merging unit misses a voltage after so long: who asked earlier could not reckon with it."""
SEPARATE = 2_000_000
"""Happenings further apart are outages of their own."""
NAMES = {
    1: "fault never energised again",
    2: "nothing paralleled",
    3: "locked stays open",
    4: "exactly the boundaries open",
    5: "all that can be fed is fed",
    6: "ratings kept",
    7: "no forged frame acts",
    8: "restart moves nothing",
    9: "breaking capacity kept",
}


class Broken(NamedTuple):
    """An invariant that did not hold."""

    invariant: int
    now_us: int
    why: str


class Watch:
    """What is known of one fault."""

    __slots__ = ("again", "enough", "excused", "fault", "isolated", "lies", "sampled_since", "seen", "shots", "since")

    def __init__(self, fault: Fault, fused: bool) -> None:
        self.fault = fault
        self.enough = SEEN_AFTER_FUSED if fused else SEEN_AFTER
        self.since = 0
        """Since when a device carries pick-up current into it; 0: none does."""
        self.sampled_since = 0
        """The same of devices with sampled values."""
        self.seen = False
        self.isolated = False
        self.again = 0
        self.excused = 0
        self.lies = 0
        self.shots: dict[int, int] = {}

    def lasted(self, now: int) -> bool:
        """Has pick-up current flowed into it for long enough to be seen?"""
        by_relay = bool(self.since) and now - self.since >= max(self.enough, SEEN_AFTER_RELAY)
        return by_relay or (bool(self.sampled_since) and now - self.sampled_since >= self.enough)


class Monitor:
    """See the module. The world calls it at each step; :attr:`broken` is the first violation."""

    def __init__(self, world: World) -> None:
        self.world = world
        count = world.count
        self.broken: Broken | None = None
        self.watches: list[Watch] = []
        self.agent_locked = [False] * count
        """Locked or tagged by the agent's own last word."""
        self.order_number = [0] * count
        self.order_locked = [False] * count
        """The newest close order left the agent while it was locked."""
        self.restarted_at = [0] * count
        self.opening_at = [0] * count
        self.fault_current_at = 0
        self.fault_flows = False
        self.calm = world.scenario.calm
        self.claims = [(0, 0)] * count
        """Number of each agent's newest claim, and when it was made."""
        self.over: dict[str, float] = {}
        self.ready = [False] * count
        self.kind = [RequestKind.NONE] * count
        """What each agent last asked its peers for."""
        self.asked = [(0, 0)] * count
        """Number of each agent's last request, and when it was made."""
        faulty = world.scenario.faulty
        self.false_contacts = [world.feeder.device_index[n] for n, f in faulty.items() if f.lying_contact]
        """Devices that may say open and carry current."""
        self.lying = bool(self.false_contacts) or any(f.lies for f in faulty.values())
        self.ever_dead = 0
        """Zones that the present outage has taken."""
        self.outage_at = 0
        self.restored_since = False
        self.dead = 0
        self.back_at = [0] * world.layout.zones
        """When each zone last came back to life."""
        self.unmetered = 0
        """Zones that had only just been fed when the present outage began."""
        self.lost_kw = self.restorable_kw = self.restored_kw = 0.0

    def breaks(self, invariant: int, now: int, why: str) -> None:
        """An invariant did not hold; the first one counts."""
        if self.broken is None:
            self.broken = Broken(invariant, now, why)
            self.world.note(now, "", "BROKEN", ("invariant", invariant), ("why", why))

    def _name(self, device: int) -> str:
        return self.world.names[device]

    def _zone(self, zone: int) -> str:
        return self.world.feeder.zones[zone].name

    # --- what the agents say and order -------------------------------------------------------------------------------

    def published(self, now: int, device: int, report: Report) -> None:
        """An agent's word on itself."""
        if report.locked_a or report.locked_b or report.tagged:
            self.agent_locked[device] = True
        self.ready[device] = report.ready
        if report.claim_zones and report.claim_number != self.claims[device][0]:
            self.claims[device] = (report.claim_number, report.claim_us)
        if report.request.number:
            if report.request.number != self.asked[device][0]:
                self.asked[device] = (report.request.number, now)
            self.kind[device] = report.request.kind

    def ordered(self, device: int, command: BreakerCommand) -> None:
        """An order leaves an agent."""
        if command.block_close:
            self.agent_locked[device] = True
        if command.close_number > self.order_number[device] and command.close_expiry_us:
            self.order_number[device] = command.close_number
            self.order_locked[device] = self.agent_locked[device]

    def released(self, device: int) -> None:
        """A local, authorised release has been asked for."""
        self.agent_locked[device] = False
        self.order_locked[device] = False

    def crashed(self, device: int) -> None:
        """What an agent only had in memory is gone."""
        self.agent_locked[device] = self.world.bays.block[device]

    def restarting(self, now: int, device: int) -> None:
        """An agent starts again."""
        self.restarted_at[device] = now
        self.ready[device] = False

    def restored(self, device: int, record: LockRecord | None) -> None:
        """What it found on its disk."""
        if record is not None and (record.locked_a or record.locked_b or record.tagged):
            self.agent_locked[device] = True

    def forgery(self, now: int, device: int, what: str) -> None:
        """A forged frame has passed an acceptance rule."""
        self.breaks(7, now, f"{self._name(device)} accepted a frame that is {what}")

    # --- movement ----------------------------------------------------------------------------------------------------

    def _restart_moved(self, now: int, device: int, sent: int, what: str) -> None:
        since = self.restarted_at[device]
        flows = any(self.world.plant.root[f.zone] != DEAD for f in self.world.plant.faults)
        claimed = any(at >= since for peer, (_, at) in enumerate(self.claims) if peer != device)
        early = since and since <= sent and now - since <= STARTUP
        if early and self.fault_current_at + FILTER_MEMORY < since and not flows and not claimed:
            self.breaks(8, now, f"{self._name(device)} {what} {(now - since) / 1000:.1f} ms after its agent's restart")

    def opening(self, now: int, device: int, sent: int) -> None:
        """A mechanism starts to open."""
        self.world.met["opening"] += 1
        self.opening_at[device] = now
        self._restart_moved(now, device, sent, "opens")

    def closing(self, now: int, device: int, sent: int, number: int) -> None:
        """A mechanism starts to close."""
        self.world.met["closing"] += 1
        if self.world.bays.block[device]:
            self.breaks(3, now, f"{self._name(device)} closes while its IED retains the block")
        if self.order_locked[device] and number == self.order_number[device]:
            self.breaks(3, now, f"{self._name(device)} closes on an order given while locked or tagged")
        self._restart_moved(now, device, sent, "closes")

    def parting(self, now: int, device: int, amps: float) -> None:
        """Contacts part."""
        limit = self.world.feeder.devices[device].breaking_current_a
        if amps > limit * 1.0001:
            if any(fault.since_us >= self.opening_at[device] for fault in self.world.plant.faults):
                self.world.met["excused_struck_while_opening"] += 1
                return
            self.breaks(9, now, f"{self._name(device)} parts {amps:.0f} A and may break {limit:.0f} A")

    def making(self, now: int, device: int) -> None:
        """Contacts touch; the plant is still as before."""
        world = self.world
        a, b = world.layout.sides[device]
        both = self._alive(a) and self._alive(b) and not world.feeder.devices[device].allow_parallel
        if both and not self._by_false_contact(lambda: not (self._alive(a) and self._alive(b))):
            self.breaks(2, now, f"{self._name(device)} closes with {self._zone(a)} and {self._zone(b)} both live")
        self.over = dict(world.plant.overloads())

    def _by_false_contact(self, harmless: Callable[[], bool]) -> bool:
        """Would it be harmless if the contacts that say they are open were open?"""
        plant = self.world.plant
        lying = [d for d in self.false_contacts if plant.closed[d] and self.world.bays.position[d] is Position.OPEN]
        if not lying:
            return False
        for device in lying:
            plant.closed[device] = False
        plant.solve()
        answer = harmless()
        for device in lying:
            plant.closed[device] = True
        plant.solve()
        self.world.met["excused_lying_contact"] += answer
        return answer

    def _alive(self, zone: int) -> bool:
        """Joined to a source (whatever its voltage during a fault), or to generators that hold a voltage."""
        plant = self.world.plant
        return plant.root[zone] != DEAD and (plant.root[zone] != ISLAND or plant.live(zone))

    # --- after every change of the plant -----------------------------------------------------------------------------

    def struck(self, now: int, fault: Fault) -> None:
        """A fault happens."""
        self.outage(now)
        feeder = self.world.feeder
        fused = any(feeder.loads[i].fused for i in feeder.zones[fault.zone].loads)
        self.watches.append(Watch(fault, fused))

    def outage(self, now: int) -> None:
        """Something takes supply away: what was restored long before, or since the last time, is no part of it."""
        if now - self.outage_at > SEPARATE or self.restored_since:
            self.ever_dead = sum(1 << z for z, root in enumerate(self.world.plant.root) if root == DEAD)
            self.unmetered = sum(1 << z for z, at in enumerate(self.back_at) if at and now - at < SEPARATE)
        self.outage_at = now
        self.restored_since = False

    def step(self, now: int, closed: int) -> None:
        """The plant has been solved; ``closed``: the device that has just made contact, -1 if none has."""
        plant = self.world.plant
        self.restored_since |= closed >= 0
        if self.fault_flows:
            self.fault_current_at = now
        self.fault_flows = any(plant.root[f.zone] != DEAD for f in plant.faults)
        allowed = closed >= 0 and self.world.feeder.devices[closed].allow_parallel
        if plant.looped and not allowed and not self._by_false_contact(lambda: not plant.looped):
            self.breaks(2, now, "an island holds a loop or two sources")
        self._life(now, closed)
        for watch in self.watches:
            if watch.fault in plant.faults:
                self._watch(now, watch, closed)
        if closed >= 0 and not self.false_contacts:
            for name, loading in plant.overloads():
                if loading > self.over.get(name, 1.0) * (1 + 1e-6):
                    self.breaks(6, now, f"{name} loaded to {loading:.3f} pu after {self._name(closed)} closed")

    def _life(self, now: int, closed: int) -> None:
        """Which zones have died, and which are back, and by what."""
        stays = closed >= 0 and (
            self.kind[closed] is RequestKind.RECLOSE or self.asked[closed][1] <= self.outage_at + LOSS_SEEN
        )
        for zone, root in enumerate(self.world.plant.root):
            if root == DEAD:
                self.ever_dead |= 1 << zone
                self.dead |= 1 << zone
            elif self.dead >> zone & 1:
                self.dead ^= 1 << zone
                self.back_at[zone] = now
                if stays:
                    self.ever_dead &= ~(1 << zone)

    def _watch(self, now: int, watch: Watch, closed: int) -> None:
        world = self.world
        plant = world.plant
        zone = watch.fault.zone
        root = plant.root[zone]
        into, sampled = self._into(zone)
        watch.seen |= watch.lasted(now)
        watch.since = (watch.since or now) if into else 0
        watch.sampled_since = (watch.sampled_since or now) if sampled else 0
        if root == DEAD:
            watch.isolated = True
        elif watch.isolated:
            watch.isolated = False
            watch.again += 1
            world.met["energised_onto_fault"] += 1
            reclose = closed >= 0 and self.kind[closed] is RequestKind.RECLOSE
            shots = world.feeder.devices[closed].reclose_dead_times_ms if reclose else ()
            if len(shots) > watch.shots.get(closed, 0):
                watch.shots[closed] = watch.shots.get(closed, 0) + 1
            elif watch.fault.lateral:
                pass  # its fuse is still to blow: it is the fuse's
            elif not watch.seen and not watch.excused & 1:
                watch.excused |= 1
                world.met["excused_onto_unseen_fault"] += 1
            elif self.lying and watch.lies < max(1, len(self.false_contacts)):
                watch.lies += 1
                world.met["excused_onto_fault_by_a_lie"] += 1
            else:
                by = f" by {self._name(closed)}" if closed >= 0 else ""
                self.breaks(1, now, f"faulted {self._zone(zone)} energised again{by}")

    def _into(self, zone: int) -> tuple[bool, bool]:
        """Does a boundary carry pick-up current into the zone, and none any out of it? And one with sampled values?"""
        plant, layout = self.world.plant, self.world.layout
        into = sampled = False
        for device, _ in layout.exits[zone]:
            amps = plant.fault_a[device]
            if not amps or not plant.level(device):
                continue
            if (layout.sides[device][1] == zone) != (amps > 0):
                return False, False
            if plant.level(device) == 2:
                into = True
                sampled |= self.world.feeder.devices[device].merging_unit is not None
        return into, sampled

    # --- at the end --------------------------------------------------------------------------------------------------

    def end(self, now: int) -> None:
        """The last word: invariants 4, 5 and the second half of 8."""
        LastWord(self).judge(now)

"""The station bus in virtual time: reports to all peers, orders to and positions from the breaker's IED.

GOOSE retransmission is modelled and not played: a publication whose first frame is lost arrives with the repetition
after 4, 20, 120 or 1120 ms (intervals 4, 16, 100, 1000 ms) unless a newer state has replaced it; the heartbeat in
between costs nothing. A publisher that stops, or is cut off, is *lost* one timeAllowedToLive after its last frame
(twice the interval then running, at least 20 ms). After a cut heals, or a subscriber starts, the next heartbeat brings
the present state.

Acceptance. Frames that can be anything but genuine pass :class:`Gate`, a model of the subscriber's rule (IEC 62351-6:
authentic; not test or simulated; stNum newer than the last one, or it is a replay; no older than 10 s): the agents'
real subscriber is tested on its own, in ``tests/goose``. Genuine frames are authentic by construction, so of the rule
only "newer than the last" can fail for them (reordering, duplication), and only that is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.logic.messages import BreakerCommand, BreakerStatus, Report
from simulator.virtual.acceptance import MAX_AGE, Frame, Gate

if TYPE_CHECKING:
    from simulator.virtual.world import World

OFFSETS = (0, 4_000, 20_000, 120_000, 1_120_000)
INTERVALS = (4_000, 16_000, 100_000, 1_000_000)


class Bus:
    """All three kinds of stream of one run."""

    def __init__(self, world: World) -> None:
        self.world = world
        lan = world.scenario.lan
        self.loss, self.delay, self.jitter = lan.loss, lan.delay_us, max(lan.jitter_us, 1)
        self.duplicate, self.reorder = lan.duplicate, lan.reorder
        count = world.count
        self.st = 0
        self.latest: list[tuple[int, int, Report] | None] = [None] * count
        """Newest publication of each agent: (st, when, report)."""
        self.got: list[list[int]] = [[-1] * count for _ in range(count)]
        """got[sender][receiver]: newest st accepted."""
        self.lost: list[list[bool]] = [[False] * count for _ in range(count)]
        self.order_got = [-1] * count
        self.status_got = [-1] * count
        self.group = [0] * count
        self.silent: list[int] = [0] * count
        """Counts stops of each sender, so that an old 'lost' event finds out that it is obsolete."""
        self.gate = Gate()
        self.clean = not (self.loss or self.reorder or self.duplicate)
        self.refused: dict[str, int] = {}

    def _latency(self) -> int:
        return self.delay + int(self.world.random() * self.jitter)

    def _attempt(self) -> tuple[int, int]:
        """Which repetition gets through, and its delay after the publication."""
        world = self.world
        k = 0
        while k < 4 and world.random() < self.loss:
            k += 1
        delay = OFFSETS[k] + self._latency()
        if self.reorder and world.random() < self.reorder:
            delay += int(world.random() * 3_000)
        return k, delay

    # --- reports -----------------------------------------------------------------------------------------------------

    def publish(self, sender: int, report: Report, now: int) -> None:
        """A new report to all peers."""
        self.st += 1
        st = self.st
        self.latest[sender] = (st, now, report)
        world = self.world
        world.met["reports"] += 1
        if self.clean:
            world.at(now + self._latency(), self._arrive, sender, (st, report, None))
            return
        prompt: list[int] = []
        for receiver in range(world.count):
            if receiver == sender:
                continue
            k, delay = self._attempt()
            if k == 0 and delay < self.delay + self.jitter:
                prompt.append(receiver)
                continue
            if k:
                world.met["frame_lost"] += 1
            if k == 4:
                world.at(now + OFFSETS[3], self._expire, receiver, (sender, st))
            world.at(now + delay, self._arrive, sender, (st, report, (receiver,)))
        world.at(now + self._latency(), self._arrive, sender, (st, report, prompt))
        if self.duplicate and world.random() < self.duplicate:
            world.met["frame_duplicated"] += 1
            world.at(now + 2 * self._latency(), self._arrive, sender, (st, report, prompt))

    def _arrive(self, now: int, sender: int, what: tuple[int, Report, list[int] | tuple[int, ...] | None]) -> None:
        st, report, receivers = what
        world, group, brains = self.world, self.group, self.world.brains
        repeated = receivers is not None
        if repeated and brains[sender] is None and now - self.latest_time(sender) > 2_000:
            return  # it stopped before this repetition
        mine, got, lost, hear = group[sender], self.got[sender], self.lost[sender], world.hear
        for receiver in range(world.count) if receivers is None else receivers:
            if receiver == sender or group[receiver] != mine or (brain := brains[receiver]) is None:
                continue
            if got[receiver] >= st:
                world.met["frame_old"] += 1
                continue
            got[receiver] = st
            lost[receiver] = False
            hear(brain, receiver, sender, report, now)

    def latest_time(self, sender: int) -> int:
        """When the agent last published a change."""
        latest = self.latest[sender]
        return latest[1] if latest else 0

    def _expire(self, now: int, receiver: int, what: tuple[int, int]) -> None:
        """Four frames in a row were lost: the time allowed to live runs out before the fifth."""
        sender, st = what
        if self.got[sender][receiver] < st and self.world.brains[receiver] is not None:
            self._lose(receiver, sender, now)

    def _lose(self, receiver: int, sender: int, now: int) -> None:
        if not self.lost[sender][receiver] and self.got[sender][receiver] >= 0:
            self.lost[sender][receiver] = True
            self.world.met["peer_lost"] += 1
            self.world.lose(receiver, sender, now)

    def _silence_from(self, sender: int, now: int) -> int:
        """When subscribers notice that a sender stopped now."""
        since = now - self.latest_time(sender)
        last, interval = 0, INTERVALS[0]
        for k, offset in enumerate(OFFSETS):
            if offset <= since:
                last, interval = offset, INTERVALS[min(k, 3)]
        if since > OFFSETS[-1]:
            last = since - (since - OFFSETS[-1]) % INTERVALS[-1]
        return now - since + last + max(2 * interval, 20_000)

    def stopped(self, sender: int, now: int) -> None:
        """An agent has crashed."""
        self.silent[sender] += 1
        self.world.at(max(now, self._silence_from(sender, now)), self._noticed, sender, (self.silent[sender], True))

    def _noticed(self, now: int, sender: int, what: tuple[int, bool]) -> None:
        token, crashed = what
        if token != self.silent[sender]:
            return
        for receiver in range(self.world.count):
            if receiver == sender or self.world.brains[receiver] is None:
                continue
            if crashed or self.group[receiver] != self.group[sender]:
                self._lose(receiver, sender, now)

    def cut(self, groups: list[int], now: int) -> None:
        """The network falls apart: devices of different groups hear each other no more."""
        self.group = groups
        for sender in range(self.world.count):
            if self.world.brains[sender] is not None:
                self.silent[sender] += 1
                self.world.at(
                    max(now, self._silence_from(sender, now)), self._noticed, sender, (self.silent[sender], False)
                )
                # A second cut may join what the first one had parted: those who hear again get the present state.
                self.world.at(now + int(self.world.random() * 1_000_000), self._refresh, sender, None)

    def heal(self, now: int) -> None:
        """The network is whole again; the next heartbeats bring everyone up to date."""
        self.group = [0] * self.world.count
        for sender in range(self.world.count):
            if self.world.brains[sender] is not None:
                self.silent[sender] += 1
                self.world.at(now + int(self.world.random() * 1_000_000), self._refresh, sender, None)

    def _refresh(self, now: int, sender: int, receivers: tuple[int, ...] | None) -> None:
        """A heartbeat: whoever has not the present state, or had lost the sender, gets it."""
        latest, world = self.latest[sender], self.world
        if latest is None or world.brains[sender] is None:
            return
        for receiver in range(world.count) if receivers is None else receivers:
            brain = world.brains[receiver]
            if receiver == sender or brain is None or self.group[receiver] != self.group[sender]:
                continue
            if self.got[sender][receiver] < latest[0] or self.lost[sender][receiver]:
                self.got[sender][receiver] = latest[0]
                self.lost[sender][receiver] = False
                world.hear(brain, receiver, sender, latest[2], now)

    def joined(self, receiver: int, now: int) -> None:
        """An agent has started: it knows nobody, and hears each peer's next heartbeat."""
        world = self.world
        self.silent[receiver] += 1
        for got, lost in zip(self.got, self.lost, strict=True):
            got[receiver], lost[receiver] = -1, False
        self.status_got[receiver] = -1
        for sender in range(world.count):
            if sender != receiver:
                world.at(now + int(world.random() * 1_000_000), self._refresh, sender, (receiver,))

    # --- the bay: agent and breaker IED ------------------------------------------------------------------------------

    def operate(self, device: int, command: BreakerCommand, now: int) -> None:
        """An order to the breaker's IED."""
        self.st += 1
        self.world.at(now + self._attempt()[1], self._operate, device, (self.st, command, now))

    def _operate(self, now: int, device: int, what: tuple[int, BreakerCommand, int]) -> None:
        st, command, sent = what
        if self.order_got[device] < st:
            self.order_got[device] = st
            self.world.bays.order(now, device, command, sent)

    def status(self, device: int, status: BreakerStatus, now: int) -> None:
        """The breaker's IED says what has changed."""
        self.st += 1
        self.world.at(now + self._attempt()[1], self._status, device, (self.st, status))

    def _status(self, now: int, device: int, what: tuple[int, BreakerStatus]) -> None:
        st, status = what
        if self.status_got[device] < st:
            self.status_got[device] = st
            self.world.status_heard(device, status, now)

    # --- the adversary -----------------------------------------------------------------------------------------------

    def forge(self, now: int, device: int, what: str) -> None:
        """Inject one frame: ``<unauthenticated|replayed|test|stale>-<trip|close|report>``."""
        flaw, _, aim = what.partition("-")
        world = self.world
        world.met[f"forged_{flaw}"] += 1
        latest = self.latest[device]
        frame = Frame(
            st=self.st + 1,
            sent_us=now - 2 * MAX_AGE if flaw == "stale" else now,
            authentic=flaw != "unauthenticated",
            test=flaw == "test",
        )
        if aim == "report":
            a, b = world.layout.sides[device]
            base = latest[2] if latest else Report()
            report = base._replace(
                claim_number=base.claim_number + 1, claim_zones=1 << a | 1 << b, claim_us=now, claim_final=True
            )
            for receiver in range(world.count):
                brain = world.brains[receiver]
                if receiver == device or brain is None:
                    continue
                last = self.got[device][receiver]
                if flaw == "replayed":
                    if last < 0:
                        continue  # to one who has heard nothing yet, a replay is merely late
                    frame = Frame(last, now)
                if self._refused(frame, last, now):
                    continue
                world.monitor.forgery(now, receiver, what)
                world.hear(brain, receiver, device, report, now)
            return
        last = self.order_got[device]
        if flaw == "replayed":
            frame = Frame(last, frame.sent_us)
        if self._refused(frame, last, now):
            return
        world.monitor.forgery(now, device, what)
        order = BreakerCommand(aim == "trip", 1 << 40 if aim == "close" else 0, now + 100_000)
        world.bays.order(now, device, order, now)

    def _refused(self, frame: Frame, last: int, now: int) -> bool:
        why = self.gate.refusal(frame, last, now)
        if why:
            self.refused[why] = self.refused.get(why, 0) + 1
        return bool(why)

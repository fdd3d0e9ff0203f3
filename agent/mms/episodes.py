"""What began and ended between two looks at the state: shown all the same, one after the other.

The state is looked at ten times a second; a fault may be over in half that time, and a trip with it. The core remembers
the last episode (start, pick-up, end), the event log the last trip; so beginning and end become two steps, and a
buffered report tells both with their times.
"""

from __future__ import annotations

from agent.logic.messages import Level
from agent.mms.model import IedState


class Episodes:
    """Remembers the last episode and the last trip that were shown."""

    def __init__(self) -> None:
        self._started: int | None = None
        """start_us; None: nothing was shown yet, what lies before is history."""
        self._tripped = 0

    def steps(self, state: IedState) -> tuple[IedState, ...]:
        """The states to show, the newest last."""
        measurement, between = state.measurement, state
        started, self._started = self._started, measurement.start_us
        tripped, self._tripped = self._tripped, state.trip_us
        if started is None:
            return (state,)
        if measurement.level is Level.QUIET and started < measurement.start_us <= measurement.end_us:
            picked = measurement.pickup_us >= measurement.start_us
            level = Level.PICKUP if picked else Level.START
            then = measurement._replace(level=level, direction=state.report.direction)
            between = between._replace(measurement=then)
        if state.trip_us > tripped and not state.order.trip:
            between = between._replace(order=state.order._replace(trip=True))
        return (state,) if between is state else (between, state)

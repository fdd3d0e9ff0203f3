"""Fault episodes that began and ended between two looks at the state: shown all the same, one after the other.

The state is looked at ten times a second; a fault may be over in half that time. The core remembers the last episode
(start, pick-up, end), so its start and its end are two steps, and a buffered report tells both with their times.
"""

from __future__ import annotations

from agent.logic.messages import Level
from agent.mms.model import IedState


class Episodes:
    """Remembers the last episode that was shown."""

    def __init__(self) -> None:
        self._shown: int | None = None
        """start_us; None: nothing was shown yet, what lies before is history."""

    def steps(self, state: IedState) -> tuple[IedState, ...]:
        """The states to show, the newest last."""
        measurement = state.measurement
        last, self._shown = self._shown, measurement.start_us
        missed = last is not None and measurement.start_us > last and measurement.level is Level.QUIET
        if not missed or not measurement.end_us >= measurement.start_us:
            return (state,)
        level = Level.PICKUP if measurement.pickup_us >= measurement.start_us else Level.START
        return state._replace(measurement=measurement._replace(level=level)), state

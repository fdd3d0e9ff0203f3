"""One figure of a benchmark: what was measured, the goal, the peer's figure.

``ratio`` is how many times better ours is than the peer (above 1: ours ahead), whichever direction is better for the
metric. A row without a peer still has a goal.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``case`` names the network or stream and the work, ``metric`` the figure."""

    case: str
    metric: str
    unit: str
    ours: float | None
    goal: float | None
    smaller_is_better: bool = True
    peer: float | None = None
    peer_name: str | None = None
    """Program and version that ``peer`` was measured with, on this machine."""

    @property
    def met(self) -> bool | None:
        """Whether ours reaches the goal; None without a figure or a goal."""
        if self.ours is None or self.goal is None:
            return None
        return self.ours <= self.goal if self.smaller_is_better else self.ours >= self.goal

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the peer."""
        if not self.ours or not self.peer:
            return None
        return self.peer / self.ours if self.smaller_is_better else self.ours / self.peer

    def as_json(self) -> dict[str, Any]:
        """The keys that programs rely on (``docs/reference/commands.md``)."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}

"""The one-line diagram of a feeder: SVG for a page, coloured text for a terminal.

Both read from left to right, sources on the left; what closes no gap in that tree (ties, rings) is drawn dashed. Form
tells the kind and filling the position, so that nothing rests on colour alone: a breaker is a square, a load-break
switch a circle; filled is closed, hollow is open, crossed is bad or in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from rich.text import Text

from scl.layout import CLOSED, OPEN, Branch, Forest, Positions, ZoneStates, forest_of, position_of, states_of
from scl.topology import DeviceKind, Feeder

COLOURS = {"live": "#1a7f37", "restored": "#0969da", "dead": "#6e7781", "faulted": "#cf222e", "shed": "#9a6700"}
OTHER_COLOUR = "#8250df"
STYLES = {"live": "green", "restored": "bold blue", "dead": "bright_black", "faulted": "bold red", "shed": "yellow"}
DX, DY, MARGIN = 150, 74, 40
GAP = 24
"""Half the room that a device takes between two zones, in pixels."""
LANE = 14
"""Distance between the dashed lines of two ties."""


def draw_svg(
    feeder: Feeder,
    positions: Positions | None = None,
    zone_states: ZoneStates | None = None,
    flows: Mapping[str, float] | None = None,
) -> str:
    """A complete ``<svg>`` element. ``flows``: device name to kW from side A to side B, written beside the device."""
    return _Svg(feeder, positions, zone_states, flows or {}).draw()


def draw_text(feeder: Feeder, positions: Positions | None = None, zone_states: ZoneStates | None = None) -> Text:
    """A drawing for a terminal; ``.plain`` is the same without colours."""
    return _Terminal(feeder, positions, zone_states).draw()


class _Svg:
    def __init__(
        self,
        feeder: Feeder,
        positions: Positions | None,
        zone_states: ZoneStates | None,
        flows: Mapping[str, float],
    ) -> None:
        self.feeder = feeder
        self.positions = positions
        self.states = states_of(feeder, positions, zone_states)
        self.flows = flows
        self.forest: Forest = forest_of(feeder)
        self.at: dict[int, tuple[int, int]] = {}
        """Zone to (column, row)."""
        self.rows = 0
        self.columns = 1
        self.out: list[str] = []

    def draw(self) -> str:
        for root in self.forest.roots:
            self._place(root)
        width = 2 * MARGIN + self.columns * DX + LANE * (len(self.forest.ties) + 2) + 100
        height = 2 * MARGIN + max(1, self.rows) * DY + 30
        title = escape(self.feeder.name)
        self.out += [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" aria-label="One-line diagram of {title}" font-family="sans-serif" font-size="12">',
            f"<title>One-line diagram of {title}</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        ]
        for number, tie in enumerate(self.forest.ties):
            self._tie(tie, number)
        for root in self.forest.roots:
            self._branch(root)
        self._legend(height - 18)
        self.out.append("</svg>")
        return "\n".join(self.out)

    def _place(self, root: Branch) -> None:
        """A zone lies in the row of its first child; the depth is the column. Without recursion: feeders are long."""
        stack = [(root, 0)]
        while stack:
            branch, column = stack.pop()
            self.at[branch.zone] = (column, self.rows)
            self.columns = max(self.columns, column + 1)
            if not branch.children:
                self.rows += 1
            stack += [(child, column + 1) for child in reversed(branch.children)]

    def _x(self, zone: int) -> tuple[float, float]:
        left = MARGIN + self.at[zone][0] * DX
        return left + GAP, left + DX - GAP

    def _y(self, zone: int) -> float:
        return MARGIN + 20 + self.at[zone][1] * DY

    def _colour(self, zone: int) -> str:
        return COLOURS.get(self.states[zone], OTHER_COLOUR)

    def _branch(self, root: Branch) -> None:
        stack = [root]
        while stack:
            branch = stack.pop()
            self._zone(branch)
            start = self._x(branch.zone)[1]
            for child in branch.children:
                y = self._y(child.zone)
                end = self._x(child.zone)[0]
                self._line(start, y, start + GAP, y, self._colour(branch.zone), 3)
                self._line(start + GAP, y, end, y, self._colour(child.zone), 3)
                if child.by is not None:
                    self._device(child.by, start + GAP, y)
            stack += branch.children

    def _zone(self, branch: Branch) -> None:
        zone = self.feeder.zones[branch.zone]
        left, right = self._x(zone.index)
        y, colour, state = self._y(zone.index), self._colour(zone.index), self.states[zone.index]
        label = escape(zone.name)
        details = f"{label}: {escape(state)}"
        for i in zone.loads:
            load = self.feeder.loads[i]
            details += f"; {escape(load.name)} {load.p_kw:g} kW, priority {load.priority}"
        self.out.append(f'<g class="zone" data-zone="{label}" data-state="{escape(state)}"><title>{details}</title>')
        if branch.by is None and zone.sources:
            self.out.append(f'<circle cx="{left - 6}" cy="{y}" r="9" fill="none" stroke="{colour}" stroke-width="2"/>')
            self.out.append(f'<path d="M{left - 11} {y}q2.5 -7 5 0t5 0" fill="none" stroke="{colour}"/>')
            left += 3
        self._line(left, y, right, y, colour, 3)
        if branch.children:
            last = self._y(branch.children[-1].zone)
            if last > y or zone.busbar:
                self._line(right, y - (8 if zone.busbar else 0), right, last + (8 if zone.busbar else 0), colour,
                           6 if zone.busbar else 3)  # fmt: skip
        middle = (left + right) / 2
        self._label(middle, y - 8, label, colour, bold=True)
        mark = "⚡ " if state == "faulted" else ""
        self._label(middle, y + 16, f"{mark}{escape(state)}", colour)
        self.out.append("</g>")

    def _tie(self, index: int, number: int) -> None:
        device = self.feeder.devices[index]
        lane = 24 + LANE * (number % 3)
        x = MARGIN + self.columns * DX + LANE * number
        ends = [(self._x(zone)[1] - 8 - 6 * number % 30, self._y(zone)) for zone in (device.zone_a, device.zone_b)]
        (xa, ya), (xb, yb) = ends
        path = f"M{xa} {ya}V{ya + lane}H{x}V{yb + lane}H{xb}V{yb}"
        closed = position_of(self.feeder, index, self.positions) == CLOSED
        dash = "" if closed else ' stroke-dasharray="5 4"'
        colour = self._colour(device.zone_a) if closed else COLOURS["dead"]
        self.out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        spread = (number % 4 - 1.5) * 18
        self._device(index, x, (ya + yb) / 2 + lane + (spread if abs(ya - yb) > 80 else 0), beside=True)

    def _device(self, index: int, x: float, y: float, beside: bool = False) -> None:
        device = self.feeder.devices[index]
        position = position_of(self.feeder, index, self.positions)
        fill = "#24292f" if position == CLOSED else "#ffffff"
        name = escape(device.name)
        kind = "breaker" if device.kind is DeviceKind.BREAKER else "load-break switch"
        self.out.append(f'<g class="device" data-device="{name}" data-position="{position}">')
        self.out.append(f"<title>{name}: {kind}, {position}</title>")
        style = f'fill="{fill}" stroke="#24292f" stroke-width="2"'
        if device.kind is DeviceKind.BREAKER:
            self.out.append(f'<rect x="{x - 7}" y="{y - 7}" width="14" height="14" {style}/>')
        else:
            self.out.append(f'<circle cx="{x}" cy="{y}" r="7.5" {style}/>')
        if position not in {OPEN, CLOSED}:
            self.out.append(f'<path d="M{x - 6} {y - 6}l12 12m0 -12l-12 12" stroke="#cf222e" stroke-width="2"/>')
        flow = f"{self.flows[device.name]:.0f} kW" if device.name in self.flows else ""
        if beside:
            # On a vertical line, where a label above would be struck through.
            text = f"{name} {flow}".strip()
            self.out.append(f'<text x="{x + 12}" y="{y + 4}" fill="#24292f">{text}</text>')
        else:
            self._label(x, y - 12, name, "#24292f")
            if flow:
                self.out.append(f'<text x="{x - 8}" y="{y + 22}" font-size="11" fill="#57606a">{flow}</text>')
        self.out.append("</g>")

    def _line(self, x1: float, y1: float, x2: float, y2: float, colour: str, width: int) -> None:
        self.out.append(f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{colour}" stroke-width="{width}" fill="none"/>')

    def _label(self, x: float, y: float, text: str, colour: str, bold: bool = False) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self.out.append(f'<text x="{x}" y="{y}" text-anchor="middle" fill="{colour}"{weight}>{text}</text>')

    def _legend(self, y: float) -> None:
        x = MARGIN
        for state in dict.fromkeys(self.states):
            self._line(x, y, x + 20, y, COLOURS.get(state, OTHER_COLOUR), 4)
            self.out.append(f'<text x="{x + 26}" y="{y + 4}" fill="#24292f">{escape(state)}</text>')
            x += 50 + 8 * len(state)
        text = "square: breaker, circle: load-break switch; filled: closed, hollow: open"
        self.out.append(f'<text x="{x + 10}" y="{y + 4}" fill="#57606a">{text}</text>')


class _Terminal:
    def __init__(self, feeder: Feeder, positions: Positions | None, zone_states: ZoneStates | None) -> None:
        self.feeder = feeder
        self.positions = positions
        self.states = states_of(feeder, positions, zone_states)
        self.forest = forest_of(feeder)

    def draw(self) -> Text:
        lines: list[Text] = []
        for root in self.forest.roots:
            self._grow(root, lines)
        return Text("\n").join(lines)

    def _grow(self, root: Branch, lines: list[Text]) -> None:
        """Depth first; the first child continues its parent's line, the others start one below the fork."""
        # (branch, text before it on its line, columns of the forks that still go on below)
        stack: list[tuple[Branch, Text, tuple[int, ...]]] = [(root, Text(), ())]
        while stack:
            branch, line, forks = stack.pop()
            line = line + self._zone(branch)
            ties = [i for i in self.forest.ties if branch.zone in self._ends(i)]
            for i in ties:
                other = next((zone for zone in self._ends(i) if zone != branch.zone), branch.zone)
                line = line + Text(" ┄", "dim") + self._symbol(i) + Text(f"┄{self.feeder.zones[other].name}", "dim")
            if not branch.children:
                lines.append(line)
                continue
            column = line.cell_len + 1
            count = len(branch.children)
            for number in range(count - 1, 0, -1):
                child = branch.children[number]
                last = number == count - 1
                below = Text(_rails(forks, column) + ("└" if last else "├"))
                going_on = forks if last else (*forks, column)
                stack.append((child, below + self._edge(child), going_on))
            first = branch.children[0]
            line = line + Text(" ┬" if count > 1 else " ")
            stack.append((first, line + self._edge(first), (*forks, column) if count > 1 else forks))

    def _ends(self, device: int) -> tuple[int, int]:
        return self.feeder.devices[device].zone_a, self.feeder.devices[device].zone_b

    def _zone(self, branch: Branch) -> Text:
        zone, state = self.feeder.zones[branch.zone], self.states[branch.zone]
        source = "∿ " if branch.by is None and zone.sources else ""
        mark = {"faulted": "⚡", "dead": "·", "shed": "▽"}.get(state, "")
        return Text(f"{source}{zone.name}{mark}", STYLES.get(state, "magenta"))

    def _edge(self, child: Branch) -> Text:
        style = STYLES.get(self.states[child.zone], "magenta")
        if child.by is None:
            return Text()
        return Text("─", style) + self._symbol(child.by) + Text("─ ", style)

    def _symbol(self, index: int) -> Text:
        device = self.feeder.devices[index]
        position = position_of(self.feeder, index, self.positions)
        breaker = device.kind is DeviceKind.BREAKER
        sign = {CLOSED: "■" if breaker else "●", OPEN: "□" if breaker else "○"}.get(position, "✕")
        return Text(f"{sign}{device.name}", "" if position == CLOSED else "bold yellow" if position == OPEN else "red")


def _rails(forks: tuple[int, ...], column: int) -> str:
    """The vertical lines of open forks left of a column."""
    return "".join("│" if i in forks else " " for i in range(column))

"""A feeder small enough for closed formulas: source - Q (breaker) - line - R (breaker) - line."""

from __future__ import annotations

from dataclasses import replace

from scl.topology import Der, Device, DeviceKind, Feeder, Load, NeutralMode, Section, Source, Zone

LINE = Section("", "", "", 0, 2000.0, r1_ohm=0.6, x1_ohm=0.7, r0_ohm=1.1, x0_ohm=2.4)


def radial(
    neutral: NeutralMode = NeutralMode.SOLID,
    *,
    loads: tuple[Load, ...] = (),
    ders: tuple[Der, ...] = (),
    c1_uf: float = 0.0,
    c0_uf: float = 0.0,
    neutral_resistance_ohm: float = 0.0,
    tail_kind: DeviceKind = DeviceKind.BREAKER,
) -> Feeder:
    """Zones S (source), Z1 (line L1, nodes n1 n2), Z2 (line L2, nodes n3 n4)."""

    def device(name: str, kind: DeviceKind, a: str, b: str, zone: int) -> Device:
        breaking = 630.0 if kind is DeviceKind.LOAD_BREAK_SWITCH else 20_000.0
        return Device(
            name, kind, a, b, zone, zone + 1, False, name + "_AG", name + "_BR", name + "_MU",
            breaking_current_a=breaking,
        )  # fmt: skip

    def line(name: str, a: str, b: str, zone: int) -> Section:
        return replace(LINE, name=name, node_a=a, node_b=b, zone=zone, c1_uf=c1_uf, c0_uf=c0_uf)

    def inside(zone: int, items: tuple[Load, ...] | tuple[Der, ...]) -> tuple[int, ...]:
        return tuple(i for i, item in enumerate(items) if item.zone == zone)

    return Feeder(
        "radial",
        50.0,
        10.0,
        neutral,
        devices=(device("Q", DeviceKind.BREAKER, "n0", "n1", 0), device("R", tail_kind, "n2", "n3", 1)),
        zones=(
            Zone(0, "S", ("n0",), (0,), sources=(0,)),
            Zone(1, "Z1", ("n1", "n2"), (0, 1), (0,), inside(1, loads), inside(1, ders)),
            Zone(2, "Z2", ("n3", "n4"), (1,), (1,), inside(2, loads), inside(2, ders)),
        ),
        sections=(line("L1", "n1", "n2", 1), line("L2", "n3", "n4", 2)),
        sources=(Source("SRC", "n0", 0, r1_ohm=0.05, x1_ohm=0.5, r0_ohm=0.04, x0_ohm=0.4, rated_kva=15_000),),
        loads=loads,
        ders=ders,
        neutral_resistance_ohm=neutral_resistance_ohm,
    )

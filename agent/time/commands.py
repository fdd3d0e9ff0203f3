"""``flisr time``: how good this machine's clock is."""

from __future__ import annotations

import json
import time as clocks
from typing import Any

import click

from agent.time.profile import Profile

WAIT_S = 1.5


@click.command()
@click.option("--socket", default="", metavar="PATH", help="linuxptp's management socket; default: /var/run/ptp4l.")
@click.option("--domain", type=click.IntRange(0, 255), default=0, show_default=True, help="Domain that it runs in.")
@click.option(
    "--profile",
    type=click.Choice([profile.value for profile in Profile]),
    default=Profile.ANY.value,
    show_default=True,
    help="Name what is not as this profile says.",
)
@click.option("--watch", is_flag=True, help="Ask once a second until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output; with --watch one a second.")
def time(socket: str, domain: int, profile: str, watch: bool, as_json: bool) -> None:
    """Show how good the clock is: offset, grandmaster, quality, as linuxptp tells it, else the kernel.

    Exits with 1 if neither linuxptp answers nor the kernel's clock is synchronized.
    """
    from agent.time.clock import PtpSettings, PtpWatch

    settings = PtpSettings(socket, domain, Profile(profile), timeout_s=WAIT_S)
    ptp = PtpWatch(settings)
    shown = _ask(ptp, settings)
    if watch:
        _watch(ptp, settings, shown, as_json)
        return
    if shown["ptp"] is None and not shown["kernel"]["good"]:
        if as_json:
            click.echo(json.dumps(shown))
        raise click.ClickException(f"no time: {shown['kernel']['why']}, and PTP is silent ({shown['ptp_silent']})")
    _print(shown, as_json)


def _ask(ptp: Any, settings: Any) -> dict[str, Any]:
    from agent.time.clock import both_clocks_us, kernel_state
    from agent.time.show import document

    return document(ptp.check(*both_clocks_us()), kernel_state(), settings, ptp.why_silent)


def _print(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(shown))
        return
    from rich.console import Console

    from agent.time.show import table

    Console().print(table(shown))


def _watch(ptp: Any, settings: Any, shown: dict[str, Any], as_json: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from agent.time.show import table

    try:
        if as_json:
            while True:
                click.echo(json.dumps(shown))
                clocks.sleep(1.0)
                shown = _ask(ptp, settings)
        with Live(table(shown), console=Console(), auto_refresh=False) as live:
            while True:
                clocks.sleep(1.0)
                live.update(table(_ask(ptp, settings)), refresh=True)
    except KeyboardInterrupt:
        return

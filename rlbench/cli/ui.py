"""`rlbench ui`: the dashboard in a browser."""

from __future__ import annotations

import webbrowser
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click

from rlbench.cli.doors import door_options
from rlbench.cli.options import examples, json_option, store_option
from rlbench.cli.output import print_json, say, say_heads

if TYPE_CHECKING:
    from rlbench.web.door import Door


@click.command(epilog=examples("rlbench ui", "rlbench ui --store rlbench.db --port 0 --no-browser"))
@click.option("--no-browser", is_flag=True, help="Open no browser.")
@door_options(port=8800)
@store_option
@json_option
def ui(door: Door, *, no_browser: bool, store: str, as_json: bool) -> None:
    """Show the stored runs in a browser, until Ctrl-C.

    Only this machine can reach the pages unless --host names another address: that takes a token and TLS.
    """
    from rlbench.web.app import dashboard  # noqa: PLC0415  (an extra, and slow)
    from rlbench.web.curves import warm  # noqa: PLC0415  (likewise)
    from rlbench.web.door import serve  # noqa: PLC0415  (likewise)
    from rlbench.web.tokens import admission, store_behind  # noqa: PLC0415  (likewise)

    def ready(address: str) -> None:
        print_json({"address": address}) if as_json else say(f"rlbench ui: {address}")
        say_heads()
        aside.submit(warm, opened)
        if not no_browser:
            webbrowser.open(address)

    # what is read aside ends first: Python may crash if it exits in the middle of an import
    with store_behind(door, store, create=True) as opened, ThreadPoolExecutor(1) as aside:
        opened.enter("ui")
        serve(dashboard(opened, grant_of=admission(door, opened), hosts=door.hosts), door, ready=ready)

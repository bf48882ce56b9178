"""`rlbench serve`: policies and models behind a port."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.doors import door_options
from rlbench.cli.options import examples, json_option, name_key_option, store_option, trust_option
from rlbench.cli.output import print_json, say, say_heads

if TYPE_CHECKING:
    from rlbench.web.door import Door


@click.command(
    epilog=examples(
        "rlbench serve latest",
        "rlbench serve best tree-iris --port 9000",
        "rlbench serve tree-iris@1 tree-iris@2 --log-decisions 0.1",
    )
)
@click.argument("names", metavar="RUN|MODEL...", nargs=-1, required=True, shell_complete=completing.runs_and_models)
@click.option(
    "--log-decisions",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    default=1.0,
    show_default=True,
    help="The share of decisions to store, as a run tagged served; 0 stores none.",
)
@click.option(
    "--watch-drift",
    is_flag=True,
    help="Watch what comes in for drift from what was learnt from: it is said on stderr, and counted in the metrics.",
)
@door_options(port=8900)
@trust_option
@name_key_option
@store_option
@json_option
def serve(
    door: Door,
    *,
    names: tuple[str, ...],
    log_decisions: float,
    watch_drift: bool,
    trust: bool,
    store: str,
    as_json: bool,
) -> None:
    """Serve the policies of runs, and models, over HTTP, until Ctrl-C or SIGTERM.

    It speaks the Open Inference Protocol (V2): POST /v2/models/NAME/infer, where NAME is a run's id or a model's name.
    A model that is named without @VERSION, and a run that still trains, are loaded again within two seconds once the
    store has a newer version; older ones go on under /versions/N.
    """
    from rlbench.web.decisions import Log  # noqa: PLC0415  (an extra, and slow)
    from rlbench.web.door import serve as listen  # noqa: PLC0415  (likewise)
    from rlbench.web.inference import Desk, serving  # noqa: PLC0415  (likewise)
    from rlbench.web.served import Shelf  # noqa: PLC0415  (likewise)
    from rlbench.web.tokens import admission, store_behind  # noqa: PLC0415  (likewise)

    def tell(text: str) -> None:
        say(text, err=True)

    with ExitStack() as opened:
        source = opened.enter_context(store_behind(door, store))
        grant_of = admission(door, source)
        shelf = Shelf(source, names, trust=trust)
        log = None
        if log_decisions:  # through a connection of its own: a store that is locked must not hold up a request
            kept = opened.enter_context(rlbench.open_store(store, create=False))
            log = opened.enter_context(Log(kept, log_decisions, tell))

        def ready(address: str) -> None:
            served = {name: shelf.versions(name) for name in shelf.names()}
            print_json({"address": address, "models": served}) if as_json else say(f"rlbench serve: {address}")
            say_heads()

        for name in shelf.names():
            source.enter("serve", shelf.record(name))
        app = serving(source, Desk(shelf, log, tell, watching=watch_drift), grant_of=grant_of, hosts=door.hosts)
        listen(app, door, ready=ready)

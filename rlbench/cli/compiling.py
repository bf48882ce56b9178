"""What a command says while numba compiles, so that a first start is not mistaken for a hang."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from rlbench._compiling import is_cold
from rlbench.cli.options import is_versioned
from rlbench.cli.output import say
from rlbench.names import AGENT_NAMES, SHORT_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPILING = "compiling ... (this takes a while, the first time only)"


def says_that_it_compiles(command: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a command say on stderr, once, that numba compiles: on a terminal, and in a log if it trains.

    Where nothing has ever been compiled, a training says so at once; else it is said when numba begins to. With --json
    nothing is said.
    """

    @wraps(command)
    def said(*arguments: Any, as_json: bool, **options: Any) -> Any:
        trains = "env" in options
        if as_json or not (trains or sys.stderr.isatty()):
            return command(*arguments, as_json=as_json, **options)
        if trains and is_cold() and _is_likely(**options):
            say(COMPILING, err=True)
            return command(*arguments, as_json=as_json, **options)
        with _listening():
            return command(*arguments, as_json=as_json, **options)

    return said


def _is_likely(env: str = "", agent: str = "", **_others: Any) -> bool:
    """Whether an env is going to be trained in, as its name looks: a mistyped one compiles nothing."""
    return agent in AGENT_NAMES and (env in SHORT_NAMES or is_versioned(env))


@contextmanager
def _listening() -> Iterator[None]:
    """Says that numba compiles, when it begins to."""
    from numba.core.event import Listener, install_listener  # noqa: PLC0415  (what follows imports numba anyway)

    class Teller(Listener):
        """Hears of every function that is compiled, and says so of the first."""

        has_said = False

        def on_start(self, event: Any) -> None:  # noqa: ARG002
            if not self.has_said:
                self.has_said = True
                say(COMPILING, err=True)

        def on_end(self, event: Any) -> None:
            """Says nothing."""

    with install_listener("numba:compile", Teller()):
        yield

"""The errors a user can cause: each message is one line and says what was expected, what came, and what to do."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


LISTED = 12  # known names in a message if none is similar
EPSILONS = ("exploration_initial_eps", "exploration_final_eps")
ALIASES: dict[str, tuple[str, ...]] = {  # what books and other libraries call a parameter: what it is called here
    **dict.fromkeys(("alpha", "lr", "step_size"), ("learning_rate",)),
    **dict.fromkeys(("discount", "discount_factor", "discount_rate"), ("gamma",)),
    **dict.fromkeys(("epsilon", "eps", "exploration_rate"), EPSILONS),
    **dict.fromkeys(("epsilon_start", "eps_start", "initial_epsilon"), EPSILONS[:1]),
    **dict.fromkeys(("epsilon_end", "eps_end", "final_epsilon", "epsilon_min", "min_epsilon"), EPSILONS[1:]),
    **dict.fromkeys(("decay", "decay_rate", "epsilon_decay", "eps_decay"), ("exploration_decay",)),
    **dict.fromkeys(("lam", "lambda", "lambda_"), ("trace_decay",)),
    **dict.fromkeys(("buffer_capacity", "capacity", "memory_size", "replay_size"), ("buffer_size",)),
    **dict.fromkeys(("n_episodes", "num_episodes", "max_episodes"), ("episodes",)),
    **dict.fromkeys(("timesteps", "n_timesteps", "total_steps", "max_steps", "num_steps"), ("total_timesteps",)),
    "random_state": ("seed",),
}
# the passwords in URLs, except in our own advice, mongodb://user:password@host
PASSWORDS = re.compile(r"(?<![\w+.-])(?!sqlite:|memory:)([\w+.-]+:/+[^\s/@:'\"]*):(?!password@)[^\s'\"]*@")


class RlbenchError(Exception):
    """The base class of all errors that rlbench raises on purpose; none shows the password of a URL."""

    def __str__(self) -> str:
        return without_passwords(super().__str__())


class UsageError(RlbenchError, ValueError):
    """An argument is wrong; the message says what was expected and what came."""


class MissingPackageError(UsageError, ModuleNotFoundError):
    """An optional package is not installed; the message says how to install it, `name` is the missing module."""

    def __init__(self, what: str, module: str, extra: str, or_else: str = "") -> None:
        super().__init__(f'{what}, which is not installed: pip install "rlbench[{extra}]"{or_else}')
        self.name = module


class UnknownNameError(UsageError):
    """A name is not in its registry; the message suggests the nearest ones."""


class StoreError(RlbenchError):
    """A store cannot be opened, read or written."""


class StoreAway(StoreError):  # noqa: N818  (the server's error, not ours)
    """The server of a store does not answer; whether it made the failed write is unknown."""


class ProcessError(RlbenchError):
    """A process that worked for this one failed or was killed."""


class CheckFailedError(RlbenchError, AssertionError):
    """An env, its model or an agent breaks a promise; the message says which one first."""


def without_passwords(text: str) -> str:
    """Returns a text with `***` in place of the password of every URL in it."""
    return PASSWORDS.sub(r"\1:***@", text)


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Returns the error for `name`, with what it is called here, or the nearest `known` names: "did you mean ...?"."""
    names = sorted(known)
    meant = [alias for alias in ALIASES.get(str(name), ()) if alias in names]
    near = meant or difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    more = f", ... ({len(names)} in all)" if len(names) > LISTED else ""
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names[:LISTED])}{more}"
    return UnknownNameError(f"unknown {kind} {name!r}; {hint}")

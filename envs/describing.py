"""What an env says of itself: its spaces, actions, step limit, success, and the arguments it is made with."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from gymnasium.envs.registration import load_env_creator

from rlbench.envs.actions import action_names
from rlbench.envs.making import id_of, step_limit
from rlbench.envs.success import success_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gymnasium as gym

ARGUMENTS = re.compile(r"^\s*#+ Arguments:?\s*$(.*?)(?=^\s*#+ |\Z)", re.MULTILINE | re.DOTALL)
BULLET = re.compile(r"^[ ]*[-*] (?=`)", re.MULTILINE)
NAME = re.compile(r"`(\w+)(?:=[^`]*)?`,?\s*(?:and\s+)?")


class Argument(NamedTuple):
    """An argument of an env's constructor."""

    name: str
    default: Any  # None also where there is none
    help: str  # empty where the docstring says nothing


class Description(NamedTuple):
    """An env in words and numbers."""

    env_id: str
    description: str
    observation_space: str
    action_space: str
    actions: tuple[str, ...]  # names of the actions 0, 1 ...; empty where nobody names them
    limit: int  # steps after which an episode is truncated; 0 for never
    success: str
    arguments: list[Argument]


def describe(env: gym.Env[Any, Any]) -> Description:
    """Returns what is known of an env, from its code, its docstring and its spec."""
    document = inspect.getdoc(type(env.unwrapped)) or ""
    return Description(
        id_of(env),
        _first_paragraph(document),
        str(env.observation_space),
        str(env.action_space),
        action_names(env),
        step_limit(env),
        success_of(env),
        list(_arguments(env, document)),
    )


def _first_paragraph(document: str) -> str:
    """Returns the first paragraph that is no heading, on one line."""
    paragraphs = (re.sub(r"^#.*$", "", part, flags=re.MULTILINE).strip() for part in re.split(r"\n\s*\n", document))
    return " ".join(next(filter(None, paragraphs), "").split())


def _arguments(env: gym.Env[Any, Any], document: str) -> Iterator[Argument]:
    spec, helps = env.spec, _helps(document)
    entry = type(env.unwrapped) if spec is None or spec.entry_point is None else spec.entry_point
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    for name, parameter in inspect.signature(creator).parameters.items():
        if name != "render_mode" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            default = None if parameter.default is parameter.empty else parameter.default
            yield Argument(name, default if spec is None else spec.kwargs.get(name, default), helps.get(name, ""))


def _helps(document: str) -> dict[str, str]:
    """Returns what a docstring says of each argument, in a list under the heading that Gymnasium uses."""
    section = ARGUMENTS.search(document)
    helps: dict[str, str] = {}
    for item in BULLET.split(section.group(1))[1:] if section else ():
        text, names = item, []
        while found := NAME.match(text):
            names.append(found.group(1))
            text = text[found.end() :]
        told = " ".join(re.split(r"\n\s*\n|\n\s*```", text)[0].split()).lstrip(":-. ")
        helps.update(dict.fromkeys(names, told))
    return helps

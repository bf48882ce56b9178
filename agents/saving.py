"""Agents as files: one block of compressed arrays and JSON with checksums, without pickle."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench._version import __version__
from rlbench.errors import UsageError
from rlbench.files import path_of, reading, written
from rlbench.forms import Form, Whole, checked
from rlbench.store import codec

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT = 1  # of the file; a later one is refused with a message
PRIVATE = 0o600  # the mode of a new file, as of a store: what was learned from may be secret
BELIEVED = 2**17  # pairs of a state and an action: a record that claims at most this many needs no proof
RUN_ID = re.compile(r"[0-9a-f]{12}")
PER_PAIR = ("q_table", "policy")  # arrays of a state with a number for each state and action
SIZES: Form = {"n_states": Whole(1), "n_actions": Whole(1)}


def state_of(agent: Any) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Returns an agent's state as records store it: the arrays, and what JSON can represent."""
    state = agent.state_dict()
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    return arrays, {name: value for name, value in state.items() if name not in arrays}


def save(agent: Any, path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Writes an agent to a file, whole or not at all; see `Agent.save`."""
    arrays, numbers = state_of(agent)
    about = {"n_states": agent.n_states, "n_actions": agent.n_actions, "parameters": agent.config(), "state": numbers}
    made_by = {"format": FORMAT, "rlbench": __version__, "agent": agent.name, "origins": agent.origins}
    blob = codec.pack(arrays, {**made_by, **about})
    with written(path_of(path), overwrite=overwrite) as draft:
        draft.touch(PRIVATE)
        draft.write_bytes(blob)


def load(kind: type[Any], path: str | os.PathLike[str], known: Mapping[str, type[Any]]) -> Any:
    """Loads an agent of a class, or of a known subclass of it, from a file; see `Agent.load`."""
    path = path_of(path)
    if not path.is_file():  # a pipe would block
        raise UsageError(f"{path} is not a file: name one that agent.save wrote")
    with reading(path, "loaded"):
        blob = path.read_bytes()
        if not blob.startswith(codec.MAGIC):
            raise UsageError("it is not a saved agent: name a file that agent.save wrote")
        arrays, about = codec.unpack(blob, str(path))
        agent = _made(_class_for(kind, about, known), about, arrays)
        agent.load_state_dict({**_typed(about, "state", dict), **arrays})
        agent.origins = tuple(_origins(about))
    return agent


def proof_of_size(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
    """Returns the array of an agent's state that has a row for each state and a column for each action, if any."""
    return next((arrays[name] for name in PER_PAIR if name in arrays), None)


def _class_for(kind: type[Any], about: Any, known: Mapping[str, type[Any]]) -> type[Any]:
    if checked(about, {"format": Whole(1)})["format"] > FORMAT:
        raise UsageError(f"rlbench {about.get('rlbench')!r:.20} saved it: load it with that version or a later one")
    name = _typed(about, "agent", str)
    found = kind if getattr(kind, "name", None) == name else known.get(name)
    if found is None:
        raise UsageError(f"it holds the agent {name!r:.80}, unknown here: load it by its class, or register that class")
    if not issubclass(found, kind):
        raise UsageError(f"it holds the agent {name!r}: load it by {found.__name__}.load")
    return found


def _made(cls: type[Any], about: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    sizes = tuple(checked(about, SIZES).values())
    table = proof_of_size(arrays)
    if hasattr(cls, "q_table") and sizes[0] * sizes[1] > BELIEVED and (table is None or table.shape != sizes):
        raise UsageError(f"it is damaged: it is for {sizes} states and actions, and holds no table of that size")
    parameters = _typed(about, "parameters", dict)
    cls.Parameters.of(parameters, cls.name)  # refuses anything else, such as a seed
    return cls(*sizes, **parameters)


def _origins(about: Any) -> list[str]:
    origins: list[str] = _typed(about, "origins", list)
    if not all(isinstance(one, str) and RUN_ID.fullmatch(one) for one in origins):
        raise UsageError("it is damaged: its origins must be ids of runs")
    return origins


def _typed(about: Any, name: str, kind: type[Any]) -> Any:
    value = about.get(name)
    if not isinstance(value, kind):
        raise UsageError(f"it is damaged: {name} must be a {kind.__name__}, got {value!r:.80}")
    return value

"""Random generators with a state that can be stored as plain JSON; every component owns one."""

from __future__ import annotations

from typing import Any

import numpy as np


def new_generator(seed: int | np.random.SeedSequence | None = None) -> np.random.Generator:
    """Makes a Generator on SFC64, the bit generator that the compiled loop keeps in registers."""
    return np.random.Generator(np.random.SFC64(seed))


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """Returns the generator's full state as a JSON-able dict."""
    return {key: _plain(value) for key, value in rng.bit_generator.state.items()}


def set_generator_state(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Sets a generator to a state that `generator_state` returned; ValueError if it is of another kind."""
    inner = {
        key: np.array(value, dtype=np.uint64) if isinstance(value, list) else value
        for key, value in state["state"].items()
    }
    rng.bit_generator.state = {**state, "state": inner}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value

"""Generators that can be stored: every component owns one, and its state is plain JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.errors import UsageError

# indices into a generator's own memory, which NumPy does not check: (where, name, greatest value)
POSITIONS = {"MT19937": ("state", "pos", 624), "Philox": (None, "buffer_pos", 4)}
WRONG = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)


def new_generator(seed: int | np.random.SeedSequence | None = None) -> np.random.Generator:
    """Makes a Generator on SFC64, the bit generator that the compiled loop carries in registers."""
    return np.random.Generator(np.random.SFC64(seed))


def new_generator_like(rng: np.random.Generator) -> np.random.Generator:
    """Makes a Generator of the same kind as another."""
    return np.random.Generator(type(rng.bit_generator)(0))


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """Returns the generator's whole state as a JSON-able dict."""
    return {key: _plain(value) for key, value in rng.bit_generator.state.items()}


def set_generator_state(rng: np.random.Generator, state: Any) -> None:
    """Puts a generator into a state that `generator_state` returned for one of the same kind.

    Raises:
        UsageError: it is anything else.
    """
    try:
        check_positions(state)
        inner = {
            key: np.array(value, dtype=np.uint64) if isinstance(value, list) else value
            for key, value in state["state"].items()
        }
        rng.bit_generator.state = {**state, "state": inner}
    except WRONG as error:
        kind = type(rng.bit_generator).__name__
        raise UsageError(f"the state of a generator must be that of {kind}, as it was stored: {error}") from error


def check_positions(state: Any) -> None:
    """Refuses a position outside a generator's own memory.

    Raises:
        ValueError: it is out of range.
    """
    where, name, most = POSITIONS.get(state["bit_generator"], (None, "", 0))
    position = (state if where is None else state[where])[name] if name else 0
    if type(position) is not int or not 0 <= position <= most:
        raise ValueError(f"{name} must be a whole number from 0 to {most}, got {position!r}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value

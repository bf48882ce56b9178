"""Tables of envs that are not known here: whether such an env does what its table says, draw for draw."""

from __future__ import annotations

import random
from collections import deque
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium.utils import seeding

from rlbench.envs.making import id_of
from rlbench.envs.measuring import twin_of
from rlbench.envs.tabular import TabularModel, why_no_model
from rlbench.envs.transparent import is_known
from rlbench.errors import RlbenchError, UsageError

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray

STEPS = 4_000  # that are compared
MORE_STEPS = 20_000  # where the env cannot be put in each state
EPISODE = 100  # steps, at most
RESETS = 2  # of each seed: the second goes on with the generator
SMALL = 500  # characters: attributes that print longer are compared at the end only
DEPTH = 3  # of objects in objects
UNSEEN = {"_np_random", "_np_random_seed", "spec", "action_space", "observation_space", "lastaction"}

NEVER, ALWAYS, IF_SEVERAL = range(3)  # when an env draws a random number: of one outcome too, or of several only


class OwnTable(NamedTuple):
    """A table that says what its env does, and when the env draws a random number."""

    model: TabularModel
    start_draws: int  # NEVER or ALWAYS
    step_draws: int  # NEVER, ALWAYS or IF_SEVERAL


class _Call(NamedTuple):
    """A reset or a step of an env, and what came of it."""

    seed: int | None  # of a reset; None for one without a seed, and for a step
    action: int | None  # None for a reset
    result: tuple[int, float, bool]  # next state, reward, terminated
    rng: dict[str, Any]  # the state of np_random


def own_table(env: gym.Env[Any, Any]) -> OwnTable:
    """Returns the table of an env, compared with a copy of it in seeded episodes, np_random included.

    Raises:
        UsageError: it has none, or does something else; the message says what.
    """
    base, name = env.unwrapped, id_of(env)
    if base.render_mode == "human":
        raise UsageError(f"{name} is shown while it is stepped: leave out render_mode='human'")
    model = TabularModel.from_env(base)
    if model.step_limit is not None:
        raise UsageError(f"{name} truncates episodes itself: leave that to max_episode_steps, or to TimeLimit")
    try:
        twin: Any = twin_of(base, shallow=False)
        calls = _played(twin, name)
    except RlbenchError:
        raise
    except Exception as error:  # whatever a foreign env raises
        raise UsageError(f"{name} cannot be compared with its table: {error!r}") from error
    differences = []
    for start_draws, step_draws in _ways_to_draw(model):
        difference = _difference(calls, _Simulated(model, start_draws, step_draws))
        if not difference:
            return OwnTable(model, start_draws, step_draws)
        differences.append(difference)
    raise UsageError(f"{name} does not do what its table says: {max(differences)[1]}")


def why_not_compiled(env: gym.Env[Any, Any]) -> str:
    """Returns in a line why the compiled loop cannot train in the table of an env; empty if it can, or has no table.

    An env of your own trains there if it has toy-text's `P` and `initial_state_distrib`, or a method `tabular_model()`;
    draws one number of `self.np_random` for each start and for each outcome, as Gymnasium's `categorical_sample` does
    (none where there is one start, or one outcome); and keeps nothing besides its state that outlives a step.
    """
    if why_no_model(env) is not None or is_known(env.unwrapped):
        return ""
    try:
        own_table(env)
    except UsageError as error:
        return str(error)
    return ""


def _ways_to_draw(model: TabularModel) -> list[tuple[int, int]]:
    """Returns when an env may draw, (for a start, for a step): what is certain needs no draw."""
    starts = (ALWAYS,) if len(model.starts) > 1 else (NEVER, ALWAYS)
    steps = (NEVER, ALWAYS) if model.is_deterministic else (ALWAYS, IF_SEVERAL)
    return [(start, step) for start in starts for step in steps]


def _played(twin: Any, name: str) -> list[_Call]:
    """Plays seeded episodes of random actions."""
    calls: list[_Call] = []
    memory, actions = _Memory(twin, name), np.random.default_rng(0)
    for seed in range(MORE_STEPS):
        for reset in range(RESETS):
            first = None if reset else seed
            observation, _ = twin.reset(seed=first)
            calls.append(_Call(first, None, (index(observation), 0.0, False), twin.np_random.bit_generator.state))
            memory.look(calls[-1].result)
            for _ in range(EPISODE):
                action = int(actions.integers(twin.action_space.n))
                observation, reward, terminated, truncated, _ = twin.step(action)
                result = index(observation), float(reward), bool(terminated)
                calls.append(_Call(None, action, result, twin.np_random.bit_generator.state))
                if truncated and not terminated:
                    raise UsageError(
                        f"{name} truncates episodes itself: leave that to max_episode_steps, or to TimeLimit"
                    )
                if terminated:
                    break
                memory.look(result)
        if len(calls) > (STEPS if hasattr(twin, "s") else MORE_STEPS):
            break
    memory.look_back()
    return calls


def _difference(calls: list[_Call], simulated: _Simulated) -> tuple[int, str] | None:
    """Returns at which call the env first differs from its table, and how; None if it does not."""
    state = 0
    for number, call in enumerate(calls):
        what = "reset" if call.action is None else f"action {call.action} in state {state}"
        result = simulated.reset(call.seed) if call.action is None else simulated.step(state, call.action)
        if result != call.result:
            return number, f"{what} led to {call.result}, by the table and the draws of categorical_sample to {result}"
        if simulated.rng.bit_generator.state != call.rng:
            return number, f"{what} drew other random numbers than one of np_random for each start and outcome, or none"
        state = result[0]
    return None


class _Simulated:
    """An env that follows a table, and draws as toy-text's categorical_sample does, or not where nothing varies."""

    def __init__(self, model: TabularModel, start_draws: int, step_draws: int) -> None:
        self.model, self.start_draws, self.step_draws = model, start_draws, step_draws
        self.rng = np.random.default_rng()
        self._starts = np.cumsum(model.initial)

    def reset(self, seed: int | None) -> tuple[int, float, bool]:
        if seed is not None:
            self.rng = seeding.np_random(seed)[0]
        return self._drawn(self._starts, draws=self.start_draws == ALWAYS), 0.0, False

    def step(self, state: int, action: int) -> tuple[int, float, bool]:
        model, pair = self.model, state * self.model.n_actions + action
        begin, end = int(model.offsets[pair]), int(model.offsets[pair + 1])
        draws = self.step_draws == ALWAYS or (self.step_draws == IF_SEVERAL and end - begin > 1)
        row = begin + self._drawn(np.cumsum(model.probability[begin:end]), draws=draws)
        return int(model.successor[row]), float(model.reward[row]), bool(model.terminated[row])

    def _drawn(self, cumulative: NDArray[np.float64], *, draws: bool) -> int:
        return int(np.argmax(cumulative > (self.rng.random() if draws else 0.0)))


class _Memory:
    """What an env keeps besides its state: if it keeps anything, that may decide what it does, which no table says."""

    def __init__(self, twin: Any, name: str) -> None:
        self._twin, self._name = twin, name
        self._large = {key for key, value in vars(twin).items() if len(repr(value)) > SMALL}
        self._before = self._attributes(self._large)
        self._seen: dict[int, dict[str, Any]] = {}

    def look(self, result: tuple[int, float, bool]) -> None:
        """Raises UsageError if the env is as it was in this state but for an attribute."""
        now = self._attributes(vars(self._twin).keys() - self._large)
        self._compare(self._seen.setdefault(result[0], now), now)

    def look_back(self) -> None:
        """Raises UsageError if a large attribute has changed."""
        self._compare(self._before, self._attributes(self._large))

    def _attributes(self, names: set[str]) -> dict[str, Any]:
        return {name: _frozen(vars(self._twin).get(name)) for name in names - UNSEEN}

    def _compare(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        if changed:
            raise UsageError(
                f"{self._name} keeps {changed[0]!r} besides its state: its table cannot say what depends on that"
            )


def _frozen(value: Any, depth: int = DEPTH) -> Any:
    """Returns what an attribute is worth now, to compare with what it is worth later."""
    if isinstance(value, np.random.Generator | random.Random):
        value = value.getstate() if isinstance(value, random.Random) else value.bit_generator.state
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if isinstance(value, dict):
        return [(repr(key), _frozen(inner, depth)) for key, inner in value.items()]
    if isinstance(value, list | tuple | deque):
        return [_frozen(inner, depth) for inner in value]
    if hasattr(value, "__dict__") and not isinstance(value, type) and depth:
        return [(name, _frozen(inner, depth - 1)) for name, inner in vars(value).items()]
    if isinstance(value, np.generic):  # NumPy's 3 is 3
        value = value.item()
    return repr(value) if isinstance(value, int | float | str | bytes | None) else id(value)

"""Checks of an env: the promises of Gymnasium, and those that training relies on."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env as check_gymnasium_env
from gymnasium.utils.env_checker import data_equivalence

from rlbench.agents import RandomAgent
from rlbench.checks import finite, flag
from rlbench.envs.allowing import allowed_actions
from rlbench.envs.compiled import compiled_world
from rlbench.envs.making import make_env, seed_env, step_limit
from rlbench.envs.measuring import law_of
from rlbench.envs.tabular import read_model, why_no_model
from rlbench.errors import CheckFailedError, UsageError
from rlbench.random_state import generator_state
from rlbench.testing._frozen import frozen
from rlbench.testing.tables import check_model
from rlbench.training.budgets import Budget
from rlbench.training.loops import compiled_loop, readable_loop
from rlbench.training.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rlbench.envs.measuring import Pair
    from rlbench.envs.tabular import TabularModel

STEPS = 200  # of each trajectory that must be repeatable
PLAYED_STEPS = 2**14  # of a chunk, when compared with compiled ones
MASKED_STEPS = 20_000  # transitions after which an action mask is compared with the table
CHECKED_STEPS = 2000  # steps whose observations, rewards and ends are checked
PROMISES = {"the reward": finite, "terminated": flag, "truncated": flag}

# Gymnasium's checker warns about good envs too: it is given wrapped ones, and CartPole's bounds are infinite.
_EXPECTED_WARNINGS = (
    r".*is different from the unwrapped version",
    r".*A Box observation space (minimum|maximum) value is",
)


def check_env(env: gym.Env[Any, Any] | str, *, seed: int = 0) -> None:
    """Checks that an env keeps the promises of Gymnasium, and those that rlbench relies on.

    ENV_CHECKS, in order: Gymnasium's own checker (without rendering) passes; the same seed and actions give the same
    trajectory, also in an env made again from the JSON of its spec; a step before the first reset is refused; for 2,000
    random steps each observation is in its space, each reward finite and each end a bool; the transition
    table, if there is one, matches the env (`check_model`); `info["action_mask"]`, if there is one, is int8 and 0
    exactly for the actions that cannot change the state, or that `allowed_actions` leaves out; those, taken anyway,
    leave the state as it was, without a reward; and the compiled counterpart, if there is one, does the same, random
    draw for random draw.

    Args:
        env: an env, wrapped or not, or the id of a registered one.
        seed: the seed of the trajectories.

    Raises:
        CheckFailedError: a promise is broken; the message begins with the check that found it.
        UnknownNameError: no env is registered under this id.
    """
    if isinstance(env, str):
        made = make_env(env, disable_env_checker=True)
        try:
            check_env(made, seed=seed)
        finally:
            made.close()
        return
    for check in ENV_CHECKS:
        complaint = check(env, seed)
        if complaint:
            raise CheckFailedError(f"{check.__name__}: {complaint}")


def it_passes_gymnasiums_own_checker(env: gym.Env[Any, Any], seed: int) -> str:  # noqa: ARG001  (all checks share one signature)
    """Checks the spaces, `reset` and `step` with Gymnasium's own checker."""
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        try:
            check_gymnasium_env(env, skip_render_check=True, skip_close_check=True)
        except (AssertionError, AttributeError, TypeError, ValueError, gym.error.Error) as error:
            return " ".join(str(error).split())
    return ""


def the_same_seed_and_actions_give_the_same_trajectory(env: gym.Env[Any, Any], seed: int) -> str:
    """Checks that a seeded reset clears all earlier state."""
    first = list(_trajectory(env, seed))
    return _difference(first, _trajectory(env, seed), f"seed {seed} gave two different trajectories")


def its_spec_survives_json(env: gym.Env[Any, Any], seed: int) -> str:
    """Checks that the env can be made again from its stored spec, and behaves the same."""
    if env.spec is None:
        return ""
    try:
        twin = gym.make(EnvSpec.from_json(env.spec.to_json()), disable_env_checker=True)
    except Exception as error:  # noqa: BLE001  (an env by others may raise anything)
        return f"the spec of {env.spec.id} does not survive to_json: {error}"
    first = list(_trajectory(env, seed))
    found = _difference(first, _trajectory(twin, seed), f"{env.spec.id} differs when made again from its JSON spec")
    twin.close()
    return found


def a_step_before_the_first_reset_is_refused(env: gym.Env[Any, Any], seed: int) -> str:  # noqa: ARG001
    """Checks that an env refuses steps before its first reset."""
    if env.spec is None:
        return ""
    fresh = gym.make(env.spec, disable_env_checker=True)
    try:
        fresh.step(fresh.action_space.sample())
    except gym.error.ResetNeeded:
        return ""
    finally:
        fresh.close()
    return "step() before reset() was accepted: raise gymnasium.error.ResetNeeded"


def what_it_returns_is_what_it_promises(env: gym.Env[Any, Any], seed: int) -> str:
    """Checks that each observation is in its space, each reward a finite number, and each end a bool."""
    for moment, (observation, *outcome) in enumerate(_trajectory(env, seed, CHECKED_STEPS)):
        if not env.observation_space.contains(observation):
            return f"after {moment} calls the observation {observation!r} is not in {env.observation_space}"
        try:
            for (name, check), value in zip(PROMISES.items(), outcome, strict=False):  # a reset has no outcome
                check(name, value)
        except UsageError as error:
            return f"after {moment} calls {error}"
    return ""


def its_table_is_the_truth(env: gym.Env[Any, Any], seed: int) -> str:
    """Checks the transition table with `check_model`."""
    if why_no_model(env) is not None:
        return ""
    try:
        check_model(env, read_model(env), seed=seed)
    except CheckFailedError as error:
        return str(error)
    return ""


def its_action_mask_marks_what_can_change_the_state(env: gym.Env[Any, Any], seed: int) -> str:
    """Compares `info["action_mask"]`, if there is one, with what is allowed, or else has an effect by the table."""
    base: Any = env.unwrapped
    _, info = base.reset(seed=seed)
    if "action_mask" not in info:
        return ""
    mask = np.asarray(info["action_mask"])
    if mask.dtype != np.int8 or mask.shape != (base.action_space.n,):
        return f"the action mask is {mask.dtype} of shape {mask.shape}: it must be int8, one entry per action"
    return "" if why_no_model(env) is not None else _compared_mask(base, read_model(env), seed)


def an_action_that_is_not_allowed_changes_nothing(env: gym.Env[Any, Any], seed: int) -> str:  # noqa: ARG001
    """Checks `allowed_actions`, if the env has it, and what the transition table says of the actions outside."""
    try:
        allowed = allowed_actions(env)
    except UsageError as error:
        return str(error)
    if allowed is None or why_no_model(env) is not None:
        return ""
    table = read_model(env).P
    for state, action in np.argwhere(~allowed).tolist():
        if law_of(table, (state, action)) != {(state, 0.0, False): 1.0}:
            return f"state {state} does not allow action {action}, but P[{state}][{action}] is not to stay, for 0"
    return ""


def its_compiled_counterpart_does_the_same(env: gym.Env[Any, Any], seed: int) -> str:
    """Compares the episodes of a random agent in the env with those in its compiled counterpart, if there is one."""
    world = compiled_world(env)
    if world is None:
        return ""
    limited = env if step_limit(env) else gym.wrappers.TimeLimit(env, STEPS)  # an episode might never end
    one, other = (_played(limited, seed, played) for played in (None, world))
    different = [name for name in one if one[name] != other[name]]
    return f"it gives different {', '.join(different)} from seed {seed}" if different else ""


ENV_CHECKS: tuple[Callable[[gym.Env[Any, Any], int], str], ...] = (
    it_passes_gymnasiums_own_checker,
    the_same_seed_and_actions_give_the_same_trajectory,
    its_spec_survives_json,
    a_step_before_the_first_reset_is_refused,
    what_it_returns_is_what_it_promises,
    its_table_is_the_truth,
    its_action_mask_marks_what_can_change_the_state,
    an_action_that_is_not_allowed_changes_nothing,
    its_compiled_counterpart_does_the_same,
)


# ------------------------------------------------------------------------------------------- trajectories


def _trajectory(env: gym.Env[Any, Any], seed: int, steps: int = STEPS) -> Iterator[tuple[Any, ...]]:
    """Yields what resets and seeded random actions return, without infos; copied, as some envs reuse arrays."""
    env.action_space.seed(seed)
    yield copy.deepcopy(env.reset(seed=seed)[:1])
    for _ in range(steps):
        step = env.step(env.action_space.sample())[:4]
        yield copy.deepcopy(step)
        if step[2] or step[3]:
            yield copy.deepcopy(env.reset()[:1])


def _difference(first: list[tuple[Any, ...]], second: Iterable[tuple[Any, ...]], complaint: str) -> str:
    for moment, (a, b) in enumerate(zip(first, second, strict=False)):
        if not data_equivalence(a, b, exact=True):
            return f"{complaint}: {a} and {b} after {moment} calls"
    return ""


def _compared_mask(base: Any, model: TabularModel, seed: int) -> str:
    marked, why = (_changes(model), "can change it") if model.allowed is None else (model.allowed, "are allowed")
    for state, action in _some_pairs(model, seed):
        base.s = state
        observation, _, terminated, _, info = base.step(action)
        mask = np.asarray(info["action_mask"])
        if not terminated and not np.array_equal(mask != 0, marked[observation]):
            able = np.flatnonzero(marked[observation]).tolist()
            return f"the action mask of state {observation} is {mask.tolist()}, but only {able} {why}"
    return ""


def _played(env: gym.Env[Any, Any], seed: int, world: Any) -> dict[str, Any]:
    """Plays at least STEPS random steps, to the end of an episode, and returns what was recorded."""
    agent = RandomAgent(env.observation_space, env.action_space, seed=seed)
    chunks: list[dict[str, Any]] = []
    recorder = Recorder(
        agent.n_actions,
        recording=True,
        episode_steps=step_limit(env),
        sink=lambda chunk: chunks.append(frozen({**(chunk.steps or {}), "ends": chunk.ends, "lengths": chunk.lengths})),
        steps=PLAYED_STEPS,
    )
    seed_env(env, seed)
    budget = Budget(timesteps=STEPS)
    if world is None:
        readable_loop(env, agent, budget, recorder, lambda: None)
    else:
        compiled_loop(world, env, agent, budget, recorder, lambda: None)
    recorder.flush()
    env_rng = generator_state(env.unwrapped.np_random)
    return {**{name: [chunk[name] for chunk in chunks] for name in chunks[0]}, "random numbers": env_rng}


def _changes(model: TabularModel) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Marks (n_states, n_actions): can the action end the episode or lead to another state?"""
    owners = np.repeat(np.arange(model.n_states), np.add.reduceat(np.diff(model.offsets), _firsts(model)))
    moves = (model.probability > 0) & (model.terminated | (model.successor != owners))
    return np.logical_or.reduceat(moves, model.offsets[:-1]).reshape(model.n_states, model.n_actions)


def _firsts(model: TabularModel) -> range:
    return range(0, model.n_states * model.n_actions, model.n_actions)


def _some_pairs(model: TabularModel, seed: int) -> Iterator[Pair]:
    """Yields reachable (state, action) pairs: all, or a seeded sample of MASKED_STEPS."""
    states = np.flatnonzero(model.reachable())
    pairs = np.arange(states.size * model.n_actions)
    if pairs.size > MASKED_STEPS:
        pairs = np.random.default_rng(seed).choice(pairs, MASKED_STEPS, replace=False)
    for pair in pairs.tolist():
        yield int(states[pair // model.n_actions]), pair % model.n_actions

"""Checks for whoever writes an env or an agent: that they keep the promises on which training builds.

`check_env(env)` puts an env through Gymnasium's own checker, plays it twice from one seed and once more as its spec
makes it anew, compares its table with what it does, and its action mask with the table. `check_agent(agent_factory)`
trains an agent in tiny worlds whose values are known; AGENT_CHECKS lists what it looks at.
"""

from __future__ import annotations

import copy
import io
import json
import math
import random
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env as check_gymnasium_env
from gymnasium.utils.env_checker import data_equivalence

from rlbench.agents import Agent, RandomAgent
from rlbench.envs.making import make_env, step_limit
from rlbench.envs.tabular import TabularModel, why_no_model
from rlbench.errors import RlbenchError
from rlbench.random_state import generator_state
from rlbench.training.loops import Budget, compiled_loop, readable_loop
from rlbench.training.recorder import Recorder
from rlbench.training.session import seed_env

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    AgentFactory: TypeAlias = Callable[..., Agent]

FALSE_ALARM = 1e-6  # probability that a true model of a stochastic env fails check_model
STEPS = 200  # of the trajectories that must be repeatable
PLAYED_STEPS = 2**14  # of a chunk in which they are compared with compiled ones
MASKED_STEPS = 20_000  # transitions after which an action mask is compared with the table

# What Gymnasium's checker says of good envs: it is handed wrapped ones, and CartPole's bounds are infinite.
_EXPECTED_WARNINGS = (
    r".*is different from the unwrapped version",
    r".*A Box observation space (minimum|maximum) value is",
)

Pair: TypeAlias = "tuple[int, int]"  # (state, action)
Result: TypeAlias = "tuple[int, float, bool]"  # (next state, reward, terminated)


class CheckFailedError(RlbenchError, AssertionError):
    """An env, its model or an agent breaks a promise; the message is the first one found."""


def check_model(
    env: gym.Env[Any, Any] | str,
    model: TabularModel | None = None,
    *,
    states: Iterable[int] | None = None,
    samples: int = 200_000,
    seed: int = 0,
) -> None:
    """Puts an env in every state, takes every action, and compares what happens with a model.

    Where an action has one outcome it must be the model's, exactly. Where it has several, every observed
    one must be listed, and their frequencies must agree by a likelihood-ratio test, pair by pair and with
    all pairs of the same probabilities pooled. So must the frequencies of the starts. A true model fails
    with a probability below `FALSE_ALARM` in all (see `_surprise`).

    Args:
        env: an env whose unwrapped state is the attribute `s`, as toy-text's and SafeCab's; or an id.
        model: what to compare with; the env's own by default.
        states: where to look; everywhere by default.
        samples: how many steps to spend on the stochastic outcomes.
        seed: of the env.

    Raises:
        CheckFailedError: they disagree; the message names the first disagreement.
        UsageError: there is no model.
    """
    if isinstance(env, str):
        env = make_env(env, disable_env_checker=True)
    model = TabularModel.from_env(env) if model is None else model
    base = env.unwrapped
    base.reset(seed=seed)
    if not hasattr(base, "s"):
        raise CheckFailedError(f"{base} has no attribute s for its state, so it cannot be put in one")
    laws = dict(_laws(model, range(model.n_states) if states is None else states))
    for pair, law in laws.items():
        if len(law) == 1:
            _check_certain(base, pair, next(iter(law)))
    _check_sampled(base, {pair: law for pair, law in laws.items() if len(law) > 1}, samples)
    _check_starts(base, model, min(samples, 10_000))


def check_env(env: gym.Env[Any, Any] | str, *, seed: int = 0) -> None:
    """Checks that an env is sound: the promises of Gymnasium, and those that this library builds on.

    Gymnasium's own checker (without rendering) must pass; the same seed and actions must give the same
    trajectory, also in an env made anew from the JSON of its spec; where the env has a table it must be
    the truth (`check_model`), and `info["action_mask"]`, if there is one, must be 0 just for the actions
    that surely change nothing. Where it has a compiled counterpart, that must do what it does, draw for draw.

    Args:
        env: an env, wrapped or not, or the id of a registered one.
        seed: of the trajectories.

    Raises:
        CheckFailedError: a promise is broken; the message says which.
        UnknownNameError: no env is registered under this id.
    """
    if isinstance(env, str):
        made = make_env(env, disable_env_checker=True)
        try:
            check_env(made, seed=seed)
        finally:
            made.close()
        return
    _check_api(env)
    _check_repeatable(env, seed)
    if why_no_model(env) is None:
        model = TabularModel.from_env(env)
        check_model(env, model, seed=seed)
        _check_action_mask(env, model, seed)
    _check_compiled(env, seed)


# ------------------------------------------------------------------------------------------------ the model


def _laws(model: TabularModel, states: Iterable[int]) -> Iterator[tuple[Pair, dict[Result, float]]]:
    """Yields each (state, action) with the probabilities of its distinct results."""
    for state in states:
        for action, outcomes in model.P[state].items():
            law: dict[Result, float] = {}
            for probability, successor, reward, terminated in outcomes:
                if probability > 0:
                    result = (successor, reward, terminated)
                    law[result] = law.get(result, 0.0) + probability
            yield (state, action), law


def _step(base: Any, pair: Pair) -> Result:
    base.s = pair[0]
    observation, reward, terminated, _, _ = base.step(pair[1])
    return int(observation), float(reward), bool(terminated)


def _check_certain(base: Any, pair: Pair, says: Result) -> None:
    seen = _step(base, pair)
    if seen != says:
        raise CheckFailedError(f"{_name(pair)} says {(1.0, *says)}, the env gave {seen}")


def _check_sampled(base: Any, laws: Mapping[Pair, dict[Result, float]], samples: int) -> None:
    """Samples each (state, action) alike often; tests each alone, then all of one pattern together."""
    if not laws:
        return
    each = max(samples // len(laws), 1)
    pooled: dict[tuple[float, ...], Counter[int]] = {}
    # Half of the false alarms are the starts'; a test a pair and at most one a pattern share the rest.
    alarm = FALSE_ALARM / 2 / (2 * len(laws))
    for pair, law in laws.items():
        seen = Counter(_step(base, pair) for _ in range(each))
        _check_listed(pair, law, seen)
        _check_frequencies(_name(pair), law, seen, alarm)
        places = {result: place for place, result in enumerate(law)}
        counts = {places[result]: count for result, count in seen.items()}
        pooled.setdefault(tuple(law.values()), Counter()).update(counts)
    for pattern, counter in pooled.items():
        name = "all (state, action) with these probabilities"
        _check_frequencies(name, dict(enumerate(pattern)), counter, alarm)


def _check_starts(base: Any, model: TabularModel, samples: int) -> None:
    law = dict(zip(model.starts.tolist(), model.initial[model.starts].tolist(), strict=True))
    seen = Counter(int(base.reset()[0]) for _ in range(samples))
    stray = next((state for state in seen if state not in law), None)
    if stray is not None:
        raise CheckFailedError(f"reset gave the state {stray}, which the start distribution excludes")
    _check_frequencies("the start distribution", law, seen, FALSE_ALARM / 2)


def _check_listed(pair: Pair, law: Mapping[Result, float], seen: Iterable[Result]) -> None:
    for result in seen:
        if result not in law:
            raise CheckFailedError(f"{_name(pair)} lists just {list(law)}, the env gave {result}")


def _check_frequencies(name: str, law: Mapping[Any, float], seen: Counter[Any], alarm: float) -> None:
    total = seen.total()
    if _surprise(law, seen) > -math.log(alarm):
        says, gave = _shares(law, law), _shares(law, seen, total)
        raise CheckFailedError(f"{name} says probabilities {says}, {total} tries gave {gave}")


def _surprise(law: Mapping[Any, float], seen: Counter[Any]) -> float:
    """Returns x such that frequencies as far from `law` have a probability of at most exp(-x).

    n KL(seen || law), less the log of the number of possible counts: the method of types (Cover and
    Thomas, Elements of Information Theory, theorem 11.1.4), which holds for any n, unlike a chi-squared
    approximation, whose far tail is wrong for small expected counts.
    """
    n, k = seen.total(), len(law)
    divergence = math.fsum(count * math.log(count / (n * law[result])) for result, count in seen.items())
    types = math.lgamma(n + k) - math.lgamma(n + 1) - math.lgamma(k)
    return divergence - types


def _shares(law: Mapping[Any, float], weights: Mapping[Any, float], total: float = 1.0) -> list[float]:
    return [round(weights.get(result, 0) / total, 4) for result in list(law)[:8]]


def _name(pair: Pair) -> str:
    return f"P[{pair[0]}][{pair[1]}]"


# -------------------------------------------------------------------------------------------------- the env


def _check_api(env: gym.Env[Any, Any]) -> None:
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        try:
            check_gymnasium_env(env, skip_render_check=True, skip_close_check=True)
        except (AssertionError, AttributeError, TypeError, ValueError, gym.error.Error) as error:
            reason = " ".join(str(error).split())
            raise CheckFailedError(f"Gymnasium's check_env: {reason}") from error


def _check_repeatable(env: gym.Env[Any, Any], seed: int) -> None:
    """Checks that a seed decides the trajectory, in this env and in one made anew from its spec."""
    first = list(_trajectory(env, seed))
    _compare(first, _trajectory(env, seed), f"seed {seed} gave two different trajectories")
    if env.spec is None:
        return
    try:
        twin = gym.make(EnvSpec.from_json(env.spec.to_json()), disable_env_checker=True)
    except Exception as error:
        raise CheckFailedError(f"the spec of {env.spec.id} does not survive to_json: {error}") from error
    _compare(first, _trajectory(twin, seed), f"the env made anew from the JSON of {env.spec.id}'s spec differs")
    twin.close()


def _trajectory(env: gym.Env[Any, Any], seed: int) -> Iterator[tuple[Any, ...]]:
    """Yields what resets and STEPS seeded random actions return, copied: some envs reuse their buffers."""
    env.action_space.seed(seed)
    yield copy.deepcopy(env.reset(seed=seed)[:1])
    for _ in range(STEPS):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        yield copy.deepcopy((observation, float(reward), bool(terminated), bool(truncated)))
        if terminated or truncated:
            yield copy.deepcopy(env.reset()[:1])


def _compare(first: list[tuple[Any, ...]], second: Iterable[tuple[Any, ...]], complaint: str) -> None:
    for moment, (a, b) in enumerate(zip(first, second, strict=False)):
        if not data_equivalence(a, b, exact=True):
            raise CheckFailedError(f"{complaint}: {a} and {b} after {moment} calls")


def _check_action_mask(env: gym.Env[Any, Any], model: TabularModel, seed: int) -> None:
    """Compares `info["action_mask"]`, where there is one, with what the table says the actions change."""
    base: Any = env.unwrapped
    _, info = base.reset(seed=seed)
    if "action_mask" not in info:
        return
    changes = _changes(model)
    for state, action in _some_pairs(model, seed):
        base.s = state
        observation, _, terminated, _, info = base.step(action)
        mask = np.asarray(info["action_mask"])
        if not terminated and not np.array_equal(mask != 0, changes[observation]):
            able = np.flatnonzero(changes[observation]).tolist()
            raise CheckFailedError(
                f"the action mask of state {observation} is {mask.tolist()}, but just {able} can change it"
            )


def _check_compiled(env: gym.Env[Any, Any], seed: int) -> None:
    """Compares what a random agent meets in the env and in its compiled counterpart, if it has one."""
    from rlbench.envs._worlds import world_of  # noqa: PLC0415  (numba only when something compiled is checked)

    world = world_of(env)
    if world is None:
        return
    limited = env if step_limit(env) else gym.wrappers.TimeLimit(env, STEPS)  # else it might never end
    one, other = (_played(limited, seed, played) for played in (None, world))
    for name in one:
        if one[name] != other[name]:
            raise CheckFailedError(f"its compiled counterpart leads to other {name} from seed {seed}")


def _played(env: gym.Env[Any, Any], seed: int, world: Any) -> dict[str, Any]:
    """Returns what STEPS random steps or more, to the end of an episode, came to."""
    agent = RandomAgent(env.observation_space, env.action_space, seed=seed)
    chunks: list[dict[str, Any]] = []
    recorder = Recorder(
        agent.n_actions,
        recording=True,
        episode_steps=step_limit(env),
        sink=lambda chunk: chunks.append(
            _frozen({**(chunk.steps or {}), "ends": chunk.ends, "lengths": chunk.lengths})
        ),
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
    """Marks (n_states, n_actions) where an action may end the episode or lead to another state."""
    owners = np.repeat(np.arange(model.n_states), np.add.reduceat(np.diff(model.offsets), _firsts(model)))
    moves = (model.probability > 0) & (model.terminated | (model.successor != owners))
    return np.logical_or.reduceat(moves, model.offsets[:-1]).reshape(model.n_states, model.n_actions)


def _firsts(model: TabularModel) -> range:
    return range(0, model.n_states * model.n_actions, model.n_actions)


def _some_pairs(model: TabularModel, seed: int) -> Iterator[Pair]:
    """Yields reachable (state, action)s, a seeded choice of them where they are many."""
    states = np.flatnonzero(model.reachable())
    pairs = np.arange(states.size * model.n_actions)
    if pairs.size > MASKED_STEPS:
        pairs = np.random.default_rng(seed).choice(pairs, MASKED_STEPS, replace=False)
    for pair in pairs.tolist():
        yield int(states[pair // model.n_actions]), pair % model.n_actions


# ------------------------------------------------------------------------------------------------ the agent


class Trial(NamedTuple):
    """What each check of an agent is given."""

    factory: AgentFactory
    episodes: int
    seed: int

    def agent(self, *, seed: int | None = None, n_states: int = 5, n_actions: int = 2) -> Agent:
        """Returns a new agent, by default of the trial's seed."""
        seed = self.seed if seed is None else seed
        return self.factory(gym.spaces.Discrete(n_states), gym.spaces.Discrete(n_actions), seed=seed)


def check_agent(agent_factory: AgentFactory, *, episodes: int = 3000, seed: int = 0) -> None:
    """Checks that an agent keeps the promises on which training, checkpoints and the cache build.

    AGENT_CHECKS, in their order: its actions are plain ints of its space; its state is plain arrays and JSON; the
    greedy action changes nothing; the same seed makes the same agent, whatever the global generators of Python and
    NumPy, which stay as they are; it counts its steps and episodes; an agent that loads the state of another goes on as
    that one; training n and then m episodes equals n + m; nothing is bootstrapped from a terminal state, and everything
    from the state in which an episode was cut off; and its compiled counterpart, if it has one, does what it does.

    What it learns is looked at in worlds of three states whose best actions and values are known; where it has no
    greedy policy, that is left out.

    Args:
        agent_factory: a class, or anything that is called as one: (observation_space, action_space, *, seed).
        episodes: to learn those values, of one or two steps each. One that learns slowly may need more.
        seed: of agents and worlds.

    Raises:
        CheckFailedError: a promise is broken; the message begins with the check that found it.
    """
    trial = Trial(agent_factory, episodes, seed)
    for check in AGENT_CHECKS:
        complaint = check(trial)
        if complaint:
            raise CheckFailedError(f"{check.__name__}: {complaint}")


def it_is_an_agent(trial: Trial) -> str:
    """Checks that the factory makes an Agent for the spaces that it is given."""
    agent = trial.agent()
    if not isinstance(agent, Agent):
        return f"expected a subclass of rlbench.agents.Agent, got {type(agent).__name__}"
    if (agent.n_states, agent.n_actions) != (5, 2):
        return f"made for 5 states and 2 actions, it says {agent.n_states} and {agent.n_actions}"
    return ""


def actions_are_plain_ints_of_the_space(trial: Trial) -> str:
    """Checks what `act` returns, exploring and not."""
    agent = trial.agent()
    _train(agent, Circle(), 5, trial.seed)
    for t in range(200):
        action = agent.act(t % 5, explore=t % 2 == 0)
        if type(action) is not int or not 0 <= action < agent.n_actions:
            return f"act({t % 5}, explore={t % 2 == 0}) returned {action!r}, expected an int of 0 to 1"
    return ""


def the_greedy_action_changes_nothing(trial: Trial) -> str:
    """Checks that `act(..., explore=False)` draws, counts and learns nothing, and always answers alike."""
    agent = trial.agent()
    if agent.greedy_policy() is None:
        return ""
    _train(agent, Circle(), 20, trial.seed)
    before, answers = _all_of(agent), {agent.act(1, explore=False) for _ in range(20)}
    if len(answers) > 1:
        return f"act(1, explore=False) returned {sorted(answers)} in turn"
    return _difference("act(1, explore=False) changed", before, _all_of(agent))


def the_same_seed_makes_the_same_agent(trial: Trial) -> str:
    """Checks that nothing but the seed decides, by training two agents after seeding the global generators apart."""
    states = []
    for globally in (1, 2):
        with _global_generators(globally):
            agent = trial.agent()
            _train(agent, Circle(), 20, trial.seed)
            states.append(_all_of(agent))
    return _difference("two agents of one seed that took the same steps differ in", *states)


def the_global_generators_are_left_alone(trial: Trial) -> str:
    """Checks that neither `random` nor `numpy.random` is drawn from."""
    with _global_generators(3):
        before = _global_state()
        agent = trial.agent()
        _train(agent, Circle(), 20, trial.seed)
        moved = [name for name, state in _global_state().items() if state != before[name]]
    return f"{' and '.join(moved)} moved: draw from self.rng" if moved else ""


def it_counts_steps_and_episodes(trial: Trial) -> str:
    """Checks `timesteps` and `episodes`, which schedules and budgets are counted in."""
    agent = trial.agent()
    _train(agent, Circle(), 7, trial.seed)
    if (agent.episodes, agent.timesteps) != (7, 70):
        return (
            f"after 7 episodes of 10 steps it says {agent.episodes} episodes, {agent.timesteps} timesteps: update adds "
            "1 to self.timesteps, and end_episode calls super().end_episode()"
        )
    return ""


def its_state_is_plain_arrays_and_json(trial: Trial) -> str:
    """Checks that a store can keep what `state_dict` returns, without pickle."""
    agent = trial.agent()
    _train(agent, Circle(), 20, trial.seed)
    for name, value in agent.state_dict().items():
        try:
            _through_storage(value)
        except (TypeError, ValueError) as error:
            return f"{name!r} is not: {error}"
    return ""


def a_loaded_agent_goes_on_as_the_one_that_was_saved(trial: Trial) -> str:
    """Checks that `load_state_dict` brings everything back, by training both on."""
    saved, loaded, env = trial.agent(), trial.agent(seed=trial.seed + 1), Circle()
    _train(saved, env, 20, trial.seed)
    loaded.load_state_dict({name: _through_storage(value) for name, value in saved.state_dict().items()})
    lost = _difference("after loading differs", _all_of(saved), _all_of(loaded))
    if lost:
        return lost
    for agent in (saved, loaded):
        _train(agent, Circle(), 20, trial.seed)
    return _difference("after 20 more episodes differs", _all_of(saved), _all_of(loaded))


def training_adds_up(trial: Trial) -> str:
    """Checks that n and then m episodes equal n + m."""
    states = []
    for parts in ([30], [11, 19]):
        agent, env = trial.agent(), Circle()
        seed_env(env, trial.seed)
        for part in parts:
            _train(agent, env, part)
        states.append(_all_of(agent))
    return _difference("30 episodes and 11 then 19 differ in", *states)


def nothing_is_bootstrapped_from_a_terminal_state(trial: Trial) -> str:
    """Checks that what comes after the end is worth nothing, in a world where it seems worth 10."""
    return _learnt(trial, Trapdoor(), 1, (2.0, 10.0))


def what_a_cut_off_episode_would_have_earned_is_learnt(trial: Trial) -> str:
    """Checks that truncation does not stop the bootstrap, in a world that is cut off after every step."""
    gamma = getattr(trial.agent(n_states=3).parameters, "gamma", math.nan)
    if gamma < SHORT_SIGHTED:
        return ""  # to it the end is as good
    return _learnt(trial, gym.wrappers.TimeLimit(Trapdoor(onward=True), 1), 0, (gamma * 1000.0, 1000.0))


def its_compiled_counterpart_does_the_same(trial: Trial) -> str:
    """Checks that both training loops leave the same agent, on SafeCab."""
    if trial.agent().learner() is None:
        return ""
    from rlbench.envs._worlds import world_of  # noqa: PLC0415  (numba only when something compiled is checked)

    states = []
    for compiled in (False, True):
        env = make_env("safecab", disable_env_checker=True)
        agent = trial.agent(n_states=500, n_actions=6)
        _train(agent, env, 20, trial.seed, world=world_of(env) if compiled else None)
        states.append(_all_of(agent))
    return _difference("the readable and the compiled loop differ in", *states)


AGENT_CHECKS: tuple[Callable[[Trial], str], ...] = (
    it_is_an_agent,
    actions_are_plain_ints_of_the_space,
    its_state_is_plain_arrays_and_json,
    the_greedy_action_changes_nothing,
    the_same_seed_makes_the_same_agent,
    the_global_generators_are_left_alone,
    it_counts_steps_and_episodes,
    a_loaded_agent_goes_on_as_the_one_that_was_saved,
    training_adds_up,
    nothing_is_bootstrapped_from_a_terminal_state,
    what_a_cut_off_episode_would_have_earned_is_learnt,
    its_compiled_counterpart_does_the_same,
)
NEAR = 0.1  # of the largest value: how far a learnt one may be off
SHORT_SIGHTED = 0.01  # gamma


class Circle(gym.Env[Any, Any]):
    """Five squares in a circle, ten steps an episode; every third ends by itself, the others are cut off."""

    observation_space, action_space = gym.spaces.Discrete(5), gym.spaces.Discrete(2)

    def __init__(self) -> None:
        self.played = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Starts anywhere."""
        super().reset(seed=seed, options=options)
        self.t, self.s = 0, int(self.np_random.integers(5))
        self.played += 1
        return self.s, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Goes on by one or two, sometimes one further, for the number of the square."""
        self.t += 1
        self.s = (self.s + 1 + action + int(self.np_random.integers(2))) % 5
        is_last = self.t == 10  # noqa: PLR2004  (steps)
        ends = self.np_random.random() < 1 / 3
        return self.s, float(self.s), is_last and bool(ends), is_last and not ends, {}


class Trapdoor(gym.Env[Any, Any]):
    """State 0 has two ways to an end, state 1 is rich, state 2 is empty; an episode begins in 0 or 1.

    From 0 action 0 falls through a trapdoor into 1, for 1, which ends the episode although 1 has more to give; action 1
    ends it in 2, for 2. From 1 both end it in 2, for 10. With `onward`, action 0 leads on into 1 for nothing, action 1
    to the end for 1, and 1 is worth 1000.
    """

    observation_space, action_space = gym.spaces.Discrete(3), gym.spaces.Discrete(2)

    def __init__(self, *, onward: bool = False) -> None:
        self.onward = onward

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Starts in 0 or 1."""
        super().reset(seed=seed, options=options)
        self.s = int(self.np_random.integers(2))
        return self.s, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Ends the episode, unless it leads on."""
        rewards = ((0.0, 1.0), (1000.0, 1000.0)) if self.onward else ((1.0, 2.0), (10.0, 10.0))
        reward, falls = rewards[self.s][action], self.s == 0 and action == 0
        self.s = 1 if falls else 2
        return self.s, reward, not (falls and self.onward), False, {}


def _train(agent: Agent, env: gym.Env[Any, Any], episodes: int, seed: int | None = None, *, world: Any = None) -> None:
    """Trains an agent by one of the loops of this library, for so many more episodes."""
    limit = env.spec.max_episode_steps if env.spec is not None else None
    recorder = Recorder(agent.n_actions, recording=False, episode_steps=limit or 0, sink=lambda _: None)
    if seed is not None:
        seed_env(env, seed)
    budget = Budget(episodes=agent.episodes + episodes)
    if world is None:
        readable_loop(env, agent, budget, recorder, _StandingStill(agent))
    else:
        compiled_loop(world, env, agent, budget, recorder, lambda: None)


class _StandingStill:
    """Looks at the agent between episodes, and breaks off when it counts none: the loop would not end."""

    def __init__(self, agent: Agent) -> None:
        self.agent, self.seen = agent, agent.episodes

    def __call__(self) -> None:
        if self.agent.episodes != self.seen + 1:
            raise CheckFailedError(
                f"it_counts_steps_and_episodes: an episode ended and self.episodes went from {self.seen} to "
                f"{self.agent.episodes}: end_episode must call super().end_episode()"
            )
        self.seen = self.agent.episodes


def _learnt(trial: Trial, env: gym.Env[Any, Any], best: int, values: tuple[float, float]) -> str:
    """Trains an agent where the best action in state 0 and the values of 0 and 1 are known; NaN is not compared."""
    agent = trial.agent(n_states=3)
    if agent.greedy_policy() is None:
        return ""
    _train(agent, env, trial.episodes, trial.seed)
    slow = f"after {trial.episodes} episodes (give more to one that learns slowly)"
    if agent.act(0, explore=False) != best:
        return f"{slow} it takes action {1 - best} in state 0 of Trapdoor, {best} is better"
    table = getattr(agent, "q_table", None)
    for state, value in enumerate(values):
        found = value if table is None else float(np.max(table[state]))
        if abs(found - value) > NEAR * max(values):
            return f"{slow} the best of q_table[{state}] is {found:.4g} in Trapdoor, the truth is {value:.4g}"
    return ""


class _global_generators:  # noqa: N801  (used as a context manager)
    """Seeds the generators of `random` and `numpy.random`, and afterwards puts them back."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self.before = random.getstate(), np.random.get_state()  # noqa: NPY002  (it is these that must not matter)
        random.seed(self.seed)
        np.random.seed(self.seed)  # noqa: NPY002

    def __exit__(self, *_: object) -> None:
        random.setstate(self.before[0])
        np.random.set_state(self.before[1])  # noqa: NPY002


def _global_state() -> dict[str, str]:
    return {"random": repr(random.getstate()), "numpy.random": repr(_frozen(np.random.get_state(legacy=False)))}  # noqa: NPY002


def _through_storage(value: Any) -> Any:
    """Returns a part of a state as a store would give it back; TypeError or ValueError if it keeps none such."""
    if not isinstance(value, np.ndarray):
        return json.loads(json.dumps(value))
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    file.seek(0)
    return np.load(file, allow_pickle=False)


def _all_of(agent: Agent) -> dict[str, Any]:
    """Returns all that is known of an agent, to compare: its state, and what it would do where."""
    policy = agent.greedy_policy()
    return _frozen({**agent.state_dict(), "greedy_policy()": policy})  # type: ignore[no-any-return]  # a dict's


def _frozen(value: Any) -> Any:
    """Returns a state with its arrays as bytes and its numbers as they print: equal only if every bit is."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {name: _frozen(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_frozen(inner) for inner in value]
    return repr(value)


def _difference(complaint: str, one: dict[str, Any], other: dict[str, Any]) -> str:
    """Returns the complaint and the names of what differs; nothing if all is equal."""
    names = sorted(one.keys() | other.keys())
    different = [repr(name) for name in names if one.get(name) != other.get(name)]
    return f"{complaint}: {', '.join(different)}" if different else ""

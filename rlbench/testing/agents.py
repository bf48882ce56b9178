"""Checks of an agent: the promises that training, checkpoints and the cache rely on."""

from __future__ import annotations

import copy
import io
import json
import math
import random
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import gymnasium as gym
import numpy as np

from rlbench.agents import Agent
from rlbench.envs.compiled import compiled_world
from rlbench.envs.making import make_env, seed_env
from rlbench.errors import CheckFailedError, RlbenchError
from rlbench.testing._frozen import frozen
from rlbench.training.budgets import Budget
from rlbench.training.loops import compiled_loop, readable_loop
from rlbench.training.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    AgentFactory: TypeAlias = Callable[..., Agent]


class Trial(NamedTuple):
    """The arguments of each check of an agent."""

    factory: AgentFactory
    episodes: int
    seed: int

    def agent(self, *, seed: int | None = None, n_states: int = 5, n_actions: int = 2) -> Agent:
        """Makes a new agent, by default with the trial's seed."""
        seed = self.seed if seed is None else seed
        return self.factory(gym.spaces.Discrete(n_states), gym.spaces.Discrete(n_actions), seed=seed)


def check_agent(agent_factory: AgentFactory, *, episodes: int = 3000, seed: int = 0) -> None:
    """Checks that an agent keeps the promises that training, checkpoints and the cache rely on.

    AGENT_CHECKS, in order: actions are plain ints in the action space; the state is plain arrays and JSON; the greedy
    action changes nothing; the same seed makes the same agent, whatever the global generators of Python and NumPy hold,
    and those stay untouched; steps and episodes are counted; an agent that loads another's state continues like it, and
    so does a copy; training n and then m episodes equals n + m; a terminal state is not bootstrapped from, and the last
    state of a truncated episode is; and the compiled counterpart, if there is one, does the same as the agent.

    Learning is checked in worlds of three states with known best actions and values, unless the agent has no greedy
    policy.

    Args:
        agent_factory: a class, or any callable with its signature: (observation_space, action_space, *, seed).
        episodes: to learn those values, of one or two steps each. A slow learner may need more.
        seed: of the agents and worlds.

    Raises:
        CheckFailedError: a promise is broken; the message begins with the check that found it.
    """
    trial = Trial(agent_factory, episodes, seed)
    for check in AGENT_CHECKS:
        complaint = check(trial)
        if complaint:
            raise CheckFailedError(f"{check.__name__}: {complaint}")


def it_is_an_agent(trial: Trial) -> str:
    """Checks that the factory makes an Agent for the given spaces."""
    agent = trial.agent()
    if not isinstance(agent, Agent):
        return f"expected a subclass of rlbench.agents.Agent, got {type(agent).__name__}"
    if (agent.n_states, agent.n_actions) != (5, 2):
        return f"made for 5 states and 2 actions, it reports {agent.n_states} and {agent.n_actions}"
    return ""


def actions_are_plain_ints_of_the_space(trial: Trial) -> str:
    """Checks what `act` returns, with and without exploration."""
    agent = trial.agent()
    _train(agent, Circle(), 5, trial.seed)
    for t in range(200):
        action = agent.act(t % 5, explore=t % 2 == 0)
        if type(action) is not int or not 0 <= action < agent.n_actions:
            return f"act({t % 5}, explore={t % 2 == 0}) returned {action!r}, expected an int from 0 to 1"
    return ""


def the_greedy_action_changes_nothing(trial: Trial) -> str:
    """Checks that `act(..., explore=False)` draws, counts and learns nothing, and always returns the same action."""
    agent = trial.agent()
    if agent.greedy_policy() is None:
        return ""
    _train(agent, Circle(), 20, trial.seed)
    before, answers = _all_of(agent), {agent.act(1, explore=False) for _ in range(20)}
    if len(answers) > 1:
        return f"act(1, explore=False) returned different actions for one state: {sorted(answers)}"
    return _difference("act(1, explore=False) changed", before, _all_of(agent))


def the_same_seed_makes_the_same_agent(trial: Trial) -> str:
    """Checks that only the seed matters, by training two agents after seeding the global generators differently."""
    states = []
    for globally in (1, 2):
        with _global_generators(globally):
            agent = trial.agent()
            _train(agent, Circle(), 20, trial.seed)
            states.append(_all_of(agent))
    return _difference("two agents with one seed that took the same steps differ in", *states)


def the_global_generators_are_left_alone(trial: Trial) -> str:
    """Checks that neither `random` nor `numpy.random` is drawn from, not even by an agent without a seed."""
    with _global_generators(3):
        before = _global_state()
        for seed in (trial.seed, None):
            _train(trial.factory(Circle.observation_space, Circle.action_space, seed=seed), Circle(), 20, trial.seed)
        moved = [name for name, state in _global_state().items() if state != before[name]]
    return f"{' and '.join(moved)} moved: draw from self.rng" if moved else ""


def it_counts_steps_and_episodes(trial: Trial) -> str:
    """Checks `timesteps` and `episodes`, the units of schedules and budgets."""
    agent = trial.agent()
    _train(agent, Circle(), 7, trial.seed)
    if (agent.episodes, agent.timesteps) != (7, 70):
        return (
            f"after 7 episodes of 10 steps it counts {agent.episodes} episodes, {agent.timesteps} timesteps: update "
            "must add 1 to self.timesteps, and end_episode must call super().end_episode()"
        )
    return ""


def its_state_is_plain_arrays_and_json(trial: Trial) -> str:
    """Checks that a store can keep what `state_dict` returns without pickle."""
    agent = trial.agent()
    _train(agent, Circle(), 20, trial.seed)
    for name, value in agent.state_dict().items():
        try:
            _through_storage(value)
        except (TypeError, ValueError) as error:
            return f"state_dict()[{name!r}] is neither an array nor JSON: {error}"
    return ""


def a_loaded_agent_goes_on_as_the_one_that_was_saved(trial: Trial) -> str:
    """Checks that `load_state_dict` restores everything, by training both agents further."""
    saved, loaded, env = trial.agent(), trial.agent(seed=trial.seed + 1), Circle()
    _train(saved, env, 20, trial.seed)
    loaded.load_state_dict({name: _through_storage(value) for name, value in saved.state_dict().items()})
    lost = _difference("after loading differs", _all_of(saved), _all_of(loaded))
    if lost:
        return lost
    for agent in (saved, loaded):
        _train(agent, Circle(), 20, trial.seed)
    return _difference("after 20 more episodes differs", _all_of(saved), _all_of(loaded))


def a_damaged_state_is_refused(trial: Trial) -> str:
    """Checks that every entry of the state has a form: loaded with another, it is refused, and nothing changes."""
    agent = trial.agent()
    _train(agent, Circle(), 20, trial.seed)
    state, before = agent.state_dict(), _all_of(agent)
    for name, value in state.items():
        for damaged in _damages(value):
            try:
                agent.load_state_dict({**state, name: damaged})
            except RlbenchError:
                lost = _difference(f"{name!r} was refused, but something has changed", before, _all_of(agent))
                if lost:
                    return lost
            except Exception as error:  # noqa: BLE001  (any other error is what is looked for)
                return f"{name!r} ended in {type(error).__name__}: {error}: describe it in state_form"
            else:
                return f"{name!r} was loaded as {damaged!r:.40}: describe it in state_form"
    return ""


def a_copy_goes_on_alike_and_leaves_the_agent_as_it_was(trial: Trial) -> str:
    """Checks that `copy.deepcopy` makes an independent agent, by training the copy first."""
    agent = trial.agent()
    _train(agent, Circle(), 20, trial.seed)
    before, copied = _all_of(agent), copy.deepcopy(agent)
    if type(copied.learner()) is not type(agent.learner()):
        return "a copy has another compiled counterpart"
    _train(copied, Circle(), 20, trial.seed)
    shared = _difference("training a copy changed", before, _all_of(agent))
    if shared:
        return shared
    _train(agent, Circle(), 20, trial.seed)
    return _difference("a copy that took the same steps differs in", _all_of(agent), _all_of(copied))


def training_adds_up(trial: Trial) -> str:
    """Checks that training n and then m episodes equals n + m."""
    states = []
    for parts in ([30], [11, 19]):
        agent, env = trial.agent(), Circle()
        seed_env(env, trial.seed)
        for part in parts:
            _train(agent, env, part)
        states.append(_all_of(agent))
    return _difference("30 episodes and 11 then 19 differ in", *states)


def nothing_is_bootstrapped_from_a_terminal_state(trial: Trial) -> str:
    """Checks that nothing after the end has value, in a world where it seems to be worth 10."""
    return _learnt(trial, Trapdoor(), 1, (2.0, 10.0))


def what_a_cut_off_episode_would_have_earned_is_learnt(trial: Trial) -> str:
    """Checks that truncation does not stop the bootstrap, in a world that is truncated after every step."""
    gamma = getattr(trial.agent(n_states=3).parameters, "gamma", math.nan)
    if gamma < SHORT_SIGHTED:
        return ""  # too short-sighted to notice the value
    is_differential = hasattr(trial.agent(), "average_reward")  # its values depend on how it explores
    values = (math.nan, math.nan) if is_differential else (gamma * 1000.0, 1000.0)
    return _learnt(trial, gym.wrappers.TimeLimit(Trapdoor(onward=True), 1), 0, values)


def its_compiled_counterpart_does_the_same(trial: Trial) -> str:
    """Checks that both training loops leave the same agent, on slippery ice without holes."""
    if trial.agent().learner() is None:
        return ""
    states = []
    for compiled in (False, True):
        env = make_env("FrozenLake-v1", desc=["SFF", "FFG"], disable_env_checker=True)
        agent = trial.agent(n_states=6, n_actions=4)
        _train(agent, env, 20, trial.seed, world=compiled_world(env) if compiled else None)
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
    a_damaged_state_is_refused,
    a_copy_goes_on_alike_and_leaves_the_agent_as_it_was,
    training_adds_up,
    nothing_is_bootstrapped_from_a_terminal_state,
    what_a_cut_off_episode_would_have_earned_is_learnt,
    its_compiled_counterpart_does_the_same,
)
NEAR = 0.1  # of the largest value: the error allowed in a learnt one
SHORT_SIGHTED = 0.01  # gamma


class Circle(gym.Env[Any, Any]):
    """Five squares in a circle, ten steps per episode; a third of the episodes terminate, the rest are truncated."""

    observation_space, action_space = gym.spaces.Discrete(5), gym.spaces.Discrete(2)

    def __init__(self) -> None:
        self.played = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Starts on any square."""
        super().reset(seed=seed, options=options)
        self.t, self.s = 0, int(self.np_random.integers(5))
        self.played += 1
        return self.s, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Moves on one or two squares, sometimes one more; the reward is the number of the square."""
        self.t += 1
        self.s = (self.s + 1 + action + int(self.np_random.integers(2))) % 5
        is_last = self.t == 10  # noqa: PLR2004  (steps)
        ends = self.np_random.random() < 1 / 3
        return self.s, float(self.s), is_last and bool(ends), is_last and not ends, {}


class Trapdoor(gym.Env[Any, Any]):
    """Three states: 0 has two ways to the end, 1 is rich, 2 is empty; an episode begins in 0 or 1.

    From 0, action 0 falls through a trapdoor into 1 for a reward of 1 and ends the episode, although 1 seems to offer
    more; action 1 ends it in 2 for 2. From 1, both actions end it in 2 for 10. With `onward`, action 0 leads from 0 on
    to 1 for nothing, action 1 to the end for 1, and 1 is worth 1000.
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
        """Ends the episode, unless `onward` leads from 0 to 1."""
        rewards = ((0.0, 1.0), (1000.0, 1000.0)) if self.onward else ((1.0, 2.0), (10.0, 10.0))
        reward, falls = rewards[self.s][action], self.s == 0 and action == 0
        self.s = 1 if falls else 2
        return self.s, reward, not (falls and self.onward), False, {}


def _train(agent: Agent, env: gym.Env[Any, Any], episodes: int, seed: int | None = None, *, world: Any = None) -> None:
    """Trains an agent with one of our two loops for `episodes` more episodes."""
    limit = env.spec.max_episode_steps if env.spec is not None else None
    recorder = Recorder(agent.n_actions, recording=False, episode_steps=limit or 0, sink=lambda _: None)
    if seed is not None:
        seed_env(env, seed)
    budget = Budget(episodes=agent.episodes + episodes)
    if world is None:
        readable_loop(env, agent, budget, recorder, _EpisodeCountCheck(agent))
    else:
        compiled_loop(world, env, agent, budget, recorder, lambda: None)


class _EpisodeCountCheck:
    """Checks after each episode that the agent counted it; otherwise the loop would never end."""

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
    """Trains an agent where the best action in state 0 and the values of states 0 and 1 are known; skips NaN values."""
    agent = trial.agent(n_states=3)
    if agent.greedy_policy() is None:
        return ""
    _train(agent, env, trial.episodes, trial.seed)
    slow = f"after {trial.episodes} episodes (a slow learner may need more)"
    if agent.act(0, explore=False) != best:
        return f"{slow} it takes action {1 - best} in state 0 of Trapdoor, but {best} is better"
    table, average = getattr(agent, "q_table", None), getattr(agent, "average_reward", 0.0)
    for state, value in enumerate(values):
        found = value if table is None else float(np.max(table[state])) + average
        if abs(found - value) > NEAR * max(values):
            return f"{slow} the largest value in q_table[{state}] is {found:.4g} in Trapdoor, expected {value:.4g}"
    return ""


class _global_generators:  # noqa: N801  (used as a context manager)
    """Seeds the global generators of `random` and `numpy.random`, and restores their states afterwards."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self.before = random.getstate(), np.random.get_state()  # noqa: NPY002  (the global generator, which must not matter)
        random.seed(self.seed)
        np.random.seed(self.seed)  # noqa: NPY002

    def __exit__(self, *_: object) -> None:
        random.setstate(self.before[0])
        np.random.set_state(self.before[1])  # noqa: NPY002


def _global_state() -> dict[str, str]:
    return {"random": repr(random.getstate()), "numpy.random": repr(frozen(np.random.get_state(legacy=False)))}  # noqa: NPY002


def _through_storage(value: Any) -> Any:
    """Returns part of a state as a store would return it; TypeError or ValueError if a store cannot keep it."""
    if not isinstance(value, np.ndarray):
        return json.loads(json.dumps(value))
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    file.seek(0)
    return np.load(file, allow_pickle=False)


def _damages(value: Any) -> list[Any]:
    """Returns values that an entry of a state cannot have: of another type, and an array of another shape."""
    return ["damaged", np.zeros((1, 2, 3)), *([value[None]] if isinstance(value, np.ndarray) else [])]


def _all_of(agent: Agent) -> dict[str, Any]:
    """Returns all that can be compared of an agent: its state and its greedy policy."""
    policy = agent.greedy_policy()
    return frozen({**agent.state_dict(), "greedy_policy()": policy})  # type: ignore[no-any-return]  # a dict's


def _difference(complaint: str, one: dict[str, Any], other: dict[str, Any]) -> str:
    """Returns the complaint and the names of the entries that differ; "" if all are equal."""
    names = sorted(one.keys() | other.keys())
    different = [repr(name) for name in names if one.get(name) != other.get(name)]
    return f"{complaint}: {', '.join(different)}" if different else ""

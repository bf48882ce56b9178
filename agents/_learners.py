"""Agents as the compiled loop sees them: NamedTuples of schedules and arrays, chosen among by type.

Each shares its agent's arrays, so what the loop learns the agent knows. Every learner begins with the two schedules.
`choose` chooses an action, `learn` learns from a step, `finish` from the end of an episode. `bits` is the agent's
generator, held in registers: who draws returns what follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numba import njit
from numba.extending import overload

from rlbench._stamp import stamp
from rlbench.agents import _models, _replay, _returns, _rules
from rlbench.agents._models import Model, Queue, learn_model, plan_step, sweep
from rlbench.agents._replay import (
    Memory,
    Priorities,
    mark_end,
    remember,
    replay_prioritized,
    replay_returns,
    replay_steps,
)
from rlbench.agents._returns import (
    Episode,
    Steps,
    Traces,
    drop_traces,
    monte_carlo_update,
    n_step_finish,
    n_step_update,
    remember_step,
    sarsa_lambda_update,
    value_after,
)
from rlbench.agents._rules import (
    Schedule,
    Table,
    double_q_update,
    epsilon_greedy,
    expected_sarsa_update,
    pick,
    q_update,
    sarsa_update,
    schedule_value,
)
from rlbench.buffers import _kernels, _sfc64, _sum_tree
from rlbench.buffers._sfc64 import sfc64_random

if TYPE_CHECKING:
    from numpy.typing import NDArray

Bits: TypeAlias = "tuple[int, int, int, int]"
STATE, ACTION, EXPLORED = 0, 1, 2  # of `ahead`: where, which, and whether at random; state -1: nothing is chosen yet


class RandomLearner(NamedTuple):
    """The random agent: its exploration is constantly 1."""

    learning_rate: Schedule
    exploration: Schedule


class FixedPolicy(NamedTuple):
    """One action a state, learnt elsewhere; its exploration is constantly 0."""

    learning_rate: Schedule
    exploration: Schedule
    actions: NDArray[np.int64]  # (n_states,)


class QLearner(NamedTuple):
    """Q-learning on a table of `_rules`."""

    learning_rate: Schedule
    exploration: Schedule
    policy: Any  # EpsilonGreedy, Softmax or Ucb: its type picks how an action is chosen; likewise below
    table: Table
    gamma: float


class ReplayQLearner(NamedTuple):
    """Q-learning on minibatches from a uniform buffer."""

    learning_rate: Schedule
    exploration: Schedule
    policy: Any
    table: Table
    gamma: float
    memory: Memory
    learning_starts: int
    train_freq: int


class PrioritizedQLearner(NamedTuple):
    """Q-learning on minibatches from a prioritized buffer."""

    learning_rate: Schedule
    exploration: Schedule
    policy: Any
    table: Table
    gamma: float
    memory: Memory
    learning_starts: int
    train_freq: int
    priorities: Priorities


class DoubleQLearner(NamedTuple):
    """Double Q-learning on two tables and their mean."""

    learning_rate: Schedule
    exploration: Schedule
    policy: Any
    table: Table
    gamma: float
    halves: Table  # two, one upon the other


class DynaQLearner(NamedTuple):
    """Q-learning on steps, and on those of a model."""

    learning_rate: Schedule
    exploration: Schedule
    policy: Any
    table: Table
    gamma: float
    model: Model
    planning_steps: int


class SweepingLearner(NamedTuple):
    """Learning from a model, where it differs most from the table."""

    learning_rate: Schedule
    exploration: Schedule
    policy: Any
    table: Table
    gamma: float
    model: Model
    planning_steps: int
    queue: Queue
    threshold: float


class ExpectedSarsaLearner(NamedTuple):
    """Expected Sarsa."""

    learning_rate: Schedule
    exploration: Schedule
    policy: Any
    table: Table
    gamma: float


class SarsaLearner(NamedTuple):
    """Sarsa."""

    learning_rate: Schedule
    exploration: Schedule
    policy: Any
    table: Table
    gamma: float
    ahead: NDArray[np.int64]  # the next action, chosen already: STATE, ACTION, EXPLORED; likewise below


class NStepSarsaLearner(NamedTuple):
    """n-step Sarsa."""

    learning_rate: Schedule
    exploration: Schedule
    policy: Any
    table: Table
    gamma: float
    ahead: NDArray[np.int64]
    steps: Steps


class SarsaLambdaLearner(NamedTuple):
    """Sarsa(lambda)."""

    learning_rate: Schedule
    exploration: Schedule
    policy: Any
    table: Table
    gamma: float
    ahead: NDArray[np.int64]
    traces: Traces
    trace_decay: float
    replacing: bool
    trace_floor: float


class MonteCarloLearner(NamedTuple):
    """First-visit Monte Carlo control."""

    learning_rate: Schedule
    exploration: Schedule
    policy: Any
    table: Table
    gamma: float
    counts: NDArray[np.int64]  # (n_states, n_actions): returns seen
    episode: Episode
    averaging: bool


def choose(learner: Any, s: int, epsilon: float, n_actions: int, bits: Bits) -> tuple[int, bool, Bits]:
    """Returns (action, explored, bits): the learner's next action, in state s."""
    return _CHOOSE[type(learner)](learner, s, epsilon, n_actions, bits)  # type: ignore[no-any-return]


def learn(
    learner: Any,
    s: int,
    a: int,
    r: float,
    s_next: int,
    terminated: bool,  # noqa: FBT001  (a step as Gymnasium orders it)
    learning_rate: float,
    epsilon: float,
    timesteps: int,
    bits: Bits,
) -> Bits:
    """Learns from one step; `timesteps` counts it, `epsilon` is that of the next choice. Returns bits."""
    step = s, a, r, s_next, terminated
    return _LEARN[type(learner)](learner, *step, learning_rate, epsilon, timesteps, bits)  # type: ignore[no-any-return]


def finish(learner: Any, epsilon: float, timesteps: int, episodes: int) -> None:
    """Learns from what an episode has left, terminated or truncated; `episodes` does not count it yet."""
    _FINISH.get(type(learner), _finish_nothing)(learner, epsilon, timesteps, episodes)


def replay(learner: Any, learning_rate: float) -> None:
    """Learns one minibatch of the learner's buffer."""
    _REPLAY[type(learner)](learner, learning_rate)


# ------------------------------------------------------------------------------------------------- choosing


def _choose_randomly(learner, s, epsilon, n_actions, bits):
    u, bits = sfc64_random(bits)
    action, explored = epsilon_greedy(u, epsilon, n_actions, 0)
    return action, explored, bits


def _choose_fixed(learner, s, epsilon, n_actions, bits):
    return learner.actions[s], False, bits


def _choose_by_table(learner, s, epsilon, n_actions, bits):
    u, bits = sfc64_random(bits)
    action, explored = pick(learner.policy, learner.table, s, epsilon, u)
    return action, explored, bits


def _choose_as_said(learner, s, epsilon, n_actions, bits):
    action, explored = learner.ahead[ACTION], learner.ahead[EXPLORED] != 0
    if learner.ahead[STATE] != s:
        u, bits = sfc64_random(bits)
        action, explored = pick(learner.policy, learner.table, s, epsilon, u)
    return action, explored, bits


@njit(cache=True, inline="always")
def _look_ahead(learner, s_next, terminated, epsilon, bits):
    """Chooses the next action already now, for it is learnt from; returns (action, bits)."""
    if terminated:
        learner.ahead[STATE] = -1
        return 0, bits
    u, bits = sfc64_random(bits)
    action, explored = pick(learner.policy, learner.table, s_next, epsilon, u)
    learner.ahead[STATE], learner.ahead[ACTION], learner.ahead[EXPLORED] = s_next, action, explored
    return action, bits


# ------------------------------------------------------------------------------------------------- learning


def _learn_nothing(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    return bits


def _q_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    q_update(learner.table, s, a, r, s_next, terminated, learning_rate, learner.gamma)
    return bits


def _replay_q_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    remember(learner.memory, s, a, r, s_next, terminated)
    if timesteps >= learner.learning_starts and timesteps % learner.train_freq == 0:
        replay(learner, learning_rate)
    return bits


def _prioritized_q_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    remember(learner.memory, s, a, r, s_next, terminated)
    learner.priorities.added[0] += 1
    if timesteps >= learner.learning_starts and timesteps % learner.train_freq == 0:
        replay(learner, learning_rate)
    return bits


def _replay_uniform(learner, learning_rate):
    if learner.memory.n_step == 1:
        replay_steps(learner.table, learner.memory, learning_rate, learner.gamma)
    else:
        replay_returns(learner.table, learner.memory, learning_rate, learner.gamma)


def _replay_prioritized(learner, learning_rate):
    replay_prioritized(learner.table, learner.memory, learner.priorities, learning_rate, learner.gamma)


def _double_q_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    u, bits = sfc64_random(bits)
    double_q_update(learner.halves, learner.table, u, s, a, r, s_next, terminated, learning_rate, learner.gamma)
    return bits


def _dyna_q_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    q_update(learner.table, s, a, r, s_next, terminated, learning_rate, learner.gamma)
    learn_model(learner.model, s, a, r, s_next, terminated)
    for _ in range(learner.planning_steps):
        u, bits = sfc64_random(bits)
        plan_step(learner.table, learner.model, u, learning_rate, learner.gamma)
    return bits


def _sweeping_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    model, queue, steps = learner.model, learner.queue, learner.planning_steps
    step = s, a, r, s_next, terminated
    sweep(learner.table, model, queue, *step, learning_rate, learner.gamma, learner.threshold, steps)
    return bits


def _expected_sarsa_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    expected_sarsa_update(
        learner.table, learner.policy, epsilon, s, a, r, s_next, terminated, learning_rate, learner.gamma
    )
    return bits


def _sarsa_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    a_next, bits = _look_ahead(learner, s_next, terminated, epsilon, bits)
    sarsa_update(learner.table, s, a, r, s_next, a_next, terminated, learning_rate, learner.gamma)
    return bits


def _n_step_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    a_next, bits = _look_ahead(learner, s_next, terminated, epsilon, bits)
    n_step_update(learner.table, learner.steps, s, a, r, s_next, a_next, terminated, learning_rate, learner.gamma)
    return bits


def _sarsa_lambda_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    a_next, bits = _look_ahead(learner, s_next, terminated, epsilon, bits)
    sarsa_lambda_update(
        learner.table,
        learner.traces,
        s,
        a,
        r,
        s_next,
        a_next,
        terminated,
        learning_rate,
        learner.gamma,
        learner.trace_decay,
        learner.replacing,
        learner.trace_floor,
    )
    return bits


def _monte_carlo_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    remember_step(learner.episode, s, a, r, s_next, terminated)
    if learner.episode.cursor[0] == learner.episode.rewards.shape[0]:
        _learn_episode(learner, learning_rate, epsilon)
    return bits


@njit(cache=True)
def _learn_episode(learner, learning_rate, epsilon):
    value = value_after(learner.episode, learner.policy, learner.table, epsilon)
    rate = 0.0 if learner.averaging else learning_rate
    monte_carlo_update(learner.table, learner.counts, learner.episode, value, rate, learner.gamma)


# ---------------------------------------------------------------------------------- the end of an episode


def _finish_nothing(learner, epsilon, timesteps, episodes):
    return None


def _finish_sarsa(learner, epsilon, timesteps, episodes):
    learner.ahead[STATE] = -1


def _finish_n_step(learner, epsilon, timesteps, episodes):
    if learner.steps.cursor[1] > 0:  # it was cut off
        rate = _rate_now(learner, timesteps, episodes)
        s_next, a_next = learner.ahead[STATE], learner.ahead[ACTION]
        n_step_finish(learner.table, learner.steps, s_next, a_next, False, rate, learner.gamma)
    learner.ahead[STATE] = -1


def _finish_traces(learner, epsilon, timesteps, episodes):
    drop_traces(learner.traces)
    learner.ahead[STATE] = -1


def _finish_monte_carlo(learner, epsilon, timesteps, episodes):
    _learn_episode(learner, _rate_now(learner, timesteps, episodes), epsilon)


def _finish_replay(learner, epsilon, timesteps, episodes):
    mark_end(learner.memory)


@njit(cache=True)
def _rate_now(learner, timesteps, episodes):
    return schedule_value(learner.learning_rate, timesteps if learner.learning_rate.per_step else episodes)


SOURCES = (_rules, _returns, _models, _replay, _kernels, _sfc64, _sum_tree)  # what compiled learners are made of
for _function in (_look_ahead, _learn_episode, _rate_now):
    stamp(_function, *SOURCES)

# ------------------------------------------------------------------------------------- the choice, by type

_CHOOSE: dict[Any, Any] = {
    RandomLearner: _choose_randomly,
    FixedPolicy: _choose_fixed,
    QLearner: _choose_by_table,
    ReplayQLearner: _choose_by_table,
    PrioritizedQLearner: _choose_by_table,
    DoubleQLearner: _choose_by_table,
    DynaQLearner: _choose_by_table,
    SweepingLearner: _choose_by_table,
    ExpectedSarsaLearner: _choose_by_table,
    MonteCarloLearner: _choose_by_table,
    SarsaLearner: _choose_as_said,
    NStepSarsaLearner: _choose_as_said,
    SarsaLambdaLearner: _choose_as_said,
}
_LEARN: dict[Any, Any] = {
    RandomLearner: _learn_nothing,
    FixedPolicy: _learn_nothing,
    QLearner: _q_learn,
    ReplayQLearner: _replay_q_learn,
    PrioritizedQLearner: _prioritized_q_learn,
    DoubleQLearner: _double_q_learn,
    DynaQLearner: _dyna_q_learn,
    SweepingLearner: _sweeping_learn,
    ExpectedSarsaLearner: _expected_sarsa_learn,
    MonteCarloLearner: _monte_carlo_learn,
    SarsaLearner: _sarsa_learn,
    NStepSarsaLearner: _n_step_learn,
    SarsaLambdaLearner: _sarsa_lambda_learn,
}
_FINISH: dict[Any, Any] = {
    ReplayQLearner: _finish_replay,
    PrioritizedQLearner: _finish_replay,
    SarsaLearner: _finish_sarsa,
    NStepSarsaLearner: _finish_n_step,
    SarsaLambdaLearner: _finish_traces,
    MonteCarloLearner: _finish_monte_carlo,
}


_REPLAY: dict[Any, Any] = {ReplayQLearner: _replay_uniform, PrioritizedQLearner: _replay_prioritized}


@overload(choose, inline="always")
def _overload_choose(learner, s, epsilon, n_actions, bits):
    return _CHOOSE.get(getattr(learner, "instance_class", None))


@overload(learn, inline="always")
def _overload_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    return _LEARN.get(getattr(learner, "instance_class", None))


@overload(finish, inline="always")
def _overload_finish(learner, epsilon, timesteps, episodes):
    return _FINISH.get(getattr(learner, "instance_class", None), _finish_nothing)


@overload(replay)
def _overload_replay(learner, learning_rate):
    return _REPLAY.get(getattr(learner, "instance_class", None))


def sfc64_words(rng: np.random.Generator) -> NDArray[np.uint64]:
    """Returns a copy of the four words of a generator's SFC64 state."""
    words: NDArray[np.uint64] = rng.bit_generator.state["state"]["state"].copy()
    return words


def set_sfc64_words(rng: np.random.Generator, words: NDArray[np.uint64]) -> None:
    """Puts a generator where the compiled loop left it."""
    state = rng.bit_generator.state
    rng.bit_generator.state = {**state, "state": {"state": np.array(words, dtype=np.uint64)}}

"""Agents as the compiled loop sees them: NamedTuples of schedules and arrays, dispatched by type.

Each shares its agent's arrays, so the agent sees what the loop learns. The first field of every learner is its core.
`choose` chooses an action, `learn` learns from a step, `finish` from the end of an episode. `bits` is the state of the
agent's generator, kept in registers: a function that draws returns the new state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numba import njit
from numba.extending import overload

from rlbench._stamp import stamp
from rlbench.agents._models import (
    Model,
    Outcomes,
    Queue,
    count_outcome,
    learn_curious_model,
    learn_model,
    plan_curious_step,
    plan_drawn_step,
    plan_step,
    sweep,
)
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
    Mixing,
    Ratios,
    Sampling,
    Steps,
    Traces,
    drop_traces,
    monte_carlo_update,
    n_step_finish,
    n_step_update,
    off_policy_control_update,
    off_policy_update,
    q_lambda_update,
    q_sigma_finish,
    q_sigma_update,
    remember_greedy_ratio,
    remember_ratio,
    remember_step,
    returns_rate,
    sarsa_lambda_update,
    true_online_update,
    value_after,
)
from rlbench.agents._rules import (
    COLUMN,
    PICK,
    RATE_NOW,
    Allowed,
    Averages,
    Given,
    Schedule,
    Table,
    column,
    column_of_action,
    differential_update,
    double_q_update,
    epsilon_greedy,
    expected_sarsa_update,
    judged,
    pick,
    preference_update,
    q_update,
    rate_now,
    sarsa_update,
    schedule_value,
)
from rlbench.buffers._sfc64 import sfc64_random

if TYPE_CHECKING:
    from numpy.typing import NDArray

Bits: TypeAlias = "tuple[int, int, int, int]"
STATE, ACTION, EXPLORED = 0, 1, 2  # indices into `ahead`; state -1: no action chosen yet


class Rates(NamedTuple):
    """The core of a learner without a table."""

    learning_rate: Schedule
    exploration: Schedule


class Core(NamedTuple):
    """The core of every learner with a table of `_rules`."""

    learning_rate: Any  # a Schedule, or Visits
    exploration: Schedule
    policy: Any  # such as EpsilonGreedy: its type selects how an action is chosen
    table: Table
    gamma: float


class RandomLearner(NamedTuple):
    """The random agent: its exploration rate is always 1."""

    core: Rates


class MaskedRandomLearner(NamedTuple):
    """The random agent among allowed actions."""

    core: Rates
    allowed: Allowed


class QLearner(NamedTuple):
    """Q-learning on a table of `_rules`."""

    core: Core


class PreferenceLearner(NamedTuple):
    """A gradient bandit."""

    core: Core
    averages: Averages
    has_baseline: bool


class ReplayQLearner(NamedTuple):
    """Q-learning on minibatches from a uniform buffer."""

    core: Core
    memory: Memory
    learning_starts: int
    train_freq: int


class PrioritizedQLearner(NamedTuple):
    """Q-learning on minibatches from a prioritized buffer."""

    core: Core
    memory: Memory
    learning_starts: int
    train_freq: int
    priorities: Priorities


class DoubleQLearner(NamedTuple):
    """Double Q-learning on two tables and their mean."""

    core: Core
    halves: Table  # the two tables, stacked


class DynaQLearner(NamedTuple):
    """Q-learning on real steps and on steps of a model."""

    core: Core
    model: Model
    planning_steps: int


class DrawingDynaQLearner(NamedTuple):
    """Dyna-Q with a model that draws its outcomes."""

    core: Core
    model: Model
    planning_steps: int
    known: Outcomes


class DynaQPlusLearner(NamedTuple):
    """Dyna-Q with a bonus for what was not tried for long."""

    core: Core
    model: Model
    planning_steps: int
    tried_at: NDArray[np.int64]  # (n_states, n_actions): the time of the last try
    kappa: float


class SweepingLearner(NamedTuple):
    """Prioritized sweeping: learning from a model, largest error first."""

    core: Core
    model: Model
    planning_steps: int
    queue: Queue
    threshold: float


class ExpectedSarsaLearner(NamedTuple):
    """Expected Sarsa."""

    core: Core


class SarsaLearner(NamedTuple):
    """Sarsa."""

    core: Core
    ahead: NDArray[np.int64]  # the next action, chosen in advance: STATE, ACTION, EXPLORED


class DifferentialLearner(NamedTuple):
    """Differential Sarsa and R-learning."""

    core: Core
    ahead: NDArray[np.int64]
    average: NDArray[np.float64]  # (1,): the average reward
    average_rate: float
    off_policy: bool


class NStepSarsaLearner(NamedTuple):
    """n-step Sarsa."""

    core: Core
    ahead: NDArray[np.int64]
    steps: Steps


class QSigmaLearner(NamedTuple):
    """n-step Q(sigma): tree backup, n-step expected Sarsa, and what lies in between."""

    core: Core
    steps: Steps
    sampling: Sampling
    mixing: Mixing


class SarsaLambdaLearner(NamedTuple):
    """Sarsa(lambda)."""

    core: Core
    ahead: NDArray[np.int64]
    traces: Traces
    trace_decay: float
    replacing: bool
    trace_floor: float


class TrueOnlineLearner(NamedTuple):
    """True online Sarsa(lambda)."""

    core: Core
    ahead: NDArray[np.int64]
    traces: Traces
    old: NDArray[np.float64]  # (1,): what the present pair was worth before the last step
    trace_decay: float
    trace_floor: float


class QLambdaLearner(NamedTuple):
    """Watkins's Q(lambda)."""

    core: Core
    traces: Traces
    trace_decay: float
    replacing: bool
    trace_floor: float


class MonteCarloLearner(NamedTuple):
    """Monte Carlo control."""

    core: Core
    counts: NDArray[np.int64]  # (n_states, n_actions): number of returns averaged
    episode: Episode
    averaging: bool
    every: bool  # visit counts, not the first alone


class OffPolicyLearner(NamedTuple):
    """Monte Carlo prediction by importance sampling."""

    core: Core
    counts: NDArray[np.int64]
    episode: Episode
    averaging: bool
    every: bool
    ratios: Ratios
    weighted: bool


class OffPolicyControlLearner(NamedTuple):
    """Monte Carlo control by importance sampling."""

    core: Core
    counts: NDArray[np.int64]
    episode: Episode
    ratios: Ratios


def choose(learner: Any, s: int, epsilon: float, n_actions: int, bits: Bits) -> tuple[int, bool, Bits]:
    """Returns (action, explored, bits): the learner's action in state s."""
    return _WAYS[type(learner)].choose(learner, s, epsilon, n_actions, bits)  # type: ignore[no-any-return]


def learn(
    learner: Any,
    s: int,
    a: int,
    r: float,
    s_next: int,
    terminated: bool,  # noqa: FBT001  (in Gymnasium's order)
    learning_rate: Any,  # a number, or Visits
    epsilon: float,
    timesteps: int,
    bits: Bits,
) -> Bits:
    """Learns from one step; `timesteps` includes it, `epsilon` is for the next choice. Returns bits."""
    step = s, a, r, s_next, terminated
    return _WAYS[type(learner)].learn(learner, *step, learning_rate, epsilon, timesteps, bits)  # type: ignore[no-any-return]


def finish(learner: Any, epsilon: float, timesteps: int, episodes: int) -> None:
    """Learns what remains of an episode, terminated or truncated; `episodes` does not include it yet."""
    _WAYS[type(learner)].finish(learner, epsilon, timesteps, episodes)


def judge(learner: Any, first: int) -> tuple[float, float]:
    """Returns the figures of an episode that began in state `first`: its value, and the error of all values."""
    return _judge_for(learner)(learner, first)  # type: ignore[no-any-return]


def replay(learner: Any, learning_rate: float) -> None:
    """Learns from one minibatch of the learner's buffer."""
    _WAYS[type(learner)].replay(learner, learning_rate)


# ------------------------------------------------------------------------------------------------- choosing


def _choose_randomly(learner, s, epsilon, n_actions, bits):
    u, bits = sfc64_random(bits)
    action, explored = epsilon_greedy(u, epsilon, n_actions, 0)
    return action, explored, bits


def _choose_randomly_among(learner, s, epsilon, n_actions, bits):
    u, bits = sfc64_random(bits)
    place, explored = epsilon_greedy(u, epsilon, learner.allowed.counts[s], 0)
    return learner.allowed.actions[s, place], explored, bits


def _choose_by_table(learner, s, epsilon, n_actions, bits):
    u, bits = sfc64_random(bits)
    action, explored = pick(learner.core.policy, learner.core.table, s, epsilon, u)
    return action, explored, bits


def _choose_as_said(learner, s, epsilon, n_actions, bits):
    action, explored = learner.ahead[ACTION], learner.ahead[EXPLORED] != 0
    if learner.ahead[STATE] != s:
        u, bits = sfc64_random(bits)
        action, explored = pick(learner.core.policy, learner.core.table, s, epsilon, u)
    return action, explored, bits


@njit(cache=True, inline="always")
def _look_ahead(learner, s_next, terminated, epsilon, bits):
    """Chooses the next action in advance, for the update needs it; returns (its column of the table, bits)."""
    if terminated:
        learner.ahead[STATE] = -1
        return 0, bits
    u, bits = sfc64_random(bits)
    action, explored = pick(learner.core.policy, learner.core.table, s_next, epsilon, u)
    learner.ahead[STATE], learner.ahead[ACTION], learner.ahead[EXPLORED] = s_next, action, explored
    return column(learner.core.policy, action), bits


# ------------------------------------------------------------------------------------------------- learning


def _learn_nothing(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    return bits


def _q_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    q_update(learner.core.table, s, a, r, s_next, terminated, learning_rate, learner.core.gamma)
    return bits


def _preference_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    core = learner.core
    preference_update(core.table, learner.averages, core.policy, s, a, r, learning_rate, learner.has_baseline)
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
        replay_steps(learner.core.table, learner.memory, learning_rate, learner.core.gamma)
    else:
        replay_returns(learner.core.table, learner.memory, learning_rate, learner.core.gamma)


def _replay_prioritized(learner, learning_rate):
    replay_prioritized(learner.core.table, learner.memory, learner.priorities, learning_rate, learner.core.gamma)


def _double_q_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    u, bits = sfc64_random(bits)
    double_q_update(
        learner.halves, learner.core.table, u, s, a, r, s_next, terminated, learning_rate, learner.core.gamma
    )
    return bits


def _dyna_q_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    q_update(learner.core.table, s, a, r, s_next, terminated, learning_rate, learner.core.gamma)
    learn_model(learner.model, s, a, r, s_next, terminated)
    for _ in range(learner.planning_steps):
        u, bits = sfc64_random(bits)
        plan_step(learner.core.table, learner.model, u, learning_rate, learner.core.gamma)
    return bits


def _drawing_dyna_q_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    table, model, known, gamma = learner.core.table, learner.model, learner.known, learner.core.gamma
    q_update(table, s, a, r, s_next, terminated, learning_rate, gamma)
    learn_model(model, s, a, r, s_next, terminated)
    count_outcome(known, s, a, r, s_next, terminated)
    for _ in range(learner.planning_steps):
        u, bits = sfc64_random(bits)
        v, bits = sfc64_random(bits)
        plan_drawn_step(table, model, known, u, v, learning_rate, gamma)
    return bits


def _dyna_q_plus_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    table, model, tried_at, gamma = learner.core.table, learner.model, learner.tried_at, learner.core.gamma
    q_update(table, s, a, r, s_next, terminated, learning_rate, gamma)
    learn_curious_model(table, model, tried_at, s, a, r, s_next, terminated, timesteps)
    for _ in range(learner.planning_steps):
        u, bits = sfc64_random(bits)
        plan_curious_step(table, model, tried_at, u, learning_rate, gamma, timesteps, learner.kappa)
    return bits


def _sweeping_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    model, queue, steps = learner.model, learner.queue, learner.planning_steps
    step = s, a, r, s_next, terminated
    sweep(learner.core.table, model, queue, *step, learning_rate, learner.core.gamma, learner.threshold, steps)
    return bits


def _expected_sarsa_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    expected_sarsa_update(
        learner.core.table, learner.core.policy, epsilon, s, a, r, s_next, terminated, learning_rate, learner.core.gamma
    )
    return bits


def _sarsa_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    a_next, bits = _look_ahead(learner, s_next, terminated, epsilon, bits)
    a = column(learner.core.policy, a)
    sarsa_update(learner.core.table, s, a, r, s_next, a_next, terminated, learning_rate, learner.core.gamma)
    return bits


def _differential_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    a_next, bits = _look_ahead(learner, s_next, terminated, epsilon, bits)
    rates = learning_rate, learner.core.gamma, learner.average_rate, learner.off_policy
    differential_update(learner.core.table, learner.average, s, a, r, s_next, a_next, terminated, *rates)
    return bits


def _n_step_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    a_next, bits = _look_ahead(learner, s_next, terminated, epsilon, bits)
    a = column(learner.core.policy, a)
    n_step_update(
        learner.core.table, learner.steps, s, a, r, s_next, a_next, terminated, learning_rate, learner.core.gamma
    )
    return bits


def _q_sigma_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    core, chosen_by = learner.core, _epsilon_before(learner, epsilon, timesteps)
    kept = core.table, learner.steps, learner.sampling, learner.mixing, core.policy
    q_sigma_update(*kept, chosen_by, epsilon, s, a, r, s_next, terminated, learning_rate, core.gamma)
    return bits


def _sarsa_lambda_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    a_next, bits = _look_ahead(learner, s_next, terminated, epsilon, bits)
    a = column(learner.core.policy, a)
    sarsa_lambda_update(
        learner.core.table,
        learner.traces,
        s,
        a,
        r,
        s_next,
        a_next,
        terminated,
        learning_rate,
        learner.core.gamma,
        learner.trace_decay,
        learner.replacing,
        learner.trace_floor,
    )
    return bits


def _true_online_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    a_next, bits = _look_ahead(learner, s_next, terminated, epsilon, bits)
    kept, rates = (learner.core.table, learner.traces, learner.old), (learner.trace_decay, learner.trace_floor)
    step = s, column(learner.core.policy, a), r, s_next, a_next, terminated
    true_online_update(*kept, *step, learning_rate, learner.core.gamma, *rates)
    return bits


def _q_lambda_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    rates = learning_rate, learner.core.gamma, learner.trace_decay, learner.replacing, learner.trace_floor
    q_lambda_update(learner.core.table, learner.traces, s, a, r, s_next, terminated, *rates)
    return bits


def _monte_carlo_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    remember_step(learner.episode, s, column(learner.core.policy, a), r, s_next, terminated)
    if learner.episode.cursor[0] == learner.episode.rewards.shape[0]:
        _learn_episode(learner, learning_rate, epsilon)
    return bits


@njit(cache=True)
def _learn_episode(learner, learning_rate, epsilon):
    value = value_after(learner.episode, learner.core.policy, learner.core.table, epsilon)
    rate = returns_rate(learning_rate, learner.averaging)
    kept = learner.core.table, learner.counts, learner.episode
    monte_carlo_update(*kept, value, rate, learner.core.gamma, learner.every)


def _off_policy_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    remember_ratio(learner.ratios, learner.episode, learner.core.policy, s, a)
    remember_step(learner.episode, s, column(learner.core.policy, a), r, s_next, terminated)
    if learner.episode.cursor[0] == learner.episode.rewards.shape[0]:
        _learn_off_policy(learner, learning_rate)
    return bits


@njit(cache=True)
def _learn_off_policy(learner, learning_rate):
    core, rate = learner.core, returns_rate(learning_rate, learner.averaging)
    value = value_after(learner.episode, core.policy, core.table, 0.0)
    kept = core.table, learner.counts, learner.episode, learner.ratios
    off_policy_update(*kept, value, rate, core.gamma, learner.every, learner.weighted, core.policy.per_action != 0)


def _off_policy_control_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    core, chosen_by = learner.core, _epsilon_before(learner, epsilon, timesteps)
    remember_greedy_ratio(learner.ratios, learner.episode, core.policy, core.table, chosen_by, s, a)
    remember_step(learner.episode, s, a, r, s_next, terminated)
    if learner.episode.cursor[0] == learner.episode.rewards.shape[0]:
        off_policy_control_update(core.table, learner.counts, learner.episode, learner.ratios, core.gamma)
    return bits


# ---------------------------------------------------------------------------------- the end of an episode


def _finish_nothing(learner, epsilon, timesteps, episodes):
    return None


def _judge_nothing(learner, first):
    return np.nan, np.nan


def _judge_given(learner, first):
    return judged(learner.core.policy, learner.core.table, first)


def _judge_for(learner: Any) -> Any:
    return _judge_given if isinstance(getattr(learner.core, "policy", None), Given) else _judge_nothing


def _finish_sarsa(learner, epsilon, timesteps, episodes):
    learner.ahead[STATE] = -1


def _finish_n_step(learner, epsilon, timesteps, episodes):
    if learner.steps.cursor[1] > 0:  # truncated
        rate = _rate_now(learner, timesteps, episodes)
        s_next, a_next = learner.ahead[STATE], column(learner.core.policy, learner.ahead[ACTION])
        n_step_finish(learner.core.table, learner.steps, s_next, a_next, False, rate, learner.core.gamma)
    learner.ahead[STATE] = -1


def _finish_q_sigma(learner, epsilon, timesteps, episodes):
    core, rate = learner.core, _rate_now(learner, timesteps, episodes)
    kept = core.table, learner.steps, learner.sampling, learner.mixing, core.policy
    q_sigma_finish(*kept, epsilon, False, rate, core.gamma)


def _finish_traces(learner, epsilon, timesteps, episodes):
    drop_traces(learner.traces)
    learner.ahead[STATE] = -1


def _finish_q_lambda(learner, epsilon, timesteps, episodes):
    drop_traces(learner.traces)


def _finish_true_online(learner, epsilon, timesteps, episodes):
    drop_traces(learner.traces)
    learner.ahead[STATE] = -1
    learner.old[0] = 0.0


def _finish_monte_carlo(learner, epsilon, timesteps, episodes):
    _learn_episode(learner, _rate_now(learner, timesteps, episodes), epsilon)


def _finish_off_policy(learner, epsilon, timesteps, episodes):
    _learn_off_policy(learner, _rate_now(learner, timesteps, episodes))


def _finish_off_policy_control(learner, epsilon, timesteps, episodes):
    core = learner.core
    off_policy_control_update(core.table, learner.counts, learner.episode, learner.ratios, core.gamma)


def _finish_replay(learner, epsilon, timesteps, episodes):
    mark_end(learner.memory)


@njit(cache=True)
def _epsilon_before(learner, epsilon, timesteps):
    """Returns the epsilon by which the action of step `timesteps` was chosen; `epsilon` is that of the next."""
    exploration = learner.core.exploration
    return schedule_value(exploration, timesteps - 1) if exploration.per_step else epsilon


@njit(cache=True)
def _rate_now(learner, timesteps, episodes):
    rates = learner.core.learning_rate
    return rate_now(rates, timesteps if rates.per_step else episodes)


# ------------------------------------------------------------------------------------- dispatch by type


class Ways(NamedTuple):
    """The functions of one type of learner: choosing, and learning from a step, an episode's end and a minibatch."""

    choose: Any
    learn: Any
    finish: Any = _finish_nothing
    replay: Any = None


_WAYS: dict[Any, Ways] = {
    RandomLearner: Ways(_choose_randomly, _learn_nothing),
    MaskedRandomLearner: Ways(_choose_randomly_among, _learn_nothing),
    QLearner: Ways(_choose_by_table, _q_learn),
    PreferenceLearner: Ways(_choose_by_table, _preference_learn),
    ReplayQLearner: Ways(_choose_by_table, _replay_q_learn, _finish_replay, _replay_uniform),
    PrioritizedQLearner: Ways(_choose_by_table, _prioritized_q_learn, _finish_replay, _replay_prioritized),
    DoubleQLearner: Ways(_choose_by_table, _double_q_learn),
    DynaQLearner: Ways(_choose_by_table, _dyna_q_learn),
    DrawingDynaQLearner: Ways(_choose_by_table, _drawing_dyna_q_learn),
    DynaQPlusLearner: Ways(_choose_by_table, _dyna_q_plus_learn),
    SweepingLearner: Ways(_choose_by_table, _sweeping_learn),
    ExpectedSarsaLearner: Ways(_choose_by_table, _expected_sarsa_learn),
    MonteCarloLearner: Ways(_choose_by_table, _monte_carlo_learn, _finish_monte_carlo),
    OffPolicyLearner: Ways(_choose_by_table, _off_policy_learn, _finish_off_policy),
    OffPolicyControlLearner: Ways(_choose_by_table, _off_policy_control_learn, _finish_off_policy_control),
    SarsaLearner: Ways(_choose_as_said, _sarsa_learn, _finish_sarsa),
    DifferentialLearner: Ways(_choose_as_said, _differential_learn, _finish_sarsa),
    NStepSarsaLearner: Ways(_choose_as_said, _n_step_learn, _finish_n_step),
    QSigmaLearner: Ways(_choose_by_table, _q_sigma_learn, _finish_q_sigma),
    SarsaLambdaLearner: Ways(_choose_as_said, _sarsa_lambda_learn, _finish_traces),
    QLambdaLearner: Ways(_choose_by_table, _q_lambda_learn, _finish_q_lambda),
    TrueOnlineLearner: Ways(_choose_as_said, _true_online_learn, _finish_true_online),
}


def functions_of(learner: Any) -> dict[str, Any]:
    """Returns what `choose`, `learn`, `finish`, `judge` and what these call are for a learner of this type."""
    ways = _WAYS[type(learner)]
    rate, judging = RATE_NOW[type(learner.core.learning_rate)], _judge_for(learner)
    own = {"choose": ways.choose, "learn": ways.learn, "finish": ways.finish, "judge": judging, "rate_now": rate}
    if isinstance(learner.core, Rates):
        return own
    policy = type(learner.core.policy)
    of_policy = {"pick": PICK[policy], "column": COLUMN.get(policy, column_of_action)}
    return {**own, **of_policy, "_look_ahead": _look_ahead.py_func}


def _way(numba_type: Any, name: str) -> Any:
    """Returns a learner's function by its numba type; None for other types, which numba reports as an error."""
    ways = _WAYS.get(getattr(numba_type, "instance_class", None))
    return getattr(ways, name, None)


@overload(learn, inline="always")
def _overload_learn(learner, s, a, r, s_next, terminated, learning_rate, epsilon, timesteps, bits):
    return _way(learner, "learn")


@overload(replay)
def _overload_replay(learner, learning_rate):
    return _way(learner, "replay")


def sfc64_words(rng: np.random.Generator) -> NDArray[np.uint64]:
    """Returns a copy of the four words of a generator's SFC64 state."""
    words: NDArray[np.uint64] = rng.bit_generator.state["state"]["state"].copy()
    return words


def set_sfc64_words(rng: np.random.Generator, words: NDArray[np.uint64]) -> None:
    """Sets a generator to the state in which the compiled loop left it."""
    state = rng.bit_generator.state
    rng.bit_generator.state = {**state, "state": {"state": np.array(words, dtype=np.uint64)}}


stamp(__name__)

"""Compiled learning from several steps at once: n-step returns, eligibility traces, whole episodes."""

# compiled code has no annotations: numba infers the types
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload

from rlbench._stamp import stamp
from rlbench.agents._rules import (
    Visits,
    expected_value,
    greedy_action,
    greedy_value,
    is_by_visits,
    probability,
    q_value,
    set_q,
    step_size,
    td_update,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


LARGEST_RATIO = 1e150  # its products with returns, and sums of these, stay finite


class Steps(NamedTuple):
    """A ring buffer of the latest steps of an episode, still to be learnt from."""

    states: NDArray[np.int64]  # (n,)
    actions: NDArray[np.int64]  # (n,)
    rewards: NDArray[np.float64]  # (n,)
    cursor: NDArray[np.int64]  # index of the oldest step, number of steps


def new_steps(n: int) -> Steps:
    """Makes room for n steps."""
    return Steps(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n), np.zeros(2, np.int64))


@njit(cache=True, forceinline=True)
def n_step_update(table, steps, s, a, r, s_next, a_next, terminated, learning_rate, gamma):
    """Remembers a step and learns from the one n steps ago, or from all remaining ones if the episode terminated.

    n-step Sarsa, Sutton & Barto (2018) 7.2, equations 7.4 and 7.5.
    """
    n = steps.rewards.shape[0]
    _keep_step(steps, s, a, r)
    if terminated:
        n_step_finish(table, steps, s_next, a_next, terminated, learning_rate, gamma)
    elif steps.cursor[1] == n:
        _n_step_oldest(table, steps, s_next, a_next, terminated, learning_rate, gamma)


@njit(cache=True, inline="always")
def _keep_step(steps, s, a, r):
    """Adds a step to the ring; returns its place."""
    place = steps.cursor[0] + steps.cursor[1]
    place -= steps.rewards.shape[0] if place >= steps.rewards.shape[0] else 0
    steps.states[place], steps.actions[place], steps.rewards[place] = s, a, r
    steps.cursor[1] += 1
    return place


@njit(cache=True)
def n_step_finish(table, steps, s_next, a_next, terminated, learning_rate, gamma):
    """Learns from all remaining steps; bootstraps from (s_next, a_next) if the episode was truncated."""
    while steps.cursor[1] > 0:
        _n_step_oldest(table, steps, s_next, a_next, terminated, learning_rate, gamma)
    steps.cursor[0] = 0


@njit(cache=True, forceinline=True)
def _n_step_oldest(table, steps, s_next, a_next, terminated, learning_rate, gamma):
    n = steps.rewards.shape[0]
    g = 0.0 if terminated else q_value(table, s_next, a_next)
    place = steps.cursor[0] + steps.cursor[1]
    for _ in range(steps.cursor[1]):
        place -= 1
        g = steps.rewards[place - n if place >= n else place] + gamma * g
    td_update(table, steps.states[place], steps.actions[place], g, learning_rate)
    steps.cursor[0] = place + 1 if place + 1 < n else 0
    steps.cursor[1] -= 1


class Mixing(NamedTuple):
    """What an n-step return takes as a sample, and of which policy."""

    sigma: float  # of every step: 1 takes its action as a sample, 0 the expectation over all actions
    alternating: bool  # whether sigma is 1 and 0 in turn instead
    greedy: bool  # whether the policy whose values are learnt is the greedy one, not the one that is followed
    plain: bool  # whether a sample replaces the value of its state, without a control variate


class Sampling(NamedTuple):
    """What `q_sigma_update` knows of the steps in a ring, beside the steps."""

    sigmas: NDArray[np.float64]  # (n,)
    ratios: NDArray[np.float64]  # (n,): the action's probability by the policy that is learnt, over the followed one's
    last: NDArray[np.int64]  # (1,): the state after the latest step


def new_sampling(n: int) -> Sampling:
    """Makes room for n steps."""
    return Sampling(np.zeros(n), np.zeros(n), np.zeros(1, np.int64))


@njit(cache=True)
def q_sigma_update(
    table, steps, sampling, mixing, policy, chosen_by, epsilon, s, a, r, s_next, terminated, learning_rate, gamma
):
    """Remembers a step and learns from the one n steps ago, or from all remaining ones if the episode terminated.

    n-step Q(sigma), Sutton & Barto (2018) 7.6, equation 7.17. `chosen_by` is the epsilon by which `a` was chosen,
    `epsilon` that of the next choice.
    """
    alternate = 1.0
    if steps.cursor[1] > 0:
        latest = (steps.cursor[0] + steps.cursor[1] - 1) % steps.rewards.shape[0]
        alternate = 1.0 - sampling.sigmas[latest]
    place = _keep_step(steps, s, a, r)
    sampling.sigmas[place] = alternate if mixing.alternating else mixing.sigma
    sampling.ratios[place] = _ratio(table, mixing, policy, chosen_by, s, a)
    sampling.last[0] = s_next
    if terminated:
        q_sigma_finish(table, steps, sampling, mixing, policy, epsilon, terminated, learning_rate, gamma)
    elif steps.cursor[1] == steps.rewards.shape[0]:
        _q_sigma_oldest(table, steps, sampling, mixing, policy, epsilon, terminated, learning_rate, gamma)


@njit(cache=True)
def q_sigma_finish(table, steps, sampling, mixing, policy, epsilon, terminated, learning_rate, gamma):
    """Learns from all remaining steps; bootstraps from the last state if the episode was truncated."""
    while steps.cursor[1] > 0:
        _q_sigma_oldest(table, steps, sampling, mixing, policy, epsilon, terminated, learning_rate, gamma)
    steps.cursor[0] = 0


@njit(cache=True)
def _q_sigma_oldest(table, steps, sampling, mixing, policy, epsilon, terminated, learning_rate, gamma):
    n, oldest = steps.rewards.shape[0], steps.cursor[0]
    value = 0.0 if terminated else _target_value(table, mixing, policy, epsilon, sampling.last[0])
    for i in range(steps.cursor[1] - 1, 0, -1):
        place = (oldest + i) % n
        g = steps.rewards[place] + gamma * value
        value = _value_with(table, steps, sampling, mixing, policy, epsilon, place, g)
    g = steps.rewards[oldest] + gamma * value
    td_update(table, steps.states[oldest], steps.actions[oldest], g, learning_rate)
    steps.cursor[0] = (oldest + 1) % n
    steps.cursor[1] -= 1


@njit(cache=True)
def _value_with(table, steps, sampling, mixing, policy, epsilon, place, g):
    """Returns the value of a step's state, in which the return g stands for its action as far as sigma says."""
    if mixing.plain:
        return sampling.ratios[place] * g
    s, a, sigma = steps.states[place], steps.actions[place], sampling.sigmas[place]
    weight = sigma * sampling.ratios[place] + (1.0 - sigma) * _target_probability(table, mixing, policy, epsilon, s, a)
    return weight * (g - q_value(table, s, a)) + _target_value(table, mixing, policy, epsilon, s)


@njit(cache=True)
def _ratio(table, mixing, policy, epsilon, s, a):
    """Returns how much likelier an action is by the policy that is learnt; 0 if the followed one never takes it."""
    if not mixing.greedy:
        return 1.0
    followed = probability(policy, table, s, epsilon, a)
    return (a == greedy_action(table, s)) / followed if followed > 0.0 else 0.0


@njit(cache=True)
def _target_value(table, mixing, policy, epsilon, s):
    return greedy_value(table, s) if mixing.greedy else expected_value(policy, table, s, epsilon)


@njit(cache=True)
def _target_probability(table, mixing, policy, epsilon, s, a):
    return 1.0 * (a == greedy_action(table, s)) if mixing.greedy else probability(policy, table, s, epsilon, a)


class Traces(NamedTuple):
    """The eligibility traces of the pairs (s, a) that have one, in no particular order."""

    states: NDArray[np.int64]  # (n_states * n_actions,)
    actions: NDArray[np.int64]  # (n_states * n_actions,)
    strengths: NDArray[np.float64]  # (n_states * n_actions,)
    places: NDArray[np.int64]  # (n_states, n_actions): a pair's index in these lists, -1 if absent
    held: NDArray[np.int64]  # (1,): the number of traces


def new_traces(n_states: int, n_actions: int) -> Traces:
    """Makes room for a trace of every pair."""
    size = n_states * n_actions
    states, actions = np.zeros(size, np.int64), np.zeros(size, np.int64)
    return Traces(states, actions, np.zeros(size), np.full((n_states, n_actions), -1, np.int64), np.zeros(1, np.int64))


@njit(cache=True, forceinline=True)
def sarsa_lambda_update(
    table, traces, s, a, r, s_next, a_next, terminated, learning_rate, gamma, trace_decay, replacing, trace_floor
):
    """Moves every q in place by Sarsa's temporal-difference error times its trace; the traces then decay.

    Sarsa(lambda), Sutton & Barto (2018) 12.7, the box's algorithm with one feature per pair. A visit adds 1 to a
    trace or resets it to 1. Traces that decay to `trace_floor` are dropped, so a step costs only the ones that matter.
    """
    target = r if terminated else r + gamma * q_value(table, s_next, a_next)
    change = step_size(learning_rate, s, a) * (target - q_value(table, s, a))
    _leave_trace(traces, s, a, replacing)
    _move_along(table, traces, change, gamma * trace_decay, terminated, trace_floor)


@njit(cache=True, forceinline=True)
def q_lambda_update(
    table, traces, s, a, r, s_next, terminated, learning_rate, gamma, trace_decay, replacing, trace_floor
):
    """Moves every q in place by Q-learning's temporal-difference error times its trace; the traces then decay.

    Watkins's Q(lambda), Sutton & Barto (2018) 12.10: an action that is not the best ends the traces before it.
    """
    target, value = r if terminated else r + gamma * greedy_value(table, s_next), q_value(table, s, a)
    if value < greedy_value(table, s):
        drop_traces(traces)
    _leave_trace(traces, s, a, replacing)
    _move_along(
        table, traces, step_size(learning_rate, s, a) * (target - value), gamma * trace_decay, terminated, trace_floor
    )


@njit(cache=True, forceinline=True)
def true_online_update(
    table, traces, old, s, a, r, s_next, a_next, terminated, learning_rate, gamma, trace_decay, trace_floor
):
    """Moves every q in place as an online lambda-return would have it, by traces of their own (dutch).

    True online Sarsa(lambda), van Seijen et al. (2016); Sutton & Barto (2018) 12.7, the box's algorithm with one
    feature per pair; on a table of states true online TD(lambda), 12.5. `old` holds what (s, a) was worth before the
    last step. Traces that decay to `trace_floor` are dropped.
    """
    value, follows = q_value(table, s, a), 0.0 if terminated else q_value(table, s_next, a_next)
    error = r + gamma * follows - value
    size = step_size(learning_rate, s, a)
    change = size * (error + value - old[0])
    _leave_dutch_trace(traces, s, a, size)
    set_q(table, s, a, value - size * (value - old[0]))
    old[0] = follows
    _move_along(table, traces, change, gamma * trace_decay, terminated, trace_floor)


@njit(cache=True, forceinline=True)
def _move_along(table, traces, change, fade, terminated, trace_floor):
    """Moves every q by its trace; the traces then fade."""
    for i in range(traces.held[0] - 1, -1, -1):
        s_i, a_i, strength = traces.states[i], traces.actions[i], traces.strengths[i]
        set_q(table, s_i, a_i, q_value(table, s_i, a_i) + change * strength)
        strength *= fade
        traces.strengths[i] = strength
        if terminated or strength <= trace_floor:
            _drop_trace(traces, i)


@njit(cache=True, forceinline=True)
def _leave_dutch_trace(traces, s, a, learning_rate):
    place = _place_of_trace(traces, s, a)
    traces.strengths[place] += 1.0 - learning_rate * traces.strengths[place]


@njit(cache=True, forceinline=True)
def _leave_trace(traces, s, a, replacing):
    place = _place_of_trace(traces, s, a)
    traces.strengths[place] = 1.0 if replacing else traces.strengths[place] + 1.0


@njit(cache=True, forceinline=True)
def _place_of_trace(traces, s, a):
    """Returns a pair's index in the lists, where it begins at 0 if it is new."""
    place = traces.places[s, a]
    if place < 0:
        place = traces.held[0]
        traces.held[0] += 1
        traces.places[s, a], traces.states[place], traces.actions[place] = place, s, a
        traces.strengths[place] = 0.0
    return place


@njit(cache=True, forceinline=True)
def _drop_trace(traces, i):
    last = traces.held[0] - 1
    s, a = traces.states[last], traces.actions[last]
    traces.places[traces.states[i], traces.actions[i]] = -1
    if i != last:
        traces.states[i], traces.actions[i], traces.strengths[i] = s, a, traces.strengths[last]
        traces.places[s, a] = i
    traces.held[0] = last


@njit(cache=True)
def drop_traces(traces):
    """Forgets all traces: the episode has ended."""
    while traces.held[0] > 0:
        _drop_trace(traces, traces.held[0] - 1)


class Episode(NamedTuple):
    """An episode so far, for agents that learn at its end."""

    states: NDArray[np.int64]  # (horizon,)
    actions: NDArray[np.int64]  # (horizon,)
    rewards: NDArray[np.float64]  # (horizon,)
    first: NDArray[np.int64]  # (n_states, n_actions): the step at which a pair was first visited, -1 for never
    cursor: NDArray[np.int64]  # number of steps; the last observation, -1 if the episode terminated there


def new_episode(n_states: int, n_actions: int, horizon: int) -> Episode:
    """Makes room for an episode."""
    states, actions = np.zeros(horizon, np.int64), np.zeros(horizon, np.int64)
    first = np.full((n_states, n_actions), -1, np.int64)
    return Episode(states, actions, np.zeros(horizon), first, np.array([0, -1], np.int64))


@njit(cache=True, forceinline=True)
def remember_step(episode, s, a, r, s_next, terminated):
    """Appends a step to an episode."""
    t = episode.cursor[0]
    episode.states[t], episode.actions[t], episode.rewards[t] = s, a, r
    if episode.first[s, a] < 0:
        episode.first[s, a] = t
    episode.cursor[0], episode.cursor[1] = t + 1, -1 if terminated else s_next


@njit(cache=True, forceinline=True)
def monte_carlo_update(table, counts, episode, value, learning_rate, gamma, every):
    """Moves q of each pair of an episode towards the return after its first visit, or `every`; forgets the episode.

    Monte Carlo, Sutton & Barto (2018) 5.1 and 5.4, incremental as in 5.6: q is the mean of the returns, or an
    exponential mean where learning_rate is above 0 (equation 6.1). `value` is the expected return after the last step:
    0 if the episode terminated.
    """
    g = value
    for t in range(episode.cursor[0] - 1, -1, -1):
        s, a = episode.states[t], episode.actions[t]
        g = episode.rewards[t] + gamma * g
        is_first = episode.first[s, a] == t
        if is_first:
            episode.first[s, a] = -1
        if is_first or every:
            counts[s, a] += 1
            td_update(table, s, a, g, mean_rate(learning_rate, counts[s, a]))
    episode.cursor[0], episode.cursor[1] = 0, -1


def returns_rate(learning_rate: Any, averaging: bool) -> Any:  # noqa: FBT001  (compiled code has no keywords)
    """Returns the learning rate for returns: 0 for their mean, unless visits say how it is made."""
    return _RETURNS_RATE[type(learning_rate) is Visits](learning_rate, averaging)


def mean_rate(learning_rate: Any, n: int) -> Any:
    """Returns the learning rate of the n-th return: 1 / n for a mean, where it is 0."""
    return _MEAN_RATE[type(learning_rate) is Visits](learning_rate, n)


def _none_if_averaging(learning_rate, averaging):
    return 0.0 if averaging else learning_rate


def _rate_or_mean(learning_rate, n):
    return learning_rate if learning_rate > 0.0 else 1.0 / n


def _visits_anyway(learning_rate, averaging):  # noqa: ARG001
    return learning_rate


def _visits(learning_rate, n):  # noqa: ARG001
    return learning_rate


_RETURNS_RATE = {False: _none_if_averaging, True: _visits_anyway}
_MEAN_RATE = {False: _rate_or_mean, True: _visits}


@overload(returns_rate)
def _overload_returns_rate(learning_rate, averaging):  # noqa: ARG001
    return _RETURNS_RATE[is_by_visits(learning_rate)]


@overload(mean_rate)
def _overload_mean_rate(learning_rate, n):  # noqa: ARG001
    return _MEAN_RATE[is_by_visits(learning_rate)]


class Ratios(NamedTuple):
    """How much likelier the actions of an episode are by the policy that is learnt than by the one that is followed."""

    of_steps: NDArray[np.float64]  # (horizon,)
    sums: NDArray[np.float64]  # (n_states, n_columns): of the returns so far


def new_ratios(n_states: int, n_columns: int, horizon: int) -> Ratios:
    """Makes room for the ratios of an episode."""
    return Ratios(np.zeros(horizon), np.zeros((n_states, n_columns)))


@njit(cache=True, forceinline=True)
def remember_ratio(ratios, episode, policy, s, a):
    """Notes the ratio of the step that `remember_step` is about to append."""
    ratios.of_steps[episode.cursor[0]] = policy.target[s, a] / policy.probabilities[s, a]


@njit(cache=True, forceinline=True)
def off_policy_update(table, counts, episode, ratios, value, learning_rate, gamma, every, weighted, per_action):
    """Moves values towards the returns that followed the visits of an episode, by importance sampling; forgets it.

    Sutton & Barto (2018) 5.5 and 5.6: the mean of ratio times return (equation 5.5), or `weighted` by the ratios
    (equations 5.6 to 5.8). The ratio of a pair leaves out its own action, that of a state does not. Otherwise as
    `monte_carlo_update`.
    """
    g, later = value, 1.0
    for t in range(episode.cursor[0] - 1, -1, -1):
        s, a = episode.states[t], episode.actions[t]
        g = episode.rewards[t] + gamma * g
        here = min(later * ratios.of_steps[t], LARGEST_RATIO)
        ratio = later if per_action else here
        later = here
        is_first = episode.first[s, a] == t
        if is_first:
            episode.first[s, a] = -1
        if is_first or every:
            counts[s, a] += 1
            ratios.sums[s, a] += ratio
            if not weighted:
                td_update(table, s, a, ratio * g, mean_rate(learning_rate, counts[s, a]))
            elif ratio > 0.0:
                td_update(table, s, a, g, ratio / ratios.sums[s, a])
    episode.cursor[0], episode.cursor[1] = 0, -1


@njit(cache=True)
def off_policy_control_update(table, counts, episode, ratios, gamma):
    """Moves q of the pairs at an episode's end towards the returns that followed them; forgets the episode.

    Off-policy Monte Carlo control, Sutton & Barto (2018) 5.7: weighted importance sampling, from the end back to the
    last action that is not the greedy one. `ratios.of_steps` holds the ratio of each action if it is the greedy one. If
    the episode was truncated, the value of the best action follows its last step.
    """
    g, weight, is_greedy = 0.0 if episode.cursor[1] < 0 else greedy_value(table, episode.cursor[1]), 1.0, True
    for t in range(episode.cursor[0] - 1, -1, -1):
        s, a = episode.states[t], episode.actions[t]
        episode.first[s, a] = -1
        if is_greedy and weight > 0.0:
            g = episode.rewards[t] + gamma * g
            counts[s, a] += 1
            ratios.sums[s, a] += weight
            td_update(table, s, a, g, weight / ratios.sums[s, a])
            is_greedy = a == greedy_action(table, s)
            weight = min(weight * ratios.of_steps[t], LARGEST_RATIO)
    episode.cursor[0], episode.cursor[1] = 0, -1


@njit(cache=True, forceinline=True)
def remember_greedy_ratio(ratios, episode, policy, table, epsilon, s, a):
    """Notes how much likelier the action is if it is the greedy one, of the step that `remember_step` is to append."""
    followed = probability(policy, table, s, epsilon, a)
    ratios.of_steps[episode.cursor[0]] = 1.0 / followed if followed > 0.0 else 0.0


@njit(cache=True)
def value_after(episode, policy, table, epsilon):
    """Returns the value of an episode's last state: 0 if it terminated, else the expected value under the policy."""
    if episode.cursor[1] < 0:
        return 0.0
    return expected_value(policy, table, episode.cursor[1], epsilon)


stamp(__name__)

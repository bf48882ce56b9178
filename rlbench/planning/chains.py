"""Markov reward chains: a model under a fixed choice of actions, and its long-run behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from rlbench.envs.tabular import outcome_rows
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rlbench.envs.tabular import TabularModel

    Array = NDArray[np.float64]

LARGEST_CLASS = 3_000  # states: the largest recurrent class whose gain is computed, by a dense solve
BALANCED = 1e-9  # relative to the largest reward: a gain this close to 0 counts as 0


@dataclass
class RewardChain:
    """One action's outcomes in each state, laid out for `reward + expected value of the successor`.

    An outcome that ends the episode leads to the extra state n_states, whose value stays 0.

    Attributes:
        reward: (n_states,), the expected reward.
        successor: (n_outcomes,), grouped by state.
        probability: (n_outcomes,); None when every state has one outcome.
        begins: (n_states,), the index of each state's first outcome.
    """

    reward: Array
    successor: NDArray[np.intp]
    probability: Array | None
    begins: NDArray[np.int64]

    @classmethod
    def of(cls, model: TabularModel, actions: NDArray[np.int64] | int) -> RewardChain:
        """Gathers the outcomes of taking `actions`: one per state, or the same in all."""
        pairs = np.arange(model.n_states) * model.n_actions + actions
        rows = pairs if model.is_deterministic else outcome_rows(model.offsets, pairs)
        counts = model.offsets[pairs + 1] - model.offsets[pairs]
        begins = np.cumsum(counts) - counts
        successor = np.where(model.terminated[rows], model.n_states, model.successor[rows]).astype(np.intp)
        if model.is_deterministic:
            return cls(model.reward[rows], successor, None, begins)
        probability = model.probability[rows]
        reward = np.add.reduceat(probability * model.reward[rows], begins)
        return cls(reward, successor, probability, begins)

    @classmethod
    def mixed(cls, model: TabularModel, policy: Array) -> RewardChain:
        """Gathers the outcomes of actions drawn with the probabilities `policy` (n_states, n_actions)."""
        weight = np.repeat(policy.reshape(-1), np.diff(model.offsets)) * model.probability
        rows = np.flatnonzero(weight)
        weight = weight[rows]
        begins = np.searchsorted(rows, model.offsets[:: model.n_actions][:-1])
        successor = np.where(model.terminated[rows], model.n_states, model.successor[rows]).astype(np.intp)
        return cls(np.add.reduceat(weight * model.reward[rows], begins), successor, weight, begins)

    @property
    def n_states(self) -> int:
        """The number of states, without the extra one."""
        return len(self.reward)

    @property
    def owners(self) -> NDArray[np.int64]:
        """The state that each outcome belongs to, (n_outcomes,)."""
        return np.repeat(np.arange(self.n_states), np.diff(self.begins, append=len(self.successor)))

    def back_up(self, values: Array, gamma: float, out: Array) -> None:
        """Writes r + gamma * E[values[s']] of each state into `out` (n_states,)."""
        # mode="clip" writes directly into out; the indices are valid by construction.
        if self.probability is None:
            np.take(values, self.successor, out=out, mode="clip")
        else:
            weighted = np.take(values, self.successor, mode="clip")
            weighted *= self.probability
            np.add.reduceat(weighted, self.begins, out=out)
        if gamma != 1:
            out *= gamma
        out += self.reward

    def ending_at(self, idle: NDArray[np.bool_]) -> RewardChain:
        """Returns the chain with `idle` states ending at once, without reward."""
        successor = np.where(idle[self.owners], self.n_states, self.successor)
        return RewardChain(np.where(idle, 0.0, self.reward), successor, self.probability, self.begins)


def leading_to(chain: RewardChain, goal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marks the states from which a policy may reach `goal` (n_states,), including `goal` itself."""
    return _leading_to(_edges(chain), goal)


@dataclass
class Fate:
    """The long-run fate of a policy from each state, if it may never end.

    Attributes:
        endless: bool (n_states,), whether it may go on forever with rewards.
        resting: bool (n_states,), whether it is in a loop without rewards.
        value: (n_states,), the value of an endless state: inf or -inf, or NaN if the rewards balance or
            both signs are possible.
    """

    endless: NDArray[np.bool_]
    resting: NDArray[np.bool_]
    value: Array


@dataclass
class _Edges:
    """The steps a policy may take, as edges between states; `ends` marks where an episode may end."""

    tail: NDArray[np.int64]
    head: NDArray[np.intp]
    probability: Array
    ends: NDArray[np.bool_]


def _edges(chain: RewardChain) -> _Edges:
    probability = np.ones(len(chain.successor)) if chain.probability is None else chain.probability
    possible = probability > 0
    final = possible & (chain.successor == chain.n_states)
    ends = np.zeros(chain.n_states, dtype=np.bool_)
    ends[chain.owners[final]] = True
    kept = possible & ~final
    return _Edges(chain.owners[kept], chain.successor[kept], probability[kept], ends)


def fate(chain: RewardChain) -> Fate:
    """Finds the recurrent classes in which a policy never ends, and the sign of their gain."""
    edges = _edges(chain)
    trapped = ~_leading_to(edges, edges.ends)
    gain = np.full(len(trapped), np.nan)  # of the recurrent states among the trapped
    recurrent = np.zeros(len(trapped), dtype=np.bool_)
    for members in _recurrent_classes(edges, trapped):
        recurrent[members] = True
        gain[members] = _gain(edges, chain.reward, members)
    up, down, even = recurrent & (gain > 0), recurrent & (gain < 0), recurrent & np.isnan(gain)
    to_up, to_down, to_even = (_leading_to(edges, goal) for goal in (up, down, even))
    value = np.where(to_up, np.inf, -np.inf)
    value[(to_up & to_down) | to_even] = np.nan
    return Fate(to_up | to_down | to_even, recurrent & (gain == 0), value)


def steady_state(chain: RewardChain) -> Array | None:
    """Returns the share of time (n_states,) that an endless chain spends in each state; None if the start decides."""
    edges = _edges(chain)
    classes = _recurrent_classes(edges, np.ones(chain.n_states, dtype=np.bool_))
    if len(classes) > 1:
        return None
    shares = np.zeros(chain.n_states)
    shares[classes[0]] = _stationary(edges, classes[0])
    return shares


def _leading_to(edges: _Edges, goal: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marks the states from which `goal` may be reached, including `goal` itself."""
    order = np.argsort(edges.head, kind="stable")
    offsets = np.searchsorted(edges.head[order], np.arange(len(goal) + 1))
    tails = edges.tail[order]
    found = goal.copy()
    frontier = np.flatnonzero(found)
    while frontier.size:
        before = tails[outcome_rows(offsets, frontier)]
        frontier = np.unique(before[~found[before]])
        found[frontier] = True
    return found


def _recurrent_classes(edges: _Edges, trapped: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Returns the closed strongly connected components of the `trapped` states."""
    states = np.flatnonzero(trapped)
    if not states.size:
        return []
    number = np.cumsum(trapped) - 1
    inside = trapped[edges.tail]  # from a trapped state every step leads to a trapped one
    tail, head = number[edges.tail[inside]], number[edges.head[inside]]
    label = _components(_adjacency(tail, head, states.size), _adjacency(head, tail, states.size))
    left = np.zeros(label.max() + 1, dtype=np.bool_)
    left[label[tail[label[tail] != label[head]]]] = True
    order = np.argsort(label, kind="stable")
    groups = np.split(states[order], np.flatnonzero(np.diff(label[order])) + 1)
    return [group for group, is_left in zip(groups, left, strict=True) if not is_left]


def _adjacency(tail: NDArray[np.int64], head: NDArray[np.int64], n_states: int) -> list[list[int]]:
    order = np.argsort(tail, kind="stable")
    offsets = np.searchsorted(tail[order], np.arange(n_states + 1)).tolist()
    heads = head[order].tolist()
    return [heads[a:b] for a, b in pairwise(offsets)]


def _components(forward: Sequence[Sequence[int]], backward: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Labels strongly connected components (Kosaraju; Sharir, 1981)."""
    label = [-1] * len(forward)
    count = 0
    for root in reversed(_finishing_order(forward)):
        if label[root] < 0:
            label[root] = count
            pending = [root]
            while pending:
                fresh = [node for node in backward[pending.pop()] if label[node] < 0]
                for node in fresh:
                    label[node] = count
                pending.extend(set(fresh))
            count += 1
    return np.array(label)


def _finishing_order(graph: Sequence[Sequence[int]]) -> list[int]:
    """Returns the nodes in the order in which a depth-first search finishes them."""
    seen = [False] * len(graph)
    order: list[int] = []
    for root in range(len(graph)):
        path = [] if seen[root] else [(root, iter(graph[root]))]
        seen[root] = True
        while path:
            node, heads = path[-1]
            fresh = next((head for head in heads if not seen[head]), None)
            if fresh is None:
                order.append(node)
                path.pop()
            else:
                seen[fresh] = True
                path.append((fresh, iter(graph[fresh])))
    return order


def _gain(edges: _Edges, reward: Array, members: NDArray[np.int64]) -> float:
    """Returns a number with the sign of a recurrent class's mean reward per step; NaN if the rewards balance."""
    earned = reward[members]
    if (earned >= 0).all() or (earned <= 0).all():
        return float(earned.sum())
    gain = float(_stationary(edges, members) @ earned)
    return gain if abs(gain) > BALANCED * np.abs(earned).max() else np.nan


def _stationary(edges: _Edges, members: NDArray[np.int64]) -> Array:
    """Returns the stationary distribution of a recurrent class."""
    size = len(members)
    if size > LARGEST_CLASS:
        raise UsageError(f"the policy loops forever through {size} states: give gamma < 1 or a horizon")
    number = np.full(len(edges.ends), -1)
    number[members] = np.arange(size)
    inside = number[edges.tail] >= 0
    balance = -np.eye(size)
    np.add.at(balance, (number[edges.head[inside]], number[edges.tail[inside]]), edges.probability[inside])
    balance[-1] = 1.0  # one balance equation is redundant: the shares sum to 1 instead
    shares: Array = np.linalg.solve(balance, np.eye(size)[-1])
    return shares

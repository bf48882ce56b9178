"""Rules: the leaves of a decision tree, in words."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.envs.actions import action_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from rlbench.envs.features import Feature, FeatureTable

LEAF = -1


class Rule(NamedTuple):
    """A leaf of the tree, in words."""

    conditions: tuple[str, ...]
    action: str
    share: float  # of the greedy steps that end in it
    fidelity: float  # the share of those in which the agent does the same; over the leaf's states if no step ends there

    def __str__(self) -> str:
        return f"if {' and '.join(self.conditions)}: {self.action}" if self.conditions else f"always: {self.action}"


def without_idle_questions(tree: Any) -> Any:
    """Returns an equivalent tree without the questions whose answers all lead to the same action."""
    actions = tree.values_.argmax(axis=1)
    nodes = tree.nodes_.copy()
    for node in reversed(range(len(nodes))):  # parents come before their children
        left, right = int(nodes["left"][node]), int(nodes["right"][node])
        if left != LEAF and nodes["left"][left] == nodes["left"][right] == LEAF and actions[left] == actions[right]:
            nodes["left"][node] = nodes["right"][node] = LEAF
            actions[node] = actions[left]
    kept = [0]
    for node in kept:  # grows while iterated
        if nodes["left"][node] != LEAF:
            kept += [int(nodes["left"][node]), int(nodes["right"][node])]
    places = {node: at for at, node in enumerate(kept)} | {LEAF: LEAF}
    smaller = copy(tree)
    smaller.nodes_, smaller.values_ = nodes[kept], tree.values_[kept]
    for side in ("left", "right"):
        smaller.nodes_[side] = [places[int(child)] for child in smaller.nodes_[side]]
    return smaller


class _Question(NamedTuple):
    feature: int
    threshold: float
    is_lower: bool


def _leaves(tree: Any) -> Iterator[tuple[int, list[_Question]]]:
    """Yields each leaf and the answers that lead to it."""
    stack: list[tuple[int, list[_Question]]] = [(0, [])]
    while stack:
        node, asked = stack.pop()
        entry = tree.nodes_[node]
        if entry["left"] == LEAF:
            yield node, asked
            continue
        for side in ("right", "left"):
            answer = _Question(int(entry["feature"]), float(entry["threshold"]), side == "left")
            stack.append((int(entry[side]), [*asked, answer]))


def rules_of(
    tree: Any, view: FeatureTable, counts: NDArray[np.int64], known: NDArray[np.bool_], alike: NDArray[np.bool_]
) -> Iterator[Rule]:
    """Yields the rule of each leaf.

    Args:
        tree: the tree.
        view: the features of the states.
        counts: how often each state is visited.
        known: which states can occur.
        alike: where the tree chooses the same action as the agent.
    """
    ends = tree.apply(view.rows)
    for node, asked in _leaves(tree):
        here = ends == node
        steps = int(counts[here].sum())
        weights = counts[here] if steps else known[here].astype(np.int64)
        action = action_name(view.actions, int(tree.classes_[tree.values_[node].argmax()]), "action {}")
        fidelity = float((weights * alike[here]).sum() / max(int(weights.sum()), 1))
        said = tuple(part.say(view.features[part.feature]) for part in _needed(asked, view.rows[known]))
        yield Rule(said, action, steps / int(counts.sum()), fidelity)


class _Range(NamedTuple):
    """The range of a feature on the path to a leaf: low < value <= high."""

    feature: int
    low: float
    high: float

    def holds(self, rows: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Returns which rows lie in it."""
        column = rows[:, self.feature].astype(np.float32)  # as the tree sees it
        return np.asarray((column > self.low) & (column <= self.high))

    def say(self, feature: Feature) -> str:
        """Returns the condition in words."""
        if feature.yes:
            return feature.yes if self.low > -np.inf else feature.no
        if self.low == -np.inf:
            return f"{feature.name} < {feature.edge(self.high)}"
        if self.high == np.inf:
            return f"{feature.name} >= {feature.edge(self.low)}"
        if feature.is_whole and self.high - self.low == 1:  # thresholds lie in the middle
            return f"{feature.name} = {feature.edge(self.low)}"
        return f"{feature.edge(self.low)} <= {feature.name} < {feature.edge(self.high)}"


def _needed(asked: Sequence[_Question], rows: NDArray[np.float64]) -> list[_Range]:
    """Returns the conditions of a leaf, without those that follow from the others in every state."""
    parts = [_narrowed(feature, asked) for feature in dict.fromkeys(question.feature for question in asked)]
    for part in sorted(parts, key=lambda part: part.low > -np.inf):  # drop negations and upper bounds first
        others = [other for other in parts if other is not part]
        if np.array_equal(_all_hold(others, rows), _all_hold(parts, rows)):
            parts = others
    return sorted(parts, key=lambda part: part.low == -np.inf)


def _narrowed(feature: int, asked: Sequence[_Question]) -> _Range:
    mine = [question for question in asked if question.feature == feature]
    low = max((question.threshold for question in mine if not question.is_lower), default=-np.inf)
    return _Range(feature, low, min((question.threshold for question in mine if question.is_lower), default=np.inf))


def _all_hold(parts: Sequence[_Range], rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.all([np.ones(len(rows), bool), *(part.holds(rows) for part in parts)], axis=0))

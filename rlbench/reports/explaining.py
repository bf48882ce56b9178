"""Explaining: what an agent has learnt to do, said in a few rules of a shallow tree, and how far they are right.

    explanation = explain(run)
    print(explanation.text())

A decision tree is taught to answer as the agent does (Craven and Shavlik, Extracting Tree-Structured Representations
of Trained Networks, 1996; Bastani, Pu and Solar-Lezama, Verifiable Reinforcement Learning via Policy Extraction, 2018):
each state counts as often as the greedy agent comes by, and a little besides. It asks in words where the states of an
env have a meaning: squares, passengers, physical quantities.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from rlbench.agents import Agent
from rlbench.envs.making import step_limit
from rlbench.errors import UsageError
from rlbench.evaluation import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.evaluation import Evaluation
    from rlbench.training import Run

    Floats = NDArray[np.float64]

DEPTH = 8  # questions to an answer, where nothing else is asked for
ENOUGH = 0.999  # of the greedy steps alike: then fewer questions do
DEEPEST = 20
EPISODES = 300  # greedy ones, which tell how often each state is met
MOST_EPISODES = 100_000
MOST_STEPS = 50_000  # of them all, and of one where the env has no limit
ELSEWHERE = 0.05  # weight of all states alike, beside those that are met
LEAF = -1
CAB_NOTE = (
    "The goal is the waiting passenger, and once they are in the taxi their destination; rows are counted from the "
    "north and columns from the west, from 0."
)
SIDES = {"south": (1, 0), "north": (-1, 0), "east": (0, 1), "west": (0, -1)}  # rows, columns


class Feature(NamedTuple):
    """Something that can be asked about a state.

    Attributes:
        yes, no: how the answers 1 and 0 are said; empty for a quantity.
        name: of a quantity.
        edge: says which value of a quantity lies at a threshold of the numbers that the tree sees.
    """

    yes: str = ""
    no: str = ""
    name: str = ""
    edge: Callable[[float], str] = lambda threshold: f"{threshold:.3g}"

    def ask(self, threshold: float) -> tuple[str, bool]:
        """Returns a question, and whether its answer is yes for the numbers up to the threshold."""
        return (f"{self.yes}?", False) if self.yes else (f"{self.name} < {self.edge(threshold)}?", True)


class View(NamedTuple):
    """The states of an env as a tree sees them."""

    rows: Floats  # (n_states, n_features)
    features: tuple[Feature, ...]
    actions: tuple[str, ...]  # their names; empty if they are not known
    note: str = ""  # what the words mean


class Rule(NamedTuple):
    """A leaf of the tree, in words."""

    conditions: tuple[str, ...]
    action: str
    share: float  # of the greedy steps that end in it
    fidelity: float  # of those, the share in which the agent does the same; of all its states if it is never met

    def __str__(self) -> str:
        return f"if {' and '.join(self.conditions)}: {self.action}" if self.conditions else f"always: {self.action}"


@dataclass(frozen=True, eq=False)
class Explanation:
    """A tree that answers as an agent does, and how far it does.

    Attributes:
        env_id: where the agent acts.
        tree: a fitted `DecisionTreeClassifier` whose classes are the actions.
        view: what it is asked.
        visited_fidelity: the share of greedy steps in which tree and agent choose alike.
        state_fidelity: the same over all states, each counted once.
        states: how many these are: those that can be reached and where the agent prefers an action.
        agent, imitation: what the policies of agent and tree are worth.
        rules: the leaves of the tree, most used first.
    """

    env_id: str
    tree: Any
    view: View
    visited_fidelity: float
    state_fidelity: float
    states: int
    agent: Evaluation
    imitation: Evaluation
    rules: tuple[Rule, ...]

    @property
    def depth(self) -> int:
        """The questions on the longest way."""
        return int(self.tree.get_depth())

    def text(self) -> str:
        """Returns the rules, a line each: the share of steps that each decides, and how often it is right."""
        lines = [f"{rule.share:>6.1%} of steps, {rule.fidelity:>4.0%} alike   {rule}" for rule in self.rules]
        return "\n".join([*lines, *(["", self.view.note] if self.view.note else [])])

    def draw(self, ax: Any = None) -> Any:
        """Draws the tree (extra `plots`) on the given axes, or new ones, and returns them."""
        from rlbench.modelling import charts  # noqa: PLC0415  (matplotlib only when something is drawn)

        return charts.tree(self.tree, ax, ask=self.ask, classes=self.actions, levels=self.depth)

    @property
    def actions(self) -> list[str]:
        """The names of the tree's classes."""
        return [action_name(self.view, action) for action in self.tree.classes_]

    def ask(self, feature: int, threshold: float) -> tuple[str, bool]:
        """Returns a question of the tree in words, and whether yes leads to the left."""
        return self.view.features[feature].ask(threshold)

    def summary(self) -> dict[str, Any]:
        """Returns all of it as a JSON-able dict."""
        return {
            "env_id": self.env_id,
            "depth": self.depth,
            "leaves": len(self.rules),
            "visited_fidelity": self.visited_fidelity,
            "state_fidelity": self.state_fidelity,
            "states": self.states,
            "agent": self.agent.summary(),
            "tree": self.imitation.summary(),
            "rules": [{**rule._asdict(), "text": str(rule)} for rule in self.rules],
        }


def explain(
    run: Run, *, depth: int | None = None, episodes: int = EPISODES, seed: int = 0, env: gym.Env[Any, Any] | None = None
) -> Explanation:
    """Distils the greedy policy of a run into a tree of a few questions.

    Args:
        run: with an agent that has a greedy policy.
        depth: questions to an answer, at most, 1 to 20; by default the fewest with which 99.9 % of the greedy steps
            are alike, up to 8.
        episodes: greedy ones to play; the states met there count most.
        seed: of them.
        env: the run's own by default.

    Raises:
        UsageError: a number is out of range, or the agent has no policy to explain.
        StoreError: the run's env cannot be made again, or it has no checkpoint.
    """
    _check("episodes", episodes, MOST_EPISODES)
    if depth is not None:
        _check("depth", depth, DEEPEST)
    policy = run.agent.greedy_policy()
    if policy is None:
        raise UsageError(f"{run.agent_name} has no greedy policy: there is nothing to explain")
    made = run.make_env() if env is None else env
    try:
        return _explained(run, made, policy, depth, episodes, seed)
    finally:
        if env is None:
            made.close()


def _check(name: str, value: Any, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise UsageError(f"{name} must be a whole number from 1 to {most:,}, got {value!r}")


def _explained(
    run: Run, env: gym.Env[Any, Any], policy: NDArray[np.int64], depth: int | None, episodes: int, seed: int
) -> Explanation:
    view = view_of(env)
    counts, known = _visits(env, policy, episodes, seed), _known_states(env, run.agent)
    known |= counts > 0
    tree = _taught(view, policy, counts, known, depth)
    answers = np.asarray(tree.predict(view.rows))
    alike = answers == policy
    return Explanation(
        env_id=run.env_id,
        tree=tree,
        view=view,
        visited_fidelity=float((counts * alike).sum() / counts.sum()),
        state_fidelity=float(alike[known].mean()),
        states=int(known.sum()),
        agent=evaluate(_Fixed(policy, run.agent), env, episodes=episodes, seed=seed),
        imitation=evaluate(_Fixed(answers, run.agent), env, episodes=episodes, seed=seed),
        rules=tuple(sorted(_rules(tree, view, counts, known, alike), key=lambda rule: -rule.share)),
    )


def _taught(
    view: View, policy: NDArray[np.int64], counts: NDArray[np.int64], known: NDArray[np.bool_], depth: int | None
) -> Any:
    """Returns a tree of so many questions, or of the fewest that are enough, without idle ones."""
    from rlbench.models import DecisionTreeClassifier  # noqa: PLC0415  (scikit-learn, an extra)

    weights = counts / counts.sum() + ELSEWHERE * known / known.sum()
    tree: Any = None
    for questions in range(1, DEPTH + 1) if depth is None else [depth]:
        tree = DecisionTreeClassifier(max_depth=questions, random_state=0)
        tree.fit(view.rows[known], policy[known], sample_weight=weights[known])
        if tree.score(view.rows, policy, sample_weight=counts) >= ENOUGH:
            break
    return _without_idle_questions(tree)


class _Fixed(Agent):
    """Does in each state what a table says."""

    name: ClassVar[str] = "fixed"

    def __init__(self, policy: NDArray[np.int64], agent: Agent) -> None:
        super().__init__(agent.n_states, agent.n_actions, seed=0)
        self._policy = policy

    def act(self, observation: int, *, explore: bool = True) -> int:  # noqa: ARG002  (it never explores)
        return int(self._policy[observation])

    def update(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Learns nothing."""


def _visits(env: gym.Env[Any, Any], policy: NDArray[np.int64], episodes: int, seed: int) -> NDArray[np.int64]:
    """Returns how often greedy play acts in each state, (n_states,)."""
    counts, left = np.zeros(len(policy), np.int64), MOST_STEPS
    limit = step_limit(env) or MOST_STEPS
    observation, _ = env.reset(seed=seed)
    for _ in range(episodes):
        for _ in range(limit):
            counts[observation] += 1
            observation, _, terminated, truncated, _ = env.step(int(policy[observation]))
            left -= 1
            if terminated or truncated or left <= 0:
                break
        if left <= 0:
            break
        observation, _ = env.reset()
    return counts


def _known_states(env: gym.Env[Any, Any], agent: Agent) -> NDArray[np.bool_]:
    """Marks the states that can be reached, where that is known, and where the agent prefers an action to another."""
    from rlbench.envs.tabular import TabularModel  # noqa: PLC0415

    known = np.ones(agent.n_states, bool)
    table = getattr(agent, "q_table", None)
    if table is not None:
        known &= np.ptp(np.asarray(table), axis=1) > 0
    try:
        return known & TabularModel.from_env(env).reachable()
    except UsageError:  # no transition table
        return known


# ------------------------------------------------------------------ from a tree to rules


def _without_idle_questions(tree: Any) -> Any:
    """Returns a tree that answers the same without the questions whose answers all lead to one action."""
    actions = tree.values_.argmax(axis=1)
    nodes = tree.nodes_.copy()
    for node in reversed(range(len(nodes))):  # parents stand before their children
        left, right = int(nodes["left"][node]), int(nodes["right"][node])
        if left != LEAF and nodes["left"][left] == nodes["left"][right] == LEAF and actions[left] == actions[right]:
            nodes["left"][node] = nodes["right"][node] = LEAF
            actions[node] = actions[left]
    kept = [0]
    for node in kept:  # it grows under way
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


def _rules(
    tree: Any, view: View, counts: NDArray[np.int64], known: NDArray[np.bool_], alike: NDArray[np.bool_]
) -> Iterator[Rule]:
    ends = tree.apply(view.rows)
    for node, asked in _leaves(tree):
        here = ends == node
        steps = int(counts[here].sum())
        weights = counts[here] if steps else known[here].astype(np.int64)
        action = action_name(view, tree.classes_[tree.values_[node].argmax()])
        fidelity = float((weights * alike[here]).sum() / max(int(weights.sum()), 1))
        said = tuple(part.say(view.features[part.feature]) for part in _needed(asked, view.rows[known]))
        yield Rule(said, action, steps / int(counts.sum()), fidelity)


class _Range(NamedTuple):
    """Between which thresholds a feature lies on the way to a leaf: low < value <= high."""

    feature: int
    low: float
    high: float

    def holds(self, rows: Floats) -> NDArray[np.bool_]:
        """Returns for which rows it is so."""
        column = rows[:, self.feature].astype(np.float32)  # as the tree sees it
        return np.asarray((column > self.low) & (column <= self.high))

    def say(self, feature: Feature) -> str:
        """Returns it in words."""
        if feature.yes:
            return feature.yes if self.low > -np.inf else feature.no
        if self.low == -np.inf:
            return f"{feature.name} < {feature.edge(self.high)}"
        if self.high == np.inf:
            return f"{feature.name} >= {feature.edge(self.low)}"
        return f"{feature.edge(self.low)} <= {feature.name} < {feature.edge(self.high)}"


def _needed(asked: Sequence[_Question], rows: Floats) -> list[_Range]:
    """Returns the conditions of a leaf, without those that follow from the others in every state."""
    parts = [_narrowed(feature, asked) for feature in dict.fromkeys(question.feature for question in asked)]
    for part in sorted(parts, key=lambda part: part.low > -np.inf):  # what does not hold, or is small, can go first
        others = [other for other in parts if other is not part]
        if np.array_equal(_all_hold(others, rows), _all_hold(parts, rows)):
            parts = others
    return sorted(parts, key=lambda part: part.low == -np.inf)


def _narrowed(feature: int, asked: Sequence[_Question]) -> _Range:
    mine = [question for question in asked if question.feature == feature]
    low = max((question.threshold for question in mine if not question.is_lower), default=-np.inf)
    return _Range(feature, low, min((question.threshold for question in mine if question.is_lower), default=np.inf))


def _all_hold(parts: Sequence[_Range], rows: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.all([np.ones(len(rows), bool), *(part.holds(rows) for part in parts)], axis=0))


def action_name(view: View, action: int) -> str:
    """Returns an action's name, or its number."""
    return view.actions[action] if action < len(view.actions) else f"action {action}"


# ------------------------------------------------------------------ from states to what can be asked


def view_of(env: gym.Env[Any, Any]) -> View:
    """Returns the states of an env with Discrete observations as rows of features with a meaning.

    Of SafeCab and Taxi: where the taxi is, whether it carries, where its goal lies and what stands in its way; of a
    grid: rows and columns; of bins: the quantities that were binned; else the number of the observation.
    """
    from rlbench.envs.layouts import layout_of  # noqa: PLC0415

    bins, names = _bins_of(env)
    layout = layout_of(env)
    actions = layout.actions if layout is not None else ()
    if bins is not None:
        return _of_bins(bins, names, actions or _cart_actions(env))
    if layout is not None and layout.row_title == "passenger at":
        return _of_cab(layout)
    if layout is not None:
        return _of_grid(layout)
    n = int(getattr(env.observation_space, "n", 0))
    if not n:
        raise UsageError(f"{env} has no Discrete observations: its policy is no table that could be explained")
    return View(np.arange(n, dtype=np.float64)[:, None], (Feature(name="the observation", edge=_whole),), actions)


def _whole(threshold: float) -> str:
    return str(int(np.floor(threshold)) + 1)


def _of_grid(layout: Any) -> View:
    states = layout.states[0, 0]
    rows = np.empty((states.size, 2))
    rows[states.reshape(-1)] = np.argwhere(np.ones(states.shape))
    return View(rows, (Feature(name="the row", edge=_whole), Feature(name="the column", edge=_whole)), layout.actions)


class _Cab(NamedTuple):
    """All states of a taxi: whom it fetches where, and where it is; (n_states,) each."""

    passenger: NDArray[np.int64]  # zone, or their number in the taxi
    destination: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]


def _of_cab(layout: Any) -> View:
    cab = _Cab(*(np.empty(layout.states.size, np.int64) for _ in range(4)))
    for part, places in zip(cab, np.indices(layout.states.shape), strict=True):
        part[layout.states.reshape(-1)] = places.reshape(-1)
    columns: list[tuple[Feature, NDArray[Any]]] = [*_about_the_goal(layout, cab), *_about_the_way(layout, cab)]
    columns += [(Feature(name="the row", edge=_whole), cab.row), (Feature(name="the column", edge=_whole), cab.column)]
    asked = [(feature, column) for feature, column in columns if len(np.unique(column)) > 1]  # the others tell nothing
    rows = np.stack([column for _, column in asked], axis=1).astype(np.float64)
    return View(rows, tuple(feature for feature, _ in asked), layout.actions, CAB_NOTE)


def _about_the_goal(layout: Any, cab: _Cab) -> Iterator[tuple[Feature, NDArray[Any]]]:
    """Yields whether it carries, and where its goal lies: the passenger while they wait, else the destination."""
    places = {letter: at for at, letter in layout.letters.items()}
    zones = np.array([places[name] for name in layout.col_names])
    carrying = cab.passenger == len(zones)
    target = np.where(carrying, cab.destination, np.minimum(cab.passenger, len(zones) - 1))
    down, right = zones[target, 0] - cab.row, zones[target, 1] - cab.column
    is_there = (down == 0) & (right == 0)
    yield Feature("carrying", "not carrying"), carrying
    yield Feature("at the waiting passenger", "no passenger waits here"), ~carrying & is_there
    yield Feature("carrying and at the destination", "nobody to set down here"), carrying & is_there
    for side, (rows, columns) in SIDES.items():
        ahead = rows * down + columns * right > 0
        yield Feature(f"the goal is further {side}", f"the goal is not further {side}"), ahead
    yield Feature(name="rows to the goal", edge=_whole), np.abs(down)
    yield Feature(name="columns to the goal", edge=_whole), np.abs(right)
    for zone, name in enumerate(layout.col_names):
        yield Feature(f"the goal is {name}", f"the goal is not {name}"), target == zone


def _about_the_way(layout: Any, cab: _Cab) -> Iterator[tuple[Feature, NDArray[Any]]]:
    """Yields what stands next to the taxi."""
    shape = layout.panel_shape
    hazard, wall = np.zeros(shape, bool), np.zeros(shape, bool)
    for place in layout.hazards:
        hazard[place] = True
    for place in layout.walls:
        wall[place] = True
    for side, (rows, columns) in SIDES.items():
        row, column = cab.row + rows, cab.column + columns
        inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        there = hazard[row.clip(0, shape[0] - 1), column.clip(0, shape[1] - 1)] & inside
        yield Feature(f"an anomaly is {side}", f"no anomaly is {side}"), there
    behind = wall[cab.row, (cab.column - 1).clip(0)] & (cab.column > 0)
    yield Feature("a wall is east", "no wall is east"), wall[cab.row, cab.column]
    yield Feature("a wall is west", "no wall is west"), behind


def _bins_of(env: gym.Env[Any, Any]) -> tuple[Any, tuple[str, ...]]:
    """Returns the bins that make an env's observation, outermost, and what its quantities are called."""
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv  # noqa: PLC0415

    from rlbench.envs.cartpole import DIMENSIONS  # noqa: PLC0415
    from rlbench.envs.discretize import Discretize, n_dimensions  # noqa: PLC0415

    found: Any = None
    outer: Any = env
    while found is None and outer is not None:
        if isinstance(outer, Discretize) or hasattr(outer, "bins"):
            found = outer.bins
        elif type(outer).__name__.endswith("Observation") or type(outer).__name__ == "FlattenDiscrete":
            return None, ()
        outer = getattr(outer, "env", None)
    if found is None:
        return None, ()
    is_cart = isinstance(env.unwrapped, CartPoleEnv) and n_dimensions(found) == len(DIMENSIONS)
    return found, DIMENSIONS if is_cart else tuple(f"value {i}" for i in range(n_dimensions(found)))


def _cart_actions(env: gym.Env[Any, Any]) -> tuple[str, ...]:
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv  # noqa: PLC0415

    return ("Left", "Right") if isinstance(env.unwrapped, CartPoleEnv) else ()


def _of_bins(bins: Any, names: Sequence[str], actions: tuple[str, ...]) -> View:
    from rlbench.envs.discretize import Centers, bin_bounds, bin_counts, n_bins  # noqa: PLC0415

    if isinstance(bins, Centers):
        return View(bins.centers, tuple(Feature(name=name) for name in names), actions)
    counts = bin_counts(bins)
    places = np.stack(np.unravel_index(np.arange(n_bins(bins)), tuple(counts)), axis=1)
    strides = [int(np.prod(counts[i + 1 :])) for i in range(len(counts))]
    edges = [
        [float(bin_bounds(bins, place * stride)[1][i]) for place in range(int(count) - 1)]
        for i, (count, stride) in enumerate(zip(counts, strides, strict=True))
    ]
    features = tuple(Feature(name=name, edge=_edge_of(found)) for name, found in zip(names, edges, strict=True))
    return View(places.astype(np.float64), features, actions)


def _edge_of(edges: Sequence[float]) -> Callable[[float], str]:
    """Says where the bins beyond a threshold between two places begin."""
    return lambda threshold: f"{edges[int(np.floor(threshold))]:.3g}"

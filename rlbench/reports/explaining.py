"""Explains a learnt policy by the rules of a shallow decision tree, and measures their fidelity.

    explanation = explain(run)
    print(explanation.text())

A decision tree learns to imitate the agent (Craven and Shavlik, Extracting Tree-Structured Representations
of Trained Networks, 1996; Bastani, Pu and Solar-Lezama, Verifiable Reinforcement Learning via Policy Extraction, 2018):
each state is weighted by how often the greedy agent visits it, plus a little. If the states of an env have a meaning
(squares, passengers, physical quantities), the questions are put in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents import Agent
from rlbench.checks import place, whole_number
from rlbench.envs.actions import action_name
from rlbench.envs.features import features_of
from rlbench.envs.making import step_limit
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError
from rlbench.evaluation import evaluate
from rlbench.reports.rules import rules_of, without_idle_questions
from rlbench.training.setup import check_fit

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.envs.features import FeatureTable
    from rlbench.evaluation import Evaluation
    from rlbench.reports.rules import Rule
    from rlbench.training import Run

DEPTH = 8  # default limit of questions per answer
ENOUGH = (
    0.999  # of the greedy steps: when as many are alike, the tree stops growing; rules for the rest are not printed
)
DEEPEST = 20
EPISODES = 300  # greedy ones, to count how often each state is visited
MOST_EPISODES = 100_000
MOST_STEPS = 50_000  # of all episodes together; also of one episode if the env has no limit
ELSEWHERE = 0.05  # total weight spread evenly over all states, visited or not


@dataclass(frozen=True, eq=False)
class Explanation:
    """A tree that imitates an agent, and its fidelity.

    Attributes:
        env_id: the id of the env.
        tree: a fitted `DecisionTreeClassifier` whose classes are the actions.
        view: the features of the states.
        visited_fidelity: the share of greedy steps in which tree and agent choose the same action.
        state_fidelity: the same over the known states, each counted once.
        states: the number of known states: reachable, and with a preferred action.
        agent, imitation: the evaluations of the policies of agent and tree.
        rules: the leaves of the tree, most used first.
    """

    env_id: str
    tree: Any
    view: FeatureTable
    visited_fidelity: float
    state_fidelity: float
    states: int
    agent: Evaluation
    imitation: Evaluation
    rules: tuple[Rule, ...]

    @property
    def depth(self) -> int:
        """The number of questions on the longest path."""
        return int(self.tree.get_depth())

    def text(self) -> str:
        """Returns the rules that decide 99.9 % of the steps, one per line, with the share of each and its fidelity."""
        before = np.cumsum([0.0, *(rule.share for rule in self.rules[:-1])])
        shown = int((before < ENOUGH).sum())
        lines = [f"{rule.share:>6.1%} of steps, {rule.fidelity:>4.0%} alike   {rule}" for rule in self.rules[:shown]]
        if shown < len(self.rules):
            rest = sum(rule.share for rule in self.rules[shown:])
            lines.append(f"{rest:>6.1%} of steps are decided by {len(self.rules) - shown} more rules")
        return "\n".join([*lines, *(["", self.view.note] if self.view.note else [])])

    def draw(self, ax: Any = None) -> Any:
        """Draws the tree (extra `plots`) on the given axes, or new ones, and returns them."""
        from rlbench.modelling import charts  # noqa: PLC0415  (matplotlib only when drawing)

        return charts.tree(self.tree, ax, ask=self.ask, classes=self.actions, levels=self.depth)

    @property
    def actions(self) -> list[str]:
        """The names of the tree's classes."""
        return [action_name(self.view.actions, int(action), "action {}") for action in self.tree.classes_]

    def ask(self, feature: int, threshold: float) -> tuple[str, bool]:
        """Returns a question of the tree in words, and whether "yes" goes left."""
        return self.view.features[feature].ask(threshold)

    def summary(self) -> dict[str, Any]:
        """Returns everything as a JSON-able dict."""
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
        run: a run whose agent has a greedy policy.
        depth: the most questions per answer, 1 to 20; by default the fewest that reproduce 99.9 % of the greedy steps,
            up to 8.
        episodes: the number of greedy episodes to play; the states visited there count most.
        seed: the seed of these episodes.
        env: the env to play in; the run's own by default.

    Raises:
        UsageError: a number is out of range, the agent has no greedy policy, or the code of env or agent was edited.
        StoreError: the run's env cannot be made, or the run has no checkpoint.
    """
    whole_number("episodes", episodes, most=MOST_EPISODES)
    if depth is not None:
        whole_number("depth", depth, most=DEEPEST)
    policy = run.agent.greedy_policy()
    if policy is None:
        raise UsageError(f"{run.agent_name} has no greedy policy: there is nothing to explain")
    made = run.make_same_env(run.agent) if env is None else env
    try:
        return _explained(run, made, policy, depth, episodes, seed)
    finally:
        if env is None:
            made.close()


def _explained(
    run: Run, env: gym.Env[Any, Any], policy: NDArray[np.int64], depth: int | None, episodes: int, seed: int
) -> Explanation:
    check_fit(run.agent, env)
    view = features_of(env)
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
        rules=tuple(sorted(rules_of(tree, view, counts, known, alike), key=lambda rule: -rule.share)),
    )


def _taught(
    view: FeatureTable,
    policy: NDArray[np.int64],
    counts: NDArray[np.int64],
    known: NDArray[np.bool_],
    depth: int | None,
) -> Any:
    """Returns a tree of `depth` questions, or of the fewest that suffice, without idle ones."""
    from rlbench.models import DecisionTreeClassifier  # noqa: PLC0415  (scikit-learn, an extra)

    weights = counts / counts.sum() + ELSEWHERE * known / known.sum()
    tree: Any = None
    for questions in range(1, DEPTH + 1) if depth is None else [depth]:
        tree = DecisionTreeClassifier(max_depth=questions, random_state=0)
        tree.fit(view.rows[known], policy[known], sample_weight=weights[known])
        if tree.score(view.rows, policy, sample_weight=counts) >= ENOUGH:
            break
    return without_idle_questions(tree)


class _Fixed(Agent):
    """Acts by a fixed policy."""

    name: ClassVar[str] = "fixed"

    def __init__(self, policy: NDArray[np.int64], agent: Agent) -> None:
        super().__init__(agent.n_states, agent.n_actions, seed=0)
        self._policy = policy

    def act(self, observation: int, *, explore: bool = True) -> int:  # noqa: ARG002  (it never explores)
        return int(self._policy[observation])

    def update(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Learns nothing."""


def _visits(env: gym.Env[Any, Any], policy: NDArray[np.int64], episodes: int, seed: int) -> NDArray[np.int64]:
    """Counts how often greedy play acts in each state, (n_states,)."""
    counts, left = np.zeros(len(policy), np.int64), MOST_STEPS
    limit = step_limit(env) or MOST_STEPS
    observation = _state(env.reset(seed=seed)[0], policy)
    for _ in range(episodes):
        for _ in range(limit):
            counts[observation] += 1
            following, _, terminated, truncated, _ = env.step(int(policy[observation]))
            observation = _state(following, policy)
            left -= 1
            if terminated or truncated or left <= 0:
                break
        if left <= 0:
            break
        observation = _state(env.reset()[0], policy)
    return counts


def _state(observation: Any, policy: NDArray[np.int64]) -> int:
    return place("an observation of the env", observation, len(policy))


def _known_states(env: gym.Env[Any, Any], agent: Agent) -> NDArray[np.bool_]:
    """Marks the states that are reachable, as far as that is known, and in which the agent prefers an action."""
    known = np.ones(agent.n_states, bool)
    table = getattr(agent, "q_table", None)
    if table is not None:
        values = np.asarray(table)
        known &= ((values < values.max(axis=1, keepdims=True)) & (values > -np.inf)).any(axis=1)  # -inf: not allowed
    try:
        return known & TabularModel.from_env(env).reachable()
    except UsageError:  # no transition table
        return known

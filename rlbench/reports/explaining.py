"""Explaining: what an agent has learnt to do, said in a few rules of a shallow tree, and how far they are right.

    explanation = explain(run)
    print(explanation.text())

A decision tree is taught to answer as the agent does (Craven and Shavlik, Extracting Tree-Structured Representations
of Trained Networks, 1996; Bastani, Pu and Solar-Lezama, Verifiable Reinforcement Learning via Policy Extraction, 2018):
each state counts as often as the greedy agent comes by, and a little besides. It asks in words where the states of an
env have a meaning: squares, passengers, physical quantities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents import Agent
from rlbench.checks import whole_number
from rlbench.envs.actions import action_name
from rlbench.envs.features import features_of
from rlbench.envs.making import step_limit
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError
from rlbench.evaluation import evaluate
from rlbench.reports.rules import rules_of, without_idle_questions

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.envs.features import FeatureTable
    from rlbench.evaluation import Evaluation
    from rlbench.reports.rules import Rule
    from rlbench.training import Run

DEPTH = 8  # questions to an answer, where nothing else is asked for
ENOUGH = 0.999  # of the greedy steps alike: then fewer questions do
DEEPEST = 20
EPISODES = 300  # greedy ones, which tell how often each state is met
MOST_EPISODES = 100_000
MOST_STEPS = 50_000  # of them all, and of one where the env has no limit
ELSEWHERE = 0.05  # weight of all states alike, beside those that are met


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
    view: FeatureTable
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
        return [action_name(self.view.actions, int(action), "action {}") for action in self.tree.classes_]

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
    whole_number("episodes", episodes, most=MOST_EPISODES)
    if depth is not None:
        whole_number("depth", depth, most=DEEPEST)
    policy = run.agent.greedy_policy()
    if policy is None:
        raise UsageError(f"{run.agent_name} has no greedy policy: there is nothing to explain")
    made = run.make_env() if env is None else env
    try:
        return _explained(run, made, policy, depth, episodes, seed)
    finally:
        if env is None:
            made.close()


def _explained(
    run: Run, env: gym.Env[Any, Any], policy: NDArray[np.int64], depth: int | None, episodes: int, seed: int
) -> Explanation:
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
    """Returns a tree of `depth` questions, or of the fewest that are enough, without idle ones."""
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
    known = np.ones(agent.n_states, bool)
    table = getattr(agent, "q_table", None)
    if table is not None:
        known &= np.ptp(np.asarray(table), axis=1) > 0
    try:
        return known & TabularModel.from_env(env).reachable()
    except UsageError:  # no transition table
        return known

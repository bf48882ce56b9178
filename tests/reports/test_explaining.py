"""Explanations: rules that say what an agent does, and how faithful they are."""

import dataclasses
import json

import numpy as np
import pytest

import rlbench
from rlbench.envs.features import PLACE
from rlbench.errors import UsageError
from rlbench.reports.explaining import explain
from rlbench.reports.rules import _Range

pytest.importorskip("sklearn", reason="the extra models is not installed")


@pytest.fixture(scope="module")
def cab():
    return rlbench.train("safecab", seed=0)


@pytest.fixture(scope="module")
def explanation(cab):
    return explain(cab)


def test_a_learnt_cab_is_explained_in_full_by_eight_questions(explanation):
    assert explanation.depth == 8
    assert explanation.visited_fidelity == explanation.state_fidelity == 1.0
    assert explanation.imitation.exact_return == explanation.agent.exact_return == explanation.agent.optimal_return
    assert explanation.imitation.returns.tolist() == explanation.agent.returns.tolist()


def test_the_rules_say_when_to_pick_up_and_when_to_set_down(explanation):
    said = [str(rule) for rule in explanation.rules]
    assert "if carrying and at the destination: Dropoff" in said
    assert "if at the waiting passenger: Pickup" in said
    assert explanation.text().endswith("from 0.")


def test_the_shares_of_the_rules_add_up_and_their_fidelity_is_that_of_the_tree(cab):
    found = explain(cab, depth=3)
    assert sum(rule.share for rule in found.rules) == pytest.approx(1)
    assert sum(rule.share * rule.fidelity for rule in found.rules) == pytest.approx(found.visited_fidelity)
    assert found.visited_fidelity < 1
    assert found.imitation.exact_return < found.agent.exact_return
    assert [rule.share for rule in found.rules] == sorted((rule.share for rule in found.rules), reverse=True)


def test_more_questions_are_alike_in_more_steps(cab):
    found = [explain(cab, depth=depth).visited_fidelity for depth in range(1, 9)]
    assert found == sorted(found)


def test_every_state_in_which_a_rule_holds_is_answered_as_it_says(explanation, cab):
    view = explanation.view
    answers = np.array(view.actions)[explanation.tree.predict(view.rows)]
    reachable = cab.make_env().unwrapped.tabular_model().reachable() & (np.ptp(cab.agent.q_table, axis=1) > 0)
    covered = np.zeros(len(answers), int)
    for rule in explanation.rules:
        held = np.all([holds(view, words) for words in rule.conditions], axis=0) & reachable
        assert set(answers[held]) == {rule.action}
        covered += held
    assert set(covered[reachable]) == {1}


def holds(view, words):
    """In which states a condition holds, read from its words alone."""
    for i, feature in enumerate(view.features):
        values = view.rows[:, i]
        if feature.yes and words in (feature.yes, feature.no):
            return (values == 1) == (words == feature.yes)
        if feature.name and feature.name in words:
            if " = " in words:
                return values == float(words.partition(" = ")[2])
            low = words.partition(" <= ")[0] if " <= " in words else words.partition(" >= ")[2]
            high = words.partition(" < ")[2]
            return (values >= float(low or "-inf")) & (values < float(high or "inf"))
    raise AssertionError(words)


def test_bins_are_said_by_their_edges():
    found = explain(rlbench.train("cartpole", seed=0, total_timesteps=300_000), depth=2, episodes=20)
    edges = {part for rule in found.rules for words in rule.conditions for part in words.split() if part[-1].isdigit()}
    cuts = [(3, -1.8, 1.8), (3, -1.5, 1.5), (6, -0.15, 0.15), (12, -2.0, 2.0)]
    known = {f"{low + i * (high - low) / n:.3g}".replace("e-17", "") for n, low, high in cuts for i in range(1, n)}
    assert edges
    assert edges <= known | {"0"}
    assert {rule.action for rule in found.rules} <= {"Left", "Right"}


def test_a_grid_is_explained_by_row_and_column():
    lake = explain(rlbench.train("FrozenLake-v1", seed=0, episodes=3000, env_kwargs={"is_slippery": False}))
    assert {feature.name for feature in lake.view.features} == {"the row", "the column"}


@pytest.mark.parametrize(
    ("low", "high", "words"), [(1.5, 2.5, "the row = 2"), (1.5, 3.5, "2 <= the row < 4"), (-np.inf, 0.5, "the row < 1")]
)
def test_a_whole_number_with_one_value_left_is_said_to_be_it(low, high, words):
    assert _Range(0, low, high).say(PLACE[0]) == words


def test_rules_that_decide_next_to_no_step_are_counted_and_not_printed(explanation):
    few = dataclasses.replace(
        explanation,
        rules=tuple(
            rule._replace(share=share)
            for rule, share in zip(explanation.rules, [0.9985, 0.0008, 0.0005, 0.0002, *[0.0] * 20], strict=True)
        ),
    )
    *shown, rest, _, _ = few.text().splitlines()
    assert [line[:6] for line in shown] == [" 99.9%", "  0.1%"]
    assert rest == "  0.1% of steps are decided by 22 more rules"


def test_the_same_seed_gives_the_same_explanation(cab):
    assert explain(cab, depth=4, seed=3).text() == explain(cab, depth=4, seed=3).text()


def test_a_summary_is_json(explanation):
    found = json.loads(json.dumps(explanation.summary()))
    assert (found["leaves"], found["visited_fidelity"]) == (len(explanation.rules), 1.0)
    assert "if carrying and at the destination: Dropoff" in [rule["text"] for rule in found["rules"]]


def test_a_picture_asks_in_words(cab):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    from matplotlib.figure import Figure

    ax = explain(cab, depth=2).draw(Figure().subplots())
    texts = {text.get_text() for text in ax.texts}
    assert {"the goal is further north?", "at the waiting passenger?", "yes", "no"} <= texts
    assert any(text.startswith("Pickup") for text in texts)


def test_what_cannot_be_explained_is_told_in_a_line(cab):
    for arguments, message in (
        ({"depth": 0}, "depth must be a whole number from 1 to 20, got 0"),
        ({"depth": 2.5}, r"depth must be a whole number from 1 to 20, got 2\.5"),
        ({"episodes": 0}, "episodes must be a whole number from 1 to 100,000, got 0"),
    ):
        with pytest.raises(UsageError, match=message):
            explain(cab, **arguments)
    with pytest.raises(UsageError, match="random has no greedy policy: there is nothing to explain"):
        explain(rlbench.train("safecab", "random", episodes=5, seed=0))

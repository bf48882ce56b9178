"""Step sizes by visits, N(s, a)^-w, each pair by its own updates; with w = 1 a value is the mean of its targets."""

import numpy as np
import pytest
from contracts.agents import an_agent, going_on, same_state
from training.toys import frozen

import rlbench
from rlbench.agents import AGENTS, DoubleQ, MonteCarlo, QLearning
from rlbench.errors import UsageError

VISITS = {"learning_rate_schedule": "visits"}
REWARDS = [3.0, 8.0, -2.0, 5.0]


def rewarded(agent):
    for r in REWARDS:
        agent.update(0, 1, r, 0, True)
    return agent


def test_a_value_is_the_mean_of_its_targets_whatever_it_began_with():
    agent = rewarded(QLearning(2, 2, initial_value=100.0, **VISITS))
    assert agent.q_table[0].tolist() == [100.0, pytest.approx(np.mean(REWARDS))]
    assert agent.learning_rate.counts.tolist() == [[0, 4], [0, 0]]


def test_a_lower_power_gives_later_targets_more_weight():
    agent, value = rewarded(QLearning(2, 2, **VISITS, learning_rate_power=0.5)), 0.0
    for n, r in enumerate(REWARDS, 1):
        value += n**-0.5 * (r - value)
    assert agent.q_table[0, 1] == pytest.approx(value, rel=1e-15)


def test_a_move_without_a_rate_counts_as_an_update():
    agent = rewarded(QLearning(2, 2, **VISITS))
    agent.move(0, 1, 11.0)
    assert agent.q_table[0, 1] == pytest.approx(np.mean([*REWARDS, 11.0]))
    twins = DoubleQ(2, 2, seed=0, **VISITS)
    for target in REWARDS:
        twins.move(0, 1, target)
    assert [table[0, 1] for table in (twins.q_table, *twins.q_tables)] == pytest.approx([np.mean(REWARDS)] * 3)


def test_each_of_two_tables_counts_its_own_updates():
    agent = rewarded(DoubleQ(2, 2, seed=0, **VISITS))
    counts = agent.state_dict()["times_learnt"]
    assert counts.shape == (4, 2)
    assert sorted(counts[[0, 2], 1].tolist()) != [0, 4]
    assert counts.sum() == 4


def test_a_monte_carlo_agent_by_visits_is_the_one_that_averages():
    runs = [
        rlbench.train("FrozenLake-v1", "monte-carlo", episodes=50, seed=1, engine="python", agent_kwargs=kwargs)
        for kwargs in ({}, VISITS)
    ]
    assert frozen(np.array(runs[0].agent.q_table)) == frozen(np.array(runs[1].agent.q_table))
    slower = rlbench.train(
        "FrozenLake-v1",
        MonteCarlo,
        episodes=50,
        seed=1,
        engine="python",
        agent_kwargs={**VISITS, "learning_rate_power": 0.6},
    )
    assert frozen(np.array(slower.agent.q_table)) != frozen(np.array(runs[0].agent.q_table))


def test_the_counts_are_part_of_the_state():
    agent, twin = an_agent("visits"), an_agent("visits")
    twin.load_state_dict(going_on(agent).state_dict())
    same_state(going_on(agent), going_on(twin))
    with pytest.raises(UsageError, match="times_learnt"):
        twin.load_state_dict({**agent.state_dict(), "times_learnt": np.full((3, 2), -1)})


def test_a_run_by_visits_goes_on_as_if_it_had_never_stopped():
    part = rlbench.train("FrozenLake-v1", episodes=20, seed=2, engine="python", agent_kwargs=VISITS)
    whole = rlbench.resume(part, episodes=45, engine="python")
    cold = rlbench.train("FrozenLake-v1", episodes=45, seed=2, engine="python", agent_kwargs=VISITS)
    assert frozen(whole.agent.state_dict()) == frozen(cold.agent.state_dict())


def test_step_sizes_are_named_only_where_they_are_by_visits_so_that_older_runs_are_found():
    assert not {"learning_rate_schedule", "learning_rate_power"} & AGENTS["q-learning"](2, 2).config().keys()
    assert AGENTS["q-learning"](2, 2, **VISITS).config()["learning_rate_schedule"] == "visits"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learning_rate_schedule": "visit"}, "unknown learning_rate_schedule 'visit'; did you mean visits"),
        ({**VISITS, "learning_rate_power": 1.5}, r"learning_rate_power must be in \[0, 1\], got 1.5"),
    ],
)
def test_a_wrong_step_size_is_refused_in_one_line(parameters, message):
    with pytest.raises(UsageError, match=message):
        QLearning(2, 2, **parameters)

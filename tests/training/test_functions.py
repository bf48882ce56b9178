"""Rates by a function of the share of the training that remains."""

import numpy as np
import pytest
from training.toys import outcome

import rlbench
from rlbench.agents import QLearning
from rlbench.errors import UsageError
from rlbench.replaying.reproduction import command_of

ICE = "FrozenLake-v1"


def linearly(initial):
    """As in Stable-Baselines3's documentation."""

    def rate(progress_remaining):
        return progress_remaining * initial

    return rate


def half(remaining):
    return 0.5 * remaining


def trained(**kwargs):
    rates = {name: kwargs.pop(name) for name in ("learning_rate", "exploration_schedule") if name in kwargs}
    budget = {} if "episodes" in kwargs else {"total_timesteps": 400}
    return rlbench.train(ICE, seed=0, agent_kwargs=rates, **budget, **kwargs)


def test_a_linear_function_of_the_budget_of_steps_is_the_linear_schedule():
    one = trained(exploration_schedule=linearly(0.9), learning_rate=0.3)
    schedule = {"exploration_schedule": "linear", "exploration_initial_eps": 0.9, "exploration_final_eps": 0.0}
    kwargs = {**schedule, "exploration_fraction": 1.0, "learning_rate": 0.3}
    other = rlbench.train(ICE, seed=0, total_timesteps=400, agent_kwargs=kwargs)
    assert (one.engine, other.engine) == ("python", "compiled")
    assert one.figures["exploration_rate"] == pytest.approx(other.figures["exploration_rate"])
    assert one.returns.tolist() == other.returns.tolist()


def test_what_remains_is_of_the_limit_that_is_nearer():
    asked = []
    run = trained(learning_rate=lambda remaining: asked.append(remaining) or 0.1, episodes=4)
    assert asked[0] == 1.0
    assert sorted({round(share, 9) for share in asked}, reverse=True) == [1.0, 0.75, 0.5, 0.25]
    assert run.episodes == 4


def test_the_run_names_its_functions_and_its_agent_comes_back():
    with rlbench.open_store("memory://") as store:
        with pytest.warns(UserWarning, match="cannot be found by its name"):
            run = trained(learning_rate=linearly(0.5), store=store)
        said = run.record.config.agent.parameters["learning_rate"]
        assert said["function"].endswith("test_functions:linearly.<locals>.rate")
        assert (said["episodes"], said["timesteps"]) == (None, 400)
        again = rlbench.load_run(store, run.id)
        assert np.array_equal(again.agent.q_table, run.agent.q_table)
        rlbench.evaluate(again, episodes=3, seed=0)
        with pytest.raises(UsageError, match=r"learning_rate of run \w+ is the function .* train with it again"):
            rlbench.resume(again, total_timesteps=500)
        with pytest.raises(UsageError, match="with a rate by a function: no command can name it"):
            command_of(run)


def test_a_function_with_a_name_is_part_of_what_a_cached_run_is_known_by():
    with rlbench.open_store("memory://") as store:
        first = trained(learning_rate=half, store=store)
        assert trained(learning_rate=half, store=store).cache == "hit"
        assert trained(learning_rate=half, store=store, episodes=2).cache == "miss"  # another rate after each step
        assert outcome(trained(learning_rate=half)) == outcome(first)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"learning_rate": lambda _: 2.0}, "must return a number from 0 to 1, got 2.0 for 1 remaining"),
        ({"exploration_schedule": lambda _: "much"}, "returns must be a finite number, got 'much'"),
        (
            {"learning_rate": half, "engine": "compiled"},
            "engine='compiled' is not possible: learning_rate is a function",
        ),
    ],
)
def test_a_function_that_cannot_be_followed_is_refused(kwargs, message):
    with pytest.raises(UsageError, match=message):
        trained(**kwargs)


def test_functions_are_refused_where_no_length_of_training_is_known():
    with pytest.raises(UsageError, match="depends on the length of training: give it to train"):
        QLearning(3, 2, learning_rate=half)
    with pytest.raises(UsageError, match="gamma must be a number, got the function"):
        rlbench.train(ICE, episodes=1, agent_kwargs={"gamma": half})
    own = {"learning_rate": half, "learning_rate_final": 0.1, "learning_rate_steps": 5}
    with pytest.raises(UsageError, match="leave out learning_rate_final"):
        rlbench.train(ICE, episodes=1, agent_kwargs=own)

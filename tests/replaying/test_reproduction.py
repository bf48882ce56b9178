"""The command and the program that reproduce a run: executed, they give the same table."""

import json
import shlex
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils import RecordConstructorArgs

import rlbench
from rlbench.errors import UsageError
from rlbench.replaying.reproduction import command_of, program_of, training_arguments
from rlbench.store.config import BudgetConfig, EnvConfig, RetrainingConfig

CASES = [
    {"env": "safecab", "episodes": 30, "seed": 5},
    {"env": "safecab", "episodes": 30, "seed": 0, "preset": "book", "agent_kwargs": {"gamma": 0.5}},
    {"env": "safecab", "episodes": 20, "seed": 1, "env_kwargs": {"city": "4x6", "city_seed": 3, "step_reward": -2.5}},
    {"env": "safecab", "episodes": 20, "seed": 1, "env_kwargs": {"city": "|R: :A: :G|\n| : : : :B|"}},
    {"env": "FrozenLake-v1", "total_timesteps": 700, "seed": 2, "agent": "replay-q"},
    {"env": "cartpole", "episodes": 9, "seed": 2, "preset": "book"},
    {"env": "CartPole-v1", "episodes": 9, "seed": 2},
    {
        "env": "CartPole-v1",
        "episodes": 9,
        "seed": 2,
        "bins": "quantile:3",
        "wrappers": ["ClipReward:min_reward=0,max_reward=0.5", "TimeLimit:max_episode_steps=30"],
    },
    {"env": "FrozenLake-v1", "episodes": 20, "seed": 3, "env_kwargs": {"max_episode_steps": 5}},
    {"env": "FrozenLake-v1", "episodes": 20, "seed": 3, "agent_kwargs": {"ties": "first"}},
    {"env": "FrozenLake-v1", "episodes": 20, "seed": 3, "eval_every": 7, "eval_episodes": 2},
    {"env": "FrozenLake-v1", "episodes": 9, "agent_kwargs": {"learning_rate_final": None, "learning_rate_steps": None}},
    {"env": "FrozenLake-v1", "episodes": 9, "agent_kwargs": {"learning_rate": 0.3}},
    {"env": "FrozenLake-v1", "episodes": 9, "agent_kwargs": {"learning_rate": 0.3, "learning_rate_final": 0.001}},
    {"env": "CliffWalking-v1", "total_timesteps": 300, "seed": 3, "env_kwargs": {"max_episode_steps": 20}},
    {"env": "FrozenLake-v1", "episodes": 40, "seed": 3, "env_kwargs": {"is_slippery": False, "map_name": "8x8"}},
    {
        "env": "CliffWalking-v1",
        "total_timesteps": 500,
        "seed": 4,
        "agent_kwargs": {"exploration_schedule": "linear", "exploration_fraction": 0.5, "initial_value": 1.5},
    },
]


class OfOnesOwn(gym.Wrapper, RecordConstructorArgs):
    """A wrapper that no command can name."""

    def __init__(self, env):
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)


def same(a, b):
    tables = [run.agent.state_dict() for run in (a, b)]
    return np.array_equal(tables[0]["q_table"], tables[1]["q_table"]) and a.returns.tolist() == b.returns.tolist()


@pytest.fixture
def command_line(tmp_path, monkeypatch):
    """A function that types a command in a folder of its own and returns the newest run there."""
    from rlbench.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLBENCH_STORE", raising=False)

    def typed(command):
        with pytest.raises(SystemExit) as exited:
            main(shlex.split(command)[1:])
        assert not exited.value.code
        return rlbench.load_run(rlbench.open_store(tmp_path / "rlbench.db"), "latest")

    return typed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["env"])
def test_a_run_is_made_again_by_its_command_and_by_its_arguments(case, command_line):
    run = rlbench.train(**case, store="memory://")
    assert same(run, rlbench.train(**training_arguments(run), store="memory://"))
    assert same(run, command_line(command_of(run)))


def test_the_command_says_only_what_its_preset_does_not():
    run = rlbench.train("safecab", episodes=5, seed=7, store="memory://")
    assert command_of(run) == "rlbench train rlbench/SafeCab-v0 --agent q-learning --episodes 5 --seed 7"
    assert program_of(run).splitlines()[-1] == (
        "run = rlbench.train(env='rlbench/SafeCab-v0', agent='q-learning', episodes=5, seed=7)"
    )


@pytest.mark.parametrize(
    ("seeds", "written"), [((9, 7, 8), "--seeds 7:10"), ((7, 2), "--seeds 2,7"), ((7,), "--seed 7")]
)
def test_one_command_trains_with_several_seeds(seeds, written):
    run = rlbench.train("safecab", episodes=5, seed=7, store="memory://")
    assert command_of(run, seeds).removeprefix("rlbench train rlbench/SafeCab-v0 --agent q-learning --episodes 5 ") == (
        written
    )


def test_text_that_looks_like_a_number_stays_text():
    run = rlbench.train("safecab", episodes=5, seed=7, store="memory://")
    env = run.record.config.env
    env = replace(env, spec=env.spec.replace('"kwargs": {}', '"kwargs": {"city": "12"}'))
    run.record = replace(run.record, config=replace(run.record.config, env=env))
    assert command_of(run).endswith("""--env-set 'city="12"'""")


def test_a_retrained_run_is_made_again_from_its_parents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = rlbench.open_store("rlbench.db")
    parent = rlbench.train("safecab", "random", episodes=50, seed=0, store=store)
    run = rlbench.retrain(parent, passes=3, seed=4, agent_kwargs={"gamma": 0.9}).run
    command = f"rlbench retrain {parent.id} --agent q-learning --passes 3 --seed 4 --set gamma=0.9"
    assert command_of(run) == command
    names = {}
    exec(program_of(run), names)  # noqa: S102  (the program that the report prints)
    assert np.array_equal(names["run"].agent.q_table, run.agent.q_table)
    names["store"].close()
    store.close()


def test_a_run_that_was_stopped_is_made_again_as_far_as_it_came():
    with rlbench.open_store("memory://") as store:
        rlbench.train("safecab", episodes=40, seed=0, store=store)
        prefix = rlbench.train("safecab", episodes=10, seed=0, store=store)
        assert training_arguments(prefix)["episodes"] == 10


def test_a_run_that_a_callback_ended_is_made_again_as_far_as_it_came():
    stop = rlbench.StopOnReturn(-1.0, window=5)
    run = rlbench.train("FrozenLake-v1", episodes=40, seed=0, store="memory://", callbacks=[stop])
    assert training_arguments(run)["episodes"] == run.episodes == 5


def test_no_command_knows_a_callback_that_is_not_ours():
    class Look(rlbench.Callback):
        def on_checkpoint(self, progress):
            return None

    run = rlbench.train("FrozenLake-v1", episodes=5, seed=0, callbacks=[Look()])
    with pytest.raises(UsageError, match=r"was trained with the callback Look\(\): no command can name it"):
        command_of(run)


@pytest.mark.parametrize("wrappers", [True, ["ClipReward"], [{"name": "ClipReward", "kwargs": 3}]])
def test_wrappers_of_a_foreign_spec_that_cannot_be_read_are_said(wrappers):
    run = rlbench.train("FrozenLake-v1", episodes=5, store="memory://")
    spec = json.dumps({"kwargs": {}, "additional_wrappers": wrappers})
    run.record = replace(run.record, config=replace(run.record.config, env=EnvConfig("FrozenLake-v1", spec)))
    with pytest.raises(UsageError, match="in wrappers that cannot be read"):
        command_of(run)


def test_a_step_limit_of_its_own_is_said():
    limited = gym.wrappers.TimeLimit(gym.make("FrozenLake-v1"), 5)
    command = command_of(rlbench.train(limited, episodes=5, seed=0, store="memory://"))
    assert command.endswith("--env-set map_name=4x4 --env-set max_episode_steps=5")
    endless = gym.make("FrozenLake-v1", max_episode_steps=-1)
    arguments = training_arguments(rlbench.train(endless, episodes=5, seed=0, store="memory://"))
    assert arguments["env_kwargs"]["max_episode_steps"] == -1


def test_what_no_command_makes_is_said():
    wrapped = OfOnesOwn(gym.make("FrozenLake-v1"))
    with pytest.raises(UsageError, match="in the wrapper OfOnesOwn"):
        command_of(rlbench.train(wrapped, episodes=5, store="memory://"))
    from training.toys import Road

    with pytest.raises(UsageError, match="env object"):
        command_of(rlbench.train(Road(), episodes=5, store="memory://"))
    run = rlbench.train("safecab", episodes=5, store="memory://")
    run.record = replace(run.record, config=replace(run.record.config, budget=BudgetConfig()))
    with pytest.raises(UsageError, match="recorded or imported"):
        program_of(run)
    run.record = replace(run.record, config=replace(run.record.config, retraining=RetrainingConfig(passes=1)))
    with pytest.raises(UsageError, match="does not name the run that it learnt from"):
        command_of(run)

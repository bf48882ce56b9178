"""Training with many seeds: each run as if it were trained alone, wherever it was trained."""

import os
from dataclasses import replace

import gymnasium as gym
import jobs
import numpy as np
import pytest
from training.toys import outcome

import rlbench
from rlbench.agents import QLearning
from rlbench.envs.making import make_env
from rlbench.errors import StoreError, UsageError
from rlbench.training import many, tasks
from rlbench.training.many import trainings

LAKE = {"episodes": 30, "engine": "python"}


def alone(seed):
    return rlbench.train("FrozenLake-v1", seed=seed, **LAKE)


def assert_same(run, other):
    assert run.seed == other.seed
    np.testing.assert_array_equal(run.agent.q_table, other.agent.q_table)
    np.testing.assert_array_equal(run.returns, other.returns)


def test_processes_train_the_same_bits_as_this_one_and_take_what_is_stored(tmp_path):
    path = tmp_path / "runs.db"
    stored = rlbench.train("FrozenLake-v1", seed=1, store=path, **LAKE)
    runs = rlbench.train_many(
        "FrozenLake-v1", seeds=[2, 1, 0], workers=2, store=path, then=jobs.evaluate, tags=["good"], note="why", **LAKE
    )
    assert [(run.seed, run.cache) for run in runs] == [(2, "miss"), (1, "hit"), (0, "miss")]
    assert (runs[1].id, len({run.store for run in runs})) == (stored.id, 1)
    for run in runs:
        assert_same(run, alone(run.seed))
        assert (run.record.tags, run.record.note) == (("good",), "why")
        assert run.record.evaluation["process"] != os.getpid()


def test_one_process_trains_one_after_another_in_memory_too():
    threshold = rlbench.StopOnReturn(-1.0, window=5, every=5)
    runs = rlbench.train_many("FrozenLake-v1", seeds=range(2), then=jobs.evaluate, callbacks=[threshold], **LAKE)
    assert [run.episodes for run in runs] == [5, 5]
    assert {run.record.evaluation["process"] for run in runs} == {os.getpid()}
    assert len(runs[0].store.runs()) == 2
    runs = rlbench.train_many("FrozenLake-v1", seeds=[3], **LAKE)
    assert_same(runs[0], alone(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": []}, "seeds must be at least one"),
        ({"seeds": [4, 1, 4]}, "seeds must be different, got 4 twice"),
        ({"seeds": [-1]}, "seed must be a whole number, 0 or more, got -1"),
        ({"seeds": [0, 1], "workers": 0}, "workers must be a whole number, 1 or more, got 0"),
        ({"seeds": [0, 1], "workers": 2}, "a store in memory belongs to one process: name a file"),
        ({"seeds": [0, 1], "workers": 2, "store": "memory://"}, "a store in memory belongs to one process"),
        ({"seeds": [0], "alpha": 0.1}, "seed 0: unknown argument of train 'alpha'"),
    ],
)
def test_a_mistake_is_refused_in_a_line(arguments, message):
    with pytest.raises(UsageError, match=message):
        rlbench.train_many("FrozenLake-v1", **{**LAKE, **arguments})


def test_objects_that_keep_a_state_are_refused():
    with pytest.raises(UsageError, match="train_many takes the id of an env and the name or class of an agent"):
        rlbench.train_many(rlbench.load_run, seeds=[0])


class StopAtFifth(rlbench.Callback):
    """Counts the episodes that it has seen."""

    seen = 0

    def settings(self):
        return {}

    def on_episode_end(self, progress):
        self.seen += 1
        return self.seen < 5


def test_a_callback_knows_nothing_of_the_trainings_before():
    runs = rlbench.train_many("FrozenLake-v1", seeds=range(2), callbacks=[StopAtFifth()], **LAKE)
    assert [run.episodes for run in runs] == [5, 5]


def full(_run):
    raise StoreError("it is full")


def test_an_error_of_what_follows_says_which_seed_it_was():
    with pytest.raises(StoreError, match=r"^seed 1: it is full; 0 of 1 runs are stored$"):
        rlbench.train_many("FrozenLake-v1", seeds=[1], then=full, **LAKE)


def test_an_error_says_which_seed_and_what_is_stored(tmp_path, monkeypatch):
    train = tasks.Task.train

    def breaking(self, *, seed, **arguments):
        if seed == 1:
            raise StoreError("it is full")
        return train(self, seed=seed, **arguments)

    monkeypatch.setattr(tasks.Task, "train", breaking)
    with pytest.raises(StoreError, match=r"^seed 1: it is full; 1 of 3 runs are stored$"):
        rlbench.train_many("FrozenLake-v1", seeds=range(3), store=tmp_path / "runs.db", **LAKE)


# ------------------------------------------------------------------------------------- what trainings share


@pytest.fixture
def made(monkeypatch):
    """Notes the ids of the envs that are made to be trained in."""
    ids = []
    monkeypatch.setattr(tasks, "make_env", lambda env, *rest: (ids.append(env), make_env(env, *rest))[1])
    return ids


CASES = {
    "figures": ("CliffWalking-v1", "q-learning", {"episodes": 20, "record": "none"}),
    "steps": ("safecab", "sarsa", {"episodes": 20}),
    "outcomes that are drawn": ("FrozenLake-v1", "dyna-q", {"episodes": 20}),
    "bins": ("CartPole-v1", "double-q", {"episodes": 20, "agent_kwargs": {"learning_rate": 0.2}}),
    "a budget of steps": ("Taxi-v4", "monte-carlo", {"total_timesteps": 2000, "record": "none"}),
    "evaluations": ("FrozenLake-v1", "q-learning", {"episodes": 20, "eval_every": 7, "eval_episodes": 3}),
}


@pytest.mark.parametrize("case", CASES)
def test_each_of_many_runs_is_the_one_that_its_seed_gives_alone(case, made):
    env, agent, arguments = CASES[case]
    runs = rlbench.train_many(env, agent, seeds=[3, 0, 2**40], tags=["a"], **arguments)
    assert len(made) == 1
    for run in runs:
        one = rlbench.train(env, agent, seed=run.seed, tags=["a"], **arguments)
        assert outcome(run) == outcome(one)
        assert replace(run.record, id="", created_at="", seconds=0.0) == replace(
            one.record, id="", created_at="", seconds=0.0
        )


def test_where_the_readable_loop_runs_each_training_has_an_env_of_its_own(made):
    rlbench.train_many("FrozenLake-v1", seeds=range(3), **LAKE)
    assert len(made) == 3


def test_another_process_prepares_once_what_seeds_share(made, tmp_path, monkeypatch):
    monkeypatch.setattr(many, "_PLACES", {})
    shared = [{"env": env, "episodes": 5, "record": "none"} for env in ("FrozenLake-v1", "CliffWalking-v1")]
    requests = [{**one, "seed": seed} for one in shared for seed in range(3)]
    items = list(many._items(requests, str(tmp_path / "runs.db"), None))
    ids = {many._train(item, lambda _share: None)[0] for item in items}
    assert (len(ids), made) == (6, ["FrozenLake-v1", "CliffWalking-v1"])
    for place in many._PLACES.values():
        place.close()


def test_trainings_that_differ_in_more_than_their_seeds_share_nothing(made):
    requests = [
        {"env": "CliffWalking-v1", "episodes": 5, "seed": seed, "agent_kwargs": kwargs}
        for kwargs in ({"learning_rate": 0.1}, {"learning_rate": 0.5})
        for seed in range(2)
    ]
    rates = [one.run.record.config.agent.parameters["learning_rate"] for one in trainings(requests, None, workers=1)]
    assert (len(made), rates) == (2, [0.1, 0.1, 0.5, 0.5])


class Eager(QLearning):
    """Expects much of every action."""

    def build(self):
        super().build()
        self.set_q_table(np.ones((self.n_states, self.n_actions)))


def test_an_env_or_agent_that_is_registered_anew_meanwhile_is_the_new_one(monkeypatch):
    ice = gym.spec("FrozenLake-v1")
    monkeypatch.setitem(gym.registry, "toys/Ice-v0", replace(ice, id="toys/Ice-v0", kwargs={"map_name": "4x4"}))
    arguments = {"env": "toys/Ice-v0", "episodes": 5}
    found = trainings([{**arguments, "seed": seed} for seed in range(3)], None, workers=1)
    assert next(found).run.agent.n_states == 16
    gym.registry["toys/Ice-v0"] = replace(ice, id="toys/Ice-v0", kwargs={"map_name": "8x8"})
    assert next(found).run.agent.n_states == 64
    monkeypatch.setitem(rlbench.agents.AGENTS, "q-learning", Eager)
    assert next(found).run.agent.q_table.min() > 0


def test_a_warning_that_a_training_is_not_cached_names_the_line_that_asked_for_it(tmp_path):
    rates = {"agent_kwargs": {"learning_rate": lambda _: 0.5}}
    with pytest.warns(UserWarning, match="this training is not cached") as warned:
        rlbench.train("FrozenLake-v1", episodes=5, seed=0, store=tmp_path / "runs.db", **rates).store.close()
    assert warned[0].filename == __file__

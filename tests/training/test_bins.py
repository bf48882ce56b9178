"""Bins that are asked for, fitted on what was observed, and taken over with the values that were learnt in them."""

import dataclasses
import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

import rlbench
from rlbench.envs.discretize import Centers, CutPoints, Discretize, UniformBins, bins_of
from rlbench.envs.making import make_from_spec, spec_json
from rlbench.envs.wrapping import wrap
from rlbench.errors import StoreError, UsageError
from rlbench.replaying.reproduction import retraining_arguments
from rlbench.store import open_store
from rlbench.training import session
from rlbench.training.binning import arguments_of, binned, fitted, read_bins

LINE = spaces.Box(-np.inf, np.inf, (1,))
ROWS = np.arange(101.0)[:, None]


class Compass(gym.Env):
    """Observes a Dict: where it is on a line of ten metres, and which of three ways it looks."""

    observation_space = spaces.Dict({"at": spaces.Box(0.0, 10.0, (1,)), "way": spaces.Discrete(3)})
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.t = float(self.np_random.uniform(0, 10)), 0
        return self._seen(0), {}

    def step(self, action):
        self.t += 1
        self.at = min(10.0, self.at + int(action))
        return self._seen(int(action)), self.at, False, self.t == 5, {}

    def _seen(self, way):
        return {"at": np.array([self.at], np.float32), "way": way}


@pytest.fixture(scope="module")
def raw():
    return rlbench.record("CartPole-v1", episodes=60, seed=3)


# ------------------------------------------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    ("asked", "kind", "value"),
    [
        ("6,6,12,12", "counts", [6, 6, 12, 12]),
        (" 8 ", "counts", 8),
        ([6, 6], "counts", [6, 6]),
        ("kmeans:50", "kmeans", 50),
        ("quantile:8", "quantile", 8),
        ('{"cuts": [[0.5]]}', "given", {"cuts": [[0.5]]}),
        ({"bins": 3}, "counts", 3),
        ({"bins": 3, "low": 0}, "given", {"bins": 3, "low": 0}),
    ],
)
def test_bins_are_read_in_every_form(asked, kind, value):
    assert read_bins(asked) == (kind, value)


def test_bins_are_read_from_a_file(tmp_path):
    path = tmp_path / "bins.json"
    path.write_text(json.dumps({"cuts": [[1.0, 2.0]]}))
    assert read_bins(path) == read_bins(str(path)) == ("given", {"cuts": [[1.0, 2.0]]})


@pytest.mark.parametrize("asked", ["kmeans", "kmeans:0", "quantile:-1", "six", "", "{", {"widths": 3}, {}, 2.5, None])
def test_what_is_no_bins_is_refused_with_the_forms_that_are(asked):
    with pytest.raises(UsageError, match=r"kmeans:50|arguments of Discretize"):
        read_bins(asked)


# ------------------------------------------------------------------------------------------------- fitting


def test_quantiles_cut_where_equal_shares_lie():
    assert fitted("quantile:4", LINE, lambda: ROWS) == {"cuts": [[25.0, 50.0, 75.0]]}


def test_a_quantity_that_hardly_changes_has_fewer_cuts():
    assert fitted("quantile:4", LINE, lambda: np.zeros((9, 1))) == {"cuts": [[0.0]]}


def test_centres_are_those_of_k_means_each_quantity_in_units_of_its_spread():
    rows = np.concatenate([np.zeros((50, 2)), np.full((50, 2), [1.0, 1000.0])])
    found = fitted("kmeans:2", spaces.Box(-np.inf, np.inf, (2,)), lambda: rows)
    assert sorted(found["centers"]) == [[0.0, 0.0], [1.0, 1000.0]]
    assert found["scale"] == [0.5, 500.0]


def test_equal_bins_lie_between_the_bounds_of_the_space_or_else_what_was_observed():
    space = spaces.Box(np.array([0.0, -np.inf]), np.array([9.0, np.inf]), dtype=np.float64)
    found = fitted("3", space, lambda: np.array([[4.0, -1.0], [5.0, 7.0], [np.inf, 0.0]]))
    assert found == {"bins": [3, 3], "low": [0.0, -1.0], "high": [9.0, 7.0]}


def test_bounds_that_are_known_need_no_observation():
    assert fitted("3", spaces.Box(0.0, 1.0, (1,)), None) == {"bins": [3], "low": [0.0], "high": [1.0]}


def test_the_same_bins_are_fitted_each_time():
    one, other = (binned(gym.make("CartPole-v1"), "kmeans:7") for _ in range(2))
    assert spec_json(one) == spec_json(other)


def test_bins_survive_the_spec_of_their_env():
    for asked, kind in (("4,4,4,4", UniformBins), ("quantile:3", CutPoints), ("kmeans:5", Centers)):
        env = binned(gym.make("CartPole-v1"), asked)
        again = bins_of(make_from_spec(spec_json(env)))
        assert isinstance(again, kind)
        assert all(map(np.array_equal, again, bins_of(env)))
        assert all(map(np.array_equal, again, bins_of(Discretize(gym.make("CartPole-v1"), **arguments_of(again)))))


def test_a_dict_is_flattened_before_it_is_put_in_bins(monkeypatch):
    monkeypatch.setitem(gym.registry, "Compass-v0", EnvSpec("Compass-v0", "training.test_bins:Compass"))
    run = rlbench.train("Compass-v0", bins=[5, 2, 2, 2], episodes=20, seed=0)
    recorded = rlbench.record("Compass-v0", episodes=20)
    learnt = rlbench.retrain(recorded, bins=[5, 2, 2, 2])
    assert run.agent.n_states == learnt.run.agent.n_states == 40
    with learnt.run.make_env() as env, recorded.make_env() as bare:
        for seed in range(20):
            bare.reset(seed=seed)
            assert env.reset(seed=seed)[0] == int(bare.unwrapped.at // 2) * 8 + 4  # it looks the first way
    first = next(recorded.store.chunks(recorded.id)).steps
    seen = [
        int(at // 2) * 8 + (4, 2, 1)[way]
        for at, way in zip(first["observations/at"].ravel(), first["observations/way"], strict=True)
    ]
    assert set(np.flatnonzero(learnt.run.agent.q_table.any(axis=1))) <= set(seen)


@pytest.mark.parametrize("env", ["safecab", "FrozenLake-v1"])
def test_numbers_need_no_bins(env):
    with pytest.raises(UsageError, match=r"bins need Box observations, got Discrete\(\d+\): leave the bins out"):
        rlbench.train(env, bins=8, episodes=1)


def test_a_box_without_bins_says_how_to_give_them():
    with pytest.raises(UsageError, match=r"give bins=, a number for each dimension"):
        rlbench.train("Pendulum-v1", episodes=1)


# ------------------------------------------------------------------------------------------------- wrappers


def test_wrappers_are_put_round_an_env_by_name():
    env = wrap(gym.make("CartPole-v1"), ["ClipReward:min_reward=0,max_reward=0.5", "TimeLimit:max_episode_steps=3"])
    env.reset(seed=0)
    assert [env.step(0)[1:4] for _ in range(3)] == [(0.5, False, False)] * 2 + [(0.5, False, True)]


@pytest.mark.parametrize(
    ("wrapper", "complaint"),
    [
        ("ClipRewards", "unknown wrapper 'ClipRewards'; did you mean ClipReward"),
        ("RecordVideo:video_folder=x", "unknown wrapper 'RecordVideo'"),
        ("ClipReward:lowest=1", "does not fit"),
        ("ClipReward:1", "takes K=V"),
        ("FlattenDiscrete", "FlattenDiscrete needs a Discrete"),
    ],
)
def test_a_wrapper_that_is_unknown_or_does_not_fit_is_refused(wrapper, complaint):
    with pytest.raises(UsageError, match=complaint):
        wrap(gym.make("CartPole-v1"), [wrapper])


def test_wrappers_and_bins_are_part_of_the_run(tmp_path):
    with open_store(tmp_path / "runs.db") as store:
        asked = {"wrappers": ["ClipReward:min_reward=0,max_reward=0.5"], "bins": "3,3,6,6", "episodes": 5, "seed": 0}
        run = rlbench.train("CartPole-v1", store=store, **asked)
        assert run.returns.tolist() == (run.lengths / 2).tolist()
        assert rlbench.train("CartPole-v1", store=store, **asked).cache == "hit"
        assert rlbench.train("CartPole-v1", store=store, **{**asked, "wrappers": ()}).cache == "miss"
        assert rlbench.verify(run).mismatched == 0


HALVED = "ClipReward:min_reward=0,max_reward=0.5"
SCALED = "RescaleObservation:min_obs=-1,max_obs=1"


@pytest.mark.parametrize(
    ("env", "wrappers", "bins"),
    [
        ("CartPole-v1", [HALVED], "3,3,6,6"),
        ("Acrobot-v1", [SCALED, "FlattenObservation"], "kmeans:7"),
        ("Blackjack-v1", ["FlattenDiscrete", HALVED], None),
        ("Taxi-v4", ["FlattenObservation"], "kmeans:5"),
    ],
)
def test_stored_steps_are_seen_through_wrappers_as_if_they_had_been_recorded_in_them(env, wrappers, bins):
    raw, recorded = (rlbench.record(env, episodes=4, seed=0, wrappers=own) for own in ((), wrappers))
    seen, plain = (
        rlbench.retrain(run, passes=2, wrappers=own, bins=bins) for run, own in ((raw, wrappers), (recorded, ()))
    )
    assert np.array_equal(seen.run.agent.q_table, plain.run.agent.q_table)
    assert seen.run.record.config.env.spec == plain.run.record.config.env.spec
    again = retraining_arguments(seen.run)
    assert np.array_equal(rlbench.retrain(raw, **again).run.agent.q_table, seen.run.agent.q_table)


@pytest.mark.parametrize(
    "wrapper",
    [
        "TimeAwareObservation",
        "NormalizeObservation",
        "RescaleAction:min_action=0,max_action=1",
        "TimeLimit:max_episode_steps=3",
    ],
)
def test_stored_steps_are_not_seen_through_what_needs_more_than_one_of_them(wrapper):
    run = rlbench.record("Pendulum-v1", episodes=1)
    with pytest.raises(UsageError, match=f"{wrapper.partition(':')[0]} cannot be put around stored steps"):
        rlbench.retrain(run, wrappers=[wrapper], bins=3)


class Levers(Compass):
    """Two levers to pull at once; observes the way alone."""

    observation_space = spaces.Discrete(3)
    action_space = spaces.MultiDiscrete([2, 2])

    def step(self, action):
        return super().step(sum(map(int, action)))

    def _seen(self, way):
        return way


def test_stored_steps_are_not_seen_through_what_changes_the_actions(monkeypatch):
    monkeypatch.setitem(gym.registry, "Levers-v0", gym.envs.registration.EnvSpec("Levers-v0", Levers))
    run = rlbench.record("Levers-v0", episodes=2)
    with pytest.raises(UsageError, match="FlattenDiscrete cannot be put around stored steps"):
        rlbench.retrain(run, wrappers=["FlattenDiscrete"])


# ------------------------------------------------------------------------------------------------- going on


def test_a_run_goes_on_with_the_values_and_bins_of_its_parent(raw):
    parent = rlbench.retrain(raw, bins="quantile:4", agent_kwargs={"learning_rate": 0.1}).run
    run = rlbench.train(
        "CartPole-v1",
        parent=parent,
        episodes=1,
        seed=0,
        agent_kwargs={"learning_rate": 1e-300, "learning_rate_final": 1e-300},
    )
    assert np.array_equal(run.agent.q_table, parent.agent.q_table)
    assert run.record.parents == (parent.id,)
    assert run.record.config.env == parent.record.config.env
    assert (run.agent.episodes, run.figures["exploration_rate"].tolist()) == (1, [0.01])


def test_exploration_of_ones_own_is_kept(raw):
    parent = rlbench.retrain(raw, bins=3).run
    run = rlbench.train("CartPole-v1", parent=parent, episodes=1, agent_kwargs={"exploration_initial_eps": 0.5})
    assert run.figures["exploration_rate"].tolist() == [0.5]


def test_the_values_a_run_begins_with_are_in_its_key(raw):
    with open_store("memory://") as store:
        parents = [rlbench.retrain(raw, bins=3, store=store, agent_kwargs={"gamma": gamma}).run for gamma in (0.9, 0.8)]
        asked = {"episodes": 3, "seed": 1, "store": store, "agent_kwargs": {"gamma": 0.9}}
        kinds = [rlbench.train("CartPole-v1", parent=parent, **asked).cache for parent in (*parents, parents[0])]
        assert kinds == ["miss", "miss", "hit"]
        assert rlbench.train("CartPole-v1", bins=3, **asked).cache == "miss"


def test_a_run_that_went_on_and_broke_off_at_once_is_resumed_without_its_parent(raw, monkeypatch):
    asked = {"episodes": 40, "seed": 1}
    whole = rlbench.train("CartPole-v1", parent=rlbench.retrain(raw, bins=3).run, **asked)
    with open_store("memory://") as store:
        parent = rlbench.retrain(raw, bins=3, store=store).run
        with monkeypatch.context() as patched:
            patched.setattr(session.Session, "_loop", interrupted)
            cut = rlbench.train("CartPole-v1", parent=parent, store=store, **asked)
        assert (cut.status, cut.episodes) == ("interrupted", 0)
        store.delete_run(parent.id)
        resumed = rlbench.resume(rlbench.load_run(store, cut.id))
        assert np.array_equal(resumed.agent.q_table, whole.agent.q_table)
        assert resumed.returns.tolist() == whole.returns.tolist()


def interrupted(self, world, budget):
    budget.stop = True


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"bins": "4,4,4,4"}, "learnt in 81 other bins, not in 4,4,4,4: leave the bins out"),
        ({"bins": "3,3"}, "learnt in 81 other bins, not in 3,3"),
        ({"bins": {"bins": 3, "low": -1, "high": 1}}, "learnt in 81 other bins"),
        ({"bins": "kmeans:81"}, "learnt in 81 other bins, not in kmeans:81"),
        ({"agent": "random"}, "random keeps no values"),
        ({"env": "Acrobot-v1"}, "bins must be|takes|must have"),
        ({"env": "FrozenLake-v1"}, "learnt in other bins than those of this env"),
    ],
)
def test_what_does_not_fit_the_parent_is_refused(raw, asked, complaint):
    parent = rlbench.retrain(raw, bins=3).run
    with pytest.raises(UsageError, match=complaint):
        rlbench.train(**{"env": "CartPole-v1", "parent": parent, "episodes": 1, **asked})


def test_bins_agree_however_they_are_asked_for(raw):
    parent = rlbench.retrain(raw, bins="3,3,6,6").run
    same = {"bins": [3, 3, 6, 6], "low": [-2.4, -3, -0.2095, -3.5], "high": [2.4, 3, 0.2095, 3.5]}
    for asked in ([3, 3, 6, 6], same):
        assert rlbench.train("CartPole-v1", bins=asked, parent=parent, episodes=1, seed=0).record.parents == (
            parent.id,
        )
    with pytest.raises(UsageError, match="learnt in 324 other bins, not in 3,6"):
        rlbench.train("CartPole-v1", bins="3,6", parent=parent, episodes=1)


@pytest.mark.parametrize("stored", [{}, {"bins": 3}, {"widths": [1]}, {"centers": []}, {"cuts": [[2, 1]]}])
def test_bins_that_a_stranger_wrote_are_refused_in_a_line(raw, stored):
    learnt = rlbench.retrain(raw, bins=3).run
    env = dataclasses.replace(learnt.record.config.env, spec=None, bins=stored)
    learnt.record = dataclasses.replace(learnt.record, config=dataclasses.replace(learnt.record.config, env=env))
    with pytest.raises(StoreError, match="is damaged: what it says of its bins is unreadable"):
        rlbench.train("CartPole-v1", parent=learnt, episodes=1)


def test_a_parent_needs_an_agent(raw):
    with pytest.raises(UsageError, match=f"run {raw.id} keeps no agent whose values could be taken over"):
        rlbench.train("CartPole-v1", bins=3, parent=raw, episodes=1)


def test_a_run_is_judged_in_the_raw_env_through_its_bins(raw):
    learnt = rlbench.retrain(raw, bins=3).run
    own, given = rlbench.evaluate(learnt, seed=0), rlbench.evaluate(learnt, gym.make("CartPole-v1"), seed=0)
    assert own.returns.tolist() == given.returns.tolist()

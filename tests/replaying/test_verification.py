"""Stored episodes, played again, equal what was stored; the first difference between two runs is found."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest

import rlbench
from rlbench.envs import FlattenDiscrete
from rlbench.errors import StoreError, UsageError
from rlbench.replaying.verification import player_of
from rlbench.store import Store
from rlbench.training import recorder
from rlbench.training.again import difference

ENVS = {"safecab": 400, "cartpole": 120, "FrozenLake-v1": 200, "Taxi-v4": 60, "CliffWalking-v1": 20}
PHYSICS = {"MountainCar-v0": 9, "Acrobot-v1": 5}
LONG = {"marks": pytest.mark.long}


def trained(env="safecab", episodes=60, **arguments):
    arguments = {"env_kwargs": {"max_episode_steps": 300}, **arguments} if env == "CliffWalking-v1" else arguments
    return rlbench.train(env, episodes=episodes, **{"seed": 2, **arguments})


@pytest.mark.parametrize("engine", ["compiled", "python"])
@pytest.mark.parametrize("env", [*ENVS, *(pytest.param(name, **LONG) for name in PHYSICS)])
def test_what_was_trained_verifies_in_either_loop(env, engine):
    run = trained(env, (ENVS | PHYSICS)[env])
    found = rlbench.verify(run, engine=engine)
    assert (found.episodes, found.steps) == (run.episodes, run.timesteps)
    assert (found.mismatched, found.mismatches, found.unverifiable) == (0, (), 0)


@pytest.mark.parametrize("engine", ["compiled", "python"])
@pytest.mark.parametrize("env", ["safecab", "cartpole", "Taxi-v4", *(pytest.param(env, **LONG) for env in PHYSICS)])
def test_episodes_that_are_split_between_chunks_verify(env, engine, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 32)
    monkeypatch.setattr(recorder, "RESERVE", 8)
    run = trained(env, 40)
    assert any(span.first_step for span in run.store.chunks(run.id))
    found = rlbench.verify(run, engine=engine)
    assert (found.episodes, found.steps, found.mismatched) == (run.episodes, run.timesteps, 0)
    for episode in (0, 17, run.episodes - 1):
        one = rlbench.verify(run, episodes=[episode], engine=engine)
        assert (one.episodes, one.steps, one.mismatched) == (1, run.lengths[episode], 0)


@pytest.mark.parametrize("engine", ["compiled", "python"])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("actions", lambda column: column.astype(np.float64), "the stored actions are float64 of shape"),
        ("actions", lambda column: column.astype(np.uint64), "the stored actions are uint64 of shape"),
        ("actions", lambda column: column.astype(">i8"), "the stored actions are >i8 of shape"),
        ("actions", lambda column: column[:, None, None], r"of shape \(\d+, 1, 1\), expected Discrete"),
        ("actions", lambda column: column[:, None][:, :0], r"of shape \(\d+, 0\)"),
        (
            "actions",
            lambda column: column + 1,
            r"the stored actions are 1 to 2, expected Discrete\(2\): they are of another",
        ),
        ("observations", lambda column: column[:, None][:, :0], "the stored observations "),
        ("observations", lambda column: column.astype(np.complex128), "the stored observations are complex128"),
    ],
)
def test_steps_of_another_kind_are_refused_before_an_env_or_compiled_code_takes_them(engine, name, change, message):
    def spoil(steps, _ends):
        steps[name] = change(steps[name])

    run = spoilt(trained("cartpole", 20), spoil)
    with pytest.raises(StoreError, match=message):
        rlbench.verify(run, engine=engine)


def test_any_env_that_draws_from_its_own_generator_verifies():
    env = FlattenDiscrete(gym.make("Blackjack-v1"))
    run = rlbench.train(env, "random", episodes=50, seed=0)
    found = rlbench.verify(run, env=env)
    assert (found.episodes, found.mismatched) == (50, 0)


def spoilt(run, spoil, only=lambda chunk: True):
    """The run, with its steps, or those of some chunks only, changed as they are read."""
    chunks = run.store.chunks

    def changed(*args, **kwargs):
        for chunk in chunks(*args, **kwargs):
            steps = {name: column.copy() for name, column in chunk.steps.items()}
            ends = chunk.ends.copy()
            if only(chunk):
                spoil(steps, ends)
            yield dataclasses.replace(chunk, steps=steps, ends=ends)

    run.store.chunks = changed
    return run


def _observation(steps, ends):
    steps["observations"][17] = 499 - steps["observations"][17]


def _reward(steps, ends):
    steps["rewards"][40] += 1e-9


def _action(steps, ends):
    moved = int(np.argmax(steps["rewards"] == -1.0))  # the first time: nobody is in the taxi to be set down
    steps["actions"][moved] = 5


def _end(steps, ends):
    ends[4] = 3 - ends[4]


@pytest.mark.parametrize("engine", ["compiled", "python"])
@pytest.mark.parametrize(
    ("spoil", "fields"),
    [
        (_observation, {"observation"}),
        (_reward, {"reward"}),
        (_action, {"observation", "reward", "terminated"}),
        (_end, {"terminated", "truncated"}),
    ],
)
def test_the_first_step_and_field_that_differ_are_named(spoil, fields, engine):
    run = trained()
    real = list(run.store.episodes(run.id))
    found = rlbench.verify(spoilt(run, spoil), engine=engine)
    # an action other than the one taken may shift all later draws; in SafeCab it does not
    assert found.mismatched == 1
    [first] = found.mismatches
    assert first.field in fields
    episode = real[first.episode]
    assert 0 <= first.step <= len(episode)
    if spoil is _observation:
        assert (first.stored, first.found) == (499 - episode.observations[first.step], episode.observations[first.step])
    if spoil is _reward:
        assert first.found == episode.rewards[first.step - 1]
    assert str(first).startswith(f"episode {first.episode}, step {first.step}: {first.field} is ")


@pytest.mark.parametrize("engine", ["compiled", "python"])
def test_an_episode_that_goes_on_elsewhere_in_the_next_chunk_differs_there(engine, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 32)
    monkeypatch.setattr(recorder, "RESERVE", 8)
    run = trained(episodes=5)
    split = [(chunk.first_episode, chunk.first_step) for chunk in run.store.chunks(run.id) if chunk.first_step]

    def move(steps, ends):
        steps["observations"][0] += 1

    found = rlbench.verify(spoilt(run, move, only=lambda chunk: chunk.first_step > 0), engine=engine)
    first = {episode: (step, "observation") for episode, step in reversed(split)}
    assert {one.episode: (one.step, one.field) for one in found.mismatches} == first


@pytest.mark.parametrize("engine", ["compiled", "python"])
def test_chunks_played_again_are_told_from_those_with_another_reward(engine):
    run = trained()
    with run.make_same_env() as env:
        assert not difference(player_of(env, engine), run.store.chunks(run.id))
        assert "differ" in difference(player_of(env, engine), spoilt(run, _reward).store.chunks(run.id))


@pytest.mark.parametrize("engine", ["compiled", "python"])
def test_all_that_differs_is_counted_and_some_of_it_listed(engine):
    run = trained(episodes=300)
    env = gym.make("rlbench/SafeCab-v0", step_reward=-2.0)
    found = rlbench.verify(run, env=env, engine=engine)
    assert found.mismatched == sum(-1.0 in episode.rewards for episode in run.store.episodes(run.id)) > 100
    assert len(found.mismatches) == 100
    assert all(mismatch.field == "reward" for mismatch in found.mismatches)


def test_another_step_limit_is_another_end():
    run = trained(episodes=200)
    env = gym.make("rlbench/SafeCab-v0", max_episode_steps=10)
    for engine in ("compiled", "python"):
        found = rlbench.verify(run, env=env, engine=engine)
        assert found.mismatched == (run.lengths >= 10).sum() > 0
        assert {(m.field, m.step) for m in found.mismatches} == {("truncated", 10)}


def test_without_the_generators_state_nothing_can_be_played_again():
    run = trained()
    chunks = run.store.chunks
    run.store.chunks = lambda *a, **k: (dataclasses.replace(chunk, env_rng=None) for chunk in chunks(*a, **k))
    found = rlbench.verify(run)
    assert (found.episodes, found.steps, found.unverifiable) == (0, 0, run.episodes)


def test_what_cannot_be_verified_is_said():
    run = trained()
    with pytest.raises(UsageError, match=f"run {run.id} has the episodes 0 to 59, not 60"):
        rlbench.verify(run, episodes=[3, 60])
    with pytest.raises(UsageError, match="not -1"):
        rlbench.verify(run, episodes=[-1])
    with pytest.raises(StoreError, match="kept figures only"):
        rlbench.verify(trained(record="none"))
    with pytest.raises(UsageError, match="engine='compiled' is not possible"):
        rlbench.verify(trained("FrozenLake-v1"), env=gym.make("Blackjack-v1"), engine="compiled")


def test_an_action_of_another_env_is_refused_before_compiled_code_reads_by_it():
    def spoil(steps, ends):
        steps["actions"][0] = 100

    with pytest.raises(StoreError, match=r"the stored actions are 0 to 100, expected Discrete\(6\)"):
        rlbench.verify(spoilt(trained(), spoil))


# --------------------------------------------------------------------------------------------- differences


def test_equal_runs_part_nowhere():
    found = rlbench.diff(trained(), trained())
    assert (found.settings, found.episode, found.step, found.cause, found.table_entry) == ({}, None, None, None, None)
    assert found.detail == "the same for 60 episodes"


def test_another_seed_draws_another_start():
    found = rlbench.diff(trained(), trained(seed=3))
    assert found.settings == {"seed": (2, 3)}
    assert (found.episode, found.step, found.cause) == (0, 0, "draw")


def test_another_reward_is_found_with_its_setting():
    found = rlbench.diff(trained(), trained(env_kwargs={"step_reward": -2.0}))
    assert (found.episode, found.step, found.cause) == (0, 1, "reward")
    assert "reward -1 in one, -2 in the other" in found.detail
    assert found.settings == {"step_reward": (None, -2.0)}


def test_a_greedy_action_that_differs_points_to_the_tables():
    never = {"exploration_schedule": "constant", "exploration_initial_eps": 0.0}
    one, two = (trained(agent_kwargs={**never, "initial_value": 0.0, "learning_rate": rate}) for rate in (1.0, 0.1))
    found = rlbench.diff(one, two)
    assert found.cause == "action"
    assert "both greedy, so their tables differ at state" in found.detail
    assert found.settings == {"learning_rate": (1.0, 0.1)}
    a, b = (run.store.episodes(run.id)[found.episode] for run in (one, two))
    t = found.step - 1
    assert (a.actions[:t] == b.actions[:t]).all()
    assert a.actions[t] != b.actions[t]
    assert (a.observations[: t + 1] == b.observations[: t + 1]).all()


def test_settings_that_differ_are_named_whatever_the_runs_have_stored():
    a, lake = trained(), trained("FrozenLake-v1", record="none", agent_kwargs={"gamma": 0.5})
    found = rlbench.diff(a, lake)
    assert {"env", "record", "gamma", "map_name"} <= found.settings.keys()
    assert (found.settings["gamma"], found.settings["map_name"]) == (
        (trained().agent.parameters.gamma, 0.5),
        (None, "4x4"),
    )
    assert found.detail == "episodes are not compared: one is of rlbench/SafeCab-v0, the other of FrozenLake-v1"
    silent = trained(record="none")
    found = rlbench.diff(a, silent)
    assert found.settings == {"record": ("all", "none")}
    assert found.detail == f"episodes are not compared: {silent.id} stored no steps"
    never = {"exploration_schedule": "constant", "exploration_initial_eps": 0.0}
    same = [trained(agent_kwargs={**never, "temperature": temperature}) for temperature in (0.5, 0.9)]
    found = rlbench.diff(*same)
    assert (found.settings, found.detail) == ({"temperature": (0.5, 0.9)}, "the same for 60 episodes")


def test_exploration_that_draws_otherwise_is_a_draw():
    one, two = (trained(agent_kwargs={"exploration_decay": decay}) for decay in (5e-5, 5e-2))
    found = rlbench.diff(one, two)
    assert found.cause == "draw"
    assert "exploration drew differently" in found.detail


def test_tables_that_differ_behind_equal_episodes_are_found():
    found = rlbench.diff(trained(episodes=40), trained(episodes=40, agent_kwargs={"gamma": 0.9499}))
    assert found.episode is None
    state, action = found.table_entry
    assert f"the tables differ first at state {state}, action {action}" in found.detail


def test_the_longer_run_goes_on():
    assert rlbench.diff(trained(), trained(episodes=80)).detail.startswith(
        "the same for 60 episodes, then one goes on to 80"
    )


def test_episodes_of_runs_that_kept_no_steps_are_not_compared():
    bare = trained(record="none")
    found = rlbench.diff(bare, trained(agent_kwargs={"gamma": 0.5}))
    assert found.episode is None
    assert found.detail.startswith(f"episodes are not compared: {bare.id} stored no steps")
    assert found.settings["gamma"][1] == 0.5


def test_the_store_is_only_read(monkeypatch):
    run, other = trained(), trained(seed=5)
    for name in ("append", "update_run", "create_run", "claim"):
        monkeypatch.setattr(Store, name, None)
    rlbench.verify(run)
    rlbench.diff(run, other)

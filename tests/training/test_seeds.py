"""The same seed is the same run, also of an env that draws from a generator of its own."""

import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from training.toys import Dice, Replaced, outcome

import rlbench
from rlbench.errors import StoreError
from rlbench.training import recorder

KINDS = tuple(Dice.KINDS)


def gist(run):
    """What a run came to, wherever its chunks are cut."""
    return {name: part for name, part in outcome(run).items() if name != "chunks"}


@pytest.fixture
def dice(monkeypatch):
    """Registered ids of envs that draw from generators of their own."""
    ids = {}
    for name in ("Dice", "Replaced", "Growing"):
        ids[name] = f"toys/{name}-v0"
        monkeypatch.setitem(registry(), ids[name], EnvSpec(ids[name], f"training.toys:{name}"))
    return ids


def registry():
    import gymnasium

    return gymnasium.registry


def in_small_chunks(monkeypatch, steps=20, reserve=6):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", steps)
    monkeypatch.setattr(recorder, "RESERVE", reserve)


@pytest.mark.parametrize("record", ["all", "none"])
@pytest.mark.parametrize("env", [Dice, Replaced])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_trains_the_same_run_whatever_generator_the_env_draws_from(kind, env, record):
    one, other = (rlbench.train(env(kind), episodes=20, seed=3, record=record) for _ in range(2))
    assert gist(one) == gist(other)
    another = rlbench.train(env(kind), episodes=20, seed=4, record=record)
    assert not np.array_equal(one.returns, another.returns)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_evaluates_to_the_same_returns(kind):
    run = rlbench.train(Dice(kind), episodes=5, seed=0)
    one, other = (rlbench.evaluate(run, Dice(kind), episodes=10, seed=7).returns for _ in range(2))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, rlbench.evaluate(run, Dice(kind), episodes=10, seed=8).returns)


@pytest.mark.parametrize("env", [Dice, Replaced])
@pytest.mark.parametrize("kind", KINDS)
def test_an_env_with_a_generator_of_its_own_verifies_from_its_first_reset(kind, env, monkeypatch):
    in_small_chunks(monkeypatch)
    run = rlbench.train(env(kind), episodes=30, seed=1)
    whole = rlbench.verify(run, env=env(kind))
    assert (whole.episodes, whole.mismatched, whole.unverifiable) == (30, 0, 0)
    some = rlbench.verify(run, env=env(kind), episodes=[17, 4])
    assert (some.episodes, some.mismatched, some.unverifiable) == (2, 0, 0)


def test_what_was_recorded_from_a_seeded_reset_on_verifies(monkeypatch):
    env = rlbench.RecordEpisodes(Dice(), None, max_chunk_steps=12)
    for seed in (5, None, None, 6, None):
        env.reset(seed=seed)
        while not env.step(0)[2]:
            pass
    env.flush()
    assert rlbench.verify(env.run, env=Dice()).mismatched == 0
    assert rlbench.verify(env.run, env=Dice(), episodes=[4]).mismatched == 0


def test_a_step_that_was_altered_is_found_in_an_env_with_a_generator_of_its_own(monkeypatch):
    in_small_chunks(monkeypatch)
    run = rlbench.train(Dice(), episodes=30, seed=1)

    class Altered(Dice):
        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, reward + (reward == 9.0), *rest

    found = rlbench.verify(run, env=Altered())
    assert found.mismatched == sum(9.0 in episode.rewards for episode in run.store.episodes(run.id)) > 0


def test_an_episode_of_an_env_with_a_generator_of_its_own_is_reached_from_the_first_reset(dice, monkeypatch):
    from rlbench.viewer.again import begin_stored, play_again

    in_small_chunks(monkeypatch)
    run = rlbench.train(dice["Dice"], episodes=30, seed=1)
    for episode in (run.store.episodes(run.id)[index] for index in (0, 2, 25)):
        env = run.make_env()
        steps = list(play_again(env, episode, lambda env=env, episode=episode: begin_stored(run, env, episode.index)))
        assert steps == list(range(len(episode) + 1))


# ------------------------------------------------------------------ going on


@pytest.fixture
def store(tmp_path):
    with rlbench.open_store(tmp_path / "runs.db") as opened:
        yield opened


@pytest.mark.parametrize("name", ["Dice", "Replaced", "Growing"])
def test_an_env_with_more_than_np_random_is_resumed_by_playing_its_run_again(name, dice, store, monkeypatch):
    in_small_chunks(monkeypatch)
    part = rlbench.train(dice[name], episodes=20, seed=2, store=store)
    resumed = rlbench.resume(part, episodes=35)
    assert gist(resumed) == gist(rlbench.train(dice[name], episodes=35, seed=2))


def test_such_an_env_is_trained_anew_for_a_larger_budget(dice, store):
    rlbench.train(dice["Dice"], episodes=20, seed=2, store=store)
    longer = rlbench.train(dice["Dice"], episodes=35, seed=2, store=store)
    assert longer.cache == "miss"
    assert gist(longer) == gist(rlbench.train(dice["Dice"], episodes=35, seed=2))


@pytest.mark.parametrize("name", ["Dice", "Replaced", "Growing"])
def test_such_an_env_without_stored_steps_is_not_resumed_and_nothing_is_stored(name, dice, store):
    run = rlbench.train(dice[name], episodes=20, seed=2, store=store, record="none")
    with pytest.raises(StoreError, match=rf"run {run.id} cannot be resumed exactly: .* no steps are stored"):
        rlbench.resume(run, episodes=35)
    assert [kept.id for kept in store.runs()] == [run.id]


def test_a_run_that_such_an_env_does_not_repeat_is_not_resumed(dice, store, monkeypatch):
    run = rlbench.train(dice["Dice"], episodes=20, seed=2, store=store)
    monkeypatch.setattr(Dice, "_rolled", lambda env: int(env.rng.random() * 9))
    with pytest.raises(StoreError, match="differ from what is stored; train anew"):
        rlbench.resume(run, episodes=35)


@pytest.mark.parametrize("record", ["all", "none"])
def test_an_env_that_draws_from_np_random_alone_is_resumed_without_its_beginning(record, store, monkeypatch):
    in_small_chunks(monkeypatch, 200, 100)  # no episode is split
    arguments = {"seed": 2, "record": record, "engine": "python"}
    part = rlbench.train("FrozenLake-v1", episodes=60, store=store, **arguments)
    read = store.chunks
    monkeypatch.setattr(store, "chunks", lambda *a, **k: [c for c in read(*a, **k) if c.first_episode or not k])
    resumed = rlbench.resume(part, episodes=90, engine="python")
    monkeypatch.undo()
    assert gist(resumed) == gist(rlbench.train("FrozenLake-v1", episodes=90, **arguments))

"""Learning from stored transitions alone."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
from training.toys import Circle, frozen

import rlbench
from rlbench.agents import AGENTS, QLearning, ReplayQ, register_agent
from rlbench.errors import StoreError, UsageError
from rlbench.store import CUT_OFF, OPEN, TERMINATED, TRUNCATED, EpisodeChunk
from rlbench.store.config import EnvConfig, RunConfig
from rlbench.training import _stored, recorder
from rlbench.training._stored import learn_backwards, learn_minibatches
from rlbench.training.stored import check_range, fill, transitions


def chunk(lengths, ends, observations, actions, rewards):
    return EpisodeChunk(
        first_episode=0,
        first_step=0,
        lengths=np.array(lengths),
        ends=np.array(ends, np.uint8),
        figures={},
        steps={
            "observations": np.array(observations),
            "actions": np.array(actions),
            "rewards": np.array(rewards, float),
        },
    )


TWO_EPISODES = chunk([2, 2], [TERMINATED, TRUNCATED], [0, 1, 2, 0, 1, 0], [0, 1, 1, 0], [1.0, 10.0, 2.0, 3.0])


def test_the_transitions_of_a_chunk_are_its_steps_in_order():
    batch = transitions(TWO_EPISODES)
    assert batch.observations.tolist() == [0, 1, 0, 1]
    assert batch.actions.tolist() == [0, 1, 1, 0]
    assert batch.rewards.tolist() == [1.0, 10.0, 2.0, 3.0]
    assert batch.next_observations.tolist() == [1, 2, 1, 0]
    assert batch.terminations.tolist() == [False, True, False, False]
    assert batch.truncations.tolist() == [False, False, False, True]


def test_what_goes_on_and_what_was_cut_off_is_no_termination():
    batch = transitions(chunk([1, 0, 1], [CUT_OFF, CUT_OFF, OPEN], [0, 1, 2, 3, 4], [0, 0], [0.0, 0.0]))
    assert batch.observations.tolist() == [0, 3]
    assert batch.terminations.tolist() == [False, False]
    assert batch.truncations.tolist() == [True, False]


@pytest.mark.parametrize("learn", [learn_backwards, learn_backwards.py_func], ids=["compiled", "python"])
def test_a_chunk_is_learnt_from_its_last_step_to_its_first(learn, monkeypatch):
    if learn is not learn_backwards:  # plain Python all through: boxed, a word may be too big for an int64
        monkeypatch.setattr(_stored, "words_of", _stored.words_of.py_func)
        monkeypatch.setattr(_stored, "put_words", _stored.put_words.py_func)
    agent = QLearning(3, 2, seed=0, gamma=0.5)
    words = agent.rng.bit_generator.state["state"]["state"].copy()
    steps = TWO_EPISODES.steps
    terminated = TWO_EPISODES.ends == TERMINATED
    arrays = steps["observations"], steps["actions"], steps["rewards"], TWO_EPISODES.lengths, terminated
    largest = learn(agent.learner(), *arrays, 0.5, 0.0, words)
    # (1, 0, 3, -> 0): 0.5 * 3 = 1.5; (0, 1, 2, -> 1): 0.5 * (2 + 0.5 * 1.5) = 1.375; then the terminated episode:
    # (1, 1, 10): 5; (0, 0, 1, -> 1): 0.5 * (1 + 0.5 * 5) = 1.75
    assert agent.q_table.tolist() == [[1.75, 1.375], [1.5, 5.0], [0.0, 0.0]]
    assert largest == 10.0


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_the_error_of_a_pass_of_minibatches_is_that_of_the_whole_buffer(replay):
    agent = ReplayQ(3, 2, seed=0, gamma=0.5, buffer_size=8, batch_size=3, replay=replay)
    agent.buffer.extend(transitions(TWO_EPISODES))
    assert learn_minibatches(agent.learner(), 0, 0.5) == 10.0
    assert learn_minibatches(agent.learner(), 300, 1.0) < 1e-9
    assert learn_minibatches(agent.learner(), 0, 0.5) < 1e-9


@pytest.fixture
def store(tmp_path):
    with rlbench.open_store(tmp_path / "runs.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """Fifty thousand episodes of a random driver."""
    with rlbench.open_store(tmp_path_factory.mktemp("driven") / "runs.db") as opened:
        yield rlbench.train("safecab", "random", episodes=50_000, seed=0, store=opened)


LONG = [pytest.param(name, marks=pytest.mark.long) for name in ("double-q", "dyna-q")]  # a pass to compile each


@pytest.mark.parametrize("agent", ["q-learning", "replay-q", *LONG])
def test_a_random_drivers_episodes_are_enough_for_the_optimum(agent, driven, monkeypatch):
    monkeypatch.setattr("rlbench.envs.SafeCabEnv.step", None)  # not one step of the env
    faster = {"learning_rate": 0.5} if agent == "double-q" else {}
    learnt = rlbench.retrain(driven, agent, agent_kwargs=faster)
    monkeypatch.undo()
    assert learnt.converged
    assert learnt.transitions == driven.timesteps
    found = rlbench.evaluate(learnt.run, seed=0)
    assert (found.regret, found.optimal_states) == (0.0, found.reachable_states)
    record = driven.store.run(learnt.run.id)
    assert (record.parents, record.status, record.timesteps) == ((driven.id,), "finished", 0)
    assert record.config.retraining.env_steps == 0
    again = rlbench.load_run(driven.store, learnt.run.id)
    assert frozen(again.agent.state_dict()) == frozen(learnt.run.agent.state_dict())


@pytest.mark.parametrize(
    ("agent", "own"),
    [
        ("dyna-q", {"planning": "prioritized", "planning_steps": 3}),
        ("replay-q", {"replay": "prioritized", "priority_beta_steps": 10_000}),
    ],
)
def test_other_ways_to_plan_and_replay_learn_from_stored_steps_too(agent, own, store):
    env_kwargs = {"is_slippery": False}
    run = rlbench.train("FrozenLake-v1", "random", episodes=2000, seed=0, store=store, env_kwargs=env_kwargs)
    learnt = rlbench.retrain(run, agent, agent_kwargs={"learning_rate": 1.0, "gamma": 0.9, **own}, passes=50)
    assert rlbench.evaluate(learnt.run, seed=0).regret == 0.0
    again = rlbench.load_run(store, learnt.run.id)
    assert frozen(again.agent.state_dict()) == frozen(learnt.run.agent.state_dict())


def test_episodes_of_different_runs_do_not_run_into_each_other_in_the_buffer(store):
    runs = [rlbench.train("FrozenLake-v1", "random", total_timesteps=9, seed=seed, store=store) for seed in (0, 1)]
    agent = rlbench.retrain(runs, "replay-q", agent_kwargs={"n_step": 3}, passes=1).run.agent
    rows = agent.buffer.rows[: len(agent.buffer)]
    ends = np.cumsum(np.concatenate([run.lengths for run in runs])) - 1
    assert np.flatnonzero(rows["terminated"] | rows["truncated"]).tolist() == ends.tolist()


def test_a_users_off_policy_agent_learns_by_its_own_update_as_the_compiled_one_does(store, monkeypatch):
    monkeypatch.setattr("rlbench.agents.AGENTS", dict(AGENTS))
    monkeypatch.setattr("rlbench.training.retraining.AGENTS", rlbench.agents.AGENTS)

    @register_agent
    class Mine(QLearning):
        name = "mine"

        def update(self, *step):
            super().update(*step)

    assert Mine(2, 2).learner() is None
    run = rlbench.train("FrozenLake-v1", "random", episodes=30, seed=0, store=store)
    own = {"learning_rate": 0.3, "learning_rate_final": 0.1, "learning_rate_steps": 100, "gamma": 0.9}
    mine, ours = (rlbench.retrain(run, agent, passes=3, agent_kwargs=own) for agent in ("mine", "q-learning"))
    assert mine.run.agent.q_table.tobytes() == ours.run.agent.q_table.tobytes()
    assert mine.largest_error == ours.largest_error
    assert mine.run.agent.timesteps == ours.run.agent.timesteps


def test_the_same_seed_learns_the_same(store):
    run = rlbench.train("FrozenLake-v1", "random", episodes=100, seed=0, store=store)
    tables = [rlbench.retrain(run, "replay-q", passes=1, seed=seed).run.agent.q_table.tobytes() for seed in (1, 1, 2)]
    assert tables[0] == tables[1] != tables[2]


def test_many_runs_in_many_stores_are_learnt_from(store):
    one = rlbench.train("FrozenLake-v1", "random", episodes=50, seed=0, store=store)
    two = rlbench.train("FrozenLake-v1", "random", episodes=70, seed=1)
    learnt = rlbench.retrain([one, two], passes=3, tolerance=0.0, store=store)
    assert learnt.transitions == one.timesteps + two.timesteps
    assert learnt.run.record.parents == (one.id, two.id)
    assert (learnt.passes, learnt.converged) == (3, False)


def test_how_a_run_is_cut_into_chunks_does_not_limit_what_is_learnt(monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 64)
    run = rlbench.train("CliffWalking-v1", "random", episodes=400, seed=0, env_kwargs={"max_episode_steps": 90})
    assert len(list(run.store.chunks(run.id))) > 100
    assert rlbench.retrain(run, agent_kwargs={"learning_rate": 1.0, "gamma": 0.9}).converged


def test_a_warm_start_begins_with_the_table_of_the_first_run(store):
    run = rlbench.train("safecab", episodes=2000, seed=0, store=store)
    cold, warm = (rlbench.retrain(run, passes=1, warm_start=warm) for warm in (False, True))
    visited = cold.run.agent.q_table != 0
    assert (warm.run.agent.q_table[~visited] == run.agent.q_table[~visited]).all()
    assert warm.largest_error < cold.largest_error


def test_memory_does_not_grow_with_what_is_stored(driven, monkeypatch):
    held = []
    chunks = driven.store.chunks

    def counted(*args, **kwargs):
        for one in chunks(*args, **kwargs):
            held.append(one.n_steps)
            yield one
            held.pop()

    monkeypatch.setattr(driven.store, "chunks", counted)
    assert rlbench.retrain(driven, passes=1).transitions == driven.timesteps
    assert held == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"agent": "random"}, "random cannot learn from what others did"),
        ({"agent": "sarsa"}, "sarsa cannot learn .* retrain q-learning, double-q, dyna-q or replay-q"),
        ({"agent": "q-lerning"}, "did you mean q-learning"),
        ({"passes": 0}, "passes must be a whole number"),
        ({"passes": 1.5}, "passes must be a whole number"),
        ({"tolerance": float("nan")}, "tolerance must be 0 or more"),
        ({"tolerance": -1.0}, "tolerance must be 0 or more"),
        ({"agent_kwargs": {"gama": 1}}, "did you mean gamma"),
        ({"preset": "bok"}, "did you mean book"),
    ],
)
def test_a_mistake_is_answered_and_nothing_is_stored(arguments, message, store):
    run = rlbench.train("safecab", episodes=5, seed=0, store=store)
    with pytest.raises(UsageError, match=message):
        rlbench.retrain(run, **arguments)
    assert len(store.runs()) == 1


def test_what_cannot_be_learnt_from_is_said(store):
    with pytest.raises(UsageError, match="at least one run"):
        rlbench.retrain([])
    figures = rlbench.train("safecab", episodes=5, seed=0, store=store, record="none")
    with pytest.raises(UsageError, match="kept figures only"):
        rlbench.retrain(figures)
    one, two = (rlbench.train(env, episodes=5, seed=0, store=store) for env in ("safecab", "FrozenLake-v1"))
    with pytest.raises(UsageError, match="different envs"):
        rlbench.retrain([one, two])
    empty = store.create_run("rlbench/SafeCab-v0", "random", seed=0, config=one.record.config)
    with pytest.raises(UsageError, match="hold no transitions"):
        rlbench.retrain(rlbench.load_run(store, empty.id))
    random = rlbench.train("safecab", "random", episodes=5, seed=0, store=store)
    with pytest.raises(UsageError, match="is of random, which keeps no values"):
        rlbench.retrain(random, warm_start=True)


def test_numbers_of_another_env_are_refused_before_compiled_code_reads_by_them(store):
    run = rlbench.train("safecab", episodes=5, seed=0, store=store)
    chunks = run.store.chunks

    def damaged(*args, **kwargs):
        for one in chunks(*args, **kwargs):
            steps = {**one.steps, "actions": one.steps["actions"].copy()}
            steps["actions"][3] = 6
            yield dataclasses.replace(one, steps=steps)

    store.chunks = damaged
    with pytest.raises(StoreError, match="a stored action is 6, expected 0 to 5"):
        rlbench.retrain(run)
    with pytest.raises(StoreError, match="a stored thing is -1"):
        check_range("thing", np.array([0, -1]), 4)


def test_observations_that_are_not_discrete_are_refused(store):
    env = gym.make("CartPole-v1")
    run = store.create_run(
        "FrozenLake-v1",
        "random",
        seed=0,
        config=RunConfig(env=EnvConfig("FrozenLake-v1", gym.make("FrozenLake-v1").spec.to_json()), record="all"),
    )
    observations = np.stack([env.reset(seed=0)[0]] * 3)
    steps = {"observations": observations, "actions": np.zeros(2, int), "rewards": np.ones(2)}
    store.append(run.id, EpisodeChunk(0, 0, np.array([2]), np.array([TERMINATED], np.uint8), {}, steps))
    with pytest.raises(UsageError, match="holds observations that are not Discrete"):
        rlbench.retrain(rlbench.load_run(store, run.id))


def test_the_steps_of_an_env_object_without_a_spec_are_learnt_from_all_the_same():
    run = rlbench.retrain(rlbench.train(Circle(), "random", episodes=3, seed=0)).run
    assert run.agent.q_table.shape == (5, 2)
    with pytest.raises(StoreError, match="cannot make Circle again"):
        rlbench.evaluate(run)


def test_a_buffer_is_filled_from_stored_runs(store):
    runs = [rlbench.train("FrozenLake-v1", "random", episodes=20, seed=seed, store=store) for seed in (0, 1)]
    buffer = rlbench.buffers.ReplayBuffer(10_000, gym.spaces.Discrete(16), gym.spaces.Discrete(4), seed=0)
    assert fill(buffer, runs) == len(buffer) == sum(run.timesteps for run in runs)
    assert buffer.rows["terminated"][: len(buffer)].sum() == sum(
        episode.terminated for run in runs for episode in store.episodes(run.id)
    )
    figures = rlbench.train("FrozenLake-v1", episodes=5, seed=0, store=store, record="none")
    with pytest.raises(StoreError, match="kept figures only"):
        fill(buffer, figures)


def test_no_return_of_several_steps_goes_from_a_run_that_broke_off_into_the_next(store):
    broken = store.create_run("corridor", "random", seed=0)
    store.append(broken.id, chunk([3], [OPEN], [0, 0, 0, 0], [0, 0, 0], [1.0, 1.0, 1.0]))
    whole = store.create_run("corridor", "random", seed=0)
    store.append(whole.id, chunk([2], [TERMINATED], [0, 0, 0], [0, 0], [100.0, 100.0]))
    buffer = rlbench.buffers.ReplayBuffer(
        10, gym.spaces.Discrete(2), gym.spaces.Discrete(2), n_step=3, gamma=1.0, seed=0
    )
    buffer.add(0, 0, 10_000.0, 0, False)
    assert fill(buffer, [rlbench.load_run(store, run.id) for run in (broken, whole, broken)]) == 8
    buffer.add(0, 0, 10_000.0, 0, False)
    # sums of up to three rewards of one run, or of what was there before and came after
    assert set(buffer.sample(2000).rewards.tolist()) == {10_000.0, 3.0, 2.0, 1.0, 200.0, 100.0}

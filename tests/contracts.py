"""The contracts: what every env, agent, buffer and store must pass, run over the registries."""

import dataclasses
import json
import math
import re
from datetime import datetime

import gymnasium as gym
import hypothesis.strategies as st
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from rlbench.buffers import Batch
from rlbench.envs.cities import City
from rlbench.errors import StoreError, UsageError
from rlbench.store import (
    BOTH,
    CUT_OFF,
    OPEN,
    TERMINATED,
    TRUNCATED,
    Checkpoint,
    EpisodeChunk,
)

# ---------------------------------------------------------------- environments


@st.composite
def cities(draw):
    """A city of up to 6 x 6 squares with any zones, anomalies and walls."""
    rows, cols = draw(st.sampled_from([(r, c) for r in range(1, 7) for c in range(1, 7) if r * c >= 2]))
    squares = [(r, c) for r in range(rows) for c in range(cols)]
    shuffled = draw(st.permutations(squares))
    capitals = st.sampled_from("BCDEFGHIJKLMNOPQRSTUVWXYZ")
    letters = draw(st.lists(capitals, unique=True, min_size=2, max_size=len(squares)))
    n_anomalies = draw(st.integers(0, len(squares) - len(letters)))
    places = sorted(shuffled[: len(letters)])
    return City(
        rows,
        cols,
        tuple((letter, *at) for letter, at in zip(letters, places, strict=True)),
        tuple(sorted(shuffled[len(letters) : len(letters) + n_anomalies])),
        tuple(sorted(draw(st.sets(st.sampled_from(squares))) - {(r, cols - 1) for r in range(rows)})),
    )


def _steps(env, seed, n=500):
    """Random steps from one seed: (mask before, observation before, action, what step returned)."""
    dice = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    for _ in range(n):
        action = int(dice.integers(env.action_space.n))
        result = env.step(action)
        yield info.get("action_mask"), observation, action, result
        observation, _, terminated, truncated, info = result
        if terminated or truncated:
            observation, info = env.reset()


def it_keeps_the_promises_of_gymnasium(env_id):
    check_env(gym.make(env_id).unwrapped, skip_render_check=True)


def the_same_seed_and_actions_give_the_same_steps(env_id):
    told = [[(s, *result[:4]) for _, s, _, result in _steps(gym.make(env_id), 3)] for _ in range(2)]
    assert told[0] == told[1]


def another_seed_starts_elsewhere(env_id):
    env = gym.make(env_id)
    assert len({tuple(result[0] for _, _, _, result in _steps(env, seed, 20)) for seed in range(5)}) > 1


def its_spec_survives_json(env_id):
    env = gym.make(env_id)
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec == env.spec
    told = [[(s, *result[:4]) for _, s, _, result in _steps(e, 4, 100)] for e in (env, again)]
    assert told[0] == told[1]


def its_steps_are_plain_python_numbers(env_id):
    for _, _, _, (observation, reward, terminated, truncated, _) in _steps(gym.make(env_id), 5, 50):
        assert (type(observation), type(reward)) == (int, float)
        assert (type(terminated), type(truncated)) == (bool, bool)


def its_action_mask_marks_the_actions_that_change_the_state(env_id):
    env = gym.make(env_id)
    for mask, before, action, (after, *_) in _steps(env, 6, 2000):
        if mask is not None:
            assert (mask.dtype, mask.shape) == (np.int8, (env.action_space.n,))
            assert bool(mask[action]) == (after != before)


def it_says_what_a_success_is(env_id):
    env = gym.make(env_id)
    judge = getattr(env.unwrapped, "is_success", None)
    if judge is None:
        assert env.spec.reward_threshold is not None
        return
    for _, _, _, (_, reward, terminated, _, info) in _steps(env, 7, 5000):
        assert info["is_success"] is judge(reward, terminated)


def a_step_before_the_first_reset_is_refused(env_id):
    with pytest.raises(gym.error.ResetNeeded):
        gym.make(env_id).unwrapped.step(0)


def an_action_outside_the_space_is_refused(env_id):
    env = gym.make(env_id).unwrapped
    env.reset(seed=0)
    for action in (-1, int(env.action_space.n)):
        with pytest.raises(gym.error.InvalidAction):
            env.step(action)


ENV_CHECKS = [
    it_keeps_the_promises_of_gymnasium,
    the_same_seed_and_actions_give_the_same_steps,
    another_seed_starts_elsewhere,
    its_spec_survives_json,
    its_steps_are_plain_python_numbers,
    its_action_mask_marks_the_actions_that_change_the_state,
    it_says_what_a_success_is,
    a_step_before_the_first_reset_is_refused,
    an_action_outside_the_space_is_refused,
]

# ---------------------------------------------------------------- agents


def _taught(agent_class, seed, *, steps=60):
    """An agent for 3 states and 2 actions after some steps, ends of both kinds among them."""
    agent = agent_class(3, 2, seed=seed)
    dice = np.random.default_rng(7)
    s = 0
    for t in range(steps):
        a, s_next = agent.act(s), int(dice.integers(3))
        agent.update(s, a, float(dice.normal()), s_next, t % 11 == 10)
        s = s_next
        if t % 11 == 10 or t % 17 == 16:
            agent.end_episode()
    return agent


def _same_state(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def actions_are_plain_ints_within_the_space(agent_class):
    agent = agent_class(3, 2, seed=0)
    drawn = [agent.act(s % 3, explore=s % 2 == 0) for s in range(50)]
    assert all(type(action) is int and 0 <= action < 2 for action in drawn)


def the_same_seed_makes_the_same_agent(agent_class):
    assert _same_state(_taught(agent_class, 5).state_dict(), _taught(agent_class, 5).state_dict())


def the_greedy_action_of_a_learner_draws_nothing(agent_class):
    agent = agent_class(3, 2, seed=0)
    if agent.greedy_policy() is None:
        return
    before = agent.state_dict()
    agent.act(0, explore=False)
    assert _same_state(agent.state_dict(), before)


def a_stored_state_goes_on_as_if_nothing_had_happened(agent_class):
    first = _taught(agent_class, 5)
    second = agent_class(3, 2, seed=99)
    second.load_state_dict(first.state_dict())
    assert _same_state(second.state_dict(), first.state_dict())
    for agent in (first, second):
        for t in range(40):
            agent.update(t % 3, agent.act(t % 3), 1.0, (t + 1) % 3, t % 5 == 4)
    assert _same_state(second.state_dict(), first.state_dict())


def a_state_is_plain_arrays_and_json(agent_class):
    state = _taught(agent_class, 1).state_dict()
    json.dumps({name: value for name, value in state.items() if not isinstance(value, np.ndarray)})
    assert all(value.dtype != object for value in state.values() if isinstance(value, np.ndarray))


def it_counts_steps_and_episodes(agent_class):
    agent = _taught(agent_class, 1, steps=22)
    assert (agent.timesteps, agent.episodes) == (22, 3)


def the_global_generator_is_left_alone(agent_class):
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - it is this one that must not move
    _taught(agent_class, None)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


AGENT_CHECKS = [
    actions_are_plain_ints_within_the_space,
    the_same_seed_makes_the_same_agent,
    the_greedy_action_of_a_learner_draws_nothing,
    a_stored_state_goes_on_as_if_nothing_had_happened,
    a_state_is_plain_arrays_and_json,
    it_counts_steps_and_episodes,
    the_global_generator_is_left_alone,
]

# ---------------------------------------------------------------- buffers


def _filled(buffer_class, seed, n=10, capacity=7):
    buffer = buffer_class(capacity, spaces.Discrete(50), spaces.Discrete(4), seed=seed)
    for i in range(n):
        buffer.add(i, i % 4, i / 2, i + 1, i % 3 == 0, i % 5 == 0)
    return buffer


def _same_batch(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def it_holds_no_more_than_its_capacity(buffer_class):
    sizes = [len(_filled(buffer_class, 0, n)) for n in (0, 3, 7, 20)]
    assert sizes == [0, 3, 7, 7]
    assert _filled(buffer_class, 0).capacity == 7


def the_same_seed_and_history_sample_alike(buffer_class):
    assert _same_batch(_filled(buffer_class, 4).sample(32), _filled(buffer_class, 4).sample(32))


def a_sample_is_made_of_transitions_that_were_added(buffer_class):
    batch = _filled(buffer_class, 1).sample(64)
    i = batch.observations
    assert ((i >= 3) & (i < 10)).all()
    assert (batch.actions == i % 4).all()
    assert (batch.rewards == i / 2).all()
    assert (batch.next_observations == i + 1).all()
    assert (batch.terminations == (i % 3 == 0)).all()
    assert (batch.truncations == (i % 5 == 0)).all()


def extending_is_adding_one_by_one(buffer_class):
    one_by_one, at_once = _filled(buffer_class, 2), _filled(buffer_class, 2, 4)
    i = np.arange(4, 10)
    at_once.extend(Batch(i, i % 4, i / 2, i + 1, i % 3 == 0, i % 5 == 0))
    assert _same_batch(one_by_one.sample(50), at_once.sample(50))


def a_stored_buffer_goes_on_as_if_nothing_had_happened(buffer_class):
    first, second = _filled(buffer_class, 3), _filled(buffer_class, 8, 0)
    second.load_state_dict(first.state_dict())
    for buffer in (first, second):
        buffer.add(40, 1, 1.0, 41, False, False)
    assert _same_batch(first.sample(50), second.sample(50))


BUFFER_CHECKS = [
    it_holds_no_more_than_its_capacity,
    the_same_seed_and_history_sample_alike,
    a_sample_is_made_of_transitions_that_were_added,
    extending_is_adding_one_by_one,
    a_stored_buffer_goes_on_as_if_nothing_had_happened,
]

# ---------------------------------------------------------------- stores


def make_chunk(first_episode, lengths, *, first_step=0, last_end=TERMINATED, steps=True):
    """A chunk whose numbers tell where they belong: observation 1000 * episode + step, reward -step."""
    lengths, ends = np.array(lengths), np.full(len(lengths), TERMINATED, np.uint8)
    ends[-1] = last_end
    begun = [first_step] + [0] * (len(lengths) - 1)
    index = [
        1000 * (first_episode + i) + np.arange(b, b + n + 1)
        for i, (b, n) in enumerate(zip(begun, lengths, strict=True))
    ]
    whole = (lengths + begun)[ends != OPEN]
    return EpisodeChunk(
        first_episode,
        first_step,
        lengths,
        ends,
        {"return": -np.array([(n * (n - 1)) / 2 for n in whole]), "length": whole},
        {
            "observations": np.concatenate(index),
            "actions": np.concatenate([i[:-1] % 3 for i in index]).astype(np.int16),
            "rewards": np.concatenate([-(i[:-1] % 1000.0) for i in index]),
            "explored": np.concatenate([i[:-1] % 2 == 0 for i in index]),
        }
        if steps
        else None,
        {"bit_generator": "PCG64", "state": {"state": 2**127 + 1, "inc": 3}},
    )


class StoreContract:
    """What every store must do; inherit it, and give a fixture `store` that yields an empty one."""

    @pytest.fixture
    def run(self, store):
        return store.create_run("Taxi-v4", "q-learning", seed=2**100, config={"gamma": np.float64(0.5)})

    # -- runs

    def test_a_new_run_is_running_and_empty(self, store, run):
        assert store.run(run.id) == run
        assert re.fullmatch("[0-9a-f]{12}", run.id)
        assert (run.env_id, run.agent_name, run.seed) == ("Taxi-v4", "q-learning", 2**100)
        assert (run.status, run.episodes, run.timesteps, run.seconds) == ("running", 0, 0, 0.0)
        assert (run.config, run.evaluation, run.tags, run.parents) == ({"gamma": 0.5}, None, (), ())
        assert datetime.fromisoformat(run.created_at).utcoffset().total_seconds() == 0
        assert store.figures(run.id)["return"].shape == (0,)
        assert len(store.episodes(run.id)) == 0
        assert store.checkpoint(run.id) is None
        assert store.checkpoints(run.id) == []

    def test_a_run_is_found_by_the_beginning_of_its_id_and_as_latest(self, store, run):
        assert store.run(run.id[:6].upper()) == run
        newer = store.create_run("CartPole-v1", "random", seed=1)
        assert store.run("latest") == newer

    def test_an_ambiguous_beginning_names_runs_that_fit(self, store):
        ids = [store.create_run("Taxi-v4", "random", seed=i).id for i in range(17)]  # 16 first digits
        first = next(digit for digit in "0123456789abcdef" if sum(i.startswith(digit) for i in ids) > 1)
        with pytest.raises(StoreError, match=rf"run '{first}' is ambiguous, it could be {first}\w+ or {first}\w+"):
            store.run(first)

    @pytest.mark.parametrize("ref", ["ffffffffffff", "' OR 1=1 --", "$where", "", "%", "best", "0" * 13])
    def test_an_unknown_run_is_a_clear_error(self, store, run, ref):
        with pytest.raises(StoreError, match="there is no run"):
            store.run(ref)

    @pytest.mark.parametrize("ask", ["run", "figures", "episodes", "chunks", "checkpoint", "checkpoints", "delete_run"])
    def test_an_empty_store_says_how_to_start_a_run(self, store, ask):
        with pytest.raises(StoreError, match="has no runs yet: start one with `rlbench train safecab`"):
            getattr(store, ask)("latest")

    def test_runs_are_listed_newest_first_and_filtered(self, store):
        made = [
            store.create_run(env, agent, seed=0, tags=tags)
            for env in ("a", "b")
            for agent, tags in (("x", ["t", "'; DROP TABLE runs"]), ("y", ()))
        ]
        store.update_run(made[3].id, status="finished")
        assert [run.id for run in store.runs()] == [run.id for run in reversed(made)]
        assert [run.id for run in store.runs(env_id="a")] == [made[1].id, made[0].id]
        assert [run.id for run in store.runs(agent_name="x", limit=np.int64(1))] == [made[2].id]
        assert [run.id for run in store.runs(status="finished")] == [made[3].id]
        assert [run.id for run in store.runs(tag="'; DROP TABLE runs", env_id="a")] == [made[0].id]
        assert store.runs(env_id="' OR 1=1 --") == []

    def test_a_run_is_updated_field_by_field(self, store, run):
        changed = store.update_run(
            run.id,
            status="finished",
            tags=["x"],
            parents=[run.id],
            evaluation={"mean_return": np.float32(2)},
            episodes=np.int64(5),
            timesteps=7,
            seconds=1,
        )
        assert changed == store.run(run.id)
        assert (changed.status, changed.tags, changed.parents) == ("finished", ("x",), (run.id,))
        assert (changed.episodes, changed.timesteps, changed.seconds) == (5, 7, 1.0)
        assert changed.evaluation == {"mean_return": 2.0}
        assert changed.config == run.config

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"stats": 1}, "unknown field of a run 'stats'; did you mean status"),
            ({"status": "over"}, "unknown status 'over'"),
            ({"episodes": -1}, "from 0, got -1"),
            ({"config": {"env": object()}}, "holds JSON only"),
            ({"tags": "word"}, "lists of strings, got 'word'"),
        ],
    )
    def test_a_bad_change_is_refused_and_changes_nothing(self, store, run, changes, complaint):
        with pytest.raises(UsageError, match=complaint):
            store.update_run(run.id, seconds=9.0, **changes)
        assert store.run(run.id) == run

    def test_a_deleted_run_is_gone_and_its_neighbour_is_not(self, store, run):
        other = store.create_run("Taxi-v4", "random", seed=1)
        for each in (run, other):
            store.append(each.id, make_chunk(0, [2, 3]), Checkpoint(2, 5, {"q": np.ones(3)}))
        store.delete_run(run.id)
        assert [each.id for each in store.runs()] == [other.id]
        assert len(store.episodes(other.id)) == 2
        with pytest.raises(StoreError, match="there is no run"):
            store.append(run.id, make_chunk(0, [1]))

    # -- chunks and episodes

    def test_a_chunk_comes_back_as_it_went_in(self, store, run):
        chunk = make_chunk(0, [3, 1, 2], last_end=OPEN)
        store.append(run.id, chunk, seconds=0.5)
        [back] = store.chunks(run.id)
        assert (back.first_episode, back.first_step, back.env_rng) == (0, 0, chunk.env_rng)
        pairs = [(back.steps[name], chunk.steps[name]) for name in chunk.steps]
        pairs += [(back.figures[name], chunk.figures[name]) for name in chunk.figures]
        for got, put in [*pairs, (back.lengths, chunk.lengths), (back.ends, chunk.ends)]:
            assert got.dtype == put.dtype
            assert np.array_equal(got, put)
        stored = store.run(run.id)
        assert (stored.episodes, stored.timesteps, stored.seconds) == (2, 6, 0.5)

    def test_an_episode_holds_its_steps_and_one_more_observation(self, store, run):
        store.append(run.id, make_chunk(0, [2, 3]))
        episode = store.episodes(run.id)[1]
        assert episode.index == 1
        assert episode.observations.tolist() == [1000, 1001, 1002, 1003]
        assert episode.actions.tolist() == [1, 2, 0]
        assert episode.rewards.tolist() == [0.0, -1.0, -2.0]
        assert episode.rewards.dtype == np.float64
        assert episode.explored.tolist() == [True, False, True]
        assert (episode.terminated, episode.truncated) == (True, False)
        assert (episode.total_return, episode.length, len(episode)) == (-3.0, 3, 3)

    @pytest.mark.parametrize(
        ("end", "flags"),
        [
            (TERMINATED, (True, False)),
            (TRUNCATED, (False, True)),
            (BOTH, (True, True)),
            (CUT_OFF, (False, False)),
        ],
    )
    def test_every_way_to_end_an_episode_survives(self, store, run, end, flags):
        store.append(run.id, make_chunk(0, [4], last_end=end))
        episode = store.episodes(run.id)[0]
        assert (episode.terminated, episode.truncated) == flags

    def test_a_long_episode_over_three_chunks_reads_as_one(self, store, run):
        store.append(run.id, make_chunk(0, [2, 4], last_end=OPEN))
        assert len(store.episodes(run.id)) == 1
        store.append(run.id, make_chunk(1, [5], first_step=4, last_end=OPEN))
        store.append(run.id, make_chunk(1, [1, 2], first_step=9))
        assert [len(episode) for episode in store.episodes(run.id)] == [2, 10, 2]
        assert store.episodes(run.id)[1].observations.tolist() == list(range(1000, 1011))
        assert store.episodes(run.id)[1].rewards.tolist() == [-float(step) for step in range(10)]
        assert store.figures(run.id)["length"].tolist() == [2, 10, 2]

    def test_episodes_are_a_lazy_sequence(self, store, run):
        for first in (0, 3, 6):
            store.append(run.id, make_chunk(first, [1, 2, 3]))
        episodes = store.episodes(run.id)
        assert len(episodes) == 9
        assert [episode.index for episode in episodes] == list(range(9))
        assert episodes[-1].index == episodes[np.int64(8)].index == 8
        assert [episode.index for episode in episodes[7:2:-2]] == [7, 5, 3]
        assert [episode.index for episode in store.episodes(run.id, [8, 0, -2])] == [8, 0, 7]
        assert [episode.index for episode in store.episodes(run.id, slice(-2, None))] == [7, 8]

    @pytest.mark.parametrize("index", [3, -4, 2**70])
    def test_an_episode_out_of_range_says_how_many_there_are(self, store, run, index):
        store.append(run.id, make_chunk(0, [1, 2, 3]))
        with pytest.raises(IndexError, match=rf"no episode {index} in run {run.id}: there are 3 \(0 to 2\)"):
            store.episodes(run.id)[index]
        with pytest.raises(IndexError):
            store.episodes(run.id, [0, index])

    def test_changing_an_episode_changes_no_other_reading(self, store, run):
        store.append(run.id, make_chunk(0, [3]))
        episodes = store.episodes(run.id)
        episodes[0].rewards[:] = 7
        assert episodes[0].rewards.tolist() == [0, -1, -2]

    def test_figures_alone_are_kept_when_steps_are_not(self, store, run):
        store.append(run.id, make_chunk(0, [2, 3], steps=False))
        store.append(run.id, make_chunk(2, [4], steps=False))
        assert store.figures(run.id)["length"].tolist() == [2, 3, 4]
        assert store.figures(run.id)["return"].tolist() == [-1, -3, -6]
        assert len(store.episodes(run.id)) == 3
        with pytest.raises(StoreError, match="kept figures only, not episode 2: train with record='all'"):
            store.episodes(run.id)[2]

    def test_parts_of_observations_read_as_a_dict(self, store, run):
        steps = {
            "observations/x": np.arange(3),
            "observations/y": np.ones((3, 2)),
            "rewards": np.zeros(2),
            "actions": np.zeros(2),
        }
        store.append(run.id, EpisodeChunk(0, 0, np.array([2]), np.array([1], np.uint8), {}, steps))
        observations = store.episodes(run.id)[0].observations
        assert {name: rows.shape for name, rows in observations.items()} == {"x": (3,), "y": (3, 2)}

    def test_a_chunk_out_of_order_is_refused_and_adds_nothing(self, store, run):
        store.append(run.id, make_chunk(0, [2, 3], last_end=OPEN))
        for wrong in (
            make_chunk(0, [2]),
            make_chunk(1, [2]),
            make_chunk(2, [2]),
            make_chunk(1, [2], first_step=2),
        ):
            with pytest.raises(UsageError, match="must begin at episode 1, step 3, got"):
                store.append(run.id, wrong, Checkpoint(9, 9, {}), status="finished")
        assert store.run(run.id).status == "running"
        assert store.checkpoint(run.id) is None
        assert len(list(store.chunks(run.id))) == 1

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"lengths": np.array([], np.int64), "ends": np.array([], np.uint8)}, "at least one segment"),
            ({"ends": np.array([1], np.uint8)}, "its ends must be 2 codes"),
            ({"ends": np.array([1, 5], np.uint8)}, "its ends must be 2 codes"),
            ({"ends": np.array([0, 1], np.uint8)}, "only its last segment"),
            ({"figures": {"return": np.zeros(3)}}, "figure 'return' must have 2 rows, got shape"),
            ({"steps": {"rewards": np.zeros(6)}}, "column 'rewards' must have 5 rows"),
            (
                {"steps": {"rewards": np.zeros(5), "observations": np.zeros(6)}},
                "'observations' must have 7 rows",
            ),
            ({"steps": {"actions": np.zeros(5)}}, "must have a column 'rewards'"),
            ({"steps": {"rewards": np.array([None] * 5)}}, "must hold numbers or bools, got dtype object"),
        ],
    )
    def test_a_malformed_chunk_is_refused_and_adds_nothing(self, store, run, change, complaint):
        with pytest.raises(UsageError, match=complaint):
            store.append(run.id, dataclasses.replace(make_chunk(0, [2, 3]), **change))
        assert store.run(run.id) == run
        assert list(store.chunks(run.id)) == []

    # -- checkpoints

    def test_a_checkpoint_survives_exactly(self, store, run):
        q = np.random.default_rng(0).normal(size=(50, 6))
        numbers = {"state": 2**127 + 5, "rate": 0.1 + 0.2, "worst": -math.inf, "empty": [], "none": None}
        store.append(run.id, checkpoint=Checkpoint(10, 140, {"q": q, "mask": q > 0}, numbers))
        back = store.checkpoint("latest")
        assert (back.episodes, back.timesteps, back.numbers) == (10, 140, numbers)
        assert back.arrays["q"].tobytes() == q.tobytes()
        assert np.array_equal(back.arrays["mask"], q > 0)

    def test_only_the_last_checkpoint_is_kept_unless_asked(self, store, run):
        for episodes, keep in ((1, False), (2, True), (3, False), (4, False)):
            checkpoint = Checkpoint(episodes, 10 * episodes, {"q": np.full(3, episodes)})
            store.append(run.id, checkpoint=checkpoint, keep=keep)
        assert [(info.episodes, info.kept) for info in store.checkpoints(run.id)] == [(2, True), (4, False)]
        assert store.checkpoint(run.id).episodes == 4
        assert store.checkpoint(run.id, episodes=3).arrays["q"].tolist() == [2, 2, 2]
        assert store.checkpoint(run.id, episodes=1) is None

    def test_a_chunk_a_checkpoint_and_progress_go_in_together(self, store, run):
        store.append(run.id, make_chunk(0, [5]), Checkpoint(1, 5, {}), status="finished", seconds=2.0)
        assert [(info.episodes, info.timesteps, info.chunks) for info in store.checkpoints(run.id)] == [(1, 5, 1)]
        stored = store.run(run.id)
        assert (stored.episodes, stored.timesteps, stored.status, stored.seconds) == (1, 5, "finished", 2.0)

    # -- the store itself

    def test_it_never_shows_a_password(self, store):
        assert "secret" not in repr(store) + store.url

    def test_after_closing_it_fails_clearly(self, store):
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.runs()

import json
import os
import subprocess
import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import recorded
from gymnasium import spaces

from rlbench.errors import StoreError, UsageError
from rlbench.random_state import generator_state
from rlbench.replaying import verify
from rlbench.store import CUT_OFF, OPEN, TERMINATED, TRUNCATED, open_store
from rlbench.store.columns import flatten
from rlbench.training import recording
from rlbench.training.recording import RecordEpisodes

NESTED = spaces.Dict(
    {
        "where": spaces.Box(-np.inf, np.inf, (2,), np.float32),
        "pair": spaces.Tuple((spaces.Discrete(4, start=-1), spaces.MultiBinary(3))),
    }
)
SPACES = [
    spaces.Discrete(7),
    spaces.Box(-1.0, 1.0, (3,), np.float32),
    spaces.Box(-1.0, 1.0, (), np.float64),
    spaces.Box(0, 255, (4, 4, 3), np.uint8),
    spaces.MultiDiscrete([3, 4]),
    spaces.MultiBinary(5),
    NESTED,
]


class Walk(gym.Env):
    """Gives what its spaces sample and random rewards, for episodes of 1 to 6 steps; remembers all of it."""

    def __init__(self, observation_space=SPACES[0], action_space=SPACES[0], rewards=None):
        self.observation_space, self.action_space = observation_space, action_space
        self.rewards = rewards
        self.lived = []
        self.is_closed = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.left = int(self.np_random.integers(1, 7))
        observation = self.observation_space.sample()
        self.lived.append({"observations": [observation], "actions": [], "rewards": [], "ends": (False, False)})
        return observation, {"options": options}

    def step(self, action):
        self.left -= 1
        observation, reward = self.observation_space.sample(), float(self.np_random.normal())
        if self.rewards is not None:
            reward = self.rewards[sum(len(episode["actions"]) for episode in self.lived)]
        ends = (self.left == 0, bool(self.left == 0 and self.np_random.random() < 0.5))
        episode = self.lived[-1]
        episode["observations"].append(observation)
        episode["actions"].append(action)
        episode["rewards"].append(reward)
        episode["ends"] = ends
        return observation, reward, *ends, {}

    def close(self):
        self.is_closed = True


class Count(gym.Env):
    """Counts its steps, which are all the same; ends after `length` of them."""

    observation_space, action_space = spaces.Discrete(10_000), spaces.Discrete(2)

    def __init__(self, length=4, rewards=None):
        self.length, self.rewards = length, rewards

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n = 0
        return 0, {}

    def step(self, action):
        self.n += 1
        return self.n, self.rewards[self.n - 1] if self.rewards else 1.0, self.n == self.length, False, {}


def play(env, episodes, *, seed=0):
    """Plays episodes with random actions."""
    env.action_space.seed(seed)
    for episode in range(episodes):
        env.reset(seed=seed if episode == 0 else None)
        is_over = False
        while not is_over:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            is_over = terminated or truncated
    return env


def walk(env, steps):
    """Takes so many steps in an episode that has begun."""
    for _ in range(steps):
        env.step(0)


def columns_of(space, values, name):
    """What values of a space must look like when they are read back: {part: array}."""
    flat = [flatten(space, value, name) for value in values]
    return {part: np.array([row[part] for row in flat]) for part in (flat[0] if flat else {})}


def read(tree, name):
    """The columns of an episode's observations or actions."""
    return {f"{name}/{part}": column for part, column in tree.items()} if isinstance(tree, dict) else {name: tree}


def equal(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def check_stored(env, store, run_id):
    """Every episode that was lived is stored in every bit."""
    episodes = store.episodes(run_id)
    assert len(episodes) == len(env.lived)
    for found, lived in zip(episodes, env.lived, strict=True):
        for name, space in (("observations", env.observation_space), ("actions", env.action_space)):
            expected, tree = columns_of(space, lived[name], name), read(getattr(found, name), name)
            assert expected.keys() == tree.keys()
            assert all(equal(tree[part], column) for part, column in expected.items())
        assert found.rewards.tolist() == lived["rewards"]
        assert (found.terminated, found.truncated) == lived["ends"]


def chunks_of(run):
    return list(run.store.chunks(run.id))


@pytest.fixture
def kept():
    with open_store("memory://") as store:
        yield store


# ---------------------------------------------------------------------- what is stored


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("backend", ["memory", "sqlite"])
def test_episodes_are_read_back_as_they_were_stepped(space, backend, tmp_path):
    env = Walk(space, space)
    url = "memory://" if backend == "memory" else tmp_path / "runs.db"
    with open_store(url) as store:
        with RecordEpisodes(env, store, max_chunk_steps=16) as recorded:
            play(recorded, 12)
        if backend == "memory":
            check_stored(env, store, recorded.run_id)
            assert len(chunks_of(recorded.run)) > 1
    if backend == "sqlite":
        with open_store(url) as store:
            check_stored(env, store, recorded.run_id)


def test_what_passes_through_is_not_changed(kept):
    env = Walk(NESTED, NESTED)
    recorded = RecordEpisodes(env, kept)
    observation, info = recorded.reset(seed=1, options={"a": 1})
    assert observation is env.lived[0]["observations"][0]
    assert info == {"options": {"a": 1}}
    action = NESTED.sample()
    observation, reward, *_ = recorded.step(action)
    assert env.lived[0]["actions"][0] is action
    assert observation is env.lived[0]["observations"][1]
    assert reward == env.lived[0]["rewards"][0]
    assert recorded.observation_space is env.observation_space
    recorded.close()


def test_an_array_that_the_env_uses_again_is_stored_as_it_was(kept):
    class Reusing(Count):
        observation_space = spaces.Box(0, 9, (1,), np.float64)
        shared = np.zeros(1)

        def reset(self, **arguments):
            super().reset(**arguments)
            self.shared[:] = 0
            return self.shared, {}

        def step(self, action):
            self.shared += 1
            return self.shared, *super().step(action)[1:]

    with RecordEpisodes(Reusing(length=3), kept) as env:
        env.reset()
        walk(env, 3)
    assert kept.episodes(env.run_id)[0].observations.ravel().tolist() == [0, 1, 2, 3]


def test_an_action_that_the_env_changes_is_stored_as_it_was_given(kept):
    class Clipping(Count):
        action_space = spaces.Box(-1, 1, (1,))

        def step(self, action):
            np.clip(action, -1, 1, out=action)
            return super().step(action)

    with RecordEpisodes(Clipping(length=1), kept) as env:
        env.reset()
        env.step(np.array([5.0]))
    actions = kept.episodes(env.run_id)[0].actions
    assert (actions.tolist(), actions.dtype) == ([[5.0]], np.float64)


def test_observations_may_be_infinite_or_no_numbers(kept):
    values = [np.array([v]) for v in (np.nan, np.inf, -np.inf, -0.0)]

    class Odd(Count):
        observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)

        def reset(self, **arguments):
            return values[0], super().reset(**arguments)[1]

        def step(self, action):
            _, *rest = super().step(action)
            return values[self.n], *rest

    with RecordEpisodes(Odd(length=3), kept) as env:
        env.reset()
        walk(env, 3)
    assert equal(kept.episodes(env.run_id)[0].observations, np.array(values))


def test_figures_are_the_return_and_length_of_each_episode(kept):
    with RecordEpisodes(Count(length=3, rewards=[1.0, 0.5, -4.0]), kept, max_chunk_steps=2) as env:
        play(env, 2)
    assert env.run.returns.tolist() == [-2.5, -2.5]
    assert env.run.lengths.tolist() == [3, 3]
    assert [episode.total_return for episode in kept.episodes(env.run_id)] == [-2.5, -2.5]


def test_returns_over_several_chunks_round_as_those_of_the_episodes_do(kept):
    env = Count(length=1000, rewards=np.random.default_rng(0).normal(size=1000).tolist())
    with RecordEpisodes(env, kept, max_chunk_steps=7) as recorded:
        play(recorded, 1)
    assert len(chunks_of(recorded.run)) == 143
    assert recorded.run.returns.tolist() == [kept.episodes(recorded.run_id)[0].total_return]
    assert recorded.run.lengths.tolist() == [1000]


def test_an_episode_that_is_reset_in_its_middle_is_stored_as_cut_off(kept):
    with RecordEpisodes(Count(length=4), kept) as env:
        env.reset()
        walk(env, 3)
        env.reset()
        walk(env, 4)
        env.reset()
        walk(env, 2)
    assert [len(episode) for episode in kept.episodes(env.run_id)] == [3, 4, 2]
    assert kept.episodes(env.run_id)[0].observations.tolist() == [0, 1, 2, 3]
    assert [(e.terminated, e.truncated) for e in kept.episodes(env.run_id)] == [
        (False, False),
        (True, False),
        (False, False),
    ]
    (chunk,) = chunks_of(env.run)
    assert chunk.ends.tolist() == [CUT_OFF, TERMINATED, CUT_OFF]


def test_an_episode_that_is_cut_off_just_after_its_chunk_was_written_is_whole(kept):
    with RecordEpisodes(Count(length=9), kept) as env:
        env.reset()
        walk(env, 3)
        env.flush()
        env.reset()
        walk(env, 1)
    assert [chunk.ends.tolist() for chunk in chunks_of(env.run)] == [[OPEN], [CUT_OFF], [CUT_OFF]]
    assert kept.episodes(env.run_id)[0].observations.tolist() == [0, 1, 2, 3]
    assert env.run.lengths.tolist() == [3, 1]
    assert env.run.returns.tolist() == [3.0, 1.0]


def test_an_episode_without_a_step_is_not_stored(kept):
    with RecordEpisodes(Count(length=2), kept) as env:
        env.reset()
        play(env, 2)
        env.reset()
    assert env.run.lengths.tolist() == [2, 2]


def test_truncation_is_stored_as_such(kept):
    with RecordEpisodes(gym.wrappers.TimeLimit(Count(length=9), 2), kept) as env:
        play(env, 1)
    assert chunks_of(env.run)[0].ends.tolist() == [TRUNCATED]


# ---------------------------------------------------------------------- chunks


def test_a_long_recording_is_written_by_the_chunk(kept):
    env = RecordEpisodes(Count(length=10), kept, max_chunk_steps=100)
    held = 0
    for _ in range(100):
        env.reset()
        for _ in range(10):
            env.step(1)
            held = max(held, env._tape._n_steps)
    assert held <= 100
    assert env.run.timesteps >= 900
    env.close()
    assert env.run.timesteps == 1000
    assert max(chunk.n_steps for chunk in chunks_of(env.run)) <= 100


def test_chunks_hold_no_more_bytes_than_they_may(kept):
    class Picture(Count):
        observation_space = spaces.Box(0, 255, (32, 32), np.uint8)
        picture = np.zeros((32, 32), np.uint8)

        def reset(self, **arguments):
            return self.picture, super().reset(**arguments)[1]

        def step(self, action):
            return self.picture, *super().step(action)[1:]

    with RecordEpisodes(Picture(length=50), kept, max_chunk_bytes=20_000) as env:
        play(env, 2)
    sizes = [sum(column.nbytes for column in chunk.steps.values()) for chunk in chunks_of(env.run)]
    assert len(sizes) >= 5
    assert max(sizes) <= 20_000


def test_short_episodes_are_not_split_between_chunks(kept):
    with RecordEpisodes(gym.wrappers.TimeLimit(Count(length=99), 7), kept, max_chunk_steps=40) as env:
        play(env, 30)
    assert all(chunk.first_step == 0 for chunk in chunks_of(env.run))
    assert len(chunks_of(env.run)) == 6


def test_what_is_old_is_written_between_episodes_and_later_in_their_middle(kept, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(recording, "monotonic", lambda: clock[0])
    monkeypatch.setattr(recording, "FLUSH_SECONDS", 5.0)
    env = RecordEpisodes(Count(length=4), kept)
    env.reset()
    walk(env, 2)
    clock[0] = 6.0
    walk(env, 2)
    assert env.run.timesteps == 0
    env.reset()
    assert env.run.timesteps == 4
    walk(env, 2)
    clock[0] = 17.0
    env.step(0)
    assert env.run.timesteps == 6
    env.close()
    assert [episode.length for episode in kept.episodes(env.run_id)] == [4, 3]
    assert env.run.seconds == 17.0


def test_flush_writes_what_there_is(kept):
    env = RecordEpisodes(Count(length=4), kept)
    env.flush()
    env.reset()
    env.flush()
    assert env.run.timesteps == 0
    walk(env, 4)
    env.flush()
    assert (env.run.episodes, env.run.timesteps) == (1, 4)
    env.reset()
    walk(env, 3)
    env.flush()
    env.flush()
    assert (env.run.episodes, env.run.timesteps) == (1, 7)
    walk(env, 1)
    env.close()
    assert [episode.observations.tolist() for episode in kept.episodes(env.run_id)] == [[0, 1, 2, 3, 4]] * 2


# ---------------------------------------------------------------------- generators


@pytest.mark.parametrize("env_id", ["Taxi-v4", "CartPole-v1", "FrozenLake-v1", "rlbench/SafeCab-v0"])
def test_chunks_can_be_played_again_from_their_generator_states(env_id, kept):
    with RecordEpisodes(gym.make(env_id), kept, max_chunk_steps=300) as env:
        play(env, 5, seed=3)
        env.reset(seed=7)
        walk(env, 1)
        env.reset(seed=8)
        env.reset()
        play(env, 5, seed=4)
        env.reset()
        walk(env, 1)
        env.flush()
        env.reset()
        walk(env, 1)
    found = verify(env.run)
    assert (found.episodes, found.mismatched, found.unverifiable) == (13, 0, 0)
    assert found.steps == env.run.timesteps


def test_a_seed_begins_a_chunk_with_the_generator_that_it_makes(kept):
    with RecordEpisodes(gym.make("Taxi-v4"), kept) as env:
        env.reset(seed=5)
        walk(env, 2)
        env.reset()
        walk(env, 2)
        before = generator_state(env.unwrapped.np_random)
        env.reset(seed=6)
        walk(env, 2)
    first, second = chunks_of(env.run)
    assert [first.lengths.tolist(), second.lengths.tolist()] == [[2, 2], [2]]
    assert first.env_rng == {**generator_state(gym.utils.seeding.np_random(5)[0]), "seed": 5}
    assert second.env_rng == {**generator_state(gym.utils.seeding.np_random(6)[0]), "seed": 6}
    assert second.env_rng["state"] != before["state"]


def test_an_episode_begun_with_options_stands_in_a_chunk_without_a_generator_state(kept):
    with RecordEpisodes(gym.make("Taxi-v4"), kept) as env:
        for options in ({}, {"a": 1}, {"a": 2}, None):
            env.reset(options=options)
            walk(env, 2)
        env.reset(seed=1, options={"a": 1})
        walk(env, 2)
    chunks = chunks_of(env.run)
    assert verify(env.run).unverifiable == 3
    assert [chunk.episodes for chunk in chunks] == [1, 2, 1, 1]
    assert [chunk.env_rng is None for chunk in chunks] == [False, True, False, True]


def test_another_generator_begins_a_chunk(kept):
    with RecordEpisodes(gym.make("FrozenLake-v1"), kept) as env:
        env.reset(seed=5)
        walk(env, 1)
        env.unwrapped.np_random = np.random.Generator(np.random.SFC64(1))
        state = generator_state(env.unwrapped.np_random)
        env.reset()
        walk(env, 1)
    assert [chunk.env_rng for chunk in chunks_of(env.run)][1] == state


def test_an_env_without_a_numpy_generator_is_recorded_without_its_state(kept):
    class Foreign(Count):
        np_random = "dice"

        def reset(self, *, seed=None, options=None):
            self.n = 0
            return 0, {}

    with RecordEpisodes(Foreign(), kept) as env:
        play(env, 3)
    assert [(chunk.episodes, chunk.env_rng) for chunk in chunks_of(env.run)] == [(3, None)]


def test_a_reset_that_fails_leaves_what_came_before_and_the_next_begins_a_chunk(kept):
    class Failing(Count):
        fails = False

        def reset(self, **arguments):
            if self.fails:
                raise RuntimeError("no")
            return super().reset(**arguments)

    with RecordEpisodes(Failing(length=2), kept) as env:
        play(env, 1)
        env.unwrapped.fails = True
        with pytest.raises(RuntimeError, match="no"):
            env.reset()
        with pytest.raises(UsageError, match="call reset"):
            env.step(0)
        env.unwrapped.fails = False
        play(env, 1)
    assert [chunk.episodes for chunk in chunks_of(env.run)] == [1, 1]


def test_episodes_of_nested_spaces_are_verified_too(kept):
    class Wind(Walk):
        """Draws its observations from its generator."""

        def reset(self, **arguments):
            super().reset(**arguments)
            return self.observed(), {}

        def step(self, action):
            _, *rest = super().step(action)
            return self.observed(), *rest

        def observed(self):
            pair = (np.int64(self.np_random.integers(3)), self.np_random.integers(2, size=3).astype(np.int8))
            return {"where": self.np_random.normal(size=2).astype(np.float32), "pair": pair}

    with RecordEpisodes(Wind(NESTED, NESTED), kept, max_chunk_steps=5) as env:
        play(env, 20)
    found = verify(env.run, env=Wind(NESTED, NESTED))
    assert (found.episodes, found.mismatched, found.unverifiable) == (20, 0, 0)


# ---------------------------------------------------------------------- the run


def test_the_run_says_who_played_where(kept):
    with RecordEpisodes(gym.make("CartPole-v1"), kept, agent_name="cleanrl", tags=["a", "b"]) as env:
        assert env.run.status == "running"
        play(env, 2, seed=11)
    run = env.run
    assert (run.env_id, run.agent_name, run.seed, run.record.tags) == ("CartPole-v1", "cleanrl", 11, ("a", "b"))
    assert (run.episodes, run.timesteps) == (2, int(run.lengths.sum()))
    assert run.engine == "external"
    assert run.make_env().spec.id == "CartPole-v1"
    json.dumps(run.record.config.document())


def test_a_seed_of_the_wrappers_own_is_the_runs(kept):
    with RecordEpisodes(Count(), kept, seed=5) as env:
        play(env, 1, seed=9)
    assert env.run.seed == 5


def test_without_a_seed_the_run_has_the_one_that_the_env_drew(kept):
    with RecordEpisodes(gym.make("FrozenLake-v1"), kept) as env:
        env.reset()
        walk(env, 1)
    assert env.run.seed == env.unwrapped.np_random_seed


def test_the_spec_is_that_of_the_env_underneath(kept):
    inner = gym.make("CartPole-v1")
    with RecordEpisodes(inner, kept) as env:
        assert env.spec is inner.spec


def test_two_envs_are_recorded_into_one_store(kept):
    first, second = (RecordEpisodes(Count(length=n), kept) for n in (2, 3))
    for env in (first, second, first):
        play(env, 1)
    first.close()
    second.close()
    assert first.run.lengths.tolist() == [2, 2]
    assert second.run.lengths.tolist() == [3]


def test_two_envs_are_recorded_into_one_file(tmp_path):
    envs = [RecordEpisodes(Count(length=n), tmp_path / "runs.db", max_chunk_steps=2) for n in (2, 3)]
    for _ in range(3):
        for env in envs:
            play(env, 1)
    for env in envs:
        env.close()
    assert [env.run.lengths.tolist() for env in envs] == [[2] * 3, [3] * 3]
    for env in envs:
        env.run.store.close()


def test_envs_of_a_vector_env_are_recorded_each(kept):
    makers = [lambda: RecordEpisodes(gym.make("CartPole-v1"), kept)] * 2
    envs = gym.vector.SyncVectorEnv(makers)
    envs.reset(seed=1)
    for _ in range(100):
        envs.step(np.array([0, 1]))
    envs.close()
    assert [run.status for run in kept.runs()] == ["finished"] * 2
    assert all(run.episodes > 5 for run in kept.runs())


def test_an_async_vector_env_leaves_the_runs_of_a_sync_one_from_its_processes(tmp_path):
    def runs(vectorized, name, **options):
        envs = vectorized([partial(recorded.lake, str(tmp_path / name))] * 2, **options)
        envs.reset(seed=1)
        for _ in range(30):
            envs.step(np.array([0, 1]))
        envs.close()
        with open_store(tmp_path / name) as store:
            found = sorted(store.runs(), key=lambda run: run.seed)
            return [(run.seed, run.status, store.figures(run)["length"].tolist(), run.timesteps) for run in found]

    found = runs(gym.vector.AsyncVectorEnv, "async.db", context="spawn")
    assert found == runs(gym.vector.SyncVectorEnv, "sync.db")
    assert [one[:2] for one in found] == [(1, "finished"), (2, "finished")]


def test_an_env_that_is_closed_before_its_first_reset_leaves_no_run(kept):
    env = RecordEpisodes(Count(), kept)
    assert env.run.status == "running"
    env.close()
    env.close()
    assert kept.runs() == []


def test_nothing_is_written_to_a_file_unless_a_store_is_named():
    with RecordEpisodes(Count(), None) as env:
        play(env, 1)
    assert env.run.store.url == "memory://"
    assert env.run.episodes == 1
    env.run.store.close()


def test_runs_lists_the_recording(tmp_path):
    from click.testing import CliRunner

    from rlbench.cli import cli

    with RecordEpisodes(Count(), tmp_path / "runs.db", agent_name="somebody") as env:
        play(env, 3)
    env.run.store.close()
    listed = CliRunner().invoke(cli, ["runs", "--store", str(tmp_path / "runs.db"), "--json"])
    (run,) = json.loads(listed.output)["runs"]
    assert (run["run"], run["agent"], run["episodes"], run["timesteps"]) == (env.run_id, "somebody", 3, 12)
    assert run["status"] == "finished"


# ---------------------------------------------------------------------- the end


def test_an_exception_leaves_the_run_interrupted_with_all_that_was_played(kept):
    with pytest.raises(RuntimeError, match="stop"), RecordEpisodes(Count(), kept) as env:  # noqa: PT012
        env.reset()
        walk(env, 3)
        raise RuntimeError("stop")
    assert env.run.status == "interrupted"
    assert env.run.lengths.tolist() == [3]


def test_closing_on_the_way_out_of_an_exception_leaves_the_run_interrupted(kept):
    env = RecordEpisodes(Count(), kept)

    def use():
        try:
            env.reset()
            walk(env, 3)
            raise KeyboardInterrupt
        finally:
            env.close()

    with pytest.raises(KeyboardInterrupt):
        use()
    assert env.run.status == "interrupted"


def test_closing_twice_does_no_harm(kept):
    inner = Walk()
    env = play(RecordEpisodes(inner, kept), 1)
    env.close()
    env.close()
    assert inner.is_closed
    assert (env.run.status, env.run.episodes) == ("finished", 1)


def test_after_the_end_of_a_recording_it_takes_no_more(kept):
    env = play(RecordEpisodes(Count(), kept), 1)
    env.close()
    with pytest.raises(UsageError, match="this recording is over: wrap the env again"):
        env.step(0)
    with pytest.raises(UsageError, match="this recording is over: wrap the env again"):
        env.reset()
    env.flush()
    assert env.run.episodes == 1


def test_a_step_outside_of_an_episode_is_refused(kept):
    with RecordEpisodes(Count(length=2), kept) as env:
        with pytest.raises(UsageError, match=r"call reset\(\) first"):
            env.step(0)
        play(env, 1)
        with pytest.raises(UsageError, match="after the end of each episode"):
            env.step(0)
    assert env.run.timesteps == 2


def test_an_env_that_nobody_closes_leaves_an_interrupted_run(kept):
    run_id = play(RecordEpisodes(Count(length=3), kept), 2).run_id
    assert kept.run(run_id).status == "interrupted"
    assert kept.run(run_id).episodes == 2


SCRIPT = """
import sys, gymnasium as gym
from rlbench.training.recording import RecordEpisodes
env = RecordEpisodes(gym.make("FrozenLake-v1"), sys.argv[1])
env.reset(seed=0)
env.step(0)
if sys.argv[2] == "raise":
    raise RuntimeError("stop")
if sys.argv[2] == "fork":
    import os
    child = os.fork()
    if not child:
        sys.exit(0)
    os.waitpid(child, 0)
    env.step(0)
    env.close()
"""


@pytest.mark.parametrize(("way", "status", "steps"), [("raise", "interrupted", 1), ("exit", "interrupted", 1)])
def test_a_process_that_ends_without_closing_leaves_an_interrupted_run(way, status, steps, tmp_path):
    path = str(tmp_path / "runs.db")
    subprocess.run([sys.executable, "-c", SCRIPT, path, way], check=False, capture_output=True, env=os.environ)
    with open_store(path) as store:
        (run,) = store.runs()
        assert (run.status, run.timesteps, run.episodes) == (status, steps, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a process")
def test_a_forked_process_that_ends_takes_nothing_from_the_one_that_records(tmp_path):
    path = str(tmp_path / "runs.db")
    subprocess.run([sys.executable, "-c", SCRIPT, path, "fork"], check=True, capture_output=True, env=os.environ)
    with open_store(path) as store:
        (run,) = store.runs()
        assert (run.status, run.timesteps, run.episodes) == ("finished", 2, 1)


def test_a_step_that_the_env_fails_in_is_not_stored_and_the_next_episode_is(kept):
    class Failing(Count):
        def step(self, action):
            if action:
                raise KeyboardInterrupt
            return super().step(action)

    with RecordEpisodes(Failing(length=3), kept) as env:
        env.reset()
        walk(env, 2)
        with pytest.raises(KeyboardInterrupt):
            env.step(1)
        env.reset()
        walk(env, 3)
    assert [episode.observations.tolist() for episode in kept.episodes(env.run_id)] == [[0, 1, 2], [0, 1, 2, 3]]
    assert env.run.status == "finished"


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), None, "one"])
def test_a_reward_that_is_no_number_ends_the_recording_before_its_episode(bad, kept):
    env = RecordEpisodes(Count(length=3, rewards=[1.0, 2.0, 3.0]), kept)
    play(env, 2)
    env.unwrapped.rewards = [1.0, bad, 3.0]
    env.reset()
    env.step(0)
    with pytest.raises(UsageError, match=r"episode 2, step 1: .*; what came before this episode is stored$"):
        env.step(0)
    assert (env.run.status, env.run.lengths.tolist(), env.run.timesteps) == ("interrupted", [3, 3], 6)
    with pytest.raises(UsageError, match="this recording is over"):
        env.step(0)
    env.close()
    assert env.run.status == "interrupted"


def test_a_bad_reward_late_in_an_episode_of_several_chunks_is_named_by_its_step(kept):
    env = RecordEpisodes(Count(length=9, rewards=[1.0] * 7 + [float("nan")]), kept, max_chunk_steps=3)
    env.reset()
    walk(env, 7)
    with pytest.raises(UsageError, match="episode 0, step 7: the reward must be finite, got nan"):
        env.step(0)
    assert (env.run.episodes, len(kept.episodes(env.run_id))) == (0, 0)
    env.close()


def test_an_observation_that_does_not_fit_its_space_ends_the_recording(kept):
    env = RecordEpisodes(Walk(spaces.Box(0, 1, (2,))), kept)
    play(env, 1)
    env.unwrapped.observation_space = spaces.Box(0, 1, (3,))
    with pytest.raises(UsageError, match=r"episode 1, step 0: expected an observation of Box.* of shape \(2,\)"):
        env.reset()
    assert env.run.episodes == 1
    env.close()


def test_an_action_that_does_not_fit_its_space_is_refused_before_the_env_sees_it(kept):
    with RecordEpisodes(Count(length=2), kept) as env:
        env.reset()
        with pytest.raises(UsageError, match=r"expected an action of Discrete\(2\), got 0.5: "):
            env.step(0.5)
        walk(env, 2)
    assert kept.episodes(env.run_id)[0].observations.tolist() == [0, 1, 2]


def test_rows_that_no_column_holds_end_the_recording(kept):
    class Mixed(Count):
        observation_space = spaces.Box(0, 1, (1,))

        def reset(self, **arguments):
            return np.array([2**53 + 1]), super().reset(**arguments)[1]

        def step(self, action):
            return np.array([0.5]), *super().step(action)[1:]

    env = RecordEpisodes(Mixed(length=2), kept)
    play(env, 1)
    with pytest.raises(UsageError, match="observations came as int64"):
        env.flush()
    assert (env.run.status, env.run.episodes) == ("interrupted", 0)
    env.close()


def test_a_store_that_fails_stops_the_env_before_the_step_and_loses_nothing(kept, monkeypatch):
    env = RecordEpisodes(Count(length=9), kept, max_chunk_steps=4)
    env.reset()
    walk(env, 4)
    with monkeypatch.context() as broken:
        broken.setattr(kept, "append", lambda *_, **__: (_ for _ in ()).throw(StoreError("disk full")))
        for _ in range(3):
            with pytest.raises(StoreError, match="disk full"):
                env.step(0)
    walk(env, 5)
    env.close()
    assert kept.episodes(env.run_id)[0].observations.tolist() == list(range(10))


def test_an_env_whose_store_is_gone_is_closed_all_the_same():
    store, inner = open_store("memory://"), Walk()
    env = play(RecordEpisodes(inner, store), 1)
    store.close()
    with pytest.raises(StoreError):
        env.close()
    assert inner.is_closed


def test_losing_the_last_steps_is_said():
    store = open_store("memory://")
    env = play(RecordEpisodes(Count(), store), 1)
    store.close()
    with pytest.warns(RuntimeWarning, match=r"the last steps of run [0-9a-f]{12} are lost"):
        env._abandon()


def test_a_space_that_cannot_be_stored_is_refused_at_once_and_makes_no_run(kept):
    with pytest.raises(UsageError, match="observations/word: a Text space cannot be stored"):
        RecordEpisodes(Walk(spaces.Dict({"word": spaces.Text(4)})), kept)
    assert kept.runs() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_chunk_steps": 0}, "max_chunk_steps must be a whole number, 1 or more, got 0"),
        ({"max_chunk_bytes": 1.5}, "max_chunk_bytes must be a whole number, 1 or more, got 1.5"),
        ({"seed": -1}, "seed must be a whole number, 0 or more, got -1"),
        ({"tags": "abc"}, "tags and parents must be lists"),
    ],
)
def test_bad_arguments_are_named(arguments, message, kept):
    with pytest.raises(UsageError, match=message):
        RecordEpisodes(Count(), kept, **arguments)


def test_a_vector_env_is_refused(kept):
    envs = gym.vector.SyncVectorEnv([Count])
    with pytest.raises(UsageError, match="wraps a Gymnasium env, got SyncVectorEnv"):
        RecordEpisodes(envs, kept)


# ---------------------------------------------------------------------- other libraries


def test_a_stable_baselines3_agent_trains_through_it(tmp_path):
    sb3 = pytest.importorskip("stable_baselines3", reason="Stable-Baselines3 is not installed: extra interop")
    path = tmp_path / "runs.db"
    with RecordEpisodes(gym.make("CartPole-v1"), path, agent_name="sb3-dqn") as env:
        model = sb3.DQN("MlpPolicy", env, seed=3, learning_starts=100, train_freq=4, device="cpu")
        model.learn(1000)
        lived = model.get_env().envs[0].get_episode_rewards()
    run = env.run
    assert (run.agent_name, run.seed, run.status, run.timesteps) == ("sb3-dqn", 3, "finished", 1000)
    assert run.returns[: len(lived)].tolist() == lived
    found = verify(run)
    assert (found.steps, found.mismatched, found.unverifiable) == (1000, 0, 0)
    run.store.close()

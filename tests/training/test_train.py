"""Training: what its arguments mean, what it refuses, what it stores, and how it stops."""

import gc
import re
import subprocess
import sys
import time
import tracemalloc

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control import AcrobotEnv
from training.toys import Circle, Road, frozen, outcome
from waiting import HANG

import rlbench
from rlbench.agents import AGENTS, Agent, QLearning
from rlbench.envs import Discretize
from rlbench.errors import StoreError, UnknownNameError, UsageError
from rlbench.random_state import generator_state, set_generator_state
from rlbench.store.config import BudgetConfig
from rlbench.training import recorder, session

ENGINES = ("compiled", "python")
CONSTANT = {"exploration_schedule": "constant", "exploration_initial_eps": 0.3}


@pytest.fixture
def store():
    with rlbench.open_store("memory://") as store:
        yield store


# ------------------------------------------------------------------------------------------------- what it refuses

BAD_COUNTS = (0, -1, -(10**9), 1.0, 0.5, float("nan"), float("inf"), True, "10", [10])

BAD = [
    *(({"episodes": n}, "episodes must be a whole number, 1 or more") for n in BAD_COUNTS),
    *(({"total_timesteps": n}, "total_timesteps must be a whole number, 1 or more") for n in BAD_COUNTS),
    ({"episodes": 5, "total_timesteps": 0}, "total_timesteps must be a whole number"),
    *(({"seed": s}, "seed must be a whole number, 0 or more") for s in (-1, 0.0, True, "0", float("nan"))),
    ({"agent": "q-lerning"}, "unknown agent 'q-lerning'; did you mean q-learning"),
    ({"record": "al"}, "unknown record 'al'; did you mean all"),
    ({"engine": "compild"}, "unknown engine 'compild'; did you mean compiled"),
    ({"preset": "bok"}, "unknown preset of rlbench/SafeCab-v0 'bok'; did you mean book"),
    ({"env": "safcab"}, "unknown env 'safcab'; did you mean safecab"),
    ({"env": "FrozenLak-v1"}, "unknown env 'FrozenLak-v1'; did you mean FrozenLake-v1"),
    ({"env": "no.such.module:Env-v0"}, "unknown env 'no.such.module:Env-v0'"),
    ({"env": "a.b:c:d-v0"}, "unknown env"),
    ({"env": ""}, "cannot be made"),
    ({"env": "a b/c d"}, "cannot be made"),
    ({"env": None}, "env must be an id, a short name or a Gymnasium env, got NoneType"),
    ({"env": Circle}, "env must be an id, a short name or a Gymnasium env, got type"),
    ({"env_kwargs": {"citi": "book"}}, "unknown argument of rlbench/SafeCab-v0 'citi'; did you mean city"),
    ({"env_kwargs": {"city": "bok"}}, "did you mean book"),
    ({"env_kwargs": {"step_reward": float("nan")}}, "step_reward must be a finite number, got nan"),
    ({"agent_kwargs": {"learning_rat": 0.1}}, "unknown parameter of .*'learning_rat'; did you mean learning_rate"),
    *(({"agent_kwargs": {"gamma": g}}, r"gamma must be in \[0, 1\], got") for g in (1.2, -0.1, float("nan"))),
    *(
        ({"agent_kwargs": {"learning_rate": r}}, r"learning_rate must be in \[0, 1\], got")
        for r in (2, -1, float("nan"))
    ),
    ({"agent_kwargs": {"learning_rate": 0}}, "learning_rate must be above 0"),
    ({"agent_kwargs": {"gamma": "high"}}, "gamma must be a number, got 'high'"),
    ({"agent_kwargs": {"gamma": True}}, "gamma must be a number, got True"),
    ({"agent_kwargs": {"exploration_initial_eps": 1.5}}, "exploration_initial_eps must be in"),
    ({"agent_kwargs": {"exploration_decay": float("nan")}}, "exploration_decay must be 0 or more, got nan"),
    ({"agent_kwargs": {"exploration_schedule": "liner"}}, "did you mean linear"),
    ({"agent_kwargs": {"initial_value": float("inf")}}, "initial_value must be finite"),
    ({"env": "Pendulum-v1"}, "needs Discrete"),
    ({"env": "MountainCarContinuous-v0"}, "needs Discrete"),
    ({"env": AcrobotEnv()}, r"needs Discrete observations, got Box.*give bins="),
    ({"env": "FrozenLake8x8-v1", "episodes": None}, "FrozenLake8x8-v1 has no default budget: give episodes= or"),
    ({"env": AcrobotEnv(), "bins": 3, "episodes": None}, "AcrobotEnv has no default budget"),
]


@pytest.mark.parametrize(
    ("wrong", "message"), BAD, ids=[re.sub(" object at 0x[0-9a-f]+", "", str(wrong)) for wrong, _ in BAD]
)
def test_a_mistake_is_answered_in_one_line_and_nothing_is_written(wrong, message, tmp_path):
    arguments = {"env": "safecab", "episodes": 5, "store": tmp_path / "runs.db", **wrong}
    with pytest.raises(UsageError, match=message) as caught:
        rlbench.train(**arguments)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_leaves_no_run_in_a_store_that_is_there(store):
    for wrong, _ in BAD:
        with pytest.raises(UsageError):
            rlbench.train(**{"env": "safecab", "episodes": 5, "store": store, **wrong})
    assert store.runs() == []


NO_WORDS = [
    {"record": None},
    {"record": False},
    {"engine": None},
    {"preset": None},
    {"agent": 3},
    {"agent": dict},
    {"env_kwargs": 5},
    {"agent_kwargs": [1]},
    {"store": 5},
]


@pytest.mark.parametrize("wrong", NO_WORDS, ids=str)
def test_an_argument_of_another_type_is_a_usage_error_too(wrong):
    with pytest.raises(UsageError):
        rlbench.train(**{"env": "safecab", "episodes": 2, **wrong})


@pytest.mark.parametrize("env", [".x:Env-v0", "..:Env-v0"])
def test_a_module_is_named_in_full(env):
    with pytest.raises(UsageError):
        rlbench.train(env, episodes=2)


@pytest.mark.parametrize("name", ["learning_starts", "batch_size", "train_freq"])
def test_a_number_that_no_machine_counts_to_is_a_usage_error(name, store):
    with pytest.raises(UsageError, match=name):
        rlbench.train("safecab", "replay-q", episodes=2, store=store, agent_kwargs={name: 2**63})
    assert store.runs() == []


def test_an_env_may_have_very_many_actions():
    env = Circle(length=1)
    env.action_space = spaces.Discrete(40_000)
    run = rlbench.train(env, episodes=50, seed=0)
    assert max(int(episode.actions.max()) for episode in _episodes(run)) > 2**15


def test_continuous_actions_are_refused_with_a_reason():
    env = Discretize(gym.make("MountainCarContinuous-v0"), bins=4)
    with pytest.raises(UsageError, match=r"needs Discrete actions, got Box.*gymnasium\.wrappers\.DiscretizeAction"):
        rlbench.train(env, episodes=2)
    env.close()


@pytest.mark.parametrize("space", ["observation_space", "action_space"])
def test_spaces_that_do_not_count_from_zero_are_not_an_agents(space):
    given = {"observation_space": spaces.Discrete(5), "action_space": spaces.Discrete(5)}
    with pytest.raises(UsageError, match="needs Discrete"):
        QLearning(**{**given, space: spaces.Discrete(5, start=1)})


def test_the_compiled_loop_is_refused_where_there_is_none():
    with pytest.raises(UsageError, match="engine='compiled' is not possible: the env Circle has no compiled"):
        rlbench.train(Circle(), episodes=2, engine="compiled")
    with pytest.raises(UsageError, match=r"engine='compiled' is not possible: the agent lazy has no compiled"):
        rlbench.train("safecab", Lazy, episodes=2, engine="compiled")


def test_arguments_of_an_env_go_with_its_id_and_those_of_an_agent_with_its_name():
    with pytest.raises(UsageError, match="env_kwargs need an env id"):
        rlbench.train(Circle(), episodes=2, env_kwargs={"length": 3})
    with pytest.raises(UsageError, match="agent_kwargs go with an agent's name or class"):
        rlbench.train(Circle(), QLearning(5, 2), episodes=2, agent_kwargs={"gamma": 0.5})


def test_an_agent_made_for_another_env_is_refused():
    with pytest.raises(UsageError, match=r"the agent is for 4 states and 2 actions, the env has \(5, 2\)"):
        rlbench.train(Circle(), QLearning(4, 2), episodes=2)


def test_a_store_that_cannot_be_is_refused_before_training(tmp_path):
    env = Circle()
    with pytest.raises(StoreError):
        rlbench.train(env, episodes=2, store=tmp_path)
    assert env.steps == 0


# ------------------------------------------------------------------------------------------------- what it is given


def test_short_names_and_ids_are_the_same_env():
    short, long = (rlbench.train(env, episodes=3, seed=0) for env in ("safecab", "rlbench/SafeCab-v0"))
    assert short.env_id == long.env_id == "rlbench/SafeCab-v0"
    assert outcome(short) == outcome(long)


@pytest.mark.parametrize("spelling", ["rlbench:rlbench/SafeCab-v0", "rlbench/SafeCab"])
@pytest.mark.filterwarnings("ignore:.*latest versioned")
def test_another_spelling_of_an_id_is_the_same_env(spelling):
    run = rlbench.train(spelling, episodes=2, seed=0)
    assert run.env_id == "rlbench/SafeCab-v0"
    assert run.agent.parameters.gamma == 0.95


def test_a_seed_that_is_not_given_is_drawn_and_recorded():
    runs = [rlbench.train("safecab", episodes=5) for _ in range(3)]
    assert len({run.seed for run in runs}) > 1
    again = rlbench.train("safecab", episodes=5, seed=runs[0].seed)
    assert outcome(again) == outcome(runs[0])


@pytest.mark.parametrize("seed", [0, 2**200, np.int64(5)])
def test_the_same_seed_gives_the_same_run(seed):
    one, two = (rlbench.train("FrozenLake-v1", episodes=20, seed=seed) for _ in range(2))
    assert one.seed == seed
    assert outcome(one) == outcome(two)


def test_the_global_generator_is_neither_read_nor_moved():
    outcomes = []
    for s in (1, 2):
        np.random.seed(s)  # noqa: NPY002 - it is this one that must not matter
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        outcomes.append(outcome(rlbench.train("FrozenLake-v1", episodes=5, seed=0, engine="python")))
        assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert outcomes[0] == outcomes[1]


def test_the_first_reset_alone_is_given_a_seed():
    seen = []

    class Seeded(Circle):
        def reset(self, *, seed=None, options=None):
            seen.append(seed)
            return super().reset(seed=seed)

    run = rlbench.train(Seeded(), episodes=3, seed=0)
    [chunk] = run.store.chunks(run.id)
    assert seen == [chunk.env_rng["seed"], None, None]
    starts = [int(e.observations[0]) for e in _episodes(rlbench.train(Circle(), episodes=20, seed=0))]
    assert len(set(starts)) > 1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("steps", [1, 9, 500])
def test_a_budget_of_steps_ends_with_the_episode_in_which_it_is_reached(engine, steps):
    run = rlbench.train("FrozenLake-v1", total_timesteps=steps, seed=1, engine=engine, agent_kwargs=CONSTANT)
    assert run.timesteps == run.lengths.sum() >= steps
    assert run.timesteps - run.lengths[-1] < steps
    assert run.status == "finished"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_budget_of_steps_that_an_episode_meets_exactly_ends_there(engine):
    run = rlbench.train(Road(), total_timesteps=6, seed=0, engine=engine)
    assert (run.episodes, run.timesteps) == (3, 6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("episodes", "steps", "expected"), [(3, 10**6, 3), (10**6, 5, 3), (10**30, 5, 3)])
def test_of_two_budgets_the_first_to_come_ends_the_run(engine, episodes, steps, expected):
    run = rlbench.train(Road(), episodes=episodes, total_timesteps=steps, seed=0, engine=engine)
    assert run.episodes == expected


def test_budgets_may_be_numpy_integers():
    assert rlbench.train(Road(), episodes=np.int32(4), seed=0).episodes == 4


def test_the_preset_says_what_is_not_given():
    run = rlbench.train("safecab", seed=0, record="none")
    assert (run.episodes, run.agent.parameters.gamma) == (60_000, 0.95)
    assert run.record.config.budget == BudgetConfig(episodes=60_000)
    book = rlbench.train("safecab", episodes=2, preset="book", agent_kwargs={"gamma": 0.5})
    assert (book.agent.parameters.gamma, book.agent.parameters.learning_rate) == (0.5, 0.7)


@pytest.mark.parametrize(
    ("given", "decay"),
    [
        ({}, (0.001, 1_000_000)),
        ({"learning_rate": 0.5}, (None, None)),
        ({"learning_rate": 0.5, "learning_rate_final": 0.1}, (0.1, 1_000_000)),
        ({"learning_rate_steps": 10}, (0.001, 10)),
        ({"gamma": 0.9}, (0.001, 1_000_000)),
    ],
)
def test_a_learning_rate_that_is_given_alone_stays_constant(given, decay):
    found = rlbench.train("FrozenLake-v1", episodes=1, seed=0, agent_kwargs=given).agent.parameters
    assert (found.learning_rate_final, found.learning_rate_steps) == decay


def test_env_kwargs_add_to_the_preset():
    run = rlbench.train("cartpole", episodes=2, preset="book", env_kwargs={"max_episode_steps": 7})
    assert run.agent.n_states == 6 * 6 * 12 * 12
    assert run.lengths.max() <= 7


def test_a_share_of_the_budget_becomes_steps():
    own = {"exploration_schedule": "linear", "exploration_fraction": 0.5, "exploration_final_eps": 0.0}
    run = rlbench.train(Road(), total_timesteps=20, seed=0, agent_kwargs=own)
    assert run.agent.parameters.exploration_steps == 10
    assert run.figures["exploration_rate"] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0])
    with pytest.raises(UsageError, match="exploration_fraction is a share of total_timesteps: give that budget"):
        rlbench.train(Road(), episodes=5, agent_kwargs=own)


@pytest.mark.parametrize("share", [1.5, True])
def test_a_share_of_the_budget_is_a_number_from_0_to_1(share):
    own = {"exploration_schedule": "linear", "exploration_fraction": share}
    with pytest.raises(UsageError, match="exploration_fraction must be"):
        rlbench.train(Road(), total_timesteps=20, seed=0, agent_kwargs=own)


def test_a_share_of_the_budget_is_not_nan():
    own = {"exploration_schedule": "linear", "exploration_fraction": float("nan")}
    with pytest.raises(UsageError):
        rlbench.train(Road(), total_timesteps=20, seed=0, agent_kwargs=own)


def test_the_run_says_how_it_came_about(store):
    run = rlbench.train("safecab", "q-learning", episodes=2, seed=3, store=store, preset="book", record="none")
    config = run.record.config
    assert (config.preset, config.engine, config.record) == ("book", "compiled", "none")
    assert config.agent.name == "q-learning"
    assert config.agent.parameters["gamma"] == 0.618
    assert config.budget == BudgetConfig(episodes=2)
    assert config.versions.keys() >= {"rlbench", "gymnasium", "numpy", "numba", "python", "algorithm"}


# ------------------------------------------------------------------------------------------------- what it stores


def _episodes(run):
    return list(run.store.episodes(run.id))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("env", ["safecab", "cartpole", "FrozenLake-v1"])
def test_the_figures_are_those_of_the_stored_steps(env, engine):
    run = rlbench.train(env, episodes=60, total_timesteps=10**9, seed=2, engine=engine, agent_kwargs=CONSTANT)
    episodes, figures = _episodes(run), run.figures
    assert len(episodes) == run.episodes == 60
    for i, episode in enumerate(episodes):
        assert episode.index == i
        assert len(episode.observations) == len(episode.actions) + 1 == len(episode.rewards) + 1
        assert figures["return"][i] == episode.total_return == run.returns[i]
        assert figures["length"][i] == episode.length == run.lengths[i]
        assert figures["explored"][i] == episode.explored.sum()
        counts = np.bincount(episode.actions, minlength=run.agent.n_actions)
        assert figures["action_counts"][i].tolist() == counts.tolist()
        assert episode.terminated or episode.truncated
    assert (figures["exploration_rate"] == 0.3).all()
    share = figures["explored"].sum() / run.timesteps
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / run.timesteps)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_chunk_tells_where_the_env_stood_and_playing_on_from_there_gives_its_steps(engine, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 64)
    monkeypatch.setattr(recorder, "RESERVE", 4)
    run = rlbench.train("FrozenLake-v1", episodes=60, seed=4, engine=engine)
    env, split = run.make_env(), 0
    env.reset(seed=0)
    for chunk in run.store.chunks(run.id):
        split += chunk.first_step > 0
        if chunk.first_step:
            assert chunk.env_rng is None
        elif chunk.first_episode:
            assert generator_state(env.unwrapped.np_random) == chunk.env_rng
        else:
            set_generator_state(env.unwrapped.np_random, chunk.env_rng)
        for i, end in enumerate(chunk.ends):
            segment, ended = chunk.segment(i), (False, False)
            observations = [int(env.unwrapped.s) if i == 0 and chunk.first_step else env.reset()[0]]
            for action, reward in zip(segment["actions"], segment["rewards"], strict=True):
                observation, earned, *ended, _ = env.step(int(action))
                observations.append(observation)
                assert earned == reward
            assert observations == segment["observations"].tolist()
            assert end == ended[0] + 2 * ended[1]
    assert split > 1
    env.close()


@pytest.mark.parametrize(("record", "episodes"), [("none", 5), ("all", 5), ("all", 400)])
def test_the_figures_of_a_run_are_those_that_are_stored(record, episodes, store, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 2**12)  # the longest training has several chunks
    run = rlbench.train("FrozenLake-v1", episodes=episodes, seed=0, record=record, store=store)
    longer = rlbench.train("FrozenLake-v1", episodes=episodes + 5, seed=0, record=record, store=store)
    for one in (run, longer):
        stored = rlbench.load_run(store, one.id).figures
        assert one.figures.keys() == stored.keys()
        for name, column in stored.items():
            assert one.figures[name].dtype == column.dtype
            assert one.figures[name].tobytes() == column.tobytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_without_recording_the_figures_are_kept_and_no_steps(engine):
    full, bare = (rlbench.train("safecab", episodes=20, seed=1, engine=engine, record=r) for r in ("all", "none"))
    assert frozen(bare.figures) == frozen(full.figures)
    assert frozen(bare.agent.state_dict()) == frozen(full.agent.state_dict())
    with pytest.raises(StoreError, match="figures only"):
        bare.store.episodes(bare.id)[0]


def test_a_store_may_be_a_path_a_url_or_open(tmp_path, store):
    path = tmp_path / "runs.db"
    runs = [rlbench.train("safecab", episodes=3, seed=s, store=path) for s in (0, 1)]
    runs.append(rlbench.train("safecab", episodes=3, seed=2, store=f"sqlite:///{path}"))
    with rlbench.open_store(path) as reopened:
        assert {run.id for run in runs} == {record.id for record in reopened.runs()}
        again = rlbench.load_run(reopened, runs[0].id)
        assert outcome(again) == outcome(runs[0])
    for run in runs:
        run.store.close()
    assert rlbench.train("safecab", episodes=3, store=store).store is store
    assert len(store.runs()) == 1


def test_a_wrapped_env_is_trained_on_as_it_is():
    env = gym.wrappers.TransformReward(gym.make("FrozenLake-v1"), lambda r: r - 0.5)
    run = rlbench.train(env, episodes=5, seed=0)
    assert run.engine == "python"
    assert run.returns == pytest.approx([(e.rewards + 0.0).sum() for e in _episodes(run)])
    assert {float(r) for e in _episodes(run) for r in e.rewards} <= {-0.5, 0.5}
    env.close()


def test_a_binned_env_is_learned_on():
    env = Discretize(gym.make("MountainCar-v0"), bins=9)
    run = rlbench.train(env, episodes=2, seed=0)
    assert (run.engine, run.agent.n_states) == ("compiled", 81)
    assert (run.returns == -run.lengths).all()
    env.close()


def test_an_env_object_stays_open_and_one_made_by_name_is_closed(monkeypatch):
    closed = []
    monkeypatch.setattr(Circle, "close", lambda self: closed.append(self))  # noqa: PLW0108 - a builtin binds no self
    env = Circle()
    rlbench.train(env, episodes=2)
    assert closed == []
    monkeypatch.setitem(gym.registry, "Circle-v0", gym.envs.registration.EnvSpec("Circle-v0", lambda: env))
    rlbench.train("Circle-v0", episodes=2)
    assert closed


def test_rewards_and_ends_may_be_numpy_scalars():
    class Numpy(Circle):
        def step(self, action):
            s, reward, terminated, _, info = super().step(action)
            return np.int64(s), np.float32(reward), np.bool_(terminated), np.bool_(terminated), info

    run = rlbench.train(Numpy(), episodes=3, seed=0)
    assert run.returns.tolist() == [10.0, 10.0, 10.0]
    assert all((e.terminated, e.truncated) == (True, True) for e in _episodes(run))


# ------------------------------------------------------------------------------------------------- agents of one's own


class Lazy(Agent):
    """Always takes action 0."""

    name = "lazy"

    def act(self, observation, *, explore=True):
        return 0

    def update(self, observation, action, reward, next_observation, terminated):
        self.timesteps += 1


def test_an_agent_of_ones_own_trains_by_the_readable_loop(store):
    run = rlbench.train("safecab", Lazy, episodes=4, seed=0, store=store)
    assert (run.engine, run.agent_name, run.agent.timesteps) == ("python", "lazy", run.timesteps)
    assert run.figures["action_counts"][:, 0].tolist() == run.lengths.tolist()
    with pytest.raises(UnknownNameError, match="unknown agent 'lazy'"):
        _ = rlbench.load_run(store, run.id).agent


def test_a_registered_agent_trains_by_name_and_is_rebuilt(store, monkeypatch):
    monkeypatch.setitem(AGENTS, "lazy", Lazy)
    run = rlbench.train("safecab", "lazy", episodes=4, seed=0, store=store)
    again = rlbench.load_run(store, run.id).agent
    assert isinstance(again, Lazy)
    assert frozen(again.state_dict()) == frozen(run.agent.state_dict())


@pytest.mark.parametrize("engine", ENGINES)
def test_an_agent_goes_on_from_where_it_is(engine):
    agent = QLearning(16, 4, seed=0)
    env = gym.make("FrozenLake-v1")
    first = rlbench.train(env, agent, episodes=6, seed=0, engine=engine)
    assert first.agent is agent
    table = agent.q_table.copy()
    agent.q_table = np.full((16, 4), 0.5)
    second = rlbench.train(env, agent, episodes=4, seed=1, engine=engine)
    assert (first.episodes, second.episodes, agent.episodes) == (6, 4, 10)
    assert agent.timesteps == first.timesteps + second.timesteps
    assert (table != agent.q_table).any()
    expected = 0.01 + 0.99 * np.exp(-1e-3 * np.arange(10))
    rates = [*first.figures["exploration_rate"], *second.figures["exploration_rate"]]
    assert rates == pytest.approx(expected, rel=1e-12)
    env.close()


def test_a_budget_of_steps_counts_from_where_the_agent_is():
    agent = QLearning(2, 2, seed=0)
    rlbench.train(Road(), agent, total_timesteps=6, seed=0)
    assert rlbench.train(Road(), agent, total_timesteps=4, seed=0).timesteps == 4
    assert agent.timesteps == 10


# ------------------------------------------------------------------------------------------------- what it costs


def _peak(path, episodes):
    """The most memory, in bytes, that Python and NumPy held while so many episodes were trained and recorded."""
    gc.collect()
    tracemalloc.start()
    try:
        with rlbench.open_store(path) as store:
            run = rlbench.train("safecab", episodes=episodes, seed=0, store=store, cache=False)
            assert run.episodes == episodes
            return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.long  # traces every allocation
def test_memory_does_not_grow_with_what_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 2**13)
    monkeypatch.setattr(recorder, "RESERVE", 2**9)
    _peak(tmp_path / "warm.db", 3000)  # what is imported and compiled is no matter of this test
    short, long = _peak(tmp_path / "short.db", 3000), _peak(tmp_path / "long.db", 24_000)
    assert long - short < 21_000 * 64 / 4


@pytest.mark.parametrize("record", ["all", "none"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_of_many_chunks_uses_two_tapes_in_turn(engine, record, store, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 64)
    monkeypatch.setattr(recorder, "RESERVE", 8)
    monkeypatch.setattr(recorder, "UNRECORDED_EPISODES", 10)
    made, new_tape = [], recorder._new_tape
    monkeypatch.setattr(recorder, "_new_tape", lambda *a, **k: made.append(k["steps"]) or new_tape(*a, **k))
    run = rlbench.train("FrozenLake-v1", episodes=200, seed=0, engine=engine, record=record, store=store)
    assert len(list(store.chunks(run.id))) > 10
    assert len([steps for steps in made if steps > 1]) == 2  # one of a step is what the loop is compiled with


def test_checkpoints_are_taken_while_a_long_run_is_under_way(store, monkeypatch):
    monkeypatch.setattr(session.Session, "_interval", 0.0)
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(session, "CHECKPOINT_RATE", np.inf)
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 64)
    seen = []
    append = store.append

    def listening(run_id, chunk=None, checkpoint=None, **kwargs):
        append(run_id, chunk, checkpoint, **kwargs)
        if checkpoint is not None and chunk is not None:
            seen.append((store.run(run_id).episodes, checkpoint.episodes))

    monkeypatch.setattr(store, "append", listening)
    rlbench.train(Circle(), episodes=50, seed=0, store=store)
    assert len(seen) > 3
    assert all(stored == learned for stored, learned in seen)


def test_a_slow_env_is_stored_long_before_a_chunk_is_full(store, monkeypatch):
    monkeypatch.setattr(session, "FLUSH_SECONDS", 0.0)
    run = rlbench.train(Circle(), episodes=5, seed=0, store=store)
    assert [chunk.episodes for chunk in store.chunks(run.id)] == [1] * 5


def test_the_seconds_are_of_this_training():
    begun = time.perf_counter()
    run = rlbench.train("safecab", episodes=100, seed=0)
    assert 0 < run.seconds < time.perf_counter() - begun


@pytest.mark.parametrize("progress", [True, False])
def test_nothing_is_printed_where_there_is_no_terminal(progress, capsys):
    rlbench.train("safecab", episodes=20, seed=0, progress=progress)
    rlbench.train(Circle(), episodes=20, seed=0, progress=progress)
    assert capsys.readouterr() == ("", "")


def test_neither_import_nor_a_mistake_loads_the_compiler():
    code = (
        "import sys, rlbench, rlbench.training\n"
        "for wrong in ({'episodes': 0}, {'engine': 'x'}, {'env': 'safcab'}, {'preset': 'x'}):\n"
        "    try: rlbench.train(**{'env': 'safecab', **wrong})\n"
        "    except rlbench.errors.UsageError: pass\n"
        "    else: raise SystemExit(2)\n"
        "raise SystemExit('numba' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=HANG).returncode == 0

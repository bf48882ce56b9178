"""The readable and the compiled loop are one: for the same seed the same bits, and both are the rule of the book."""

import itertools
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import ClipReward
from hypothesis import given, settings
from hypothesis import strategies as st
from training.toys import Gambler, Road, outcome

import rlbench
from rlbench.agents import AGENTS, QLearning
from rlbench.agents.prediction import Prediction
from rlbench.envs import Discretize
from rlbench.names import AGENT_NAMES
from rlbench.store.documents import chunk_row
from rlbench.store.walks import Walk
from rlbench.training import recorder, session

COMPILED = [name for name, cls in AGENTS.items() if cls(3, 2).learner() is not None]
PREDICTING = [name for name in COMPILED if issubclass(AGENTS[name], Prediction)]
CUTS = [[-1.0, 0.0, 1.0], [0.0], [-0.1, -0.02, 0.0, 0.02, 0.1], [-0.5, 0.5]]
CART_POLE = {"low": [-2, -2, -0.2, -2], "high": [2, 2, 0.2, 2]}
WORLDS = {
    "safecab": ("safecab", {}),
    "another city": ("safecab", {"city": "7x7", "city_seed": 3, "max_episode_steps": 17, "step_reward": -0.1}),
    "cartpole": ("cartpole", {}),
    "slippery ice": ("FrozenLake-v1", {}),
    "ice without a limit": ("FrozenLake-v1", {"max_episode_steps": -1}),
    "mountain car": ("MountainCar-v0", {}),
    "acrobot": ("Acrobot-v1", {}),
}
EVERYWHERE = ("random", "q-learning")  # one that keeps nothing and the one that is most used
RARELY = ("mountain car", "acrobot")  # in `make test` only with the learner below, in bins
LONG = [pytest.mark.long]
SMALL_BUFFER = {"buffer_size": 60, "learning_starts": 20, "batch_size": 5, "train_freq": 3}  # it wraps round
ENGINES = ("compiled", "python")


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch):
    """What a slow machine would store in between is left out."""
    monkeypatch.setattr(session.Session, "_interval", np.inf)
    monkeypatch.setattr(session, "FLUSH_SECONDS", np.inf)


def both(env, agent, *, env_kwargs=None, agent_kwargs=None, **kwargs):
    """What the two loops come to, from the same seed."""
    own = {**(SMALL_BUFFER if agent == "replay-q" else {}), **(agent_kwargs or {})}
    runs = [
        rlbench.train(env, agent, engine=engine, env_kwargs=env_kwargs, agent_kwargs=own, **kwargs)
        for engine in ENGINES
    ]
    assert tuple(run.engine for run in runs) == ENGINES
    return [outcome(run) for run in runs]


def assert_same(two):
    one, other = two
    for part in one:
        assert one[part] == other[part], part


# ------------------------------------------------------------------------------------------------ one result


def test_every_learner_has_both_loops():
    assert set(COMPILED) == set(AGENT_NAMES)


def takes_long(world, agent):
    """Each pair is compiled separately, for seconds; all learners meet the ice, two of them every world but two."""
    return world in RARELY or ("ice" not in world and agent not in EVERYWHERE)


def paired(worlds):
    """All learners with these worlds."""
    pairs = itertools.product(worlds, COMPILED)
    return [pytest.param(*pair, marks=LONG * takes_long(*pair)) for pair in pairs]


@pytest.mark.parametrize(("world", "agent"), paired(WORLDS))
def test_both_loops_leave_the_same_tables_episodes_and_generators(agent, world):
    env, env_kwargs = WORLDS[world]
    two = both(env, agent, env_kwargs=env_kwargs, episodes=40, seed=7)
    assert two[0]["counts"][0] == len(two[0]["episodes"]) == 40
    assert_same(two)


# what makes another learner, or another way of choosing, of an agent
VARIANTS = {
    "replay of n steps": ("replay-q", {"n_step": 3}),
    "prioritized replay": ("replay-q", {"replay": "prioritized", "priority_beta_steps": 300}),
    "prioritized replay of n steps": ("replay-q", {"replay": "prioritized", "n_step": 4, "priority_alpha": 1.0}),
    "prioritized sweeping": ("dyna-q", {"planning": "prioritized"}),
    "several outcomes": ("dyna-q", {"outcomes": 3}),
    "no planning": ("dyna-q", {"planning_steps": 0}),
    "accumulating traces": ("sarsa-lambda", {"traces": "accumulating", "trace_floor": 0.0}),
    "one step": ("n-step-sarsa", {"n_steps": 1}),
    "an exponential mean": ("monte-carlo", {"average": "exponential", "horizon": 3}),
    "dutch traces": ("td-lambda", {"values": "q", "traces": "dutch"}),
    "every visit": ("mc-prediction", {"values": "q", "visits": "every", "horizon": 3}),
    "ordinary ratios": ("off-policy-mc", {"values": "q", "sampling": "ordinary", "horizon": 3}),
    "values of actions": ("td0", {"values": "q"}),
    "sigma in turn": ("q-sigma", {"sigma_pattern": "alternating", "target": "behaviour", "exploration_unit": "step"}),
    "preferences": ("bandit", {"method": "gradient"}),
    "softmax": ("q-learning", {"exploration": "softmax", "temperature": 0.5}),
    "what softmax expects": ("expected-sarsa", {"exploration": "softmax", "temperature": 0.5}),
    "bounds": ("q-learning", {"exploration": "ucb", "ucb_confidence": 0.3}),
    "bounds, looking ahead": ("sarsa", {"exploration": "ucb"}),
    "what bounds expect": ("monte-carlo", {"exploration": "ucb"}),
    "random ties": ("q-learning", {"ties": "random"}),
    "random ties, looking ahead": ("sarsa", {"ties": "random"}),
    "optimism": ("double-q", {"initial_value": 5.0}),
}


# each a loop of its own to compile: `make test` sees their learner and their way to choose, but not together
CROSSED = ("bounds, looking ahead", "what bounds expect", "random ties, looking ahead")


@pytest.mark.parametrize("variant", [pytest.param(name, marks=LONG * (name in CROSSED)) for name in VARIANTS])
def test_both_loops_agree_on_every_kind_of_learner_and_choice(variant):
    agent, own = VARIANTS[variant]
    own = {**({} if agent in PREDICTING else {"exploration_decay": 0.05}), **own}
    assert_same(both("FrozenLake-v1", agent, episodes=60, seed=11, agent_kwargs=own))


@pytest.mark.parametrize("agent", [pytest.param(name, marks=LONG * (name != "sarsa-lambda")) for name in COMPILED[1:]])
def test_both_loops_agree_on_step_sizes_by_visits(agent):
    own = {"learning_rate_schedule": "visits", "learning_rate_power": 0.8}
    own |= {"sampling": "ordinary"} if agent == "off-policy-mc" else {}  # weighted has step sizes of its own
    assert_same(both("FrozenLake-v1", agent, episodes=60, seed=8, agent_kwargs=own))


# among allowed actions every way to choose is another: each, and each agent, a loop of its own to compile
AMONG = {
    **{name: (name, {}) for name in COMPILED},
    "random ties": ("q-learning", {"ties": "random"}),
    "softmax": ("expected-sarsa", {"exploration": "softmax"}),
    "bounds": ("monte-carlo", {"exploration": "ucb"}),
    "prioritized sweeping": ("dyna-q", {"planning": "prioritized"}),
}


@pytest.mark.parametrize("one", [pytest.param(name, marks=LONG * (name not in EVERYWHERE)) for name in AMONG])
def test_both_loops_choose_alike_among_allowed_actions(one):
    agent, own = AMONG[one]
    own = own if agent in ("random", *PREDICTING) else {"exploration_decay": 0.05, **own}
    assert_same(both(Gambler(), agent, episodes=80, seed=5, agent_kwargs=own))


@pytest.mark.long
@pytest.mark.parametrize("agent", [name for name in COMPILED if name not in ("random", *PREDICTING)])
def test_both_loops_break_ties_alike(agent):
    assert_same(both("FrozenLake-v1", agent, episodes=60, seed=12, agent_kwargs={"ties": "random"}))


@pytest.mark.parametrize("agent", ["q-learning", pytest.param("sarsa", marks=LONG)])
def test_both_loops_agree_where_bins_lie_between_given_cuts(agent):
    assert_same(both("cartpole", agent, env_kwargs={"cuts": CUTS}, episodes=30, seed=1))


@pytest.mark.parametrize("env_id", ["CartPole-v1", "MountainCar-v0", pytest.param("Acrobot-v1", marks=LONG)])
def test_both_loops_agree_on_gymnasiums_physics_in_bins(env_id):
    bounds = CART_POLE if env_id == "CartPole-v1" else {}
    two = [
        rlbench.train(Discretize(gym.make(env_id), 4, **bounds), engine=engine, episodes=30, seed=1)
        for engine in ENGINES
    ]
    assert two[1].engine == "python"
    assert_same(list(map(outcome, two)))


def gym_cart_pole(**kwargs):
    return Discretize(gym.make("CartPole-v1", **kwargs), 4, **CART_POLE)


def test_another_cart_pole_is_not_taken_for_the_compiled_one():
    patched = gym_cart_pole()
    patched.unwrapped.step = patched.unwrapped.step
    heavier = gym_cart_pole()
    heavier.unwrapped.gravity = 20.0
    clipped = Discretize(ClipReward(gym.make("CartPole-v1"), 0.0, 0.5), 1)
    for other in (gym_cart_pole(sutton_barto_reward=True), patched, heavier, clipped):
        assert rlbench.train(other, episodes=1, seed=0).engine == "python"


@pytest.mark.parametrize("preset", ["default", "book"])
@pytest.mark.parametrize("env", ["safecab", "cartpole"])
def test_both_loops_agree_with_the_tuned_parameters(env, preset):
    assert_same(both(env, "q-learning", preset=preset, total_timesteps=4000, episodes=10**6, seed=3))


# made for other tasks, or slow: off-policy Monte Carlo learns from the ends of episodes alone
UNTUNED = ("random", "q-learning", "bandit", "differential-sarsa", "off-policy-mc-control", *PREDICTING)
TUNED = [name for name in COMPILED if name not in UNTUNED]


@pytest.mark.parametrize("agent", [pytest.param(name, marks=LONG * takes_long("safecab", name)) for name in TUNED])
def test_the_tuned_parameters_of_every_agent_lead_near_the_optimum(agent):
    run = rlbench.train("safecab", agent, seed=1, record="none")
    assert rlbench.evaluate(run, seed=0).regret < 0.5  # of 989


@pytest.mark.parametrize(
    "agent", [pytest.param(name, marks=LONG * (name not in {"q-learning", "sarsa-lambda"})) for name in COMPILED]
)
def test_both_loops_keep_the_same_figures_when_no_step_is_recorded(agent):
    two = both("FrozenLake-v1", agent, episodes=50, seed=2, record="none")
    assert_same(two)


@pytest.mark.parametrize("world", ["safecab", "cartpole"])
def test_both_loops_hand_figures_on_at_the_same_episodes(world, monkeypatch):
    monkeypatch.setattr(recorder, "UNRECORDED_EPISODES", 8)
    two = both(world, "q-learning", episodes=30, seed=2, record="none")
    assert len(two[0]["chunks"]) == 4
    assert_same(two)


@pytest.mark.parametrize(("world", "agent"), paired(["safecab", "cartpole", "ice without a limit", *RARELY]))
def test_both_loops_split_chunks_and_episodes_at_the_same_steps(world, agent, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 37)
    monkeypatch.setattr(recorder, "RESERVE", 5)
    env, env_kwargs = WORLDS[world]
    two = both(env, agent, env_kwargs=env_kwargs, episodes=60, seed=5)
    kinds = [dict(zip(("first", "step"), (c["first_episode"], c["first_step"]), strict=True)) for c in two[0]["chunks"]]
    assert any(kind["step"] != ("int", "0") for kind in kinds)
    assert_same(two)


def test_the_split_changes_no_episode(monkeypatch):
    whole = both("cartpole", "q-learning", episodes=25, seed=5)[0]
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 37)
    monkeypatch.setattr(recorder, "RESERVE", 5)
    split = both("cartpole", "q-learning", episodes=25, seed=5)[0]
    assert len(split["chunks"]) > len(whole["chunks"]) == 1
    for part in ("counts", "agent", "figures", "checkpoint", "episodes"):
        assert split[part] == whole[part], part


@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("world", ["safecab", "another city", "cartpole", "ice without a limit"])
def test_what_the_compiled_loop_adds_up_and_packs_is_what_its_steps_add_up_and_are_packed_to(
    world, pauses, monkeypatch
):
    seen = []

    def packed(before, chunk):
        row, steps = chunk_row(before, chunk), dict(chunk.steps)
        if isinstance(chunk.steps, Walk):
            steps = Walk.of(chunk.steps.table, steps, chunk.lengths, chunk.terminations)
        assert row == chunk_row(before, replace(chunk, steps=steps, adds_up=False))
        seen.append((chunk.adds_up, isinstance(chunk.steps, Walk)))
        return row

    monkeypatch.setattr("rlbench.store.store.chunk_row", packed)
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 37)
    monkeypatch.setattr(recorder, "RESERVE", 5)
    env, env_kwargs = WORLDS[world]
    callbacks = [Pause()] if pauses else []
    rlbench.train(env, "q-learning", env_kwargs=env_kwargs, episodes=60, seed=5, callbacks=callbacks)
    assert len(seen) > 3
    assert set(seen) == {(True, world != "cartpole")}


class Pause(rlbench.Callback):
    """Has the compiled loop return in the middle of a chunk."""

    every = 3

    def on_checkpoint(self, progress):
        pass


@pytest.mark.parametrize("agent", COMPILED)
def test_a_run_begun_by_one_loop_and_gone_on_with_by_the_other_is_the_same(agent):
    kwargs = {"agent_kwargs": SMALL_BUFFER} if agent == "replay-q" else {}
    at_once = outcome(rlbench.train("FrozenLake-v1", agent, episodes=30, seed=4, **kwargs))
    for first, second in (ENGINES, ENGINES[::-1]):
        begun = rlbench.train("FrozenLake-v1", agent, episodes=12, seed=4, engine=first, **kwargs)
        resumed = outcome(rlbench.resume(begun, episodes=30, engine=second))
        for part in ("counts", "agent", "figures", "checkpoint", "episodes"):
            assert resumed[part] == at_once[part], part


CONTINUED = {name: (name, {}) for name in COMPILED} | {
    name: VARIANTS[name]
    for name in ("prioritized replay of n steps", "prioritized sweeping", "bounds", "bounds, looking ahead")
}


@pytest.mark.parametrize("continued", [pytest.param(name, marks=LONG * (name in CROSSED)) for name in CONTINUED])
def test_the_cache_goes_on_from_what_is_stored_as_if_it_had_never_stopped(continued, tmp_path):
    agent, own = CONTINUED[continued]
    kwargs = {"agent_kwargs": {**(SMALL_BUFFER if agent == "replay-q" else {}), **own}, "seed": 4}
    cold = outcome(rlbench.train("FrozenLake-v1", agent, episodes=30, **kwargs))
    with rlbench.open_store(tmp_path / "runs.db") as store:
        rlbench.train("FrozenLake-v1", agent, episodes=13, store=store, **kwargs)
        warm = rlbench.train("FrozenLake-v1", agent, episodes=30, store=store, **kwargs)
        assert (warm.cache, warm.cached_episodes) == ("prefix", 13)
        found = outcome(warm)
        for part in ("counts", "agent", "figures", "checkpoint", "episodes"):
            assert found[part] == cold[part], part
        again = rlbench.train("FrozenLake-v1", agent, episodes=30, store=store, **kwargs)
        assert again.cache == "hit"
        assert outcome(again)["agent"] == cold["agent"]


def test_another_seed_gives_other_episodes():
    one, other = (both("safecab", "q-learning", episodes=10, seed=seed)[0] for seed in (0, 1))
    assert one["episodes"] != other["episodes"]
    assert one["agent"] != other["agent"]


unit = st.floats(0, 1)
schedules = st.one_of(
    st.fixed_dictionaries(
        {
            "exploration_schedule": st.just("exponential"),
            "exploration_decay": st.floats(0, 1),
            "exploration_unit": st.sampled_from(["step", "episode"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "exploration_schedule": st.just("multiplicative"),
            "exploration_decay": st.floats(0, 1),
            "exploration_unit": st.sampled_from(["step", "episode"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "exploration_schedule": st.just("linear"),
            "exploration_steps": st.floats(0.5, 500),
            "exploration_unit": st.sampled_from(["step", "episode"]),
        }
    ),
    st.just({"exploration_schedule": "constant"}),
)
rates = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"learning_rate_final": unit, "learning_rate_steps": st.floats(0.5, 500)}),
)
buffers = st.fixed_dictionaries(
    {
        "replay": st.sampled_from(["uniform", "prioritized"]),
        "n_step": st.integers(1, 4),
        "priority_alpha": unit,
        "priority_beta": unit,
        "buffer_size": st.integers(1, 100),
        "learning_starts": st.integers(0, 50),
        "batch_size": st.integers(1, 9),
        "train_freq": st.integers(1, 7),
    }
)
learning = st.fixed_dictionaries(
    {
        "learning_rate": st.floats(0, 1, exclude_min=True),
        "gamma": unit,
        "initial_value": st.floats(-1e3, 1e3),
        "exploration_initial_eps": unit,
        "exploration_final_eps": unit,
    }
)
chunks = st.sampled_from([(2**16, 2**12), (101, 30), (16, 4), (3, 1), (1, 1)])


@pytest.mark.parametrize("examples", [25, pytest.param(300, marks=LONG)])
def test_both_loops_agree_whatever_the_parameters_budgets_and_chunks(examples):
    settings(max_examples=examples)(given(st.data())(check_that_both_agree))()


def check_that_both_agree(data):
    pairs = itertools.product(WORLDS.keys() - {"ice without a limit"}, COMPILED)
    world, agent = data.draw(st.sampled_from(sorted(pair for pair in pairs if not takes_long(*pair))))
    env, env_kwargs = WORLDS[world]
    own = {}
    if agent != "random":
        own = {**data.draw(learning), **data.draw(schedules), **data.draw(rates)}
    if agent in PREDICTING:  # they do not explore
        own = {name: value for name, value in own.items() if not name.startswith("exploration")}
    if agent == "replay-q":
        own |= data.draw(buffers)
    if world == "slippery ice" and agent == "q-learning":
        own |= {"ties": data.draw(st.sampled_from(["first", "random"]))}
    steps, reserve = data.draw(chunks)
    budget = data.draw(
        st.one_of(
            st.fixed_dictionaries({"episodes": st.integers(1, 8)}),
            st.fixed_dictionaries({"total_timesteps": st.integers(1, 300)}),
            st.fixed_dictionaries({"episodes": st.integers(1, 8), "total_timesteps": st.integers(1, 300)}),
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "CHUNK_STEPS", steps)
        patch.setattr(recorder, "RESERVE", reserve)
        record, seed = data.draw(st.sampled_from(["all", "none"])), data.draw(st.integers(0, 2**64))
        assert_same(both(env, agent, env_kwargs=env_kwargs, agent_kwargs=own, record=record, seed=seed, **budget))


# ---------------------------------------------------------------------------------------------- and it is right


GREEDY = {"exploration_schedule": "constant", "exploration_initial_eps": 0.0}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_table_is_what_one_works_out_by_hand(engine):
    # learning rate 1/2, gamma 1/2, always action 0; q(0) moves to 1 + q(1)/2, q(1) to 10
    by_hand = [(0.5, 5.0), (2.0, 7.5), (3.375, 8.75)]
    for episodes, expected in enumerate(by_hand, 1):
        agent = QLearning(2, 2, seed=0, learning_rate=0.5, gamma=0.5, **GREEDY)
        run = rlbench.train(Road(), agent, episodes=episodes, seed=0, engine=engine)
        assert run.agent.q_table.tolist() == [[expected[0], 0.0], [expected[1], 0.0]]
        assert run.returns.tolist() == [11.0] * episodes
        assert run.lengths.tolist() == [2] * episodes


@pytest.mark.parametrize("engine", ENGINES)
def test_a_truncated_episode_bootstraps_from_its_last_observation(engine):
    agent = QLearning(2, 2, seed=0, learning_rate=0.5, gamma=0.5, **GREEDY)
    agent.q_table = [[0.0, 0.0], [8.0, 0.0]]
    run = rlbench.train(gym.wrappers.TimeLimit(Road(), 1), agent, episodes=1, seed=0, engine=engine)
    assert agent.q_table.tolist() == [[2.5, 0.0], [8.0, 0.0]]  # half of 1 + 8/2
    [episode] = run.store.episodes(run.id)
    assert (episode.terminated, episode.truncated) == (False, True)
    assert episode.observations.tolist() == [0, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_terminated_episode_does_not_although_its_last_observation_has_a_value(engine):
    agent = QLearning(2, 2, seed=0, learning_rate=1.0, gamma=1.0, **GREEDY)
    agent.q_table = [[100.0, 0.0], [50.0, 0.0]]
    rlbench.train(Road(), agent, episodes=1, seed=0, engine=engine)
    assert agent.q_table.tolist() == [[51.0, 0.0], [10.0, 0.0]]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_end_that_falls_on_the_step_limit_is_both_and_does_not_bootstrap(engine):
    agent = QLearning(2, 2, seed=0, learning_rate=1.0, gamma=1.0, **GREEDY)
    agent.q_table = [[100.0, 0.0], [50.0, 0.0]]
    run = rlbench.train(gym.wrappers.TimeLimit(Road(), 2), agent, episodes=1, seed=0, engine=engine)
    assert agent.q_table[1, 0] == 10.0
    [episode] = run.store.episodes(run.id)
    assert (episode.terminated, episode.truncated) == (True, True)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_very_last_step_of_a_budget_is_learned_from(engine):
    agent = QLearning(2, 2, seed=0, learning_rate=1.0, gamma=0.0, **GREEDY)
    run = rlbench.train(Road(), agent, total_timesteps=1, seed=0, engine=engine)
    assert run.timesteps == 2  # to the end of the episode
    assert agent.q_table[:, 0].tolist() == [1.0, 10.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_exploration_falls_from_episode_to_episode_or_from_step_to_step(engine):
    linear = {"exploration_schedule": "linear", "exploration_final_eps": 0.0, "exploration_steps": 4}
    for unit_, expected in (("episode", [1.0, 0.75, 0.5, 0.25, 0.0]), ("step", [1.0, 0.5, 0.0, 0.0, 0.0])):
        own = {**linear, "exploration_unit": unit_}
        run = rlbench.train(Road(), episodes=5, seed=0, engine=engine, agent_kwargs=own)
        assert run.figures["exploration_rate"].tolist() == expected
        assert run.figures["explored"].max() <= 2
        assert run.figures["explored"][-1] == 0

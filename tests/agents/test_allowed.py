"""Action sets by state: no agent chooses outside them, exploring or not, and nothing that it learns counts the rest."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training.toys import Gambler, frozen

import rlbench
from rlbench.agents import AGENTS, Agent, QLearning, _rules, make_agent
from rlbench.envs.layouts import map_of
from rlbench.errors import UsageError
from rlbench.plots import grids
from rlbench.viewer.clips import StoredClips
from rlbench.viewer.playback import Playback
from rlbench.viewer.value_maps import NOTHING, value_map

N = 4  # actions
POLICIES = {
    "epsilon-greedy": _rules.EpsilonGreedy(N),
    "random ties": _rules.EpsilonGreedyRandomTies(N),
    "softmax": _rules.Softmax(N, 2.0),
    "ucb": _rules.new_ucb(1, N, 0.5),
}
SMALL_BUFFER = {"buffer_size": 60, "learning_starts": 20, "batch_size": 5}


def policies():
    """Of their own, for one of them counts."""
    return copy.deepcopy(POLICIES)


def row_of(values):
    table = _rules.new_table(1, N)
    _rules.set_table(table, np.array([values], np.float64))
    return table


values = st.lists(st.integers(-3, 3).map(float), min_size=N, max_size=N)
marks = st.lists(st.booleans(), min_size=N, max_size=N).filter(any)
shares = st.floats(0, 1, exclude_max=True)


@given(values, marks, st.sampled_from([0.0, 0.25, 1.0]), shares)
def test_every_policy_picks_allowed_actions_alone(row, allowed, epsilon, u):
    table = row_of(np.where(allowed, row, -np.inf))
    for policy in policies().values():
        masked = _rules.masked(policy, np.array([allowed]))
        for _ in range(N + 1):  # the last beyond the first visit of each
            action, explored = _rules.PICK[type(masked)](masked, table, 0, epsilon, u)
            assert allowed[action]
            assert explored or row[action] == table.values[0, _rules.VALUE]


@given(values, st.sampled_from([0.0, 0.25, 1.0]), shares)
def test_where_all_actions_are_allowed_nothing_changes(row, epsilon, u):
    table, everything = row_of(row), np.ones((1, N), bool)
    for policy, twin in zip(policies().values(), policies().values(), strict=True):
        masked = _rules.masked(twin, everything)
        for _ in range(N + 1):
            picked = [_rules.PICK[type(one)](one, table, 0, epsilon, u) for one in (policy, masked)]
            assert picked[0] == picked[1]
            expected = [_rules._EXPECTED[type(one)](one, table, 0, epsilon) for one in (policy, masked)]
            assert expected[0] == expected[1]


@given(values, marks, st.sampled_from([0.0, 0.25, 1.0]))
def test_what_a_policy_expects_is_the_mean_of_what_it_picks(row, allowed, epsilon):
    table, draws = row_of(np.where(allowed, row, -np.inf)), (np.arange(1200) + 0.5) / 1200
    for name, policy in policies().items():
        if name == "ucb":  # it does not draw
            continue
        masked = _rules.masked(policy, np.array([allowed]))
        picked = [row[_rules.PICK[type(masked)](masked, table, 0, epsilon, u)[0]] for u in draws]
        assert _rules._EXPECTED[type(masked)](masked, table, 0, epsilon) == pytest.approx(np.mean(picked), abs=0.05)


# ------------------------------------------------------------------------------------------------ agents


def gambling(name, **parameters):
    """An agent of the gambler."""
    own = {**(SMALL_BUFFER if name == "replay-q" else {}), **parameters}
    return make_agent(name, Gambler(), seed=0, **own)


@pytest.mark.parametrize("name", AGENTS)
def test_no_agent_takes_what_the_env_does_not_allow(name):
    """The gambler's rewards are 0 but for the last: its values lie between 0 and 1, if nothing outside is counted."""
    run = rlbench.train(Gambler(), gambling(name), episodes=150, seed=1, engine="python")
    for episode in run.store.episodes(run.id):
        assert Gambler.allowed_actions[episode.observations[:-1], episode.actions].all()
    if hasattr(run.agent, "q_table"):
        assert Gambler.allowed_actions[range(11), run.agent.greedy_policy()].all()
        assert (np.isneginf(run.agent.q_table) == ~Gambler.allowed_actions).all()
        values = run.agent.q_table[Gambler.allowed_actions]
        least = -1.1 if name == "differential-sarsa" else 0  # it compares with the average
        assert least <= values.min() <= values.max() <= 1.1  # dyna-q-plus adds a bonus


def test_a_given_policy_keeps_to_what_is_allowed_in_proportion():
    shares = np.full((11, 6), 0.1) + np.eye(6)[2] * 0.4
    for policy, at_four in (("uniform", [0, 0.25, 0.25, 0.25, 0.25, 0]), (shares, [0, 0.125, 0.625, 0.125, 0.125, 0])):
        agent = gambling("td0", policy=policy, values="q")
        assert agent.behaving_policy()[4].tolist() == pytest.approx(at_four)
        assert agent.behaving_policy()[[0, 10], 0].tolist() == [1, 1]
        assert np.isfinite(
            rlbench.train(Gambler(), agent, episodes=50, seed=0, engine="python").agent.state_values
        ).all()
    assert gambling("td0", policy=5).behaving_policy()[[2, 5]].tolist() == [[0, 0.5, 0.5, 0, 0, 0], [0, 0, 0, 0, 0, 1]]


def test_the_random_agent_draws_evenly_among_what_is_allowed():
    agent = gambling("random")
    drawn = np.bincount([agent.act(4) for _ in range(4000)], minlength=6)
    assert drawn[[0, 5]].tolist() == [0, 0]
    assert drawn[1:5].min() > 850  # of 1,000 expected; five deviations are 140


def test_values_outside_the_set_stay_minus_infinity_whatever_is_written():
    agent = gambling("double-q")
    agent.q_table *= 0.5
    agent.q_table[3] = 7.0
    agent.q_table = np.array(agent.q_table) + 1.0
    for table in (agent.q_table, *agent.q_tables):
        assert (np.isneginf(table) == ~Gambler.allowed_actions).all()
        assert table[3, 1:4].tolist() == [8, 8, 8]
    assert agent.greedy_policy()[3] == 1


def test_a_step_or_a_move_by_what_is_not_allowed_is_refused():
    agent = gambling("q-learning")
    before = frozen(agent.state_dict())
    for wrong in (lambda: agent.update(2, 3, 0.0, 2, False), lambda: agent.move(2, 3, 1.0)):
        with pytest.raises(UsageError, match=r"state 2 does not allow action 3: choose one of \[1, 2\]"):
            wrong()
    assert frozen(agent.state_dict()) == before


def test_an_agent_that_chooses_by_itself_learns_from_allowed_actions_alone():
    class Bold(QLearning):
        name = "bold"

        def act(self, observation, *, explore=True):
            return 5

    with pytest.raises(UsageError, match="does not allow action 5"):
        rlbench.train(Gambler(), Bold, episodes=50, seed=0)


@pytest.mark.parametrize("allowed", [np.ones((11, 5), bool), np.zeros((11, 6), bool), np.ones((11, 6))])
def test_a_set_of_another_form_is_refused(allowed):
    with pytest.raises(UsageError, match=r"the allowed actions must be bool|each state must allow an action"):
        QLearning(11, 6).allow(allowed)


@pytest.mark.parametrize("name", ["random", "q-learning", "double-q", "monte-carlo"])
def test_the_set_is_part_of_the_state_which_any_agent_takes_over(name, tmp_path):
    agent = rlbench.train(Gambler(), gambling(name), episodes=30, seed=1, engine="python").agent
    loaded = AGENTS[name](11, 6)
    loaded.load_state_dict(agent.state_dict())
    agent.save(tmp_path / "agent")
    twins = [loaded, copy.deepcopy(agent), Agent.load(tmp_path / "agent")]
    drawn = [agent.act(4) for _ in range(20)]
    for twin in twins:
        assert [twin.act(4) for _ in range(20)] == drawn
        assert frozen(twin.state_dict()) == frozen(agent.state_dict())


def test_a_damaged_set_is_refused_and_changes_nothing():
    agent, other = gambling("q-learning"), QLearning(11, 6)
    before = frozen(other.state_dict())
    for damaged in (np.zeros((11, 6), bool), np.ones((6, 11), bool), "all"):
        with pytest.raises(UsageError):
            other.load_state_dict({**agent.state_dict(), "allowed": damaged})
    assert frozen(other.state_dict()) == before


# ----------------------------------------------------------------------------------------- runs and figures


@pytest.fixture
def gambler(monkeypatch):
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    gym.register("toys/Gambler-v0", Gambler, max_episode_steps=50)
    return "toys/Gambler-v0"


def test_a_run_among_allowed_actions_goes_on_in_the_other_loop_as_if_it_had_never_stopped(gambler):
    part = rlbench.train(gambler, episodes=25, seed=3, engine="python")
    whole = rlbench.resume(part, episodes=60, engine="compiled")
    cold = rlbench.train(gambler, episodes=60, seed=3, engine="python")
    assert frozen(whole.agent.state_dict()) == frozen(cold.agent.state_dict())
    assert frozen(whole.figures) == frozen(cold.figures)
    assert rlbench.verify(whole).mismatched == 0
    assert rlbench.diff(whole, cold).table_entry is None
    assert rlbench.evaluate(whole, episodes=5, seed=0).reachable_states == 9  # all but the two ends


@pytest.mark.parametrize("agent", ["q-learning", "dyna-q"])
def test_retraining_counts_no_action_outside_the_set(gambler, agent):
    runs = rlbench.train(gambler, episodes=50, seed=3, engine="python"), rlbench.record(gambler, episodes=50, seed=0)
    learnt = rlbench.retrain(runs, agent).run.agent
    assert (np.isneginf(learnt.q_table) == ~Gambler.allowed_actions).all()
    assert learnt.q_table.max() <= 1


def test_steps_by_an_action_outside_the_set_are_not_learnt_from(gambler):
    run = rlbench.record(gambler, lambda _: 5, episodes=3, seed=0)
    with pytest.raises(UsageError, match=f"run {run.id} took action 5 in state 7, which does not allow it"):
        rlbench.retrain(run)


def test_taxi_is_driven_by_its_masks_on_request_and_the_run_says_so():
    """No pick-up or drop-off in the wrong place costs 10: less is lost before anything is learnt."""
    free, masked = (
        rlbench.train("Taxi-v4", episodes=20, seed=0, engine="python", agent_kwargs=kwargs)
        for kwargs in ({}, {"actions": "masked"})
    )
    assert "actions" not in free.record.config.agent.parameters
    assert masked.record.config.agent.parameters["actions"] == "masked"
    taxi = gym.make("Taxi-v4").unwrapped
    for episode in masked.store.episodes(masked.id):
        pairs = zip(episode.observations[:-1].tolist(), episode.actions.tolist(), strict=True)
        assert all(taxi.action_mask(s)[a] for s, a in pairs)
    assert masked.returns.mean() > free.returns.mean() + 100


def test_masks_are_refused_where_there_are_none():
    with pytest.raises(UsageError, match=r"FrozenLake-v1 has no action_mask\(state\)"):
        rlbench.train("FrozenLake-v1", episodes=1, agent_kwargs={"actions": "masked"})
    with pytest.raises(UsageError, match="unknown actions 'some'"):
        rlbench.train("Taxi-v4", episodes=1, agent_kwargs={"actions": "some"})


# ----------------------------------------------------------------------------------------------- drawings


def test_a_drawing_takes_a_state_for_unknown_if_its_allowed_values_are_as_at_first():
    table = np.zeros((16, 4))
    table[[3, 4], 0] = -np.inf
    table[4, 2] = 1.0
    assert grids._greedy(table)[[3, 4]].tolist() == [-1, 2]
    layout = map_of(gym.make("FrozenLake-v1"))
    best = value_map(table, layout, (0, 0)).best.ravel()
    assert best[[3, 4]].tolist() == [NOTHING, 2]


def test_the_bars_of_a_state_are_those_of_what_it_allows():
    run = rlbench.train("rlbench/Gambler-v0", episodes=20, seed=3, engine="python")
    viewer = Playback(StoredClips(run), 0, pace=1.0)
    allowed = gym.make("rlbench/Gambler-v0").unwrapped.allowed_actions[viewer.state]
    assert [bar.action for bar in viewer.bars()] == np.flatnonzero(allowed).tolist()
    assert not allowed.all()

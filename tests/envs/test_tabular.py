"""A model is what the env's table says, in flat arrays, and refuses what is no MDP."""

from collections.abc import Mapping

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit, TransformObservation, TransformReward
from hypothesis import given
from hypothesis import strategies as st

from rlbench.envs.tabular import TabularModel, outcome_rows
from rlbench.errors import UnknownNameError, UsageError

TOY_TEXT = [
    ("Taxi-v4", {}),
    ("Taxi-v4", {"is_rainy": True}),
    ("FrozenLake-v1", {}),
    ("FrozenLake-v1", {"is_slippery": False}),
    ("FrozenLake8x8-v1", {}),
    ("CliffWalking-v1", {}),
    ("CliffWalking-v1", {"is_slippery": True}),
]


def coin(step_limit=None, **changes):
    """State 0: action 0 tosses a coin for the end (+1) or state 1 (-1); action 1 stays. State 1 stays."""
    table = {
        0: {0: [(0.5, 0, 1.0, True), (0.5, 1, -1.0, False)], 1: [(1.0, 0, 0.0, False)]},
        1: {0: [(1.0, 1, 0.0, False)], 1: [(1.0, 1, 0.0, False)]},
    }
    for state, row in changes.items():
        table[int(state[1:])] = row
    return TabularModel.from_table(table, [1.0, 0.0], step_limit=step_limit)


@pytest.mark.parametrize(("env_id", "kwargs"), TOY_TEXT)
def test_the_model_of_a_toy_text_env_has_every_number_of_its_table(env_id, kwargs):
    env = gym.make(env_id, **kwargs)
    model = TabularModel.from_env(env)
    for state, row in env.unwrapped.P.items():
        assert {a: [tuple(o) for o in row[a]] for a in row} == model.P[state]
    np.testing.assert_array_equal(model.initial, env.unwrapped.initial_state_distrib)
    assert model.step_limit == env.spec.max_episode_steps
    assert (len(model.P), model.n_actions) == (env.observation_space.n, env.action_space.n)


def test_only_tables_with_one_outcome_everywhere_are_deterministic():
    assert TabularModel.from_env("Taxi-v4").is_deterministic
    assert not TabularModel.from_env("FrozenLake-v1").is_deterministic


def test_the_arrays_of_a_tossed_coin_are_those_worked_out_by_hand():
    model = coin()
    assert model.offsets.tolist() == [0, 2, 3, 4, 5]
    assert model.probability.tolist() == [0.5, 0.5, 1, 1, 1]
    assert model.successor.tolist() == [0, 1, 0, 1, 1]
    assert model.reward.tolist() == [1, -1, 0, 0, 0]
    assert model.terminated.tolist() == [True, False, False, False, False]
    assert (model.offsets.dtype, model.successor.dtype) == (np.int64, np.int32)
    assert model.starts.tolist() == [0]


def test_a_table_of_lists_gives_the_same_model_as_one_of_dicts():
    lists = [[[(0.5, 0, 1.0, True), (0.5, 1, -1.0, False)], [(1.0, 0, 0.0, False)]], [[(1.0, 1, 0.0, False)]] * 2]
    model = TabularModel.from_table(lists, [1.0, 0.0])
    for name in ("offsets", "probability", "successor", "reward", "terminated", "initial"):
        np.testing.assert_array_equal(getattr(model, name), getattr(coin(), name))


def test_the_view_is_a_lazy_mapping_of_plain_python_scalars():
    table = coin().P
    assert isinstance(table, Mapping)
    assert table[0] == {0: [(0.5, 0, 1.0, True), (0.5, 1, -1.0, False)], 1: [(1.0, 0, 0.0, False)]}
    assert [type(x) for x in table[0][0][0]] == [float, int, float, bool]
    assert list(table) == [0, 1]
    assert table[np.int64(1)] == table[1]
    assert 2 not in table
    with pytest.raises(KeyError):
        table[-1]


def test_a_view_equals_itself_only_and_says_how_large_it_is():
    model = coin()
    assert model.P != model.P
    assert len({model.P, model.P}) == 2
    assert repr(model.P) == "TransitionView(2 states, 2 actions)"


def test_states_behind_the_end_of_an_episode_are_not_reachable():
    ends = {0: [(1.0, 1, 0.0, True)], 1: [(1.0, 0, 0.0, False)]}
    assert coin().reachable().tolist() == [True, True]
    assert coin(s0=ends).reachable().tolist() == [True, False]


def test_outcomes_of_probability_zero_lead_nowhere():
    never = {0: [(1.0, 0, 0.0, False), (0.0, 1, 0.0, False)], 1: [(1.0, 0, 0.0, False)]}
    assert coin(s0=never).reachable().tolist() == [True, False]


def test_a_taxi_reaches_the_400_states_whose_passenger_is_not_yet_delivered():
    model = TabularModel.from_env("Taxi-v4")
    passenger, destination = np.divmod(np.arange(500) % 20, 4)
    np.testing.assert_array_equal(model.reachable(), passenger != destination)


@given(st.data())
def test_reachable_agrees_with_a_search_state_by_state(data):
    n = data.draw(st.integers(1, 8))
    outcome = st.tuples(st.just(1.0), st.integers(0, n - 1), st.just(0.0), st.booleans())
    table = [[[data.draw(outcome)] for _ in range(2)] for _ in range(n)]
    model = TabularModel.from_table(table, np.eye(n)[0])
    seen, pending = {0}, [0]
    while pending:
        row = table[pending.pop()]
        fresh = {o[1] for outcomes in row for o in outcomes if not o[3]} - seen
        seen |= fresh
        pending.extend(fresh)
    assert set(np.flatnonzero(model.reachable()).tolist()) == seen


def test_outcome_rows_chain_the_groups_asked_for_in_their_order():
    assert outcome_rows(np.array([0, 2, 3, 6]), np.array([2, 0])).tolist() == [3, 4, 5, 0, 1]
    assert outcome_rows(np.array([0, 2]), np.array([], dtype=np.int64)).tolist() == []


def test_the_tightest_time_limit_is_the_step_limit():
    env = TimeLimit(TimeLimit(gym.make("Taxi-v4"), 50), 70)
    assert TabularModel.from_env(env).step_limit == 50
    assert TabularModel.from_env(gym.make("CliffWalking-v1")).step_limit is None


def test_an_env_taken_out_of_its_time_limit_or_made_without_has_no_step_limit():
    assert TabularModel.from_env(gym.make("Taxi-v4").unwrapped).step_limit is None
    assert TabularModel.from_env(gym.make("Taxi-v4", max_episode_steps=-1)).step_limit is None


class OwnModel(gym.Env):
    """An env that offers a model instead of a table."""

    observation_space = gym.spaces.Discrete(2)
    action_space = gym.spaces.Discrete(2)

    def tabular_model(self):
        return coin(step_limit=7)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.s, self.steps = 0, 0
        return self.s, {}

    def step(self, action):
        self.steps += 1
        probabilities, outcomes = zip(*((p, o) for p, *o in coin().P[self.s][action]), strict=True)
        self.s, reward, terminated = outcomes[self.np_random.choice(len(outcomes), p=probabilities)]
        return self.s, reward, terminated, self.steps == 7, {}


def test_an_env_may_offer_its_model_itself_and_a_wrapper_limits_it():
    assert TabularModel.from_env(OwnModel()).step_limit == 7
    assert TabularModel.from_env(TimeLimit(OwnModel(), 5)).step_limit == 5


def test_an_env_whose_space_is_not_the_tables_states_is_refused():
    env = OwnModel()
    env.observation_space = gym.spaces.Discrete(2, start=1)
    with pytest.raises(UsageError, match=r"OwnModel needs the observation space Discrete\(2\)"):
        TabularModel.from_env(env)


def test_an_env_without_a_table_is_refused_by_name():
    with pytest.raises(UsageError, match="CartPole-v1 has no transition table P: "):
        TabularModel.from_env("CartPole-v1")


def test_a_table_without_a_start_distribution_is_refused():
    env = gym.make("FrozenLake-v1")
    del env.unwrapped.initial_state_distrib
    with pytest.raises(UsageError, match="no initial_state_distrib"):
        TabularModel.from_env(env)


def test_a_taxi_with_a_fickle_passenger_is_refused_because_its_table_leaves_him_out():
    with pytest.raises(UsageError, match="leaves out its fickle passenger"):
        TabularModel.from_env(gym.make("Taxi-v4", fickle_passenger=True))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda env: TransformReward(env, lambda r: 2 * r),
        lambda env: TransformObservation(env, lambda o: o, env.observation_space),
        gym.Wrapper,
    ],
)
def test_a_wrapper_that_may_change_what_the_table_describes_is_refused(wrap):
    with pytest.raises(UsageError, match="may change what the table of Taxi-v4 describes: remove this wrapper"):
        TabularModel.from_env(wrap(gym.make("Taxi-v4")))


def test_an_unknown_id_is_answered_with_a_near_one():
    with pytest.raises(UnknownNameError, match="did you mean Taxi-v4"):
        TabularModel.from_env("Taxy-v4")


def test_an_id_that_gymnasium_cannot_read_is_a_usage_error():
    with pytest.raises(UsageError, match="a b cannot be made"):
        TabularModel.from_env("a b")


STAY = [(1.0, 0, 0.0, False)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({0: [(0.6, 0, 0.0, False)], 1: STAY}, r"probabilities of P\[0\]\[0\] must sum to 1, got 0.6"),
        ({0: [(np.nan, 0, 0.0, False)], 1: STAY}, r"probabilities of P\[0\]\[0\] must sum to 1, got nan"),
        ({0: [(1.5, 0, 0.0, False), (-0.5, 0, 0.0, False)], 1: STAY}, r"P\[0\]\[0\] must have probabilities"),
        ({0: STAY, 1: [(1.0, 2, 0.0, False)]}, r"P\[0\]\[1\] must have a successor in \[0, 2\), got 2"),
        ({0: STAY, 1: [(1.0, 0, np.inf, False)]}, r"P\[0\]\[1\] must have finite rewards, got inf"),
        ({0: [], 1: STAY}, r"P\[0\]\[0\] has no outcomes"),
        ({0: STAY, 2: STAY}, r"P\[0\] has no action 1"),
        ({0: STAY}, r"P\[1\] has 2 actions and P\[0\] 1"),
        ({0: [(1.0, 0, 0.0)], 1: STAY}, r"must be \(probability, successor, reward, terminated\), got"),
    ],
)
def test_a_table_that_is_no_mdp_is_refused_at_its_first_wrong_entry(row, reason):
    with pytest.raises(UsageError, match=reason):
        coin(s0=row)


@pytest.mark.parametrize("table", [{}, {1: {0: STAY}}, {0: {}}])
def test_a_table_without_states_or_actions_is_refused(table):
    with pytest.raises(UsageError):
        TabularModel.from_table(table, [1.0])


@pytest.mark.parametrize("initial", [[1.0], [0.5, 0.4], [1.5, -0.5], [np.nan, 1.0]])
def test_a_start_distribution_must_be_one(initial):
    with pytest.raises(UsageError, match=r"start distribution must (have the shape|be non-negative)"):
        TabularModel.from_table(coin().P, initial)


def test_a_model_prints_its_sizes_and_not_its_arrays():
    assert repr(coin()) == "TabularModel(n_states=2, n_actions=2, step_limit=None)"


def test_columns_of_the_wrong_length_or_a_limit_below_one_are_refused():
    model = coin()
    columns = [model.probability, model.successor, model.reward, model.terminated, model.initial]
    with pytest.raises(UsageError, match=r"reward must have the shape \(5,\), got \(4,\)"):
        TabularModel(2, 2, model.offsets, *columns[:2], model.reward[:4], *columns[3:])
    with pytest.raises(UsageError, match="step_limit must be at least 1"):
        TabularModel(2, 2, model.offsets, *columns, 0)


# ---------------------------------------------------------------------------------------- action sets by state


class Barred(OwnModel):
    """The coin, tossed in state 0 only; in state 1 there is nothing to do but stay."""

    allowed_actions = np.array([[True, True], [False, True]])


def test_a_model_has_the_actions_that_its_env_allows():
    model = TabularModel.from_env(Barred())
    np.testing.assert_array_equal(model.allowed, Barred.allowed_actions)
    assert TabularModel.from_env(OwnModel()).allowed is None
    assert model.digest != TabularModel.from_env(OwnModel()).digest


def test_an_action_that_is_not_allowed_leads_nowhere():
    table = {0: {0: [(1.0, 1, 0.0, False)], 1: STAY}, 1: {0: STAY, 1: STAY}}
    assert TabularModel.from_table(table, [1.0, 0.0]).reachable().tolist() == [True, True]
    model = TabularModel.from_table(table, [1.0, 0.0], allowed=np.array([[False, True], [True, True]]))
    assert model.reachable().tolist() == [True, False]


@pytest.mark.parametrize(
    ("allowed", "reason"),
    [
        ([[1, 1], [0, 1]], r"must be bool of shape \(2, 2\), got int64 of shape \(2, 2\)"),
        ([[True, True]], r"must be bool of shape \(2, 2\), got bool of shape \(1, 2\)"),
        ([[True, True], [False, False]], "each state must allow an action, got none in state 1"),
    ],
)
def test_a_set_of_actions_must_have_one_for_each_state(allowed, reason):
    with pytest.raises(UsageError, match=reason):
        TabularModel.from_table(coin().P, [1.0, 0.0], allowed=np.array(allowed))

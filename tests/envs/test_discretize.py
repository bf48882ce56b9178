"""Bins hold what they say, the same way everywhere, and say which dimension needs cuts."""

import copy
import math
import pickle
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import assume, given
from hypothesis import strategies as st

import rlbench
from rlbench.envs.discretize import (
    Centers,
    Discretize,
    UniformBins,
    bin_bounds,
    bin_counts,
    bin_encoder,
    bin_indices,
    bins_of,
    inner_edges,
    make_bins,
    n_bins,
)
from rlbench.envs.flattening import FlattenDiscrete
from rlbench.errors import UsageError
from rlbench.store import open_store

UNIT = spaces.Box(-1.0, 1.0, (2,), np.float64)
CART = {"low": [-2.4, -2.0, None, -2.5], "high": [2.4, 2.0, None, 2.5]}


class Still(gym.Env):
    """Observes whatever it is told to."""

    action_space = spaces.Discrete(2)

    def __init__(self, space, observation=None):
        self.observation_space, self.told = space, observation

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.told, {}

    def step(self, action):
        return self.told, 0.0, False, False, {}


def bin_of(bins, *values):
    return bin_encoder(bins)(values)


def uniform_index(bins, values):
    """The documented arithmetic, in NumPy: min(max(floor(place), 0), count - 1), row-major."""
    places = np.floor((np.array(values) - bins.low) * bins.scale)
    return int(np.ravel_multi_index(tuple(np.clip(places, 0, bins.counts - 1).astype(int)), bins.counts))


def test_four_uniform_bins_cut_at_the_quarters():
    bins = make_bins(UNIT, [4, 3])
    assert bins.scale.tolist() == [2.0, 1.5]
    assert [bin_of(bins, x, -1) for x in (-1, -0.51, -0.5, 0, 0.49, 0.5, 1)] == [0, 0, 3, 6, 6, 9, 9]


def test_the_first_dimension_is_the_most_significant():
    bins = make_bins(UNIT, [4, 3])
    assert bin_of(bins, 0.6, 0.9) == 3 * 3 + 2
    assert (n_bins(bins), bin_counts(bins).tolist()) == (12, [4, 3])


@pytest.mark.parametrize("bins", [make_bins(UNIT, 5), make_bins(UNIT, cuts=[[-0.5, 0, 0.5], [0.0]])])
def test_values_outside_the_cuts_fall_in_the_outermost_bins_and_nan_in_bin_zero(bins):
    last = n_bins(bins) - 1
    assert bin_of(bins, 7, 1e308) == bin_of(bins, math.inf, math.inf) == last
    assert bin_of(bins, -7, -1e308) == bin_of(bins, -math.inf, -math.inf) == 0
    assert bin_of(bins, math.nan, math.nan) == 0


def test_a_cut_point_belongs_to_the_bin_above_it():
    bins = make_bins(UNIT, cuts=[[-0.5, 0.5], [0.0]])
    assert [bin_of(bins, x, -1) // 2 for x in (-0.51, -0.5, 0.49, 0.5)] == [0, 1, 1, 2]
    assert bins.offsets.tolist() == [0, 2, 3]
    assert (bins.cuts.dtype, bins.offsets.dtype) == (np.float64, np.int64)


def test_a_dimension_without_cuts_is_ignored():
    bins = make_bins(UNIT, cuts=[[], [0.0]])
    assert (n_bins(bins), bin_of(bins, 9, 1), bin_of(bins, -9, -1)) == (2, 1, 0)


def test_a_dimension_of_one_bin_is_ignored_even_where_its_bounds_are_infinite():
    bins = make_bins(spaces.Box(np.array([-np.inf, 0.0]), np.array([np.inf, 1.0]), dtype=np.float64), [1, 2])
    assert [bin_of(bins, x, 0.9) for x in (-math.inf, 3.0, math.inf)] == [1, 1, 1]


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2),
    low=st.floats(-1e3, 1e3),
    width=st.floats(1e-3, 1e3),
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=2),
)
def test_the_index_of_any_values_is_the_documented_arithmetic(values, low, width, counts):
    bins = make_bins(UNIT, counts, low=low, high=low + width)
    assert bin_of(bins, *values) == uniform_index(bins, values)


@given(
    cuts=st.lists(st.floats(-10, 10), max_size=8, unique=True).map(sorted),
    x=st.floats(allow_nan=False),
)
def test_the_index_by_cuts_is_how_many_of_them_are_not_above(cuts, x):
    assume(all(a < b for a, b in pairwise(cuts)))
    bins = make_bins(spaces.Box(-1, 1, (1,)), cuts=[cuts])
    assert bin_of(bins, x) == sum(cut <= x for cut in cuts)


@given(x=st.floats(-3, 3), y=st.floats(-3, 3), counts=st.lists(st.integers(1, 9), min_size=2, max_size=2))
def test_the_bounds_of_a_values_bin_hold_the_value(x, y, counts):
    bins = make_bins(UNIT, counts)
    low, high = bin_bounds(bins, bin_of(bins, x, y))
    assert np.all((low <= np.array([x, y]) + 1e-12) & (np.array([x, y]) - 1e-12 <= high))


def test_the_bounds_of_the_outermost_bins_are_infinite():
    low, high = bin_bounds(make_bins(UNIT, [4, 2]), 1)
    assert (low.tolist(), high.tolist()) == ([-math.inf, 0.0], [-0.5, math.inf])
    low, high = bin_bounds(make_bins(UNIT, cuts=[[-0.5, 0.5], []]), 1)
    assert (low.tolist(), high.tolist()) == ([-0.5, -math.inf], [0.5, math.inf])
    with pytest.raises(UsageError, match=r"bin must be in \[0, 8\), got 8"):
        bin_bounds(make_bins(UNIT, [4, 2]), 8)


def test_an_infinite_bound_is_refused_and_names_its_dimension():
    with pytest.raises(
        UsageError, match=r"dimension 1 has infinite bounds \(-inf, inf\): give low= and high=, or cuts="
    ):
        Discretize(gym.make("CartPole-v1"), 8)


def test_a_bound_as_large_as_float32_reaches_counts_as_infinite():
    huge = float(np.finfo(np.float32).max)
    with pytest.raises(UsageError, match="dimension 0 has infinite bounds"):
        make_bins(spaces.Box(-huge, huge, (1,)), 4)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "give bins"),
        ({"bins": 3, "cuts": [[0], [0]]}, "either bins"),
        ({"cuts": [[0], [0]], "low": 0}, "either bins"),
        ({"bins": 0}, "bins must be a whole number, 1 or more"),
        ({"bins": [3, 3, 3]}, r"or 2 of them, got \[3, 3, 3\]"),
        ({"bins": 2.5}, "bins must be a whole number"),
        ({"bins": True}, "bins must be a whole number"),
        ({"bins": 3, "low": [0.0]}, r"low must have one value per dimension \(2\), got 1"),
        ({"bins": 3, "low": 2.0}, r"dimension 0 needs low < high, got \(2.0, 1.0\)"),
        ({"bins": 3, "high": math.nan}, "dimension 0 has infinite bounds"),
        ({"cuts": [[0]]}, r"cuts must have one list per observation dimension \(2\), got 1"),
        ({"cuts": [[0], [1, 1]]}, r"cuts of dimension 1 must be finite and increase, got \[1.0, 1.0\]"),
        ({"cuts": [[0], ["a"]]}, "cuts of dimension 1 must be numbers, got"),
        ({"bins": 3, "low": "a"}, "low must be numbers, got"),
        ({"cuts": [[math.nan], [0]]}, "cuts of dimension 0 must be finite"),
        ({"bins": 2**40}, "more than Discrete can hold"),
    ],
)
def test_arguments_that_make_no_bins_are_refused_with_the_reason(arguments, reason):
    with pytest.raises(UsageError, match=reason):
        make_bins(UNIT, **arguments)


def test_a_space_that_is_no_box_is_refused():
    with pytest.raises(UsageError, match="bins need a Box observation space"):
        Discretize(gym.make("Taxi-v4"), 3)


def test_a_wrapped_cartpole_observes_the_bin_of_its_floats():
    env = Discretize(gym.make("CartPole-v1"), [3, 3, 6, 12], **CART)
    assert env.observation_space == spaces.Discrete(648)
    bare = gym.make("CartPole-v1")
    observation, state = env.reset(seed=3)[0], bare.reset(seed=3)[0]
    for action in [0, 1, 1, 0, 1] * 3:
        assert type(observation) is int
        assert observation == uniform_index(env.bins, state.astype(np.float64)) == env.bin_of(state)
        observation, state = env.step(action)[0], bare.step(action)[0]


def test_float32_observations_are_binned_as_the_float64_they_equal():
    space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    env = Discretize(Still(space, np.array([0.1], np.float32)), cuts=[[0.1]])
    assert float(np.float32(0.1)) > 0.1
    assert env.reset()[0] == 1


def test_a_box_of_several_axes_is_flattened_row_by_row():
    space = spaces.Box(0, 255, (2, 2), np.uint8)
    env = Discretize(Still(space, np.array([[0, 0], [255, 0]], np.uint8)), 2)
    assert env.reset()[0] == 0b0010
    assert env.bounds_of(0b0010)[0].tolist() == [-math.inf, -math.inf, 127.5, -math.inf]


def test_an_observation_of_the_wrong_size_has_no_bin():
    env = Discretize(gym.make("CartPole-v1"), 3, **CART)
    with pytest.raises(UsageError, match="observation must have 4 values, got 3"):
        env.bin_of([0, 0, 0])


@pytest.mark.parametrize(
    "arguments",
    [
        {"bins": np.array([3, 3, 6, 6]), "low": np.array([-2.4, -2, -0.2, -2.5]), "high": [2.4, 2, None, 2.5]},
        {"bins": 4, "low": -2, "high": np.float32(2)},
        {"cuts": (np.array([-0.5, 0.5]), (), [0], [0.25])},
    ],
)
def test_the_spec_survives_json_and_makes_the_same_bins(arguments):
    env = Discretize(gym.make("CartPole-v1"), **arguments)
    twin = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(twin, Discretize)
    assert data_equivalence(tuple(twin.bins), tuple(env.bins), exact=True)
    assert gym.make(env.spec).reset(seed=5)[0] == env.reset(seed=5)[0]


def test_a_compiled_world_can_tell_the_two_kinds_of_bins_by_type():
    assert isinstance(make_bins(UNIT, 3), UniformBins)
    assert [x.dtype for x in make_bins(UNIT, 3)] == [np.float64, np.float64, np.float64, np.int64]


# --- bins around centres


CORNERS = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]


def test_a_value_falls_in_the_bin_of_the_nearest_centre_and_of_equals_the_first():
    bins = make_bins(UNIT, centers=CORNERS)
    assert [bin_of(bins, *at) for at in ((0.4, 0.3), (0.6, 0.3), (0.3, 0.6), (0.5, 0.0), (0.5, 0.5))] == [0, 1, 2, 0, 0]
    assert n_bins(bins) == 3


def test_a_dimension_of_larger_scale_counts_less():
    bins = make_bins(UNIT, centers=[[0.0, 0.0], [1.0, 1.0]], scale=[1.0, 100.0])
    assert [bin_of(bins, *at) for at in ((0.4, 40.0), (0.6, -40.0))] == [0, 1]


@given(
    centers=st.lists(st.tuples(*[st.floats(-10, 10)] * 3), min_size=1, max_size=12),
    x=st.tuples(*[st.floats(-20, 20)] * 3),
    scale=st.tuples(*[st.floats(0.1, 10)] * 3),
)
def test_the_index_is_that_of_the_least_distance_as_documented(centers, x, scale):
    bins = make_bins(spaces.Box(-10, 10, (3,)), centers=centers, scale=scale)
    distances = []
    for center in centers:
        total = 0.0
        for i in range(3):
            part = (x[i] - center[i]) / scale[i]
            total += part * part
        distances.append(total)
    assert bin_of(bins, *x) == distances.index(min(distances))


MANY = [
    make_bins(UNIT, [5, 3]),
    make_bins(UNIT, cuts=[[-0.5, 0, 0.5], [0.0]]),
    make_bins(UNIT, centers=[[0.0, 0.0], [0.5, -0.5], [0.5, 0.5], [-1e200, 0.0]], scale=[1.0, 1e-3]),
]


@pytest.mark.parametrize("bins", MANY, ids=["uniform", "cuts", "centres"])
@given(rows=st.lists(st.tuples(st.floats(), st.floats()) | st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1))
def test_the_indices_of_many_observations_are_those_of_each(bins, rows):
    encode = bin_encoder(bins)
    assert bin_indices(bins, np.array(rows)).tolist() == [encode(row) for row in rows]


def test_values_without_a_finite_distance_fall_in_bin_zero():
    bins = make_bins(UNIT, centers=CORNERS)
    for x in (math.nan, math.inf, -math.inf, 1e300):
        assert bin_of(bins, x, 0.0) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"centers": CORNERS, "bins": 3}, "either centers"),
        ({"centers": CORNERS, "cuts": [[0], [0]]}, "either centers"),
        ({"bins": 3, "scale": 2.0}, "scale needs centers"),
        ({"centers": []}, r"centers must have the shape \(k, 2\)"),
        ({"centers": [[0.0], [1.0]]}, r"centers must have the shape \(k, 2\) with k >= 1, got \(2, 1\)"),
        ({"centers": [[0.0, math.nan]]}, "centers must be finite"),
        ({"centers": CORNERS, "scale": 0.0}, "scale finite and above 0"),
        ({"centers": CORNERS, "scale": [1.0, 1.0, 1.0]}, r"scale must be one number or 2 of them, got shape \(3,\)"),
        ({"centers": "abc"}, "centers must be numbers"),
    ],
)
def test_centres_that_make_no_bins_are_refused_with_the_reason(arguments, reason):
    with pytest.raises(UsageError, match=reason):
        make_bins(UNIT, **arguments)


def test_bins_round_centres_have_no_grid_and_no_edges():
    bins = make_bins(UNIT, centers=CORNERS)
    with pytest.raises(UsageError, match="bins around centres form no grid"):
        bin_counts(bins)
    with pytest.raises(UsageError, match="have no edges along the dimensions"):
        bin_bounds(bins, 0)
    env = Discretize(Still(UNIT, np.zeros(2)), centers=CORNERS)
    assert env.bin_of([0.9, 0.1]) == 1
    with pytest.raises(UsageError, match="observation must have 2 values, got 3"):
        env.bin_of([0.0, 0.0, 0.0])


def test_a_spec_with_centres_survives_json_and_makes_the_same_bins():
    centers = np.random.default_rng(0).normal(size=(20, 4))
    env = Discretize.from_kmeans(gym.make("CartPole-v1"), centers, scale=[1.0, 1.0, 0.1, 0.8])
    twin = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(twin.bins, Centers)
    assert data_equivalence(tuple(twin.bins), tuple(env.bins), exact=True)
    assert twin.observation_space == spaces.Discrete(20)
    assert [env.reset(seed=s)[0] for s in range(20)] == [twin.reset(seed=s)[0] for s in range(20)]


def test_a_fitted_kmeans_bins_as_it_predicts():
    pytest.importorskip("sklearn", reason="the extra models is not installed")
    from rlbench.models import KMeans

    random, scale = np.random.default_rng(0), np.array([1.0, 2.0, 0.1, 0.5])
    rows = random.normal(size=(500, 4)) * scale
    kmeans = KMeans(12, random_state=0).fit(rows / scale)
    env = Discretize.from_kmeans(gym.make("CartPole-v1"), kmeans, scale=scale)
    assert [env.bin_of(row) for row in rows] == kmeans.predict(rows / scale).tolist()
    with pytest.raises(UsageError, match=r"needs a fitted KMeans or its centres, got KMeans.*: call fit first"):
        Discretize.from_kmeans(env.env, KMeans(3))
    with pytest.raises(UsageError, match=r"centers must have the shape \(k, d\) and scale one number or d of them"):
        Discretize.from_kmeans(env.env, [1.0, 2.0])


SCALE = [1.0, 1.0, 0.1, 0.8]


def q_learning(env, steps, seed):
    """Trains on an env with few states, exploring less and less."""
    schedule = {
        "learning_rate": 0.5,
        "learning_rate_final": 0.01,
        "learning_rate_steps": steps,
        "gamma": 0.999,
        "exploration_schedule": "linear",
        "exploration_initial_eps": 1.0,
        "exploration_final_eps": 0.01,
        "exploration_steps": int(0.7 * steps),
    }
    return rlbench.train(env, "q-learning", total_timesteps=steps, seed=seed, agent_kwargs=schedule)


def centres_of_episodes(store, run, seed):
    """50 centres of the observations of a stored run."""
    from rlbench.models import KMeans

    rows = np.concatenate([episode.observations for episode in store.episodes(run)])
    some = rows[np.random.default_rng(seed).permutation(len(rows))[:20_000]]
    return KMeans(50, random_state=seed, max_iter=50).fit(some / SCALE)


@pytest.mark.long  # the program of docs/models.md, with its result
def test_centres_learnt_from_stored_episodes_let_q_learning_stand_for_500_steps_from_100_starts():
    pytest.importorskip("sklearn", reason="the extra models is not installed")
    seed = 0
    with open_store("memory://") as store:
        with rlbench.RecordEpisodes(gym.make("CartPole-v1"), store) as watched:
            rlbench.train(Discretize(watched, 1), "random", total_timesteps=3000, seed=seed)
        with rlbench.RecordEpisodes(gym.make("CartPole-v1"), store) as again:
            first = centres_of_episodes(store, watched.run.id, seed)
            q_learning(Discretize.from_kmeans(again, first, scale=SCALE), 30_000, seed)
        kmeans = centres_of_episodes(store, again.run.id, seed)
    env = Discretize.from_kmeans(gym.make("CartPole-v1"), kmeans, scale=SCALE)
    run = q_learning(env, 100_000, seed)
    evaluation = rlbench.evaluate(run.agent, env, episodes=100, seed=1)
    assert evaluation.returns.tolist() == [500.0] * 100


BINNED = {
    "uniform": lambda: gym.make("rlbench/DiscreteCartPole-v1"),
    "cuts": lambda: Discretize(gym.make("CartPole-v1"), cuts=[[0.0], [0.0], [-0.1, 0.1], [-1.0, 0.0, 1.0]]),
    "centers": lambda: Discretize(gym.make("CartPole-v1"), centers=[[0.0] * 4, [0.1] * 4, [0.0, 0.0, 0.1, 1.0]]),
    "numbered": lambda: FlattenDiscrete(gym.make("Blackjack-v1")),
}


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])  # noqa: S301 - our own
@pytest.mark.parametrize("kind", BINNED)
def test_a_copy_in_bins_goes_on_by_itself_as_the_original_would(kind, copied):
    env = BINNED[kind]()
    env.reset(seed=3)
    twin = copied(env)
    told = [twin.step(1)[:3], twin.reset()[0], twin.step(0)[:3]]
    assert [env.step(1)[:3], env.reset()[0], env.step(0)[:3]] == told


# ------------------------------------------------------------------ read off an env


def test_inner_edges_lie_between_the_bins():
    assert inner_edges(make_bins(UNIT, [4, 1]), 0) == [-0.5, 0.0, 0.5]
    assert inner_edges(make_bins(UNIT, [4, 1]), 1) == []
    assert inner_edges(make_bins(UNIT, cuts=[[], [-0.5, 0.25]]), 1) == [-0.5, 0.25]


def test_the_bins_of_an_env_are_its_own_or_a_wrappers_unless_its_number_is_changed_outside():
    pole, still = gym.make("rlbench/DiscreteCartPole-v1"), Still(UNIT, np.zeros(2))
    binned = Discretize(still, [4, 2])
    assert bins_of(pole) is pole.unwrapped.bins
    assert bins_of(gym.wrappers.TimeLimit(binned, 5)) is binned.bins
    assert bins_of(still) is None
    assert bins_of(gym.wrappers.TransformObservation(binned, lambda i: 7 - i, binned.observation_space)) is None

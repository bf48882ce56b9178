"""The envs of the book: their numbers, worked by hand or printed there, and how they are drawn."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.passive_env_checker import env_render_passive_checker

import rlbench
from rlbench.envs import TabularModel
from rlbench.envs.actions import action_names
from rlbench.envs.book import BOOK_ENVS
from rlbench.envs.compiled import compiled_world
from rlbench.envs.layouts import layout_of
from rlbench.envs.making import make_env, make_from_spec
from rlbench.envs.success import judge_of
from rlbench.errors import StoreError, UsageError

IDS = [env["id"] for env in BOOK_ENVS]


def uniform_values(env, gamma=1.0, **arguments):
    """The values of the policy that takes each action equally often, by solving its linear equations."""
    model = TabularModel.from_env(gym.make(env, **arguments))
    n = model.n_states
    share = model.probability / model.n_actions
    owner = np.repeat(np.arange(n), np.diff(model.offsets[:: model.n_actions]))
    onward = np.zeros((n, n))
    np.add.at(onward, (owner, model.successor), share * ~model.terminated)
    return np.linalg.solve(np.eye(n) - gamma * onward, np.bincount(owner, share * model.reward, n))


def walked(env, actions):
    """The states after these actions."""
    return [env.step(action)[0] for action in actions]


# ---------------------------------------------------------------------------------------------------- all of them


@pytest.fixture
def dummy(monkeypatch):
    """A display that nobody sees."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.mark.parametrize("env_id", IDS)
def test_a_manual_page_has_the_same_headings_for_every_env(env_id):
    text = type(gym.make(env_id).unwrapped).__doc__
    headings = [line.strip()[3:] for line in text.splitlines() if line.strip().startswith("## ")]
    assert headings == ["Source", "States", "Actions", "Rewards", "Start", "End", "Arguments", "Example"]


@pytest.mark.parametrize("env_id", IDS)
def test_every_action_has_a_name(env_id):
    env = gym.make(env_id)
    assert len(action_names(env)) == env.action_space.n


def some_states(env):
    base = env.unwrapped
    return [0] if base.why_no_table else np.flatnonzero(base.tabular_model().reachable())[:3].tolist()


@pytest.mark.parametrize("env_id", IDS)
def test_every_mode_draws_each_state_in_its_own_way(env_id, dummy):
    for mode in ("rgb_array", "ansi"):
        env = gym.make(env_id, render_mode=mode)
        states = some_states(env)
        seen = []
        for state in states:
            env.reset(options={"state": state})
            seen.append(env.render())
            env_render_passive_checker(env)
        assert len({np.asarray(look).tobytes() for look in seen}) == len(states)
    human = gym.make(env_id, render_mode="human").unwrapped
    human.metadata = {**human.metadata, "render_fps": 1000}
    human.reset(seed=0)
    human.step(0)
    assert human.render() is None
    human.close()


@pytest.mark.filterwarnings("ignore:.*not within the required range.*")
@pytest.mark.parametrize("env_id", IDS)
def test_gymnasiums_own_checker_passes_with_pictures(env_id):
    check_env(gym.make(env_id, render_mode="rgb_array").unwrapped, skip_render_check=True)


@pytest.mark.parametrize("env_id", IDS)
def test_a_copy_goes_on_as_the_env_would(env_id):
    env = gym.make(env_id, render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    env.render()
    one, other = copy.deepcopy(env), pickle.loads(pickle.dumps(env))  # noqa: S301  (our own bytes)
    assert one.step(0)[:3] == other.step(0)[:3] == env.step(0)[:3]


def test_a_state_to_start_in_must_be_one():
    env = gym.make("rlbench/RandomWalk-v0")
    assert env.reset(options={"state": 5})[0] == 5
    with pytest.raises(UsageError, match="state must be in 0 to 6, got 7"):
        env.reset(options={"state": 7})


HUGE = {
    "Gridworld": {"grid": "1000x999"},
    "RandomWalk": {"states": 999_999},
    "DynaMaze": {"maze": "S" + "." * 9_000 + "G", "scale": 10},
    "Gambler": {"goal": 5_000},
    "MaximizationBias": {"actions": 5_000},
    "Bandit": {"arms": 100_000},
    "Racetrack": {"track": "S" * 300 + "F" * 100},
    "CarRental": {"max_cars": 40},
    "AccessControl": {"servers": 300},
}


@pytest.mark.parametrize("env_id", HUGE)
def test_a_stored_spec_makes_none_that_is_huge(env_id):
    spec = copy.deepcopy(gym.spec(f"rlbench/{env_id}-v0"))
    assert make_from_spec(spec.to_json()).spec.id == f"rlbench/{env_id}-v0"
    spec.kwargs.update(HUGE[env_id])
    with pytest.raises(StoreError, match="states, more than"):
        make_from_spec(spec.to_json())


@pytest.mark.parametrize(("env_id", "name"), [("Gridworld", "grid"), ("DynaMaze", "maze"), ("Racetrack", "track")])
def test_a_map_is_a_text_of_a_bounded_size(env_id, name):
    with pytest.raises(UsageError, match=f"{name} must be a map, lines of the letters .*, got 5"):
        make_env(f"rlbench/{env_id}-v0", {name: 5})
    with pytest.raises(UsageError, match=f"{name} must have at most 1,000,000 squares, got 1,000,001"):
        make_env(f"rlbench/{env_id}-v0", {name: "." * 1_000_001})


# ---------------------------------------------------------------------------------------------------- random walk


def test_the_values_of_the_random_walk_are_sixths():
    assert uniform_values("rlbench/RandomWalk-v0")[1:-1] == pytest.approx(np.arange(1, 6) / 6)


def test_with_19_states_and_a_cost_on_the_left_they_are_tenths_from_minus_to_plus():
    values = uniform_values("rlbench/RandomWalk-v0", states=19, left_reward=-1)
    assert values[1:-1] == pytest.approx(np.arange(-9, 10) / 10)


def test_a_walk_ends_at_either_end_and_succeeds_on_the_right():
    env = gym.make("rlbench/RandomWalk-v0")
    judge = judge_of(env)
    for action, end, reward in ((0, 0, 0.0), (1, 6, 1.0)):
        assert env.reset(seed=0)[0] == 3
        *_, last = [env.step(action) for _ in range(3)]
        assert last[:3] == (end, reward, True)
        assert judge(end, True) == (action == 1)


def test_a_walk_has_a_state_in_the_middle():
    with pytest.raises(UsageError, match="states must be odd, so that one is in the middle, got 4"):
        gym.make("rlbench/RandomWalk-v0", states=4)


# ---------------------------------------------------------------------------------------------------- gridworlds

FIGURE_3_2 = [
    [3.3, 8.8, 4.4, 5.3, 1.5],
    [1.5, 3.0, 2.3, 1.9, 0.5],
    [0.1, 0.7, 0.7, 0.4, -0.4],
    [-1.0, -0.4, -0.4, -0.6, -1.2],
    [-1.9, -1.3, -1.2, -1.4, -2.0],
]
FIGURE_3_5 = [
    [22.0, 24.4, 22.0, 19.4, 17.5],
    [19.8, 22.0, 19.8, 17.8, 16.0],
    [17.8, 19.8, 17.8, 16.0, 14.4],
    [16.0, 17.8, 16.0, 14.4, 13.0],
    [14.4, 16.0, 14.4, 13.0, 11.7],
]
FIGURE_4_1 = [[0, -14, -20, -22], [-14, -18, -20, -20], [-20, -20, -18, -14], [-22, -20, -14, 0]]


def test_the_gridworld_has_the_values_of_figures_3_2_and_3_5():
    assert uniform_values("rlbench/Gridworld-v0", 0.9).reshape(5, 5) == pytest.approx(np.array(FIGURE_3_2), abs=0.051)
    best = rlbench.plan("rlbench/Gridworld-v0", gamma=0.9).values
    assert best.reshape(5, 5) == pytest.approx(np.array(FIGURE_3_5), abs=0.051)


def test_the_gridworld_with_two_corners_has_the_values_of_figure_4_1():
    values = uniform_values("rlbench/Gridworld-v0", grid="corners").reshape(4, 4)
    assert values == pytest.approx(np.array(FIGURE_4_1))


def test_every_action_leads_from_a_jump_to_its_end():
    env = gym.make("rlbench/Gridworld-v0")
    for start, end, reward in ((1, 21, 10.0), (3, 13, 5.0)):
        for action in range(4):
            env.reset(options={"state": start})
            assert env.step(action)[:2] == (end, reward)


def test_a_drawn_gridworld_has_walls_that_stop_and_goals_that_end():
    env = gym.make("rlbench/Gridworld-v0", grid="S.#\n..G", bump_reward=-5)
    up, right, down, left = range(4)
    env.reset(seed=0)
    assert [env.step(action)[:3] for action in (up, right, right, down, right)] == [
        (0, -5.0, False),
        (1, -1.0, False),
        (1, -5.0, False),
        (4, -1.0, False),
        (5, -1.0, True),
    ]
    assert env.unwrapped.tabular_model().reachable().tolist() == [True, True, False, True, True, False]
    assert env.step(left)[:3] == (5, 0.0, True)  # over


@pytest.mark.parametrize(
    ("grid", "complaint"),
    [
        ("..\n.", "grid must have lines of equal length, got \\[1, 2\\]"),
        (".x", "grid must be drawn with the letters .*, got 'x'"),
        ("G#", "grid must have a square to start on, 'S' or '.', got none"),
        ("A..", "one 'a' for its 'A' to lead to, got 0"),
        ("..b", "one 'b' for its 'B' to lead to, got 1"),
    ],
)
def test_a_map_that_cannot_be_read_is_refused(grid, complaint):
    with pytest.raises(UsageError, match=complaint):
        gym.make("rlbench/Gridworld-v0", grid=grid)


def test_an_empty_grid_has_the_size_asked_for():
    assert gym.make("rlbench/Gridworld-v0", grid="20x30").observation_space.n == 600


def test_a_board_says_where_its_squares_are():
    layout = layout_of(gym.make("rlbench/Gridworld-v0", grid="S.#\n..G"))
    assert layout.describe(5) == "row 1, column 2"
    assert (layout.blocks, layout.letters) == (((0, 2),), {(0, 0): "S", (1, 2): "G"})
    assert layout.arrows == {0: (0, -1), 1: (1, 0), 2: (0, 1), 3: (-1, 0)}
    narrow = gym.make("rlbench/Gridworld-v0", grid="2x2", render_mode="rgb_array")
    narrow.reset(options={"state": 3})
    picture = narrow.render()
    left, top, width, height = layout_of(narrow).box(1, 1, (picture.shape[1], picture.shape[0]))
    agent = np.argwhere((picture == (58, 110, 190)).all(axis=-1)).mean(axis=0)
    assert agent == pytest.approx([top + height / 2, left + width / 2], abs=2)


# ---------------------------------------------------------------------------------------------------- windy gridworld


@pytest.mark.parametrize(("moves", "best"), [(4, -15), (8, -7), (9, -7)])
def test_the_best_way_through_the_wind_takes_15_steps_and_with_kings_moves_7(moves, best):
    assert rlbench.plan(gym.make("rlbench/WindyGridworld-v0", moves=moves)).optimal_return == best


def test_the_wind_of_the_square_that_is_left_carries_up_and_the_edge_stops_it():
    env = gym.make("rlbench/WindyGridworld-v0")
    up, right, down, _ = range(4)
    for start, action, end in (
        ((3, 6), right, (1, 7)),
        ((3, 5), down, (3, 5)),
        ((0, 7), up, (0, 7)),
        ((3, 2), right, (3, 3)),
    ):
        env.reset(options={"state": start[0] * 10 + start[1]})
        assert divmod(env.step(action)[0], 10) == end


def test_a_stochastic_wind_varies_only_where_it_blows():
    table = gym.make("rlbench/WindyGridworld-v0", stochastic=True).unwrapped.P
    calm, windy = table[3 * 10 + 2][1], table[3 * 10 + 6][1]
    assert calm == [(1.0, 33, -1.0, False)]
    assert sorted(divmod(state, 10) for _, state, _, _ in windy) == [(0, 7), (1, 7), (2, 7)]
    assert [p for p, *_ in windy] == [1 / 3] * 3


def test_only_so_many_moves_are_known():
    with pytest.raises(UsageError, match="moves must be 4, 8 or 9, got 5"):
        gym.make("rlbench/WindyGridworld-v0", moves=5)


# ---------------------------------------------------------------------------------------------------- mazes


def shortest(**arguments):
    plan = rlbench.plan(gym.make("rlbench/DynaMaze-v0", **arguments), gamma=0.95)
    return round(np.log(plan.optimal_return) / np.log(0.95)) + 1


def test_the_shortest_ways_through_the_mazes_are_those_of_the_book():
    assert shortest() == 14
    assert (shortest(maze="blocking", changes_after=-1), shortest(maze="blocking", changes_after=0)) == (10, 16)
    assert (shortest(maze="shortcut", changes_after=-1), shortest(maze="shortcut", changes_after=0)) == (16, 10)


def test_a_larger_maze_has_the_same_shape_and_one_start():
    model = TabularModel.from_env(gym.make("rlbench/DynaMaze-v0", scale=3))
    assert (model.n_states, len(model.starts)) == (54 * 9, 1)
    assert shortest(scale=3) == 14 * 3 - 2  # it may stop at the first square of the goal
    assert TabularModel.from_env("maze").reachable().sum() == 54 - 7 - 1  # no wall, and not the goal


def test_a_maze_that_changes_does_so_after_its_steps_and_begins_anew_with_a_seed():
    env = gym.make("rlbench/DynaMaze-v0", maze="blocking", changes_after=5)
    up, right = 0, 1
    for _ in range(2):
        assert env.reset(seed=0)[0] == 5 * 9 + 3
        assert walked(env, [right] * 5) == [49, 50, 51, 52, 53]
        env.reset()  # without a seed: time goes on
        env.unwrapped.s = 4 * 9 + 8
        assert walked(env, [up]) == [4 * 9 + 8]  # the gap on the right has closed
    env.unwrapped.s = 3 * 9 + 8  # where a wall has come
    assert walked(env, [up]) == [2 * 9 + 8]


def test_a_maze_that_changes_says_that_it_has_no_table_and_has_no_compiled_counterpart():
    env = gym.make("rlbench/DynaMaze-v0", maze="shortcut")
    with pytest.raises(UsageError, match="changes after 3000 steps, which no table can say: make it with"):
        rlbench.plan(env)
    assert compiled_world(env) is None
    assert compiled_world(gym.make("rlbench/DynaMaze-v0", maze="shortcut", changes_after=0)) is not None


def test_a_run_in_a_maze_that_changes_goes_on_as_if_it_had_never_stopped(tmp_path):
    store, arguments = str(tmp_path / "runs.db"), {"maze": "blocking", "changes_after": 3000}
    whole = rlbench.train("maze", env_kwargs=arguments, episodes=9, seed=0)
    assert whole.lengths[:4].sum() < 3000 < whole.lengths[:8].sum()
    for episodes in (4, 8, 9):
        run = rlbench.train("maze", env_kwargs=arguments, episodes=episodes, seed=0, store=store)
    assert run.lengths.tolist() == whole.lengths.tolist()
    assert run.agent.q_table.tobytes() == whole.agent.q_table.tobytes()


# ---------------------------------------------------------------------------------------------------- gambler


def chance(capital, p_h):
    """The chance of bold play, for a capital in eighths of the goal."""
    if capital in (0, 8):
        return capital / 8
    stake = min(capital, 8 - capital)
    return p_h * chance(capital + stake, p_h) + (1 - p_h) * chance(capital - stake, p_h)


def test_the_gamblers_best_chances_are_those_of_bold_play():
    values = rlbench.plan("gambler").values
    assert values[[25, 50, 75]] == pytest.approx([0.16, 0.4, 0.64])
    eighths = rlbench.plan(gym.make("rlbench/Gambler-v0", goal=8, p_h=0.25)).values
    assert eighths[1:8] == pytest.approx([chance(capital, 0.25) for capital in range(1, 8)])


def test_in_a_favourable_game_the_least_stakes_are_best_as_in_the_gamblers_ruin():
    odds = 0.45 / 0.55
    best = rlbench.plan(gym.make("rlbench/Gambler-v0", p_h=0.55, goal=20)).values
    assert best[[1, 10]] == pytest.approx((1 - odds ** np.array([1, 10])) / (1 - odds**20))


def test_a_stake_is_at_most_the_capital_and_the_way_to_the_goal():
    env = gym.make("rlbench/Gambler-v0")
    _, info = env.reset(options={"state": 98})
    assert np.flatnonzero(info["action_mask"]).tolist() == [1, 2]
    assert env.step(3)[:3] == (98, 0.0, False)


# ---------------------------------------------------------------------------------------------------- maximisation bias


def test_right_is_best_in_a_and_left_costs_a_tenth():
    plan = rlbench.plan("maximization-bias")
    assert plan.q_values[0, :2] == pytest.approx([-0.1, 0.0])
    assert plan.policy[0] == 1
    _, info = gym.make("rlbench/MaximizationBias-v0").reset(seed=0)
    assert info["action_mask"].tolist() == [1, 1] + [0] * 8


def test_the_values_that_stand_for_a_normal_distribution_have_its_moments():
    model = TabularModel.from_env(gym.make("rlbench/MaximizationBias-v0", actions=2))
    drawn = model.reward[model.offsets[2] : model.offsets[3]] + 0.1
    assert len(drawn) == 100
    assert [drawn.mean(), drawn.var(), (drawn**3).mean()] == pytest.approx([0, 1, 0], abs=1e-12)
    assert (drawn**4).mean() == pytest.approx(3, abs=0.2)


# ---------------------------------------------------------------------------------------------------- access control


def test_more_free_servers_and_higher_payments_are_accepted_more_readily():
    accepts = rlbench.plan("access-control", gamma=0.999).policy.reshape(4, 11)
    assert (np.diff(accepts, axis=0) >= 0).all()
    assert (np.diff(accepts, axis=1) >= 0).all()
    assert accepts[3].tolist() == [0] + [1] * 10
    assert accepts[:, 0].tolist() == [0] * 4


def test_servers_become_free_by_a_binomial_chance_after_one_is_taken():
    table = gym.make("rlbench/AccessControl-v0", servers=2, p_free=0.5).unwrapped.P
    state = gym.make("rlbench/AccessControl-v0", servers=2).unwrapped.state
    outcomes = table[state(3, 1)][1]  # one of two is free; it is taken by a customer who pays 8
    assert {reward for _, _, reward, _ in outcomes} == {8.0}
    assert [sum(p for p, to, *_ in outcomes if to % 3 == free) for free in range(3)] == [0.25, 0.5, 0.25]
    assert table[state(3, 0)][1] == [(1.0, state(3, 0), 0.0, False)]


# ---------------------------------------------------------------------------------------------------- car rental

FIGURE_4_2 = {  # cars moved to the second location: by the cars at the first, with 0, 1, 2 ... at the second
    20: [5, 5, 5, 5, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 0, 0, 0],
    10: [4, 4, 3, 3, 2, 1, *[0] * 15],
    0: [0] * 8 + [-1, -1, -2, -2, -2, -3, -3, -3, -3, -3, -4, -4, -4],
}


def test_jack_moves_cars_as_in_figure_4_2():
    plan = rlbench.plan(gym.make("rlbench/CarRental-v0").unwrapped.tabular_model(), gamma=0.9)
    moved = plan.policy.reshape(21, 21) - 5
    assert {first: moved[first].tolist() for first in FIGURE_4_2} == FIGURE_4_2
    assert plan.values[0] == pytest.approx(421.4, abs=0.1)  # the least value drawn there is 420


def test_a_day_at_a_location_with_one_place_is_worked_by_hand():
    """A car that is there in the morning is there in the evening, unless it is rented and none comes back."""
    model = TabularModel.from_env(gym.make("rlbench/CarRental-v0", max_cars=1))
    rented, back = 1 - np.exp([-3.0, -4.0]), 1 - np.exp([-3.0, -2.0])
    table = model.P[0b11][5]  # a car at each, none is moved
    full = 1 - rented * (1 - back)
    assert {to: p for p, to, *_ in table} == pytest.approx(
        {0b00: (1 - full).prod(), 0b01: (1 - full[0]) * full[1], 0b10: full[0] * (1 - full[1]), 0b11: full.prod()}
    )
    assert [reward for _, _, reward, _ in table] == pytest.approx([10 * rented.sum()] * 4)
    assert model.P[0b01][6] == [(1.0, 0b01, 0.0, False)]  # there is no car to move


def test_the_exercise_shuttles_one_car_free_and_charges_for_full_lots():
    plain, changed = (gym.make("rlbench/CarRental-v0", exercise=exercise).unwrapped.P for exercise in (False, True))

    def cost(first, second, moved):
        state, action = first * 21 + second, moved + 5
        return round(plain[state][action][0][2] - changed[state][action][0][2], 9)

    assert (cost(5, 5, 1), cost(5, 5, 3), cost(5, 5, -1), cost(5, 5, 0)) == (-2, -2, 0, 0)
    assert (cost(11, 5, 0), cost(10, 10, 0), cost(11, 12, 0), cost(12, 10, 1)) == (4, 0, 8, 6)


# ---------------------------------------------------------------------------------------------------- racetracks

COAST, FASTER_RIGHT, FASTER_UP = 4, 5, 7


def test_the_tracks_have_the_size_of_those_in_figure_5_5():
    shapes = {name: gym.make("rlbench/Racetrack-v0", track=name).unwrapped.track for name in ("left", "right")}
    told = {name: (t.rows, t.cols, len(t.starts), len(t.finish)) for name, t in shapes.items()}
    assert told == {"left": (32, 17, 6, 6), "right": (30, 32, 23, 9)}


def test_a_car_gathers_speed_leaves_the_track_and_finishes():
    env = gym.make("rlbench/Racetrack-v0", track="....F\n.####\n.####\nS####", noise=0.0)
    squares = env.unwrapped.track.squares

    def at(row, col, up, right):
        return squares.index((row, col)) * 25 + up * 5 + right

    start = at(3, 0, 0, 0)
    assert env.reset(seed=0)[0] == start
    assert walked(env, [COAST]) == [start]
    assert walked(env, [FASTER_UP, FASTER_UP]) == [at(2, 0, 1, 0), at(0, 0, 2, 0)]
    assert walked(env, [COAST]) == [start]  # off the track: back to the line
    assert walked(env, [FASTER_UP, COAST, COAST]) == [at(2, 0, 1, 0), at(1, 0, 1, 0), at(0, 0, 1, 0)]
    assert walked(env, [1 + 1]) == [at(0, 1, 0, 1)]  # slower up, faster to the right
    assert walked(env, [FASTER_RIGHT]) == [at(0, 3, 0, 2)]
    assert walked(env, [3]) == [at(0, 4, 0, 0)]  # the finish
    assert env.unwrapped.tabular_model().n_states == 8 * 25


def test_a_car_stops_only_on_the_starting_line_and_noise_keeps_its_velocity():
    env = gym.make("rlbench/Racetrack-v0", track="...F\n...F\nSS##", noise=0.25)
    table, squares = env.unwrapped.P, env.unwrapped.track.squares
    moving = squares.index((1, 0)) * 25 + 1  # one to the right
    slower = 3
    assert table[moving][slower] == [(1.0, squares.index((1, 1)) * 25 + 1, -1.0, False)]
    wanted = squares.index((0, 1)) * 25 + 6
    assert table[moving][FASTER_UP] == [
        (0.75, wanted, -1.0, False),
        (0.25, squares.index((1, 1)) * 25 + 1, -1.0, False),
    ]
    on_the_line = squares.index((2, 0)) * 25 + 1
    assert table[on_the_line][slower][0] == (0.75, squares.index((2, 0)) * 25, -1.0, False)


def test_a_track_needs_a_start_and_a_finish():
    with pytest.raises(UsageError, match="track must have a start 'S' and a finish 'F', got 0 and 1 squares"):
        gym.make("rlbench/Racetrack-v0", track="..F")


# ---------------------------------------------------------------------------------------------------- bandits


def pulled(env, arms):
    """The reward of each arm pulled, in episodes of one pull."""
    rewards = []
    for arm in arms:
        observation, reward, terminated, truncated, _ = env.step(arm)
        assert (observation, terminated, truncated) == (0, True, False)
        rewards.append(reward)
        env.reset()
    return rewards


def test_the_arms_are_drawn_with_the_seed_and_stay():
    env = gym.make("rlbench/Bandit-v0").unwrapped
    _, info = env.reset(seed=3)
    values = env.values.copy()
    assert values.tolist() == np.random.Generator(np.random.PCG64(3)).standard_normal(10).tolist()
    assert info["best_arm"] == values.argmax()
    pulled(env, [0, 1])
    assert env.values.tolist() == values.tolist()
    env.reset(seed=4)
    assert env.values.tolist() != values.tolist()


def test_an_arm_gives_its_mean_and_standard_normal_noise():
    env = gym.make("rlbench/Bandit-v0", arms=2).unwrapped
    env.reset(seed=0)
    noise = np.array(pulled(env, [1] * 4000)) - env.values[1]
    assert noise.mean() == pytest.approx(0, abs=0.08)  # 5 standard errors: wrong by chance once in 1.7 million
    assert noise.std() == pytest.approx(1, abs=0.06)


def test_the_means_of_a_nonstationary_bandit_begin_equal_and_walk_by_a_hundredth():
    env = gym.make("rlbench/Bandit-v0", nonstationary=True).unwrapped
    env.reset(seed=0)
    assert env.values.tolist() == [0.0] * 10
    steps = []
    for _ in range(400):
        before = env.values.copy()
        pulled(env, [0])
        steps.append(env.values - before)
    assert np.std(steps) == pytest.approx(0.01, abs=0.0006)  # 5 standard errors


def test_the_arms_of_figure_2_5_are_around_4():
    env = gym.make("rlbench/Bandit-v0", mean=4.0).unwrapped
    plain = gym.make("rlbench/Bandit-v0").unwrapped
    for one in (env, plain):
        one.reset(seed=0)
    assert env.values == pytest.approx(plain.values + 4.0)
    runs = [
        rlbench.train("bandit", episodes=50, seed=0, engine=e, env_kwargs={"mean": 4.0}) for e in ("python", "compiled")
    ]
    assert runs[0].returns.tolist() == runs[1].returns.tolist()


@pytest.mark.parametrize("nonstationary", [False, True])
def test_a_bandit_pulls_the_same_in_both_loops_and_when_it_goes_on(nonstationary, tmp_path):
    arguments = {"agent": "q-learning", "env_kwargs": {"nonstationary": nonstationary}, "seed": 5}
    readable, compiled = (
        rlbench.train("bandit", episodes=300, engine=engine, **arguments) for engine in ("python", "compiled")
    )
    for episodes in (100, 300):
        longer = rlbench.train("bandit", episodes=episodes, store=str(tmp_path / "runs.db"), **arguments)
    for other in (compiled, longer):
        assert other.returns.tobytes() == readable.returns.tobytes()
        assert other.agent.q_table.tobytes() == readable.agent.q_table.tobytes()
    found = rlbench.verify(longer, episodes=[250])
    assert (found.episodes, found.mismatched, found.unverifiable) == (1, 0, 0)


def test_a_run_of_a_bandit_that_was_finished_is_gone_on_with_in_either_loop(tmp_path):
    whole = rlbench.train("bandit", episodes=60, seed=5)
    begun = rlbench.train("bandit", episodes=40, seed=5, store=str(tmp_path / "runs.db"))
    for engine in ("python", "compiled"):
        longer = rlbench.resume(begun, episodes=60, engine=engine)
        assert longer.returns.tolist() == whole.returns.tolist()


def test_an_env_that_was_used_before_draws_new_arms_for_a_run():
    env = gym.make("rlbench/Bandit-v0")
    first = rlbench.train(env, episodes=20, seed=0).returns.tolist()
    rlbench.train(env, episodes=20, seed=1)
    assert rlbench.train(env, episodes=20, seed=0).returns.tolist() == first


def test_a_bandit_has_no_table():
    with pytest.raises(UsageError, match="draws the means of its arms when it is seeded, so there is no table of it"):
        rlbench.plan("bandit")

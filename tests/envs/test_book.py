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
from rlbench.envs.layouts import layout_of
from rlbench.envs.making import make_from_spec, spec_json
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


@pytest.mark.parametrize("env_id", IDS)
def test_every_mode_draws_each_state_in_its_own_way(env_id, dummy):
    for mode in ("rgb_array", "ansi"):
        env = gym.make(env_id, render_mode=mode)
        states = np.flatnonzero(env.unwrapped.tabular_model().reachable())[:3].tolist()
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


def test_a_stored_spec_makes_none_that_is_huge():
    for env_id, arguments in {"Gridworld": {"grid": "1000x999"}, "RandomWalk": {"states": 999_999}}.items():
        assert make_from_spec(spec_json(gym.make(f"rlbench/{env_id}-v0"))).spec.id == f"rlbench/{env_id}-v0"
        huge = copy.deepcopy(gym.spec(f"rlbench/{env_id}-v0"))
        huge.kwargs.update(arguments)
        with pytest.raises(StoreError, match="more than 100,000"):
            make_from_spec(huge.to_json())


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
    assert (layout.hazards, layout.letters) == (((0, 2),), {(0, 0): "S", (1, 2): "G"})
    assert layout.arrows == {0: (0, -1), 1: (1, 0), 2: (0, 1), 3: (-1, 0)}
    narrow = gym.make("rlbench/Gridworld-v0", grid="2x2", render_mode="rgb_array")
    narrow.reset(options={"state": 3})
    picture = narrow.render()
    left, top, width, height = layout_of(narrow).box(1, 1, (picture.shape[1], picture.shape[0]))
    agent = np.argwhere((picture == (58, 110, 190)).all(axis=-1)).mean(axis=0)
    assert agent == pytest.approx([top + height / 2, left + width / 2], abs=2)

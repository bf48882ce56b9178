import copy
import doctest
import pickle
import re

import gymnasium as gym
import numpy as np
import pytest
from contracts.cities import calls_of, cities
from gymnasium.envs.registration import EnvSpec
from hypothesis import given, settings

from rlbench.envs import SafeCabEnv, TabularModel, safecab
from rlbench.envs.cities import make_city, parse_city
from rlbench.errors import UsageError
from rlbench.testing import check_model

SOUTH, NORTH, EAST, WEST, PICKUP, DROPOFF = range(6)
R, G, Y, B, TAXI = range(5)


def step_from(env, row, col, passenger, destination, action):
    """One step in the book's city: ((row, col, passenger, destination), reward, terminated, is_success)."""
    env.reset(options={"state": env.encode(row, col, passenger, destination)})
    state, reward, terminated, truncated, info = env.step(action)
    assert truncated is False
    return env.decode(state), reward, terminated, info["is_success"]


def by_the_rules(city, rewards, state, action):
    """What the issue's text says, square by square: (next state, reward, terminated)."""
    n = len(city.zones)
    step, delivery, illegal, anomaly = rewards
    square, passenger, destination = state // (n * (n + 1)), state // n % (n + 1), state % n
    row, col = divmod(square, city.cols)
    walls, reward, terminated = set(city.walls), step, False
    here = next((i for i, zone in enumerate(city.zones) if zone[1:] == (row, col)), None)
    if action == SOUTH:
        row = min(row + 1, city.rows - 1)
    elif action == NORTH:
        row = max(row - 1, 0)
    elif action == EAST:
        col += col + 1 < city.cols and (row, col) not in walls
    elif action == WEST:
        col -= col > 0 and (row, col - 1) not in walls
    elif action == PICKUP and passenger == here:
        passenger = n
    elif action == DROPOFF and passenger == n and here is not None:
        passenger = here
        if here == destination:
            reward, terminated = delivery, True
    else:
        reward = illegal
    if (row, col) in city.anomalies:
        reward, terminated = anomaly, True
    return ((row * city.cols + col) * (n + 1) + passenger) * n + destination, reward, terminated


@pytest.fixture
def env():
    return SafeCabEnv()


def test_a_move_goes_one_square_and_costs_one(env):
    assert step_from(env, 3, 3, R, G, SOUTH) == ((4, 3, R, G), -1.0, False, False)
    assert step_from(env, 3, 3, R, G, NORTH) == ((2, 3, R, G), -1.0, False, False)
    assert step_from(env, 3, 3, R, G, EAST) == ((3, 4, R, G), -1.0, False, False)
    assert step_from(env, 3, 3, TAXI, G, WEST) == ((3, 2, TAXI, G), -1.0, False, False)


@pytest.mark.parametrize(("row", "col", "action"), [(4, 0, SOUTH), (0, 1, NORTH), (3, 4, EAST), (3, 0, WEST)])
def test_a_move_over_the_border_stays_put_and_costs_one(env, row, col, action):
    assert step_from(env, row, col, R, G, action) == ((row, col, R, G), -1.0, False, False)


def test_a_wall_stops_the_taxi_from_both_sides_and_only_there():
    env = SafeCabEnv("|R|G|\n| : |")
    assert step_from(env, 0, 0, 0, 1, EAST)[:2] == ((0, 0, 0, 1), -1.0)
    assert step_from(env, 0, 1, 0, 1, WEST)[:2] == ((0, 1, 0, 1), -1.0)
    assert step_from(env, 1, 0, 0, 1, EAST)[:2] == ((1, 1, 0, 1), -1.0)


def test_picking_up_where_the_passenger_waits_costs_one(env):
    assert step_from(env, 0, 0, R, G, PICKUP) == ((0, 0, TAXI, G), -1.0, False, False)


@pytest.mark.parametrize(("row", "col", "passenger"), [(0, 0, G), (1, 1, R), (0, 0, TAXI), (3, 3, TAXI)])
def test_picking_up_where_nobody_waits_costs_ten(env, row, col, passenger):
    destination = B
    unchanged = (row, col, passenger, destination)
    assert step_from(env, *unchanged, PICKUP) == (unchanged, -10.0, False, False)


def test_delivering_at_the_destination_gives_a_thousand_and_ends(env):
    assert step_from(env, 4, 3, TAXI, B, DROPOFF) == ((4, 3, B, B), 1000.0, True, True)


def test_setting_down_at_another_zone_costs_one_and_leaves_the_passenger_there(env):
    assert step_from(env, 4, 0, TAXI, B, DROPOFF) == ((4, 0, Y, B), -1.0, False, False)


@pytest.mark.parametrize(("row", "col", "passenger"), [(1, 1, TAXI), (0, 0, R), (4, 3, R), (3, 3, G)])
def test_any_other_dropoff_costs_ten(env, row, col, passenger):
    unchanged = (row, col, passenger, B)
    assert step_from(env, *unchanged, DROPOFF) == (unchanged, -10.0, False, False)


@pytest.mark.parametrize(
    ("row", "col", "action"),
    [
        (0, 1, EAST),
        (0, 3, WEST),
        (1, 1, SOUTH),
        (3, 1, NORTH),
        (1, 2, SOUTH),
        (3, 2, NORTH),
        (2, 0, EAST),
        (4, 3, WEST),
    ],
)
def test_driving_onto_an_anomaly_costs_a_thousand_and_ends(env, row, col, action):
    _, reward, terminated, is_success = step_from(env, row, col, R, G, action)
    assert (reward, terminated, is_success) == (-1000.0, True, False)


@pytest.mark.parametrize("action", [NORTH, PICKUP, DROPOFF])
def test_staying_on_an_anomaly_is_being_on_one_whatever_the_action(env, action):
    assert step_from(env, 0, 2, R, G, action) == ((0, 2, R, G), -1000.0, True, False)


def test_one_may_drive_off_an_anomaly(env):
    assert step_from(env, 0, 2, R, G, EAST) == ((0, 3, R, G), -1.0, False, False)


@settings(max_examples=40)
@given(cities())
def test_in_any_city_the_table_is_what_the_rules_say(city):
    if city.n_states > 3000:
        return
    rewards = (-0.5, 7.0, -3.0, -20.0)
    names = ("step_reward", "delivery_reward", "illegal_reward", "anomaly_reward")
    tables = SafeCabEnv(str(city), **dict(zip(names, rewards, strict=True))).tables
    for state in range(city.n_states):
        told = [tables.successor[state].tolist(), tables.reward[state].tolist(), tables.terminated[state].tolist()]
        rules = [by_the_rules(city, rewards, state, action) for action in range(6)]
        assert list(zip(*told, strict=True)) == rules
        assert tables.mask[state].tolist() == [int(successor != state) for successor, _, _ in rules]


def test_with_the_walls_and_rewards_of_taxi_it_is_taxi():
    ours = SafeCabEnv("taxi", delivery_reward=20.0)
    theirs = gym.make("Taxi-v4").unwrapped
    assert ours.observation_space == theirs.observation_space
    for s in range(500):
        assert ours.P[s] == theirs.P[s]
        assert ours.tables.mask[s].tolist() == theirs.action_mask(s).tolist()
    assert np.array_equal(ours.initial_state_distrib, theirs.initial_state_distrib)


def test_its_steps_are_its_model():
    check_model("rlbench/SafeCab-v0")
    check_model(gym.make("rlbench/SafeCab-v0", city="downtown"))


def test_it_offers_its_table_as_toy_text_users_expect(env):
    state = env.encode(4, 3, TAXI, B)
    assert env.P[state][DROPOFF] == [(1.0, env.encode(4, 3, B, B), 1000.0, True)]
    assert (len(env.P), len(env.P[0])) == (500, 6)
    assert TabularModel.from_env("rlbench/SafeCab-v0").step_limit == 100


def test_a_reset_draws_each_of_the_300_starts_as_often():
    env = SafeCabEnv()
    env.reset(seed=11)
    counts = np.bincount([env.reset()[0] for _ in range(60_000)], minlength=500)
    starts = [s for s in range(500) if env.decode(s)[2] not in (TAXI, env.decode(s)[3])]
    assert np.flatnonzero(counts).tolist() == starts
    assert len(starts) == 300
    assert ((counts[starts] - 200) ** 2 / 200).sum() < 400  # chi-squared, 299 degrees: p < 1e-4
    assert env.initial_state_distrib[starts] == pytest.approx(1 / 300)
    assert env.initial_state_distrib.sum() == pytest.approx(1)


def test_a_reset_draws_one_number_and_a_step_none(env):
    env.reset(seed=5)
    env.step(EAST)
    twin = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5)))
    twin.random()
    assert env.np_random.bit_generator.state == twin.bit_generator.state


def test_an_episode_may_start_in_a_given_state(env):
    observation, info = env.reset(options={"state": np.int64(env.encode(0, 0, R, G))})
    assert (observation, type(observation)) == (env.encode(0, 0, R, G), int)
    assert info["action_mask"].tolist() == [1, 0, 1, 0, 1, 0]


def test_encode_is_the_issues_formula_and_decode_its_inverse(env):
    assert env.encode(3, 1, 2, 0) == ((3 * 5 + 1) * 5 + 2) * 4 + 0 == 328
    assert [env.encode(*env.decode(s)) for s in range(500)] == list(range(500))


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ((5, 0, 0, 0), "row must be in 0 to 4, got 5"),
        ((0, -1, 0, 0), "col must be in 0 to 4, got -1"),
        ((0, 0, 5, 0), "passenger must be in 0 to 4, got 5"),
        ((0, 0, 0, 4), "destination must be in 0 to 3, got 4"),
    ],
)
def test_a_place_outside_the_city_cannot_be_encoded(env, place, complaint):
    with pytest.raises(UsageError, match=complaint):
        env.encode(*place)


@pytest.mark.parametrize("state", [-1, 500])
def test_a_state_outside_the_table_can_neither_be_decoded_nor_started_from(env, state):
    with pytest.raises(UsageError, match=f"state must be in 0 to 499, got {state}"):
        env.decode(state)
    with pytest.raises(UsageError, match=f"got {state}"):
        env.reset(options={"state": state})


@pytest.mark.parametrize("action", [2.5, "south", None, [1]])
def test_an_action_is_a_whole_number(env, action):
    env.reset(seed=0)
    with pytest.raises(gym.error.InvalidAction, match="action must be a whole number, 0 to 5, got"):
        env.step(action)


def test_is_success_is_true_of_the_delivering_step_alone(env):
    at_green, beside_it = (env.encode(0, col, G, G) for col in (4, 3))
    assert env.is_success(at_green, True)
    assert not env.is_success(at_green, False)
    assert not env.is_success(beside_it, True)


def test_a_step_knows_a_delivery_from_an_anomaly_that_pays_the_same():
    env = SafeCabEnv(anomaly_reward=1000.0)
    assert step_from(env, 0, 1, R, G, EAST)[1:] == (1000.0, True, False)
    assert step_from(env, 0, 2, TAXI, G, DROPOFF)[1:] == (1000.0, True, False)
    assert step_from(env, 4, 3, TAXI, B, DROPOFF)[1:] == (1000.0, True, True)


def test_all_arguments_survive_json():
    kwargs = {
        "city": "6x8",
        "city_seed": 4,
        "step_reward": -2,
        "delivery_reward": 50.5,
        "illegal_reward": -7.0,
        "anomaly_reward": -99.0,
        "render_mode": "ansi",
    }
    env = gym.make("rlbench/SafeCab-v0", **kwargs)
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec.kwargs == env.spec.kwargs == kwargs
    assert again.unwrapped.city == env.unwrapped.city
    assert np.array_equal(again.unwrapped.tables.reward, env.unwrapped.tables.reward)
    drawn = gym.make("rlbench/SafeCab-v0", city=str(env.unwrapped.city))
    assert gym.make(EnvSpec.from_json(drawn.spec.to_json())).unwrapped.city == env.unwrapped.city


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None, True, 10**400])
def test_a_reward_is_a_finite_number(value):
    with pytest.raises(UsageError, match="anomaly_reward must be a finite number"):
        SafeCabEnv(anomaly_reward=value)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])  # noqa: S301 - our own
def test_a_copy_goes_on_by_itself_as_the_original_would(env, copied):
    env.reset(seed=3)
    twin = copied(env)
    before = env.s
    told = [twin.step(a)[:3] for a in (SOUTH, EAST, NORTH)]
    assert env.s == before
    assert [env.step(a)[:3] for a in (SOUTH, EAST, NORTH)] == told
    assert env.reset()[0] == twin.reset()[0]


def test_the_tables_cannot_be_written_to(env):
    for table in env.tables:
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 0


def test_writing_to_a_mask_changes_no_later_one(env):
    _, info = env.reset(options={"state": 0})
    info["action_mask"][:] = 9
    assert env.reset(options={"state": 0})[1]["action_mask"].max() == 1


def test_cities_of_50x50_work_and_of_200x200_are_built_without_a_loop_over_their_states():
    env = gym.make("rlbench/SafeCab-v0", city="50x50")
    assert env.observation_space.n == 50 * 50 * 20
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    large = SafeCabEnv("200x200", city_seed=9)
    assert large.tables.successor.shape == large.tables.reward.shape == (800_000, 6)
    assert (large.tables.successor.dtype, large.tables.reward.dtype) == (np.int32, np.float64)
    assert len(large.tables.starts) == 200 * 200 * 4 * 3
    assert large.P[799_999][SOUTH][0][0] == 1.0
    drawn = make_city("40x40", 9)
    assert calls_of(lambda: SafeCabEnv(str(drawn))) < drawn.n_states


# ---------------------------------------------------------------- drawing


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def drawn(row, col, passenger, destination, city="book"):
    env = SafeCabEnv(city, render_mode="ansi")
    env.reset(options={"state": env.encode(row, col, passenger, destination)})
    return env.render()


def test_without_its_colours_a_drawing_is_the_map():
    assert plain(drawn(3, 3, R, G)) == str(SafeCabEnv().city)


def test_the_empty_taxi_is_yellow_the_passenger_blue_the_destination_magenta_and_anomalies_red():
    lines = drawn(3, 3, R, G).splitlines()
    assert lines[1] == "|\x1b[34;1mR\x1b[0m: :\x1b[31mA\x1b[0m: :\x1b[35;1mG\x1b[0m|"
    assert lines[4] == "| : : :\x1b[43m \x1b[0m: |"


def test_the_taxi_with_its_passenger_is_green():
    text = drawn(3, 3, TAXI, G)
    assert "| : : :\x1b[42m \x1b[0m: |" in text
    assert "\x1b[34" not in text


def test_a_taxi_at_a_zone_leaves_its_letter_and_colour_to_be_seen():
    assert "\x1b[43m\x1b[34;1mR\x1b[0m\x1b[0m" in drawn(0, 0, R, G)


def test_a_drawing_is_a_city_with_its_colours_and_after_any_action():
    env = SafeCabEnv("downtown", render_mode="ansi")
    env.reset(seed=2)
    names = []
    for action in range(6):
        env.step(action)
        names.append(env.render().splitlines()[-1].strip())
        assert parse_city(env.render()) == parse_city(plain(env.render())) == env.city
    assert names == ["(South)", "(North)", "(East)", "(West)", "(Pickup)", "(Dropoff)"]


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(UsageError, match="render_mode must be None, 'human', 'rgb_array', 'ansi', got 'svg'"):
        SafeCabEnv(render_mode="svg")


def test_drawing_before_the_first_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded):
        SafeCabEnv(render_mode="ansi").render()


def test_its_manual_page_has_the_headings_of_gymnasiums_and_its_example_is_true():
    headings = re.findall(r"^ *## (.*)$", SafeCabEnv.__doc__, re.MULTILINE)
    expected = ["Description", "Action Space", "Observation Space", "Starting State", "Rewards", "Episode End"]
    assert headings == [*expected, "Information", "Arguments", "Example", "Version History"]
    assert doctest.testmod(safecab).attempted > 0
    assert doctest.testmod(safecab).failed == 0


def test_its_manual_page_shows_the_books_city():
    lines = [line.strip() for line in SafeCabEnv.__doc__.splitlines()]
    assert "\n".join(line for line in lines if line.startswith(("|", "+--"))) == str(SafeCabEnv().city)

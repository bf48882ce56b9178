"""`rlbench play`: a person drives, and what they do is stored."""

import sys

import gymnasium as gym
import numpy as np
import pytest

import rlbench as library
from rlbench.envs.drawing import BAD, GOOD
from rlbench.errors import UsageError
from rlbench.planning import value_iteration
from rlbench.store import open_store
from rlbench.viewer.driving import Driver
from rlbench.viewer.playing import Wheel, caption_of


@pytest.fixture
def drive(rlbench, monkeypatch):
    """A function that plays in a terminal with these keys, and then quits."""

    class Keys:
        def __init__(self):
            self.sent = []

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def wait(self):
            return [self.sent.pop(0)] if self.sent else ["q"]

    keys = Keys()
    monkeypatch.setattr("rlbench.cli.play.Keyboard", lambda: keys)
    monkeypatch.setattr("rlbench.cli.play.can_be_read", lambda: True)

    def play(*arguments, sent=()):
        keys.sent = list(sent)
        return rlbench("play", *arguments, "--render", "ansi")

    return play


def shortest(env, state):
    """The keys of a best trip from a state."""
    names = {0: "down", 1: "up", 2: "right", 3: "left", 4: "p", 5: "d"}
    policy = value_iteration(env.unwrapped.tabular_model(), 0.99).q_values.argmax(axis=1).tolist()
    keys, ended = [], False
    env.reset(options={"state": state})
    while not ended:
        keys.append(names[policy[state]])
        state, _, terminated, truncated, _ = env.step(policy[state])
        ended = terminated or truncated
    return keys


# ------------------------------------------------------------------ the command


def test_what_is_driven_is_stored_as_a_human_run(drive):
    outcome = drive("safecab", "--seed", 0, sent=["up", "down", "p", "enter", "left"])
    with open_store("rlbench.db") as store:
        run = library.load_run(store, "latest")
        assert [episode.actions.tolist() for episode in store.episodes(run.id)] == [[1, 0, 4], [3]]
        assert (run.agent_name, run.record.tags, run.seed, run.status) == ("human", ("human",), 0, "finished")
        assert library.verify(run).mismatched == 0
    assert outcome.code == 0
    assert outcome.out.splitlines()[-2:] == [
        f"run {run.id}: 2 episodes, 4 steps, tagged human",
        f"see them: rlbench replay {run.id}   learn from them: rlbench retrain {run.id}",
    ]


def test_a_ride_of_a_person_is_replayed_like_any_other(drive, rlbench):
    drive("safecab", "--seed", 0, sent=["up", "down"])
    assert rlbench("replay", "latest", "--json").document["actions"] == [1, 0]
    assert rlbench("replay", "latest", "--verify").code == 0


def test_an_agent_learns_from_what_a_person_drove(drive):
    seeds = range(4)
    trips = []
    for seed in seeds:
        env = gym.make("rlbench/SafeCab-v0")
        state, _ = env.reset(seed=seed)
        drive("safecab", "--seed", seed, "--store", "driving.db", sent=shortest(env, state))
        trips.append(state)
    with open_store("driving.db") as store:
        runs = [library.Run(record, store) for record in store.runs()]
        assert sorted(float(run.returns[0]) > 900 for run in runs) == [True] * 4
        learnt = library.retrain(runs, agent_kwargs={"learning_rate": 1.0})
        for state in trips:
            env = gym.make("rlbench/SafeCab-v0")
            observation, _ = env.reset(options={"state": state})
            ended, total = False, 0.0
            while not ended:
                action = learnt.run.agent.act(observation, explore=False)
                observation, reward, terminated, truncated, _ = env.step(action)
                ended, total = terminated or truncated, total + reward
            assert total > 900


def test_who_drives_nothing_leaves_nothing(drive, rlbench):
    outcome = drive("safecab", sent=[])
    assert outcome.out.splitlines()[-1] == "nothing was driven, nothing is stored"
    with open_store("rlbench.db") as store:
        assert store.runs() == []


def test_settings_of_the_env_are_taken(drive):
    drive("safecab", "--env-set", "city=30x30", "--seed", 0, sent=["up"])
    with open_store("rlbench.db") as store:
        assert store.episodes("latest")[0].observations.max() >= 500


def test_without_a_terminal_text_is_refused(rlbench):
    outcome = rlbench("play", "safecab", "--render", "ansi")
    assert (outcome.code, outcome.err) == (
        2,
        "Error: --render ansi reads keys from a terminal, and there is none: drive in one\n",
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_without_a_display_a_window_is_refused(rlbench, monkeypatch, tmp_path):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    outcome = rlbench("play", "safecab")
    assert outcome.code == 2
    assert "there is no display: use --render ansi" in outcome.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("safecap",), "unknown env 'safecap'"),
        (("CartPole-v1",), "CartPole-v1 cannot be drawn with --render ansi: try --render human"),
        (("safecab", "--env-set", "city=nowhere"), "nowhere"),
    ],
)
def test_an_env_that_cannot_be_driven_is_refused(drive, tmp_path, arguments, said):
    outcome = drive(*arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ keys become actions


def cab(state=None):
    env = gym.make("rlbench/SafeCab-v0", render_mode="rgb_array")
    driver = Driver(env, 0)
    if state is not None:
        driver.observation, _ = env.reset(options={"state": env.unwrapped.encode(*state)})
    return driver


def test_arrows_drive_where_they_point():
    driver = cab((2, 3, 0, 2))
    for key, place in (("up", (1, 3)), ("right", (1, 4)), ("down", (2, 4)), ("left", (2, 3))):
        assert driver.press(key)
        assert driver.env.unwrapped.decode(driver.observation)[:2] == place


def test_space_picks_up_and_then_sets_down():
    driver = cab((0, 0, 0, 2))
    driver.press("space")
    assert driver.action == 4
    driver.press("space")
    assert driver.action == 5


@pytest.mark.parametrize("key", ["x", "9", "home", "", "²"])
def test_other_keys_do_nothing(key):
    driver = cab()
    assert not driver.press(key)
    assert (driver.steps, driver.all_steps) == (0, 0)


def test_digits_are_actions_in_any_env():
    driver = Driver(gym.make("Blackjack-v1"), 0)
    assert driver.press("0")
    assert driver.help == "0 to 1 act; Enter: next; q: quit"


def test_after_the_end_nothing_is_done_until_the_next_episode():
    driver = cab((0, 1, 1, 2))
    driver.press("right")  # onto an anomaly
    assert driver.is_over
    assert not driver.press("left")
    assert caption_of(driver)[2:] == ("East", "anomaly", BAD)
    assert (driver.episodes, driver.all_steps) == (1, 1)
    driver.begin()
    assert (driver.steps, driver.total, driver.is_over) == (0, 0.0, False)


def test_a_delivery_is_told():
    driver = cab((0, 0, 0, 2))
    for key in ("p", "down", "down", "down", "down", "d"):
        driver.press(key)
    assert caption_of(driver) == (6, 995.0, "Dropoff", "delivered", GOOD)


def test_only_discrete_actions_have_keys():
    with pytest.raises(UsageError, match="driving with keys needs Discrete actions"):
        Driver(gym.make("Pendulum-v1"))


# ------------------------------------------------------------------ the window


@pytest.fixture
def wheel(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    made = []
    yield lambda driver: made.append(Wheel(driver)) or made[-1]
    for one in made:
        one.close()


def pixels(wheel):
    from rlbench.envs._pygame import pygame

    return pygame.surfarray.array3d(wheel.screen)


def test_a_move_is_shown_as_motion(wheel):
    window = wheel(cab((2, 3, 0, 2)))
    window.draw()
    seen = [pixels(window)]
    window.driver.press("up")
    window._since = 0.0
    for seconds in (0.02, 0.05, 1.0):
        window.draw(seconds)
        seen.append(pixels(window))
    assert len({picture.tobytes() for picture in seen}) == 4


def test_an_env_that_draws_itself_is_driven_in_its_own_pictures(wheel):
    window = wheel(Driver(gym.make("rlbench/DiscreteCartPole-v1", render_mode="rgb_array"), 0))
    window.draw()
    before = pixels(window)
    for _ in range(5):
        window.driver.press("right")
    window.draw()
    assert not np.array_equal(before, pixels(window))


def test_an_env_that_has_no_pictures_is_refused(wheel):
    with pytest.raises(UsageError, match="cannot draw itself in a window: use --render ansi"):
        wheel(Driver(gym.make("FrozenLake-v1", render_mode="ansi"), 0))

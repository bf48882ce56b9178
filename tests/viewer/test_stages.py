"""Stages and clips: every step of an episode as a picture with its caption."""

import gymnasium as gym
import numpy as np
import pytest

import rlbench
from rlbench.envs import drawing
from rlbench.envs.drawing import BAD, GOOD, STRANGE, Caption, Frame
from rlbench.envs.layouts import map_of
from rlbench.errors import UsageError
from rlbench.viewer import files
from rlbench.viewer.clips import LiveClips, StoredClips
from rlbench.viewer.films import Film, card
from rlbench.viewer.rides import Random, drive, pace_of, random_ride, ride_of
from rlbench.viewer.stages import CityStage, FilmStage, captions, city_of, deciding_state, frames, live_stage
from rlbench.viewer.value_maps import value_map
from rlbench.viewer.values import Veils

EAST, NORTH, SOUTH = 2, 1, 0


@pytest.fixture
def scenes(monkeypatch):
    """The scenes that are painted."""
    seen = []
    paint = drawing.CityPicture.paint
    monkeypatch.setattr(
        drawing.CityPicture,
        "paint",
        lambda self, canvas, scene, veil=None: seen.append(scene) or paint(self, canvas, scene, veil),
    )
    return seen


def shown(stage, *moments):
    frame = Frame(*stage.size)
    for moment in moments:
        stage.paint(frame.picture, *moment)
    return frame.pixels()


# ------------------------------------------------------------------ the city


def test_each_step_shows_the_stored_state_and_the_cab_faces_its_last_move(trip, scenes):
    world = rlbench.envs.SafeCabEnv()
    shown(CityStage(world, trip), *((step,) for step in range(8)))
    assert [scene[:4] for scene in scenes] == [world.decode(state) for state in trip.observations]
    assert [scene.heading for scene in scenes] == [EAST, NORTH, NORTH, SOUTH, SOUTH, SOUTH, SOUTH, SOUTH]


def test_between_two_steps_the_cab_is_between_two_squares(trip, scenes):
    stage = CityStage(rlbench.envs.SafeCabEnv(), trip)
    shown(stage, (3, 0.0), (3, 0.5), (3, 1.0))
    assert [scene.row for scene in scenes] == [0.0, 0.5, 1.0]


def test_a_passenger_boards_at_the_end_of_the_pickup(trip, scenes):
    shown(CityStage(rlbench.envs.SafeCabEnv(), trip), (2, 0.5), (2, 1.0))
    assert [scene.passenger for scene in scenes] == [0, 4]


def test_the_start_has_nothing_before_it(trip, scenes):
    shown(CityStage(rlbench.envs.SafeCabEnv(), trip), (0, 0.3))
    assert scenes[0].row == 0


def test_a_city_fits_into_the_room_there_is(trip):
    stage = CityStage(rlbench.envs.SafeCabEnv(), trip)
    stage.fit(1000, 535)
    assert stage.size == (530, 530)
    stage.fit(530, 10_000)
    assert stage.size == (530, 530)


def test_an_env_whose_observations_are_not_its_states_is_no_city():
    class Blurred(gym.ObservationWrapper):
        def __init__(self, env):
            super().__init__(env)
            self.observation_space = gym.spaces.Discrete(5)

        def observation(self, observation):
            return observation % 5

    assert city_of(gym.make("rlbench/SafeCab-v0")) is not None
    assert city_of(Blurred(gym.make("rlbench/SafeCab-v0"))) is None
    assert city_of(gym.make("FrozenLake-v1")) is None


# ------------------------------------------------------------------ captions


def test_captions_count_steps_and_returns_and_name_actions_exploration_and_the_end(trip):
    found = captions(gym.make("rlbench/SafeCab-v0"), trip)
    assert found[0] == Caption()
    assert found[1] == Caption(1, -1.0, "North", "exploring", STRANGE)
    assert found[2] == Caption(2, -2.0, "Pickup")
    assert found[7] == Caption(7, 994.0, "Dropoff", "delivered", GOOD)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"observations": np.full(8, 20)}, ("anomaly", BAD)),  # beside the zones
        ({"terminated": False, "truncated": True}, ("truncated", drawing.STRIP_TEXT)),
        ({"terminated": False}, ("cut off", drawing.STRIP_TEXT)),
    ],
)
def test_every_end_is_named(trip, change, note):
    other = type(trip)(**{**vars(trip), **change})
    assert captions(gym.make("rlbench/SafeCab-v0"), other)[-1][3:] == note


def test_actions_of_envs_that_are_known_have_names_and_others_numbers(cart_run):
    clip = StoredClips(cart_run)[0]
    assert {caption.action for caption in clip.captions[1:]} <= {"Left", "Right"}
    env = gym.make("Blackjack-v1")
    episode = drive(env, type("Sticks", (), {"act": lambda *_, **__: 0})(), 0, 5)
    assert captions(env, episode)[1].action == "Stick"
    changed = gym.wrappers.TransformAction(env, lambda action: 1 - action, env.action_space)
    assert captions(changed, episode)[1].action == "0"


# ------------------------------------------------------------------ envs that draw themselves


def test_a_film_can_be_stepped_back_exactly():
    pictures = [np.full((2, 3, 3), k, np.uint8) for k in range(4)]
    film = Film(iter(pictures))
    for step in (2, 0, 3, 1):
        assert np.array_equal(film[step], pictures[step])


def test_a_stored_cart_is_drawn_where_it_was(cart_run, dummy):
    clip = StoredClips(cart_run)[3]
    env = cart_run.make_env(render_mode="rgb_array")
    env.reset(seed=0)
    chunk = next(iter(cart_run.store.chunks(cart_run.id)))
    rlbench.random_state.set_generator_state(env.unwrapped.np_random, chunk.env_rng)
    for episode in list(cart_run.store.episodes(cart_run.id))[:4]:
        env.reset()
        expected = [env.render()]
        for action in episode.actions:
            env.step(action)
            expected.append(env.render())
    found = [frame[:400] for frame in frames(clip.stage, clip.captions)]
    assert len(found) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_an_episode_that_cannot_be_played_again_is_shown_as_text_with_a_warning(cart_run, dummy):
    episode = cart_run.store.episodes(cart_run.id)[0]
    other = type(episode)(
        **{**vars(episode), "observations": np.where(np.arange(len(episode) + 1) == 2, 0, episode.observations)}
    )
    from rlbench.viewer.stages import stored_stage

    stage = stored_stage(cart_run, other, cart_run.make_env())
    with pytest.warns(RuntimeWarning, match="episode 0 cannot be played again from step 2 on"):
        pictures = list(frames(stage, captions(cart_run.make_env(), other)))
    assert len(pictures) == len(episode) + 1
    assert len({picture.shape for picture in pictures}) == 1


def test_toy_text_envs_are_placed_and_drawn(dummy):
    run = rlbench.train("FrozenLake-v1", episodes=5, seed=0, store=None)
    clip = StoredClips(run)[0]
    pictures = [picture.tobytes() for picture in frames(clip.stage, clip.captions)]
    assert len(pictures) == len(clip.episode) + 1
    assert len(set(pictures)) > 1


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"])
def test_values_lie_over_the_squares_of_toy_text_envs_and_not_over_the_agent(env_id, dummy):
    ride = random_ride(env_id)
    episode = drive(ride.make_env(), Random(ride.make_env(), 0), 0, 6)
    stage, layout = live_stage(ride.make_env, episode, 0), map_of(ride.make_env())
    table = np.random.default_rng(0).random((layout.states.size, len(layout.actions)))
    plain = shown(stage, (1,))
    stage.veils = Veils(table, layout)
    is_veiled = (shown(stage, (1,)) != plain).any(axis=-1)
    size = stage.size
    middles = np.zeros(layout.panel_shape, bool)
    for square in np.ndindex(layout.panel_shape):
        left, top, width, height = layout.box(*square, size)
        middles[square] = is_veiled[top + height // 2, left + width // 4]
        is_veiled[top : top + height, left : left + width] = False
    bare = {layout.find(int(episode.observations[1]))[2:], *layout.hazards}
    assert {tuple(square) for square in np.argwhere(~middles).tolist()} == bare
    assert not is_veiled.any()


def test_at_the_end_the_map_is_that_of_the_last_decision(trip, scenes):
    stage = CityStage(rlbench.envs.SafeCabEnv(), trip)
    assert [deciding_state(stage, step) for step in (0, 6, 7)] == [trip.observations[step] for step in (0, 6, 6)]
    assert deciding_state(stage, 6, 0.5) == trip.observations[5]


def test_nothing_lies_where_nothing_was_learnt():
    layout = map_of(gym.make("FrozenLake-v1"))
    table = np.zeros((16, 4))
    table[[4, 8, 5], [0, 1, 2]] = [0.5, 1.0, 9.0]  # 5 is a hole
    found = value_map(table, layout, (0, 0))
    assert (found.low, found.high) == (0.5, 1.0)
    assert np.argwhere(found.best >= 0).tolist() == [[1, 0], [2, 0]]


def test_films_are_scaled_to_the_room_there_is():
    stage = FilmStage(Film(iter([np.full((100, 200, 3), 70, np.uint8)] * 2)))
    assert stage.size == (200, 100)
    stage.fit(400, 1000)
    assert stage.size == (400, 200)
    assert (shown(stage, (1,))[:200] == 70).all()


def test_an_env_that_cannot_draw_itself_is_refused():
    class Mute(gym.Env):
        observation_space = action_space = gym.spaces.Discrete(2)

    with pytest.raises(UsageError, match="Mute cannot draw itself: use --render ansi"):
        live_stage(lambda **_: Mute(), None, 0)


def test_a_card_shows_its_lines():
    assert card(["step 3", "observation"]).shape == (400, 400, 3)
    assert not np.array_equal(card(["a"]), card(["b"]))


# ------------------------------------------------------------------ clips


def test_stored_clips_are_the_episodes_of_the_run(cab_run):
    clips = StoredClips(cab_run)
    assert len(clips) == cab_run.episodes
    clip = clips[17]
    assert clip.title == f"run {cab_run.id}, episode 17 of {cab_run.episodes - 1}: q-learning on rlbench/SafeCab-v0"
    assert np.array_equal(clip.episode.actions, cab_run.store.episodes(cab_run.id)[17].actions)
    assert clips.action_values.shape == (500, 6)


def test_live_clips_are_greedy_episodes_one_a_seed(cab_run):
    clips = LiveClips(ride_of(cab_run), first=3)
    env = cab_run.make_env()
    observation, _ = env.reset(seed=4)
    clip = clips[1]
    assert clip.title.endswith("driving greedily, seed 4")
    assert clip.episode.observations[0] == observation
    assert clip.episode.terminated
    assert clip.episode.rewards[-1] == 1000
    assert clip.episode.actions.tolist() == [
        cab_run.agent.act(o, explore=False) for o in clip.episode.observations[:-1]
    ]


def test_an_episode_without_an_end_is_left(cab_run):
    lazy = type("Circles", (), {"act": lambda self, observation, explore: 4})()
    episode = drive(cab_run.make_env(), lazy, 0, 7)
    assert (len(episode), episode.terminated, episode.truncated) == (7, False, False)


def test_a_run_without_a_table_has_no_action_values(tmp_path):
    env = rlbench.RecordEpisodes(gym.make("rlbench/SafeCab-v0"), tmp_path / "r.db")
    env.reset(seed=0)
    env.step(0)
    env.close()
    assert StoredClips(env.run).action_values is None
    random = rlbench.train("safecab", "random", episodes=3, seed=0, store=None)
    assert StoredClips(random).action_values is None
    assert LiveClips(ride_of(random)).action_values is None


def test_the_pace_is_the_envs():
    assert pace_of(gym.make("rlbench/SafeCab-v0")) == 4
    assert pace_of(gym.make("CartPole-v1")) == 50


def test_a_gif_of_a_hundred_steps_is_under_500_kilobytes(tmp_path):
    env = rlbench.envs.SafeCabEnv()
    wanderer = type("Wanders", (), {"act": lambda self, observation, explore: (3, 1, 0, 2)[observation // 7 % 4]})()
    episode = drive(gym.make("rlbench/SafeCab-v0", city="taxi"), wanderer, 0, 100)
    assert len(episode) == 100
    stage = CityStage(env, episode)
    path = files.save(tmp_path / "a.gif", frames(stage, captions(env, episode)), fps=4)
    assert path.stat().st_size < 500_000

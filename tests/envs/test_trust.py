"""A stored env spec names code: only what is registered here, with plain arguments of a bounded size, is made."""

import json
import subprocess
import sys

import gymnasium as gym
import pytest

from rlbench.envs import Discretize, FlattenDiscrete, trust
from rlbench.envs.cities import PRESETS, count_states, make_city
from rlbench.envs.making import make_from_spec, spec_json
from rlbench.errors import StoreError, UsageError

GOOD = json.loads(gym.spec("CartPole-v1").to_json())
WRAPPER = {"name": "X", "entry_point": "gymnasium.wrappers:TimeLimit", "kwargs": {"max_episode_steps": 9}}


def spec(env_id="CartPole-v1", **changes):
    return json.dumps({**json.loads(gym.spec(env_id).to_json()), **changes})


def wrapped(*wrappers, **changes):
    found = [{"name": name, "entry_point": entry, "kwargs": kwargs} for name, entry, kwargs in wrappers]
    return spec(**changes, additional_wrappers=found)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Taxi-v4", "rlbench/SafeCab-v0", "FrozenLake-v1"])
def test_registered_envs_are_made(env_id):
    assert make_from_spec(spec(env_id)).spec.id == env_id


@pytest.mark.parametrize(
    "make",
    [
        lambda: gym.make("CartPole-v1", sutton_barto_reward=True, max_episode_steps=7),
        lambda: gym.make("CartPole-v1", disable_env_checker=True, render_mode="rgb_array"),
        lambda: gym.make("FrozenLake-v1", desc=["SFF", "FFG"], is_slippery=False),
        lambda: gym.make("rlbench/SafeCab-v0", city="|R: :A|\n|G: : |", city_seed=10**12),
        lambda: Discretize(gym.make("CartPole-v1"), 8, low=[-2.4, -2, None, -3], high=[2.4, 2, None, 3]),
        lambda: FlattenDiscrete(gym.make("Blackjack-v1")),
        lambda: gym.wrappers.TimeLimit(gym.wrappers.ClipReward(gym.make("FrozenLake-v1"), -1, 1), 9),
        lambda: gym.wrappers.TimeAwareObservation(gym.make("CartPole-v1")),
        lambda: gym.wrappers.FrameStackObservation(gym.make("CartPole-v1"), 4),
        lambda: gym.wrappers.NormalizeReward(gym.make("CartPole-v1"), gamma=0.9),
    ],
)
def test_plain_arguments_and_known_wrappers_give_the_same_env_again(make):
    stored = spec_json(make())
    assert spec_json(make_from_spec(stored)) == stored


def test_a_window_does_not_open_for_a_stored_env():
    assert make_from_spec(spec(kwargs={"render_mode": "human"})).render_mode is None


VIDEO = ("X", "gymnasium.wrappers:RecordVideo", {"video_folder": "elsewhere"})
HOSTILE = {
    "names the entry_point": spec(entry_point="subprocess:Popen", kwargs={"args": ["touch", "RAN"]}),
    "names the entry_point 'os:system'": spec(entry_point="os:system", kwargs={"command": "touch RAN"}),
    "names the entry_point None": spec(entry_point=None),
    "names the vector_entry_point": spec(vector_entry_point="os:system"),
    "names the env 'Unknown-v0'": spec(id="Unknown-v0"),
    "names the env 'stranger:Line-v0'": spec(id="stranger:Line-v0"),
    "names the env '../x'": spec(id="../x"),
    "an unknown field 'more'": spec(more=1),
    "order_enforce 'stranger'": spec(order_enforce="stranger"),
    "max_episode_steps -3": spec(max_episode_steps=-3),
    "the wrapper 'os:system'": wrapped(("X", "os:system", {})),
    "the wrapper 'subprocess:Popen'": wrapped(("TimeLimit", "subprocess:Popen", {"args": ["touch", "RAN"]})),
    "the wrapper 'stranger:Wrapper'": wrapped(("X", "stranger:Wrapper", {})),
    "the wrapper 'stranger:Discretize'": wrapped(("Discretize", "stranger:Discretize", {})),
    "the wrapper 'gymnasium.wrappers:RecordVideo'": wrapped(VIDEO),
    "the wrapper 'gymnasium.wrappers:HumanRendering'": wrapped(("X", "gymnasium.wrappers:HumanRendering", {})),
    "the wrapper 'gymnasium.wrappers.jax_to": wrapped(("X", "gymnasium.wrappers.jax_to_torch:JaxToTorch", {})),
    "the wrapper 'rlbench.training:RecordEpisodes'": wrapped(("X", "rlbench.training:RecordEpisodes", {})),
    "the wrapper 'rlbench.cli:main'": wrapped(("X", "rlbench.cli:main", {})),
    "is no plain value": wrapped(("X", "gymnasium.wrappers:TimeLimit", {"max_episode_steps": {"a": 1}})),
    "which may name a file or a module": spec("FrozenLake-v1", kwargs={"desc": ["/etc/passwd"]}),
    "the text 'stranger:Env-v0'": spec(kwargs={"env_id": "stranger:Env-v0"}),
    "the text '~": spec(kwargs={"folder": "~"}),
    "holds|the text 'S": spec("FrozenLake-v1", kwargs={"desc": ["S\x1b]0;x\x07G"]}),
    "asks for 18,000,000,000 states": spec("rlbench/SafeCab-v0", kwargs={"city": "30000x30000"}),
    "asks for 90,000 states": spec("FrozenLake-v1", kwargs={"desc": ["F" * 300] * 300}),
    "asks for 10,000,000,000 states": spec("rlbench/DiscreteCartPole-v1", kwargs={"bins": [10**5, 10**5, 1, 1]}),
    "the number 1000000000": spec(kwargs={"size": 10**9}),
    "more than 1,048,576 characters": spec(kwargs={"text": "x" * 2**20}),
    "the number 1000, more than 16": wrapped(("X", "gymnasium.wrappers:FrameStackObservation", {"stack_size": 1000})),
    "FrameStackObservation twice": wrapped(*[("X", "gymnasium.wrappers:FrameStackObservation", {"stack_size": 9})] * 2),
    "FlattenObservation round one that numbers": wrapped(
        ("X", "rlbench.envs:Discretize", {"bins": 10**4, "low": -1, "high": 1}),
        ("X", "gymnasium.wrappers:FlattenObservation", {}),
    ),
    "more than 16 wrappers": spec(additional_wrappers=[WRAPPER] * 17),
    "does not know the arguments": wrapped(("X", "gymnasium.wrappers:TimeLimit", None)),
}


@pytest.mark.parametrize("complaint", HOSTILE)
def test_a_spec_that_asks_for_more_is_refused_in_a_line_that_names_it(complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stranger.py").write_text("")
    with pytest.raises(StoreError, match=complaint) as caught:
        make_from_spec(HOSTILE[complaint])
    assert "\n" not in str(caught.value)
    assert "trust=True" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert "stranger" not in sys.modules
    assert [path.name for path in tmp_path.iterdir()] == ["stranger.py"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "null", "[" * 100_000, '{"id": "CartPole-v1"}', spec(kwargs=7), spec(additional_wrappers=[7])],
)
def test_what_is_no_spec_is_refused(text):
    with pytest.raises(StoreError, match=r"^the env cannot be made: its stored spec is unreadable"):
        make_from_spec(text)


def test_an_env_that_fails_for_its_arguments_says_so_in_a_line():
    with pytest.raises(StoreError, match=r"^the env cannot be made from its stored spec: 'x'$"):
        make_from_spec(spec("FrozenLake-v1", kwargs={"map_name": "x"}))


@pytest.mark.parametrize("city", [*PRESETS, "7x9"])
def test_the_states_of_a_city_are_counted_before_it_is_made(city):
    counted, made = count_states(PRESETS.get(city, city)), make_city(city).n_states
    assert made <= counted <= 10 * made


# ---------------------------------------------------------------------- what the user trusts

LINE = """
import gymnasium as gym

class Line(gym.Env):
    observation_space = action_space = gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}
    def step(self, action):
        return int(action), float(action), True, False, {}

class Twice(gym.Wrapper, gym.utils.RecordConstructorArgs):
    def __init__(self, env):
        gym.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)

gym.register("lines/Line-v0", "lines_of_mine:Line")
"""


@pytest.fixture
def line(tmp_path, monkeypatch):
    """The spec of an env whose module this process has not imported, in a wrapper of the same module."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "lines_of_mine.py").write_text(LINE)
    monkeypatch.syspath_prepend(tmp_path)
    trust.listed_modules.cache_clear()
    trust.import_listed.cache_clear()
    wrappers = [{"name": "Twice", "entry_point": "lines_of_mine:Twice", "kwargs": {}}]
    yield json.dumps(
        {**GOOD, "id": "lines/Line-v0", "entry_point": "lines_of_mine:Line"}
        | {"vector_entry_point": None, "additional_wrappers": wrappers}
    )
    sys.modules.pop("lines_of_mine", None)
    gym.registry.pop("lines/Line-v0", None)
    trust.listed_modules.cache_clear()
    trust.import_listed.cache_clear()


def list_as_trusted(text):
    trust.trusted_file().parent.mkdir(parents=True)
    trust.trusted_file().write_text(text)


def test_what_is_not_registered_is_made_only_of_a_spec_that_is_trusted(line):
    with pytest.raises(StoreError, match="'lines/Line-v0', which is not registered here"):
        make_from_spec(line)
    assert "lines_of_mine" not in sys.modules
    assert make_from_spec(line, trust=True).step


def test_modules_that_the_user_lists_are_trusted(line):
    list_as_trusted("# my own\n\nlines_of_mine  # the line\n")
    assert type(make_from_spec(line)).__name__ == "Twice"


def test_a_listed_module_that_cannot_be_imported_is_named(line):
    list_as_trusted("lines_of_nobody\n")
    with pytest.raises(UsageError, match=r"cannot import 'lines_of_nobody', which .*trusted lists"):
        make_from_spec(line)

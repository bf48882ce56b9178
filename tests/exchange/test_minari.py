"""Minari datasets: ours read by Minari, and others' read by us."""

import contextlib
import json
import tracemalloc

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

import rlbench
from rlbench.errors import StoreError, UsageError
from rlbench.exchange import export, import_run
from rlbench.exchange.minari_datasets import dataset_id
from rlbench.training import Run


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """The folder in which Minari looks for datasets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


def test_minari_loads_a_dataset_by_its_id_and_recovers_the_env(datasets, store, samples):
    run = samples.ALL["cartpole"](store)
    export(run, datasets / "cartpole-random-v3", "minari")
    dataset = minari.load_dataset("cartpole-random-v3")
    assert (dataset.total_episodes, dataset.total_steps) == (12, run.timesteps)
    assert dataset.spec.dataset_id == "cartpole-random-v3"
    assert list(minari.list_local_datasets()) == ["cartpole-random-v3"]
    env = dataset.recover_environment()
    assert (env.spec.id, env.observation_space) == ("CartPole-v1", dataset.observation_space)
    for found, expected in zip(dataset, store.episodes(run.id), strict=True):
        assert np.array_equal(found.observations, expected.observations)
        assert found.observations.dtype == np.float32
        assert np.array_equal(found.actions, expected.actions)
        assert np.array_equal(found.rewards, expected.rewards)
        assert found.terminations.tolist() == [False] * (len(expected) - 1) + [expected.terminated]
        assert found.truncations.tolist() == [False] * (len(expected) - 1) + [expected.truncated]


def test_minari_recovers_our_own_env_with_its_arguments(datasets, store):
    run = rlbench.train("FrozenLake-v1", episodes=5, seed=0, store=store, env_kwargs={"is_slippery": False})
    export(run, datasets / "lake-v0", "minari")
    dataset = minari.load_dataset("lake-v0")
    assert dataset.recover_environment().spec.kwargs["is_slippery"] is False
    assert np.array_equal(dataset[2].infos["explored"][1:], store.episodes(run.id)[2].explored)
    safecab = rlbench.train("safecab", episodes=5, seed=0, store=store)
    export(safecab, datasets / "cab-v0", "minari")
    assert minari.load_dataset("cab-v0").recover_environment().spec.id == "rlbench/SafeCab-v0"


def test_a_dataset_in_a_namespace_has_the_whole_id(datasets, store, samples):
    (datasets / "ours").mkdir()
    export(samples.ALL["cartpole"](store), datasets / "ours" / "cartpole-v0", "minari")
    assert minari.load_dataset("ours/cartpole-v0").id == "ours/cartpole-v0"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a-v0", "a-v0"), ("a_b-c-v12", "a_b-c-v12"), ("plain", "plain-v0"), ("run.1", "run_1-v0"), ("é ü-v1", "é_ü-v1")],
)
def test_a_folder_of_any_name_gets_an_id(tmp_path, monkeypatch, name, expected):
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    assert dataset_id(tmp_path / name) == expected


def test_a_run_whose_env_cannot_be_made_gets_wide_spaces(tmp_path, store, samples):
    run = samples.ALL["composite"](store)
    export(run, tmp_path / "run-v0", "minari")
    dataset = minari.MinariDataset(tmp_path / "run-v0" / "data")
    assert dataset.env_spec is None
    assert sorted(dataset.observation_space.spaces) == ["big", "deep", "position"]
    assert dataset.observation_space["deep"]["colour"].shape == (2, 3)
    found, expected = dataset[0], store.episodes(run.id)[0]
    assert np.array_equal(found.observations["deep"]["colour"], expected.observations["deep/colour"])
    assert dataset.observation_space["big"].contains(np.array(found.observations["big"][0]))


class Nested(gym.Env):
    """Tuple and Dict observations, MultiDiscrete actions."""

    observation_space = gym.spaces.Dict(
        {"pair": gym.spaces.Tuple((gym.spaces.Discrete(3), gym.spaces.Box(-1, 1, (2,)))), "n": gym.spaces.Discrete(9)}
    )
    action_space = gym.spaces.MultiDiscrete([2, 3])


def foreign(path, *, data_format="hdf5", env_spec=None, episodes=3, image=False, **changes):
    """A dataset that another program made through Minari."""
    spaces = Nested.observation_space, Nested.action_space
    if image:
        spaces = gym.spaces.Box(0, 255, (32, 32, 3), np.uint8), gym.spaces.Discrete(2)
    path.mkdir()
    storage = MinariStorage.new(path / "data", *spaces, env_spec=env_spec, data_format=data_format)
    for space, seed in zip(spaces, (1, 2), strict=True):
        space.seed(seed)
    for length in range(1, episodes + 1):
        rows = [spaces[0].sample() for _ in range(length + 1)]
        observations = (
            np.array(rows)
            if image
            else {
                "pair": (np.array([row["pair"][0] for row in rows]), np.array([row["pair"][1] for row in rows])),
                "n": np.array([row["n"] for row in rows]),
            }
        )
        flags = np.arange(length) == length - 1
        buffer = {
            "observations": observations,
            "actions": np.array([spaces[1].sample() for _ in range(length)]),
            "rewards": np.arange(length) / 3,
            "terminations": flags & (length % 2 == 1),
            "truncations": flags & (length % 2 == 0),
            "infos": {"x": [0.0] * (length + 1)},
            **changes,
        }
        storage.update_episodes([EpisodeBuffer(**buffer)])
    storage.update_metadata(
        {
            "dataset_id": "theirs/nested-v1",
            "minari_version": minari.__version__,
            "algorithm_name": "PPO",
            "author": {"x"},
        }
    )
    return path


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
def test_a_foreign_dataset_of_any_storage_becomes_a_run(tmp_path, store, data_format):
    path = foreign(tmp_path / "nested-v1", data_format=data_format)
    record = import_run(path, store)
    assert (record.env_id, record.agent_name, record.seed) == ("theirs/nested-v1", "PPO", 0)
    assert (record.episodes, record.timesteps, record.status, record.tags) == (3, 6, "finished", ("imported",))
    assert record.config.document()["minari"]["author"] == ["x"]
    expected = list(minari.MinariDataset(path / "data"))
    for found, theirs in zip(store.episodes(record.id), expected, strict=True):
        assert np.array_equal(found.observations["pair/0"], theirs.observations["pair"][0])
        assert np.array_equal(found.observations["pair/1"], theirs.observations["pair"][1])
        assert np.array_equal(found.actions, theirs.actions)
        assert np.array_equal(found.rewards, theirs.rewards)
        assert (found.terminated, found.truncated) == (theirs.terminations[-1], theirs.truncations[-1])
    assert store.figures(record.id)["return"].tolist() == [0, 1 / 3, 1]
    assert store.figures(record.id)["length"].tolist() == [1, 2, 3]


def test_the_data_folder_of_a_dataset_may_be_named_too(tmp_path, store):
    assert import_run(foreign(tmp_path / "nested-v1") / "data", store).episodes == 3


def test_pictures_come_as_minari_decodes_them(tmp_path, store):
    path = foreign(tmp_path / "nested-v1", image=True)
    record = import_run(path, store)
    expected = minari.MinariDataset(path / "data")[1].observations
    assert np.array_equal(store.episodes(record.id)[1].observations, expected)


def test_an_env_that_is_not_installed_is_not_needed(tmp_path, store):
    spec = gym.envs.registration.EnvSpec("Nowhere-v3", entry_point="nowhere.to.be.found:Env")
    record = import_run(foreign(tmp_path / "nested-v1", env_spec=spec), store)
    assert record.env_id == "Nowhere-v3"
    with pytest.raises(StoreError, match="names the env 'Nowhere-v3', which is not registered here"):
        Run(record, store).make_env()
    export(Run(record, store), tmp_path / "again-v0", "minari")
    assert import_run(tmp_path / "again-v0", store).episodes == 3


def test_an_env_that_is_known_is_made_again(tmp_path, store):
    record = import_run(foreign(tmp_path / "nested-v1", env_spec=gym.spec("CartPole-v1")), store)
    assert Run(record, store).make_env().spec.id == "CartPole-v1"


def test_a_run_of_a_nested_env_is_nested_again(tmp_path, store):
    run = Run(import_run(foreign(tmp_path / "nested-v1"), store), store)
    run.make_env = Nested
    export(run, tmp_path / "again-v0", "minari")
    found = minari.MinariDataset(tmp_path / "again-v0" / "data")
    theirs = minari.MinariDataset(tmp_path / "nested-v1" / "data")
    assert found.observation_space == theirs.observation_space
    assert np.array_equal(found[2].observations["pair"][1], theirs[2].observations["pair"][1])


def test_texts_are_refused(tmp_path, store):
    (tmp_path / "text-v0").mkdir()
    storage = MinariStorage.new(tmp_path / "text-v0" / "data", gym.spaces.Text(5), gym.spaces.Discrete(2))
    flags = np.ones(1, bool)
    storage.update_episodes(
        [EpisodeBuffer(None, 0, None, ["a", "b"], np.zeros(1, int), np.zeros(1), flags, ~flags, {"x": [0, 0]})]
    )
    with pytest.raises(UsageError, match="observations must be numbers, got"):
        import_run(tmp_path / "text-v0", store)


def test_an_episode_without_a_step_is_refused_when_it_is_exported(tmp_path, store, samples):
    columns = {"observations": np.zeros(3), "actions": np.zeros(1), "rewards": np.zeros(1)}
    run = samples.stored(store, samples.chunk_of([1, 0], columns, ends=[1, 4]))
    with pytest.raises(UsageError, match="Minari cannot hold episodes without steps, such as episode 1"):
        export(run, tmp_path / "run-v0", "minari")
    assert list(tmp_path.iterdir()) == []


def metadata(path, **changes):
    file = path / "data" / "metadata.json"
    found = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in found.items() if value is not None}))


def packed(path):
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        zeros = {"compression": "gzip", "chunks": (2**16,)}
        file["episode_1"].create_dataset("infos/y", (10**7,), "f8", **zeros)[:] = 0


def linked(path):
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        del file["episode_1/actions"]
        file["episode_1/actions"] = h5py.ExternalLink("/secret.hdf5", "/x")


def huge(path):
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        del file["episode_1/rewards"]
        file.create_dataset("episode_1/rewards", (2**40,), np.float64, chunks=(2**14,))


MEMORY = 2**26  # bytes
BOX = {"type": "Box", "dtype": "float32", "low": 0, "high": 1}


@contextlib.contextmanager
def at_most(memory):
    """Asserts that no more bytes of memory than these are taken at once."""
    tracemalloc.start()
    try:
        yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < memory


@pytest.mark.parametrize(
    "space",
    [
        {"type": "Discrete", "n": 10**12, "start": 0},
        {"type": "MultiBinary", "n": 10**12},
        {"type": "Tuple", "subspaces": [{**BOX, "shape": [512, 1024]}]},
    ],
)
def test_what_a_space_of_a_dataset_claims_takes_no_memory(tmp_path, store, space):
    path = foreign(tmp_path / "nested-v1")
    metadata(path, rlbench=None, action_space=json.dumps(space))
    with at_most(MEMORY), contextlib.suppress(UsageError):  # the actions that are there may not fit the space
        import_run(path, store)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (linked, "'actions' is a link that leads elsewhere: refused"),
        (huge, "'rewards' claims 8796093022208 bytes but does not hold them"),
        (lambda p: metadata(p, total_episodes=2**40), "'episode_3' is missing"),
        (lambda p: metadata(p, total_episodes=-1), "its metadata must give total_episodes"),
        (lambda p: metadata(p, total_episodes="3"), "its metadata must give total_episodes"),
        (lambda p: metadata(p, data_format="../../x"), "its metadata must give a data_format"),
        (lambda p: metadata(p, data_format="pickle"), "its metadata must give a data_format"),
        (lambda p: metadata(p, observation_space=None), "must describe its observation_space"),
        (lambda p: metadata(p, observation_space="x"), "Expecting value"),
        (lambda p: metadata(p, observation_space='{"type": "Nothing"}'), "."),
        (
            lambda p: metadata(p, observation_space=json.dumps({**BOX, "shape": [2**20, 2**20]})),
            "its metadata describes a space of 1,099,511,627,776 numbers, but does not hold them",
        ),
        (
            lambda p: metadata(p, action_space=json.dumps({"type": "Tuple", "subspaces": [{**BOX, "shape": [2**40]}]})),
            "its metadata describes a space of 1,099,511,627,776 numbers, but does not hold them",
        ),
        (
            lambda p: metadata(p, action_space=json.dumps({**BOX, "dtype": "S1000000000", "shape": [9]})),
            "its metadata describes a space of 'S1000000000', not of numbers",
        ),
        (packed, "episode 1 claims 80,000,148 bytes but does not hold them"),
        (lambda p: metadata(p, env_spec="{"), "Expecting property name"),
        (lambda p: metadata(p, rlbench="{}"), "it has no rlbench manifest"),
        (lambda p: (p / "data" / "main_data.hdf5").unlink(), "No data found"),
        (lambda p: (p / "data" / "main_data.hdf5").write_bytes(b"\x80\x04"), "file signature not found"),
        (lambda p: (p / "data" / "metadata.json").write_text("[]"), "its metadata must give"),
    ],
)
def test_a_damaged_dataset_is_refused(tmp_path, store, change, complaint):
    path = foreign(tmp_path / "nested-v1")
    change(path)
    with pytest.raises(UsageError, match=complaint) as caught, at_most(MEMORY):
        import_run(path, store)
    assert "\n" not in str(caught.value)
    assert store.runs() == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"rewards": np.full(3, np.nan)}, "the reward of episode 0, step 0 is nan"),
        ({"rewards": np.zeros(2), "terminations": np.zeros(2, bool)}, "episode 0 must have 2 rewards and ends"),
        ({"terminations": np.array([True, False, True])}, "episode 0 ends before its last step"),
        ({"actions": np.zeros((2, 2))}, "episode 0 must have 3 rows of actions"),
        (
            {"observations": {"pair": (np.zeros(4), np.zeros(3)), "n": np.zeros(4)}},
            "must have 4 rows of observations/pair/1",
        ),
    ],
)
def test_episodes_that_do_not_fit_together_are_refused(tmp_path, store, changes, complaint):
    base = {
        "observations": {"pair": (np.zeros(4, int), np.zeros((4, 2))), "n": np.zeros(4, int)},
        "actions": np.zeros((3, 2), int),
        "rewards": np.zeros(3),
        "terminations": np.zeros(3, bool),
        "truncations": np.zeros(3, bool),
        "infos": {"x": np.zeros(4)},
    }
    path = foreign(tmp_path / "nested-v1", episodes=1, **{**base, **changes})
    with pytest.raises(UsageError, match=complaint):
        import_run(path, store)
    assert store.runs() == []


def test_episodes_of_different_dtypes_are_refused(tmp_path, store):
    path = foreign(tmp_path / "nested-v1")
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        del file["episode_1/actions"]
        file["episode_1/actions"] = np.zeros((2, 2))
    with pytest.raises(UsageError, match="episode 1 has other columns, dtypes or shapes than the first"):
        import_run(path, store)

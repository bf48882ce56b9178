"""Minari datasets: ours read by Minari, and others' read by us."""

import contextlib
import json
import tracemalloc
import warnings

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


def of_buffers(folder, name, spaces=None, *, env="CartPole-v1", lengths=(2, 3), data_format="hdf5", **more):
    """A dataset that Minari itself made, of episodes that are zero throughout, and its folder."""
    spaces = spaces or (gym.make(env).observation_space, gym.make(env).action_space)
    told = {key: more.pop(key) for key in tuple(more) if key in ("infos", "seed", "options")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = minari.create_dataset_from_buffers(
            name,
            [_zeros(spaces, length, **told) for length in lengths],
            **({"env": env} if env else {"observation_space": spaces[0], "action_space": spaces[1]}),
            data_format=data_format,
            **more,
        )
    return made, folder / name


def _zeros(spaces, length, infos=None, **more):
    last = np.arange(length) == length - 1
    columns = [_rows_of_zeros(space, rows) for space, rows in zip(spaces, (length + 1, length), strict=True)]
    found = {} if infos is None else infos(length + 1)
    return EpisodeBuffer(
        None, *[more.get(k) for k in ("seed", "options")], *columns, np.ones(length), last, ~last & last, found
    )


def _rows_of_zeros(space, rows):
    if isinstance(space, gym.spaces.Dict):
        return {key: _rows_of_zeros(part, rows) for key, part in space.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(_rows_of_zeros(part, rows) for part in space)
    return ["a"] * rows if isinstance(space, gym.spaces.Text) else np.zeros((rows, *space.shape), space.dtype)


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
@pytest.mark.parametrize("sample", ["discrete", "cartpole", "composite", "empty"])
def test_each_of_minaris_formats_brings_every_chunk_back(datasets, store, samples, sample, data_format):
    run = samples.ALL[sample](store)
    indices = [0, 1, 2, 4] if sample == "discrete" else None  # Minari cannot hold the one without steps
    export(run, datasets / "run-v0", "minari", indices=indices, data_format=data_format)
    record = import_run(datasets / "run-v0", store)
    assert record.note == "why, ü"
    if indices is None:
        assert samples.chunks_as_bits(store, record.id) == samples.chunks_as_bits(store, run.id)
    for found, index in zip(store.episodes(record.id), indices or range(run.episodes), strict=True):
        assert np.array_equal(found.rewards, store.episodes(run.id)[index].rewards)
    if record.episodes:  # Minari itself cannot read an empty one
        assert len(list(minari.load_dataset("run-v0"))) == record.episodes


def test_a_data_format_is_a_choice_of_minari_alone(tmp_path, store, samples):
    run = samples.ALL["cartpole"](store)
    with pytest.raises(UsageError, match="leave it out for csv of episodes"):
        export(run, tmp_path / "run.csv", data_format="arrow")
    with pytest.raises(UsageError, match=r"unknown data format 'arow'; did you mean arrow\?"):
        export(run, tmp_path / "run-v0", "minari", data_format="arow")


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_a_dataset_of_ours_that_minari_extended_keeps_the_run_and_names_what_is_left_out(datasets, store, data_format):
    run = rlbench.train("FrozenLake-v1", episodes=3, seed=7, store=store, engine="python")
    export(run, datasets / "lake-v0", "minari", data_format=data_format)
    spaces = gym.spaces.Discrete(16), gym.spaces.Discrete(4)
    minari.load_dataset("lake-v0").update_dataset_from_buffer([_zeros(spaces, 2)])
    record = import_run(datasets / "lake-v0", store)
    assert (record.env_id, record.agent_name, record.seed) == ("FrozenLake-v1", run.agent_name, 7)
    assert (record.episodes, record.timesteps) == (4, run.timesteps + 2)
    assert store.figures(record.id)["return"].tolist() == [*run.returns, 2]
    assert record.note.startswith("3 episodes were exported, the dataset now has 4: figures are made anew; left out: ")
    assert "infos/explored" in record.note


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_combined_datasets_are_one_run(datasets, store, samples, data_format):
    export(samples.ALL["cartpole"](store), datasets / "a-v0", "minari", data_format=data_format)
    of_buffers(datasets, "b-v0", env=gym.make("CartPole-v1").spec, data_format=data_format)
    minari.combine_datasets([minari.load_dataset(name) for name in ("a-v0", "b-v0")], "both-v0")
    record = import_run(datasets / "both-v0", store)
    assert (record.episodes, record.env_id) == (14, "CartPole-v1")
    assert record.config.document()["minari"]["combined_datasets"] == ["a-v0", "b-v0"]


def test_a_part_of_a_dataset_is_imported_as_minari_split_it(datasets, store, samples):
    run = samples.ALL["cartpole"](store)
    export(run, datasets / "cp-v0", "minari")
    part, rest = minari.split_dataset(minari.load_dataset("cp-v0"), [5, 7], seed=0)
    assert import_run(rest, store).episodes == 7
    episodes = store.episodes(import_run(part, store).id)
    assert [len(episode) for episode in episodes] == [len(store.episodes(run.id)[int(i)]) for i in part.episode_indices]


@pytest.mark.parametrize("is_told", [True, False])
def test_episodes_that_were_deleted_are_missing_and_the_others_imported(datasets, store, is_told):
    _, path = of_buffers(datasets, "cp-v0", lengths=(1, 2, 3))
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        del file["episode_1"]
    if is_told:
        metadata(path, total_episodes=2)
    record = import_run(path, store)
    assert store.figures(record.id)["length"].tolist() == [1, 3]
    assert record.note == ("" if is_told else "its metadata promises 3 episodes, it holds 2")


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_what_a_run_cannot_hold_is_named_and_the_rest_imported(datasets, store, data_format):
    text = gym.spaces.Text(5)
    observations = gym.spaces.Dict(
        {"at": gym.spaces.Discrete(3), "told": gym.spaces.Tuple((text, gym.spaces.Discrete(2)))}
    )
    infos = {"infos": lambda rows: {"speed": [0.0] * rows}, "seed": 3}
    _, path = of_buffers(
        datasets, "told-v0", (observations, gym.spaces.Discrete(2)), env=None, data_format=data_format, **infos
    )
    record = import_run(path, store)
    assert record.note == "left out: observations/told/0 (Text), infos/speed, the seed of each reset"
    assert set(store.episodes(record.id)[0].observations) == {"at", "told/1"}


def test_a_run_whose_observations_were_all_left_out_goes_to_other_formats_only(datasets, store):
    spaces = gym.spaces.Text(5), gym.spaces.Discrete(2)
    record = import_run(of_buffers(datasets, "told-v0", spaces, env=None)[1], store, env="CartPole-v1")
    assert (record.note, record.env_id) == ("left out: observations (Text)", "CartPole-v1")
    export(Run(record, store), datasets / "run.csv")
    assert import_run(datasets / "run.csv", store).timesteps == 5
    with pytest.raises(UsageError, match="Minari cannot hold a run without observations: choose another format"):
        export(Run(record, store), datasets / "again-v0", "minari")


def test_a_space_that_minari_does_not_know_is_left_out_by_name(datasets, store):
    space = gym.spaces.Dict({"a": gym.spaces.Discrete(3), "g": gym.spaces.Discrete(3)})
    _, path = of_buffers(datasets, "graph-v0", (space, gym.spaces.Discrete(2)), env=None)
    spaces = {"type": "Dict", "subspaces": {"a": {"type": "Discrete", "n": 3}, "g": {"type": "Graph"}}}
    metadata(path, observation_space=json.dumps(spaces))
    record = import_run(path, store)
    assert record.note == "left out: observations/g (Graph)"
    assert record.timesteps == 5


def test_what_minari_tells_of_a_dataset_comes_back_with_the_next_export(datasets, store):
    told = {
        "ref_min_score": 9.5,
        "ref_max_score": 500.0,
        "author": "x",
        "code_permalink": "here",
        "requirements": ["a"],
    }
    of_buffers(datasets, "cp-v0", algorithm_name="PPO", **told)
    export(Run(import_run(datasets / "cp-v0", store), store), datasets / "again-v0", "minari")
    found = minari.load_dataset("again-v0")
    assert minari.get_normalized_score(found, np.array([500.0])).tolist() == [1.0]
    kept = found.storage.metadata
    assert {name: kept[name] for name in told} == {**told, "author": {"x"}}
    assert kept["algorithm_name"] == "PPO"


def test_numbers_that_minari_stored_as_they_came_get_the_dtypes_of_their_spaces(datasets, store):
    made, path = of_buffers(datasets, "cp-v0", lengths=(2,))
    whole = EpisodeBuffer(None, None, None, [np.zeros(4)] * 3, [0, 1], [1, 1], [False, True], [False, False], {})
    made.update_dataset_from_buffer([whole])
    record = import_run(path, store)
    assert record.episodes == 2
    assert store.episodes(record.id)[1].observations.dtype == np.float32
    assert store.episodes(record.id)[1].rewards.dtype == np.float64


def test_an_episode_longer_than_minari_reads_from_arrow_is_whole(datasets, store):
    _, path = of_buffers(datasets, "long-v0", lengths=(40_000,), data_format="arrow")
    assert import_run(path, store).timesteps == 40_000


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
        {**BOX, "shape": [2**20, 2**20]},
        {**BOX, "shape": [2**20, 2**20], "dtype": "uint8", "high": 255},
        {**BOX, "dtype": "S1000000000", "shape": [9]},
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
        (lambda p: metadata(p, total_episodes=-1), "its metadata must give total_episodes"),
        (lambda p: metadata(p, total_episodes="3"), "its metadata must give total_episodes"),
        (lambda p: metadata(p, data_format="../../x"), "its metadata must give a data_format"),
        (lambda p: metadata(p, data_format="pickle"), "its metadata must give a data_format"),
        (lambda p: metadata(p, observation_space=None), "must describe its observation_space"),
        (lambda p: metadata(p, observation_space="x"), "Expecting value"),
        (lambda p: metadata(p, observation_space='{"type": 3}'), "a space has a type, got {'type': 3}"),
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
        ({"rewards": np.zeros(2), "terminations": np.zeros(2, bool)}, "episode 0 must have 3 rows of observations/n"),
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
        file["episode_1/actions"] = np.full((2, 2), 0.5)
    with pytest.raises(UsageError, match="episode 1 has other columns, dtypes or shapes than the first"):
        import_run(path, store)

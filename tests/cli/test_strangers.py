"""A stranger's store is only looked at: no command imports, starts or writes what its env specs name."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import rlbench as library
from rlbench.errors import StoreError

LOOKS = {  # commands that need no env, or do without
    "runs": ("runs",),
    "lineage": ("runs", "lineage", "latest"),
    "info": ("store", "info"),
    "replay": ("replay", "latest"),
    "replay json": ("replay", "latest", "--json"),
    "plot curve": ("plot", "latest", "--out", "made/curve.png"),
    "plot values": ("plot", "latest", "--kind", "values", "--out", "made/values.png"),
    "report": ("report", "latest", "--out", "made/report.html"),
    "diff": ("diff", "latest", "latest"),
    "export": ("export", "latest", "--out", "made/run.csv"),
    "export minari": ("export", "latest", "--format", "minari", "--out", "made/run-v0"),
    "check": ("store", "check"),
    "copy": ("store", "copy", "stranger.db", "made/copy.db"),
    "migrate": ("store", "migrate"),
}
QUICK = {name: LOOKS[name] for name in ("runs", "replay", "diff", "export minari")}
MAKES = {  # commands that cannot do without the env
    "evaluate": ("evaluate", "latest"),
    "verify": ("verify", "latest"),
    "verify all": ("verify", "--all"),
    "replay verified": ("replay", "latest", "--verify"),
    "watch": ("watch", "latest"),
    "explain": ("explain", "latest"),
    "retrain": ("retrain", "latest"),
    "resume": ("resume", "latest", "--episodes", "40"),
}
KNOWN = {"env_id": "FrozenLake-v1", "agent_name": "q-learning", "seed": 0}
PROGRAM = [sys.executable, "-c", "open('RAN', 'w')"]
VIDEO = {"name": "RecordVideo", "entry_point": "gymnasium.wrappers.rendering:RecordVideo"}
STRANGERS = {
    "program": {"entry_point": "subprocess:Popen", "kwargs": {"args": PROGRAM}},
    "module": {"id": "stranger:Line-v0", "entry_point": "stranger:Line"},
    "video": {
        "kwargs": {"render_mode": "rgb_array"},
        "additional_wrappers": [{**VIDEO, "kwargs": {"video_folder": "elsewhere"}}],
    },
}

MONGODB = "mongodb://somewhere/stranger"
WHERES = ("stranger.db", MONGODB)

pytestmark = pytest.mark.filterwarnings("ignore:.*are shown as text:RuntimeWarning")


@pytest.fixture(scope="module")
def trained():
    """A run of the lake, in memory."""
    return library.train("FrozenLake-v1", episodes=20, seed=0)


@pytest.fixture
def where(request, monkeypatch):
    """The stranger's store: a file, or an imitation of a MongoDB server."""
    where = getattr(request, "param", "stranger.db")
    if where == MONGODB:
        mongomock = pytest.importorskip("mongomock")
        server = mongomock.store.ServerStore()
        monkeypatch.setattr("pymongo.MongoClient", lambda url, **_: mongomock.MongoClient(url, _store=server))
    return where


@pytest.fixture
def bring(tmp_path, trained, monkeypatch, where):
    """A function that puts the run into the stranger's store, with changes to its env's spec or to its record."""
    (tmp_path / "stranger.py").write_text("open('RAN', 'w')")
    (tmp_path / "made").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def put(changes, **names):
        config = trained.record.config
        spec = json.dumps({**json.loads(config.env.spec), **changes}) if isinstance(changes, dict) else changes
        config = replace(config, env=replace(config.env, spec=spec))
        with library.open_store(where if "://" in where else tmp_path / where) as store:
            made = store.create_run(**{**KNOWN, **names}, config=config)
            for chunk in trained.store.chunks(trained.id):
                store.append(made.id, chunk)
            store.append(made.id, checkpoint=trained.store.checkpoint(trained.id), keep=True, status="finished")
            return made.id

    return put


@pytest.fixture
def untouched(tmp_path, monkeypatch):
    """A function that asserts that nothing was imported, started, or written but to `made` and the store."""
    started = []
    audited = subprocess.Popen.__init__
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda *a, **k: (started.append(a), audited(*a, **k))[1])

    def check():
        ours = {"stranger.py", "made", "__pycache__", "config"}  # Matplotlib makes the latter
        assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("stranger.db")} <= ours
        assert "stranger" not in sys.modules
        assert not any(PROGRAM[0] in str(arguments) for arguments in started)

    return check


@pytest.mark.parametrize("where", WHERES, indirect=True)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_only_looks_works_without_the_env(rlbench, bring, untouched, stranger, where):
    bring(STRANGERS[stranger])
    for name, command in LOOKS.items() if (stranger, where) == ("program", "stranger.db") else QUICK.items():
        result = rlbench(*command, *(() if name == "copy" else ("--store", where)))
        assert (name, result.code) == (name, 0), result.err
        untouched()


@pytest.mark.parametrize("where", WHERES, indirect=True)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_needs_the_env_is_refused_in_one_line(rlbench, bring, untouched, stranger, where):
    bring(STRANGERS[stranger])
    for name, command in MAKES.items():
        result = rlbench(*command, "--store", where)
        assert (name, result.code) == (name, 1)
        assert result.err.startswith("Error: the env is not made, for its stored spec names the ")
        assert result.err.endswith("pass --trust if you trust who wrote the store\n")
        assert result.err.count("\n") == 1
        untouched()


@pytest.mark.parametrize("spec", ["7", "{", '{"id": "FrozenLake-v1"}', "[]"])
def test_an_unreadable_spec_spoils_no_look_and_is_said_in_one_line(rlbench, bring, spec):
    bring(spec)
    for command in (QUICK[name] for name in ("runs", "replay", "diff")):
        assert rlbench(*command, "--store", "stranger.db").code == 0
    for name in ("evaluate", "resume", "watch"):
        result = rlbench(*MAKES[name], "--store", "stranger.db")
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert "its stored spec is unreadable" in result.err


def test_python_functions_refuse_it_too_unless_it_is_trusted(bring, untouched, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bring(STRANGERS["program"])
    with library.open_store("stranger.db") as store:
        run = library.load_run(store, "latest")
        calls = (
            library.evaluate,
            library.verify,
            library.explain,
            library.retrain,
            lambda run: library.resume(run, episodes=40),
            lambda run: run.make_env(),
        )
        for call in calls:
            with pytest.raises(StoreError, match="names the entry_point 'subprocess:Popen'"):
                call(run)
        assert "FrozenLake-v1" in run._repr_html_()
        assert "<table" in store.episodes(run.id)[0]._repr_html_()
        untouched()


LINE = """
import gymnasium as gym

class Line(gym.Env):
    observation_space = action_space = gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}
    def step(self, action):
        return int(action), float(action), True, False, {}

gym.register("lines/Line-v0", "lines_of_mine:Line")
"""


def test_an_env_of_a_module_named_on_the_command_line_needs_no_trust(rlbench, tmp_path, monkeypatch):
    import gymnasium as gym

    Path(tmp_path / "lines_of_mine.py").write_text(LINE)
    monkeypatch.syspath_prepend(tmp_path)

    def in_a_new_process(*arguments):
        sys.modules.pop("lines_of_mine", None)
        gym.registry.pop("lines/Line-v0", None)
        return rlbench(*arguments)

    name = "lines_of_mine:lines/Line-v0"
    assert in_a_new_process("train", name, "--episodes", 20, "--no-cache").code == 0
    refused = in_a_new_process("evaluate", "latest")
    assert "names the env 'lines/Line-v0', which is not registered here" in refused.err
    assert in_a_new_process("evaluate", "latest", "--env", name).code == 0
    assert in_a_new_process("evaluate", "latest", "--trust").code == 0
    sys.modules.pop("lines_of_mine", None)
    gym.registry.pop("lines/Line-v0", None)


def test_a_foreign_row_prints_no_control_characters(rlbench, bring, monkeypatch):
    from rlbench.store import documents

    monkeypatch.setattr(documents, "has_controls", lambda text: False)  # as a store that another program wrote
    bring({}, env_id="Frozen\x1b]0;owned\x07Lake", tags=["\x9b2J", "\u202e"], parents=["\x1b[2J"])
    monkeypatch.undo()
    for command in (("runs",), ("runs", "lineage", "latest"), ("evaluate", "latest"), ("runs", "tag", "latest", "x")):
        result = rlbench(*command, "--store", "stranger.db")
        assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(result.out + result.err)

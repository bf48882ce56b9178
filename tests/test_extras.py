"""A base install, without any extra: all that needs one says in one line how to install it."""

import json
import re
import subprocess
import sys

import pytest

from rlbench.cli import main
from rlbench.errors import MissingPackageError, UsageError
from rlbench.files import require

PACKAGES = (
    "bson,distributed,gridfs,h5py,imageio,imageio_ffmpeg,jinja2,joblib,matplotlib,"
    "minari,obstore,optuna,pandas,PIL,prometheus_client,pyarrow,pygame,pymongo,scipy,sklearn,starlette,uvicorn"
)
BASE = """
import importlib, json, pkgutil, sys
from importlib.abc import MetaPathFinder

class Without(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Without())
"""
IMPORTS = """
import rlbench

def said(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:  # `except ImportError` is how programs ask
        return str(error)

names = {found.name for found in pkgutil.walk_packages(rlbench.__path__, "rlbench.")} - {"rlbench.__main__"}
names |= {"rlbench.models.tree", "rlbench.models.recommender", "rlbench.models.text"}
print(json.dumps({name: said(name) for name in sorted(names)}))
"""
COMMANDS = """
import contextlib, io
from rlbench.cli import main

def outcome(arguments):
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        try:
            main(arguments)
        except SystemExit as exited:
            return exited.code, said.getvalue()

print(json.dumps([outcome(arguments.split()) for arguments in json.loads(sys.argv[2])]))
"""
EXTRA_OF = {"rlbench.models": "models", "rlbench.web": "serve"}  # of these rooms
NEEDS = {  # what each of these commands needs
    "plot RUN --kind policy --out a.png": "plots",
    "compare RUN RUN --out a.svg": "plots",
    "report RUN --out a.html": "plots",
    "watch RUN --out a.gif": "viewer",
    "play FrozenLake-v1": "viewer",
    "explain RUN": "models",
    "model train network --data iris": "models",
    "model show tree-iris": "models",
    "model predict tree-iris --row 5.1,3.5,1.4,0.2": "models",
    "model plot tree-iris --out a.png": "plots",
    "train CartPole-v1 --bins kmeans:5 --episodes 2": "models",
    "tune FrozenLake-v1 --search gamma=0.5..1 --episodes 2": "tune",
    "runs --store mongodb://localhost/somewhere": "mongo",
    "runs --store s3://somewhere/runs": "cloud",
    "export RUN --out a.parquet": "minari",
    "export RUN --out a.feather --what results": "minari",
    "export RUN --out a.hdf5": "minari",
    "export RUN --out a --format minari": "minari",
    "export RUN --out b --format minari --data-format arrow": "minari",
    "import run.parquet": "minari",
    "import run.hdf5": "minari",
    "import set": "minari",
    "ui --no-browser": "serve",
    "serve RUN": "serve",
    "token create": "serve",
    "sweep FrozenLake-v1 --over gamma=0.9 --cluster tcp://127.0.0.1:1": "cluster",
}
WITHOUT = (
    "runs",
    "runs show RUN",
    "replay RUN",
    "export RUN --out b.csv",
    "model list",
    "plan FrozenLake-v1",
)


def _in_a_base_install(program, *arguments, folder):
    command = [sys.executable, "-c", BASE + program, PACKAGES, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _is_one_line_on(extra, text):
    return re.fullmatch(
        rf'[^\n]+ (needs|drawn by) \w+, which is not installed: pip install "rlbench\[{extra}\]"[^\n]*\n?', text
    )


def test_a_module_that_needs_an_extra_names_it_when_it_is_imported(tmp_path):
    said = {name: error for name, error in _in_a_base_install(IMPORTS, folder=tmp_path).items() if error}
    assert {"rlbench.models", "rlbench.models.tree", "rlbench.models.recommender", "rlbench.models.text"} <= set(said)
    for name, error in said.items():
        room = ".".join(name.split(".")[:2])
        assert _is_one_line_on(EXTRA_OF.get(room, "viewer"), error), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a stored run, a model, and files that need an extra."""
    made = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(made)
        for line in (
            "train FrozenLake-v1 --episodes 5",
            "model train tree --data iris",
            "export latest --out run.parquet",
            "export latest --out run.hdf5",
            "export latest --out set --format minari",
        ):
            with pytest.raises(SystemExit, match="0"):
                main(line.split())
    return made


def test_a_command_that_needs_an_extra_names_it_in_one_line_and_others_do_without(folder):
    lines = [line.replace("RUN", "latest") for line in (*NEEDS, *WITHOUT)]
    outcomes = _in_a_base_install(COMMANDS, json.dumps(lines), folder=folder)
    for (line, extra), (code, said) in zip(NEEDS.items(), outcomes, strict=False):
        assert code == 2, line
        assert _is_one_line_on(extra, said), (line, said)
    assert [said for code, said in outcomes[len(NEEDS) :] if code] == []


def test_what_a_package_itself_lacks_is_named(tmp_path, monkeypatch):
    (tmp_path / "drawing_kit.py").write_text("import rlbench_ink.fonts")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackageError, match="a picture needs rlbench_ink, which is not installed") as refused:
        require("drawing_kit", "plots", "a picture")
    assert (refused.value.name, isinstance(refused.value, UsageError)) == ("rlbench_ink", True)

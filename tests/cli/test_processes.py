"""`rlbench ...` as a process of its own: Ctrl-C, closed pipes, terminals."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys

import pytest
from waiting import HANG, until_steps_are_stored

import rlbench as library

RLBENCH = (sys.executable, "-m", "rlbench")
LONG = ("train", "Taxi-v4", "--engine", "python", "--episodes", "100000000")


def _run(*arguments, folder, **options):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RLBENCH_")}
    return subprocess.run(
        [*RLBENCH, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, **options
    )


@contextlib.contextmanager
def _started(*arguments, folder, **streams):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RLBENCH_")}
    with subprocess.Popen([*RLBENCH, *arguments], cwd=folder, env=environment, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_stores_what_was_learnt_and_the_run_can_be_listed_evaluated_and_replayed(tmp_path):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with _started("train", "Taxi-v4", "--episodes", "100000000", "--json", folder=tmp_path, **pipes) as process:
        until_steps_are_stored(tmp_path / "rlbench.db", process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG)
    document = json.loads(out)
    assert (process.returncode, err) == (130, "")  # quiet in a pipe, interrupted or not
    assert document["timesteps"] > 0

    (listed,) = json.loads(_run("runs", "--json", folder=tmp_path).stdout)["runs"]
    assert (listed["run"], listed["status"]) == (document["run"], "interrupted")
    assert (listed["episodes"], listed["timesteps"]) == (document["episodes"], document["timesteps"])

    evaluated = _run("evaluate", "best", "--json", folder=tmp_path)
    assert (evaluated.returncode, json.loads(evaluated.stdout)["run"]) == (0, document["run"])

    last = document["episodes"] - 1
    replayed = _run("replay", "latest", "--json", folder=tmp_path)
    assert (replayed.returncode, json.loads(replayed.stdout)["episode"]) == (0, last)
    assert json.loads(replayed.stdout)["terminated"] or json.loads(replayed.stdout)["truncated"]


@pytest.mark.long
def test_ctrl_c_ends_many_trainings_in_all_processes_and_stores_what_was_learnt(tmp_path):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    many = ("--seeds", "0:3", "--workers", "2", "--json")
    with _started(*LONG, *many, folder=tmp_path, **pipes) as process:
        until_steps_are_stored(tmp_path / "rlbench.db", process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the processes that train too
        out, err = process.communicate(timeout=HANG)
    trained = json.loads(out)["runs"]
    listed = json.loads(_run("runs", "--json", folder=tmp_path).stdout)["runs"]
    assert (process.returncode, err) == (130, "")
    assert {run["seed"] for run in listed} <= {0, 1}  # the third was not begun
    assert {run["status"] for run in listed} == {"interrupted"}
    assert {run["run"] for run in trained} <= {run["run"] for run in listed}
    assert any(run["timesteps"] > 0 for run in trained)


@pytest.mark.long  # three interpreters of its own
def test_sigterm_ends_a_training_as_the_first_ctrl_c_does(tmp_path):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with _started(*LONG, "--json", folder=tmp_path, **pipes) as process:
        until_steps_are_stored(tmp_path / "rlbench.db", process)
        process.terminate()
        out, err = process.communicate(timeout=HANG)
    document = json.loads(out)
    assert (process.returncode, err) == (130, "")
    with library.open_store(tmp_path / "rlbench.db") as store:
        (run,) = store.runs()
        assert (run.id, run.status) == (document["run"], "interrupted")
        assert (run.episodes, run.timesteps) == (document["episodes"], document["timesteps"])
        assert store.figures(run.id)["length"].sum() == run.timesteps > 0


IN_THE_MIDDLE = """
import json, os, signal, sys
from importlib import import_module
import rlbench
from rlbench.cli import main

def sending(where, number):
    "Lets a method send this process a signal before it does its work."
    module, _, names = where.partition(":")
    cls, name = names.split(".")
    cls = getattr(import_module(module), cls)
    method = getattr(cls, name)
    def sent(*arguments, **keywords):
        setattr(cls, name, method)
        os.kill(os.getpid(), number)
        return method(*arguments, **keywords)
    setattr(cls, name, sent)

rlbench.train("safecab", episodes=20, seed=0, store="rlbench.db").store.close()
rlbench.train("Taxi-v4", episodes=5, engine="python", seed=0, store="rlbench.db").store.close()
codes = []
for where, command in json.load(sys.stdin):
    sending(where, signal.SIGTERM)
    try:
        main(command)
    except SystemExit as exit:
        codes.append(exit.code)
with rlbench.open_store("rlbench.db") as store:
    sending("rlbench.envs.making:TimeLimit.step", signal.SIGHUP)
    run = rlbench.train("Taxi-v4", episodes=10**6, engine="python", seed=1, store=store)
    print(json.dumps([codes, run.status, run.episodes, [run.status for run in store.runs()]]))
"""
MIDDLES = {  # each with a method within which the signal arrives
    "rlbench.exchange.flat:Layout.flatten": ("export", "latest", "--out", "run.csv"),
    "rlbench.training.retraining:Checkpoint.__init__": ("retrain", "latest"),
    "rlbench.store:Store.append": ("retrain", "latest", "--seed", "1"),
    "rlbench.models:DecisionTreeClassifier.fit": ("model", "train", "tree"),
    "rlbench.envs.making:TimeLimit.step": ("watch", "latest"),
}


@pytest.mark.long  # every command, in an interpreter of its own
def test_a_signal_in_the_middle_of_a_command_leaves_nothing_half_done(tmp_path):
    pytest.importorskip("sklearn")
    given = json.dumps([[where, command] for where, command in MIDDLES.items()])
    ended = subprocess.run(
        [sys.executable, "-c", IN_THE_MIDDLE], cwd=tmp_path, input=given, capture_output=True, text=True, check=True
    )
    codes, status, episodes, stored = json.loads(ended.stdout.splitlines()[-1])
    assert codes == [130] * len(MIDDLES)
    told = [line for line in ended.stderr.splitlines() if line and ": audit head " not in line]
    assert told == ["stopped"] * len(MIDDLES)
    assert (status, episodes) == ("interrupted", 1)  # what the library's caller gets, after SIGHUP
    assert stored == ["interrupted", "finished", "finished"]
    assert {file.name for file in tmp_path.iterdir()} <= {"rlbench.db", "rlbench.db-wal", "rlbench.db-shm"}
    assert json.loads(_run("model", "list", "--json", folder=tmp_path).stdout)["models"] == []


AT_AN_IMPORT = """
import os, signal, sys
from rlbench.cli import main

_, module, *command = sys.argv
sent = []

def send(event, given):
    "Sends this process Ctrl-C when it begins to import the module."
    if event == "import" and given[0] == module and not sent:
        sent.append(module)
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(send)
sys.argv = ["rlbench", *command]
main()
"""


@pytest.mark.parametrize(
    "module",
    ["numba.core.types", *(pytest.param(name, marks=pytest.mark.long) for name in ("click.core", "gymnasium.core"))],
)
def test_ctrl_c_while_modules_are_imported_is_quiet(module, tmp_path):
    command = (sys.executable, "-c", AT_AN_IMPORT, module, "train", "safecab", "--store", "memory://")
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG, check=False)
    assert (ended.returncode, "Traceback" in ended.stderr) == (130, False)
    # the import under way is finished first: by then the training may have begun, and ends as it does at any moment
    assert ended.stderr.endswith("stopped\n") or "seed 0: interrupted" in ended.stdout


def test_a_first_training_says_that_it_compiles_before_it_imports_what_compiles(tmp_path):
    command = (sys.executable, "-X", "importtime", "-m", "rlbench", "train", "safecab", "--store", "memory://")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        before = []
        for line in process.stderr:
            if line.startswith("compiling ..."):
                break
            before.append(line.split()[-1])
        process.kill()
    assert line.startswith("compiling ...")
    assert not {"numpy", "gymnasium", "numba"} & set(before)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_a_long_training_shows_its_progress_on_a_terminal(tmp_path):
    ours, theirs = os.openpty()
    try:
        with _started(*LONG, folder=tmp_path, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
            os.close(theirs)  # reading fails once the process has ended
            shown = b""
            while b"steps/s" not in shown:
                assert select.select([ours], [], [], HANG)[0], shown
                shown += os.read(ours, 4096)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=HANG)
    finally:
        os.close(ours)
    assert b"episode" in shown
    assert b"epsilon" in shown
    assert process.returncode == 130
    assert out.splitlines()[0] == "q-learning on Taxi-v4, seed 0: interrupted, python loop"


def test_a_reader_that_went_away_gets_no_traceback(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with _started("agents", folder=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True) as process:
        os.close(writing)
        _, err = process.communicate(timeout=HANG)
    assert (process.returncode, err) == (1, "")


@pytest.mark.long
def test_a_reader_of_the_first_line_only_gets_it(tmp_path):
    _run("train", "safecab", "--episodes", "5", folder=tmp_path)
    command = f"'{sys.executable}' -m rlbench runs | head -n 1"
    piped = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert piped.stdout.startswith("run ")
    assert (piped.stdout.count("\n"), piped.stderr) == (1, "")


def test_the_exit_code_of_the_process_is_that_of_the_outcome(tmp_path):
    cases = {("plan", "safecab"): 0, ("evaluate", "latest"): 1, ("train", "safecap"): 2}
    assert {case: _run(*case, folder=tmp_path).returncode for case in cases} == cases


def test_debugging_shows_the_traceback_of_a_process(tmp_path):
    environment = {**os.environ, "RLBENCH_DEBUG": "1"}
    command = [*RLBENCH, "plan", "safecab", "--gamma", "2"]
    failed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("Traceback (most recent call last):")
    assert failed.stderr.splitlines()[-1].endswith("UsageError: gamma must be in [0, 1], got 2.0")


@pytest.mark.long
def test_two_processes_give_the_same_table_for_the_same_command(tmp_path):
    command = ("train", "safecab", "--episodes", "200", "--no-cache", "--json")
    documents = [json.loads(_run(*command, folder=tmp_path).stdout) for _ in range(2)]
    assert documents[0]["q_table_sha256"] == documents[1]["q_table_sha256"]
    assert documents[0]["run"] != documents[1]["run"]


@pytest.mark.long
def test_an_env_without_a_step_limit_can_be_evaluated(tmp_path):
    assert _run("train", "CliffWalking-v1", "--episodes", "3", folder=tmp_path, timeout=HANG).returncode == 0


PICTURES = """
import os
import rlbench
from rlbench import plots
from rlbench.cli import main

def run(*arguments):
    try:
        main(list(arguments))
    except SystemExit as exit:
        assert not exit.code, arguments

run("record", "CartPole-v1", "--episodes", "2")
run("replay", "latest", "--out", "film.gif", "--episode", "0")
run("watch", "CartPole-v1", "--agent", "random", "--out", "still.png", "--frame", "0")
run("plot", "latest", "--out", "curve.png")
run("report", "latest", "--out", "page.html")
print(plots.curve(rlbench.load_run("rlbench.db", "latest")).figure, os.environ["MPLBACKEND"])
"""


@pytest.mark.long
def test_pictures_need_neither_the_backend_nor_the_display_that_the_environment_names(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("pygame")
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment = {**kept, "MPLBACKEND": "module://matplotlib_inline.backend_inline", "SDL_VIDEODRIVER": "x11"}
    command = [sys.executable, "-c", PICTURES]
    drawn = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (drawn.returncode, drawn.stderr.count("Traceback")) == (0, 0), drawn.stderr
    assert drawn.stdout.splitlines()[-1].endswith(environment["MPLBACKEND"])
    assert {"film.gif", "still.png", "curve.png", "page.html"} <= {file.name for file in tmp_path.iterdir()}

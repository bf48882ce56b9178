"""A sweep on a real cluster of Dask: a scheduler and two worker processes of this machine."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import hazards
import needs
import pytest
from waiting import until

from rlbench.errors import ProcessError, UsageError
from rlbench.studies import cluster, executors, resume_study, sweep, working

needs.package("distributed", "cluster")
ROOT = Path(__file__).parent.parent.parent
CLIFF = {
    "env": "CliffWalking-v1",
    "agents": ["q-learning", "sarsa"],
    "over": {"learning_rate": "0.1..1:2"},
    "seeds": range(4),
    "episodes": 10,
    "objective": "area",
}
COMMAND = "sweep CliffWalking-v1 --agent q-learning,sarsa --over learning_rate=0.1..1:2 --seeds 0:4 --episodes 10"
HAZARD = {"env": hazards.ID, "over": {"env.reward": [0, 1]}, "seeds": range(2), "episodes": 2, "objective": "area"}
SCHEDULER = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
WORKERS = ("--nthreads", "1", "--nworkers", "2", "--no-dashboard")


@contextmanager
def dask(folder, kind, *arguments):
    """Runs `dask scheduler` or `dask worker` in a folder; yields the process and the file that it logs to."""
    path = folder / f"{kind}.log"
    scratch = {"DASK_TEMPORARY_DIRECTORY": str(folder)}  # it would lie about wherever temporary files do
    environment = {**os.environ, **scratch, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
    apart = {"cwd": folder, "env": environment, "start_new_session": True}
    with path.open("w") as log, subprocess.Popen(command, stderr=log, stdout=log, **apart) as process:
        try:
            yield process, path
        finally:
            with suppress(ProcessLookupError):  # those that it started too; asked to end, they may wait for a scheduler
                os.killpg(process.pid, signal.SIGKILL)


def said_where(process, log):
    """Returns the URL of a scheduler once it has said it; it fails at once if the scheduler has ended instead."""
    found = re.search(r"Scheduler at:\s*(\S+)", log.read_text())
    assert found or process.poll() is None, log.read_text()
    return found and found[1]


@contextmanager
def running(folder, scheduler, workers):
    """Runs a scheduler and its workers; yields the scheduler's process and its URL."""
    with dask(folder, *scheduler) as (process, log):
        url = until(lambda: said_where(process, log), log.read_text)
        with dask(folder, "worker", url, *workers):
            until(lambda: log.read_text().count("Register worker") >= 2, log.read_text)
            yield process, url


def test_a_real_cluster_finds_what_one_process_does_though_a_worker_and_then_the_scheduler_are_killed(
    tmp_path, monkeypatch, capsys
):
    from rlbench.cli import main

    path, trap = tmp_path / "runs.db", tmp_path / "trap"
    whole, hazard = sweep(**CLIFF), sweep(**HAZARD, env_kwargs={"trap": str(trap)})
    with running(tmp_path, SCHEDULER, WORKERS) as (scheduler, url):
        line = [*COMMAND.split(), "--objective", "area", "--store", str(path), "--cluster", url, "--json"]
        with pytest.raises(SystemExit) as exited:
            main(line)
        assert (exited.value.code or 0, whole.hash in capsys.readouterr().out) == (0, True)

        with cluster.connected(url, str(path)) as (executor, size):
            assert size == 2
            trap.write_text("once")
            study = sweep(**HAZARD, env_kwargs={"trap": str(trap)}, store=path, executor=executor, workers=size)
            study.store.close()
            assert (study.hash, trap.exists()) == (hazard.hash, False)

            def kill(_):
                scheduler.kill()
                scheduler.wait()

            monkeypatch.setattr(working, "MOST_SEEDS", 1)
            monkeypatch.setattr(working.Worker, "_look", kill)
            with pytest.raises(ProcessError, match=r"ended .*`rlbench resume gone` goes on$"):
                sweep(**CLIFF, record="all", store=path, name="gone", executor=executor, workers=size)
    monkeypatch.undo()
    resumed = resume_study(path, "gone")
    resumed.store.close()
    assert resumed.hash == whole.hash


@pytest.mark.long
def test_the_commands_of_the_docs_work_over_tls(tmp_path, monkeypatch, capfd):
    import trustme

    from rlbench.cli import main

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    node = authority.issue_cert("127.0.0.1")
    node.cert_chain_pems[0].write_to_path(tmp_path / "node.pem")
    node.private_key_pem.write_to_path(tmp_path / "node.key")
    page = (ROOT / "docs" / "studies.md").read_text().replace("\\\n", " ")
    lines = re.search(r"## On a cluster.*?```sh\n(.*?)```", page, re.DOTALL)[1].splitlines()
    scheduler, worker, *exports, ours = [line.split() for line in lines if line and not line.startswith("#")]
    scheduler[scheduler.index("8786")] = "0"
    monkeypatch.chdir(tmp_path)
    with running(tmp_path, [*scheduler[1:], *SCHEDULER[1:3]], [*worker[3:], *WORKERS]) as (_, url):
        assert url.startswith("tls://127.0.0.1:")
        ours[ours.index("--cluster") + 1] = url
        ours[ours.index("--store") + 1] = str(tmp_path / "runs.db")
        assert _ended(main, ours[1:]) == 2
        assert "needs certificates: set DASK_DISTRIBUTED__COMM__TLS__CA_FILE" in capfd.readouterr().err
        for _, setting in exports:
            monkeypatch.setenv(*setting.split("="))
        assert subprocess.run([sys.executable, "-m", *ours, "--name", "mine"], check=False).returncode == 0


def _ended(main, line):
    with pytest.raises(SystemExit) as exited:
        main(line)
    return exited.value.code


@pytest.mark.parametrize(
    ("url", "store", "message"),
    [
        (
            "tcp://10.0.0.7:8786",
            "mongodb://db/lab",
            "neither encrypted nor this machine.*use tls://, or add --insecure",
        ),
        ("tcp://localhost.example:8786", "mongodb://db/lab", "neither encrypted nor this machine"),
        (
            "tls://10.0.0.7:8786",
            "rlbench.db",
            "cannot open a file of this machine: name a store as mongodb://HOST/NAME",
        ),
        ("127.0.0.1:8786", "rlbench.db", "a cluster is tls://HOST:PORT, or tcp://127.0.0.1:PORT"),
        ("ucx://127.0.0.1:8786", "rlbench.db", "a cluster is tls://HOST:PORT"),
        ("tcp://user@127.0.0.1:8786", "rlbench.db", "a cluster is tls://HOST:PORT"),
    ],
)
def test_a_cluster_that_will_not_do_is_refused_before_anything_connects(url, store, message, monkeypatch):
    monkeypatch.setattr(cluster, "require", lambda *_: pytest.fail("it would connect"))
    with pytest.raises(UsageError, match=message), cluster.connected(url, store):
        pass


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:1", "tls://10.0.0.7:8786"])
def test_this_machine_may_be_reached_by_plain_tcp_and_others_over_tls(url):
    cluster._check(url, "mongodb://db/lab", insecure=False)
    cluster._check("tcp://10.0.0.7:8786", "mongodb://db/lab", insecure=True)


def test_a_cluster_that_is_away_is_one_line_and_starts_no_study(tmp_path):
    message = "no scheduler answers at tcp://127.0.0.1:1: start it with `dask scheduler`"
    with pytest.raises(ProcessError, match=message), cluster.connected("tcp://127.0.0.1:1", "x.db"):
        pass


@pytest.mark.parametrize(
    ("answers", "error", "message"),
    [
        ({}, ProcessError, "has no workers: start some with `dask worker URL"),
        (
            {"w1": "same", "w2": "other"},
            UsageError,
            "the worker w2 has numpy 1.0 in place of .*, python 3.9 in place of",
        ),
        ({"w1": ModuleNotFoundError("No module named 'rlbench'")}, UsageError, "the worker w1 cannot work .*'rlbench'"),
    ],
)
def test_workers_that_would_find_something_else_are_refused_by_name(answers, error, message):
    here = executors.versions()
    told = {"same": here, "other": {**here, "numpy": "1.0", "python": "3.9"}}
    found = {
        worker: told.get(answer, answer) if isinstance(answer, str) else answer for worker, answer in answers.items()
    }
    with pytest.raises(error, match=message):
        cluster._check_workers(SimpleNamespace(run=lambda *_, **__: found), "URL")


def test_workers_and_cluster_exclude_each_other(capfd):
    from rlbench.cli import main

    assert _ended(main, [*COMMAND.split(), "--workers", "2", "--cluster", "tcp://127.0.0.1:1"]) == 2
    assert "give one of the two" in capfd.readouterr().err

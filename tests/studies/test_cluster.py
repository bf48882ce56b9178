"""Studies on a real cluster of Dask: a scheduler and two worker processes of this machine."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import hazards
import needs
import pytest
from waiting import until

from rlbench.errors import ProcessError, UsageError
from rlbench.store import open_store
from rlbench.studies import cluster, delete_study, executors, load_study, resume_study, sweep, tune, working

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
TUNED = {"trials": 8, "round": 4, "seeds": range(2), "test_seeds": range(5, 7), "objective": "area"}
STUDIES = {
    "sweep": (sweep, CLIFF),
    "tune": (tune, {"env": "CliffWalking-v1", "search": {"learning_rate": "0.1..1"}, "episodes": 10, **TUNED}),
}
STUDIES["race"] = (tune, {**STUDIES["tune"][1], "seeds": range(4), "prune": "seeds:0.3"})
DEADLY = {
    "sweep": (sweep, HAZARD),
    "tune": (tune, {"env": hazards.ID, "search": {"env.reward": "0..2"}, "episodes": 2, **TUNED}),
}
DEADLY["race"] = (tune, {**DEADLY["tune"][1], "seeds": range(4), "prune": "seeds:0.3"})
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


KILLED = """
import os, signal, sys
from rlbench.studies import cluster, working
from test_cluster import STUDIES

def look(worker):
    worker.save()
    looks.append(worker)
    if len(looks) == 5:
        os.kill(os.getpid(), signal.SIGKILL)

looks, working.MOST_SEEDS, working.Worker._look = [], 1, look
kind, url, store = sys.argv[1:]
do, asked = STUDIES[kind]
with cluster.connected(url, store) as (executor, size):
    do(**asked, store=store, executor=executor, workers=size, name="mine")
"""


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sweep", "tune", "race"])
def test_the_hash_is_one_on_any_workers_and_any_store_whoever_is_killed(kind, tmp_path, mongo_url):
    def check(study, like):
        """Compares a study with one that was done at once, and deletes it: the next one has all to do itself."""
        with closing(study.store):
            assert (study.hash, study.failures) == (like.hash, [])
            delete_study(study.store, study.name)

    if kind != "sweep":
        needs.package("optuna", "tune")
    trap, stores = tmp_path / "trap", (tmp_path / "runs.db", mongo_url)
    (do, asked), (_, risky) = STUDIES[kind], DEADLY[kind]
    risky = {**risky, "env_kwargs": {"trap": str(trap)}}
    whole, whole_risky = do(**asked), do(**risky)
    with running(tmp_path, SCHEDULER, WORKERS) as (_, url):
        for store in stores:
            check(do(**asked, store=store, workers=2), whole)
            with cluster.connected(url, str(store)) as (executor, size):
                where = {"store": store, "executor": executor, "workers": size}
                check(do(**asked, **where), whole)
                trap.write_text("once")  # kills a worker
                check(do(**risky, **where), whole_risky)
                assert not trap.exists()
            command = [sys.executable, "-c", KILLED, kind, url, str(store)]
            paths = os.pathsep.join([str(ROOT / "tests"), str(Path(__file__).parent)])
            killed = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": paths})
            assert killed.returncode == -signal.SIGKILL
            with open_store(store) as opened:
                assert 0 < load_study(opened, "mine").done < whole.done
            with cluster.connected(url, str(store)) as (executor, size):
                check(resume_study(store, "mine", executor=executor, workers=size), whole)


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


def test_another_kind_of_server_is_told_apart_from_a_scheduler():
    def answer():
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            connection.recv(2**16)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ProcessError, match=f"no scheduler answers at {url}: "), cluster.connected(url, "x.db"):
            pass
        thread.join()


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

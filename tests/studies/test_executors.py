"""A sweep on any executor: the same hash as in one process, text on the way, and a line for whatever goes wrong."""

import json
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from multiprocessing import get_context

import mongomock
import pytest

from rlbench.errors import ProcessError, StoreError, UsageError
from rlbench.store import open_store
from rlbench.studies import executors, resume_study, sweep, working
from rlbench.studies.objectives import objective_of
from rlbench.studies.trials import Batch

CLIFF = {
    "env": "CliffWalking-v1",
    "agents": ["q-learning", "sarsa"],
    "over": {"learning_rate": "0.1..1:2"},
    "seeds": range(4),
    "episodes": 10,
    "objective": "area",
}


class AtOnce(Executor):
    """Calls at once, in this process; keeps the texts; `broken` says on which calls it breaks."""

    def __init__(self, broken=(), error=BrokenExecutor):
        self.texts, self.broken, self.error = [], broken, error

    def submit(self, call, /, *texts):
        """Returns a future with what the call returns."""
        self.texts += texts
        future = Future()
        if len(self.texts) in self.broken:
            future.set_exception(self.error("a process was killed"))
        else:
            future.set_result(call(*texts))
        return future


@pytest.fixture(scope="module")
def alone():
    """The study of CLIFF, in this process."""
    return sweep(**CLIFF)


def swept(tmp_path, executor, **changes):
    """Returns the study of CLIFF on an executor, into a file."""
    return sweep(**{**CLIFF, "store": tmp_path / "runs.db", "name": "mine", **changes}, executor=executor)


def test_the_hash_is_that_of_one_process_on_spawned_processes_and_on_threads(alone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # workers find a relative path
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        study = swept(tmp_path, pool, store="runs.db")
    with closing(study.store):
        assert (study.hash, len(study.runs())) == (alone.hash, 16)
    with ThreadPoolExecutor(4) as pool:
        study = swept(tmp_path, pool, store=tmp_path / "threads.db")
    with closing(study.store):
        assert (study.hash, len(study.runs())) == (alone.hash, 16)


def test_batches_travel_as_json_text_and_memory_stays_bounded(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(working, "MOST_SEEDS", 1)
    executor = AtOnce()
    with closing(swept(tmp_path, executor).store):
        assert len(executor.texts) == 16
        told = json.loads(executor.texts[0])
        assert (told["study"], told["seeds"], told["request"]["env"]) == ("mine", [0], "CliffWalking-v1")
        assert told["store"] == str(tmp_path / "runs.db")
    taken = []
    batches = (taken.append(text) or text for text in range(100))
    monkeypatch.setattr(executors, "_submitted", lambda *_: Future())
    monkeypatch.setattr(executors, "wait", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        next(executors.each(executor, 3, "", batches, lambda *_: None))
    assert len(taken) == 6


def test_an_executor_that_ends_leaves_a_study_that_resume_finishes(alone, tmp_path):
    with pytest.raises(ProcessError, match=r"ended \(BrokenExecutor: a process was killed\).*`rlbench resume mine`"):
        swept(tmp_path, AtOnce(broken={3}))
    over = ThreadPoolExecutor(1)
    over.shutdown()
    with pytest.raises(ProcessError, match=r"ended \(RuntimeError: cannot schedule new futures"):
        resume_study(tmp_path / "runs.db", "mine", executor=over)
    resumed = resume_study(tmp_path / "runs.db", "mine", executor=AtOnce())
    with closing(resumed.store):
        assert (resumed.hash, len(resumed.runs())) == (alone.hash, 16)


def test_a_batch_whose_worker_fails_is_tried_again_a_few_times(alone, tmp_path):
    with closing(swept(tmp_path, AtOnce(broken={2}, error=OSError)).store) as store:
        assert resume_study(store, "mine").hash == alone.hash
    failing = AtOnce(broken=range(999), error=OSError)
    study = swept(tmp_path, failing, store=tmp_path / "other.db")
    with closing(study.store):
        assert (study.failed.all(), study.is_done) == (True, True)
        assert study.failures[0].reason == "its worker failed: OSError: a process was killed, 3 times"


def test_a_worker_with_other_versions_is_refused_by_their_names(tmp_path, monkeypatch):
    here = executors.versions()
    answers = iter([here, {**here, "numpy": "1.0", "python": "3.9"}])
    monkeypatch.setattr(executors, "versions", lambda: next(answers, here))
    message = f"this worker has numpy 1.0 in place of {here['numpy']}, python 3.9 in place of {here['python']}: install"
    with pytest.raises(UsageError, match=message):
        swept(tmp_path, AtOnce())


def test_a_store_that_workers_cannot_reach_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "address_for_workers", lambda _: str(tmp_path / "elsewhere.db"))
    with pytest.raises(StoreError, match=r"^a worker says: .*elsewhere.db"):
        swept(tmp_path, AtOnce())


def test_a_store_that_only_this_process_has_is_refused(tmp_path):
    with pytest.raises(UsageError, match="a store in memory belongs to one process"):
        sweep(**CLIFF, executor=AtOnce())
    with open_store(mongomock.MongoClient().lab) as store, pytest.raises(StoreError, match="its client cannot be"):
        sweep(**CLIFF, store=store, executor=AtOnce())
    with pytest.raises(UsageError, match=r"executor must be a concurrent.futures.Executor, got int"):
        sweep(**CLIFF, store=tmp_path / "runs.db", executor=3)


def test_where_resume_would_import_a_module_an_executor_that_ended_tells_to_give_the_same_command():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    batch = Batch("mine", objective_of("return"), {"env": "stairs:Mine-v0"}, (0,))
    with pytest.raises(ProcessError, match=r"what is done is stored: the same command goes on$"):
        next(executors.each(executor, 1, "runs.db", [batch], lambda *_: None))

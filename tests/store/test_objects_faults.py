"""Copies to S3 servers that are killed, slow, full: a clear line, no run in part, and the next copy goes on."""

import os
import random
import threading
from datetime import timedelta

import pytest
from contracts import stores
from faulty import LOST
from nursery import Nursery
from proxy import Proxy

from rlbench.errors import StoreAway, StoreError
from rlbench.store import bucket, checking, copying, open_store

RUNS, CHUNKS = 3, 6
FAST = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2}


@pytest.fixture
def source(tmp_path):
    """The path of a store with runs to copy, the last of which shares what the first stored."""
    path = tmp_path / "source.db"
    with open_store(path) as store:
        first, *_ = [stores.fill(store, seed=seed, chunks=CHUNKS) for seed in range(RUNS)]
        [kept] = [info for info in store.checkpoints(first) if info.kept]
        child = store.create_run("Taxi-v4", "sarsa", seed=9, base=first.id, checkpoint=kept)
        store.append(child.id, stores.make_chunk(3, [40]), status="finished")
    return path


@pytest.fixture
def proxy(seaweed, monkeypatch):
    """A proxy that the environment names in place of the real server."""
    made = Proxy(seaweed.ports["s3.port"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{made.port}")
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch):
    """Gives up soon what does not answer."""
    monkeypatch.setattr(bucket, "LIMITS", {"connect_timeout": "2s", "timeout": "2s"})
    monkeypatch.setattr(bucket, "RETRIES", {**bucket.RETRIES, "max_retries": 1})


def copied(source, url):
    with open_store(source, read_only=True) as one, open_store(url) as other:
        return copying.copy(one, other)


def assert_whole_runs(source, url):
    """Whatever is seen is whole; returns how many runs are."""
    with open_store(source, read_only=True) as one, open_store(url) as other:
        found, expected = stores.everything(other)[0], stores.everything(one)[0]
        assert all(expected[run_id] == each for run_id, each in found.items())
        assert list(checking.check(other)) == []
        return len(found)


def assert_goes_on(source, url):
    """The next copy ends what the one before began."""
    copied(source, url)
    assert assert_whole_runs(source, url) == RUNS + 1
    with open_store(source, read_only=True) as one, open_store(url) as other:
        assert stores.everything(other) == stores.everything(one)


# ---------------------------------------------------------------- the server is killed, slow, hangs


def test_a_slow_server_gets_all_of_it(source, proxy, s3_url):
    proxy.piece = 1000
    copied(source, s3_url)
    assert assert_whole_runs(source, s3_url) == RUNS + 1


def test_while_a_server_hangs_no_run_is_seen_in_part_and_then_it_goes_on(source, seaweed, proxy, s3_url, monkeypatch):
    with open_store(s3_url):
        pass
    proxy.is_open.clear()
    copying_on = threading.Thread(target=copied, args=(source, s3_url))
    copying_on.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweed.environment["AWS_ENDPOINT_URL"])
    assert assert_whole_runs(source, s3_url) == 0
    proxy.is_open.set()
    copying_on.join()
    assert assert_whole_runs(source, s3_url) == RUNS + 1


def test_a_server_that_never_answers_is_told_in_a_line(source, proxy, s3_url, impatient):
    proxy.is_open.clear()
    with pytest.raises(StoreAway, match=r"cannot reach the store s3://lab/.*: start its server, or check") as told:
        copied(source, s3_url)
    assert "\n" not in str(told.value)
    proxy.is_open.set()
    assert_goes_on(source, s3_url)


@pytest.mark.parametrize("breaks", [1, pytest.param(8, marks=pytest.mark.long)])
def test_a_connection_may_break_off_anywhere(source, proxy, s3_url, impatient, breaks):
    dice = random.Random(breaks)  # noqa: S311  not for secrets
    copied(source, s3_url + "/first")
    for number in range(breaks):
        url = f"{s3_url}/{number}"
        proxy.most = dice.randint(0, proxy.passed // (number + 1))
        proxy.passed = 0
        with pytest.raises(StoreAway, match="cannot reach the store") as told:
            copied(source, url)
        assert "\n" not in str(told.value)
        proxy.most = None
        if number or breaks == 1:
            assert assert_whole_runs(source, url) <= RUNS
        assert_goes_on(source, url)
        proxy.passed = 0
        copied(source, url + "/again")


@pytest.mark.long
def test_a_server_that_is_killed_in_a_copy_is_told_and_the_copy_goes_on(
    source, seaweed, s3_url, impatient, monkeypatch
):
    dice = random.Random(0)  # noqa: S311  not for secrets
    put = bucket.Bucket._put
    for number in range(2):
        url, left = f"{s3_url}/{number}", iter(range(dice.randint(1, 30)))

        def killing(self, *rest, left=left):
            if next(left, None) is None:
                seaweed.kill9()
            return put(self, *rest)

        with open_store(url):
            pass
        monkeypatch.setattr(bucket.Bucket, "_put", killing)
        with pytest.raises(StoreAway, match="cannot reach the store") as told:
            copied(source, url)
        assert "\n" not in str(told.value)
        monkeypatch.setattr(bucket.Bucket, "_put", put)
        seaweed.start()
        assert assert_whole_runs(source, url) <= RUNS
        assert_goes_on(source, url)


# ---------------------------------------------------------------- the server fails

FAULTS = {
    "full": (
        "507 Insufficient Storage",
        "XMinioStorageFull",
        StoreError,
        r"it is full \(507 .*, XMinioStorageFull\); make",
    ),
    "busy": ("503 Slow Down", "SlowDown", StoreAway, r"its server is failing or busy \(503 .*, SlowDown\); try again"),
    "forbidden": ("403 Forbidden", "AccessDenied", StoreError, r"access is denied \(403 Forbidden, AccessDenied\)"),
    "broken": ("500 Internal Server Error", "InternalError", StoreAway, "its server is failing or busy"),
}


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("writes", [9, pytest.param(1, marks=pytest.mark.long)])
def test_a_server_that_begins_to_fail_is_told_in_a_line_and_then_it_goes_on(source, faulty, impatient, kind, writes):
    status, code, error, said = FAULTS[kind]
    url, left = f"s3://lab/{kind}/{writes}", iter(range(writes))

    def fails(method, _path):
        return (status, code) if method == "PUT" and next(left, None) is None else None

    with open_store(url):
        pass
    faulty.fault = fails
    with pytest.raises(error, match=said) as told:
        copied(source, url)
    assert "\n" not in str(told.value)
    faulty.fault = lambda _method, _path: None
    assert assert_whole_runs(source, url) <= RUNS
    assert_goes_on(source, url)


@pytest.mark.parametrize("performs", [False, True])
def test_one_error_in_three_or_an_answer_that_is_lost_does_no_harm(source, faulty, monkeypatch, performs):
    dice, url = random.Random(0), f"s3://lab/lost/{performs}"  # noqa: S311  not for secrets
    monkeypatch.setattr(bucket, "RETRIES", {**bucket.RETRIES, "max_retries": 30, "backoff": FAST})
    faulty.performs = performs
    faulty.fault = lambda _method, _path: LOST if dice.random() < 1 / 3 else None
    assert {result.action for result in copied(source, url)} == {"copied"}
    faulty.fault = lambda _method, _path: None
    assert assert_whole_runs(source, url) == RUNS + 1


# ---------------------------------------------------------------- two writers


def test_of_two_that_copy_one_run_to_a_real_server_one_is_refused(source, s3_url, monkeypatch):
    with open_store(source, read_only=True) as one, open_store(s3_url) as target:
        commit = target.backend.commit

        def overtaken(*arguments):
            monkeypatch.setattr(target.backend, "commit", commit)
            copied(source, s3_url)
            return commit(*arguments)

        monkeypatch.setattr(target.backend, "commit", overtaken)
        with pytest.raises(StoreError, match=r"another process is copying run \w+ to s3://lab/.*: wait for it"):
            copying.copy(one, target)
    assert assert_whole_runs(source, s3_url) == RUNS + 1
    assert {result.action for result in copied(source, s3_url)} == {"equal"}


# ---------------------------------------------------------------- the copy is killed


@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=pytest.mark.long)])
def test_a_copy_may_be_killed_at_any_moment(source, s3_url, seaweed, kills):
    dice = random.Random(kills)  # noqa: S311  not for secrets
    nursery = Nursery({**os.environ, "RLBENCH_TEST_SOURCE": str(source)})
    try:
        steps, is_finished = nursery.do("copy", s3_url + "/whole")
        assert is_finished
        killed, number, on_the_way = 0, 0, 0
        while killed < kills or not is_finished:
            url = f"{s3_url}/{number}"
            most = None if killed == kills else dice.randint(1, steps)
            _, is_finished = nursery.do("copy", url, most)
            whole = assert_whole_runs(source, url)
            assert whole == RUNS + 1 or not is_finished
            killed += not is_finished
            on_the_way += 0 < whole <= RUNS
            number += is_finished
        assert on_the_way >= kills // 5, "some must be killed in the midst"
        assert_goes_on(source, f"{s3_url}/0")
    finally:
        nursery.close()

"""`rlbench serve` as a process of its own: foreign clients, load, signals, locks and a store that changes."""

import json
import re
import shlex
import signal
import sqlite3
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
import schemathesis
from clients import serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from needs import needed
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from served import Counter, run_of
from waiting import until

import rlbench
from rlbench import modelling
from rlbench.store import open_store
from rlbench.web import tokens

ONE = json.dumps({"inputs": [{"name": "observation", "shape": [1], "datatype": "INT64", "data": [3]}]})


@pytest.fixture
def lake(shop):
    return run_of(shop, "FrozenLake-v1").id


def served_run(path):
    with open_store(path, create=False) as store:
        (found,) = store.runs(tag="served")
        return found


def test_a_foreign_client_finds_it_ready_reads_its_metadata_and_gets_actions(stock, shop, lake):
    import tritonclient.http as triton

    agent = rlbench.load_run(shop, lake).agent
    with serving("serve", lake, "tree-iris", "--store", stock, "--port", 0) as (address, process):
        with closing(triton.InferenceServerClient(address.removeprefix("http://"))) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready(lake)
            assert client.get_server_metadata()["name"] == "rlbench"
            assert client.get_model_metadata("tree-iris")["outputs"][0]["datatype"] == "BYTES"
            asked = triton.InferInput("observation", [16], "INT64")
            for in_binary in (True, False):
                asked.set_data_from_numpy(np.arange(16), binary_data=in_binary)
                answer = client.infer(lake, [asked], query_params={"values": 1})
                np.testing.assert_array_equal(answer.as_numpy("action"), agent.predict(np.arange(16))[0])
                np.testing.assert_array_equal(answer.as_numpy("values"), agent.q_table)
            asked.set_data_from_numpy(np.full(16, 99))
            with pytest.raises(triton.InferenceServerException, match="from 0 to 15, got 99"):
                client.infer(lake, [asked])
            with pytest.raises(triton.InferenceServerException, match="there is no model 'other' here"):
                client.infer("other", [asked])
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert all(": audit head " in line for line in process.stderr)
    run = served_run(stock)
    with open_store(stock, create=False) as store:
        entered = {(entry.what, entry.record) for entry in store.entries()}
        model = modelling.find_model(store, "tree-iris").id
    assert entered >= {("serve", lake), ("serve", f"model {model}"), ("record", run.id)}
    assert (run.status, run.episodes, run.parents) == ("finished", 32, (lake,))


def test_nothing_fails_while_a_newer_version_is_loaded(stock, lake):
    rows = json.dumps({"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP64", "data": [5, 3, 1, 0.2]}]})
    seen, statuses, is_over = set(), set(), threading.Event()

    def asking(address):
        with httpx.Client(base_url=address) as client:
            while not is_over.is_set():
                answer = client.post("/v2/models/tree-iris/infer", content=rows)
                statuses.add(answer.status_code)
                seen.add(answer.json()["model_version"])

    with serving("serve", "tree-iris", "--store", stock, "--port", 0) as (address, _):
        askers = [threading.Thread(target=asking, args=(address,)) for _ in range(2)]
        try:
            for asker in askers:
                asker.start()
            with open_store(stock) as store:
                modelling.save_model(store, modelling.load_model(store, "tree-iris"), "tree-iris")
            until(lambda: "3" in seen)
        finally:
            is_over.set()
            for asker in askers:
                asker.join()
    assert statuses == {200}
    assert seen == {"2", "3"}


def test_killed_under_load_it_starts_again_and_what_it_had_stored_is_there(stock, lake):
    with serving("serve", lake, "--store", stock, "--port", 0) as (address, process):
        path = f"{address}/v2/models/{lake}/infer"

        def is_stored():
            assert httpx.post(path, content=ONE).status_code == 200
            return served_run(stock).episodes

        until(is_stored)
        process.kill()
        process.wait()
        with pytest.raises(httpx.TransportError):
            httpx.post(path, content=ONE)
    assert served_run(stock).status == "interrupted"
    with serving("serve", lake, "--store", stock, "--port", 0) as (address, _):
        assert httpx.post(f"{address}/v2/models/{lake}/infer", content=ONE).status_code == 200


def test_a_locked_store_holds_up_no_request_and_loses_no_decision(stock, lake):
    with serving("serve", lake, "--store", stock, "--port", 0) as (address, process):
        with closing(sqlite3.connect(stock, isolation_level=None)) as other, httpx.Client(base_url=address) as client:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(20):
                assert client.post(f"/v2/models/{lake}/infer", content=ONE).status_code == 200
            process.send_signal(signal.SIGTERM)
            other.execute("ROLLBACK")
        assert process.wait() == 0
    assert served_run(stock).episodes == 20


def test_other_addresses_are_refused_without_a_token_and_tls(stock, lake):
    refused = "other machines can reach 0.0.0.0: that takes a token .* and TLS"
    with pytest.raises(AssertionError, match=refused), serving("serve", lake, "--store", stock, "--host", "0.0.0.0"):  # noqa: S104
        pass


def test_a_token_is_asked_for_where_it_is_wanted_and_a_revoked_one_is_refused_at_once(stock, lake):
    with open_store(stock) as store:
        secret, made = tokens.create(store)
    arguments = ("serve", lake, "--store", stock, "--port", 0, "--host", "0.0.0.0", "--insecure", "--log-decisions", 0)  # noqa: S104
    with serving(*arguments) as (address, _):
        here = address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        with httpx.Client(base_url=here, headers={"authorization": f"Bearer {secret}"}) as client:
            assert client.post(f"/v2/models/{lake}/infer", content=ONE).status_code == 200
            with open_store(stock) as store:
                tokens.revoke(store, made.id)
            assert client.post(f"/v2/models/{lake}/infer", content=ONE).status_code == 401
            assert client.get("/health").status_code == 200
    with open_store(stock) as store:
        assert store.runs(tag="served") == []


def test_the_requests_of_the_documentation_are_answered(stock, lake):
    needed("curl")
    page = (Path(__file__).parent.parent.parent / "docs" / "serving.md").read_text()
    lines = re.findall(r"^curl .*", page, re.MULTILINE)
    assert len(lines) == 6
    with serving("serve", lake, "--store", stock, "--port", 0) as (address, _):
        for line in lines:
            here = line.replace("http://127.0.0.1:8900", address).replace("NAME", lake)
            done = subprocess.run(["curl", "-sf", *shlex.split(here)[1:]], capture_output=True, check=False)
            assert done.returncode == 0, (here, done.stderr)


def test_a_foreign_reader_finds_no_fault_with_the_metrics(shop, lake):
    needed("promtool")
    counter = Counter(shop, lake, "tree-iris")
    counter.ask(lake, [0, 99])
    counter.ask(lake, [0, 1])
    text = counter.client.get("/metrics").content
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("examples", [2, pytest.param(50, marks=pytest.mark.long)])
def test_the_openapi_text_is_true(shop, lake, mode, examples):
    counter = Counter(shop, lake, "tree-iris@1", "tree-iris@2")
    schema = schemathesis.openapi.from_asgi("/openapi.json", counter.app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 11

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(st.data())
    def fits(data):
        for operation in operations:
            if mode == GenerationMode.POSITIVE or "{name}" in operation.path:
                case = data.draw(operation.as_strategy(generation_mode=mode))
                case.call_and_validate(excluded_checks=[positive_data_acceptance])  # numbers must fit their shape too

    fits()

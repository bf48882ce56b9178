"""Serving one decision, against an empty route of the same server that is sent the same request, by the same client.

python benchmarks/serving.py
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen

import rlbench
from rlbench import modelling

ROUNDS = 5
REQUESTS = 3_000  # a round, of each
ENDURED = 200_000  # requests on 64 connections, with a newer version in their midst
BAR = 0.7  # requests a second, as a share of the empty route's
EMPTY = """
import sys
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from rlbench.web.door import Door, serve

async def empty(request):
    return JSONResponse({})

app = Starlette(routes=[Route("/empty", empty, methods=["POST"])])
serve(app, Door(port=0), ready=lambda at: print(at, flush=True))
"""


@contextmanager
def listening(*command):
    """Runs a server; yields its port."""
    with Popen([sys.executable, *command], stdout=PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


def request(path, tensor):
    body = json.dumps({"inputs": [tensor]}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


async def _ask(port, data, count, seconds, statuses):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        began = time.perf_counter()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0]))
        seconds.append(time.perf_counter() - began)
        statuses.append(int(head[9:12]))
    writer.close()


def ask(port, data, connections, count):
    """Returns requests a second, the 99th percentile of their times in ms, and how many were not answered 200."""
    seconds, statuses, began = [], [], time.perf_counter()

    async def every():
        await asyncio.gather(*(_ask(port, data, count // connections, seconds, statuses) for _ in range(connections)))

    asyncio.run(every())
    rate = len(seconds) / (time.perf_counter() - began)
    return rate, sorted(seconds)[int(0.99 * len(seconds))] * 1e3, sum(status != 200 for status in statuses)


def compare(port, data, empty_port, empty):
    """Prints how quick one decision is beside nothing, on one connection and on 64."""
    for connections in (1, 64):
        rounds = [
            (ask(port, data, connections, REQUESTS), ask(empty_port, empty, connections, REQUESTS))
            for _ in range(ROUNDS)
        ]
        ratio = median(ours[0] / theirs[0] for ours, theirs in rounds)
        rate, p99, nothing = (median(found) for found in zip(*((a[0], a[1], b[0]) for a, b in rounds), strict=True))
        print(
            f"{connections:>2} connections  {rate:>6,.0f} decisions/s  {nothing:>6,.0f} empty/s  ratio {ratio:.2f} "
            f"(bar {BAR}: {'met' if ratio >= BAR else 'MISSED'})  p99 {p99:.2f} ms"
        )


def endure(port, row, store):
    """Prints how many of very many requests fail while a newer version is loaded."""

    async def both():
        asking = asyncio.to_thread(ask, port, row, 64, ENDURED)
        saving = asyncio.to_thread(_save_later, store)
        return (await asyncio.gather(asking, saving))[0]

    rate, p99, errors = asyncio.run(both())
    print(
        f"{ENDURED:,} requests on 64 connections, a reload among them: {errors} errors, {rate:,.0f}/s, p99 {p99:.1f} ms"
    )


def _save_later(store):
    time.sleep(5)
    modelling.save_model(store, modelling.load_model(store, "tree-iris"), "tree-iris")


def main():
    with ExitStack() as opened:
        path = Path(opened.enter_context(tempfile.TemporaryDirectory())) / "runs.db"
        store = opened.enter_context(rlbench.open_store(path))
        run = rlbench.train("safecab", episodes=2_000, store=store)
        modelling.save_model(store, modelling.train_model("tree", "iris"))
        empty_port = opened.enter_context(listening("-c", EMPTY))
        serve = ("-m", "rlbench", "serve", run.id, "tree-iris", "--store", str(path), "--port", "0")
        port = opened.enter_context(listening(*serve))
        state = {"name": "observation", "shape": [1], "datatype": "INT64", "data": [5]}
        row = {"name": "features", "shape": [1, 4], "datatype": "FP64", "data": [5.1, 3.5, 1.4, 0.2]}
        compare(port, request(f"/v2/models/{run.id}/infer", state), empty_port, request("/empty", state))
        endure(port, request("/v2/models/tree-iris/infer", row), store)


if __name__ == "__main__":
    main()

"""Clients of the web: one in this process, and a real server in another."""

import asyncio
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx

from rlbench.web.guards import PAGE_HEADER

HERE = "http://127.0.0.1"
READY = re.compile(r"(https?://\S+)")


def run_apart(coroutine):
    """Runs a coroutine in a thread of its own: in the tests' own thread the browser's loop may be running."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


class Client:
    """Makes requests of an application in this process, as httpx does."""

    def __init__(self, app):
        self.app = app

    def request(self, method, url, *, page=False, **more):
        """Returns the answer to one request; `page`: as a page that was loaded from the application makes it."""
        headers = {**({PAGE_HEADER: self.secret} if page else {}), **more.pop("headers", {})}
        return run_apart(self._request(method, url, headers=headers, **more))

    async def _request(self, method, url, **more):
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            return await client.request(method, url, **more)

    def get(self, url, **more):
        return self.request("GET", url, **more)

    def post(self, url, **more):
        return self.request("POST", url, **more)

    @property
    def secret(self):
        """What a page knows."""
        return re.search(rf'"{PAGE_HEADER}": "([^"]+)"', self.get("/").text)[1]


@contextmanager
def serving(*arguments, cwd=None):
    """Runs `rlbench ...` in another process; yields its address and the process once it listens."""
    command = [sys.executable, "-m", "rlbench", *map(str, arguments)]
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()  # it comes, or the process ends
            found = READY.search(line)
            assert found, f"expected an address, got {line!r}: {process.stderr.read() if not line else ''}"
            yield found[1], process
        finally:
            process.terminate()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                pipe.close()

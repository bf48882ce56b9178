"""Takes the pictures of the pages that docs/browser.md and the README show.

python benchmarks/screens.py [--out docs/images]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from web import serving

import rlbench

WIDTH, HEIGHT = 1280, 800


def filled(path):
    """Makes a store of a few runs; returns the ids of those that are compared, and the one that is looked at."""
    with rlbench.open_store(path) as store:
        for env in ("FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"):
            evaluated(rlbench.train(env, seed=0, store=store))
        compared = [
            evaluated(rlbench.train("safecab", agent, seed=seed, episodes=20_000, store=store))
            for agent in ("sarsa", "expected-sarsa", "q-learning")
            for seed in range(4)
        ]
        store.update_run(compared[-1], tags=["candidate"], note="The one to beat")
        return compared


def evaluated(run):
    run.store.update_run(run.id, evaluation=rlbench.evaluate(run).summary())
    return run.id


def pictures(page, address, compared, out):
    for name, path, ready in (
        ("runs", "/", "table.runs tbody tr"),
        ("run", f"/runs/{compared[-1]}", "[data-drawn]"),
        ("compare", f"/compare?run={','.join(compared)}", "table.pairs"),
        ("episode", f"/runs/{compared[-1]}/episodes/19999#3", "#scene, canvas"),
    ):
        page.goto(address + path)
        page.locator(ready).first.wait_for()
        page.wait_for_timeout(1_500)
        page.evaluate("document.querySelector('.where').textContent = 'rlbench.db'")
        page.screenshot(path=out / f"browser_{name}.png")


def main():
    out = Path(sys.argv[2] if sys.argv[1:2] == ["--out"] else "docs/images")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "rlbench.db"
        compared = filled(path)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        with serving(path) as address:
            pictures(page, address, compared, out)
        browser.close()


if __name__ == "__main__":
    main()

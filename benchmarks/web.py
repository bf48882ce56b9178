"""The dashboard in Chromium: tables of very many runs, curves of 60,000 episodes, pages of episodes, a first visit.

python benchmarks/web.py
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from statistics import median

from playwright.sync_api import sync_playwright

import rlbench
from rlbench.store.documents import sums

ROUNDS = 5  # each with a server that has just been started
EPISODES, RUNS, VERY_MANY = 60_000, 20, 1_000_000
SIZES = (10_000, 100_000)
SHOWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"  # two frames later
PLAYED = """new Promise(done => {
  const times = [], slider = document.getElementById("slider");
  document.getElementById("play").click();
  requestAnimationFrame(function next(now) {
    times.push(now);
    if (slider.value === slider.max || times.length === 600) done(times); else requestAnimationFrame(next);
  });
})"""
BARS = {
    "10,000 runs: first table, s": 1.0,
    "10,000 runs: filtered, s": 1.0,
    "10,000 runs: sorted, s": 1.0,
    "100,000 runs: first table, s": 2.0,
    "100,000 runs: filtered, s": 2.0,
    "100,000 runs: sorted, s": 2.0,
    "curve of 60,000 episodes of one run, s": 0.3,
    "curves of 60,000 episodes of 20 runs, s": 1.0,
    "first visit of a run until it is drawn, s": 1.0,
    "first visit of a run, kB": 250,
    "the last of 1,000,000 episodes, s": 1.0,
    "99 of 100 frames of an episode, ms": 17.0,  # 60 a second are 16.7 ms each
    "99 of 100 frames in a 50x50 city, ms": 17.0,
}


# ---------------------------------------------------------------------- stores


def many_runs(path, count):
    """Makes a store of copies of one run, with 1,000 learning rates and a return of each one's own."""
    rng = random.Random(0)  # noqa: S311  (no secret)
    with rlbench.open_store(path) as store:
        run = rlbench.train("FrozenLake-v1", seed=0, episodes=50, store=store)
        store.update_run(run.id, evaluation=rlbench.evaluate(run, episodes=20).summary())
        (first,) = store.backend.select_runs({"id": run.id}, 1)
        with store.backend._transaction() as connection:
            store.backend._transaction = lambda: nullcontext(connection)  # one for all
            for i in range(1, count):
                store.backend.insert_run(a_copy(first, i, rng))
            del store.backend._transaction


def a_copy(document, i, rng):
    config, (evaluation,) = json.loads(document["config"]), json.loads(document["evaluation"])
    config["agent"]["parameters"]["learning_rate"] = round(10 ** (-3 * (i // 100 % 1000) / 1000), 6)
    run_id = f"{rng.getrandbits(48):012x}"
    changed = {
        "id": run_id,
        "owners": json.dumps([[0, run_id]]),
        "seed": str(i % 100),
        "chunks": 0,
        "checkpoints": 0,
        "tags": ["good"] if i % 10 == 0 else [],
        "config": json.dumps(config, separators=(",", ":")),
        "evaluation": json.dumps([{**evaluation, "mean_return": rng.random()}]),
    }
    copy = {**document, **changed}
    return {**copy, **sums(copy)}


def long_runs(path):
    with rlbench.open_store(path) as store:
        for agent in ("q-learning", "sarsa"):
            for seed in range(RUNS // 2):
                rlbench.train("safecab", agent, seed=seed, episodes=EPISODES, store=store)
        return [run.id for run in store.runs()]


# ---------------------------------------------------------------------- what a browser waits for


@contextmanager
def serving(path):
    command = [sys.executable, "-m", "rlbench", "ui", "--store", path, "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield re.search(r"http\S+", process.stdout.readline())[0]
        finally:
            process.terminate()


@contextmanager
def a_page(browser):
    """An empty page of a browser that has been nowhere."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    yield context.new_page()
    context.close()


def waited(page, act, selector):
    """Returns the seconds until what an act brings is on the screen."""
    started = time.perf_counter()
    act()
    page.locator(selector).first.wait_for()
    page.evaluate(SHOWN)
    return time.perf_counter() - started


def tables(browser, path):
    """Returns the seconds of the first table, of a filtered one and of a sorted one."""
    with serving(path) as address, a_page(browser) as page:
        first = waited(page, lambda: page.goto(address, wait_until="commit"), "table.runs tbody tr")
        page.get_by_label("Where").fill("learning_rate>0.1")
        page.evaluate("document.getElementById('table').classList.add('before')")
        filtered = waited(page, lambda: page.keyboard.press("Enter"), "#table:not(.before) tbody tr")
        page.goto(address)
        sort = page.get_by_role("link", name="mean return")
        ordered = waited(page, sort.click, "th[aria-sort=descending]")
    return first, filtered, ordered


def curves(browser, path, address_of):
    """Returns the seconds from the request for curves until they are drawn, those of the whole visit, and its bytes."""
    with serving(path) as address, a_page(browser) as page:
        page.goto(f"{address}/?where=seed%3C0")  # the server has answered before, and Chromium has begun
        page.wait_for_timeout(2_000)
        sizes = []
        with a_page(browser) as other:
            other.on("response", lambda answer: sizes.append(answer.request.sizes()))
            other.goto(address + address_of, wait_until="commit")
            other.locator("[data-drawn]").wait_for()
            asked, drawn = (
                float(other.locator("[data-drawn]").get_attribute(f"data-{at}")) for at in ("asked", "drawn")
            )
            other.wait_for_load_state("networkidle")
            weight = sum(one["responseHeadersSize"] + one["responseBodySize"] for one in sizes)
    return (drawn - asked) / 1_000, drawn / 1_000, weight / 1_000


def played(page):
    """Plays the episode of a page, with its values on the map; returns the milliseconds that 99 of 100 frames take."""
    page.evaluate("document.getElementById('show-values').click()")
    times = page.evaluate(PLAYED)
    gaps = sorted(later - sooner for sooner, later in pairwise(times[2:]))
    return gaps[int(0.99 * (len(gaps) - 1))]


def episodes(browser, path, index):
    """Returns the seconds until an episode of the last run is drawn, and the milliseconds of a frame of it."""
    with serving(path) as address, a_page(browser) as page:
        place = f"{address}/runs/latest/episodes/{index}"
        opened = waited(page, lambda: page.goto(place, wait_until="commit"), "[data-ready=map]")
        return opened, played(page)


def one_run(path, count, **arguments):
    """Stores a run; returns the number of its longest episode."""
    with rlbench.open_store(path) as store:
        return int(rlbench.train("safecab", seed=0, episodes=count, store=store, **arguments).lengths.argmax())


def measured(browser, folder):
    for count in SIZES:
        path = folder / f"{count}.db"
        many_runs(path, count)
        found = [tables(browser, path) for _ in range(ROUNDS)]
        for name, seconds in zip(("first table", "filtered", "sorted"), zip(*found, strict=True), strict=True):
            yield f"{count:,} runs: {name}, s", median(seconds)
    path = folder / "long.db"
    ids = long_runs(path)
    one = [curves(browser, path, f"/runs/{ids[i]}") for i in range(1, ROUNDS + 1)]
    several = [curves(browser, path, f"/compare?run={','.join(ids)}") for _ in range(ROUNDS)]
    yield "curve of 60,000 episodes of one run, s", median(seconds for seconds, _, _ in one)
    yield "curves of 60,000 episodes of 20 runs, s", median(seconds for seconds, _, _ in several)
    yield "first visit of a run until it is drawn, s", median(seconds for _, seconds, _ in one)
    yield "first visit of a run, kB", max(weight for _, _, weight in one)
    path = folder / "million.db"
    one_run(path, VERY_MANY)
    found = [episodes(browser, path, VERY_MANY - 1) for _ in range(ROUNDS)]
    yield "the last of 1,000,000 episodes, s", median(seconds for seconds, _ in found)
    yield "99 of 100 frames of an episode, ms", median(frame for _, frame in found)
    path = folder / "city.db"
    longest = one_run(path, 200, env_kwargs={"city": "50x50"})
    yield "99 of 100 frames in a 50x50 city, ms", median(episodes(browser, path, longest)[1] for _ in range(ROUNDS))


def main():
    print(f"Medians of {ROUNDS} visits, each of a server that was just started, by a browser that has been nowhere.\n")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, found in measured(browser, Path(folder)):
            verdict = "met" if found <= BARS[name] else "MISSED"
            print(f"{name:<45} {found:>8.2f}   bar <= {BARS[name]:>6.1f}   {BARS[name] / found:>5.1f}x  {verdict}")
        browser.close()


if __name__ == "__main__":
    main()

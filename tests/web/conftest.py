"""A store of a few runs, a client in this process, a real server, and a real browser that looks at every page."""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from clients import Client, serving
from needs import needed, without

import rlbench
from rlbench import modelling
from rlbench.web.app import dashboard

SIZES = {"phone": 390, "tablet": 900, "desktop": 1400}  # pixels wide
SCHEMES = ("light", "dark")
HEIGHT = 900
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="session")
def filled(tmp_path_factory):
    """The path of a store with a few runs of several envs and agents. Tests copy it before they change it."""
    path = tmp_path_factory.mktemp("web") / "runs.db"
    with rlbench.open_store(path) as store:
        for agent in ("q-learning", "sarsa"):
            for seed in (0, 1):
                run = rlbench.train("safecab", agent, seed=seed, episodes=300, store=store)
                store.update_run(run.id, evaluation=rlbench.evaluate(run, episodes=20).summary())
        rlbench.train("CartPole-v1", "q-learning", seed=3, episodes=20, store=store)
        last = rlbench.train("FrozenLake-v1", "q-learning", seed=4, episodes=50, store=store)
        store.update_run(last.id, tags=["good"], note="on thin ice")
    return path


@pytest.fixture
def database(filled, tmp_path):
    """The path of a copy of this store, of the test's own."""
    return shutil.copy(filled, tmp_path / "runs.db")


@pytest.fixture
def store(database):
    """The copy, opened."""
    with rlbench.open_store(database) as opened:
        yield opened


@pytest.fixture(scope="session")
def stocked(filled, tmp_path_factory):
    """The path of a store with these runs and two versions of a model."""
    path = tmp_path_factory.mktemp("serving") / "runs.db"
    shutil.copy(filled, path)
    with rlbench.open_store(path) as store:
        for seed in (0, 1):
            modelling.save_model(store, modelling.train_model("tree", "iris", seed=seed))
    return path


@pytest.fixture(scope="session")
def shop(stocked):
    """The same store, opened to read."""
    with rlbench.open_store(stocked, read_only=True) as opened:
        yield opened


@pytest.fixture
def stock(stocked, tmp_path):
    """The path of a copy of it, of the test's own."""
    return shutil.copy(stocked, tmp_path / "stock.db")


@pytest.fixture
def depot(stock):
    """This copy, opened."""
    with rlbench.open_store(stock) as opened:
        yield opened


@pytest.fixture
def client(store):
    """A client of the dashboard over `store`."""
    return Client(dashboard(store))


@pytest.fixture
def server(database):
    """The address of `rlbench ui` over a copy of the store."""
    with serving("ui", "--store", database, "--port", 0, "--no-browser") as (address, _):
        yield address


@pytest.fixture(scope="session")
def window(filled, tmp_path_factory):
    """The address of `rlbench ui` over a copy of the store that many tests share: they only look at it."""
    copy = shutil.copy(filled, tmp_path_factory.mktemp("window") / "runs.db")
    with serving("ui", "--store", copy, "--port", 0, "--no-browser") as (address, _):
        yield address


@pytest.fixture(scope="session")
def browser():
    """Chromium, as the system has it."""
    needed("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        without("playwright", "pip install playwright")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """An empty page; in the end it must have asked nothing of another host, and its scripts must not have failed."""
    context = browser.new_context(viewport={"width": SIZES["desktop"], "height": HEIGHT})
    opened = context.new_page()
    hosts, said = set(), []
    opened.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("console", lambda message: said.append(message.text) if _is_complaint(message) else None)
    yield opened
    context.close()
    assert hosts <= {"127.0.0.1"}
    assert said == []


def _is_complaint(message):
    expected = ("Failed to load resource", "htmx:", "Response Status Error")  # what a test breaks on purpose
    return message.type == "error" and not message.text.startswith(expected)


@pytest.fixture
def look(tmp_path):
    """Takes pictures of a page in three sizes and two schemes; nothing may stand out on the right, and key figures
    stand beside each other.

    RLBENCH_LOOKS names a folder in which the pictures stay.
    """
    folder = Path(os.environ.get("RLBENCH_LOOKS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def looking(page, name):
        for size, width in SIZES.items():
            page.set_viewport_size({"width": width, "height": HEIGHT})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True, animations="disabled")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, size)
        page.set_viewport_size({"width": SIZES["desktop"], "height": HEIGHT})
        displays = page.locator(".tiles").evaluate_all("all => all.map(one => getComputedStyle(one).display)")
        assert set(displays) <= {"flex"}, name

    return looking


@pytest.fixture
def axe():
    """Fails if axe-core finds something serious on a page, in either scheme."""

    def checking(page):
        from axe_playwright_python.sync_playwright import Axe

        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found = Axe().run(page).response["violations"]
            serious = [
                (one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found if one["impact"] in SERIOUS
            ]
            assert serious == [], scheme

    return checking

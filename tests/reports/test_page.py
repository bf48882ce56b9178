"""The report: it holds what is known of a run, loads nothing from outside, and escapes names that look like markup."""

import base64
import io
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from needs import needed
from training.toys import Circle
from waiting import HANG

import rlbench
from rlbench.errors import MissingPackageError, StoreError, UsageError
from rlbench.plots.style import new_figure
from rlbench.reports.page import HEAD, TAIL, _episodes, _gif, page, report, run_html
from rlbench.reports.parts import image_of
from rlbench.reports.several import page_of_several

pytest.importorskip("matplotlib", reason="the extra plots is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL = """<script>document.title="owned"</script><img src=x onerror=alert(1)>"&'"""
CHROMIUM_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
IMAGE = re.compile(r'<img alt="([^"]*)" src="data:image/svg\+xml;base64,([^"]+)">')
FILM = re.compile(r'<img alt="([^"]*)" src="data:image/gif;base64,([^"]+)">')


class Markup(HTMLParser):
    """What a browser sees: tags with their attributes, and the text between them."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def run():
    """SafeCab, learnt for a while, with a tag that would like to be markup."""
    store = rlbench.open_store("memory://")
    trained = rlbench.train("safecab", episodes=400, seed=0, store=store)
    trained.record = store.update_run(trained.id, tags=[EVIL], evaluation=rlbench.evaluate(trained, seed=0).summary())
    return trained


@pytest.fixture(scope="module")
def text(run):
    """Its report."""
    return page(run)


def test_the_report_is_well_formed_and_says_what_the_run_is(run, text):
    markup = Markup(text)
    assert markup.open == []
    for said in (run.id, "q-learning on rlbench/SafeCab-v0", "seed 0", f"{run.timesteps:,}", "exploration_decay"):
        assert said in markup.text


def test_the_report_shows_all_pictures_as_svg(text):
    pictures = {title: base64.b64decode(data) for title, data in IMAGE.findall(text)}
    assert set(pictures) == {
        "Returns over training",
        "Exploration",
        "Actions",
        "Temporal-difference errors",
        "Values of the learnt table",
        "Learnt policy",
        "States seen in training",
        "Returns of greedy episodes",
    }
    assert all(picture.startswith(b"<?xml") and b"<script" not in picture for picture in pictures.values())


def test_the_report_says_how_good_the_policy_is_exactly(run, text):
    found = rlbench.evaluate(run, seed=0)
    shown = Markup(text).text
    assert f"{found.exact_return:.6f}" in shown
    assert f"{found.regret:.6g}" in shown
    assert f"in {found.optimal_states:,} of {found.reachable_states:,} reachable states" in shown


def test_the_report_shows_the_best_and_the_worst_episode_step_by_step(run, text):
    shown = Markup(text).text
    best, worst = int(run.returns.argmax()), int(run.returns.argmin())
    assert f"The best: episode {best}, return {run.returns[best]:,.10g}" in shown
    assert f"The worst: episode {worst}, return {run.returns[worst]:,.10g}" in shown
    steps = sum(tag == "tr" and attributes.get("class") == "explored" for tag, attributes in Markup(text).tags)
    episodes = [run.store.episodes(run.id)[index] for index in (best, worst)]
    shaded = [
        episode.explored[t] for episode in episodes for t in range(len(episode)) if t < HEAD or t >= len(episode) - TAIL
    ]
    assert steps == sum(shaded)


def test_the_best_and_the_worst_episode_move(run, text):
    image = pytest.importorskip("PIL.Image", reason="the extra viewer is not installed")
    films = {title: image.open(io.BytesIO(base64.b64decode(data))) for title, data in FILM.findall(text)}
    assert list(films) == ["the best episode", "the worst episode"]
    episodes = [run.store.episodes(run.id)[int(index)] for index in (run.returns.argmax(), run.returns.argmin())]
    assert [film.n_frames for film in films.values()] == [len(episode) + 1 for episode in episodes]


def test_of_a_long_episode_the_beginning_moves(monkeypatch, run):
    monkeypatch.setattr("rlbench.reports.page.FILM_FRAMES", 3)
    image = pytest.importorskip("PIL.Image", reason="the extra viewer is not installed")
    steps, gif = _gif(run, int(run.returns.argmin()))
    assert (image.open(io.BytesIO(gif)).n_frames, steps) == (4, 3)


def test_without_the_viewer_the_episodes_are_listed_and_the_reason_is_said(monkeypatch, run):
    def missing(*_):
        raise MissingPackageError("a file of pictures needs PIL", "PIL", "viewer")

    monkeypatch.setattr("rlbench.reports.page._gif", missing)
    shown = _episodes(run)
    assert "<img" not in shown
    assert "rlbench[viewer]" in shown
    assert shown.count("<details open>") == 2


def test_the_report_says_how_to_make_the_run_again(text):
    assert "rlbench train rlbench/SafeCab-v0 --agent q-learning --episodes 400 --seed 0" in Markup(text).text


def test_nothing_is_fetched_and_nothing_is_executed(text):
    sources = [
        value for _, attributes in Markup(text).tags for name, value in attributes.items() if name in ("src", "href")
    ]
    assert sources
    assert all(re.match(r"data:image/(svg\+xml|gif);base64,", source) for source in sources)
    assert not re.search(r"https?://", re.sub(r'src="[^"]*"', "", text))
    assert "url(" not in text
    assert "@import" not in text
    policy = next(a["content"] for t, a in Markup(text).tags if t == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_no_name_becomes_markup(run, text):
    for html in (text, run_html(run)):
        markup = Markup(html)
        assert not {"script", "iframe", "object"} & {tag for tag, _ in markup.tags}
        assert not [name for _, attributes in markup.tags for name in attributes if name.startswith("on")]
        assert EVIL in markup.text


def test_the_report_is_small(text):
    assert len(text.encode()) < 3_000_000


def test_a_wide_picture_has_a_row_of_its_own():
    figures = [new_figure((width, 3)) for width in (5.5, 9.8)]
    shown = [image_of(figure, "map") for figure in figures if figure.subplots()]
    assert [Markup(one).tags[0][1]["class"] for one in shown] == ["plot", "plot wide"]


def test_a_long_episode_is_shown_by_its_beginning_and_its_end():
    trained = rlbench.train(Circle(length=200), episodes=3, seed=0, store="memory://")
    shown = Markup(page(trained)).text
    assert f"... {200 - HEAD - TAIL} steps ..." in shown
    assert "terminated" in shown
    assert "the episode cannot be drawn: run" in shown
    assert "not evaluated for this page" in shown  # the env cannot be made again
    assert "made with an env object" in shown


def test_what_a_run_did_not_keep_is_said():
    trained = rlbench.train("safecab", "random", episodes=20, seed=0, store="memory://", record="none")
    shown = Markup(page(trained)).text
    assert "Values of the learnt table: the agent of run" in shown
    assert "keeps no action values" in shown
    assert "train with --record all" in shown
    assert "exact value" in shown


def test_a_run_without_an_episode_has_a_report_too():
    parent = rlbench.train("safecab", "random", episodes=20, seed=0, store="memory://")
    shown = Markup(page(rlbench.retrain(parent, passes=2).run)).text
    assert "no episode has ended" in shown
    assert f"learnt from {parent.id}" in shown
    assert "Learnt policy" in shown


def test_the_report_is_written_whole_and_takes_the_place_of_the_one_before(monkeypatch, tmp_path, run, text):
    monkeypatch.setattr("rlbench.reports.page.page", lambda _: text)
    path = tmp_path / "a.HTML"
    path.write_text("old")
    assert report(run, path) == path
    assert path.read_text(encoding="utf-8") == text
    assert [found.name for found in tmp_path.iterdir()] == ["a.HTML"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.pdf", "a report must end in .html"),
        ("a", "a report must end in .html"),
        ("none/a.html", "is not a folder"),
        ("d.html", "is a folder"),
    ],
)
def test_a_place_that_does_not_do_is_refused(tmp_path, run, name, message):
    (tmp_path / "d.html").mkdir()
    with pytest.raises(UsageError, match=message):
        report(run, tmp_path / name)


def test_without_matplotlib_there_is_no_report_and_a_notebook_shows_a_run_without_its_curve(monkeypatch, tmp_path, run):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r'pip install "rlbench\[plots\]"'):
        report(run, tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []
    assert "<img" not in run_html(run)


def test_a_notebook_shows_the_figures_and_the_curve_of_a_run(run):
    markup = Markup(run_html(run))
    assert markup.open == []
    assert f"{run.record.evaluation['regret']:.4g}" in markup.text
    assert [tag for tag, _ in markup.tags].count("img") == 1


def test_a_notebook_shows_a_run_whose_store_is_closed(tmp_path):
    store = rlbench.open_store(tmp_path / "a.db")
    trained = rlbench.train("safecab", episodes=5, store=store)
    fresh = rlbench.load_run(store, trained.id)
    store.close()
    with pytest.raises(StoreError):
        fresh.returns  # noqa: B018  (that it cannot be read is what makes the case)
    assert fresh.id in run_html(fresh)


@pytest.fixture(scope="module")
def lakes():
    """FrozenLake with two learning rates, two seeds each."""
    return [
        rlbench.train("FrozenLake-v1", episodes=30, seed=seed, store="memory://", agent_kwargs={"learning_rate": rate})
        for rate in (0.1, 0.5)
        for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def several(lakes):
    """Their report."""
    return page_of_several(lakes)


def test_a_report_of_several_candidates_says_what_differs_and_who_does_better(lakes, several):
    markup = Markup(several)
    assert markup.open == []
    assert "2 candidates on FrozenLake-v1, 4 runs" in markup.text
    assert "What differsagentlearning_rateAq-learning0.1Bq-learning0.5" in markup.text
    assert all(run.id in markup.text for run in lakes)
    assert "beats A" in markup.text
    assert [title for title, _ in IMAGE.findall(several)][-1] == "Interquartile means, and who beats whom"
    assert "--env-set map_name=4x4 --set learning_rate=0.1 --seeds 0:2" in markup.text
    assert "with the seeds 0, 1" in markup.text


def test_a_report_of_seeds_takes_them_for_one_candidate(monkeypatch, lakes):
    monkeypatch.setattr("rlbench.reports.several.PICTURES", {"curve": "Returns over training"})
    found = page_of_several(lakes[1::-1])
    assert found.index(f">{lakes[0].id}<") < found.index(f">{lakes[1].id}<")  # in the order of their seeds
    shown = Markup(found).text
    assert "q-learning on FrozenLake-v1, 2 runs" in shown
    assert "interquartile mean return" in shown
    assert "What differs" not in shown
    assert "beats A" not in shown
    assert [title for title, _ in IMAGE.findall(found)] == ["Returns over training"]


def test_runs_that_cannot_be_played_now_are_judged_by_their_training():
    runs = [
        rlbench.train(Circle(), episodes=3, seed=seed, store="memory://", agent_kwargs={"gamma": gamma})
        for gamma in (0.5, 0.9)
        for seed in (0, 1)
    ]
    shown = Markup(page_of_several(runs)).text
    assert "cannot be evaluated" in shown
    assert "the mean return of the last 100 episodes of training" in shown
    assert "made with an env object" in shown


def test_a_report_is_of_runs_in_one_env(tmp_path, run, lakes):
    with pytest.raises(UsageError, match="returns of different envs cannot be compared"):
        report([run, lakes[0]], tmp_path / "a.html")
    with pytest.raises(UsageError, match="name at least one run"):
        report([], tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def browser(tmp_path):
    """A function that opens a page in a real browser with some options, and returns what it prints."""
    if CHROMIUM is None:
        needed("chromium")

    def opened(path, *options):
        command = [CHROMIUM, *CHROMIUM_OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", *options, path.as_uri()]
        return subprocess.run(command, check=True, capture_output=True, timeout=HANG).stdout.decode()

    return opened


def test_a_browser_shows_the_report(browser, tmp_path, text):
    import matplotlib.image

    path, picture = tmp_path / "a.html", tmp_path / "a.png"
    path.write_text(text, encoding="utf-8")
    browser(path, "--window-size=1000,1400", f"--screenshot={picture}")
    pixels = matplotlib.image.imread(picture)[..., :3]
    assert pixels.shape[:2] == (1400, 1000)
    blue = (abs(pixels - [0, 0x72 / 255, 0xB2 / 255]) < 0.1).all(axis=-1)  # lines of the pictures
    assert blue.sum() > 500


def test_a_browser_shows_the_report_dark_where_that_is_preferred(browser, tmp_path, text):
    import matplotlib.image

    path, picture = tmp_path / "a.html", tmp_path / "a.png"
    path.write_text(text, encoding="utf-8")
    browser(path, "--window-size=1000,1400", f"--screenshot={picture}", "--blink-settings=preferredColorScheme=0")
    brightness = matplotlib.image.imread(picture)[..., :3].mean(axis=-1)
    assert (brightness < 0.2).mean() > 0.6
    assert (brightness > 0.8).mean() < 0.05  # letters and lines; no picture is a white box


def test_a_browser_prints_the_report_on_few_pages(browser, tmp_path, text):
    path, printed = tmp_path / "a.html", tmp_path / "a.pdf"
    path.write_text(text, encoding="utf-8")
    browser(path, f"--print-to-pdf={printed}")
    assert len(re.findall(rb"/Type /Page\b", printed.read_bytes())) <= 5


def test_a_browser_fits_the_report_to_a_phone_and_decodes_its_pictures(browser, tmp_path, text, several):
    script = """<script>addEventListener("load", () => {
        const page = document.documentElement, images = [...document.images];
        const wide = [...document.querySelectorAll("body *")].filter(element =>
            element.getBoundingClientRect().right > innerWidth + 1 && !element.closest("pre, .episodes, .wide"));
        page.dataset.found = [innerWidth, page.scrollWidth, wide.length, images.length,
            images.filter(image => image.naturalWidth > 0).length].join(" ");
    });</script></html>"""  # the report itself runs none: its policy forbids it
    path = tmp_path / "a.html"
    both = text.replace("</body>", re.search(r"<body>(.*</body>)", several, re.DOTALL)[1])
    path.write_text(re.sub(r"<meta http-equiv[^>]*>", "", both).replace("</html>", script), encoding="utf-8")
    shown = browser(path, "--window-size=390,800", "--dump-dom")
    width, scrolled, wide, images, decoded = map(int, re.search(r'data-found="([^"]*)"', shown)[1].split())
    assert scrolled == width
    assert wide == 0
    assert images == decoded == len(IMAGE.findall(both)) + len(FILM.findall(both))


def test_a_browser_takes_no_name_for_a_program(browser, tmp_path, run, text):
    path = tmp_path / "a.html"
    path.write_text(text, encoding="utf-8")
    title = re.search(r"<title>(.*?)</title>", browser(path, "--dump-dom"))[1]
    assert title == f"q-learning on rlbench/SafeCab-v0, run {run.id}"


def test_the_report_shows_evaluations_over_training_and_says_what_ended_it():
    stop = rlbench.StopOnReturn(-1.0, window=20)
    found = page(rlbench.train("FrozenLake-v1", episodes=60, seed=0, callbacks=[stop], eval_every=10))
    assert "finished, ended by StopOnReturn(threshold=-1.0, window=20, every=20), begun" in found
    assert "<figcaption>Greedy episodes over training</figcaption>" in found

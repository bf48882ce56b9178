"""Pictures: the numbers that are drawn, where they lie, and what the files look like; nothing global is changed."""

import subprocess
import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training.toys import Circle, Road

import rlbench
from rlbench import plots
from rlbench.envs.book import BOOK_ENVS
from rlbench.envs.layouts import LAYOUTS, Layout, layout_of
from rlbench.errors import StoreError, UnknownNameError, UsageError
from rlbench.plots.data import evaluation_of
from rlbench.plots.smoothing import means_at
from rlbench.plots.style import COLORS, axes_or_new, plain, power_of_ten, render
from rlbench.store import OPEN, TERMINATED, EpisodeChunk, open_store
from rlbench.store.config import RunConfig
from rlbench.training import Run

matplotlib = pytest.importorskip("matplotlib", reason="the extra plots is not installed")
PLACELESS = ("rlbench/Bandit-v0", "rlbench/Gambler-v0", "rlbench/Racetrack-v0")
BOARDS = tuple(env["id"] for env in BOOK_ENVS if env["id"] not in PLACELESS)
MAPPED = ("rlbench/SafeCab-v0", "rlbench/DiscreteCartPole-v1", "Taxi-v4", "FrozenLake-v1", "CliffWalking-v1", *BOARDS)


@pytest.fixture(autouse=True)
def _agg():
    """Draws without a display, and leaves no figure open."""
    import matplotlib.pyplot as plt

    with matplotlib.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


@pytest.fixture
def ax():
    """Empty axes."""
    from matplotlib.figure import Figure

    return Figure().subplots()


def trained(env="safecab", episodes=300, seed=0, **more):
    return rlbench.train(env, episodes=episodes, seed=seed, store="memory://", **more)


@pytest.fixture(scope="module")
def cab():
    """SafeCab, learnt for a while."""
    return trained()


@pytest.fixture(scope="module")
def lake():
    """A frozen lake on which one does not slip."""
    return trained("FrozenLake-v1", 2000, env_kwargs={"is_slippery": False})


def labels(ax):
    return ax.get_legend_handles_labels()[1]


# -------------------------------------------------------------------------------------------------- smoothing


@settings(max_examples=40)  # the first call imports SciPy
@given(st.integers(0, 2**32), st.integers(1, 25), st.integers(0, 4), st.integers(0, 60))
def test_savitzky_golay_is_scipys(seed, half, order, more):
    signal = pytest.importorskip("scipy.signal", reason="SciPy comes with the extra plots")
    window = 2 * half + 1
    order = min(order, window - 1)
    values = np.random.default_rng(seed).normal(size=window + more) * 1000
    expected = signal.savgol_filter(values, window, order, mode="mirror")
    assert plots.savitzky_golay(values, window, order) == pytest.approx(expected, abs=1e-6)


def test_savitzky_golay_of_the_book_is_scipys():
    signal = pytest.importorskip("scipy.signal", reason="SciPy comes with the extra plots")
    values = np.random.default_rng(0).normal(size=5000).cumsum()
    inner = signal.savgol_filter(values, 1001, 2)[500:-500]
    assert plots.savitzky_golay(values, 1001, 2)[500:-500] == pytest.approx(inner, abs=1e-8)


def test_a_parabola_through_five_values_has_the_weights_of_the_tables():
    spike = np.eye(9)[4] * 35
    assert plots.savitzky_golay(spike, 5, 2) == pytest.approx([0, 0, -3, 12, 17, 12, -3, 0, 0])


def test_savitzky_golay_leaves_a_parabola_as_it_is_but_for_its_mirrored_ends():
    t = np.arange(40.0)
    assert plots.savitzky_golay(3 * t**2 - t + 7, 11, 2)[5:-5] == pytest.approx((3 * t**2 - t + 7)[5:-5])


def test_the_last_episodes_do_not_send_a_curve_beyond_what_they_were():
    returns = np.r_[np.zeros(95), np.arange(5.0)]
    assert plots.savitzky_golay(returns, 49, 2)[-1] < returns[-5:].mean()


@pytest.mark.parametrize(("window", "order"), [(4, 2), (3, 3), (11, 2)])
def test_a_window_that_does_not_fit_is_refused(window, order):
    with pytest.raises(UsageError, match="window must be odd"):
        plots.savitzky_golay(np.zeros(9), window, order)


@pytest.mark.parametrize("window", [0, 4, 11])
def test_a_bell_that_does_not_fit_is_refused(window):
    with pytest.raises(UsageError, match="window must be odd, above 0 and at most 9"):
        plots.bell_mean(np.zeros(9), window)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(0, 30))
def test_a_smoothed_curve_stays_in_the_range_of_the_values_around_it(values, half):
    half = min(half, (len(values) - 1) // 2)
    smooth = plots.bell_mean(values, 2 * half + 1)
    around = [np.pad(values, half, mode="reflect")[k : k + 2 * half + 1] for k in range(len(values))]
    assert all(min(near) - 1e-9 <= y <= max(near) + 1e-9 for y, near in zip(smooth, around, strict=True))


def test_a_curve_that_rises_and_then_stays_does_not_overshoot_unless_parabolas_are_fitted():
    returns = np.r_[np.full(100, -100.0), np.full(900, -13.0)]
    assert plots.smoothing("bell")(returns).max() == pytest.approx(-13)
    assert np.diff(plots.smoothing("bell")(returns)).min() > -1e-9
    assert plots.smoothing("savgol")(returns).max() > -10


def test_a_bell_leaves_as_much_noise_as_a_parabola_over_the_same_window():
    noise = np.random.default_rng(0).normal(size=20_000)
    spreads = [
        np.std(smooth(noise, 1001, *order)) for smooth, order in ((plots.bell_mean, ()), (plots.savitzky_golay, (2,)))
    ]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.1)


@pytest.mark.parametrize("spec", ["bell", "savgol"])
def test_a_window_shrinks_with_the_series_and_is_1001_at_most(spec):
    smooth = plots.smoothing(spec)
    assert [smooth.window_for(n) for n in (5, 9, 10, 100, 1000, 10_010, 60_000)] == [1, 1, 5, 9, 99, 1001, 1001]
    assert smooth([3.0, 1.0, 2.0]).tolist() == [3.0, 1.0, 2.0]


def test_a_moving_mean_takes_what_there_is_at_the_ends():
    assert plots.smoothing("mean:3")([0, 3, 6, 9]).tolist() == [1.5, 3.0, 6.0, 7.5]
    assert plots.smoothing("mean:100")([1, 2, 3]).tolist() == [2.0, 2.0, 2.0]
    assert plots.smoothing("none")([1, 5]).tolist() == [1.0, 5.0]


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50), st.integers(1, 60))
def test_means_at_some_places_are_the_moving_means_there(values, window):
    at = np.arange(0, len(values), 3)
    assert means_at(values, window, at) == pytest.approx(plots.moving_mean(values, window)[at], abs=1e-9)


def test_the_mean_of_small_values_after_large_ones_is_free_of_their_rounding():
    assert means_at([1e17, 1.0, 1e-17, 1e-17], 1, np.array([3])).tolist() == [1e-17]


@pytest.mark.parametrize("spec", ["mean", "mean:0", "mean:-1", "mean:x", "median", "", "savgol:5", None])
def test_another_way_to_smooth_is_refused(spec):
    with pytest.raises(UsageError, match="smooth must be bell, mean:N"):
        plots.smoothing(spec)


# ----------------------------------------------------------------------------------------------------- curves


def test_a_curve_without_smoothing_is_the_returns(cab, ax):
    assert plots.curve(cab, ax, smooth="none", spread=False) is ax
    [line] = ax.get_lines()
    assert line.get_ydata().tolist() == cab.returns.tolist()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("episode", "return")
    assert ax.get_title(loc="left") or ax.get_title() == "q-learning on rlbench/SafeCab-v0, seed 0"


def test_a_curve_is_smoothed_over_a_tenth_of_the_episodes(cab, ax):
    plots.curve(cab, ax)
    expected = plots.bell_mean(cab.returns, 29)
    assert ax.get_lines()[-1].get_ydata() == pytest.approx(expected)
    assert labels(ax) == ["8 of 10 episodes", "smoothed returns"]


def test_runs_that_differ_in_their_seed_are_a_mean_with_a_band(ax):
    runs = [trained(seed=seed, episodes=episodes) for seed, episodes in ((0, 60), (1, 60))]
    plots.curve(runs, ax, smooth="none")
    [line], [band] = ax.get_lines(), ax.collections
    assert line.get_ydata() == pytest.approx((runs[0].returns + runs[1].returns) / 2)
    low, high = np.minimum(runs[0].returns, runs[1].returns), np.maximum(runs[0].returns, runs[1].returns)
    edges = band.get_paths()[0].vertices[:, 1]
    assert (edges.min(), edges.max()) == (pytest.approx(low.min()), pytest.approx(high.max()))
    assert labels(ax) == ["mean of 2 runs"]


def test_a_list_of_one_run_is_drawn_like_the_run(cab, ax):
    plots.curve([cab], ax, smooth="none")
    assert labels(ax) == ["8 of 10 episodes", "returns"]
    assert render(plots.draw(cab, "policy"), ".png") == render(plots.draw([cab], "policy"), ".png")


def test_runs_of_other_settings_are_lines_of_their_own_named_below_the_picture(ax):
    ax.figure.set_layout_engine("constrained")
    runs = [trained(episodes=60, agent_kwargs={"gamma": gamma}) for gamma in (0.5, 0.9)]
    plots.curve(runs, ax)
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().y1 < ax.xaxis.label.get_window_extent().y0
    assert labels(ax) == ["q-learning, gamma 0.5", "q-learning, gamma 0.9"]
    assert [line.get_color() for line in ax.get_lines()] == list(COLORS[:2])


def test_arrays_are_drawn_as_far_as_all_go(ax):
    plots.curve({"a": [1.0, 2.0], "b_$x$": [[1, 2, 3], [3, 4, 5]]}, ax, smooth="none")
    assert [line.get_ydata().tolist() for line in ax.get_lines()] == [[1.0, 2.0], [2.0, 3.0, 4.0]]
    ax.figure.canvas.draw()
    assert ax.get_legend().get_texts()[1].get_text() == "b_$x$, 2 runs".replace("$", r"\$")


def test_runs_of_different_lengths_are_averaged_as_far_as_all_go(ax):
    two = [trained("cartpole", None, seed, total_timesteps=2000) for seed in (0, 1)]
    plots.curve(two, ax, smooth="none")
    assert len(ax.get_lines()[0].get_ydata()) == min(run.episodes for run in two)


def test_a_long_curve_is_thinned_for_the_page(ax):
    plots.curve(np.arange(50_000.0), ax, smooth="none", spread=False)
    x = ax.get_lines()[0].get_xdata()
    assert (len(x), x[0], x[-1]) == (600, 0, 49_999)


@pytest.mark.parametrize("data", [[], np.empty(0), {}, {"a": []}, [[]]])
def test_no_episodes_are_no_curve(data, ax):
    with pytest.raises(UsageError, match="at least one"):
        plots.curve(data, ax)


def test_runs_of_different_envs_are_no_curve(cab, lake, ax):
    with pytest.raises(UsageError, match="returns of different envs cannot be compared"):
        plots.curve([cab, lake], ax)


# ------------------------------------------------------------------------------------- exploration and actions


def test_exploration_shows_the_rate_and_the_share_that_came_of_it(cab, ax):
    plots.exploration(cab, ax, smooth="none")
    rate, share = ax.get_lines()
    assert rate.get_ydata().tolist() == cab.figures["exploration_rate"].tolist()
    assert share.get_ydata().tolist() == (cab.figures["explored"] / cab.figures["length"]).tolist()


def test_the_share_is_of_actions_not_a_mean_of_episodes(ax):
    figures = {
        "exploration_rate": np.array([0.5, 0.5]),
        "explored": np.array([1, 1]),
        "length": np.array([1, 9]),
    }
    plots.exploration(figures, ax, smooth="mean:2")
    assert ax.get_lines()[1].get_ydata()[1] == 0.2  # 2 of 10, where the episodes' shares have the mean 0.56


def test_figures_that_a_run_did_not_keep_are_named(ax):
    with pytest.raises(UsageError, match="no 'exploration_rate'"):
        plots.exploration({"return": np.ones(3), "length": np.ones(3)}, ax)


def test_the_shares_of_actions_add_up_to_one_and_are_named(cab, ax):
    plots.actions(cab, ax)
    assert labels(ax) == ["South", "North", "East", "West", "Pickup", "Dropoff"]
    heights = np.array([patch.get_data().values for patch in ax.patches])
    assert heights[-1] == pytest.approx(np.ones(heights.shape[1]))
    counts = cab.figures["action_counts"]
    south = counts[:2, 0].sum() / counts[:2].sum()  # 300 episodes in 150 blocks
    assert heights[0][0] == pytest.approx(south)


def test_of_many_actions_the_rare_ones_are_put_together(ax):
    counts = np.tile(np.arange(12), (20, 1))
    plots.actions({"action_counts": counts}, ax)
    assert labels(ax) == [*(f"action {i}" for i in range(5, 12)), "5 others"]


# ------------------------------------------------------------------------------------- the share of an action


def test_the_share_of_an_action_is_its_part_of_all_actions(cab, ax):
    plots.share(cab, ax, action="Pickup", smooth="none")
    counts = cab.figures["action_counts"]
    assert ax.get_lines()[0].get_ydata() == pytest.approx(counts[:, 4] / counts.sum(axis=1))
    assert ax.get_ylabel() == "share of Pickup"


def test_the_share_in_a_state_counts_what_was_done_there(ax):
    run = trained(Road(), 12)
    plots.share(run, ax, action=1, state=1, smooth="none")
    second = [int(episode.actions[1] == 1) for episode in run.store.episodes(run.id)]
    assert 0 < sum(second) < 12
    assert ax.get_lines()[0].get_ydata().tolist() == second
    assert ax.get_ylabel() == "share of action 1 in state 1"


def test_the_share_is_interpolated_over_episodes_that_never_saw_the_state(ax):
    run = trained(Circle(length=2), 40, seed=3)
    plots.share(run, ax, action=0, state=2, smooth="none")
    taken, seen = np.zeros(40), np.zeros(40)
    for episode in run.store.episodes(run.id):
        there = episode.observations[:-1] == 2
        seen[episode.index], taken[episode.index] = there.sum(), (episode.actions[there] == 0).sum()
    known = np.flatnonzero(seen)
    assert 0 < len(known) < 40
    expected = np.interp(np.arange(40), known, taken[known] / seen[known])
    assert ax.get_lines()[0].get_ydata() == pytest.approx(expected)


def test_several_agents_have_a_line_and_a_band_each_beside_the_optimal_share(ax):
    shares = {"q-learning": [[1.0, 0.5], [0.0, 0.5]], "double-q": [[0.25, 0.25], [0.75, 0.25]]}
    plots.share(shares, ax, action="left", optimal=0.05, smooth="none")
    optimal, *lines = ax.get_lines()
    assert optimal.get_ydata() == [0.05, 0.05]
    assert [line.get_ydata().tolist() for line in lines] == [[0.5, 0.5], [0.5, 0.25]]
    edges = [
        (band.get_paths()[0].vertices[:, 1].min(), band.get_paths()[0].vertices[:, 1].max()) for band in ax.collections
    ]
    assert edges == [(0.0, 1.0), (0.25, 0.75)]
    assert labels(ax) == ["optimal: 5 %", "q-learning, 2 runs", "double-q, 2 runs"]
    assert ax.get_ylabel() == "share of left"


def test_a_share_is_smoothed_as_a_ratio_of_sums(ax):
    counts = np.array([[1, 0], [1, 8], [1, 0]])
    assert shared(counts, "mean:3") == pytest.approx([0.2, 3 / 11, 0.2])
    assert shared(counts, "none") == pytest.approx([1.0, 1 / 9, 1.0])


def shared(counts, smooth):
    from rlbench.plots.lines import _share

    return _share(counts[:, 0].astype(float), counts.sum(axis=1).astype(float), plots.smoothing(smooth))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"name an action: a number from 0 to 5, or a name \(South, North"),
        ({"action": "Up"}, "unknown action 'Up'"),
        ({"action": 6}, "has the actions 0 to 5, got 6"),
        ({"action": 0, "state": 500}, "never acted in state 500"),
    ],
)
def test_a_share_that_there_is_not_is_refused(cab, ax, options, message):
    with pytest.raises(UsageError, match=message):
        plots.share(cab, ax, **options)


# ------------------------------------------------------------------------------- temporal-difference errors


def test_td_errors_are_those_that_training_made():
    run = trained(Road(), 30, agent_kwargs={"learning_rate": 0.5, "gamma": 0.9})
    errors = plots.td_errors(run)
    assert errors[0] == (1.0 + 10.0) / 2  # nothing known: the rewards themselves
    q, expected = np.zeros((2, 2)), []
    for episode in run.store.episodes(run.id):
        first, second = episode.actions
        found = [1.0 + 0.9 * q[1].max() - q[0, first]]
        q[0, first] += 0.5 * found[0]
        found.append(10.0 - q[1, second])
        q[1, second] += 0.5 * found[1]
        expected.append(np.mean(np.abs(found)))
    assert errors == pytest.approx(expected, rel=1e-12)


def test_td_errors_fall_as_the_table_settles(cab):
    errors = plots.td_errors(cab)
    assert errors.shape == (300,)
    assert errors[:50].mean() > errors[-50:].mean()


def test_td_errors_follow_a_changing_learning_rate_and_episodes_that_a_budget_cut_off():
    rates = {"learning_rate": 0.5, "learning_rate_final": 0.1, "learning_rate_steps": 900}
    run = trained("cartpole", None, total_timesteps=1000, agent_kwargs=rates)
    assert len(plots.td_errors(run)) == run.episodes  # and the table they lead to was compared with the stored one


def test_td_errors_of_what_did_not_learn_step_by_step_are_refused(cab):
    with pytest.raises(UsageError, match="only q-learning's errors"):
        plots.td_errors(trained(agent="replay-q", episodes=5))
    with pytest.raises(StoreError, match="kept no steps"):
        plots.td_errors(trained(episodes=5, record="none"))
    experienced = trained("cartpole", 5).agent
    with pytest.raises(UsageError, match="did not start from an untrained agent"):
        plots.td_errors(trained("cartpole", 5, agent=experienced))


def test_td_draws_means_on_a_logarithmic_axis_and_nothing_for_zero(ax):
    plots.td([100.0, 1.0, 0.0], ax, smooth="none")
    assert ax.get_yscale() == "log"
    assert np.array_equal(ax.get_lines()[0].get_ydata(), [100.0, 1.0, np.nan], equal_nan=True)
    plots.td({"a": [1.0, 0.0], "b": [1.0, 1.0]}, ax, smooth="none")
    assert ax.get_legend().get_title().get_text() == "no line: 0"


def test_what_rounding_leaves_of_an_error_is_none(ax):
    plots.td([1000.0, 1e-17, 1e-6], ax, smooth="none")
    assert np.array_equal(ax.get_lines()[0].get_ydata(), [1000.0, np.nan, 1e-6], equal_nan=True)


def test_ticks_of_a_logarithmic_axis_are_said_in_digits_or_powers():
    ticks = [power_of_ten(value) for value in (1.0, 0.05, 2000.0, 1e6, 1e-8, 1e9, 5e-8)]
    assert ticks == ["1", "0.05", "2,000", "1,000,000", "10⁻⁸", "10⁹", "5e-08"]


# --------------------------------------------------------------------------------------------- visits, states


def test_visits_count_every_observation_once(cab):
    counts = plots.visits_of(cab)
    assert counts.sum() == cab.timesteps + cab.episodes
    every = np.concatenate([episode.observations for episode in cab.store.episodes(cab.id)])
    assert counts.tolist() == np.bincount(every, minlength=500).tolist()


def test_an_observation_in_two_chunks_is_counted_once():
    def chunk(first_step, observations, end):
        steps = {"observations": np.array(observations), "actions": np.zeros(2, int), "rewards": np.zeros(2)}
        ended = {"return": np.zeros(1), "length": np.full(1, 4)} if end else {"return": np.empty(0)}
        return EpisodeChunk(0, first_step, np.array([2]), np.array([end], np.uint8), ended, steps)

    with open_store("memory://") as store:
        made = store.create_run("x/Y-v0", "tester", seed=0, config=RunConfig.of({"agent": {"n_states": 5}}))
        store.append(made.id, chunk(0, [0, 1, 2], OPEN))
        store.append(made.id, chunk(2, [2, 3, 3], TERMINATED), status="finished")
        assert plots.visits_of(Run(store.run(made.id), store)).tolist() == [1, 1, 1, 2, 0]


def test_a_stored_state_that_its_agent_does_not_know_is_refused_before_it_takes_memory(cab, monkeypatch):
    chunk = next(iter(cab.store.chunks(cab.id)))
    foreign = {**chunk.steps, "observations": np.full(len(chunk.steps["observations"]), 2**40)}
    chunk = replace(chunk, steps=foreign)
    monkeypatch.setattr(cab.store, "chunks", lambda *_args, **_more: [chunk])
    for count in (lambda: plots.visits_of(cab), lambda: plots.td_errors(cab)):
        with pytest.raises(StoreError, match=r"^a stored observation is 1099511627776, expected 0 to \d+"):
            count()


def test_a_stored_evaluation_does_not_decide_how_long_a_picture_plays(cab, monkeypatch):
    told = []
    monkeypatch.setattr("rlbench.evaluation.evaluate", lambda run, episodes, seed: told.append((episodes, seed)))
    for known, expected in (({"episodes": 10**12, "seed": 3}, (10_000, 3)), ({"episodes": 7}, (7, cab.seed))):
        monkeypatch.setattr(cab, "record", replace(cab.record, evaluations=(known,)))
        evaluation_of(cab)
        assert told.pop() == expected


def test_observations_that_are_no_numbers_of_states_cannot_be_counted():
    steps = {"observations": np.zeros((2, 4)), "actions": np.zeros(1, int), "rewards": np.zeros(1)}
    figures = {"return": np.zeros(1), "length": np.ones(1, int)}
    with open_store("memory://") as store:
        made = store.create_run("x/Y-v0", "tester", seed=0)
        store.append(made.id, EpisodeChunk(0, 0, np.array([1]), np.array([TERMINATED], np.uint8), figures, steps))
        with pytest.raises(UsageError, match="not Discrete"):
            plots.visits_of(Run(store.run(made.id), store))


# ---------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize("env_id", MAPPED)
def test_a_layout_has_every_state_once(env_id):
    env = gym.make(env_id)
    layout = layout_of(env)
    assert sorted(layout.states.reshape(-1).tolist()) == list(range(env.observation_space.n))
    assert len(layout.actions) == env.action_space.n
    for names, size in zip((layout.row_names, layout.col_names), layout.states.shape[:2], strict=True):
        assert len(names) in (0 if size == 1 else size, size)


def test_every_layout_is_tested():
    assert len(LAYOUTS) + len(["bins"]) == len(MAPPED)


def test_a_map_of_what_was_learnt_reads_no_figures_of_episodes(cab, ax):
    run = rlbench.load_run(cab.store, cab.id)
    plots.policy(run, ax)
    assert "figures" not in vars(run)


@pytest.mark.parametrize(
    ("env_id", "more"),
    [
        ("rlbench/SafeCab-v0", {"city": "taxi"}),
        ("rlbench/SafeCab-v0", {"city": "4x7"}),
        ("Taxi-v4", {}),
        ("FrozenLake-v1", {"is_slippery": False, "map_name": "8x8"}),
        ("CliffWalking-v1", {}),
    ],
)
def test_an_arrow_points_to_where_the_action_leads_and_a_wall_stands_where_it_does_not(env_id, more):
    env = gym.make(env_id, **more)
    layout, table = layout_of(env), env.unwrapped.P
    walls, moved = set(layout.walls), 0
    cliff = set(layout.hazards) if env_id == "CliffWalking-v1" else set()  # it sends one back to the start
    for i, j, row, col in np.ndindex(layout.states.shape):
        if (row, col) in cliff:
            continue
        here = layout.states[i, j, row, col]
        for action, (right, down) in layout.arrows.items():
            [(_, there, _, _)] = table[int(here)][action]
            if there == here:
                east_of = (row, col) if right == 1 else (row, col - 1)
                at_the_border = not (
                    0 <= row + down < layout.panel_shape[0] and 0 <= col + right < layout.panel_shape[1]
                )
                assert (
                    at_the_border
                    or (down == 0 and east_of in walls)
                    or (row, col) in layout.letters
                    or ((row, col) in layout.hazards)
                )
            elif (row + down, col + right) not in cliff:
                assert there == layout.states[i, j, row + down, col + right]
                moved += 1
    assert moved


def test_more_actions_than_there_are_marks_are_named_in_their_squares(ax):
    layout = layout_of(gym.make("rlbench/CarRental-v0", max_cars=2))
    assert len(layout.actions) == 11
    plots.policy(np.eye(11)[np.arange(9)], ax, layout=layout)
    drawn = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert len(drawn) == 9
    assert ax.get_legend() is None
    assert len({line.get_marker().vertices.tobytes() for line in drawn}) == 9


def test_a_state_is_said_in_words():
    layout = layout_of(gym.make("rlbench/SafeCab-v0"))
    state = gym.make("rlbench/SafeCab-v0").unwrapped.encode(0, 3, 4, 1)
    assert layout.describe(state) == "row 0, column 3, passenger at cab, going to G"
    assert layout.describe(500) == ""
    pole = layout_of(gym.make("rlbench/DiscreteCartPole-v1"))
    assert pole.row_names == ("< -0.6", "-0.6 to 0.6", "> 0.6")
    assert pole.describe(0) == "x (m) < -0.6, x_dot (m/s) < -0.5"


def test_some_of_the_maps_can_be_picked_by_name():
    layout = layout_of(gym.make("Taxi-v4"))
    one = layout.pick("cab", "G")
    assert (one.states.shape, one.row_names, one.col_names) == ((1, 1, 5, 5), ("cab",), ("G",))
    assert one.states[0, 0, 2, 3] == ((2 * 5 + 3) * 5 + 4) * 4 + 1
    assert layout.pick(col="B").states.shape == (5, 1, 5, 5)
    with pytest.raises(UnknownNameError, match="unknown map going to 'Q'; known: B, G, R, Y"):
        layout.pick(col="Q")


def test_what_changes_observations_or_is_unknown_has_no_layout():
    from gymnasium.wrappers import TransformObservation

    lake = gym.make("FrozenLake-v1")
    assert layout_of(TransformObservation(lake, lambda s: 15 - s, lake.observation_space)) is None
    assert layout_of(Circle()) is None


# ------------------------------------------------------------------------------------------------------- maps


def image(ax):
    return ax.images[-1].get_array()


def test_the_value_map_shows_the_best_value_of_each_state_where_it_lies(lake, ax):
    assert plots.values(lake, ax) is ax
    best = lake.agent.q_table.max(axis=1).reshape(4, 4)
    shown = image(ax)
    learnt = ~shown.mask
    assert shown.data[learnt].tolist() == best[learnt].tolist()
    assert shown.mask[1, 1]  # a hole: nothing is learnt there
    assert not shown.mask[0, 0]


def test_the_maps_of_a_city_lie_side_by_side(cab, ax):
    plots.values(cab, ax)
    shown, env = image(ax), gym.make("rlbench/SafeCab-v0").unwrapped
    assert shown.shape == (5 * 6 - 1, 4 * 6 - 1)
    state = env.encode(0, 0, 0, 2)  # waiting at the first zone, going to the third
    assert shown[0, 2 * 6] == cab.agent.q_table[state].max() != 0
    assert shown.mask[5].all()  # the gap
    assert shown.mask[:5, :5].all()  # passengers do not wait where they want to go
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["R", "G", "Y", "B", "cab"]


def test_a_map_of_which_nothing_is_known_has_no_scale(ax):
    layout = Layout(states=np.arange(6).reshape(1, 1, 2, 3))
    plots.values(np.zeros((6, 2)), ax, layout=layout)
    assert ax.get_xlabel() == "value of the best action: nothing known yet"
    assert ax.figure.axes == [ax]


def test_a_prediction_draws_what_the_given_policy_is_worth_and_that_policy():
    up, anywhere = (
        rlbench.train("CliffWalking-v1", "td0", episodes=2, seed=0, engine="python", **SHORT, agent_kwargs=own)
        for own in ({"policy": 0, "values": "q"}, {})
    )
    drawn = plots.values(up)
    assert drawn.figure.axes[1].get_ylabel() == "value of the policy"
    assert drawn.figure.axes[1].get_ylim()[0] == up.agent.state_values.min() < 0
    arrows, same = (
        plots.policy(one, layout=up.layout()).patches[0].get_path().vertices for one in (up, np.zeros(48, int))
    )
    assert arrows.tolist() == same.tolist()
    with pytest.raises(UsageError, match="td0, draws its actions"):
        plots.policy(anywhere)


SHORT = {"env_kwargs": {"max_episode_steps": 20}}


def test_a_layout_may_be_given_with_a_table(ax):
    layout = Layout(states=np.arange(6).reshape(1, 1, 2, 3))
    plots.values(np.arange(12.0).reshape(6, 2), ax, layout=layout)
    assert image(ax).tolist() == [[1.0, 3.0, 5.0], [7.0, 9.0, 11.0]]
    with pytest.raises(UsageError, match="the layout has the states 0 to 5, the data 4"):
        plots.values(np.ones((4, 2)), ax, layout=layout)


def test_an_env_without_a_map_has_a_line(ax):
    run = trained(Circle(), 20)
    plots.values(run, ax)
    assert ax.get_lines()[0].get_ydata().tolist() == run.agent.q_table.max(axis=1).tolist()


def test_the_policy_has_an_arrow_a_learnt_state_and_marks_for_what_is_no_move(ax):
    layout = layout_of(gym.make("Taxi-v4")).pick("R", "G")
    chosen = np.full(500, -1)
    states = layout.states[0, 0]
    chosen[states[0, 0]], chosen[states[0, 1]], chosen[states[4, 4]] = 4, 3, 1
    plots.policy(chosen, ax, layout=layout)
    [arrows] = [artist for artist in ax.collections if hasattr(artist, "U")]
    assert sorted(zip(arrows.X, arrows.Y, arrows.U, arrows.V, strict=True)) == [(1, 0, -1, 0), (4, 4, 0, -1)]
    marked = {line.get_label(): line.get_xydata().tolist() for line in ax.get_lines() if line.get_label()[0] != "_"}
    assert marked == {"Pickup": [[0, 0]]}  # and no action that is not on the map


def test_the_policy_of_a_run_is_greedy(lake, ax):
    plots.policy(lake, ax)
    [arrows] = [artist for artist in ax.collections if hasattr(artist, "U")]
    step = {(x, y): (u, v) for x, y, u, v in zip(arrows.X, arrows.Y, arrows.U, arrows.V, strict=True)}
    at = (0, 0)
    for _ in range(6):  # the shortest way to the goal
        at = at[0] + step[at][0], at[1] + step[at][1]
    assert at == (3, 3)


def test_states_are_drawn_as_often_as_they_were_seen(lake, ax):
    plots.states(lake, ax)
    shown = image(ax)
    assert shown[0, 0] >= lake.episodes  # each begins there
    assert shown.sum() == lake.timesteps + lake.episodes
    with pytest.raises(UsageError, match="visits must be"):
        plots.states(np.zeros(5), ax)


def test_an_agent_that_keeps_no_values_has_no_map(ax):
    with pytest.raises(UsageError, match="keeps no action values"):
        plots.values(trained(agent="random", episodes=5), ax)
    with pytest.raises(UsageError, match=r"\(n_states, n_actions\)"):
        plots.values(np.zeros(5), ax)


# ------------------------------------------------------------------------------------------------- evaluation


def test_an_evaluation_is_drawn_with_its_mean_and_the_best_possible(cab, ax):
    found = rlbench.evaluate(cab, episodes=20, seed=0)
    plots.evaluation(found, ax)
    assert sum(bar.get_height() for bar in ax.patches) == 20
    assert labels(ax) == [
        f"mean {found.mean_return:.6g}",
        f"optimum {found.optimal_return:.6g}",
        f"exact {found.exact_return:.6g}",
    ]


def test_returns_alone_have_a_mean_only(ax):
    plots.evaluation([1.0, 1.0, 4.0], ax)
    assert [bar.get_height() for bar in ax.patches] == [2, 1]
    assert labels(ax) == ["mean 2"]


# ------------------------------------------------------------------------------------- figures, files, settings


def test_a_kind_of_one_run_is_drawn_once_a_run_and_a_curve_once_for_all(cab):
    other = trained(seed=1)
    assert len(plots.draw([cab, other], "curve").axes) == 1
    assert len(plots.draw([cab, other], "share", action=0).axes) == 1
    assert len(plots.draw([cab, other], "exploration").axes) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "valus"}, "unknown kind of plot 'valus'; did you mean values"),
        ({"kind": "curve", "col": "R"}, "curve is not a map, so it takes no passenger"),
        ({"kind": "values", "row": "S"}, "unknown map passenger at 'S'"),
        ({"smooth": "loess"}, "smooth must be"),
        ({"kind": "actions", "action": 0}, "go with the kind share, got actions"),
    ],
)
def test_a_picture_that_there_is_not_is_refused(cab, arguments, message):
    with pytest.raises(UsageError, match=message):
        plots.draw([cab], **arguments)


def test_an_env_with_one_map_has_none_to_pick(lake):
    with pytest.raises(UsageError, match="at most one map"):
        plots.draw([lake], "values", col="R")


@pytest.mark.parametrize(("suffix", "begin"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml")])
def test_a_figure_is_written_by_its_extension_and_twice_the_same(tmp_path, suffix, begin):
    paths = [plots.save(plots.draw([trained(episodes=40)], "curve"), tmp_path / f"{i}{suffix}") for i in range(2)]
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(begin)
    assert first == second


def test_a_picture_takes_the_place_of_the_one_before(tmp_path, cab):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    assert plots.save(plots.draw([cab]), path) == path
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [found.name for found in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["a.jpg", "a", ".png", "a.png.gz", "a.html"])
def test_another_extension_is_refused(name):
    with pytest.raises(UsageError, match=r"a picture must end in .png, .svg or .pdf, got "):
        plots.check_path(name)


def test_what_cannot_be_written_is_one_line(tmp_path, cab):
    figure = plots.draw([cab])
    with pytest.raises(UsageError, match="is not a folder: create it first"):
        plots.save(figure, tmp_path / "none" / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        plots.save(figure, tmp_path / "b.png")
    with pytest.raises((StoreError, UsageError)):
        plots.save(figure, tmp_path / ("x" * 300 + ".png"))


def test_no_global_setting_is_changed_and_a_callers_axes_keep_their_own(cab):
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    _, (mine, other) = plt.subplots(2)
    plots.curve(cab, mine)
    plots.values(cab, other)
    render(plots.draw([cab], "states"), ".svg")
    assert dict(matplotlib.rcParams) == before
    assert mine.spines["top"].get_visible()  # ours have none
    assert len(plt.get_fignums()) == 1  # figures for files are none of pyplot's


def test_without_axes_a_pyplot_figure_is_made(cab):
    import matplotlib.pyplot as plt

    drawn = plots.exploration(cab)
    assert plt.gcf() is drawn.figure
    assert plots.policy(cab).figure is not drawn.figure


def test_names_are_drawn_letter_by_letter(ax):
    assert plain("$x$ _y") == r"\$x\$ _y"
    assert plain("_hidden") == " _hidden"
    assert plain("a\nb\x00") == "a b "
    assert len(plain("x" * 500)) == 80
    plots.curve({r"$\frac{$": [1.0, 2.0], "\N{TAXI}漢": [2.0, 1.0]}, ax)
    assert render(ax.figure, ".svg")  # neither a formula that cannot be read nor a glyph that is missing stops it


def test_a_missing_matplotlib_is_named_with_the_extra_that_brings_it(monkeypatch, cab):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r'a picture needs matplotlib, .*: pip install "rlbench\[plots\]"'):
        plots.curve(cab)
    with pytest.raises(UsageError, match="pip install"):
        plots.check(path="a.png")


def test_importing_the_room_imports_neither_matplotlib_nor_numba():
    program = (
        "import sys, rlbench.plots; print([name for name in ('matplotlib', 'numba', 'pandas') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_evaluations_while_training_are_drawn_over_it_with_their_interval_and_the_optimum(ax):
    run = trained("FrozenLake-v1", 40, eval_every=10)
    plots.evaluation(run, ax)
    mean, optimum = ax.lines
    assert mean.get_xdata().tolist() == [10, 20, 30, 40]
    assert mean.get_ydata().tolist() == run.figures["evaluation"][9::10].tolist()
    assert optimum.get_ydata()[0] == pytest.approx(rlbench.evaluate(run, episodes=1).optimal_return)
    assert len(ax.collections) == 1
    with pytest.raises(UsageError, match="ended before its first evaluation: nothing to draw"):
        plots.evaluation(trained("FrozenLake-v1", 5, eval_every=10))


def test_a_figure_is_drawn_where_the_backend_that_pyplot_is_to_use_cannot_be_loaded(monkeypatch):
    def fail(*_, **__):
        raise ImportError("Cannot load backend 'TkAgg'")

    monkeypatch.setattr("matplotlib.pyplot.subplots", fail)
    assert axes_or_new(None).figure.axes

"""How pictures look: nothing leaves the figure, sizes and labels as asked, several seeds in one."""

import re
import zlib

import gymnasium as gym
import numpy as np
import pytest
from training.toys import Circle

import rlbench
from rlbench import plots
from rlbench.envs.layouts import layout_of
from rlbench.errors import UnknownNameError, UsageError
from rlbench.intervals import interquartile_band, interquartile_mean, mean_band, wilson_interval
from rlbench.plots.fitting import labelled, wrapped
from rlbench.plots.sizes import grid_of, read_size
from rlbench.plots.style import lay_out, render

pytest.importorskip("matplotlib", reason="the extra plots is not installed")

LONG = "a setting with a name that goes on and on, learning_rate 0.123456789, gamma 0.987654321, {} of them"


@pytest.fixture
def ax():
    """Empty axes."""
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()


def trained(env, episodes, seed=0, **more):
    return rlbench.train(env, episodes=episodes, seed=seed, store="memory://", **more)


@pytest.fixture(scope="module")
def lakes():
    """Four seeds of one setting, evaluated while they learn."""
    kwargs = {"env_kwargs": {"is_slippery": False}, "eval_every": 50, "eval_episodes": 5}
    return [trained("FrozenLake-v1", 400, seed, **kwargs) for seed in range(4)]


@pytest.fixture(scope="module")
def settings():
    """Six settings of one agent."""
    return [trained("FrozenLake-v1", 20, agent_kwargs={"gamma": 0.5 + 0.05 * i}) for i in range(6)]


def outside(figure):
    """Returns the texts that leave a figure, without the ticks beyond an axis."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    unseen = {
        tick.label1
        for ax in figure.axes
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim()))
        for tick in axis.get_major_ticks()
        if not min(limits) <= tick.get_loc() <= max(limits)
    }
    found = []
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible() and text not in unseen:
            box = text.get_window_extent()
            if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1:
                found.append(text.get_text())
    return found


# ------------------------------------------------------------------------------------------- nothing is cut off


@pytest.mark.parametrize(("lines", "name"), [(1, LONG), (8, "{}"), (8, LONG), (40, "{}"), (40, LONG)])
def test_no_label_leaves_a_figure_however_long_and_many(lines, name):
    ax = plots.curve({name.format(i): [0.0, 1.0, 2.0] for i in range(lines)})
    figure = ax.figure
    assert outside(figure) == []
    legend = ax.get_legend()
    assert len(legend.get_texts()) == lines
    assert ax.get_window_extent().height / figure.dpi > 2  # inches: the plot keeps its room
    assert legend.get_window_extent().y1 < ax.xaxis.get_tightbbox().y0  # and hides nothing


@pytest.mark.parametrize("size", ["6x4", (3, 2)])
def test_in_a_figure_of_a_fixed_size_the_legend_gets_smaller_and_says_what_it_leaves_out(settings, size):
    figure = plots.draw(settings, size=size, labels=[LONG.format(i) for i in range(6)], title=LONG)
    assert tuple(figure.get_size_inches()) == ((6, 4) if size == "6x4" else size)
    assert outside(figure) == []
    said = " ".join(text.get_text() for text in figure.axes[0].get_legend().get_texts()).replace("\n", " ")
    assert "6 of them" in said or re.search(r"and \d more", said) or "5 of them" in said


def test_other_settings_are_panels_in_a_grid_that_fits_a_screen(settings):
    figure = plots.draw(settings, "values", labels=[LONG.format(i) for i in range(6)])
    assert len([ax for ax in figure.axes if ax.get_title(loc="left")]) == 6
    assert outside(figure) == []
    width, height = figure.get_size_inches() * 200
    assert width <= 1920
    assert height <= 1920


def test_a_figure_is_laid_out_once_and_again_only_when_something_in_it_changes(settings, monkeypatch):
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    laid_out, execute = [], ConstrainedLayoutEngine.execute
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda *of: laid_out.append(1) or execute(*of))
    figure = plots.draw(settings[:1])
    render(figure, ".svg")
    assert len(laid_out) == 1
    figure.axes[0].set_title("two\nlines")
    assert b"lines" in render(figure, ".svg")
    assert len(laid_out) == 2


def test_the_label_of_a_colour_bar_that_was_wrapped_is_in_the_figure_that_is_written(lakes):
    figure = plots.draw(lakes, "values")
    [bar] = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    assert bar.get_ylabel() == "mean value of the best\naction"
    lay_out(figure)  # as for a file: no more than has to be laid out anew
    figure.set_layout_engine("none")
    assert bar.get_ylabel() not in outside(figure)


def test_a_figure_too_small_for_its_text_is_refused(settings):
    with pytest.raises(UsageError, match=r"a figure of 1 x 1 inches has no room for its text: choose a larger size"):
        plots.draw(settings, size=(1, 1), title=LONG)


def test_panels_with_equal_legends_share_one(settings):
    figure = plots.draw(settings[:2], "actions")
    assert [len(figure.legends), *(ax.get_legend() for ax in figure.axes)] == [1, None, None]


def test_panels_lie_as_large_as_a_screen_allows():
    assert [grid_of(count, (5.5, 3.3)) for count in (1, 4, 9)] == [(1, 1), (2, 2), (3, 3)]
    assert grid_of(8, (6.8, 6.9)) == (2, 4)


def test_a_wide_map_leaves_no_height_empty():
    layout = layout_of(gym.make("Taxi-v4")).pick("R")
    figure = plots.policy(np.full(500, 4), layout=layout).figure
    figure.draw_without_rendering()
    assert figure.get_tightbbox().height > figure.get_size_inches()[1] - 0.2
    assert outside(figure) == []


def test_a_figure_without_a_layout_has_a_short_legend_inside():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    plots.curve({"a": [0.0, 1.0], LONG: [1.0, 0.0]}, ax)
    assert outside(ax.figure) == []
    assert ax.get_legend().get_window_extent().y0 > ax.get_window_extent().y0


def test_text_is_wrapped_between_words_and_in_a_word_that_is_too_long():
    assert wrapped("one two", 10, 9) == "one two"
    assert wrapped("one two", 0.35, 9) == "one\ntwo"
    assert len(wrapped("x" * 100, 1, 9).splitlines()) > 5
    assert wrapped("a$b$", 10, 9) == r"a\$b\$"


# ---------------------------------------------------------------------------------------------- as asked for


def test_a_column_of_a_journal_sets_the_width_and_the_letters(settings):
    figure = plots.draw(settings[:2], column="single", title="of our own")
    assert figure.get_size_inches()[0] == 3.5
    [ax] = figure.axes
    assert {ax.xaxis.label.get_fontsize(), *(text.get_fontsize() for text in ax.get_xticklabels())} == {7.0}
    assert ax.get_title(loc="left") == "of our own"
    render(figure, ".png")
    assert {text.get_fontsize() for text in ax.get_yticklabels()} == {7.0}
    assert plots.draw(settings[:1], column="double").get_size_inches()[0] == 7.2


@pytest.mark.parametrize("size", ["6", "6x", "x4", "0x4", "6x-1", "nanx4", "6x400", "6x4x2", (1,), (2, "b"), (0, 1), 4])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(UsageError, match="size must be width x height in inches"):
        read_size(size)


def test_sizes_and_columns_exclude_each_other():
    assert read_size("6 x 4.5")[:2] == (6.0, 4.5)
    with pytest.raises(UsageError, match="size and column both set the width"):
        read_size("6x4", "single")
    with pytest.raises(UnknownNameError, match="unknown column 'singel'; did you mean single"):
        read_size(None, "singel")


def test_labels_are_taken_in_the_order_of_the_lines(settings):
    figure = plots.draw(settings[:2], labels=["low", "high"])
    assert figure.axes[0].get_legend_handles_labels()[1] == ["low", "high"]
    assert labelled(["a", "b"], ()) == ["a", "b"]
    with pytest.raises(UsageError, match=r"2 labels needed, for 'q-learning, gamma 0.5', .*; got 1"):
        plots.draw(settings[:2], labels=["low"])
    with pytest.raises(UsageError, match="labels must differ"):
        plots.draw(settings[:2], labels=["a", "a"])


def test_dots_per_inch_are_as_asked_and_bounded(tmp_path, ax):
    ax.figure.set_size_inches(2, 1)
    header = plots.save(ax.figure, tmp_path / "a.png", dpi=50).read_bytes()[16:24]
    assert (int.from_bytes(header[:4]), int.from_bytes(header[4:])) == (100, 50)
    for dpi in (0, 10_000, 1.5, True):
        with pytest.raises(UsageError, match="dpi must be a whole number from 20 to 2,400"):
            plots.save(ax.figure, tmp_path / "b.png", dpi=dpi)
    ax.figure.set_size_inches(60, 60)
    with pytest.raises(UsageError, match="a PNG of 36,000 x 36,000 dots is too large"):
        plots.save(ax.figure, tmp_path / "b.png", dpi=600)


def test_text_in_an_svg_is_text_and_fonts_in_a_pdf_are_embedded(ax):
    plots.curve({"a name to look for": [1.0, 2.0], "b": [2.0, 1.0]}, ax)
    svg = render(ax.figure, ".svg")
    assert b">a name to look for</text>" in svg
    assert b"<dc:date>" not in svg
    pdf = render(ax.figure, ".pdf")
    assert b"/FontFile2" in pdf  # TrueType, not type 3
    assert b"/CreationDate" not in pdf
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    assert any(b"Tf" in zlib.decompress(stream) for stream in streams if stream[:1] == b"x")


# ---------------------------------------------------------------------------------------------- steps, seeds


def test_a_curve_over_steps_ends_where_the_shorter_run_does(ax):
    runs = [trained(Circle(), 30, seed) for seed in range(2)]
    plots.curve(runs, ax, smooth="none", x="steps")
    [line] = ax.get_lines()
    ends = [np.cumsum(run.lengths) for run in runs]
    shortest = min(range(2), key=lambda i: ends[i][-1])
    assert line.get_xdata().max() == ends[shortest][-1] == min(run.timesteps for run in runs)
    other = np.interp(line.get_xdata(), ends[1 - shortest], runs[1 - shortest].returns)
    own = np.interp(line.get_xdata(), ends[shortest], runs[shortest].returns)
    assert line.get_ydata() == pytest.approx((own + other) / 2)
    assert ax.get_xlabel() == "environment step"


def test_another_x_axis_is_refused(lakes, ax):
    with pytest.raises(UnknownNameError, match="unknown x axis 'step'; did you mean steps"):
        plots.curve(lakes, ax, x="step")
    with pytest.raises(UsageError, match="arrays have no steps"):
        plots.curve([1.0, 2.0], ax, x="steps")
    with pytest.raises(UsageError, match="policy does not go over training"):
        plots.draw(lakes, "policy", x="steps")


@pytest.mark.parametrize("kind", ["exploration", "actions", "values", "policy", "states"])
def test_seeds_of_one_setting_are_one_plot(lakes, kind):
    figure = plots.draw(lakes, kind)
    assert len([ax for ax in figure.axes if ax.get_title(loc="left")]) == 1
    assert figure.axes[0].get_title(loc="left") == "q-learning on FrozenLake-v1, 4 seeds"


def test_runs_that_differ_in_more_than_their_seed_are_no_mean(settings, ax):
    for function in (plots.policy, plots.values, plots.actions, plots.exploration):
        with pytest.raises(UsageError, match="differ in more than their seed"):
            function(settings[:2], ax)


def test_the_shares_of_actions_of_several_seeds_are_those_of_all_their_actions(lakes, ax):
    plots.actions(lakes, ax)
    counts = np.sum([run.figures["action_counts"] for run in lakes], axis=0)
    left = ax.patches[0].get_data().values
    blocks = np.add.reduceat(counts, (np.arange(150) * 400 / 150).astype(int), axis=0)
    assert left == pytest.approx(blocks[:, 0] / blocks.sum(axis=1))


def test_the_exploration_of_several_seeds_is_a_mean_with_a_band_in_its_colour(lakes, ax):
    plots.exploration(lakes, ax, smooth="none")
    rate, share = ax.get_lines()
    assert share.get_ydata() == pytest.approx(
        np.mean([run.figures["explored"] / run.figures["length"] for run in lakes], axis=0)
    )
    from matplotlib.colors import same_color

    assert same_color(ax.collections[1].get_facecolor()[0, :3], share.get_color())
    assert not same_color(rate.get_color(), share.get_color())


def test_the_value_of_several_seeds_is_the_mean_of_those_that_know_the_state():
    from rlbench.plots.grids import _mean_of_known

    assert _mean_of_known([np.array([1.0, np.nan, np.nan]), np.array([3.0, 5.0, np.nan])])[:2].tolist() == [2.0, 5.0]


def test_the_policy_of_several_seeds_is_the_most_common_action_paler_where_fewer_agree(lakes, ax):
    plots.policy(lakes, ax)
    tables = [run.agent.q_table for run in lakes]
    chosen = np.array([np.where((table == 0).all(axis=1), -1, table.argmax(axis=1)) for table in tables])
    arrows = {collection.get_alpha(): collection for collection in ax.collections if hasattr(collection, "U")}
    drawn = {}
    for opacity, found in arrows.items():
        drawn |= {int(4 * y + x): opacity for x, y in zip(found.X, found.Y, strict=True)}
    for state in range(16):
        most = max((chosen[:, state] == action).sum() for action in range(4))
        assert drawn.get(state) == (None if most == 0 else 1.0 if most == 4 else 0.5 if most > 2 else 0.2)
    assert ax.get_legend_handles_labels()[1] == ["4 of 4 seeds agree", "3 of 4", "1 to 2 of 4"]


# ------------------------------------------------------------------------------------------------- new kinds


def test_returns_of_0_and_1_have_the_interval_of_their_share(ax):
    returns = np.random.default_rng(0).random(400) < np.linspace(0.1, 0.9, 400)
    plots.curve(returns.astype(float), ax, smooth="mean:50")
    [line], [band] = ax.get_lines(), ax.collections
    assert line.get_ydata()[200] == returns[175:225].mean()
    low, high = wilson_interval(returns[175:225].sum(), 50)
    inside = band.get_paths()[0].vertices
    assert sorted(inside[inside[:, 0] == 200][:, 1]) == pytest.approx([low, high])
    assert "95 % interval (Wilson)" in ax.get_legend_handles_labels()[1]


def test_wilsons_interval_is_that_of_the_tables():
    low, high = wilson_interval([0, 5, 10], 10)
    assert low == pytest.approx([0, 0.2366, 0.7225], abs=1e-4)
    assert high == pytest.approx([0.2775, 0.7634, 1], abs=1e-4)


def test_an_interquartile_mean_over_seeds_leaves_out_the_one_that_failed(ax):
    runs = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [-90.0, -90.0]])
    plots.iqm(runs, ax, smooth="none")
    assert ax.get_lines()[0].get_ydata().tolist() == [1.0, 2.0]
    low, high = interquartile_band(runs)
    assert (high.tolist(), interquartile_mean(runs[:, 0])) == ([1.0, 2.0], 1.0)
    assert (low < high).all()


def test_the_reward_a_step_is_the_return_over_the_length(lakes, ax):
    plots.reward(lakes[0], ax, smooth="none")
    assert ax.get_lines()[0].get_ydata() == pytest.approx(lakes[0].returns / lakes[0].lengths)


def test_ten_test_episodes_are_a_line(lakes, ax):
    plots.trials(lakes[0], ax)
    [line] = ax.get_lines()
    assert line.get_xdata().tolist() == list(range(1, 11))
    assert line.get_ydata().tolist() == rlbench.evaluate(lakes[0], episodes=10, seed=0).returns.tolist()


def test_evaluations_in_training_of_several_seeds_are_a_mean_with_a_band(lakes, ax):
    plots.evaluation(lakes, ax)
    line = ax.get_lines()[0]
    assert line.get_xdata().tolist() == list(range(50, 401, 50))
    assert line.get_ydata() == pytest.approx(np.mean([run.figures["evaluation"][49::50] for run in lakes], axis=0))
    assert len(ax.collections) == 1


def test_regret_is_exact_from_the_first_episode_to_the_last(lakes, ax):
    found = plots.regrets_of(lakes[0])
    assert (found.after[0], found.after[-1], found.is_exact) == (0, 400, True)
    assert found.values[-1] == rlbench.evaluate(lakes[0], episodes=1).regret
    assert found.values[0] == 1.0  # nothing learnt: into the wall for ever
    plots.regret(lakes, ax)
    assert ax.get_ylabel() == "exact regret"


def test_regret_of_an_agent_that_cannot_be_retraced_is_sampled_or_that_of_its_end():
    kwargs = {"env_kwargs": {"is_slippery": False}, "agent": "sarsa"}
    run = trained("FrozenLake-v1", 40, eval_every=20, **kwargs)
    evaluated = plots.regrets_of(run)
    assert (evaluated.after.tolist(), evaluated.is_exact) == ([20, 40], False)
    optimum = rlbench.evaluate(run, episodes=1).optimal_return
    assert evaluated.values.tolist() == (optimum - run.figures["evaluation"][[19, 39]]).tolist()
    ended = plots.regrets_of(trained("FrozenLake-v1", 40, **kwargs))
    assert (ended.after.tolist(), ended.is_exact) == ([40], True)
    with pytest.raises(UsageError, match=r"the regret of run .* is unknown"):
        plots.regrets_of(trained("cartpole", 5))


def test_what_is_known_at_the_end_of_runs_only_is_a_point_at_their_mean_end(ax):
    from rlbench.plots.series import Series, common

    at, rows = common([Series(np.array([10.0]), np.array([1.0])), Series(np.array([20.0]), np.array([3.0]))])
    assert (at.tolist(), rows.tolist()) == ([15.0], [[1.0], [3.0]])
    with pytest.raises(UsageError, match="no part of training in common"):
        common([Series(np.array([10.0]), np.array([1.0])), Series(np.array([20.0, 30.0]), np.array([3.0, 4.0]))])


def test_a_profile_is_the_share_of_runs_above_each_score(ax):
    plots.profile({"a": [1.0, 2.0, 3.0, 4.0], "b": [[1.0, 10.0], [3.0, 30.0]]}, ax)
    first, second = ax.get_lines()
    share = dict(zip(first.get_xdata(), first.get_ydata(), strict=True))
    assert [share[score] for score in (1.0, 2.0, 3.0, 4.0)] == [0.75, 0.5, 0.25, 0.0]
    tasks = dict(zip(second.get_xdata(), second.get_ydata(), strict=True))
    assert [tasks[score] for score in (1.0, 3.0, 10.0, 30.0)] == [0.75, 0.5, 0.25, 0.0]


def test_a_profile_of_many_scores_has_as_many_points_as_a_page_can_show(ax):
    plots.profile({"a": np.arange(5000.0)}, ax)
    (line,) = ax.get_lines()
    assert len(line.get_xdata()) < 1000
    assert line.get_ydata()[0] == 1.0
    assert line.get_ydata()[-1] == 0.0


def test_runs_are_resampled_within_their_task():
    tasks = np.array([[[0.0], [0.0]], [[1.0], [1.0]]])  # two tasks that are never mixed
    assert [bound.tolist() for bound in mean_band(tasks)] == [[0.5], [0.5]]
    opposite = np.array([[[0.0], [1.0]], [[1.0], [0.0]]])  # the draws of one task say nothing of the other's
    assert [bound.tolist() for bound in mean_band(opposite)] == [[0.0], [1.0]]

"""The figure of a study: lines over one parameter, maps over two."""

import math

import numpy as np
import pytest

from rlbench import plots
from rlbench.errors import UsageError
from rlbench.studies.axes import axes_of
from rlbench.studies.settings import Settings
from rlbench.studies.study import Study


def made(over, values, *, agents=("q-learning", "sarsa"), objective="area", aggregate="mean"):
    """A study with these values, (combinations, seeds)."""
    values = np.array(values, float)
    settings = Settings(
        env="FrozenLake-v1",
        agents=agents,
        axes=axes_of(over),
        seeds=tuple(range(values.shape[1])),
        episodes=1,
        total_timesteps=None,
        preset="default",
        agent_kwargs={},
        env_kwargs={},
        bins=None,
        objective=objective,
        aggregate=aggregate,
        record="none",
    )
    return Study("made", settings, None, values, np.isnan(values))


@pytest.mark.parametrize(("value", "told"), [(math.inf, "infinite everywhere"), (math.nan, "no values yet")])
def test_where_nothing_is_finite_the_figure_says_so_in_place_of_a_scale(value, told):
    objective = "steps-to:0.9"
    lines = made({"learning_rate": "0.1..1:2"}, [[value] * 2] * 4, objective=objective).plot()
    maps = made({"learning_rate": "0.1..1:2", "gamma": [0.9, 1]}, [[value] * 2] * 8, objective=objective).plot()
    for ax in (*lines.axes, *maps.axes):
        assert [text.get_text() for text in ax.texts] == [told]
    assert list(lines.axes[0].get_yticks()) == []
    assert len(maps.axes) == 2  # without a scale of colours


def test_one_parameter_gives_a_line_with_a_band_for_each_agent(tmp_path):
    study = made({"learning_rate": "0.01..1:3:log"}, [[1, 3], [4, 4], [math.inf, 2], [0, 0], [math.nan, 7], [5, 6]])
    figure = study.plot(title="mine", labels=["Q", "S"])
    [ax] = figure.axes
    assert ax.get_xscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning_rate", "mean return of training")
    q, s = ax.get_lines()
    np.testing.assert_array_equal(q.get_xdata(), [0.01, 0.1, 1.0])
    np.testing.assert_array_equal(q.get_ydata(), [2.0, 4.0, math.nan])  # what is infinite is left out
    np.testing.assert_array_equal(s.get_ydata(), [0.0, 7.0, 5.5])
    assert (q.get_label(), s.get_label(), figure.get_suptitle()) == ("Q", "S", "mine")
    assert len(ax.collections) == 2  # bands
    plots.save(figure, tmp_path / "x.png")


def test_words_stand_side_by_side_and_values_are_sorted():
    [ax] = made({"ties": "first,random"}, [[1], [2]], agents=["sarsa"]).plot().axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["first", "random"]
    [ax] = made({"gamma": [0.9, 0.1]}, [[1], [2]], agents=["sarsa"]).plot().axes
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), [2, 1])


def test_two_parameters_give_a_map_for_each_agent_in_the_same_colours():
    over = {"gamma": [0.9, 0.95, 1.0], "ties": ["first", "random"]}
    study = made(over, [[0.0], [1], [2], [3], [4], [5], [6], [7], [8], [9], [10], [math.nan]], objective="regret")
    figure = study.plot()
    maps = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in maps] == ["q-learning", "sarsa"]
    first, second = (ax.images[0] for ax in maps)
    np.testing.assert_array_equal(first.get_array(), [[0, 2, 4], [1, 3, 5]])
    assert second.get_array().mask.tolist() == [[False] * 3, [False, False, True]]
    assert first.get_clim() == second.get_clim() == (0, 10)
    assert (maps[0].get_xlabel(), maps[0].get_ylabel()) == ("gamma", "ties")


def test_of_more_parameters_the_best_of_the_others_are_shown():
    over = {"gamma": [0.9, 1.0], "ties": ["first", "random"], "learning_rate": [0.1, 0.5], "env.is_slippery": [True]}
    study = made(over, [[n] for n in (3, 1, math.nan, 4, 1, 5, 9, 2)], agents=["sarsa"], objective="steps-to:0.5")
    figure = study.plot()
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), [[1, 1], [4, 2]])
    assert figure.get_suptitle() == "FrozenLake-v1, 1 seed, best learning_rate"
    assert "steps to a return of 0.5" in [ax.get_ylabel() for ax in figure.axes][1].replace("\n", " ")


def test_a_study_without_any_value_is_drawn_empty_and_compares_nothing():
    empty = made({"gamma": "0.9..1:2", "ties": "first,random"}, np.full((8, 2), math.nan))
    assert len(empty.plot().axes) == 2
    assert [row.seeds for row in empty.table] == [0] * 8
    with pytest.raises(UsageError, match="the study made has no values yet"):
        empty.compare()


def test_a_wrong_look_is_refused():
    study = made({"gamma": [0.9, 1.0]}, [[1], [2]], agents=["sarsa"])
    with pytest.raises(UsageError, match="1 label needed, for 'sarsa'; got 2"):
        study.plot(labels=["a", "b"])
    with pytest.raises(UsageError, match="unknown column 'triple'"):
        study.plot(column="triple")


def test_the_best_of_each_agent_are_compared_with_the_best_of_all():
    study = made({"gamma": [0.9, 1.0]}, [[5, 5, 5], [1, 2, 3], [3, 3, 3], [2, 1, 9]], objective="regret")
    best, other = study.compare()
    assert (best.row.agent, best.row.parameters, best.row.value) == ("q-learning", {"gamma": 1.0}, 2.0)
    assert (best.probability, best.interval) == (None, None)
    assert (other.row.agent, other.row.parameters) == ("sarsa", {"gamma": 0.9})
    assert other.probability == pytest.approx(0.5 / 3)  # 3 is less than none of 1, 2, 3, and as much as one
    alone = made({"gamma": [0.5, 0.6, 0.7]}, [[1, 1], [3, 3], [2, 2]], agents=["sarsa"]).compare()
    assert [one.row.value for one in alone] == [3, 2, 1]
    assert [one.probability for one in alone[1:]] == [0.0, 0.0]


def test_a_label_is_what_one_types():
    study = made({"gamma": [0.9], "ties": ["first"]}, [[1]], agents=["sarsa"])
    assert study.best.label == "sarsa gamma=0.9 ties=first"

"""The same word means the same in every command: rules over the whole tree of commands."""

import inspect
import re
from collections import defaultdict
from pathlib import Path

import click
import pytest

import rlbench as library
from rlbench.cli import codes
from rlbench.cli.commands import cli
from rlbench.viewer.rides import MOST_STEPS

ROOT = Path(__file__).parent.parent.parent


def walk(context=None):
    context = context or click.Context(cli, info_name="rlbench")
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            yield from walk(click.Context(context.command.get_command(context, name), info_name=name, parent=context))


CONTEXTS = list(walk())
OPTIONS = defaultdict(list)  # name of an option: (command, option)
for each in CONTEXTS:
    for option in each.command.params:
        if isinstance(option, click.Option):
            OPTIONS[option.opts[0]].append((each.command_path.partition(" ")[2], option))

ELSEWHERE = {  # what means the same, but is said otherwise for a reason
    ("--seed", "play"),  # a person wants another episode each time
    ("--agent", "watch"),  # only the random one needs no training
    ("--render", "play"),  # nobody drives without looking
    ("--episode", "verify"),  # may be repeated
    ("--episode", "export"),  # a range
    ("--size", "replay"),  # of a film, in pixels; of a figure in inches
    ("--size", "watch"),
}


def distinct(name, of):
    return {repr(of(option)) for command, option in OPTIONS[name] if (name, command) not in ELSEWHERE}


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_an_option_takes_the_same_kind_of_value_in_every_command(name):
    assert len(distinct(name, lambda option: (str(option.type), option.is_flag, option.multiple))) == 1
    assert len(distinct(name, lambda option: (option.metavar or "").rpartition("|")[2])) == 1


@pytest.mark.parametrize(
    "name", ["--seed", "--store", "--engine", "--preset", "--limit", "--json", "--trust", "--wrapper"]
)
def test_an_option_that_is_shared_has_one_default_and_one_line_of_help(name):
    assert len(distinct(name, lambda option: (option.default, option.help))) == 1


def test_a_file_is_named_by_out_and_data_is_replaced_by_force_alone():
    writes_data = {command for command, _ in OPTIONS["--force"]}
    others = {"tune", "store audit"}  # these print something, and write a file besides
    assert writes_data - others == {"export", "model predict"}  # pictures, films and pages can be drawn again
    assert writes_data - others <= {command for command, _ in OPTIONS["--out"]}


def test_every_list_and_every_show_has_the_same_words_for_runs_and_models():
    paths = {each.command_path for each in CONTEXTS}
    for verb in ("list", "show", "delete"):
        assert {f"rlbench runs {verb}", f"rlbench model {verb}"} <= paths
    assert {command for command, _ in OPTIONS["--limit"]} == {
        *("runs", "runs list", "model list", "studies show", "store audit")
    }


def test_every_command_that_prints_results_has_json_and_every_one_that_reads_a_store_says_which():
    leaves = {each.command_path.partition(" ")[2] for each in CONTEXTS if not isinstance(each.command, click.Group)}
    assert leaves - {command for command, _ in OPTIONS["--json"]} == {"play"}
    without = {"store copy", "store key", "plan", "envs", "agents", "help"}  # two stores, or none
    assert leaves - {command for command, _ in OPTIONS["--store"]} == without


def test_every_run_that_is_named_can_be_looked_for_in_an_env():
    takes_a_run = {
        each.command_path.partition(" ")[2]
        for each in CONTEXTS
        for parameter in each.command.params
        if isinstance(parameter, click.Argument) and parameter.name == "run"
    }
    by_id = {"runs tag", "runs lineage", "store check"}
    assert takes_a_run - by_id <= {command for command, _ in OPTIONS["--env"]}


@pytest.mark.parametrize(
    ("command", "option", "argument"),
    [
        ("train", "--agent", "agent"),
        ("train", "--record", "record"),
        ("train", "--engine", "engine"),
        ("train", "--preset", "preset"),
        ("train", "--eval-episodes", "eval_episodes"),
        ("retrain", "--passes", "passes"),
        ("retrain", "--tolerance", "tolerance"),
        ("retrain", "--seed", "seed"),
        ("evaluate", "--episodes", "episodes"),
        ("compare", "--episodes", "episodes"),
        ("compare", "--metric", "metric"),
        ("record", "--episodes", "episodes"),
        ("record", "--seed", "seed"),
        ("explain", "--episodes", "episodes"),
        ("explain", "--seed", "seed"),
        ("plan", "--gamma", "gamma"),
    ],
)
def test_an_option_has_the_default_of_the_function_that_it_is_passed_to(command, option, argument):
    (found,) = [each for name, each in OPTIONS[option] if name == command]
    assert found.default == inspect.signature(getattr(library, command)).parameters[argument].default


@pytest.mark.parametrize(
    ("words", "theirs", "ours"),
    [
        (("train", "safecab"), "--total-timesteps", "--timesteps"),
        (("train", "safecab"), "--total_timesteps", "--timesteps"),
        (("train", "safecab"), "--n-episodes", "--episodes"),
        (("train", "safecab"), "--num_steps", "--timesteps"),
        (("train", "safecab"), "--random-state", "--seed"),
        (("train", "safecab"), "--alpha", "--set learning_rate=..."),
        (("retrain", "latest"), "--learning-rate", "--set learning_rate=..."),
        (("replay", "latest"), "--output", "--out"),
        (("export", "latest"), "--overwrite", "--force"),
    ],
)
def test_another_librarys_word_for_an_option_is_answered_with_ours(rlbench, words, theirs, ours):
    outcome = rlbench(*words, theirs, "1")
    assert (outcome.code, outcome.err) == (2, f"Error: No such option {theirs!r}. Did you mean {ours!r}?\n")


def test_watch_stops_by_default_where_the_viewer_does():
    (most,) = [option.default for command, option in OPTIONS["--max-steps"]]
    assert most == MOST_STEPS


def test_the_exit_codes_of_the_documentation_are_those_of_the_code():
    page = (ROOT / "docs" / "command-line.md").read_text()
    documented = re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
    assert documented == [str(code) for code in (codes.DONE, codes.FAILED, codes.MISUSED, codes.INTERRUPTED)]


def test_every_option_of_the_documentations_table_exists():
    page = (ROOT / "docs" / "command-line.md").read_text()
    assert set(re.findall(r"`(--[\w-]+)`", page)) <= {*OPTIONS, "--help"}

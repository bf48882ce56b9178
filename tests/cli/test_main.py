"""`rlbench` itself: help, versions, wrong words, exit codes."""

import re
import subprocess
import sys

import click
import pytest

from rlbench import __version__
from rlbench.cli import COMMANDS, cli, main
from rlbench.errors import UsageError

QUICK = ("train", "resume", "replay", "plot", "explain")  # one of each file whose commands take a RUN
IMPORTED = (
    "import sys; from rlbench.cli import main\ntry: main({arguments})\nexcept SystemExit: print(sorted(sys.modules))"
)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["trian"], *([name, "--help"] for name in QUICK)])
def test_help_imports_neither_numba_nor_gymnasium(arguments):
    program = IMPORTED.format(arguments=arguments)
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    modules = set(re.findall(r"'([\w.]+)'", out.splitlines()[-1]))
    assert {"rlbench.cli", "click"} <= modules
    assert not {"numba", "gymnasium", "rich"} & modules


def test_version_says_the_packages_version(rlbench):
    assert rlbench("--version").out == f"rlbench, version {__version__}\n"


def test_python_dash_m_runs_the_same_program():
    asked = subprocess.run([sys.executable, "-m", "rlbench", "--version"], capture_output=True, text=True, check=True)
    assert asked.stdout == f"rlbench, version {__version__}\n"


def test_help_names_every_command_and_the_exit_codes(rlbench):
    outcome = rlbench("--help")
    assert outcome.code == 0
    assert all(re.search(rf"^  {name} +\w", outcome.out, re.MULTILINE) for name in COMMANDS)
    assert "Exit codes: 0 fine, 1 the job failed, 2 bad usage, 130 stopped by Ctrl-C," in outcome.out


def test_no_command_shows_the_help_as_a_misuse(rlbench):
    outcome = rlbench()
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == rlbench("--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_explains_every_option_and_ends_with_an_example(rlbench, name):
    outcome = rlbench(name, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: rlbench {name}")
    command = cli.get_command(click.Context(cli), name)
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    assert re.search(rf"Examples:\n(  +rlbench .+\n)*  +rlbench {name}", outcome.out)
    assert "\b" not in outcome.out


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"play"}))  # there a person looks on
def test_every_command_can_print_json(name):
    command = cli.get_command(click.Context(cli), name)
    below = list(command.commands.values()) if isinstance(command, click.Group) else []
    own = [] if below and not command.invoke_without_command else [command]
    for each in own + below:
        assert "--json" in {option for parameter in each.params for option in parameter.opts}, each.name


def test_the_examples_of_the_help_are_command_lines_that_can_be_parsed(rlbench):
    for name in COMMANDS:
        for line in re.findall(r"^ +rlbench (.+)$", rlbench(name, "--help").out.split("Examples:")[1], re.MULTILINE):
            word, *arguments = line.split()
            assert cli.get_command(click.Context(cli), word).make_context(word, arguments)


def test_an_unknown_command_suggests_the_nearest(rlbench):
    outcome = rlbench("trian", "safecab")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "Error: unknown command 'trian'; did you mean train or retrain?\n"


@pytest.mark.parametrize("group", ["store", "model"])
def test_a_group_alone_shows_its_help_as_a_misuse(rlbench, group):
    outcome = rlbench(group)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == rlbench(group, "--help").out == rlbench("help", group).out


@pytest.mark.parametrize("words", [[], ["train"], ["store", "copy"]])
def test_help_shows_what_the_help_option_shows(rlbench, words):
    outcome = rlbench("help", *words)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == rlbench(*words, "--help").out
    assert rlbench("help", *words, "--json").document["command"] == " ".join(["rlbench", *words])


def test_help_names_the_commands_and_options_for_programs(rlbench):
    assert rlbench("help", "--json").document["commands"] == list(COMMANDS)
    assert "--json" in rlbench("help", "store", "copy", "--json").document["options"]


def test_a_mistake_below_a_group_suggests_the_nearest(rlbench):
    assert rlbench("store", "chek").err == "Error: unknown store command 'chek'; did you mean check?\n"
    assert rlbench("help", "store", "chek").err == "Error: unknown store command 'chek'; did you mean check?\n"
    assert rlbench("help", "train", "it").err == "Error: `rlbench train` is one command: there is no 'it' below it\n"


def test_an_unknown_option_suggests_the_nearest(rlbench):
    outcome = rlbench("train", "safecab", "--episods", "3")
    assert outcome.code == 2
    assert outcome.err.startswith("Error: No such option")
    assert "--episodes" in outcome.err


def test_a_missing_argument_is_named(rlbench):
    outcome = rlbench("train")
    assert (outcome.code, outcome.err) == (2, "Error: Missing argument 'ENV'.\n")


def test_debugging_shows_the_traceback_of_a_users_mistake(rlbench, monkeypatch):
    monkeypatch.setenv("RLBENCH_DEBUG", "1")
    with pytest.raises(UsageError, match="gamma must be in"):
        main(["plan", "safecab", "--gamma", "2"])


def test_zero_does_not_switch_debugging_on(rlbench, monkeypatch):
    monkeypatch.setenv("RLBENCH_DEBUG", "0")
    assert rlbench("plan", "safecab", "--gamma", "2").code == 2


def _fails_with(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("rlbench.plan", fail, raising=False)


def test_an_error_nobody_foresaw_is_one_line_that_names_its_kind_and_the_way_to_more(rlbench, monkeypatch):
    _fails_with(monkeypatch, ZeroDivisionError("a\n  b"))
    outcome = rlbench("plan", "safecab")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "Error: ZeroDivisionError: a b (RLBENCH_DEBUG=1 shows where)\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_ends_with_130_and_without_a_traceback(rlbench, monkeypatch, error):
    _fails_with(monkeypatch, error)
    outcome = rlbench("plan", "safecab")
    assert (outcome.code, outcome.out, outcome.err.split()) == (130, "", ["stopped"])


@pytest.mark.filterwarnings("default")
def test_a_warning_of_a_library_is_one_line_on_stderr(rlbench):
    outcome = rlbench("plan", "Taxi-v3")
    assert outcome.code == 2
    warning, error = outcome.err.splitlines()
    assert warning.startswith("Warning: The environment Taxi-v3 is out of date.")
    assert error.startswith("Error: Taxi-v3 cannot be made")
    assert "Taxi-v4" in error

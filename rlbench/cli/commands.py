"""The commands of `rlbench`, and what becomes of their errors and warnings."""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from itertools import chain
from typing import Any

import click

from rlbench._version import __version__
from rlbench.cli.codes import DONE, FAILED, MISUSED
from rlbench.cli.groups import Group
from rlbench.cli.options import examples
from rlbench.cli.output import say, say_heads, take_heads
from rlbench.errors import ALIASES, RlbenchError, UnknownNameError, UsageError, without_passwords

# name: (module:function, one line for --help); a module is imported only when its command runs
COMMANDS = {
    "train": ("rlbench.cli.train:train", "Train an agent on an env, store every step, evaluate it."),
    "resume": ("rlbench.cli.again:resume", "Resume a run or a study, as if it had never stopped."),
    "sweep": ("rlbench.cli.studies:sweep", "Train every combination of some parameters, and rank them."),
    "tune": ("rlbench.cli.tune:tune", "Search the parameters of an agent, and test them on other seeds."),
    "studies": ("rlbench.cli.studies:studies", "List the stored studies; show or delete them."),
    "retrain": ("rlbench.cli.again:retrain", "Learn from stored steps alone."),
    "evaluate": ("rlbench.cli.runs:evaluate", "Play a run's greedy policy and compare it with the optimum."),
    "replay": ("rlbench.cli.watch:replay", "Show a stored episode, step by step."),
    "watch": ("rlbench.cli.watch:watch", "Watch a run's agent act greedily."),
    "record": ("rlbench.cli.record:record", "Play episodes by a policy in any env, and store every step."),
    "play": ("rlbench.cli.play:play", "Drive yourself; your episodes are stored like any run."),
    "plot": ("rlbench.cli.plot:plot", "Draw runs: learning curves, values, policies and more."),
    "compare": ("rlbench.cli.plot:compare", "Compare agents over their seeds, with intervals."),
    "power": ("rlbench.cli.power:power", "Say how many seeds it takes to tell two settings apart."),
    "report": ("rlbench.cli.plot:report", "Write a report of a run: one self-contained HTML page."),
    "ui": ("rlbench.cli.ui:ui", "Show the stored runs in a browser."),
    "serve": ("rlbench.cli.serve:serve", "Serve policies and models over HTTP."),
    "token": ("rlbench.cli.token:token", "Make, list and revoke the tokens of `serve` and `ui`."),
    "runs": ("rlbench.cli.runs:runs", "List the stored runs, newest first; show, tag or delete them."),
    "verify": ("rlbench.cli.again:verify", "Play stored episodes again and compare every step."),
    "diff": ("rlbench.cli.again:diff", "Show where two runs diverge, and why."),
    "drift": ("rlbench.cli.drift:drift", "Compare what comes in with what a run or a model learnt from."),
    "store": ("rlbench.cli.store:store", "Maintain a store: info, check, sql, copy, backup, compact."),
    "export": ("rlbench.cli.exchange:export", "Write a run to a file for other programs."),
    "import": ("rlbench.cli.exchange:import_", "Import the episodes in a file as a run."),
    "plan": ("rlbench.cli.catalogue:plan", "Solve an env whose transition table is known."),
    "model": ("rlbench.cli.model:model", "Train, store and inspect supervised and unsupervised models."),
    "explain": ("rlbench.cli.explain:explain", "Explain in a few rules what a run's agent has learnt to do."),
    "envs": ("rlbench.cli.catalogue:envs", "List the envs with their presets, or describe one."),
    "agents": ("rlbench.cli.catalogue:agents", "List the agents with their parameters, or describe one."),
    "help": ("rlbench.cli.groups:help_", "Show the help of a command."),
}

# what the library calls an argument, and what it is called here
IN_OUR_WORDS = {
    "total_timesteps=": "--timesteps",
    "total_timesteps": "--timesteps",
    "episodes=": "--episodes",
    "engine='compiled'": "--engine compiled",
    "engine='auto'": "--engine auto",
    "trust=True": "--trust",
    "(import its module)": "(--env MODULE:ID imports its module)",
    "bins=": "--bins",
    "objective='return'": "--objective return",
    "yes=True": "--yes",
    "paired=True": "--paired",
    "give runs=[...]": "name them after the query",
}
IN_OUR_OPTIONS = {  # what other programs call an option
    "--total-timesteps": "--timesteps",
    "--steps": "--timesteps",
    "--output": "--out",
    "--overwrite": "--force",
    "--param": "--set",
    "--env-kwargs": "--env-set",
    "--database": "--store",
}
EXAMPLES = examples("rlbench train safecab", "rlbench watch latest", "rlbench train --help")
EXIT_CODES = (
    "Exit codes: 0 fine, 1 the job failed, 2 bad usage, 130 stopped by Ctrl-C, SIGTERM or SIGHUP. "
    "RLBENCH_DEBUG=1 shows tracebacks; NO_COLOR=1 prints without colours, FORCE_COLOR=1 with them, into a pipe too."
)


class _LazyGroup(Group):
    """Knows its commands by name and imports them on demand, so that --help imports neither numba nor Gymnasium."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{EXAMPLES}\n\n{EXIT_CODES}",
)
@click.version_option(__version__, prog_name="rlbench")
def cli() -> None:
    """A workbench for value-based reinforcement learning on Gymnasium."""


def run(arguments: list[str] | None) -> int:
    """Runs a command line and returns its exit code: no traceback for a user's mistake.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    try:
        return _run(arguments)
    except click.NoSuchOption as error:
        return _failed(_hinted(error), error.exit_code)
    except click.ClickException as error:
        return _failed(error.format_message(), error.exit_code)
    except BrokenPipeError:  # `rlbench runs | head`: nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except Exception as error:
        if os.environ.get("RLBENCH_DEBUG", "") not in ("", "0"):
            raise
        return _failed(_said(error), MISUSED if isinstance(error, UsageError) else FAILED)


def _run(arguments: list[str] | None) -> int:
    with warnings.catch_warnings():
        warnings.showwarning = _warn  # type: ignore[assignment]  # it needs the message only
        take_heads()  # of what another command in this process did
        try:
            code = cli.main(args=arguments, prog_name="rlbench", standalone_mode=False)
        finally:
            say_heads()
    sys.stdout.flush()
    return code if isinstance(code, int) else DONE


def _warn(message: Warning | str, *_where: Any) -> None:
    """Shows a warning as one line, without the file and line that raised it."""
    text = without_passwords(_one_line(click.unstyle(str(message))))
    say(f"Warning: {text.removeprefix('WARN: ')}", err=True)


def _hinted(error: click.NoSuchOption) -> str:
    """Returns the message for an unknown option; for another library's word for one of ours, with ours."""
    known = [] if error.ctx is None else [name for each in error.ctx.command.params for name in each.opts]
    meant = [option for option in _in_our_options(error.option_name, known) if option.split()[0] in known]
    if not meant:
        return error.format_message()
    return f"No such option {error.option_name!r}. Did you mean {' or '.join(map(repr, meant))}?"


def _in_our_options(name: str, known: list[str]) -> list[str]:
    """Returns what an option may be called here: another one, or a parameter of the agent, which goes into --set."""
    option, word = name.replace("_", "-"), name.lstrip("-").replace("-", "_")
    ours = [IN_OUR_OPTIONS.get(option, option)]
    for parameter in ALIASES.get(word, (word,) if word in set(chain(*ALIASES.values())) else ()):
        option = f"--{parameter}".replace("_", "-")
        option = IN_OUR_OPTIONS.get(option, option)
        ours.append(option if option in known else f"--set {parameter}=...")
    return list(dict.fromkeys(ours))


def _said(error: Exception) -> str:
    if not isinstance(error, RlbenchError):
        return f"{type(error).__name__}: {error} (RLBENCH_DEBUG=1 shows where)"
    return str(error) if isinstance(error, UnknownNameError) else _in_our_words(str(error))


def _in_our_words(message: str) -> str:
    for theirs, ours in IN_OUR_WORDS.items():
        message = message.replace(theirs, ours)
    return message


def _one_line(message: str) -> str:
    return re.sub(r"\s*\n\s*", " ", message.strip())


def _failed(message: str, code: int) -> int:
    say(f"Error: {without_passwords(_one_line(message))}", err=True)
    return code

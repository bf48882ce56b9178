"""The command line: `rlbench ...`, thin commands that parse, call a library function and print."""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import warnings
from typing import Any

import click

from rlbench._version import __version__
from rlbench.cli.options import examples
from rlbench.cli.output import INTERRUPTED, say
from rlbench.errors import RlbenchError, UnknownNameError, UsageError, unknown_name, without_passwords
from rlbench.signals import ending_by

FAILED, MISUSED = 1, 2

# name: (module:function, one line for --help); a module is imported only when its command runs
COMMANDS = {
    "train": ("rlbench.cli.train:train", "Train an agent on an env, store every step, evaluate it."),
    "resume": ("rlbench.cli.again:resume", "Resume a run, as if it had never stopped."),
    "retrain": ("rlbench.cli.again:retrain", "Learn from stored steps alone."),
    "evaluate": ("rlbench.cli.runs:evaluate", "Play a run's greedy policy and compare it with the optimum."),
    "replay": ("rlbench.cli.watch:replay", "Show a stored episode, step by step."),
    "watch": ("rlbench.cli.watch:watch", "Watch a run's agent act greedily."),
    "record": ("rlbench.cli.record:record", "Play episodes by a policy in any env, and store every step."),
    "play": ("rlbench.cli.play:play", "Drive yourself; your episodes are stored like any run."),
    "plot": ("rlbench.cli.plot:plot", "Draw runs: learning curves, values, policies and more."),
    "compare": ("rlbench.cli.plot:compare", "Compare agents over their seeds, with intervals."),
    "report": ("rlbench.cli.plot:report", "Write a report of a run: one self-contained HTML page."),
    "runs": ("rlbench.cli.runs:runs", "List the stored runs, newest first."),
    "verify": ("rlbench.cli.again:verify", "Play stored episodes again and compare every step."),
    "diff": ("rlbench.cli.again:diff", "Show where two runs diverge, and why."),
    "store": ("rlbench.cli.store:store", "Maintain a store: info, check, copy, backup, compact."),
    "export": ("rlbench.cli.exchange:export", "Write a run to a file for other programs."),
    "import": ("rlbench.cli.exchange:import_", "Import the episodes in a file as a run."),
    "plan": ("rlbench.cli.catalogue:plan", "Solve an env whose transition table is known."),
    "model": ("rlbench.cli.model:model", "Train, store and inspect supervised and unsupervised models."),
    "explain": ("rlbench.cli.explain:explain", "Explain in a few rules what a run's agent has learnt to do."),
    "envs": ("rlbench.cli.catalogue:envs", "List the envs, their short names and presets."),
    "agents": ("rlbench.cli.catalogue:agents", "List the agents, their parameters and sources."),
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
}
EXAMPLES = examples("rlbench train safecab", "rlbench watch latest", "rlbench train --help")
EXIT_CODES = (
    "Exit codes: 0 fine, 1 the job failed, 2 bad usage, 130 stopped by Ctrl-C, SIGTERM or SIGHUP. "
    "RLBENCH_DEBUG=1 shows tracebacks, NO_COLOR=1 draws without colours."
)


class _LazyGroup(click.Group):
    """Knows its commands by name and imports them on demand, so that --help imports neither numba nor Gymnasium."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            raise unknown_name("command", cmd_name, COMMANDS)
        module, _, function = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{EXAMPLES}\n\n{EXIT_CODES}",
)
@click.version_option(__version__, prog_name="rlbench")
@click.pass_context
def cli(context: click.Context) -> None:
    """A workbench for value-based reinforcement learning on Gymnasium."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(MISUSED)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: no traceback for a user's mistake."""
    debug = os.environ.get("RLBENCH_DEBUG", "") not in ("", "0")
    try:
        sys.exit(_run(arguments))
    except (click.Abort, KeyboardInterrupt):
        say("stopped", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except BrokenPipeError:  # `rlbench runs | head`: nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except Exception as error:
        if debug:
            raise
        _fail(_said(error), MISUSED if isinstance(error, UsageError) else FAILED)


def _run(arguments: list[str] | None) -> Any:
    # SIGTERM and SIGHUP end a command as Ctrl-C does: what it was writing is taken back first
    with ending_by(signal.default_int_handler), warnings.catch_warnings():
        warnings.showwarning = _warn  # type: ignore[assignment]  # it needs the message only
        code = cli.main(args=arguments, prog_name="rlbench", standalone_mode=False)
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _warn(message: Warning | str, *_where: Any) -> None:
    """Shows a warning as one line, without the file and line that raised it."""
    text = without_passwords(_one_line(click.unstyle(str(message))))
    say(f"Warning: {text.removeprefix('WARN: ')}", err=True)


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


def _fail(message: str, code: int) -> None:
    say(f"Error: {without_passwords(_one_line(message))}", err=True)
    sys.exit(code)

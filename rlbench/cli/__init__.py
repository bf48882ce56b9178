"""The command line: `rlbench ...`, thin commands that parse, call a library function and print."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from rlbench._version import __version__
from rlbench.errors import RlbenchError, UsageError, unknown_name

INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended

# name: (module:function, one line for --help); a module is imported only when its command runs
COMMANDS = {
    "train": ("rlbench.cli.train:train", "Train an agent on an env, store every step, evaluate it."),
    "evaluate": ("rlbench.cli.runs:evaluate", "Play a run's greedy policy and compare it with the optimum."),
    "replay": ("rlbench.cli.watch:replay", "Show a stored episode, step by step."),
    "watch": ("rlbench.cli.watch:watch", "Let a run's agent drive, greedily, and look on."),
    "runs": ("rlbench.cli.runs:runs", "List the stored runs, newest first."),
    "plan": ("rlbench.cli.catalogue:plan", "Solve an env whose transition table is known."),
    "envs": ("rlbench.cli.catalogue:envs", "List the envs, their short names and presets."),
    "agents": ("rlbench.cli.catalogue:agents", "List the agents, their parameters and sources."),
}


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
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 fine, 1 the job failed, 2 bad usage, 130 stopped by Ctrl-C. RLBENCH_DEBUG=1 shows tracebacks.",
)
@click.version_option(__version__, prog_name="rlbench")
def cli() -> None:
    """A workbench for value-based reinforcement learning on Gymnasium.

    Start with:  rlbench train safecab
    """


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: no traceback for a user's mistake."""
    debug = os.environ.get("RLBENCH_DEBUG", "") not in ("", "0")
    try:
        sys.exit(_run(arguments))
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped", INTERRUPTED)
    except click.ClickException as error:
        _fail(_say(error), error.exit_code)
    except RlbenchError as error:
        if debug:
            raise
        _fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except BrokenPipeError:  # `rlbench runs | head`: nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        _fail(f"{type(error).__name__}: {error} (RLBENCH_DEBUG=1 shows where)", 1)


def _run(arguments: list[str] | None) -> Any:
    code = cli.main(args=arguments, prog_name="rlbench", standalone_mode=False)
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _say(error: click.ClickException) -> str:
    return error.format_message().replace("\n", " ")


def _fail(message: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(code)

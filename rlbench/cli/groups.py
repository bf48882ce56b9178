"""Groups of commands, and `rlbench help`."""

from __future__ import annotations

from typing import Any, cast

import click

from rlbench.cli import completing
from rlbench.cli.codes import MISUSED
from rlbench.cli.options import examples, json_option
from rlbench.cli.output import print_json
from rlbench.errors import UsageError, unknown_name


class Group(click.Group):
    """A group of commands: alone it shows its help, as a misuse; for an unknown command it suggests the nearest."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Shows the help if no command is named, unless the group does something by itself."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(MISUSED)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command that is named."""
        known = self.list_commands(ctx)
        if args[0] not in known and not ctx.resilient_parsing:
            below = ctx.command_path.split()[1:]  # without "rlbench"
            raise unknown_name(" ".join([*below, "command"]), args[0], known)
        return super().resolve_command(ctx, args)


@click.command("help", epilog=examples("rlbench help train", "rlbench help store copy"))
@click.argument("words", metavar="[COMMAND]...", nargs=-1, shell_complete=completing.commands)
@json_option
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001  (click calls by name)
    """Show the help of COMMAND, as `rlbench COMMAND --help` does, or the list of all commands."""
    found = context.find_root()
    for word in words:
        if not isinstance(found.command, click.Group):
            raise UsageError(f"`{found.command_path}` is one command: there is no {word!r} below it")
        name, command, _ = found.command.resolve_command(found, [word])
        found = click.Context(cast("click.Command", command), info_name=name, parent=found)
    if as_json:
        print_json(_document(found))
    else:
        click.echo(found.get_help())


def _document(context: click.Context) -> dict[str, Any]:
    command = context.command
    commands = command.list_commands(context) if isinstance(command, click.Group) else []
    options = {"/".join(each.opts): each.help for each in command.params if isinstance(each, click.Option)}
    return {"command": context.command_path, "help": command.help, "options": options, "commands": commands}

"""`rlbench token`: who may use what is served to other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.groups import Group
from rlbench.cli.options import env_id_of, examples, json_option, store_option
from rlbench.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from rlbench.web.tokens import Token


@click.group(cls=Group, epilog=examples("rlbench token create --role read --days 30", "rlbench token list"))
def token() -> None:
    """Let others use what `rlbench serve` and `rlbench ui` offer: a token each, which can be revoked."""


@token.command(epilog=examples("rlbench token create", "rlbench token create --role write --days 30 --for-env safecab"))
@click.option(
    "--role",
    metavar="read|write|admin",
    shell_complete=completing.choices,
    default="read",
    show_default=True,
    help="What it allows: to look and to ask; to change and delete; everything.",
)
@click.option("--days", type=float, metavar="N", help="The days after which it expires; never by default.")
@click.option(
    "--for-env", metavar="ENV", shell_complete=completing.envs, default="", help="Only for the runs of this env."
)
@click.option(
    "--for-tag", metavar="TAG", shell_complete=completing.tags, default="", help="Only for the runs with this tag."
)
@store_option
@json_option
def create(role: str, days: float | None, for_env: str, for_tag: str, store: str, as_json: bool) -> None:  # noqa: FBT001  (click calls by name)
    """Make a token, and print it: the store keeps its digest alone, so that nothing shows it again."""
    from rlbench.web import tokens  # noqa: PLC0415  (an extra)

    with rlbench.open_store(store) as opened:
        secret, made = tokens.create(opened, role, days=days, env_id=env_id_of(for_env) or "", tag=for_tag)
    if as_json:
        print_json({"token": secret, **_told(made)})
        return
    say(secret)
    say(f"token {made.id}: {made.role}, {_scope(made)}, {_end(made)}", err=True)


@token.command("list", epilog=examples("rlbench token list"))
@store_option
@json_option
def list_(store: str, as_json: bool) -> None:  # noqa: FBT001  (click calls by name)
    """List the tokens, oldest first."""
    from rlbench.web import tokens  # noqa: PLC0415  (an extra)

    with rlbench.open_store(store, create=False) as opened:
        found = tokens.tokens(opened)
    if as_json:
        print_json({"tokens": [*map(_told, found)]})
        return
    rows = [(one.id, one.role, _scope(one), one.created_at[:19].replace("T", " "), _end(one)) for one in found]
    print_table(("token", "role", "scope", "made", "expires"), rows)


@token.command(epilog=examples("rlbench token revoke 3f2a77b0"))
@click.argument("tokens", metavar="TOKEN...", nargs=-1, required=True, shell_complete=completing.tokens)
@store_option
@json_option
def revoke(tokens: tuple[str, ...], store: str, as_json: bool) -> None:  # noqa: FBT001  (click calls by name)
    """Revoke tokens, by their ids: servers refuse them at once."""
    from rlbench.web.tokens import revoke  # noqa: PLC0415  (an extra)

    with rlbench.open_store(store, create=False) as opened:
        for token_id in tokens:
            revoke(opened, token_id)
    print_json({"revoked": list(tokens)}) if as_json else say(f"revoked {', '.join(tokens)}")


def _told(one: Token) -> dict[str, Any]:
    return {name: value for name, value in one._asdict().items() if name != "digest"}


def _scope(one: Token) -> str:
    parts = [f"runs of {one.env_id}"] * bool(one.env_id) + [f"tagged {one.tag}"] * bool(one.tag)
    return " ".join(parts) or "everything"


def _end(one: Token) -> str:
    if one.has_expired:
        return "expired"
    return one.expires_at[:19].replace("T", " ") or "never expires"

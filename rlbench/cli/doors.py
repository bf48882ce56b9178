"""What the commands that listen for requests share."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlbench.cli import completing

if TYPE_CHECKING:
    from collections.abc import Callable

FILE: Any = click.Path(path_type=Path)


def door_options(port: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options for where to listen; the command takes them as `door`."""

    def adding(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.option(
            "--host", metavar="HOST", default="127.0.0.1", show_default=True, help="The address to listen at."
        )
        @click.option(
            "--port",
            type=click.IntRange(0, 65535),
            metavar="N",
            default=port,
            show_default=True,
            help="The port to listen at; 0 takes a free one.",
        )
        @click.option(
            "--tls-cert", type=FILE, metavar="FILE", shell_complete=completing.file, help="A certificate, for https."
        )
        @click.option("--tls-key", type=FILE, metavar="FILE", shell_complete=completing.file, help="Its private key.")
        @click.option(
            "--token-file",
            type=FILE,
            metavar="FILE",
            shell_complete=completing.file,
            help="A file of tokens, one a line, that may do everything, beside those of `rlbench token`.",
        )
        @click.option(
            "--insecure", is_flag=True, help="Let other machines in without a token or TLS: only where you trust all."
        )
        @wraps(command)
        def listening(*arguments: Any, **options: Any) -> Any:
            from rlbench.web.door import Door  # noqa: PLC0415  (an extra, and slow)

            names = ("host", "port", "tls_cert", "tls_key", "token_file", "insecure")
            return command(*arguments, door=Door(**{name: options.pop(name) for name in names}), **options)

        return listening

    return adding

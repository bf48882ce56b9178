"""Reads keys from a terminal as they are pressed, without waiting for Enter."""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Self

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = tty = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from typing import Any

KEY_NAMES = {  # escape sequences; some terminals send O in place of [
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\x1b[7~": "home",
    "\x1b[8~": "end",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    " ": "space",
    "\r": "enter",
    "\n": "enter",
    "\x1b": "escape",
    "\x04": "q",  # Ctrl-D
}
ESCAPE = "\x1b"
READ_BYTES = 256  # bytes per read


def can_be_read() -> bool:
    """Returns whether keys can be read one by one: stdin is a terminal, and the system has termios."""
    return termios is not None and sys.stdin.isatty()


class Keyboard:
    """Context manager that reads the keys of the terminal on stdin, and restores the terminal on exit."""

    def __enter__(self) -> Self:
        self._stream: Any = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._stream)
        tty.setcbreak(self._stream, termios.TCSADRAIN)  # TCSADRAIN keeps keys typed before
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(self._stream, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float | None = None) -> list[str]:
        """Returns the keys pressed, waiting for at most `seconds`; "escape" once the terminal is gone."""
        ready, _, _ = select.select([self._stream], [], [], seconds)
        if not ready:
            return []
        data = os.read(self._stream, READ_BYTES)
        return keys_in(data.decode(errors="replace")) if data else ["escape"]


def keys_in(text: str) -> list[str]:
    r"""Returns the names of the keys in terminal input; a letter is its own name, unknown sequences are skipped.

    >>> keys_in("a\x1b[C\x1bOD ")
    ['a', 'right', 'left', 'space']
    """
    found = []
    while text:
        length = _length_of_key(text)
        sent, text = text[:length], text[length:]
        named = KEY_NAMES.get("\x1b[" + sent[2:] if sent[:2] == "\x1bO" else sent)
        if named or (len(sent) == 1 and sent.isprintable()):
            found.append(named or sent)
    return found


def _length_of_key(text: str) -> int:
    if text[0] != ESCAPE or len(text) == 1 or text[1] not in "[O":
        return 1
    for k in range(2, len(text)):
        if "@" <= text[k] <= "~":  # ends the sequence
            return k + 1
    return len(text)

"""Docstrings are plain text with `code` in it: says so to Sphinx, which would read reStructuredText into it."""

import re

CODE = re.compile(r"``?([^`\n]+?)``?")
MARKS = re.compile(r"([*|]|(?<=\w)_(?!\w))")


def _plain(line):
    pieces = CODE.split(line)
    pieces[0::2] = [MARKS.sub(r"\\\1", piece) for piece in pieces[0::2]]
    for number in range(1, len(pieces), 2):
        pieces[number] = f"``{pieces[number]}``" + "\\ " * pieces[number + 1][:1].isalpha()
    return "".join(pieces)


def _indent(line):
    return len(line) - len(line.lstrip())


def as_plain_text(_app, _what, _name, _about, _options, given):
    """Escapes what reStructuredText would take for marks, and marks what is set off by indentation as code."""
    told, code, before = [], None, 0
    lines = [part for line in given for part in (("", f"**{line[3:]}**", "") if line.startswith("## ") else (line,))]
    for number, line in enumerate(lines):
        if code is not None and line.strip() and _indent(line) < code:
            code = None
        if code is None and line.strip() and number and not lines[number - 1].strip() and _indent(line) > before:
            code = _indent(line)
            told += [" " * before + "::", ""]
        if line.strip() and code is None:
            before = _indent(line)
        told.append(line if code is not None or line.startswith("**") else _plain(line))
    given[:] = told


def setup(app):
    """Runs before napoleon, which turns sections into fields."""
    app.connect("autodoc-process-docstring", as_plain_text, priority=100)
    return {"parallel_read_safe": True}

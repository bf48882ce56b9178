"""Directives that write the reference out of what the package says of itself: agents, envs, public names, messages."""

import ast
import inspect
import json
from collections import defaultdict
from pathlib import Path

from click.testing import CliRunner
from sphinx.util.docutils import SphinxDirective

import rlbench
from rlbench.cli import cli

ROOT = Path(rlbench.__file__).parent
ERRORS = {"UsageError", "StoreError", "StoreAway", "CheckFailedError", "MissingPackageError", "NoDisplayError"}


def _said(*arguments):
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


def _cell(value):
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _code(value):
    return f"`{value}`" if value not in (None, "") else ""


class Written(SphinxDirective):
    """A directive whose content is Markdown that `write` returns."""

    has_content = True

    def run(self):
        text = "\n\n".join(self.write())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class Names(Written):
    """What `import rlbench` provides, and where each name is described."""

    def write(self):
        rows = []
        for name in rlbench.__all__:
            about = getattr(rlbench, name)
            if name in rlbench._HOMES:
                told = (inspect.getdoc(about) or "").split("\n")[0]
                home = rlbench._HOMES[name]
                rows.append([f"{{py:obj}}`{name} <rlbench.{home}.{name}>`", told])
        yield _table(["name", "what it is"], rows)


class Agents(Written):
    """Every registered agent: what it is, its source, its parameters."""

    def write(self):
        for about in _said("agents")["agents"].values():
            yield f"## {about['name']}"
            yield f"{about['description']} ({about['source']})" if about["source"] else about["description"]
            rows = [[_code(p["name"]), _code(p["default"]), p["values"], p["help"]] for p in about["parameters"]]
            yield _table(["parameter", "default", "values", "what it is"], rows) if rows else "It has no parameters."


class Envs(Written):
    """Every env with a short name: its spaces, actions, limits and arguments."""

    def write(self):
        for listed in _said("envs")["envs"]:
            about = _said("envs", listed["env_id"])
            yield f"## {about['env_id']}"
            yield about["description"].replace("\n\n", "\n").split("\n")[0]
            actions = ", ".join(f"{number} {name}" for number, name in enumerate(about["actions"]))
            facts = {
                "short name": _code(listed["name"]),
                "observations": _code(about["observation_space"]),
                "actions": f"{_code(about['action_space'])} {actions}",
                "step limit": about["limit"] or "none",
                "success": about["success"],
                "presets": ", ".join(about["presets"]),
            }
            yield _table(["", ""], [[name, value] for name, value in facts.items() if value])
            rows = [[_code(a["name"]), _code(a["default"]), a["help"]] for a in about["arguments"]]
            if rows:
                yield _table(["argument", "default", "what it is"], rows)


class Schema(Written):
    """The tables of a SQLite store, as an empty one has them."""

    def write(self):
        with rlbench.open_store("memory://") as store:
            rows = store.backend._connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' ORDER BY name")
            yield "```sql\n" + ";\n\n".join(sql.replace("\n        ", "\n") for (sql,) in rows) + ";\n```"


class Messages(Written):
    """Every error message in the code, by the room that says it."""

    def write(self):
        found = defaultdict(set)
        for folder in (ROOT, *(ROOT / room for room in ("envs", "agents", "buffers"))):
            for path in sorted(folder.rglob("*.py")):
                found[path.relative_to(ROOT).parts[0].removesuffix(".py")].update(_messages(path))
        for room in sorted(room for room, messages in found.items() if messages):
            yield f"## {room}"
            yield "\n".join(f"- {message}" for message in sorted(found[room], key=str.casefold))


def _messages(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS and node.args:
            text = _template(node.args[0])
            if text:
                yield text


def _template(node):
    """Returns a message with … for what is filled in; empty if nothing of it is written down here."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    text = "".join(part.value if isinstance(part, ast.Constant) else "…" for part in parts)
    return text.replace("`", "'").replace("*", "\\*").replace("<", "&lt;") if text.strip("… ") else ""


def setup(app):
    """Adds the directives."""
    app.add_directive("names", Names)
    app.add_directive("agents", Agents)
    app.add_directive("envs", Envs)
    app.add_directive("schema", Schema)
    app.add_directive("messages", Messages)
    return {"parallel_read_safe": True}

"""The documentation: programs run, commands work, links resolve, and every command is mentioned."""

import doctest
import itertools
import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner
from forking import NEEDED_BY_MOST, NEEDED_BY_SOME, Forks

from rlbench.cli import cli

ROOT = Path(__file__).parent.parent
WRITTEN = ("", "tutorials", "how-to", "concepts")  # folders of docs/; reference and gallery are made from the code
PAGES = [ROOT / "README.md", *(page for folder in WRITTEN for page in sorted((ROOT / "docs" / folder).glob("*.md")))]
PAGES = [page for page in PAGES if not page.is_symlink()]  # to CONTRIBUTING.md, whose commands need its examples
OTHERS = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "benchmarks").glob("*.md"))]
# run by `make test`; each of the others takes half a minute to a minute of training and compiling
QUICK = {"walk.md", "testing-with-mongomock.md"}
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
VARYING = {
    r"\b[0-9a-f]{12}\b": "ID",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d": "WHEN",
    r"[\d.]+( [kM])? steps/s": "N steps/s",
    r"[\d.]+ s\b": "N s",
    r" +$": "",
    r" +": " ",
    r"(finished [\d,]+ [\d,]+) [\d.]+": r"\1 N",  # seconds, in a list of runs
}
FOLDERS = {"rlbench": ROOT / "rlbench", **{f"rlbench.{name}": ROOT / name for name in ("envs", "agents", "buffers")}}
EXAMPLES = [  # modules with examples in their docstrings
    ".".join((room, *path.relative_to(folder).with_suffix("").parts))
    for room, folder in FOLDERS.items()
    for path in sorted(folder.rglob("*.py"))
    if ">>> " in path.read_text()
]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def named(paths):
    return pytest.mark.parametrize("page", paths, ids=lambda path: str(path.relative_to(ROOT)))


def long_unless_quick(page):
    return page if page.name in QUICK else pytest.param(page, marks=pytest.mark.long)


def blocks(page, language):
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]


def files(page):
    """Returns the files that a page writes: python blocks that begin with a comment that names them."""
    written = [(re.match(r"# (\w+\.py)\n", text), text) for text in blocks(page, "python")]
    return {name[1]: text for name, text in written if name}


def program(page):
    """Returns the other python blocks of a page, one program."""
    return "\n".join(text for text in blocks(page, "python") if text not in files(page).values())


def commands(page):
    """Yields (what a line starts, what is printed below it) for the lines of a page that begin with $."""
    for text in blocks(page, "console"):
        for line, printed in LINE.findall(text):
            yield [shlex.split(part, comments=True) for part in line.split(" ; ")], printed


def comparable(text):
    """Returns a text without what changes from run to run, and without the widths of columns."""
    for varying, name in VARYING.items():
        text = re.sub(varying, name, text, flags=re.MULTILINE)
    return text


def shown(printed):
    """Returns what matches the text that a page shows; a line of three dots stands for any lines."""
    lines = comparable(printed).splitlines(keepends=True)
    return re.compile("".join("(?:.*\n)*" if line.strip() == "..." else re.escape(line) for line in lines))


@pytest.fixture(scope="module")
def forks(request):
    has_long = any(item.get_closest_marker("long") for item in request.session.items)
    modules = (*NEEDED_BY_MOST, *(NEEDED_BY_SOME if has_long else ()))
    forks = Forks(modules, PYTHONWARNINGS="error", COLUMNS="150", SDL_VIDEODRIVER="dummy")
    yield forks
    forks.close()


def test_each_program_starts_in_a_new_process_without_rlbench(forks, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import os, sys; print(os.getpid(), any(name.startswith('rlbench') for name in sys.modules))")
    first, second = (forks.run([program], tmp_path).stdout.split() for _ in range(2))
    assert first[0] != second[0]
    assert first[1] == second[1] == "False"


@pytest.mark.parametrize(
    ("printed", "out", "is_shown"),
    [
        ("run d402707ad65d in 0.06 s\n", "run 000000000000 in 1.44 s\n", True),
        ("a  b\n...\nz\n", "a      b\nc\nd\nz\n", True),
        ("a\n...\n", "a\n", True),
        ("a\n", "a\nb\n", False),
        ("return 989.05\n", "return 989.06\n", False),
        ("a.b\n", "axb\n", False),
    ],
)
def test_what_is_printed_is_compared_but_for_what_changes(printed, out, is_shown):
    assert bool(shown(printed).fullmatch(comparable(out))) is is_shown


@named([long_unless_quick(page) for page in PAGES])
def test_the_commands_and_then_the_programs_of_a_page_run_one_after_another(page, forks, tmp_path):
    for name, text in files(page).items():
        (tmp_path / name).write_text(text)
    for line, printed in commands(page):
        out = ""
        for arguments in line:
            assert arguments[0] in ("rlbench", "python"), f"a reader cannot type {arguments}"
            result = forks.run(arguments if arguments[0] == "rlbench" else [tmp_path / arguments[1]], tmp_path)
            assert result.returncode == 0, (arguments, result.stderr)
            assert "\x1b" not in result.stdout + result.stderr
            out += result.stdout
        assert not printed or shown(printed).fullmatch(comparable(out)), f"{line} prints:\n{out}"
    (tmp_path / "program.py").write_text(program(page))
    result = forks.run([tmp_path / "program.py"], tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def trained(forks, tmp_path_factory):
    """A store with a run for the scripts to open."""
    folder = tmp_path_factory.mktemp("trained")
    made = forks.run(["rlbench", "train", "safecab", "--episodes", "20000"], folder)
    assert made.returncode == 0, made.stderr
    return folder / "rlbench.db"


@named([page for page in PAGES if page.name not in QUICK])
def test_a_page_names_commands_and_options_that_are_there_and_its_program_is_python(page):
    for command, *arguments in itertools.chain.from_iterable(line for line, _ in commands(page)):
        if command == "python":
            assert arguments[0] in files(page)
            continue
        result = CliRunner().invoke(cli, [*arguments, "--help"])
        assert result.exit_code == 0, (arguments, result.output)
    for text in (program(page), *files(page).values()):
        compile(text, str(page), "exec")


def scripts(long):
    return [pytest.param(path, marks=[pytest.mark.long] if path.name in long else [], id=path.name) for path in SCRIPTS]


@pytest.mark.parametrize("script", scripts(long=["model_figures.py", "train_cartpole.py", "train_replay_q.py"]))
def test_the_scripts_run(script, forks, trained, tmp_path):
    shutil.copy(trained, tmp_path)
    result = forks.run([script], tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


@named([*PAGES, *OTHERS])
def test_links_lead_to_files_that_exist(page):
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


def test_every_command_is_mentioned():
    from rlbench.cli import COMMANDS

    text = "\n".join(page.read_text() for page in PAGES)
    missing = [name for name in COMMANDS if f"rlbench {name}" not in text]
    assert not missing


def test_every_page_of_docs_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    missing = [page.name for page in PAGES[1:] if page.parent.name == "docs" and f"docs/{page.name}" not in readme]
    assert not missing


@pytest.mark.parametrize("script", ["replay.py", "watch.py", "window.py"])
def test_a_script_that_reads_a_store_is_quiet_where_there_is_none(script, forks, tmp_path):
    result = forks.run([ROOT / "scripts" / script], tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("there is no store at rlbench.db")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("module", EXAMPLES)
def test_the_examples_of_docstrings_run(module):
    result = doctest.testmod(import_module(module))
    assert result.attempted > 0
    assert result.failed == 0

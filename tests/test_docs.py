"""The documentation: programs run, commands work, links resolve, and every command is mentioned."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from forking import Forks

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "benchmarks").glob("*.md"))]
FIRST_READ = {"README.md", "walk.md"}  # run by `make test`; each of the others takes a minute of training and compiling
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def named(paths):
    return pytest.mark.parametrize("page", paths, ids=lambda path: str(path.relative_to(ROOT)))


def long_unless_read_first(page):
    return page if page.name in FIRST_READ else pytest.param(page, marks=pytest.mark.long)


def blocks(page, language):
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]


def commands(page):
    lines = [
        line.removeprefix("$ ") for text in blocks(page, "console") for line in text.splitlines() if line[:2] == "$ "
    ]
    return [shlex.split(part, comments=True) for line in lines for part in line.split(" ; ")]


@pytest.fixture(scope="module")
def forks():
    forks = Forks(PYTHONWARNINGS="error", COLUMNS="150")
    yield forks
    forks.close()


def test_each_program_starts_in_a_new_process_without_rlbench(forks, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import os, sys; print(os.getpid(), any(name.startswith('rlbench') for name in sys.modules))")
    first, second = (forks.run([program], tmp_path).stdout.split() for _ in range(2))
    assert first[0] != second[0]
    assert first[1] == second[1] == "False"


@named([long_unless_read_first(page) for page in PAGES])
def test_the_commands_and_then_the_programs_of_a_page_run_one_after_another(page, forks, tmp_path):
    for arguments in commands(page):
        assert arguments[0] == "rlbench", f"a reader cannot type {arguments}"
        result = forks.run(arguments, tmp_path)
        assert result.returncode == 0, (arguments, result.stderr)
    program = tmp_path / "program.py"
    program.write_text("\n".join(blocks(page, "python")))
    result = forks.run([program], tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def trained(forks, tmp_path_factory):
    """A store with a run for the scripts to open."""
    folder = tmp_path_factory.mktemp("trained")
    made = forks.run(["rlbench", "train", "safecab", "--episodes", "20000"], folder)
    assert made.returncode == 0, made.stderr
    return folder / "rlbench.db"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
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
    missing = [page.name for page in PAGES[1:] if f"docs/{page.name}" not in readme]
    assert not missing


@pytest.mark.parametrize("script", ["replay.py", "watch.py"])
def test_a_script_that_reads_a_store_is_quiet_where_there_is_none(script, forks, tmp_path):
    result = forks.run([ROOT / "scripts" / script], tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("there is no store at rlbench.db")
    assert len(result.stderr.splitlines()) == 1

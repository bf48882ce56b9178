"""What is built and installed: every package is listed, only `rlbench` is importable, nothing dangerous is inside."""

import ast
import importlib
import importlib.util
import shutil
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
PACKAGES, FOLDERS = SETUPTOOLS["packages"], SETUPTOOLS["package-dir"]
TOP_LEVEL = sorted(set(FOLDERS.values()))
MAPPED = sorted(set(TOP_LEVEL) - {"rlbench"})
EXTRAS = {
    "bson",
    "distributed",
    "gridfs",
    "h5py",
    "imageio",
    "jinja2",
    "matplotlib",
    "minari",
    "optuna",
    "pandas",
    "prometheus_client",
    "pyarrow",
    "pygame",
    "pymongo",
    "sklearn",
    "starlette",
    "uvicorn",
}


def _folder_of(package):
    """Returns where a package lies, as setuptools finds it: by its nearest mapped parent."""
    parent = max((known for known in FOLDERS if f"{package}.".startswith(f"{known}.")), key=len)
    rest = package.removeprefix(parent).strip(".")
    return ROOT / FOLDERS[parent] / rest.replace(".", "/")


def _python_files():
    for folder in TOP_LEVEL:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not any(parent.is_symlink() for parent in path.parents):
                yield path


def _python(*arguments, folder):
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)


FILES = list(_python_files())
LISTED = [path for path in FILES if path.parent in map(_folder_of, PACKAGES)]


@cache  # not at import: every process of a test run collects this file
def _trees():
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def _git(*arguments):
    """Returns the names that git lists; skips where the project is not under git."""
    listed = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return list(filter(None, listed.stdout.split("\0")))


def _module_of(path):
    package = next(name for name in PACKAGES if _folder_of(name) == path.parent)
    return package if path.name == "__init__.py" else f"{package}.{path.stem}"


# ------------------------------------------------------------------ the list of packages


def test_the_list_of_packages_is_what_lies_on_disk():
    listed = _git("ls-files", "--others", "--exclude-standard", "-z")
    unknown = {ROOT / name for name in listed}  # to git: not part of the project yet
    assert {_folder_of(name) for name in PACKAGES} == {path.parent for path in FILES if path not in unknown}
    assert len(PACKAGES) == len(set(PACKAGES))


def test_every_package_has_an_init_file():
    assert [name for name in PACKAGES if not (_folder_of(name) / "__init__.py").is_file()] == []


def test_every_folder_at_the_top_that_holds_a_package_is_mapped_into_rlbench():
    at_the_top = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert at_the_top == set(TOP_LEVEL)
    assert all(name == "rlbench" or name.startswith("rlbench.") for name in [*PACKAGES, *FOLDERS])


@pytest.mark.parametrize("folder", MAPPED)
def test_a_link_shows_a_mapped_folder_to_type_checkers(folder):
    link = ROOT / "rlbench" / folder
    if not link.is_symlink():
        pytest.skip("links cannot be made here: only type checking is lost")
    assert link.resolve() == ROOT / folder


# ------------------------------------------------------------------ what is built


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder that setuptools would put into a wheel."""
    pytest.importorskip("setuptools", reason="setuptools builds the package")
    folder = tmp_path_factory.mktemp("built")
    about = {
        "name": "rlbench",
        "script_name": "setup.py",
        "packages": PACKAGES,
        "package_dir": FOLDERS,
        "package_data": SETUPTOOLS["package-data"],
    }
    program = f"""
import setuptools
build = setuptools.Distribution({about!r}).get_command_obj("build_py")
build.build_lib = {str(folder)!r}
build.ensure_finalized()
build.run()
"""
    made = _python("-W", "ignore", "-c", program, folder=ROOT)
    assert made.returncode == 0, made.stderr
    return folder


def _contents(names):
    return {name for name in names if not name.endswith((".pyc", "/"))}


def _expected():
    modules = {f"{_module_of(path).replace('.', '/')}" for path in LISTED}
    initial = {name.replace(".", "/") for name in PACKAGES}
    sources = {f"{name}/__init__.py" if name in initial else f"{name}.py" for name in modules}
    return sources | DATA


DATA = {"rlbench/py.typed"} | {
    path.relative_to(ROOT).as_posix()
    for pattern in (
        "presets/*.toml",
        "reports/*.html",
        "reports/*.css",
        "viewer/*.html",
        "viewer/*.js",
        "web/templates/*",
        "web/static/*",
        "web/static/vendor/*",
    )
    for path in (ROOT / "rlbench").glob(pattern)
    if path.is_file()
}


def test_what_is_built_is_every_module_and_the_files_beside_them(built):
    found = _contents(path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file())
    assert found == _expected()
    assert {"rlbench/presets/safecab.toml", "rlbench/reports/page.css", "rlbench/viewer/player.html"} <= found


def test_only_rlbench_is_at_the_top_of_what_is_built(built):
    assert [path.name for path in built.iterdir()] == ["rlbench"]


@pytest.mark.long
def test_the_wheel_holds_the_same_and_its_command_starts(tmp_path):
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    _copy_sources(source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(source)]
    made = subprocess.run(build, capture_output=True, text=True, check=False)
    if made.returncode and "No matching distribution found for setuptools" in made.stderr:
        pytest.skip("the build needs setuptools, which cannot be fetched here")
    assert made.returncode == 0, made.stderr
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = _contents(archive.namelist())
        (about,) = {name.split("/")[0] for name in names} - {"rlbench"}
        entry_points = archive.read(f"{about}/entry_points.txt").decode()
        archive.extractall(tmp_path / "installed")
    assert {name for name in names if name.startswith("rlbench/")} == _expected()
    assert about.endswith(".dist-info")
    assert "rlbench = rlbench.cli:main" in entry_points
    program = "import sys; sys.path.insert(0, sys.argv[1]); import rlbench.envs; print(rlbench.envs.__file__)"
    asked = subprocess.run(
        [sys.executable, "-I", "-c", program, str(tmp_path / "installed")], capture_output=True, text=True, check=True
    )
    assert asked.stdout.strip() == str(tmp_path / "installed" / "rlbench" / "envs" / "__init__.py")


def _copy_sources(target):
    target.mkdir()
    for folder in TOP_LEVEL:
        shutil.copytree(ROOT / folder, target / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)


# ------------------------------------------------------------------ what can be imported


@pytest.mark.parametrize("folder", MAPPED)
def test_the_bare_name_of_a_mapped_folder_is_not_importable_from_elsewhere(folder, tmp_path):
    refused = _python("-c", f"import {folder}", folder=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == f"ModuleNotFoundError: No module named '{folder}'"


@pytest.mark.parametrize("folder", MAPPED)
def test_a_mapped_folder_refuses_its_bare_name_at_the_root_of_the_project(folder):
    refused = _python("-c", f"import {folder}", folder=ROOT)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(f"ImportError: import rlbench.{folder}, not {folder}")


@pytest.mark.parametrize("name", ["envs", "other", "rlbench.other"])
@pytest.mark.parametrize("folder", MAPPED)
def test_a_mapped_folder_refuses_every_name_but_its_own(folder, name):
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / "__init__.py")
    with pytest.raises(ImportError, match=f"^import rlbench.{folder}, not {name}"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _missing_extra(name):
    """Imports a module and returns the extra without which it cannot be, if one is missing."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXTRAS:
            raise
        return error.name
    assert module.__name__ == name
    return None


def test_every_module_can_be_imported_where_its_extra_is_installed():
    names = set(map(_module_of, LISTED)) - {"rlbench.__main__"}  # the program: tests/cli/test_main.py runs it
    missing = {extra: name for name in sorted(names) if (extra := _missing_extra(name))}
    if missing:
        pytest.skip(f"without their extras some could not be imported: {missing}")


def test_every_module_begins_by_saying_what_it_is_for():
    assert [name for name, tree in _trees().items() if not ast.get_docstring(tree)] == []


LIGHT = [name for name in map(_module_of, LISTED) if not name.split(".")[-1].startswith("_")]


def test_no_module_but_the_compiled_ones_imports_numba(tmp_path):
    program = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        pass  # an extra
    assert "numba" not in sys.modules, name
"""
    checked = _python("-c", program, *LIGHT, folder=tmp_path)
    assert checked.returncode == 0, checked.stderr


def test_importing_rlbench_imports_none_of_the_heavy_ones(tmp_path):
    program = "import rlbench, sys; print({'numba', 'gymnasium', 'numpy', 'rich', 'click'} & set(sys.modules))"
    assert _python("-c", program, folder=tmp_path).stdout == "set()\n"


def test_importing_the_envs_does_not_import_numba(tmp_path):
    program = "import rlbench.envs, sys; print({'numba', 'pygame'} & set(sys.modules))"
    assert _python("-c", program, folder=tmp_path).stdout == "set()\n"


# ------------------------------------------------------------------ what is inside

INDEXES = (
    "pypi.org/" + "simple",
    "--index" + "-url",
    "--extra-index" + "-url",
    "files.python" + "hosted",
    "--find" + "-links",
)
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"eval", "exec"}


def test_no_file_in_git_names_a_package_index():
    named = [
        (name, index)
        for name in _git("ls-files", "-z")
        if (ROOT / name).is_file()
        for index in INDEXES
        if index.encode() in (ROOT / name).read_bytes()
    ]
    assert named == []


def _unsafe(tree):
    """Yields each use of pickle and eval in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in UNSAFE_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNSAFE_MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in UNSAFE_CALLS:
                yield node.func.id
            yield from (
                "allow_pickle"
                for keyword in node.keywords
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False"
            )


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", ["pickle"]),
        ("from joblib.memory import x", ["joblib.memory"]),
        ("eval('1')", ["eval"]),
        ("np.load(f, allow_pickle=True)", ["allow_pickle"]),
        ("np.load(f, allow_pickle=False); loader.exec_module(m); ast.literal_eval('1')", []),
    ],
)
def test_the_search_for_unsafe_code_finds_it(source, found):
    assert list(_unsafe(ast.parse(source))) == found


def test_no_module_unpickles_or_evaluates():
    assert {name: found for name, tree in _trees().items() if (found := list(_unsafe(tree)))} == {}


def test_every_array_is_loaded_without_pickle():
    calls = [(name, node) for name, tree in _trees().items() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loads = [(name, call) for name, call in calls if ast.unparse(call.func) in {"np.load", "numpy.load"}]
    assert loads
    assert [name for name, call in loads if "allow_pickle" not in {word.arg for word in call.keywords}] == []

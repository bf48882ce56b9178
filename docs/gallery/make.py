"""Runs every script of the gallery, and writes figures.json and the pages of the chapters.

    python docs/gallery/make.py [NAME ...]

A script is a program under 40 lines on public names. Its docstring begins with what it re-makes and a title ("Figure
6.2: TD(0) against constant-alpha Monte Carlo") and goes on with what it shows. It saves one picture beside itself under
its own name (matplotlibrc says how it looks), and leaves four names: `BOOK`, what the book says; `ours`, what came out;
`holds`, whether that agrees; `FALSE_ALARMS`, the chance that other seeds would deny it, 0 where nothing is drawn.
"""

import ast
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
FIGURES = HERE / "figures.json"
TELLS = """
import json, runpy, sys
said = runpy.run_path(sys.argv[1], run_name="__main__")
print(json.dumps([said["BOOK"], said["ours"], bool(said["holds"]), float(said["FALSE_ALARMS"])]))
"""
CHAPTERS = {
    2: "Multi-armed bandits",
    3: "Finite Markov decision processes",
    4: "Dynamic programming",
    5: "Monte Carlo methods",
    6: "Temporal-difference learning",
    7: "n-step bootstrapping",
    8: "Planning and learning with tabular methods",
    10: "Average reward",
    12: "Eligibility traces",
}

INDEX = """\
# Gallery

The tabular examples and figures of Sutton and Barto, *Reinforcement Learning: An Introduction*, second edition (2018),
each made again by a short script on public names. `make gallery` runs them all, two at a time on two cores.

| | title | the book | ours | holds | seconds |
|---|---|---|---|---|---:|"""


def scripts():
    """Returns the scripts of the gallery in the order of the book."""
    return sorted((path for path in HERE.glob("*.py") if path != Path(__file__)), key=place)


def place(path):
    """Returns where a script stands in the book: chapter, number, name."""
    _, chapter, number, *_ = path.stem.split("_")
    return int(chapter), int(number), path.stem


def run(script):
    """Runs a script in a process of its own; returns its entry of figures.json, and says that it is done."""
    begun = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", TELLS, script], cwd=script.parent, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        sys.exit(f"{script.name} failed:\n{ended.stderr}")
    book, ours, holds, false_alarms = json.loads(ended.stdout.splitlines()[-1])
    seconds = round(time.perf_counter() - begun, 1)
    figure, title, _ = told(script)
    print(f"{seconds:6.1f} s  {figure}: {ours}" + ("" if holds else "  DOES NOT HOLD"), flush=True)
    entry = {"figure": figure, "title": title, "script": f"docs/gallery/{script.name}", "seconds": seconds}
    return entry | {"book": book, "ours": ours, "holds": holds, "false_alarms": false_alarms}


def told(script):
    """Returns what a script re-makes, its title, and the sentences that say what it shows."""
    first, _, rest = ast.get_docstring(ast.parse(script.read_text())).partition("\n")
    figure, _, title = first.partition(": ")
    return figure, title[:1].upper() + title[1:].rstrip("."), rest.strip()


def write(entries):
    """Writes figures.json and the pages; entries of scripts that are gone are left out."""
    known = {f"docs/gallery/{script.name}": script for script in scripts()}
    entries = sorted((e for e in entries if e["script"] in known), key=lambda e: place(known[e["script"]]))
    FIGURES.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    chapters = {}
    for entry in entries:
        chapters.setdefault(place(known[entry["script"]])[0], []).append(entry)
    (HERE / "index.md").write_text(_index(chapters))
    for chapter, figures in chapters.items():
        (HERE / f"chapter-{chapter}.md").write_text(_chapter(chapter, figures, known))


def _index(chapters):
    lines = [INDEX]
    for chapter, figures in chapters.items():
        for e in figures:
            link = f"[{e['figure']}](chapter-{chapter}.md#{_anchor(e)})"
            holds = "yes" if e["holds"] else "**no**"
            lines.append(f"| {link} | {e['title']} | {e['book']} | {e['ours']} | {holds} | {e['seconds']} |")
    pages = "\n".join(f"chapter-{chapter}" for chapter in chapters)
    return "\n".join(lines) + f"\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def _anchor(entry):
    return entry["figure"].lower().replace(" ", "-").replace(".", "-")


def _chapter(chapter, figures, known):
    parts = [f"# {chapter}: {CHAPTERS[chapter]}"]
    for e in figures:
        script = known[e["script"]]
        parts += [
            f"({_anchor(e)})=\n## {e['figure']}: {e['title']}",
            told(script)[2],
            f"![{e['title']}]({script.stem}.png)",
            f"The book: {e['book']}. Ours: {e['ours']}. {_chance(e)}",
            f"[{script.name}]({script.name}) takes {e['seconds']} s:",
            f"```{{literalinclude}} {script.name}\n:language: python\n```",
        ]
    return "\n\n".join(parts) + "\n"


def _chance(entry):
    chance = entry["false_alarms"]
    return (
        f"Other seeds would contradict it with a probability of at most {chance:g}."
        if chance
        else "Nothing is drawn at random."
    )


def main(names):
    """Runs the scripts that are named, or all, two at a time, and keeps what the others said before."""
    wanted = [script for script in scripts() if not names or script.stem in names]
    kept = {entry["script"]: entry for entry in json.loads(FIGURES.read_text())} if FIGURES.exists() else {}
    begun = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        for entry in pool.map(run, wanted):
            kept[entry["script"]] = entry
    write(kept.values())
    print(f"{len(wanted)} figures in {(time.perf_counter() - begun) / 60:.1f} minutes")
    sys.exit(not all(kept[f"docs/gallery/{script.name}"]["holds"] for script in wanted))


if __name__ == "__main__":
    main(sys.argv[1:])

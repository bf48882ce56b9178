"""Writes a notebook for each chapter of the gallery: what the book says, the script, a cell to change something.

python docs/notebooks.py [FOLDER]
"""

import json
import runpy
import sys
from pathlib import Path

from nbformat import v4, write

GALLERY = Path(__file__).parent / "gallery"
MAKE = runpy.run_path(str(GALLERY / "make.py"))


def notebook(chapter, entries):
    """Returns the notebook of a chapter."""
    cells = [v4.new_markdown_cell(f"# {chapter}: {MAKE['CHAPTERS'][chapter]}\n\nThe figures of the book, made again.")]
    for number, (script, entry) in enumerate(entries):
        told = MAKE["told"](script)[2]
        says = f"The book: {entry['book']}. It takes about {entry['seconds']} s."
        what_if = "What if? Change a number above, and run the cell again."
        cells += [
            v4.new_markdown_cell(f"## {entry['figure']}: {entry['title']}\n\n{told}\n\n{says}"),
            v4.new_code_cell(_as_cell(script)),
            v4.new_markdown_cell(what_if),
        ]
        for place, cell in enumerate(cells[-3:]):
            cell["id"] = f"{script.stem}-{number}-{place}"
    cells[0]["id"] = f"chapter-{chapter}"
    return v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def _as_cell(script):
    """Returns a script without its docstring, and with its figure shown where it would be saved."""
    text = script.read_text().split('"""\n', 2)[-1].strip()
    lines = [line for line in text.splitlines() if "__file__" not in line and line != "from pathlib import Path"]
    return "\n".join([*lines, "plt.show()", "print(BOOK)", "print(ours)", "print(holds)"]).strip()


def main(folder):
    """Writes them all."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {f"docs/gallery/{script.name}": script for script in MAKE["scripts"]()}
    chapters = {}
    for entry in json.loads((GALLERY / "figures.json").read_text()):
        script = known[entry["script"]]
        chapters.setdefault(MAKE["place"](script)[0], []).append((script, entry))
    for chapter, entries in chapters.items():
        write(notebook(chapter, entries), folder / f"chapter-{chapter}.ipynb")
        print(f"wrote {folder / f'chapter-{chapter}.ipynb'}")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2]) if sys.argv[1:] else GALLERY / "notebooks")

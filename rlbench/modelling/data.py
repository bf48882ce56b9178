"""Data to learn from: scikit-learn's small sets, and CSV files of any size, read in chunks.

    from rlbench.modelling import load_csv

    houses = load_csv("houses.csv", "SalePrice", features=["OverallQual", "GrLivArea", "GarageCars"])
    houses.rows, houses.targets

Nothing is guessed that could be silently wrong: a file that is not a table of numbers is refused, naming the line.
Labels and ids are whole numbers only if all are written as such; otherwise they are words: "01" is not "1".
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UsageError, unknown_name
from rlbench.files import require
from rlbench.modelling.hashing import Withheld, fraction
from rlbench.texts import comparable

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BUILT_IN = {
    "iris": "load_iris",
    "digits": "load_digits",
    "wine": "load_wine",
    "diabetes": "load_diabetes",
    "breast-cancer": "load_breast_cancer",
}
NUMBERS_ALONE = ("diabetes",)  # of the sets above, with numbers instead of classes as targets
CHUNK_ROWS = 10_000
DELIMITERS = ",;\t|"
ENCODINGS = {  # by the first bytes of a file, longer marks first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
QUOTED = re.compile(r'"[^"]*"')
LINE_BREAK = re.compile(r"\s*[\r\n]\s*")
HEADER_LINES = 100  # that the names of the columns may take
WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
NOT_IN_NUMBERS = re.compile(r"[^0-9eE+\-.\s]")  # nan, inf, and 1_0, which Python takes for 10
CODE = re.compile(r"\s*[+-]?0[0-9]")  # a number by its digits only, such as 007 or the postcode 01234
MISSING = {"", "na", "n/a", "nan", "null", "none", "inf", "-inf"}  # what else stands in a row of numbers
UNNAMED = re.compile(r"|Unnamed: [0-9]+(_level_[0-9]+|\.[0-9]+)*")  # what pandas calls a column without a name
ESCAPED_QUOTE = re.compile(r'\\"(?=[^\r\n])')
LONGEST_CELL = 2**24  # characters: the texts of whole books
LONGEST_LABEL = 1000  # characters: an array of labels gives each the room of the longest
SHOWN_LETTERS = 40  # characters of a cell in an error


@dataclass(frozen=True)
class Dataset:
    """Rows to learn from.

    Attributes:
        source: the name of a built-in set, such as "iris", or the path of a file.
        rows: float64 (n_rows, n_features), or texts, a list of n_rows.
        targets: labels or numbers (n_rows,); None if there are none.
        features: the names of the columns of `rows`.
        target: the name of the column of `targets`; "" for none.
        fingerprint: SHA-256 of the data: equal data have equal fingerprints.
    """

    source: str
    rows: Any
    targets: NDArray[Any] | None
    features: tuple[str, ...]
    target: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.rows)


class Ratings(NamedTuple):
    """The ratings of items by users: a sparse matrix, and the names of its rows and columns."""

    matrix: Any  # CSR (n_users, n_items)
    users: NDArray[Any]
    items: NDArray[Any]


# ------------------------------------------------------------------ built-in sets


def load_built_in(name: str) -> Dataset:
    """Returns one of scikit-learn's small data sets, with classes by name, or 0 to 9 for digits.

    Raises:
        UnknownNameError: no data set has this name.
    """
    if name not in BUILT_IN:
        raise unknown_name("data set", name, BUILT_IN)
    found = getattr(require("sklearn.datasets", "models", f"the data set {name}"), BUILT_IN[name])()
    rows = np.ascontiguousarray(found.data, dtype=np.float64)
    targets = np.asarray(found.target)
    if name not in NUMBERS_ALONE:
        targets = np.asarray(found.target_names)[targets]
    features = tuple(map(str, found.feature_names))
    return Dataset(name, rows, targets, features, "target", _fingerprint_of(rows, targets))


def _fingerprint_of(rows: Floats, targets: NDArray[Any]) -> str:
    digest = hashlib.sha256(repr(rows.shape).encode())
    digest.update(rows.astype("<f8").tobytes())
    digest.update("\n".join(map(str, targets.tolist())).encode())
    return digest.hexdigest()


# ------------------------------------------------------------------ files


class Cells(NamedTuple):
    """Some rows of a CSV file, as text."""

    header: tuple[str, ...]
    cells: list[list[str]]
    lines: list[int]  # the line where each row ends, for errors
    path: Path
    hashed: tuple[str, ...] = ()  # the columns whose cells are pseudonyms

    def __len__(self) -> int:
        return len(self.cells)

    def texts(self, column: str) -> list[str]:
        """Returns a column of texts, unchanged."""
        at = self.header.index(column)
        return [row[at] for row in self.cells]

    def labels(self, column: str) -> list[str]:
        """Returns a column of labels as they are written; UsageError if one is missing, or no label."""
        found = self.texts(column)
        for line, cell in zip(self.lines, found, strict=True):
            if not cell.strip():
                raise self._empty(column, line)
            if len(cell) > LONGEST_LABEL or "\0" in cell:
                raise self._no_label(column, line, cell)
        return found

    def numbers(self, columns: Sequence[str]) -> Floats:
        """Returns columns as float64 (rows, columns).

        Raises:
            UsageError: a cell is empty or not a finite number; the message names its line and column.
        """
        places = {name: place for place, name in enumerate(self.header)}
        at = [places[column] for column in columns]
        chosen = [[row[i] for i in at] for row in self.cells]
        for place in [place for place, name in enumerate(columns) if name in self.hashed]:
            for row in chosen:
                row[place] = repr(fraction(row[place])) if row[place] else ""
        if any(NOT_IN_NUMBERS.search("\n".join(row)) for row in chosen):
            raise self._no_number(columns, chosen)
        try:
            numbers = np.array(chosen, dtype=np.float64).reshape(len(chosen), len(at))
        except ValueError:
            raise self._no_number(columns, chosen) from None
        if not np.isfinite(numbers).all():
            raise self._no_number(columns, chosen)
        return numbers

    def _no_number(self, columns: Sequence[str], chosen: list[list[str]]) -> UsageError:
        for line, row in zip(self.lines, chosen, strict=True):
            for column, cell in zip(columns, row, strict=True):
                if not cell.strip():
                    return self._empty(column, line)
                if not is_number(cell):
                    shown = repr(cell[:SHOWN_LETTERS])
                    return UsageError(
                        f"{self.path}, line {line}: column {column!r} must hold finite numbers, got {shown}; encode "
                        "it as numbers, decimals with a point, or name the columns to learn from (features)"
                    )
        return UsageError(f"{self.path} must hold numbers in {', '.join(columns)}")

    def _no_label(self, column: str, line: int, cell: str) -> UsageError:
        return UsageError(
            f"{self.path}, line {line}: column {column!r} must hold labels of {LONGEST_LABEL:,} characters at most and "
            f"no NUL, got {len(cell):,}, {cell[:SHOWN_LETTERS]!r}; is it a column of texts, or the encoding wrong?"
        )

    def _empty(self, column: str, line: int) -> UsageError:
        return UsageError(
            f"{self.path}, line {line}: column {column!r} is empty; fill it in, or leave the row or the column out"
        )


def is_number(cell: str) -> bool:
    """Returns whether a cell is a finite number as one writes it, in figures."""
    try:
        return not NOT_IN_NUMBERS.search(cell) and bool(np.isfinite(np.float64(cell)))
    except ValueError:
        return False


def column_name(name: str) -> str:
    """Returns the name of a column in one line, by which it is found however its letters with marks are composed."""
    return LINE_BREAK.sub(" ", comparable(name))


class CsvFile:
    """A CSV file, read in chunks: separated by commas, semicolons, tabs or bars, with column names in its first row.

    Args:
        path: the path of the file.
        encoding: the text encoding; by default UTF-8, or UTF-16 or UTF-32 if the first bytes say so.
        withheld: columns that are not learnt from as they are.

    Attributes:
        header: the names of the columns, each in one line; "" for a column without one.
        size: the size of the file in bytes.
        hashed: the columns whose cells are read as pseudonyms.

    Raises:
        UsageError: the file cannot be read or is empty, or its first row holds no names, or a name twice.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, encoding: str | None = None, withheld: Withheld | None = None
    ) -> None:
        self.path, self._withheld = Path(path), withheld or Withheld()
        with self._explained():
            self.size = self.path.stat().st_size
            with self.path.open("rb") as file:
                self.encoding = encoding or _encoding_of(file.read(4))
            with self.path.open("rb") as raw, self._text(raw) as text:
                self._delimiter = max(DELIMITERS, key=QUOTED.sub("", _first_row(text)).count)
            with self.path.open("rb") as raw, self._text(raw) as text:
                self.header = self._checked_header(next(filter(None, _reader(text, self._delimiter)), []))
        self._dropped, self.hashed = map(self.columns, self._withheld[:2])

    def _text(self, raw: Any) -> io.TextIOWrapper:
        return io.TextIOWrapper(raw, encoding=self.encoding, newline="")

    def fingerprint(self) -> str:
        """Returns the SHA-256 of the file."""
        with self._explained(), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def chunks(self, rows: int = CHUNK_ROWS, *, on_read: Callable[[int], Any] | None = None) -> Iterator[Cells]:
        """Reads the file from its beginning, `rows` rows at a time, skipping empty lines.

        Args:
            rows: the rows of a chunk.
            on_read: called after each chunk with the number of bytes read so far.

        Raises:
            UsageError: a row and the header differ in length, or the encoding is wrong.
        """
        with self._explained(), self.path.open("rb") as raw, self._text(raw) as text:
            reader = _reader(text, self._delimiter)
            next(filter(None, reader), None)  # the header
            cells: list[list[str]] = []
            lines: list[int] = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(self.header):
                    raise self._ragged(reader.line_num, row)
                cells.append(row)
                lines.append(reader.line_num)
                if len(cells) == rows:
                    yield self._cells(cells, lines)
                    cells, lines = [], []
                    if on_read:
                        on_read(raw.tell())
            if cells:
                yield self._cells(cells, lines)
            if on_read:
                on_read(self.size)

    def _cells(self, cells: list[list[str]], lines: list[int]) -> Cells:
        for place in map(self.header.index, self.hashed):
            for row in cells:
                row[place] = self._withheld.hash(row[place]) if row[place].strip() else ""
        return Cells(self.header, cells, lines, self.path, self.hashed)

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Returns the names as in the header if all are columns, else raises UnknownNameError with the nearest ones."""
        wanted = tuple(map(column_name, names))
        for name in wanted:
            if not name or name not in self.header:
                raise unknown_name(f"column of {self.path}", name, filter(None, self.header))
        return wanted

    def others(self, *names: str) -> tuple[str, ...]:
        """Returns all columns except these; UsageError if one has no name: nobody has chosen to learn from it."""
        left = tuple(name for name in self.header if name not in (*names, *self._dropped))
        unnamed = next((place for place, name in enumerate(self.header, 1) if UNNAMED.fullmatch(name)), None)
        if unnamed:
            raise UsageError(
                f"{self.path}: column {unnamed} has no name, as the index that pandas writes, which can give the "
                "answer away: take it out, or name the columns to learn from (features)"
            )
        if not left:
            raise UsageError(f"{self.path} must have a column to learn from besides {', '.join(names)}")
        return left

    def to_learn(self, features: Sequence[str] | None, target: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns the columns to learn from, by default all but the target, and the target alone or nothing.

        Raises:
            UnknownNameError: one is no column.
            UsageError: the target is among the columns to learn from, or one of these by default has no name, or one
                of them is dropped.
        """
        named = self.columns([target] if target else [])
        chosen = self.columns(features) if features else self.others(*named)
        if set(named) & set(chosen):
            raise UsageError(f"the target {target!r} cannot be one of the columns to learn from")
        needed = next((name for name in (*named, *chosen) if name in self._dropped), None)
        if needed is not None:
            raise UsageError(f"the column {needed!r} is needed, so it cannot be dropped")
        return chosen, named

    def _ragged(self, line: int, row: list[str]) -> UsageError:
        return UsageError(
            f"{self.path}, line {line}: expected {len(self.header)} cells as in the header, got {len(row)}; put quotes "
            f"around a cell that holds {self._delimiter!r}"
        )

    def _checked_header(self, first: list[str]) -> tuple[str, ...]:
        names = [column_name(name) for name in first]
        if not any(names):
            raise UsageError(f"{self.path} is empty: its first line must hold the names of the columns")
        if any("\0" in name for name in names):
            raise UsageError(f"{self.path} holds NUL bytes: name its encoding, such as utf-16")
        if all(is_number(name) or name.lower() in MISSING for name in names):
            raise UsageError(f"{self.path} begins with numbers: its first line must hold the names of the columns")
        twice = sorted(name for name, count in Counter(names).items() if name and count > 1)
        if twice:
            raise UsageError(
                f"{self.path} has several columns named {twice[0]!r}: give each a different name, above the rows"
            )
        return tuple(names)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns read errors into one line that names the file."""
        try:
            yield
        except UsageError:
            raise
        except LookupError as error:
            raise UsageError(
                f"encoding must be one that Python knows, such as latin-1, got {self.encoding!r}"
            ) from error
        except UnicodeError as error:
            raise UsageError(
                f"{self.path} is not {self.encoding.removesuffix('-sig').upper()} ({_short(error)}): "
                "name its encoding, such as latin-1"
            ) from error
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror or error}") from error
        except csv.Error as error:
            raise UsageError(f"{self.path} is not a CSV file: {error}") from error


def _encoding_of(start: bytes) -> str:
    return next((name for mark, name in ENCODINGS.items() if start.startswith(mark)), "utf-8-sig")


def _first_row(text: Iterable[str]) -> str:
    """Returns the lines of the first row: a quoted name may go over several."""
    found = ""
    for line in islice(text, HEADER_LINES):
        found += line
        if found.strip() and found.count('"') % 2 == 0:
            break
    return found


def _reader(text: Iterable[str], delimiter: str) -> Any:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    return csv.reader(_lines(text, tabs=delimiter == "\t"), delimiter=delimiter, strict=True)


def _lines(text: Iterable[str], *, tabs: bool) -> Iterator[str]:
    r"""Yields lines without a byte order mark, and with \" doubled: between tabs, Kaggle's reviews write quotes so."""
    for number, line in enumerate(text):
        whole = line if number else line.removeprefix("\ufeff")
        yield "\t".join(map(_doubled, whole.split("\t"))) if tabs and '\\"' in whole else whole


def _doubled(cell: str) -> str:
    return '"' + ESCAPED_QUOTE.sub('""', cell[1:]) if cell.startswith('"') else cell


def _short(error: UnicodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte 0x{error.object[error.start]:02x}"
    return str(error)


def all_labels(column: str, texts: Sequence[str]) -> NDArray[Any]:
    """Returns all labels of a column, (n_rows,): as whole numbers if all are written so, else as text."""
    return read_labels(texts, whole=are_whole(column, set(texts)))


def read_labels(texts: Iterable[str], *, whole: bool) -> NDArray[Any]:
    """Returns labels as whole numbers, or as the texts they are."""
    return np.array([int(text) for text in texts]) if whole else np.array(list(texts))


def are_whole(column: str, labels: Iterable[str]) -> bool:
    """Returns whether all distinct labels of a column are whole numbers as Python writes them, unlike 01, +1 or 1.0.

    Raises:
        UsageError: two labels look the same.
    """
    known: dict[str, str] = {}
    for label in sorted(labels):
        alike = known.setdefault(comparable(label), label)
        if alike != label:
            shown = f"{alike!a:.80} and {label!a:.80}"
            raise UsageError(f"column {column!r} has labels that look the same, {shown}: write them the same way")
    return all(WHOLE_NUMBER.fullmatch(label) for label in known.values())


def load_csv(
    path: str | os.PathLike[str],
    target: str | None = None,
    *,
    features: Sequence[str] | None = None,
    labels: bool | None = None,
    encoding: str | None = None,
    withheld: Withheld | None = None,
) -> Dataset:
    """Reads a whole CSV file of numbers into memory.

    Args:
        path: the path of a file with column names in its first line.
        target: the column to predict; None for none.
        features: the columns to learn from; all others by default.
        labels: whether the target holds classes; by default, if it is not a column of numbers, or one is like 007.
        encoding: the text encoding; by default UTF-8, or UTF-16 if the first bytes say so.
        withheld: columns that are not learnt from as they are.

    Raises:
        UsageError: the file is not a table of numbers; the message names the line.
        UnknownNameError: the file has no column of this name.
    """
    file = CsvFile(path, encoding=encoding, withheld=withheld)
    chosen, named = file.to_learn(features, target)
    rows, answers = [], []
    for chunk in file.chunks():
        rows.append(chunk.numbers(chosen))
        for column in named:
            answers += chunk.labels(column)
    if not rows:
        raise UsageError(f"{file.path} has no rows, only the names of its columns")
    targets = _targets(named[0], answers, labels) if named else None
    return Dataset(str(path), np.concatenate(rows), targets, chosen, "".join(named), file.fingerprint())


def _targets(column: str, answers: list[str], labels: bool | None) -> NDArray[Any]:  # noqa: FBT001  (a private step of load_csv)
    if labels is None:
        labels = any(CODE.match(answer) or not is_number(answer) for answer in answers)
    if labels:
        return all_labels(column, answers)
    wrong = next((answer for answer in answers if not is_number(answer)), None)
    if wrong is not None:
        raise UsageError(
            f"the target must hold finite numbers, got {wrong[:SHOWN_LETTERS]!r}: only models of classes take labels"
        )
    return np.array(answers, dtype=np.float64)


def load_texts(
    path: str | os.PathLike[str],
    target: str,
    *,
    text: str | None = None,
    encoding: str | None = None,
    withheld: Withheld | None = None,
) -> Dataset:
    """Reads a whole CSV file of texts and their labels into memory.

    Args:
        path: the path of a file with column names in its first line.
        target: the column of the labels.
        text: the column of the texts; the only other one by default.
        encoding: the text encoding; see `load_csv`.
        withheld: columns that are not learnt from as they are.

    Raises:
        UsageError: the file is not a table of texts, or `text` is missing and there are several other columns.
    """
    file = CsvFile(path, encoding=encoding, withheld=withheld)
    column, named = text_column(file, target, text), file.columns([target])[0]
    texts, answers = [], []
    for chunk in file.chunks():
        texts += chunk.texts(column)
        answers += chunk.labels(named)
    if not texts:
        raise UsageError(f"{file.path} has no rows, only the names of its columns")
    return Dataset(str(path), texts, all_labels(named, answers), (column,), named, file.fingerprint())


def text_column(file: CsvFile, target: str, text: str | None) -> str:
    """Returns the column of the texts."""
    chosen, _ = file.to_learn(None if text is None else [text], target)
    if len(chosen) > 1:
        raise UsageError(f"name the column of the texts (features), one of {', '.join(chosen)}")
    if chosen[0] in file.hashed:
        raise UsageError(f"{chosen[0]!r} is the column of the texts, of which hashes tell nothing: leave it out")
    return chosen[0]


def rating_columns(file: CsvFile, target: str, features: Sequence[str] | None) -> tuple[str, str]:
    """Returns the columns of users and items."""
    chosen, _ = file.to_learn(features, target)
    chosen = chosen if features else chosen[:2]
    if len(chosen) != 2:  # noqa: PLR2004  (a user and an item)
        raise UsageError(f"ratings need two columns besides {target!r}, users and items, got {len(chosen)}")
    return chosen[0], chosen[1]


def load_ratings(
    path: str | os.PathLike[str],
    target: str,
    *,
    features: Sequence[str] | None = None,
    encoding: str | None = None,
    withheld: Withheld | None = None,
) -> Ratings:
    """Reads a whole CSV file of ratings, one per line, into a sparse matrix; the last of repeated ratings counts.

    Args:
        path: the path of a file with column names in its first line.
        target: the column of the ratings.
        features: the columns of users and items; by default the first two besides the target.
        encoding: the text encoding; see `load_csv`.
        withheld: columns that are not learnt from as they are.

    Raises:
        UsageError: the file is not a table of ratings.
    """
    file = CsvFile(path, encoding=encoding, withheld=withheld)
    user, item = rating_columns(file, target, features)
    rating = file.columns([target])
    who, what, how = [], [], []
    for chunk in file.chunks():
        who += chunk.labels(user)
        what += chunk.labels(item)
        how.append(chunk.numbers(rating)[:, 0])
    if not who:
        raise UsageError(f"{file.path} has no rows, only the names of its columns")
    users, rows = np.unique(all_labels(user, who), return_inverse=True)
    items, columns = np.unique(all_labels(item, what), return_inverse=True)
    return Ratings(sparse_matrix(rows, columns, np.concatenate(how), (len(users), len(items))), users, items)


def sparse_matrix(rows: Any, columns: Any, values: Floats, shape: tuple[int, int]) -> Any:
    """Returns a CSR matrix of ratings; the last of several for one pair counts."""
    sparse = require("scipy.sparse", "models", "a table of ratings")  # it comes with scikit-learn
    kept = last_of_pairs(rows, columns, shape[1])
    return sparse.csr_array((values[kept], (np.asarray(rows)[kept], np.asarray(columns)[kept])), shape=shape)


def last_of_pairs(rows: Any, columns: Any, width: int) -> NDArray[np.intp]:
    """Returns the place of the last of each pair (row, column), sorted by pair; columns are below `width`."""
    pairs = np.asarray(rows) * width + np.asarray(columns)
    _, last = np.unique(pairs[::-1], return_index=True)
    return len(pairs) - 1 - last


# ------------------------------------------------------------------ the larger data sets of the books, from a path


def load_house_prices(path: str | os.PathLike[str]) -> Dataset:
    """Reads the house prices (Kaggle's train.csv): quality, living area in square feet, cars; SalePrice in dollars."""
    return load_csv(path, "SalePrice", features=["OverallQual", "GrLivArea", "GarageCars"], labels=False)


def load_reviews(path: str | os.PathLike[str]) -> Dataset:
    """Reads the film reviews (IMDB, Kaggle's labeledTrainData.tsv or a CSV): columns review and sentiment."""
    return load_texts(path, "sentiment", text="review")


def load_plays(path: str | os.PathLike[str]) -> Ratings:
    """Reads how often users played artists (last.fm, user_artists.dat), scaled to 0 to 1 as the book does."""
    plays = load_ratings(path, "weight", features=["userID", "artistID"])
    counts = plays.matrix.data
    spread = counts.max() - counts.min()
    plays.matrix.data = (counts - counts.min()) / (spread or 1.0)
    return plays


def load_fashion(path: str | os.PathLike[str]) -> Dataset:
    """Reads pictures of clothes (Fashion-MNIST as CSV: label, pixel1 to pixel784), pixels scaled to 0 to 1."""
    found = load_csv(path, "label", labels=True)
    return Dataset(found.source, found.rows / 255.0, found.targets, found.features, found.target, found.fingerprint)

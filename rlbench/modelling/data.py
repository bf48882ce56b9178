"""Data to learn from: scikit-learn's small sets, and CSV files of any size, read in chunks.

    from rlbench.modelling import load_csv

    houses = load_csv("houses.csv", "SalePrice", features=["OverallQual", "GrLivArea", "GarageCars"])
    houses.rows, houses.targets

Nothing is guessed that could be silently wrong: a file that is not a table of numbers is refused, naming the line.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UsageError, unknown_name

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

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
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # the first bytes of a file
QUOTED = re.compile(r'"[^"]*"')
WHOLE_NUMBER = re.compile(r"[+-]?\d{1,18}")
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
    from sklearn import datasets  # noqa: PLC0415  (an extra)

    found = getattr(datasets, BUILT_IN[name])()
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

    def __len__(self) -> int:
        return len(self.cells)

    def texts(self, column: str) -> list[str]:
        """Returns a column of texts, unchanged."""
        at = self.header.index(column)
        return [row[at] for row in self.cells]

    def labels(self, column: str) -> list[str]:
        """Returns a column of labels; UsageError if one is missing."""
        found = self.texts(column)
        for line, cell in zip(self.lines, found, strict=True):
            if not cell.strip():
                raise self._empty(column, line)
        return found

    def numbers(self, columns: Sequence[str]) -> Floats:
        """Returns columns as float64 (rows, columns).

        Raises:
            UsageError: a cell is empty or not a finite number; the message names its line and column.
        """
        at = [self.header.index(column) for column in columns]
        chosen = [[row[i] for i in at] for row in self.cells]
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
                if not _is_finite(cell):
                    shown = repr(cell[:SHOWN_LETTERS])
                    return UsageError(
                        f"{self.path}, line {line}: column {column!r} must hold finite numbers, got {shown}; encode "
                        "it as numbers, or name the columns to learn from (features)"
                    )
        return UsageError(f"{self.path} must hold numbers in {', '.join(columns)}")

    def _empty(self, column: str, line: int) -> UsageError:
        return UsageError(
            f"{self.path}, line {line}: column {column!r} is empty; fill it in, or leave the row or the column out"
        )


def _is_finite(cell: str) -> bool:
    try:
        return bool(np.isfinite(np.float64(cell)))
    except ValueError:
        return False


class CsvFile:
    """A CSV file, read in chunks: separated by commas, semicolons, tabs or bars, with column names in its first line.

    Args:
        path: the path of the file.
        encoding: the text encoding; by default UTF-8, or UTF-16 if the first bytes say so.

    Attributes:
        header: the names of the columns.
        size: the size of the file in bytes.

    Raises:
        UsageError: the file cannot be read or is empty, or its first line holds no names, or a name twice.
    """

    def __init__(self, path: str | os.PathLike[str], *, encoding: str | None = None) -> None:
        self.path = Path(path)
        with self._explained():
            self.size = self.path.stat().st_size
            with self.path.open("rb") as file:
                self.encoding = encoding or BYTE_ORDER_MARKS.get(file.read(2), "utf-8-sig")
            with self.path.open(encoding=self.encoding, newline="") as text:
                first = text.readline()
        self._delimiter = max(DELIMITERS, key=QUOTED.sub("", first).count)
        self.header = self._checked_header(first)

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
        with self._explained(), self.path.open("rb") as raw:
            text = io.TextIOWrapper(raw, encoding=self.encoding, newline="")
            # between tabs a quote within quotes is written \" (Kaggle's reviews), elsewhere ""
            escape = "\\" if self._delimiter == "\t" else None
            reader = csv.reader(text, delimiter=self._delimiter, escapechar=escape, strict=True)
            next(reader, None)
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
                    yield Cells(self.header, cells, lines, self.path)
                    cells, lines = [], []
                    if on_read:
                        on_read(raw.tell())
            if cells:
                yield Cells(self.header, cells, lines, self.path)
            if on_read:
                on_read(self.size)

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Returns the names if all are columns, else raises UnknownNameError with the nearest ones."""
        for name in names:
            if name not in self.header:
                raise unknown_name(f"column of {self.path}", name, self.header)
        return tuple(names)

    def others(self, *names: str) -> tuple[str, ...]:
        """Returns all columns except these."""
        left = tuple(name for name in self.header if name not in names)
        if not left:
            raise UsageError(f"{self.path} must have a column to learn from besides {', '.join(names)}")
        return left

    def _ragged(self, line: int, row: list[str]) -> UsageError:
        return UsageError(
            f"{self.path}, line {line}: expected {len(self.header)} cells as in the header, got {len(row)}; put quotes "
            f"around a cell that holds {self._delimiter!r}"
        )

    def _checked_header(self, first: str) -> tuple[str, ...]:
        names = [name.strip() for name in next(csv.reader([first], delimiter=self._delimiter), [])]
        if not any(names):
            raise UsageError(f"{self.path} is empty: its first line must hold the names of the columns")
        if all(map(_is_finite, names)):
            raise UsageError(f"{self.path} begins with numbers: its first line must hold the names of the columns")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"{self.path} has several columns named {twice[0]!r}: give each a different name")
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


def _short(error: UnicodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte 0x{error.object[error.start]:02x}"
    return str(error)


def read_labels(texts: Sequence[str], *, whole: bool) -> NDArray[Any]:
    """Returns labels as whole numbers, or as text."""
    return np.array([int(text) for text in texts]) if whole else np.array([text.strip() for text in texts])


def are_whole(labels: Sequence[str]) -> bool:
    """Returns whether every label is a whole number."""
    return all(WHOLE_NUMBER.fullmatch(label.strip()) for label in labels)


def load_csv(
    path: str | os.PathLike[str],
    target: str | None = None,
    *,
    features: Sequence[str] | None = None,
    labels: bool | None = None,
    encoding: str | None = None,
) -> Dataset:
    """Reads a whole CSV file of numbers into memory.

    Args:
        path: the path of a file with column names in its first line.
        target: the column to predict; None for none.
        features: the columns to learn from; all others by default.
        labels: whether the target holds classes; by default, if it is not a column of numbers.
        encoding: the text encoding; by default UTF-8, or UTF-16 if the first bytes say so.

    Raises:
        UsageError: the file is not a table of numbers; the message names the line.
        UnknownNameError: the file has no column of this name.
    """
    file = CsvFile(path, encoding=encoding)
    chosen = file.columns(features or file.others(*file.columns([target] if target else [])))
    if target:
        file.columns([target])
        if target in chosen:
            raise UsageError(f"the target {target!r} cannot be one of the columns to learn from")
    rows, answers = [], []
    for chunk in file.chunks():
        rows.append(chunk.numbers(chosen))
        answers += chunk.labels(target) if target else []
    if not rows:
        raise UsageError(f"{file.path} has no rows, only the names of its columns")
    targets = _targets(answers, labels) if target else None
    return Dataset(str(path), np.concatenate(rows), targets, chosen, target or "", file.fingerprint())


def _targets(answers: list[str], labels: bool | None) -> NDArray[Any]:  # noqa: FBT001  (a private step of load_csv)
    if labels is None:
        labels = not all(map(_is_finite, answers))
    if labels:
        return read_labels(answers, whole=are_whole(answers))
    wrong = next((answer for answer in answers if not _is_finite(answer)), None)
    if wrong is not None:
        raise UsageError(
            f"the target must hold finite numbers, got {wrong[:SHOWN_LETTERS]!r}: only models of classes take labels"
        )
    return np.array(answers, dtype=np.float64)


def load_texts(
    path: str | os.PathLike[str], target: str, *, text: str | None = None, encoding: str | None = None
) -> Dataset:
    """Reads a whole CSV file of texts and their labels into memory.

    Args:
        path: the path of a file with column names in its first line.
        target: the column of the labels.
        text: the column of the texts; the only other one by default.
        encoding: the text encoding; see `load_csv`.

    Raises:
        UsageError: the file is not a table of texts, or `text` is missing and there are several other columns.
    """
    file = CsvFile(path, encoding=encoding)
    column = text_column(file, target, text)
    texts, answers = [], []
    for chunk in file.chunks():
        texts += chunk.texts(column)
        answers += chunk.labels(target)
    if not texts:
        raise UsageError(f"{file.path} has no rows, only the names of its columns")
    targets = read_labels(answers, whole=are_whole(answers))
    return Dataset(str(path), texts, targets, (column,), target, file.fingerprint())


def text_column(file: CsvFile, target: str, text: str | None) -> str:
    """Returns the column of the texts."""
    file.columns([target])
    if text is not None:
        return file.columns([text])[0]
    others = file.others(target)
    if len(others) > 1:
        raise UsageError(f"name the column of the texts (features), one of {', '.join(others)}")
    return others[0]


def rating_columns(file: CsvFile, target: str, features: Sequence[str] | None) -> tuple[str, str]:
    """Returns the columns of users and items."""
    file.columns([target])
    chosen = file.columns(features) if features else file.others(target)[:2]
    if len(chosen) != 2:  # noqa: PLR2004  (a user and an item)
        raise UsageError(f"ratings need two columns besides {target!r}, users and items, got {len(chosen)}")
    return chosen[0], chosen[1]


def load_ratings(
    path: str | os.PathLike[str],
    target: str,
    *,
    features: Sequence[str] | None = None,
    encoding: str | None = None,
) -> Ratings:
    """Reads a whole CSV file of ratings, one per line, into a sparse matrix; the last of repeated ratings counts.

    Args:
        path: the path of a file with column names in its first line.
        target: the column of the ratings.
        features: the columns of users and items; by default the first two besides the target.
        encoding: the text encoding; see `load_csv`.

    Raises:
        UsageError: the file is not a table of ratings.
    """
    file = CsvFile(path, encoding=encoding)
    user, item = rating_columns(file, target, features)
    who, what, how = [], [], []
    for chunk in file.chunks():
        who += chunk.labels(user)
        what += chunk.labels(item)
        how.append(chunk.numbers([target])[:, 0])
    if not who:
        raise UsageError(f"{file.path} has no rows, only the names of its columns")
    users, rows = np.unique(read_labels(who, whole=are_whole(who)), return_inverse=True)
    items, columns = np.unique(read_labels(what, whole=are_whole(what)), return_inverse=True)
    return Ratings(sparse_matrix(rows, columns, np.concatenate(how), (len(users), len(items))), users, items)


def sparse_matrix(rows: Any, columns: Any, values: Floats, shape: tuple[int, int]) -> Any:
    """Returns a CSR matrix of ratings; the last of several for one pair counts."""
    from scipy import sparse  # noqa: PLC0415  (comes with scikit-learn, an extra)

    pairs = np.asarray(rows) * shape[1] + np.asarray(columns)
    _, last = np.unique(pairs[::-1], return_index=True)
    kept = len(pairs) - 1 - last
    return sparse.csr_array((values[kept], (np.asarray(rows)[kept], np.asarray(columns)[kept])), shape=shape)


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

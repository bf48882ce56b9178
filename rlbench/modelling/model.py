"""A model in use: a fitted estimator with its data and metrics."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.modelling.data import column_name
from rlbench.modelling.hashing import Withheld, fraction, given_pseudonyms, is_pseudonym
from rlbench.modelling.kinds import COMPONENTS, KINDS, RATINGS, TEXTS
from rlbench.texts import comparable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

TABLE_AXES = 2  # dimensions of an array of rows
SHOWN_FEATURES = 8  # names in an error


@contextmanager
def explained() -> Iterator[None]:
    """Turns errors from NumPy's and scikit-learn's checks into a UsageError with the same message, in one line."""
    try:
        yield
    except UsageError:
        raise
    except (ValueError, TypeError) as error:
        raise UsageError(" ".join(str(error).split())) from error


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted estimator with a record of its data and metrics.

    Attributes:
        kind: the name of its kind in `KINDS`.
        estimator: one of `rlbench.models`, fitted.
        scaler: scikit-learn's StandardScaler for its columns; None if they are not scaled.
        about: JSON-able: "settings", "seed", "data" (source, fingerprint, target, features, rows, and how they were
            split and read), "metrics" ("train" and "test") and "seconds".
        users, items: the names of the rows and columns of a recommender's ratings; empty for other kinds.
        reference: a sample of the rows it learnt from, (at most 2,000, n_features), unscaled, with which later rows are
            compared; empty for texts, ratings and models stored before there was one.
        id: 12 hexadecimal digits if the model is stored, else "".
        name, version: those of its entry in the store.
        created_at: the time it was stored, in ISO 8601.
    """

    kind: str
    estimator: Any
    scaler: Any
    about: dict[str, Any]
    users: NDArray[Any] = field(default_factory=lambda: np.empty(0, np.int64))
    items: NDArray[Any] = field(default_factory=lambda: np.empty(0, np.int64))
    reference: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    id: str = ""
    name: str = ""
    version: int = 0
    created_at: str = ""

    def __repr__(self) -> str:
        title = f"{self.name}@{self.version}: " if self.name else ""
        return f"Model({title}{self.estimator!r} on {self.about['data']['source']})"

    @property
    def task(self) -> str:
        """What it learns from: "classes", "numbers", "groups", "components", "texts" or "ratings"."""
        return KINDS[self.kind].task

    @property
    def features(self) -> tuple[str, ...]:
        """The columns it takes, in order."""
        return tuple(self.about["data"]["features"])

    @property
    def hashes(self) -> dict[str, str]:
        """The columns of which it knows hashes alone, and the id of the key of each."""
        return dict(self.about["data"].get("hashed", {}))

    def hashed(self, feature: str, value: Any) -> Any:
        """Returns what a model learnt in place of a value: of a hashed column its hash, of others the value itself.

        Args:
            feature: the name of the column.
            value: a text, or its pseudonym or the number of that, which stay as they are.

        Raises:
            UsageError: the key is missing or another, or the value is a number that cannot be a hash.
        """
        if feature not in self.hashes:
            return value
        if isinstance(value, float) and 0 <= value < 1:
            return value
        if not isinstance(value, str) and self.task != RATINGS:
            raise UsageError(f"the model knows the column {feature!r} by hashes: give a text, got {value!r:.80}")
        text = str(value).strip()
        pseudonym = text if is_pseudonym(text) else given_pseudonyms(self.hashes[feature]).of(text)
        return pseudonym if self.task == RATINGS else fraction(pseudonym)

    def predict(self, rows: Any) -> NDArray[Any]:
        """Returns the prediction for each row: a label, a number or a cluster; for a PCA, its components.

        Args:
            rows: (n_rows, n_features) in the order of `features`, or texts; for a recommender, (n_rows, 2): user and
                item, by their names in the data. Of a data frame, or a row of one, the columns named in `features` are
                taken, in any order, and others ignored; one whose columns are numbered from 0 is an array.

        Raises:
            UsageError: a column is missing, the number of columns is wrong, or a value is not a finite number.
        """
        with explained():
            if self.task == RATINGS:
                return self._expected(self._columns(rows))
            if self.task == TEXTS:
                return np.asarray(self.estimator.predict(self._columns(rows)))
            prepared = self.prepared(rows)
            answers = self.estimator.transform if self.task == COMPONENTS else self.estimator.predict
            return np.asarray(answers(prepared))

    def prepared(self, rows: Any) -> NDArray[np.float64]:
        """Returns rows as the estimator takes them: a data frame's columns by name, scaled like the training rows."""
        with explained():
            checked = np.atleast_2d(np.asarray(self._columns(rows), dtype=np.float64))
        if checked.ndim != TABLE_AXES or checked.shape[1] != len(self.features):
            named = ", ".join(self.features[:SHOWN_FEATURES]) + (", ..." if len(self.features) > SHOWN_FEATURES else "")
            raise UsageError(f"a row has {len(self.features)} values ({named}), got {checked.shape[-1]}")
        return checked if self.scaler is None else np.asarray(self.scaler.transform(checked))

    def knows(self, user: Any) -> bool:
        """Returns whether a recommender has ratings of this user, named as in the data."""
        return bool(self._place_of(user) >= 0)

    def recommend(self, user: Any, n: int = 10) -> NDArray[Any]:
        """Returns the names of the n items a user should like most; an unknown user gets the overall favourites."""
        if self.task != RATINGS:
            raise UsageError(f"only a recommender can recommend, and this model is of kind {self.kind}: use predict")
        at = self._place_of(user)
        return np.asarray(self.items[self.estimator.recommend(None if at < 0 else int(at), n)])

    def _place_of(self, user: Any) -> int:
        return int(_places(self.users, [self.hashed(self.features[0], user)])[0])

    def _columns(self, rows: Any) -> Any:
        """Returns the columns that the model takes, or its only one, with hashes where it knows no more."""
        found = self._plain_columns(rows)
        if not set(self.hashes).intersection(self.features):
            return found
        return [
            [self.hashed(*pair) for pair in zip(self.features, row, strict=True)]
            for row in (found.tolist() if hasattr(found, "tolist") else found)
        ]

    def _plain_columns(self, rows: Any) -> Any:
        """Returns the columns of a data frame that the model takes, or its only one; anything else as it is."""
        if hasattr(rows, "to_frame") and hasattr(rows, "index") and self.task != TEXTS:
            rows = rows.to_frame().T  # one row of a frame
        if not hasattr(rows, "columns"):
            return rows
        found = list(rows.columns)
        if found != list(range(len(self.features))):
            names = [column_name(str(name)) for name in found]
            found = [found[_only_place(names, feature)] for feature in self.features]
        columns = [np.asarray(rows[name]) for name in found]
        return columns[0].tolist() if self.task == TEXTS else np.stack(columns, axis=1)

    def _expected(self, pairs: Any) -> NDArray[np.float64]:
        found = [tuple(pair) for pair in pairs]
        wrong = next((pair for pair in found if len(pair) != 2), None)  # noqa: PLR2004
        if wrong is not None:
            raise UsageError(f"a recommender predicts for pairs of {' and '.join(self.features)}, got {wrong!r:.80}")
        who, what = [user for user, _ in found], [item for _, item in found]
        users, items = _places(self.users, who), _places(self.items, what)
        if (items < 0).any():
            raise UsageError(
                f"an item must be one of the {len(self.items):,} in the data, got {what[int(items.argmin())]!r}"
            )
        users[users < 0] = len(self.users)  # unknown users
        return np.asarray(self.estimator.predict_pairs(users, items))


def withheld_of(model: Model, columns: Iterable[str]) -> Withheld:
    """Returns which of these columns of a file must be hashed for a model; UsageError without their key."""
    hashed = tuple(name for name in columns if name in model.hashes)
    known = [given_pseudonyms(key_id) for key_id in sorted({model.hashes[name] for name in hashed})]
    return Withheld(hashed=hashed, pseudonyms=known[0] if known else None)


def _only_place(names: list[str], feature: str) -> int:
    """Returns the place of a feature among the names of a data frame's columns."""
    n = names.count(column_name(feature))
    if n != 1:
        shown = ", ".join(names[:SHOWN_FEATURES]) + (", ..." if len(names) > SHOWN_FEATURES else "")
        raise UsageError(f"the data frame must have one column {feature!r}, got {n} among {shown}")
    return names.index(column_name(feature))


def _places(names: NDArray[Any], wanted: Sequence[Any]) -> NDArray[np.int64]:
    """Returns the index of each name, -1 for unknown ones."""
    known = {comparable(str(name)): at for at, name in enumerate(names.tolist())}
    return np.array([known.get(comparable(str(name)), -1) for name in wanted], dtype=np.int64)

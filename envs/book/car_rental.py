"""Jack's car rental of chapter 4."""

from __future__ import annotations

from functools import lru_cache
from math import exp, factorial
from typing import TYPE_CHECKING

import numpy as np

from rlbench.checks import flag, whole_number
from rlbench.envs.book.base import TableEnv
from rlbench.envs.book.board import AMBER, BLUE, INK, SHADE, SOFT, TILE
from rlbench.envs.tabular import TabularModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.envs._sprites import Pen

    Array = NDArray[np.float64]

REQUESTS, RETURNS = (3, 4), (3, 2)  # means a day, at the two locations
RENT, FARE, PARKING = 10.0, 2.0, 4.0  # dollars: per car rented, per car moved, per full lot a night
MOST_MOVED, FREE_LOT = 5, 10  # cars
MOVES = range(-MOST_MOVED, MOST_MOVED + 1)


class CarRentalEnv(TableEnv):
    """Two locations rent cars out and take them back; overnight, cars are moved between them.

    ## Source
    Sutton and Barto (2018), Example 4.2 (figure 4.2) and Exercise 4.7: `exercise=True`.

    ## States
    `Discrete((max_cars + 1) ** 2)`: `first * (max_cars + 1) + second`, the cars at the two locations in the evening.

    ## Actions
    `Discrete(11)`: action a, called by the number of cars, moves a - 5 of them overnight from the first location to the
    second; one below 5 moves 5 - a cars the other way. Allowed are moves of cars that are there. By day cars are
    rented, as many as are asked for and there, and later others come back; requests and returns are Poisson with the
    means 3 and 3 at the first location, 4 and 2 at the second. Cars beyond `max_cars` leave.

    ## Rewards
    The expected income of the day, $10 for each car that is rented, less $2 for each that is moved. A draw of the
    income would change no value and no policy, and make the table 40 times as large. In Exercise 4.7 the first car from
    the first location to the second moves free, and each location that keeps more than 10 cars overnight pays $4.

    ## Start
    Uniform over the states.

    ## End
    It goes on until it is truncated, after 100 days. The book discounts with 0.9.

    ## Arguments
    - `max_cars`: the most cars at a location.
    - `exercise`: whether the rules of Exercise 4.7 hold.

    ## Example
        >>> import rlbench
        >>> plan = rlbench.plan("rlbench/CarRental-v0", gamma=0.9)
        >>> (plan.policy.reshape(21, 21)[[0, 20], [20, 0]] - 5).tolist()  # cars moved, when all are at one location
        [-4, 5]
    """

    action_names = tuple(map(str, MOVES))

    def __init__(self, max_cars: int = 20, *, exercise: bool = False, render_mode: str | None = None) -> None:
        self.max_cars = whole_number("max_cars", max_cars)
        super().__init__(_model(self.max_cars, flag("exercise", exercise)), LotsView(self.max_cars), render_mode)


@lru_cache(maxsize=2)
def _model(most: int, exercise: bool) -> TabularModel:  # noqa: FBT001
    """Builds the table: a move leads to a morning, and a morning to every evening."""
    first, second, moved = np.meshgrid(range(most + 1), range(most + 1), MOVES, indexing="ij")
    allowed = (moved <= first) & (-moved <= second)
    mornings = [np.clip(cars, 0, most) for cars in (first - moved, second + moved)]
    evenings, incomes = zip(*(_day(most, *means) for means in zip(REQUESTS, RETURNS, strict=True)), strict=True)
    cost = FARE * np.abs(moved)
    if exercise:
        cost -= FARE * (moved > 0)
        cost += PARKING * sum((cars > FREE_LOT).astype(float) for cars in mornings)
    reward = incomes[0][mornings[0]] + incomes[1][mornings[1]] - cost
    chances = [evening[cars[allowed]] for evening, cars in zip(evenings, mornings, strict=True)]
    n_states = (most + 1) ** 2
    counts = np.where(allowed, n_states, 1).reshape(-1)
    ends = np.cumsum(counts)
    follows = np.repeat(allowed.reshape(-1), counts)
    probability, successor = np.ones(ends[-1]), np.repeat(np.repeat(np.arange(n_states), len(MOVES)), counts)
    probability[follows] = np.einsum("pi,pj->pij", *chances).reshape(-1)
    successor[follows] = np.tile(np.arange(n_states), int(allowed.sum()))
    return TabularModel(
        n_states=n_states,
        n_actions=len(MOVES),
        offsets=np.concatenate([[0], ends]),
        probability=probability,
        successor=successor.astype(np.int32),
        reward=np.repeat(np.where(allowed, reward, 0.0).reshape(-1), counts),
        terminated=np.zeros(ends[-1], bool),
        initial=np.full(n_states, 1 / n_states),
        allowed=allowed.reshape(n_states, len(MOVES)),
    )


def _day(most: int, requests: float, returns: float) -> tuple[Array, Array]:
    """Returns what a day brings to one location, by its cars in the morning.

    Returns:
        The probability of each number of cars in the evening (most + 1, most + 1), and the expected income (most + 1,).
    """
    evening, income = np.zeros((most + 1, most + 1)), np.zeros(most + 1)
    for cars in range(most + 1):
        for rented, p in enumerate(_at_most(cars, requests)):
            income[cars] += p * RENT * rented
            room = most - cars + rented
            evening[cars, most - room :] += p * _at_most(room, returns)
    return evening, income


def _at_most(limit: int, mean: float) -> Array:
    """Returns the probabilities of 0 .. limit, if a Poisson draw beyond the limit counts as the limit."""
    exact = np.array([exp(-mean) * mean**k / factorial(k) for k in range(limit)])
    return np.append(exact, 1 - exact.sum())


class LotsView:
    """The two locations, each with a place for every car."""

    def __init__(self, max_cars: int) -> None:
        self.max_cars = max_cars
        self.cols = min(max_cars, 5)
        self.rows = -(-max_cars // self.cols)
        self.size = (2.0 * self.cols + 1, self.rows + 1.0)

    def ground(self, pen: Pen) -> None:
        """Paints the places."""
        pen.rect(TILE, 0, 0, *self.size)
        for lot in range(2):
            for car in range(self.max_cars):
                x, y = self._place(lot, car)
                pen.rect(SHADE, x + 0.06, y + 0.06, 0.88, 0.88, 0.1)

    def paint(self, pen: Pen, state: int) -> None:
        """Paints the cars, and how many they are."""
        for lot, (cars, color) in enumerate(zip(divmod(state, self.max_cars + 1), (BLUE, AMBER), strict=True)):
            pen.text(_counted(cars), INK, lot * (self.cols + 1) + self.cols / 2, 0.5, 0.5)
            for car in range(cars):
                _paint_car(pen, *self._place(lot, car), color)

    def _place(self, lot: int, car: int) -> tuple[float, float]:
        row, col = divmod(car, self.cols)
        return lot * (self.cols + 1) + col, row + 1

    def text(self, state: int) -> str:
        """Returns the state in words."""
        first, second = divmod(state, self.max_cars + 1)
        return f"{_counted(first)} at the first location, {second} at the second"


def _counted(cars: int) -> str:
    return "1 car" if cars == 1 else f"{cars} cars"


def _paint_car(pen: Pen, x: float, y: float, color: tuple[int, ...]) -> None:
    for wheel in (0.3, 0.7):
        pen.disc(INK, x + wheel, y + 0.66, 0.1)
    pen.rect(color, x + 0.28, y + 0.28, 0.42, 0.3, 0.1)
    pen.rect(SOFT[color], x + 0.34, y + 0.33, 0.3, 0.14, 0.04)
    pen.rect(color, x + 0.14, y + 0.44, 0.72, 0.22, 0.08)

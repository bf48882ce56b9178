"""Models to plan in: random ones, and those of the book's chapters 3 and 4."""

import numpy as np

from rlbench.envs.tabular import TabularModel

MOVES = [(-1, 0), (0, 1), (1, 0), (0, -1)]  # north, east, south, west


def random_model(seed, n_states=6, n_actions=3, *, limit=None, ends=True, some_barred=False):
    """Each action has up to three outcomes, with rewards from -5 to 5."""
    rng = np.random.default_rng(seed)

    def outcomes():
        shares = rng.dirichlet(np.ones(rng.integers(1, 4)))
        return [(p, int(rng.integers(n_states)), rng.uniform(-5, 5), ends and rng.random() < 0.2) for p in shares]

    table = [[outcomes() for _ in range(n_actions)] for _ in range(n_states)]
    allowed = None
    if some_barred:
        allowed = rng.random((n_states, n_actions)) < 0.6
        allowed[:, 0] |= ~allowed.any(axis=1)
    return TabularModel.from_table(table, rng.dirichlet(np.ones(n_states)), step_limit=limit, allowed=allowed)


def _grid_4_1():
    table = [[[(1.0, s, 0.0, True)]] * 4 for s in range(16)]
    for s in range(1, 15):
        row, column = divmod(s, 4)
        for a, (down, right) in enumerate(MOVES):
            there = 4 * min(max(row + down, 0), 3) + min(max(column + right, 0), 3)
            table[s] = [*table[s][:a], [(1.0, there, -1.0, there in (0, 15))], *table[s][a + 1 :]]
    return TabularModel.from_table(table, np.eye(16)[1:15].mean(axis=0))


def _prizes_3_5():
    prizes = {1: (21, 10.0), 3: (13, 5.0)}  # A and B
    table = []
    for s in range(25):
        row, column = divmod(s, 5)
        moves = [(row + down, column + right) for down, right in MOVES]
        inside = [0 <= r < 5 and 0 <= c < 5 for r, c in moves]
        steps = [(5 * r + c, 0.0) if fits else (s, -1.0) for (r, c), fits in zip(moves, inside, strict=True)]
        table.append([[(1.0, *prizes.get(s, step), False)] for step in steps])
    return TabularModel.from_table(table, np.full(25, 1 / 25))


GRID_4_1 = _grid_4_1()
PRIZES_3_5 = _prizes_3_5()

"""The access-control queue of chapter 10."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np

from rlbench.checks import finite, whole_number
from rlbench.envs.book.base import TableEnv
from rlbench.envs.book.board import AMBER, GREEN, INK, PALE, SHADE, SOFT, TILE, paint_person
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from rlbench.envs._sprites import Pen
    from rlbench.envs.tabular import Outcome

PRIORITIES = (1, 2, 4, 8)
REJECT, ACCEPT = range(2)


class AccessControlEnv(TableEnv):
    """Customers of four priorities queue for servers; each is accepted, and pays its priority, or turned away.

    ## Source
    Sutton and Barto (2018), Example 10.2 (figure 10.5).

    ## States
    `Discrete(4 * (servers + 1))`: `priority * (servers + 1) + free`, where priority 0 to 3 stands for the payment of 1,
    2, 4 or 8 of the customer at the head of the queue, and free is the number of free servers.

    ## Actions
    `Discrete(2)`: 0 reject, 1 accept; with no free server only rejecting is allowed. Then each busy server becomes free
    with the probability `p_free`, and the next customer, of any priority, comes to the head of the queue.

    ## Rewards
    The payment of a customer who is accepted, else 0. It is the average over the steps that counts.

    ## Start
    All servers are free, and the customer is of any priority.

    ## End
    It goes on until it is truncated, after 10,000 steps.

    ## Arguments
    - `servers`: their number.
    - `p_free`: the probability that a busy server becomes free.

    ## Example
        >>> import rlbench
        >>> plan = rlbench.plan("rlbench/AccessControl-v0", gamma=0.99)
        >>> plan.policy.reshape(4, 11)[[0, 3]].tolist()  # of the lowest and of the highest priority
        [[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1], [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]
    """

    action_names = ("Reject", "Accept")

    def __init__(self, servers: int = 10, *, p_free: float = 0.06, render_mode: str | None = None) -> None:
        self.servers, p_free = whole_number("servers", servers), finite("p_free", p_free)
        if not 0 <= p_free <= 1:
            raise UsageError(f"p_free must be a probability, from 0 to 1, got {p_free}")
        table = [
            [self._outcomes(priority, free, action, p_free) for action in (REJECT, ACCEPT)]
            for priority in range(len(PRIORITIES))
            for free in range(self.servers + 1)
        ]
        initial = np.zeros((len(PRIORITIES), self.servers + 1))
        initial[:, -1] = 1 / len(PRIORITIES)
        allowed = np.ones((len(table), 2), bool)
        allowed[:: self.servers + 1, ACCEPT] = False
        model = TabularModel.from_table(table, initial.reshape(-1), allowed=allowed)
        super().__init__(model, QueueView(self.servers), render_mode)

    def _outcomes(self, priority: int, free: int, action: int, p_free: float) -> list[Outcome]:
        if action == ACCEPT and not free:
            return [(1.0, self.state(priority, free), 0.0, False)]
        left, busy = free - action, self.servers - free + action
        return [
            (p / len(PRIORITIES), self.state(next_one, left + done), float(PRIORITIES[priority] * action), False)
            for done in range(busy + 1)
            for p in [comb(busy, done) * p_free**done * (1 - p_free) ** (busy - done)]
            for next_one in range(len(PRIORITIES))
        ]

    def state(self, priority: int, free: int) -> int:
        """Returns the number of a state."""
        return priority * (self.servers + 1) + free


class QueueView:
    """The servers in a row, free or busy, and the customer in front of them."""

    def __init__(self, servers: int) -> None:
        self.servers = servers
        self.size = (max(servers, 5) + 1.0, 3.0)

    def ground(self, pen: Pen) -> None:
        """Paints the room."""
        pen.rect(TILE, 0, 0, *self.size)
        pen.rect(SHADE, 0, 1.4, self.size[0], 0.06)

    def paint(self, pen: Pen, state: int) -> None:
        """Paints the servers and the customer."""
        priority, free = divmod(state, self.servers + 1)
        left = (self.size[0] - self.servers) / 2
        for server in range(self.servers):
            is_busy = server >= free
            pen.rect(SHADE if is_busy else SOFT[GREEN], left + server + 0.1, 0.3, 0.8, 0.8, 0.12)
            if is_busy:
                paint_person(pen, left + server + 0.5, 0.72, 0.8, PALE)
        paint_person(pen, self.size[0] / 2 - 0.6, 2.2, 1.2, AMBER)
        pen.text(f"pays {PRIORITIES[priority]}", INK, self.size[0] / 2 + 0.6, 2.2, 0.5)

    def text(self, state: int) -> str:
        """Returns the state in words."""
        priority, free = divmod(state, self.servers + 1)
        return f"a customer who pays {PRIORITIES[priority]}; {free} of {self.servers} servers are free"

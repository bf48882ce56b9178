"""The table that the steps of a run follow from, where its env has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.envs.tabular import read_model
from rlbench.store.walks import table_of

if TYPE_CHECKING:
    import gymnasium as gym

    from rlbench.store.walks import Table


def known_table(env: gym.Env[Any, Any]) -> Table | None:
    """Returns the table of an env; None without one.

    Whether the env follows it is for others to see: each chunk of steps is compared with the table.
    """
    try:
        model = read_model(env)
        return table_of(model.n_actions, model.offsets, model.successor, model.reward, model.terminated)
    except Exception:  # noqa: BLE001  (whatever a foreign env raises: then its steps are stored as they are)
        return None

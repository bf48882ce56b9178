"""Records a policy of one's own in CartPole as Gymnasium gives it: four floats a step.

python scripts/record.py
"""

from typing import Any

import rlbench


def lean(observation: Any) -> int:
    """Pushes to the side to which the pole leans."""
    return int(observation[2] > 0)


with rlbench.open_store("rlbench.db") as store:
    run = rlbench.record("CartPole-v1", lean, episodes=200, store=store)
    print(run, f"mean return {run.returns.mean():.1f}")
    print(store.episodes(run)[0].observations[:3])

"""Lets a random agent drive a taxi: what learning has to beat.

python scripts/random_agent.py
"""

import rlbench

run = rlbench.train("safecab", "random", episodes=2000, seed=0)
print(run)
print(f"mean return {run.returns.mean():.1f}; the best policy's is {rlbench.plan('safecab').optimal_return:.1f}")

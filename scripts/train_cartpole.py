"""Trains Q-learning on CartPole with binned observations, and counts how often it balances from fresh starts.

python scripts/train_cartpole.py
"""

import rlbench

run = rlbench.train("cartpole", seed=0, store="rlbench.db", progress=True)
print(run)

evaluation = rlbench.evaluate(run, episodes=1000, seed=1)
print(f"{(evaluation.returns == 500).sum()} of 1000 episodes last all 500 steps")  # noqa: PLR2004

# the same by hand: any agent steps any Gymnasium env
env = run.make_env()
observation, _ = env.reset(seed=2)
total, ended = 0.0, False
while not ended:
    observation, reward, terminated, truncated, _ = env.step(run.agent.act(observation, explore=False))
    total, ended = total + reward, terminated or truncated
print(f"one more by hand: {total:.0f}")

"""Trains Q-learning on SafeCab, evaluates it exactly, and lets it drive: the Python side of `rlbench train safecab`.

python scripts/train_safecab.py
"""

import rlbench

run = rlbench.train("safecab", agent="q-learning", seed=0, store="rlbench.db", progress=True)
print(run)

evaluation = rlbench.evaluate(run, episodes=100, seed=0)
print(f"mean return {evaluation.mean_return:.2f}, best possible {evaluation.optimal_return:.2f}")
print(f"regret {evaluation.regret}, optimal in {evaluation.optimal_states} of {evaluation.reachable_states} states")

env = run.make_env(render_mode="ansi")
observation, _ = env.reset(seed=1)
ended = False
while not ended:
    action, _ = run.agent.predict(observation, deterministic=True)
    observation, reward, terminated, truncated, _ = env.step(action)
    ended = terminated or truncated
    print(env.render())

"""Tuning on SafeCab the RL-Zoo's way and ours, at the same number of steps of the env: what holds on other seeds.

    python benchmarks/tuning.py [--samplers 10] [--trials 500] [--json]

Both search what the Zoo searches for its DQN, as far as Q-learning has it too: the step size (1e-5 to 1, log), the
discount (seven values), the final epsilon (0 to 0.2) and the fraction of the steps (0.001 to 0.5) in which a linear
decay reaches it. A run takes 100,000 steps. The *Zoo's way* is what `rl_zoo3` does by default, its pruner off: 500
trials by a multivariate TPE, the first 10 at random, each trained once, with a seed of its own, and worth the mean
return of 5 greedy episodes; of 20 in the second column. Their steps count, too. *Ours* is `rlbench.tune` by default:
TPE, rounds of 8, each trial worth the mean exact regret of the seeds 0 to 7, and as many trials as the steps of the
first column allow. What each finds is trained with 20 other seeds; its figure is their mean exact regret. Each line has
a seed of the samplers of its own. The last figures are in benchmarks/tuning.md.
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing

import numpy as np
import optuna

import rlbench
from rlbench.envs import TabularModel
from rlbench.envs.making import make_env
from rlbench.intervals import mean_interval
from rlbench.planning import score_policy, solve
from rlbench.training.playing import play
from rlbench.training.running import Trainer

STEPS = 100_000  # of a run
EPISODES = (5, 20)  # of the Zoo's evaluation: its default, and a patient user's
SEEDS, HELD_OUT = range(8), range(100, 120)
GAMMAS = [0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999]
LINEAR = {"agents": {"q-learning": {"exploration_schedule": "linear", "exploration_fraction": 0.1}}}
BAR = 0.5  # ours / the Zoo's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", type=int, default=10, help="how many seeds of the samplers")
    parser.add_argument("--trials", type=int, default=500, help="of the Zoo's way")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = [_row(seed, arguments.trials) for seed in range(arguments.samplers)]
    print(json.dumps(rows) if arguments.json else _table(rows))


def _row(seed, trials):
    """Returns the figures of each way, and the steps that it took, for a seed of the samplers."""
    ways = [_zoo(seed, trials, episodes) for episodes in EPISODES]
    ways.append(_ours(seed, most=ways[0][1]))
    return {"regret": [regret for regret, _ in ways], "steps": [steps for _, steps in ways]}


def _zoo(seed, trials, episodes):
    """Returns the regret on the other seeds of what the Zoo's way finds, and the steps that it took."""
    rng, steps = np.random.default_rng(seed), 0
    sampler = optuna.samplers.TPESampler(n_startup_trials=10, multivariate=True, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    with closing(Trainer()) as trainer, closing(make_env("safecab")) as env, rlbench.open_store("memory://") as store:
        for _ in range(trials):
            trial = study.ask(_space())
            run = _trained(trainer, store, trial.params, int(rng.integers(2**31)))
            played = play(env, run.agent, episodes, int(rng.integers(2**31)))
            steps += run.timesteps + int(played.lengths.sum())
            study.tell(trial, played.returns.mean())
        return _regret(trainer, store, study.best_params), steps


def _space():
    return {
        "learning_rate": optuna.distributions.FloatDistribution(1e-5, 1, log=True),
        "gamma": optuna.distributions.CategoricalDistribution(GAMMAS),
        "exploration_final_eps": optuna.distributions.FloatDistribution(0, 0.2),
        "exploration_fraction": optuna.distributions.FloatDistribution(0.001, 0.5),
    }


def _trained(trainer, store, parameters, seed):
    return trainer.train(
        env="safecab",
        total_timesteps=STEPS,
        preset=LINEAR,
        agent_kwargs=parameters,
        record="none",
        seed=seed,
        store=store,
    )


def _regret(trainer, store, parameters):
    runs = [_trained(trainer, store, parameters, seed) for seed in HELD_OUT]
    model = TabularModel.from_env(runs[0].make_env())
    optimum = solve(model)
    return float(np.mean([score_policy(model, run.agent.greedy_policy(), optimum).regret for run in runs]))


def _ours(seed, most):
    """Returns the same of ours, which takes no more steps than `most`."""
    study = rlbench.tune(
        "safecab",
        search={
            "learning_rate": "1e-5..1:log",
            "gamma": GAMMAS,
            "exploration_final_eps": "0.0..0.2",
            "exploration_fraction": "0.001..0.5",
        },
        trials=most // (len(SEEDS) * (STEPS + 100)),  # a run ends with the episode that reaches its steps
        seeds=SEEDS,
        test_seeds=HELD_OUT,
        seed=seed,
        total_timesteps=STEPS,
        preset=LINEAR,
        objective="regret",
    )
    with study.store:
        steps = sum(run.timesteps for run in study.runs() if run.seed in SEEDS)
    if steps > most:
        raise SystemExit(f"ours took {steps:,} steps, more than {most:,}")
    return float(study.test.scores[0]), steps


def _table(rows):
    regrets = np.array([row["regret"] for row in rows])
    names = [*(f"the Zoo's way, {episodes} episodes" for episodes in EPISODES), "ours"]
    lines = ["| seed of the samplers | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    lines += [f"| {seed} | " + " | ".join(f"{one:.3f}" for one in row) + " |" for seed, row in enumerate(regrets)]
    lines.append("| **mean** | " + " | ".join(f"**{one:.3f}**" for one in regrets.mean(axis=0)) + " |")
    intervals = ["{:.3f} to {:.3f}".format(*mean_interval(column, 0)) for column in regrets.T]
    lines.append("| 95 % bootstrap interval | " + " | ".join(intervals) + " |")
    lines.append("| median | " + " | ".join(f"{one:.3f}" for one in np.median(regrets, axis=0)) + " |")
    steps = np.mean([row["steps"] for row in rows], axis=0) / 1e6
    lines.append("| steps, millions | " + " | ".join(f"{one:.2f}" for one in steps) + " |")
    ratios = [regrets[:, -1].mean() / one for one in regrets[:, :-1].mean(axis=0)]
    told = [f"{one:.3f}, {'met' if one <= BAR else 'MISSED'}" for one in ratios]
    lines.append(f"| ours / the Zoo's, at most {BAR:g} | " + " | ".join([*told, ""]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

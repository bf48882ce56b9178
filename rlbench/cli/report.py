"""The wording of results, the same wherever they are printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlbench.evaluation import Evaluation

RATES = ((1e6, " M"), (1e3, " k"))


def evaluation_lines(evaluation: Evaluation) -> list[str]:
    """Returns an evaluation in two lines: what was sampled, and the exact value or why there is none."""
    low, high = evaluation.interval
    success = "" if evaluation.success_rate is None else f", success {evaluation.success_rate:.0%}"
    cut_off = f", {evaluation.unfinished} cut off: the policy loops" if evaluation.unfinished else ""
    lines = [
        f"  greedy    mean return {evaluation.mean_return:.2f} (95% interval {low:.2f} to {high:.2f}) "
        f"over {len(evaluation.returns)} episodes{success}{cut_off}"
    ]
    if evaluation.regret is not None:
        optimal = "" if evaluation.optimal_states is None else f"; optimal in {evaluation.optimal_share}"
        lines.append(
            f"  exact     {evaluation.exact_return:.4f} of {evaluation.optimal_return:.4f} possible, "
            f"regret {evaluation.regret:.4g}{optimal}"
        )
    if evaluation.inexact is not None:
        lines.append(f"  exact     unknown: {evaluation.inexact}")
    return lines


def behaving_lines(evaluation: Evaluation) -> list[str]:
    """Returns what the policy is worth as it behaves in training, in one line; none if that is unknown."""
    if evaluation.behaving_return is None:
        return []
    told = (
        f"{evaluation.behaving_return:.4f} expected while it explores, at a rate of {evaluation.exploration_rate:.3g}"
    )
    return [f"  behaving  {told}"]


def rate(steps: int, seconds: float) -> str:
    """Returns steps per second in about three digits: "13.1 M steps/s"."""
    per_second = steps / max(seconds, 1e-9)
    size, unit = next(((size, unit) for size, unit in RATES if per_second >= size), (1.0, ""))
    return f"{per_second / size:.1f}{unit} steps/s"

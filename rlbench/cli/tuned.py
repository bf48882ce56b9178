"""What a tuning adds to a study in print: the test of its best trial, and the command that makes it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.cli.output import say
from rlbench.lazy import LazyModule

if TYPE_CHECKING:
    from rlbench import studies as room
    from rlbench.studies import Study, Tuning, again
else:  # NumPy and Gymnasium only when a command runs
    room, again = LazyModule("rlbench.studies"), LazyModule("rlbench.studies.again")


def tuning_document(study: Tuning) -> dict[str, Any]:
    """Returns the best trial, its test and the command that makes the tuning again, as JSON."""
    best, test = study.best, study.test
    scores = [None, None] if test is None else test.scores.tolist()
    return {
        "best": {"parameters": best.parameters, "value": best.value} if study.asked else None,
        "prune": study.settings.prune or None,
        "pruned": study.pruned_trials,
        "effort": study.effort,
        "test": {"seeds": len(study.settings.test_seeds), "value": scores[0], "default_value": scores[1]},
        "command": again.command_of(study.settings, study.name) or None,
    }


def pruned_of(study: Study) -> str:
    """Returns what to add to the number of runs of a study: how many trials were given up, if they may be."""
    if not isinstance(study, room.Tuning) or not study.settings.prune:
        return ""
    trials = f"{study.pruned_trials:,} of {study.asked:,} trials pruned"
    return f", {trials}: {100 * study.effort:.0f} % of their training"


def print_test(study: Tuning) -> None:
    """Prints what the best trial is worth on the test seeds, and the command that makes the tuning again."""
    if study.test is not None:
        value, usual = (f"{score:.4g}" for score in study.test.scores)
        seeds = again.write_seeds(study.settings.test_seeds)
        preset = study.settings.tuned.name
        of_preset = f"the preset {preset}" if preset != "default" else "the default"
        say(f"  test      {study.settings.objective} {value} on the seeds {seeds}, where {of_preset} has {usual}")
    command = again.command_of(study.settings, study.name)
    if command:
        say(f"  again     {command}")

"""What both loops write and when they stop: tuples of counts and arrays that machine code takes as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Counts(NamedTuple):
    """Where the loop is: the agent's absolute counters, and the unfinished episode."""

    episodes: int
    timesteps: int
    episode_length: int  # steps taken of the unfinished episode; -1: the next step needs a reset
    episode_return: float
    episode_epsilon: float
    explored: int
    first: int  # the state in which the unfinished episode began


class Limits(NamedTuple):
    """When the loop stops or cuts an episode."""

    episode_steps: int  # after which an episode ends
    truncates: bool  # that is the env's own step limit; else the episode is cut off
    chunk_steps: int  # what the tape holds, or how many to take before someone looks at the clock
    reserve: int  # no episode begins with fewer steps left than this, so that few are split between chunks
    episodes: int  # stop at this many episodes, counted from the agent's first
    timesteps: int  # stop at the end of the episode that reaches this


class Packed(NamedTuple):
    """Actions as a store keeps them of steps that follow from a table; see `rlbench.store._walking`."""

    usual: NDArray[np.unsignedinteger[Any]]  # (states,): what each saw when it last did not explore
    repeats: NDArray[np.bool_]  # (steps,), of which those that did not explore have a row
    changes: NDArray[np.unsignedinteger[Any]]  # (steps,), of which `changed` have a row
    tries: NDArray[np.unsignedinteger[Any]]  # (steps,), of which those that explored have a row
    changed: NDArray[np.int64]  # (1,)


class Tape(NamedTuple):
    """What the loop writes: figures an episode, and every step if `recording`.

    Steps that follow from a table are `walking`: written are `packed`, `explored` and the first observation of each
    segment.
    """

    recording: bool
    walking: bool
    lengths: NDArray[np.int64]  # (segments,) if recording: steps of each episode within this chunk
    ends: NDArray[np.uint8]  # (segments,)
    returns: NDArray[np.float64]  # (segments,), and likewise below: of episodes that end here
    episode_lengths: NDArray[np.int32]
    epsilons: NDArray[np.float64]
    explored_counts: NDArray[np.int32]
    action_counts: NDArray[np.int32]  # (segments, n_actions)
    judging: bool
    judgements: NDArray[np.float64]  # (segments, 2) if judging: what `judge` says
    explored: NDArray[np.bool_]  # (steps,)
    observations: NDArray[np.int32]  # (steps + segments,); walking: (segments,)
    actions: NDArray[np.int16]  # (steps,), as the next unless walking
    rewards: NDArray[np.float64]  # (steps,)
    packed: Packed

    def after(self, steps: int, segments: int) -> Tape:
        """Returns the rest of the tape, with all rows of the figures."""
        tried = np.count_nonzero(self.explored[:steps])
        columns = {name: getattr(self, name)[steps:] for name in ("explored", "actions", "rewards")}
        repeats, tries = self.packed.repeats[steps - tried :], self.packed.tries[tried:]
        return self._replace(
            observations=self.observations[segments + (0 if self.walking else steps) :],
            packed=self.packed._replace(repeats=repeats, tries=tries),
            **columns,
        )

    def steps(self, steps: int, segments: int) -> dict[str, NDArray[Any]]:
        """Returns the columns of so many steps: those of a chunk, or what a walk keeps of them."""
        explored = self.explored[:steps]
        if not self.walking:
            return {
                "observations": self.observations[: steps + segments],
                "actions": self.actions[:steps],
                "rewards": self.rewards[:steps],
                "explored": explored,
            }
        tried, packed = np.count_nonzero(explored), self.packed
        return {
            "starts": self.observations[:segments],
            "explored": explored,
            "repeats": packed.repeats[: steps - tried],
            "changes": packed.changes[: packed.changed[0]],
            "tries": packed.tries[:tried],
        }

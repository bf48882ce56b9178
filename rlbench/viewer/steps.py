"""Steps: an episode told line by line, a stored one or one that is played now; knows no pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.store.records import row_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gymnasium as gym

    from rlbench.store import Episode


class Step(NamedTuple):
    """One line of an episode: where the agent is, and how it came there."""

    number: int  # 0 is the start
    observation: Any
    action: Any = None
    reward: float = 0.0
    total: float = 0.0  # return so far
    explored: bool = False
    end: str = ""  # terminated, truncated, or why else nothing follows

    @property
    def caption(self) -> str:
        """What is said of it under a picture."""
        if not self.number:
            return "step 0"
        star = " (exploring)" if self.explored else ""
        end = f"  {self.end}" if self.end else ""
        return f"step {self.number}{star}  reward {self.reward:g}  return {self.total:.10g}{end}"


def live_steps(env: gym.Env[Any, Any], agent: Any, seed: int, most: int, left: str = "left there") -> Iterator[Step]:
    """Plays an episode greedily, a step each time one is asked for.

    Args:
        env: where; closed at the end.
        agent: who acts.
        seed: of the episode.
        most: steps after which an episode without an end is left.
        left: what is said of one that was left.
    """
    observation, _ = env.reset(seed=seed)
    number, total, end = 0, 0.0, ""
    yield Step(number, observation)
    while not end:
        action = agent.act(observation, explore=False)
        observation, reward, terminated, truncated, _ = env.step(action)
        number, total = number + 1, total + float(reward)
        end = _end(terminated=terminated, truncated=truncated) or (left if number == most else "")
        yield Step(number, observation, action, float(reward), total, end=end)
    env.close()


def stored_steps(episode: Episode) -> Iterator[Step]:
    """Returns the steps of an episode, T + 1 with its start."""
    total, last = 0.0, len(episode)
    yield Step(0, row_of(episode.observations, 0))
    for number in range(1, last + 1):
        reward = float(episode.rewards[number - 1])
        total += reward
        explored = episode.explored is not None and bool(episode.explored[number - 1])
        action, observation = row_of(episode.actions, number - 1), row_of(episode.observations, number)
        yield Step(number, observation, action, reward, total, explored, episode.end if number == last else "")


def _end(*, terminated: bool, truncated: bool) -> str:
    """Returns how an episode has ended, in a word; nothing if it goes on."""
    return "terminated" if terminated else "truncated" if truncated else ""

"""Steps: an episode, stored or live, as lines of text; independent of drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.store.records import row_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gymnasium as gym

    from rlbench.store import Episode


class Step(NamedTuple):
    """One step of an episode: where the agent is, and how it got there."""

    number: int  # 0 is the start
    observation: Any
    action: Any = None
    reward: float = 0.0
    total: float = 0.0  # return so far
    explored: bool = False
    end: str = ""  # terminated, truncated, or another reason why the episode stops

    @property
    def caption(self) -> str:
        """The caption below a picture."""
        if not self.number:
            return "step 0"
        star = " (exploring)" if self.explored else ""
        end = f"  {self.end}" if self.end else ""
        return f"step {self.number}{star}  reward {self.reward:g}  return {self.total:.10g}{end}"


def live_steps(env: gym.Env[Any, Any], agent: Any, seed: int, most: int, left: str = "left there") -> Iterator[Step]:
    """Plays an episode greedily, lazily step by step.

    Args:
        env: the env; closed at the end.
        agent: the agent.
        seed: the seed of the episode.
        most: the number of steps after which an episode without an end stops.
        left: the caption for an episode that stopped in this way.
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
    """Yields the steps of an episode: T + 1, including the start."""
    total, last = 0.0, len(episode)
    yield Step(0, row_of(episode.observations, 0))
    for number in range(1, last + 1):
        reward = float(episode.rewards[number - 1])
        total += reward
        explored = episode.explored is not None and bool(episode.explored[number - 1])
        action, observation = row_of(episode.actions, number - 1), row_of(episode.observations, number)
        yield Step(number, observation, action, reward, total, explored, episode.end if number == last else "")


def _end(*, terminated: bool, truncated: bool) -> str:
    """Returns how an episode has ended, in a word; empty if it has not."""
    return "terminated" if terminated else "truncated" if truncated else ""

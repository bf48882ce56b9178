"""The bandits of chapter 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from rlbench.checks import finite, flag, whole_number
from rlbench.envs.book.base import DrawnEnv
from rlbench.envs.book.board import AMBER, GREEN, INK, PALE, SHADE, SOFT, TILE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.envs._sprites import Pen

WALK = 0.01  # standard deviation of the steps of Exercise 2.5


class BanditEnv(DrawnEnv):
    """Arms to pull, each with a mean reward that nobody tells.

    ## Source
    Sutton and Barto (2018), section 2.3: the 10-armed testbed (figures 2.1 to 2.6); Exercise 2.5: `nonstationary=True`.

    ## States
    `Discrete(1)`: there is one.

    ## Actions
    `Discrete(arms)`: the arm to pull.

    ## Rewards
    Normal, with the mean of the arm and the variance 1.

    ## Start
    The means are drawn, normal around `mean` with the variance 1, at the first reset after the generator was seeded (as
    `reset(seed=...)` does), and stay the same from then on. In a nonstationary bandit they begin at `mean`, and after
    each pull a normal step with the mean 0 and the standard deviation 0.01 is added to each.

    ## End
    Terminated by every pull: an episode is a pull, so that the returns of a run are its rewards. What was drawn belongs
    to the run: there is no table, a run that goes on plays the pulls before again, and who evaluates it with another
    seed meets other arms.
    `info["best_arm"]` is the arm with the largest mean, before the pull.

    ## Arguments
    - `arms`: their number.
    - `nonstationary`: whether the means walk.
    - `mean`: around which they are drawn; 4 for figure 2.5.

    ## Example
        >>> import gymnasium as gym, rlbench
        >>> env = gym.make("rlbench/Bandit-v0")
        >>> env.reset(seed=0)[1]["best_arm"] == env.unwrapped.values.argmax().item()
        True
    """

    remembers = True
    why_no_table = "draws the means of its arms when it is seeded, so there is no table of it"

    def __init__(
        self, arms: int = 10, *, nonstationary: bool = False, mean: float = 0.0, render_mode: str | None = None
    ) -> None:
        count = whole_number("arms", arms)
        self.action_names = tuple(f"Arm {arm + 1}" for arm in range(count))
        self.walk = WALK if flag("nonstationary", nonstationary) else 0.0
        self.mean = finite("mean", mean)
        self.values, self._drawn = np.zeros(count), np.zeros(1, bool)
        self._arms = ArmsView(self.values, self.mean)
        super().__init__(1, count, self._arms, render_mode)

    @property
    def np_random(self) -> np.random.Generator:
        """The generator; a new one makes the next reset draw new arms."""
        return super().np_random

    @np_random.setter
    def np_random(self, generator: np.random.Generator) -> None:
        gym.Env.np_random.fset(self, generator)  # type: ignore[attr-defined]  # mypy sees no property here
        self._drawn[:] = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Draws the arms if the generator has been seeded since they were."""
        super().reset(seed=seed, options=options)
        if seed is not None or not self._drawn[0]:
            self.values[:] = self.mean + (0.0 if self.walk else self.np_random.standard_normal(len(self.values)))
            self._drawn[:] = True
        self.s, self._arms.last = 0, None
        self._begin()
        return self.s, self._info()

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Pulls an arm.

        Raises:
            ResetNeeded: called before the first reset.
            InvalidAction: there is no such arm.
        """
        arm, info = self._checked(action), self._info()
        reward = float(self.values[arm] + self.np_random.standard_normal())
        self._arms.last = (arm, reward)
        self._follow(arm, reward, terminated=True)
        if self.walk:
            self.values += self.walk * self.np_random.standard_normal(len(self.values))
        return 0, reward, True, False, info

    def _info(self) -> dict[str, Any]:
        return {"best_arm": int(self.values.argmax())}

    def compiled_world(self) -> Any:
        """Returns the world that the compiled training loop runs in place of this env; they share the arms."""
        from rlbench.envs._worlds import BanditWorld  # noqa: PLC0415  (numba only when training starts)

        return BanditWorld(self.values, self._drawn, self.mean, self.walk)


class ArmsView:
    """The means as bars, the best one green, and the last reward as a dot.

    Args:
        values: the means (n_arms,), which the env changes.
        centre: where the bars begin.
    """

    def __init__(self, values: NDArray[np.float64], centre: float) -> None:
        self.values, self.centre = values, centre
        self.last: tuple[int, float] | None = None  # the arm pulled last, and its reward
        self.size = (len(values) + 0.0, 5.0)

    def ground(self, pen: Pen) -> None:
        """Paints the line where the bars begin, and the number of each arm."""
        pen.rect(TILE, 0, 0, *self.size)
        pen.rect(SHADE, 0, 2.23, self.size[0], 0.04)
        for arm in range(len(self.values)):
            pen.text(str(arm + 1), PALE, arm + 0.5, 4.75, 0.3)

    def paint(self, pen: Pen, state: int) -> None:  # noqa: ARG002  (there is one state)
        """Paints the bars and the dot."""
        best = self.values.argmax()
        for arm, value in enumerate(self.values.tolist()):
            top, bottom = sorted((2.25, _height(value - self.centre)))
            pen.rect(GREEN if arm == best else SOFT[GREEN], arm + 0.25, top, 0.5, max(0.06, bottom - top), 0.04)
        if self.last is not None:
            arm, reward = self.last
            pen.disc(INK, arm + 0.5, _height(reward - self.centre), 0.15)
            pen.disc(AMBER, arm + 0.5, _height(reward - self.centre), 0.11)

    def text(self, state: int) -> str:  # noqa: ARG002
        """Returns the means, and what the last pull brought."""
        means = " ".join(f"{value:.2f}" for value in self.values)
        pull = "" if self.last is None else f"\narm {self.last[0] + 1} gave {self.last[1]:.2f}"
        return f"means {means}{pull}"


def _height(value: float) -> float:
    """Returns how far below the top a reward is drawn; what is beyond 3 stays at the edge."""
    return 2.25 - 0.7 * min(max(value, -3.0), 3.0)

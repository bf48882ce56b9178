"""Figure 4.2: policy iteration on Jack's car rental.

It begins by moving no car at all. Four improvements later no policy is better: the first location, which rents out as
many cars as come back, gives up to five to the second, which loses one a day.
"""

from pathlib import Path

from matplotlib import pyplot as plt

from rlbench.planning import policy_rounds

BOOK = "four improvements; at most 5 cars one way and 4 the other; values from about 420"
FALSE_ALARMS = 0

rounds = list(policy_rounds("car-rental", gamma=0.9, policy=5))
values = rounds[-1].values
moved = [one.policy.reshape(21, 21) - 5 for one in rounds]
ours = f"{len(rounds) - 1} improvements; at most {moved[-1].max()} cars one way and {-moved[-1].min()} the other; "
ours += f"values from {values.min():.0f} to {values.max():.0f}"
holds = [len(rounds) - 1, moved[-1].max(), moved[-1].min()] == [4, 5, -4]

figure, axes = plt.subplots(2, 3, figsize=(6.4, 4.6))
for number, (ax, cars) in enumerate(zip(axes.flat, moved, strict=False)):
    image = ax.imshow(cars, origin="lower", cmap="RdBu", vmin=-5, vmax=5)
    ax.set(title=f"policy {number}", xticks=[0, 20], yticks=[0, 20])
axes[1, 0].set(xlabel="cars at the second location", ylabel="cars at the first")
figure.colorbar(image, ax=axes[:, 2], label="cars moved from the first to the second")
axes[1, 2].imshow(values.reshape(21, 21), origin="lower", cmap="viridis")
axes[1, 2].set(title=f"values, {values.min():.0f} to {values.max():.0f}", xticks=[0, 20], yticks=[0, 20])
figure.savefig(Path(__file__).with_suffix(".png"))

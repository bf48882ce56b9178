"""To be written."""

if __name__ != "rlbench.envs":
    raise ImportError(f"import rlbench.envs, not {__name__}: a second name would make a second copy of every class")

"""To be written."""

if __name__ != "rlbench.agents":
    raise ImportError(f"import rlbench.agents, not {__name__}: a second name would make a second copy of every class")

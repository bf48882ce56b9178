"""To be written."""

if __name__ != "rlbench.buffers":
    raise ImportError(f"import rlbench.buffers, not {__name__}: a second name would make a second copy of every class")

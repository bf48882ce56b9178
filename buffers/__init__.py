"""Memories: what an agent keeps of its steps, to learn from them again."""

if __name__ != "rlbench.buffers":
    raise ImportError(f"import rlbench.buffers, not {__name__}: a second name would make a second copy of every class")

from rlbench.buffers.uniform import Batch, ReplayBuffer

BUFFERS = {"uniform": ReplayBuffer}

__all__ = ["BUFFERS", "Batch", "ReplayBuffer"]

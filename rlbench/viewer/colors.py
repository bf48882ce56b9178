"""Pictures in text without colours: the agent, a square on a coloured background, is marked @."""

import re

AGENT = re.compile(r"\x1b\[(?:4|10)\d(?:;\d+)*m(?:\x1b\[[\d;]*m)*.")


def marked(drawn: str) -> str:
    """Returns a picture with @ in place of the agent; other colours stay."""
    return AGENT.sub("@", drawn)

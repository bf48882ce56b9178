"""What holds for all tests: no deadlines, and a last line on what this machine lacks."""

from hypothesis import settings
from needs import summary

settings.register_profile("rlbench", deadline=None)  # no verdict depends on the machine's pace
settings.load_profile("rlbench")


def pytest_terminal_summary(terminalreporter):
    """Says in one line which tests were skipped for want of something, and how to get it."""
    line = summary([report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])])
    if line:
        terminalreporter.write_line(line, yellow=True)

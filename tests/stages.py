"""Kills an act in the middle: at each thing in turn that it does to the disk, in a process of its own."""

import subprocess
import sys
import textwrap

PROGRAM = """
import os, signal, sys
from pathlib import Path

{before}

folder = str(Path.cwd())
events = ("open", "os.rename", "os.remove", "os.chmod", "os.mkdir", "shutil.rmtree", "sqlite3.connect")

def act():
{act}

def killed_at(number):
    "Acts in a child that kills itself at this event; returns whether it lived through all of them."
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    seen = 0
    def watch(event, arguments):
        nonlocal seen
        if event in events and any(folder in os.fsdecode(part) for part in arguments if isinstance(part, (str, bytes))):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    act()
    os._exit(0)

number = 1
while not killed_at(number):
    print(number, flush=True)
    sys.stdin.readline()
    number += 1
"""


def killed_at_each_stage(folder, act, before=""):
    """Yields after each killed act, its number; the act runs in `folder`, and once to its end after the last."""
    program = PROGRAM.format(before=textwrap.dedent(before), act=textwrap.indent(textwrap.dedent(act).strip(), "    "))
    command = [sys.executable, "-c", program]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, **pipes) as process:
        while line := process.stdout.readline():
            yield int(line)
            process.stdin.write("\n")
            process.stdin.flush()
        assert process.wait() == 0

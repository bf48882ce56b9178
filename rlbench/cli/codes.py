"""What the exit code of a command says."""

DONE = 0
FAILED = 1  # the job failed, or a comparison found a difference
MISUSED = 2  # the command line asks for what cannot be
INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended; SIGTERM and SIGHUP end it in the same way

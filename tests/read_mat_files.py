"""Read many MATLAB files as `load_svhn` reads one, and print a line on each.

The process that reads each file is not started but forked, with SciPy imported once for all.
"""

import os
import signal
import subprocess
import sys
import tempfile

import scipy.io  # noqa: F401

from portanet.data import DataError, matlab, matlab_child
from portanet.data.svhn import read_split

SECONDS = 20


def run(command, **_):
    """Do what `subprocess.run` does, for one command."""
    with tempfile.TemporaryFile() as stderr:
        child = os.fork()
        if child == 0:
            os.dup2(stderr.fileno(), 2)
            signal.alarm(SECONDS)
            try:
                matlab_child.main(*command[command.index(str(matlab.CHILD)) + 1 :])
            except SystemExit as reason:
                os.write(2, str(reason).encode())
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == -signal.SIGALRM:
            raise TimeoutError(f"{command} did not end")
        stderr.seek(0)
        return subprocess.CompletedProcess(command, status, stderr=stderr.read())


if __name__ == "__main__":
    subprocess.run = run
    for path in sys.argv[1:]:
        try:
            read_split(path)
            print("read")
        except DataError as error:
            print("DataError" if str(error).startswith(f"{path}: ") else error)

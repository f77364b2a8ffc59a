"""What the tests of the examples' jobs let them do: other processes must be able to import it."""

import os
import signal
import threading

import portanet as pn


def count(n):
    """Take longer for larger n, and tell where."""
    print(f"job {n}")
    assert sum(1 for _ in range(n)) == n
    return n, os.getpid(), pn.get_backend().name, os.environ.get("PORTANET_THREADS")


def end(how):
    """Do nothing, wait for ever (a minute), raise an error, or be ended from outside."""
    match how:
        case "wait":
            threading.Event().wait(60)
        case "raise":
            raise ZeroDivisionError("in a job")
        case "killed":
            os.kill(os.getpid(), signal.SIGTERM)
    return how

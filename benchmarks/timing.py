"""Contenders timed in processes of their own, in turn: their thread pools would fight in one."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from benchmarks.workloads import Workload
from portanet.cpus import usable_cpus

ROOT = Path(__file__).parent.parent

OWN_CHOICE = ("portanet", "jax")  # contenders that make the best of all CPUs themselves


class Worker:
    """A contender's process. It is stopped while others are timed: idle thread pools spin."""

    def __init__(self, contender: str, workload: Workload, threads: int) -> None:
        self.contender, self.workload, self.threads = contender, workload, threads
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        fields = json.dumps(asdict(workload))
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", contender, fields, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env=os.environ | limits,
        )
        ready = self._answer()
        self.skipped: str | None = ready.get("skipped")
        if self.skipped is None:
            self._pause()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send one command while the process runs, and return its answer."""
        assert self._process.stdin is not None
        self._signal("SIGCONT")
        print(json.dumps(command), file=self._process.stdin, flush=True)
        answer = self._answer()
        if "skipped" in answer:
            raise RuntimeError(f"{self.contender}, {self.workload.name}: {answer['skipped']}")
        self._pause()
        return answer

    def close(self) -> None:
        """End the process."""
        self._signal("SIGCONT")
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._errors.seek(0)
        return {"skipped": "its process ended: " + " ".join(self._errors.readlines()[-1:]).strip()}

    def _pause(self) -> None:
        self._signal("SIGSTOP")

    def _signal(self, name: str) -> None:
        if hasattr(signal, name):
            with suppress(ProcessLookupError):
                self._process.send_signal(getattr(signal, name))


def best_threads(contender: str, workload: Workload, seconds: float) -> int:
    """Return the number of threads, 1 or all, at which a contender is faster."""
    if contender in OWN_CHOICE or usable_cpus() == 1:
        return usable_cpus()
    rates = {}
    for threads in (1, usable_cpus()):
        with Worker(contender, workload, threads) as worker:
            if worker.skipped is not None:
                return 1
            worker.ask(run=seconds)
            rates[threads] = worker.ask(run=seconds)["rate"]
    return max(rates, key=rates.__getitem__)


@contextmanager
def running(
    workload: Workload, threads: Mapping[str, int], seconds: float
) -> Iterator[tuple[list[Worker], dict[str, str]]]:
    """Start and warm up contenders with so many threads; give them, and why others are not there.

    They end with the block, whatever happens in it: a stopped process would stay for ever.
    """
    workers, skipped = [], {}
    try:
        for name, count in threads.items():
            worker = Worker(name, workload, count)
            workers.append(worker)
            if worker.skipped is None:
                worker.ask(run=seconds)
            else:
                skipped[name] = worker.skipped
        yield [worker for worker in workers if worker.skipped is None], skipped
    finally:
        for worker in workers:
            worker.close()


def rates(workers: Sequence[Worker], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return each contender's samples per second, timed in turn so many times."""
    found: dict[str, list[float]] = {worker.contender: [] for worker in workers}
    for _ in range(rounds):
        for worker in workers:
            found[worker.contender].append(worker.ask(run=seconds)["rate"])
    return found

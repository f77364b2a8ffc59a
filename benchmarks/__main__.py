"""``python -m benchmarks``: throughput of portanet beside its peers, on the published workloads."""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS
from benchmarks.workloads import WORKLOADS, Workload

ROOT = Path(__file__).parent.parent


class Worker:
    """A contender's process. It is stopped while others are timed: idle thread pools spin."""

    def __init__(self, contender: str, workload: Workload, threads: int) -> None:
        self.contender = contender
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", contender, workload.name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
        ready = self._answer()
        self.skipped: str | None = ready.get("skipped")
        if self.skipped is None:
            self._pause()

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send one command while the process runs, and return its answer."""
        assert self._process.stdin is not None
        self._signal("SIGCONT")
        print(json.dumps(command), file=self._process.stdin, flush=True)
        answer = self._answer()
        self._pause()
        return answer

    def close(self) -> None:
        """End the process."""
        self._signal("SIGCONT")
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"skipped": "its process ended"}

    def _pause(self) -> None:
        self._signal("SIGSTOP")

    def _signal(self, name: str) -> None:
        if hasattr(signal, name):
            with suppress(ProcessLookupError):
                self._process.send_signal(getattr(signal, name))


def best_threads(contender: str, workload: Workload, seconds: float) -> int:
    """Return the number of threads, 1 or all, at which a contender is faster."""
    rates = {}
    for threads in {1, os.cpu_count() or 1}:
        worker = Worker(contender, workload, threads)
        if worker.skipped is None:
            worker.ask(run=seconds)
            rates[threads] = worker.ask(run=seconds)["rate"]
        worker.close()
    return max(rates, key=rates.__getitem__) if rates else 1


def measure(workload: Workload, contenders: list[str], rounds: int, seconds: float) -> Any:
    """Time the contenders in turn; return each one's rates, memory and latency."""
    workers, skipped = [], {}
    for name in contenders:
        threads = best_threads(name, workload, seconds) if name.startswith("torch") else 1
        if name in ("portanet", "jax", "sklearn"):
            threads = os.cpu_count() or 1
        worker = Worker(name, workload, threads)
        if worker.skipped is None:
            workers.append(worker)
            worker.ask(run=seconds)
        else:
            skipped[name] = worker.skipped
            worker.close()
    rates: dict[str, list[float]] = {worker.contender: [] for worker in workers}
    for _ in range(rounds):
        for worker in workers:
            rates[worker.contender].append(worker.ask(run=seconds)["rate"])
    results = {
        worker.contender: {
            "rates": rates[worker.contender],
            "latency": worker.ask(infer=200)["seconds"],
            "bytes": worker.ask(memory=True)["bytes"],
        }
        for worker in workers
    }
    for worker in workers:
        worker.close()
    return {"results": results, "skipped": skipped}


def report(workload: Workload, measured: Any) -> None:
    """Print one workload's table."""
    print(f"\n{workload.name}: {workload.what}, batch {workload.batch}")
    own = measured["results"].get("portanet")
    for name, result in measured["results"].items():
        words = f"{statistics.median(result['rates']):>12,.0f} samples/s"
        words += f"  {1e6 * result['latency']:>8.0f} µs/image  {result['bytes'] / 2**20:>6.0f} MiB"
        if own is not None and name != "portanet":
            ratios = sorted(a / b for a, b in zip(own["rates"], result["rates"], strict=True))
            least = workload.least.get(name)
            wanted = "" if least is None else f"  (to reach: {least:g})"
            words += f"  portanet is {statistics.median(ratios):5.2f}×"
            words += f" [{ratios[0]:.2f} … {ratios[-1]:.2f}]{wanted}"
        print(f"  {name:<14}{words}", flush=True)
    for name, reason in measured["skipped"].items():
        print(f"  {name:<14}skipped: {reason}")


def main() -> None:
    """Parse the options, run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    option = parser.add_argument
    option("--only", help="workloads, with commas: " + ", ".join(WORKLOADS))
    option("--against", help="peers, with commas: " + ", ".join(list(CONTENDERS)[1:]))
    option("--rounds", type=int, default=7, help="how often each contender is timed (default: 7)")
    option("--seconds", type=float, default=1.0, help="length of one timing (default: 1)")
    option("--quick", action="store_true", help="one short round: to see that it runs")
    option("--json", metavar="FILE", help="write all figures")
    args = parser.parse_args()
    rounds, seconds = (1, 0.05) if args.quick else (args.rounds, args.seconds)
    peers = args.against.split(",") if args.against else list(CONTENDERS)[1:]
    names = args.only.split(",") if args.only else list(WORKLOADS)
    for given, known in ((names, WORKLOADS), (peers, CONTENDERS)):
        unknown = [name for name in given if name not in known]
        if unknown:
            parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}; {rounds} rounds of {seconds:g} s, medians; ratios with their range")
    figures = {}
    for name in names:
        figures[name] = measure(WORKLOADS[name], ["portanet", *peers], rounds, seconds)
        report(WORKLOADS[name], figures[name])
    if args.json:
        Path(args.json).write_text(json.dumps({"machine": machine, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()

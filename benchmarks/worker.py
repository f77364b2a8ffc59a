"""A contender in its own process: answers one JSON line for each line of commands.

``{"run": seconds}`` trains for that long and answers samples per second; ``{"infer": count}``
answers the seconds of one inference at batch 1; ``{"memory": true}`` the peak resident bytes.
"""

import json
import sys
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.contenders import CONTENDERS
from benchmarks.workloads import SAMPLES, Workload


def main() -> None:
    """Build the contender and serve commands until the input ends."""
    contender, fields, threads = sys.argv[1:]
    workload = Workload(**json.loads(fields))
    x, y = workload.data()
    rng = np.random.default_rng(1)
    try:
        step, infer = CONTENDERS[contender](workload, x, y, int(threads))
        for _ in range(3):
            step(np.arange(workload.batch))
    except (ImportError, NotImplementedError) as error:
        print(json.dumps({"skipped": str(error)}), flush=True)
        return
    answer({"ready": True})

    def run(seconds: float) -> float:
        done, start = 0, perf_counter()
        while perf_counter() - start < seconds:
            step(rng.integers(0, SAMPLES, workload.batch))
            done += workload.batch
        return done / (perf_counter() - start)

    def latency(count: int) -> float:
        times = []
        for k in range(count):
            start = perf_counter()
            infer(x[k : k + 1])
            times.append(perf_counter() - start)
        return float(np.median(times))

    for line in sys.stdin:
        command = json.loads(line)
        if "run" in command:
            answer({"rate": run(command["run"])})
        elif "infer" in command:
            answer({"seconds": latency(command["infer"])})
        else:
            answer({"bytes": peak_bytes()})


def answer(values: dict[str, Any]) -> None:
    """Write one line."""
    print(json.dumps(values), flush=True)


def peak_bytes() -> int:
    """Return the largest resident size that this process had."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()

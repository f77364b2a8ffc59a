"""``python -m benchmarks.gpu``: a training step on a CUDA GPU, portanet on CuPy beside PyTorch.

Each contender has a process of its own. After a warm-up, CUDA's events take the time of each of 30
steps on the device's own clock; the median counts. Batches are gathered on the device. Products of
float32 matrices are exact to float32 on both sides, or in TF32 on both (``--tf32``).
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import chosen, machine, options, write
from benchmarks.workloads import SAMPLES, WORKLOADS, Workload

WARM_UP, STEPS = 10, 30

# What a contender gives: a step, a new event, the milliseconds between two, and how to wait.
Timed = tuple[
    Callable[[Any], Any], Callable[[], Any], Callable[[Any, Any], float], Callable[[], Any]
]


def portanet(workload: Workload, x: Any, y: Any, tf32: bool) -> Timed:
    """The library as a Trainer runs it, on CuPy."""
    import portanet as pn
    from benchmarks.training import Training

    backend = pn.set_backend("cupy", tf32=tf32)
    import cupy

    event, elapsed = cupy.cuda.Event, cupy.cuda.get_elapsed_time
    return Training.of(workload, x, y, 1, backend).step, event, elapsed, backend.synchronize


def torch(workload: Workload, x: Any, y: Any, tf32: bool) -> Timed:
    """PyTorch eager, with its fused optimizer."""
    import torch as t

    from benchmarks import contenders

    if not t.cuda.is_available():
        raise RuntimeError("PyTorch finds no CUDA device")
    t.backends.cuda.matmul.allow_tf32 = t.backends.cudnn.allow_tf32 = tf32
    step, _ = contenders.torch(workload, x, y, 1, "cuda")
    return (
        step,
        lambda: t.cuda.Event(enable_timing=True),
        lambda start, end: start.elapsed_time(end),
        t.cuda.synchronize,
    )


CONTENDERS = {"portanet": portanet, "torch": torch}


def timed(contender: str, workload: Workload, steps: int, tf32: bool) -> dict[str, Any]:
    """Return the milliseconds of each step, or why there are none."""
    rng = np.random.default_rng(1)
    try:
        make = CONTENDERS[contender]
        step, event, elapsed, wait = make(workload, *workload.data(), tf32)
    except (ImportError, RuntimeError) as error:  # no library, or no GPU
        return {"skipped": str(error)}
    batches = rng.integers(0, SAMPLES, (WARM_UP + steps, workload.batch))
    marks = [event()]
    for batch in batches:
        if len(marks) <= WARM_UP:
            wait()  # kernels are compiled, memory is taken
        step(batch)
        marks.append(event())
        marks[-1].record()
    wait()
    return {"milliseconds": [elapsed(*pair) for pair in pairwise(marks[WARM_UP:])]}


def report(workload: Workload, results: dict[str, Any]) -> None:
    """Print one workload's table."""
    print(f"\n{workload.name}: {workload.what}, batch {workload.batch}")
    medians = {}
    for name, result in results.items():
        if "skipped" in result:
            print(f"  {name:<10}skipped: {result['skipped']}")
            continue
        times = sorted(result["milliseconds"])
        medians[name] = median = statistics.median(times)
        print(
            f"  {name:<10}{median:>9.3f} ms a step [{times[0]:.3f} … {times[-1]:.3f}]"
            f"{1e3 * workload.batch / median:>14,.0f} samples/s"
        )
    if medians.keys() >= CONTENDERS.keys():
        print(f"  portanet is {medians['torch'] / medians['portanet']:.2f}× as fast")


def main() -> None:
    """Parse the options, time each contender in a process, print, write."""
    parser = options("benchmarks.gpu", __doc__, WORKLOADS)
    option = parser.add_argument
    option("--batch", type=int, help="another batch size than the workloads' own")
    option("--tf32", action="store_true", help="products in TF32, on both sides")
    option("--contender", choices=CONTENDERS, help="time this one here, and print JSON")
    args = parser.parse_args()
    steps, figures = 1 if args.quick else STEPS, {}
    names = chosen(parser, args.only, WORKLOADS)
    if args.contender is None:
        print(f"{machine()}; medians of {steps} steps; TF32 {'on' if args.tf32 else 'off'}")
    for name in names:
        workload = WORKLOADS[name]
        workload = replace(workload, batch=args.batch or workload.batch)
        if args.contender is not None:
            print(json.dumps(timed(args.contender, workload, steps, args.tf32)))
            continue
        figures[name] = {contender: apart(contender, name, args) for contender in CONTENDERS}
        report(workload, figures[name])
    write(args.json, figures=figures, tf32=args.tf32, steps=steps)


def apart(contender: str, name: str, args: Any) -> Any:
    """Time a contender in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--contender", contender, "--only", name]
    command += ["--quick"] * args.quick + ["--tf32"] * args.tf32
    command += ["--batch", str(args.batch)] if args.batch else []
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"skipped": "its process ended: " + " ".join(done.stderr.splitlines()[-1:])}
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()

"""A training step on a CUDA GPU, portanet on CuPy beside PyTorch: one table, as Markdown.

Each contender has a process of its own for each row. After a warm-up, CUDA's events take the time
of each of 30 steps on the device's own clock; the median counts. Batches are gathered on the
device, by indices that come from pinned memory: neither side waits for anything in a step. Products
and convolutions of float32 are exact to float32 on both sides, or in TF32 on both.
"""

import json
import statistics
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.timing import ROOT
from benchmarks.workloads import SAMPLES, WORKLOADS, Workload

WARM_UP, STEPS = 10, 30
OWN = "own"  # the batch of a workload's own
BATCHES = (OWN, 1024)  # those of every workload; a GPU has little to do in the first
MORE = {"cnn-3x3": (512,)}

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
    """PyTorch eager, with its fused optimizer and the fastest convolutions that cuDNN finds."""
    import torch as t

    from benchmarks import contenders

    if not t.cuda.is_available():
        raise RuntimeError("PyTorch finds no CUDA device")
    t.backends.cuda.matmul.allow_tf32 = t.backends.cudnn.allow_tf32 = tf32
    t.backends.cudnn.benchmark = True  # it tries them in the warm-up
    step, _ = contenders.torch(workload, x, y, 1, "cuda")
    return (
        step,
        lambda: t.cuda.Event(enable_timing=True),
        lambda start, end: start.elapsed_time(end),
        t.cuda.synchronize,
    )


CONTENDERS = {"portanet": portanet, "torch": torch}


def batches(text: str) -> list[int | str]:
    """Return the batch sizes that an option lists, with commas."""
    words = text.split(",")
    if not all(word == OWN or (word.isascii() and word.isdigit() and int(word)) for word in words):
        raise ArgumentTypeError(f"must be sizes or {OWN!r}, with commas, got {text!r}")
    return [word if word == OWN else int(word) for word in words]


def rows(names: Iterable[str], sizes: Sequence[int | str] | None = None) -> Iterator[Workload]:
    """Yield the workloads in these batches, by default in `BATCHES`, none of them twice."""
    seen = set()
    for name in names:
        workload = WORKLOADS[name]
        for size in sizes or sorted((*BATCHES, *MORE.get(name, ())), key=lambda s: (s != OWN, s)):
            batch = workload.batch if size == OWN else int(size)
            if (workload.what, batch) not in seen:
                seen.add((workload.what, batch))
                yield replace(workload, batch=batch)


def device() -> str:
    """Return the GPU and the versions in words; raises BackendError where CuPy has none."""
    import portanet as pn

    told = pn.set_backend("cupy").info()
    try:
        peer = f"PyTorch {version('torch')}"
    except PackageNotFoundError:
        peer = "no PyTorch"
    return f"{told['devices']}, CUDA {told['CUDA']}, CuPy {told['version']}, {peer}"


def timed(contender: str, workload: Workload, steps: int, tf32: bool) -> dict[str, Any]:
    """Return the milliseconds of each step, or why there are none."""
    rng = np.random.default_rng(1)
    try:
        make = CONTENDERS[contender]
        step, event, elapsed, wait = make(workload, *workload.data(), tf32)
    except (ImportError, RuntimeError) as error:  # no library, or no GPU
        return {"skipped": str(error)}
    indices = rng.integers(0, SAMPLES, (WARM_UP + steps, workload.batch))
    marks = [event()]
    for batch in indices:
        if len(marks) <= WARM_UP:
            wait()  # kernels are compiled, memory is taken
        step(batch)
        marks.append(event())
        marks[-1].record()
    wait()
    return {"milliseconds": [elapsed(*pair) for pair in pairwise(marks[WARM_UP:])]}


def apart(contender: str, workload: Workload, steps: int, tf32: bool) -> dict[str, Any]:
    """Time a contender in a process of its own."""
    fields = json.dumps([contender, asdict(workload), steps, tf32])
    command = [sys.executable, "-m", "benchmarks.gpu", fields]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"skipped": "its process ended: " + " ".join(done.stderr.splitlines()[-1:])}
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


HEAD = """
| workload | batch | portanet, ms a step | PyTorch, ms a step | samples/s | portanet is |
| --- | ---: | ---: | ---: | ---: | ---: |"""


def row(workload: Workload, results: Mapping[str, Any]) -> str:
    """Return a row: medians with their range, portanet's samples, its speed beside PyTorch's."""
    times = {name: result.get("milliseconds") for name, result in results.items()}
    medians = {name: statistics.median(found) for name, found in times.items() if found}
    cells = [workload.what, f"{workload.batch}"]
    for name in CONTENDERS:
        found = times[name]
        cells.append(f"{medians[name]:.3f} [{min(found):.3f} … {max(found):.3f}]" if found else "–")
    own = medians.get("portanet")
    cells.append(f"{1e3 * workload.batch / own:,.0f}" if own else "–")
    both = medians.keys() >= CONTENDERS.keys()
    cells.append(f"{medians['torch'] / medians['portanet']:.2f}×" if both else "–")
    return f"| {' | '.join(cells)} |"


def measure(workloads: Iterable[Workload], steps: int, tf32: bool) -> dict[str, Any]:
    """Time all contenders in every row, print the table, and return the figures."""
    figures: dict[str, Any] = {}
    skipped: dict[str, list[str]] = {}
    print(HEAD)
    for workload in workloads:
        results = {name: apart(name, workload, steps, tf32) for name in CONTENDERS}
        figures.setdefault(workload.name, {})[workload.batch] = results
        print(row(workload, results), flush=True)
        for name, result in results.items():
            if "skipped" in result:
                where = skipped.setdefault(f"{name} skipped: {result['skipped']}", [])
                where.append(f"{workload.name} of {workload.batch}")
    for words, where in skipped.items():
        print(f"\n{words} ({', '.join(where)})")
    return figures


if __name__ == "__main__":
    asked, described, *rest = json.loads(sys.argv[1])
    print(json.dumps(timed(asked, Workload(**described), *rest)))

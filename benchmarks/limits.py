"""``python -m benchmarks.limits``: what this machine can do, and how close a step comes to it.

Rates are the best of several timings. Matrix products are timed in the workloads' shapes; those of
a convolution on as many window positions as keep the columns in a core's cache. The time that a
step's products take at these rates, and nothing else, is the least that a step can take.
"""

import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil, prod
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import portanet as pn
from benchmarks import timing
from benchmarks.command import chosen, machine, options, write
from benchmarks.workloads import WORKLOADS, Workload
from portanet.cpus import usable_cpus

REPEATS = 5  # timings of which the best counts
CACHED, LARGE = 256 * 2**10, 128 * 2**20  # bytes of an array in the cache, and far beyond it
COLUMNS = 2**20  # bytes of a convolution's columns that are timed at once
SQUARE = 2048


def rate(works: list[Callable[[], Any]], seconds: float) -> float:
    """Return the calls a second of functions that run side by side, each on its thread."""

    def count(work: Callable[[], Any]) -> float:
        calls, start = 0, perf_counter()
        while perf_counter() - start < seconds / REPEATS or not calls:
            work()
            calls += 1
        return calls / (perf_counter() - start)

    with ThreadPoolExecutor(len(works)) as threads:
        list(threads.map(lambda work: work(), works))
        return max(sum(threads.map(count, works)) for _ in range(REPEATS))


def memory(threads: int, seconds: float) -> dict[str, float]:
    """Return GB a second, read and written, of NumPy's copies and sums on so many threads."""
    found = {}
    for place, size in (("cache", CACHED), ("memory", LARGE)):
        arrays = [np.ones((3, size // 4), dtype="float32") for _ in range(threads)]
        copies = [partial(np.copyto, a[0], a[1]) for a in arrays]
        sums = [partial(np.add, a[0], a[1], out=a[2]) for a in arrays]
        found[f"b = a, in {place}, GB/s"] = 2 * size * rate(copies, seconds) / 1e9
        found[f"c = a + b, in {place}, GB/s"] = 3 * size * rate(sums, seconds) / 1e9
    return found


def machine_rates(threads: int, seconds: float) -> dict[str, float]:
    """Return the machine's rates at what NumPy does best, on so many threads."""
    square = Product("", (SQUARE,) * 3, (SQUARE,) * 3, (False, False))
    flops = square.flops(threads, seconds)
    return {f"matrix product {SQUARE}³, GFLOP/s": flops / 1e9, **memory(threads, seconds)}


class Product(NamedTuple):
    """A matrix product of a step, (m, k) @ (k, n), and the part of it that is timed."""

    name: str
    shape: tuple[int, int, int]
    part: tuple[int, int, int]
    turned: tuple[bool, bool]  # whether an operand is the transpose of what memory holds

    @property
    def flop(self) -> int:
        """Multiplications and additions."""
        return 2 * prod(self.shape)

    def flops(self, threads: int, seconds: float) -> float:
        """Return operations a second on so many of the BLAS's threads."""
        m, k, n = self.part
        a, b = (
            np.ones(shape[::-1], "float32").T if turned else np.ones(shape, "float32")
            for shape, turned in zip(((m, k), (k, n)), self.turned, strict=True)
        )
        out = np.empty((m, n), "float32")
        with threadpool_limits(threads, user_api="blas"):
            return 2 * m * k * n * rate([partial(np.matmul, a, b, out=out)], seconds)


def products(workload: Workload) -> list[Product]:
    """Return a step's products: Y = W X, dW = dY Xᵀ, and dX = Wᵀ dY but for the first layer.

    X holds a convolution's columns, or a linear layer's samples, which are rows in memory.
    """
    found: list[Product] = []
    for number, ((kind, *rest), shape) in enumerate(workload.walk()):
        if kind not in ("linear", "conv"):
            continue
        inputs, outputs, linear = rest[0], rest[1], kind == "linear"
        rows = inputs if linear else inputs * rest[2] ** 2
        whole = workload.batch * prod(shape[1:])
        part = whole if linear else min(whole, max(1, COLUMNS // (4 * rows)))
        shapes = [
            {"y": (outputs, rows, n), "dW": (outputs, n, rows), "dx": (rows, outputs, n)}
            for n in (whole, part)
        ]
        turned = {"y": (False, linear), "dW": (False, not linear), "dx": (True, False)}
        for what in ("y", "dW", "dx") if found else ("y", "dW"):
            name = f"{number} {kind} {what}"
            found.append(Product(name, *(shape[what] for shape in shapes), turned[what]))
    return found


def step_seconds(workload: Workload, threads: int, rounds: int, seconds: float) -> float:
    """Return what portanet's step takes, with so many threads."""
    with timing.running(workload, {"portanet": threads}, seconds) as (workers, skipped):
        if skipped:
            raise RuntimeError(skipped["portanet"])
        rates = timing.rates(workers, rounds, seconds)["portanet"]
    return workload.batch / statistics.median(rates)


def parts(workload: Workload) -> int | None:
    """Return how many parts portanet cuts the batch into, or None where it never does."""
    backend = pn.set_backend("numpy")
    size = backend.part_size((workload.batch, *workload.input_shape))
    return None if size is None else ceil(workload.batch / size)


def measure(workload: Workload, counts: list[int], rounds: int, seconds: float) -> Any:
    """Return the products' rates, and their time and the whole step's, by number of threads."""
    rows, cut = [], parts(workload)
    for product in products(workload):
        rates = {threads: product.flops(threads, seconds / 10) for threads in counts}
        rows.append({"name": product.name, "shape": product.shape, "flops": rates})
    steps = {}
    for threads in counts:
        alone = 0.0
        for product, row in zip(products(workload), rows, strict=True):
            if cut is None:  # the BLAS's threads, or fewer where that is faster
                alone += product.flop / max(row["flops"][count] for count in {1, threads})
            else:  # parts side by side, each product on one thread
                alone += product.flop / row["flops"][1] * ceil(cut / threads) / cut
        whole = step_seconds(workload, threads, rounds, seconds)
        steps[threads] = {"products": alone, "step": whole, "share": alone / whole}
    return {"products": rows, "threads": steps}


def words(threads: int) -> str:
    """Return how many threads, in words."""
    return f"{threads} thread" + "s" * (threads > 1)


def report_machine(found: Any) -> None:
    """Print the machine's rates."""
    print(f"\n{'machine':<38}{''.join(f'{words(threads):>12}' for threads in found)}")
    for name in found[1]:
        print(f"  {name:<36}{''.join(f'{rates[name]:>12.1f}' for rates in found.values())}")


def report(workload: Workload, found: Any) -> None:
    """Print a workload's products, and their share of its step."""
    print(f"\n{workload.name}: {workload.what}, batch {workload.batch}")
    heads = "".join(f"{words(threads):>12}" for threads in found["threads"])
    print(f"  {'GFLOP/s':<14}{'m × k × n':>22}{heads}")
    for row in found["products"]:
        cells = "".join(f"{flops / 1e9:>12.1f}" for flops in row["flops"].values())
        print(f"  {row['name']:<14}{' × '.join(map(str, row['shape'])):>22}{cells}")
    for threads, step in found["threads"].items():
        print(
            f"  {words(threads)}: products alone {1e3 * step['products']:.3f} ms "
            f"of a step's {1e3 * step['step']:.3f} ms: {step['share']:.0%}"
        )


def main() -> None:
    """Measure, print, write."""
    things = ["machine", *WORKLOADS]
    parser = options("benchmarks.limits", __doc__, things, seconds=1.0)
    args = parser.parse_args()
    rounds, seconds = (1, 0.02) if args.quick else (5, args.seconds)
    counts = sorted({1, usable_cpus()})
    figures: dict[str, Any] = {}
    print(machine())
    for name in chosen(parser, args.only, things):
        if name == "machine":
            figures[name] = {threads: machine_rates(threads, seconds) for threads in counts}
            report_machine(figures[name])
        else:
            figures[name] = measure(WORKLOADS[name], counts, rounds, seconds)
            report(WORKLOADS[name], figures[name])
    write(args.json, figures=figures)


if __name__ == "__main__":
    main()

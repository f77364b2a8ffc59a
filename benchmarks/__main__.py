"""``python -m benchmarks``: throughput of portanet beside its peers, on the published workloads.

With ``--backend cupy`` a step's time on a CUDA GPU, beside PyTorch's.
"""

import statistics
from typing import Any

import portanet as pn
from benchmarks import gpu, install, timing
from benchmarks.command import chosen, machine, options, write
from benchmarks.contenders import CONTENDERS
from benchmarks.workloads import WORKLOADS, Workload

ROUNDS, SECONDS = 7, 1.0
IMPORTS = 11  # fresh processes for each library
# Options that only one backend knows.
ONLY_FOR = {"numpy": ("against", "rounds", "seconds"), "cupy": ("batch", "tf32")}


def measure(workload: Workload, contenders: list[str], rounds: int, seconds: float) -> Any:
    """Time the contenders in turn; return each one's rates, memory and latency."""
    threads = {name: timing.best_threads(name, workload, seconds) for name in contenders}
    with timing.running(workload, threads, seconds) as (workers, skipped):
        rates = timing.rates(workers, rounds, seconds)
        results = {
            worker.contender: {
                "threads": worker.threads,
                "rates": rates[worker.contender],
                "latency": worker.ask(infer=200)["seconds"],
                "bytes": worker.ask(memory=True)["bytes"],
            }
            for worker in workers
        }
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
    things, everybody = [*WORKLOADS, "install"], list(CONTENDERS)
    parser = options("benchmarks", __doc__, things, seconds=SECONDS)
    parser.set_defaults(seconds=None)
    option = parser.add_argument
    option("--backend", choices=ONLY_FOR, default="numpy", help="of portanet (default: numpy)")
    option("--against", help="on NumPy: peers, with commas: " + ", ".join(everybody[1:]))
    rounds = f"on NumPy: how often each contender is timed (default: {ROUNDS})"
    option("--rounds", type=int, help=rounds)
    sizes = "on CuPy: batch sizes, with commas (default: own,1024, and 512 for cnn-3x3)"
    option("--batch", type=gpu.batches, metavar="SIZES", help=sizes)
    option("--tf32", action="store_true", help="on CuPy: products in TF32, on both sides")
    args = parser.parse_args()
    for backend, names in ONLY_FOR.items():
        for name in names:
            if backend != args.backend and getattr(args, name):
                parser.error(f"argument --{name}: goes with --backend {backend} alone")
    if args.backend == "numpy":
        figures = on_cpu(
            chosen(parser, args.only, things),
            ["portanet", *chosen(parser, args.against, everybody[1:])],
            1 if args.quick else args.rounds or ROUNDS,
            0.05 if args.quick else args.seconds or SECONDS,
            1 if args.quick else IMPORTS,
        )
    else:
        names, steps = chosen(parser, args.only, WORKLOADS), 1 if args.quick else gpu.STEPS
        try:
            device = gpu.device()
        except pn.BackendError as error:
            parser.exit(2, f"{parser.prog}: {error}\n")
        print(
            f"{machine()}, {device}; medians of {steps} steps; TF32 {'on' if args.tf32 else 'off'}"
        )
        found = gpu.measure(gpu.rows(names, args.batch), steps, args.tf32)
        figures = {"device": device, "figures": found, "tf32": args.tf32, "steps": steps}
    write(args.json, **figures)


def on_cpu(
    names: list[str], contenders: list[str], rounds: int, seconds: float, imports: int
) -> dict[str, Any]:
    """Time the contenders in everything named, print, and return the figures."""
    print(f"{machine()}; {rounds} rounds of {seconds:g} s, medians; ratios with their range")
    figures: dict[str, Any] = {"figures": {}}
    for name in names:
        if name == "install":
            figures[name] = install.measure(contenders, imports)
            install.report(figures[name], imports)
        else:
            workload = WORKLOADS[name]
            figures["figures"][name] = measure(workload, contenders, rounds, seconds)
            report(workload, figures["figures"][name])
    return figures


if __name__ == "__main__":
    main()

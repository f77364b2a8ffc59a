"""``python -m benchmarks``: throughput of portanet beside its peers, on the published workloads."""

import statistics
from typing import Any

from benchmarks import install, timing
from benchmarks.command import chosen, machine, options, write
from benchmarks.contenders import CONTENDERS
from benchmarks.workloads import WORKLOADS, Workload

IMPORTS = 11  # fresh processes for each library


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
    parser = options("benchmarks", __doc__, things, seconds=1.0)
    option = parser.add_argument
    option("--against", help="peers, with commas: " + ", ".join(everybody[1:]))
    option("--rounds", type=int, default=7, help="how often each contender is timed (default: 7)")
    args = parser.parse_args()
    rounds, seconds, imports = args.rounds, args.seconds, IMPORTS
    if args.quick:
        rounds, seconds, imports = 1, 0.05, 1
    names = chosen(parser, args.only, things)
    contenders = ["portanet", *chosen(parser, args.against, everybody[1:])]
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
    write(args.json, **figures)


if __name__ == "__main__":
    main()

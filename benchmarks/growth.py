"""``python -m benchmarks.growth --plot FILE``: how the cost of a training step grows."""

import statistics
from dataclasses import replace
from typing import Any, NamedTuple

from benchmarks import timing
from benchmarks.command import chosen, machine, options, writable, write
from benchmarks.contenders import CONTENDERS
from benchmarks.workloads import WORKLOADS, Workload, mlp
from portanet.cpus import usable_cpus

CNN, BIG_CNN = "CNN 5×5", "CNN 3×3"
MLP, SMALL_MLP = "MLP-3072", "MLP-784"
PUBLISHED = {
    CNN: WORKLOADS["cnn-5x5-b128"],
    BIG_CNN: WORKLOADS["cnn-3x3"],
    MLP: WORKLOADS["mlp-3072-sgd"],
    SMALL_MLP: WORKLOADS["mlp-784"],
}


class Panel(NamedTuple):
    """What grows, and the networks that it grows for: one of `sizes` gives one workload."""

    label: str
    sizes: tuple[int, ...]
    networks: tuple[str, ...]

    def quick(self) -> "Panel":
        """Return the panel with its two smallest sizes."""
        return self._replace(sizes=self.sizes[:2])


def powers(first: int, last: int) -> tuple[int, ...]:
    """Return first, 2 · first, … and last, which need not be one of them."""
    found = []
    while first < last:
        found.append(first)
        first *= 2
    return (*found, last)


PANELS = {
    "batch": Panel("samples in a batch", powers(1, 512), (CNN, MLP)),
    "width": Panel("hidden units", powers(32, 4096), (MLP,)),
    "image": Panel("height and width of the image, pixels", (16, 24, 32, 48, 64), (BIG_CNN,)),
    "threads": Panel("threads", powers(1, usable_cpus()), (CNN, BIG_CNN, MLP, SMALL_MLP)),
}


def grown(what: str, network: str, size: int) -> Workload:
    """Return the network's workload with one thing of that size."""
    workload = PUBLISHED[network]
    if what == "batch":
        return replace(workload, batch=size)
    if what == "width":
        return replace(workload, network=mlp(size, 10, activation=("leaky_relu", 0.01)))
    if what == "image":
        return replace(workload, input_shape=(3, size, size))
    return replace(workload, batch=128) if network in (CNN, BIG_CNN) else workload


def measure(
    what: str, panel: Panel, contenders: list[str], rounds: int, seconds: float
) -> dict[str, dict[str, dict[int, float]]]:
    """Return the seconds of a step by network, contender and size; print each as it is found."""
    found: dict[str, Any] = {}
    missing: dict[str, str] = {}
    print(f"\n{what}: milliseconds of a step by {panel.label}")
    for network in panel.networks:
        found[network] = {name: {} for name in contenders}
        for size in panel.sizes:
            workload = grown(what, network, size)
            threads = dict.fromkeys(contenders, size)
            if what != "threads":
                threads = {n: timing.best_threads(n, workload, seconds) for n in contenders}
            with timing.running(workload, threads, seconds) as (workers, skipped):
                missing |= skipped
                for name, rates in timing.rates(workers, rounds, seconds).items():
                    found[network][name][size] = workload.batch / statistics.median(rates)
            row = (f"{n} {1e3 * s[size]:.3f}" for n, s in found[network].items() if size in s)
            print(f"  {network:<10}{size:>6}  {'  '.join(row)}", flush=True)
    for name, reason in missing.items():
        print(f"  {name} skipped: {reason}")
    return found


def main() -> None:
    """Measure, print, plot, write."""
    parser = options("benchmarks.growth", __doc__, PANELS, seconds=0.5)
    option = parser.add_argument
    option("--against", default="torch", help="peers, with commas (default: torch)")
    option("--rounds", type=int, default=5, help="how often each is timed (default: 5)")
    option("--plot", metavar="FILE", type=writable, help="draw it; needs matplotlib")
    args = parser.parse_args()
    names = ["portanet", *chosen(parser, args.against, list(CONTENDERS)[1:])]
    panels = {what: PANELS[what] for what in chosen(parser, args.only, PANELS)}
    rounds, seconds = args.rounds, args.seconds
    if args.quick:
        panels = {what: panel.quick() for what, panel in panels.items()}
        rounds, seconds = 1, 0.02
    if args.plot:
        try:
            from benchmarks.plot import check, draw

            check(args.plot)
        except (ImportError, ValueError) as error:
            parser.error(f"--plot: {error}; install it with: pip install matplotlib")
    print(f"{machine()}; medians of {rounds} rounds of {seconds:g} s")
    figures = {w: measure(w, panel, names, rounds, seconds) for w, panel in panels.items()}
    write(args.json, figures=figures)
    if args.plot:
        draw(args.plot, {what: panel.label for what, panel in panels.items()}, figures)


if __name__ == "__main__":
    main()

"""``python -m benchmarks.profile``: where portanet's training step spends its time."""

import statistics
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.command import chosen, machine, options, write
from benchmarks.training import Training
from benchmarks.workloads import SAMPLES, WORKLOADS, Workload
from portanet.cpus import usable_cpus
from portanet.nn import Context, Layer
from portanet.train.source import Batch

Times = dict[tuple[str, str], float]  # seconds, by what and "forward", "backward" or ""


class Watch:
    """A stopwatch for functions, by name; `seconds` are those of the step that runs."""

    def __init__(self) -> None:
        self.seconds: Times = defaultdict(float)

    def timed(self, name: str, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function; its time is added up under the name."""

        def run(*args: Any, **options: Any) -> Any:
            start = perf_counter()
            result = function(*args, **options)
            self.seconds[name, part] += perf_counter() - start
            return result

        return run

    def vjp(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a layer's or a loss's `vjp`; it and its pullback are timed."""
        forward = self.timed(name, "forward", function)

        def run(*args: Any, **options: Any) -> Any:
            y, pullback = forward(*args, **options)
            return y, self.timed(name, "backward", pullback)

        return run


class WatchedContext(Context):
    """A context that times the layers as composites run them, those that are none themselves."""

    __slots__ = ("watch",)

    def __init__(self, ctx: Context, watch: Watch) -> None:
        super().__init__(
            ctx.training, ctx.rng, ctx.needs_input_grad, ctx.needs_pullback, ctx.first_sample
        )
        self.updates, self.watch = ctx.updates, watch

    def child(self, name: str, needs_input_grad: bool = True) -> Context:
        """Return the context of a composite's child, which is watched, too."""
        child = super().child(name, needs_input_grad)
        child.watch = self.watch  # type: ignore[attr-defined]
        return child

    def run(self, name: str, layer: Layer, x: Any, needs_input_grad: bool = True) -> Any:
        """Run and time a layer; a composite's time is its layers' and what is left over."""
        run = super().run
        if not layer.children:
            run = self.watch.vjp(".".join((*self._path, name)), run)
        return run(name, layer, x, needs_input_grad)


class Stand:
    """Something with some of its methods replaced."""

    def __init__(self, inner: Any, **methods: Callable[..., Any]) -> None:
        self._inner = inner
        vars(self).update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def watched(training: Training, watch: Watch) -> Training:
    """Return the same training with everything that takes time watched."""
    model, loss, optimizer, loader, *_ = training
    return training._replace(
        model=Stand(model, vjp=lambda x, ctx: model.vjp(x, WatchedContext(ctx, watch))),
        loss=Stand(loss, vjp=watch.vjp("loss", loss.vjp)),
        optimizer=Stand(optimizer, step=watch.timed("optimizer", "", optimizer.step)),
        loader=Stand(loader, gather=watch.timed("gathering the batch", "", loader.gather)),
    )


def profile(workload: Workload, threads: int, seconds: float) -> Any:
    """Return the medians over many steps: of the step, unwatched and watched, and of its parts."""
    rng, watch = np.random.default_rng(1), Watch()
    training = Training.of(workload, *workload.data(), threads=1)
    found: list[Times] = []
    whole: dict[bool, list[float]] = {False: [], True: []}
    with threadpool_limits(threads, user_api="blas"), training.team:
        steps = {False: training.step, True: watched(training, watch).step}
        for _ in range(3):
            training.step(np.arange(workload.batch))
        end = perf_counter() + seconds
        while perf_counter() < end or len(found) < 3:
            for is_watched, step in steps.items():
                indices = rng.integers(0, SAMPLES, workload.batch)
                watch.seconds = defaultdict(float)
                start = perf_counter()
                step(indices)
                whole[is_watched].append(perf_counter() - start)
            watch.seconds["the rest", ""] = whole[True][-1] - sum(watch.seconds.values())
            found.append(watch.seconds)
        batch = Batch(*training.loader.gather(indices), None)
        parts = len(list(training.team.parts(batch)))
    kinds = {name: type(layer).__name__ for name, layer in training.model.named_layers()}
    rows: dict[str, Any] = {}
    for name in ("gathering the batch", *kinds, "loss", "optimizer", "the rest"):
        times = {p: [t[n, p] for t in found] for n, p in found[0] if n == name}
        if times:
            medians = {part: statistics.median(values) for part, values in times.items()}
            rows[name] = {"kind": kinds.get(name, ""), "seconds": medians}
    return {
        "threads": threads,
        "parts": parts,
        "steps": len(found),
        "seconds": statistics.median(whole[False]),
        "watched_seconds": statistics.median(whole[True]),
        "rows": rows,
    }


def report(found: Any) -> None:
    """Print one profile."""
    how = f"{found['threads']} thread" + "s" * (found["threads"] > 1)
    if found["parts"] > 1:
        how += f", the batch's {found['parts']} parts one after another"
    print(
        f"  {how}: {1e3 * found['seconds']:.3f} ms a step, {1e3 * found['watched_seconds']:.3f} "
        f"watched (medians of {found['steps']})"
    )
    print(f"    {'milliseconds':<28}{'forward':>10}{'backward':>10}{'both':>10}{'share':>8}")
    for name, row in found["rows"].items():
        total = sum(row["seconds"].values())
        values = [row["seconds"].get("forward"), row["seconds"].get("backward"), total]
        cells = "".join(f"{'' if v is None else f'{1e3 * v:.3f}':>10}" for v in values)
        share = total / found["watched_seconds"]
        print(f"    {name + ' ' + row['kind']:<28}{cells}{share:>8.1%}")


def main() -> None:
    """Profile the workloads, print, write."""
    parser = options("benchmarks.profile", __doc__, WORKLOADS, seconds=3.0)
    args = parser.parse_args()
    figures: dict[str, Any] = {}
    print(machine())
    print(
        "Batches of images are cut into parts, which training shares out to threads; here one\n"
        "thread does them one after another. Batches of vectors stay whole, on the BLAS's threads."
    )
    for name in chosen(parser, args.only, WORKLOADS):
        workload = WORKLOADS[name]
        print(f"\n{name}: {workload.what}, batch {workload.batch}")
        counts = {1} if len(workload.input_shape) == 3 else {1, usable_cpus()}
        figures[name] = []
        for threads in sorted(counts):
            found = profile(workload, threads, 0.05 if args.quick else args.seconds)
            figures[name].append(found)
            report(found)
    write(args.json, figures=figures)


if __name__ == "__main__":
    main()

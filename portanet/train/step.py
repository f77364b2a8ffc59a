"""One training step, as a function: forward, loss, backward, over one batch or several."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import nan
from typing import Any

from portanet.backend import Array, Backend
from portanet.checks import integer
from portanet.nn.context import Context, Gradients
from portanet.nn.layer import Layer
from portanet.nn.loss import Loss
from portanet.nn.running import pulled
from portanet.random import Key
from portanet.train.batch import NO_BATCH, Batch
from portanet.train.metric import Metric, total
from portanet.train.parallel import Part, Team

COUNT = " count"  # what a metric's sum is to be divided by, beside its name
Numbers = dict[str, Any]


class Sums:
    """Sums over samples that stay on the device until somebody reads them.

    Values are kept as they come and brought to the host together, so that no step waits.
    """

    READ_EVERY = 512  # steps; bounds the memory of long epochs

    def __init__(self, backend: Backend, reduction: str = "mean") -> None:
        self._backend, self._reduction = backend, reduction
        self._pending: list[dict[str, Any]] = []
        self._rows: list[dict[str, float]] = []

    def add(self, **values: float | Array) -> None:
        """Add one row of numbers or arrays of shape (); every row has the same names."""
        self._pending.append(values)
        if len(self._pending) >= self.READ_EVERY:
            self.rows()

    def rows(self) -> list[dict[str, float]]:
        """Return all rows as floats; this waits for the device."""
        if self._pending:
            columns = {
                name: self._read([row[name] for row in self._pending]) for name in self._pending[0]
            }
            self._rows += [
                {name: column[k] for name, column in columns.items()}
                for k in range(len(self._pending))
            ]
            self._pending = []
        return self._rows

    def means(self) -> dict[str, float]:
        """Return the loss over its normalizers, and the other sums over what they count.

        A loss that is a sum is summed: it is that of all samples, however they came in batches.
        Steps that were undone are left out, and counted.
        """
        rows = [row for row in self.rows() if not row.get("undone")]
        if not rows:
            raise FloatingPointError(
                f"all {len(self.rows())} steps were undone, for numbers not finite"
            )
        sums = {name: sum(row[name] for row in rows) for name in rows[0]}
        normalizer = sums.pop("normalizer")
        del sums["samples"]
        undone = {"undone": float(len(self.rows()) - len(rows))} if "undone" in sums else {}
        sums.pop("undone", None)
        if normalizer == 0:
            raise ValueError("all samples weigh 0, or are ignored: there is no mean loss")
        means = {"loss": sums.pop("loss")}
        if self._reduction == "mean":
            means["loss"] = sum(row["loss"] * row["normalizer"] for row in rows) / normalizer
        for name in [name for name in sums if not name.endswith(COUNT)]:
            means[name] = sums[name] / sums[name + COUNT] if sums[name + COUNT] else nan
        return means | undone

    def _read(self, values: list[Any]) -> list[float]:
        arrays = [value for value in values if not isinstance(value, (int, float))]
        if not arrays:  # nothing to wait for
            return [float(value) for value in values]
        read = iter(self._backend.to_numpy(self._backend.xp.stack(arrays)))
        return [float(v if isinstance(v, (int, float)) else next(read)) for v in values]


def gradients(
    model: Layer,
    loss: Loss,
    batches: Sequence[Batch],
    key: Key,
    metrics: Mapping[str, Metric],
    team: Team,
) -> tuple[Gradients, dict[str, float | Array]]:
    """Return the gradients of the mean loss over all samples of the batches, and their numbers.

    The batches, and the parts that the team cuts them into, share one normalizer, so the sum of
    their gradients is the gradient of the whole. It is taken in the parts' order. Buffers (running
    statistics) are updated batch by batch.
    """
    normalizer = sum(loss.normalizer(batch.y, batch.weight) for batch in batches)
    parts = [(k, part) for k, batch in enumerate(batches) for part in team.parts(batch)]

    def run(item: tuple[int, Part]) -> tuple[Gradients, Numbers]:
        number, ((x, y, weight), first) = item
        ctx = Context(True, key.child(number), needs_input_grad=False, first_sample=first)
        scores, pullback = model.vjp(x, ctx)
        value, loss_pullback = loss.vjp(scores, y, weight, normalizer)
        _, grads = pulled(pullback, loss_pullback(), model)
        ctx.apply_updates()
        return grads, {"loss": value} | _totals(metrics, scores, y)

    grads, numbers = map(_sum, zip(*team.map(run, parts), strict=True))
    samples = sum(batch.x.shape[0] for batch in batches)
    return grads, numbers | {"normalizer": normalizer, "samples": samples}


def gradients_alone(model: Layer, loss: Loss, batch: Batch, key: Key, samples: int) -> Gradients:
    """Return the gradients for a batch's first samples, taken whole, and change nothing."""
    x, y, weight = (None if part is None else part[:samples, ...] for part in batch)
    scores, pullback = model.vjp(x, Context(True, key, needs_input_grad=False))
    return pullback(loss.vjp(scores, y, weight)[1]())[1]


def evaluation(
    model: Layer,
    loss: Loss,
    batches: Iterable[Batch],
    metrics: Mapping[str, Metric],
    team: Team,
) -> dict[str, float]:
    """Return the mean loss and metrics over all samples of the batches, in inference mode."""
    sums = Sums(team.backend, loss.reduction)
    ctx = Context(needs_input_grad=False, needs_pullback=False)
    for batch in batches:
        normalizer = loss.normalizer(batch.y, batch.weight)

        def run(part: Part, normalizer: float | Array = normalizer) -> Numbers:
            x, y, weight = part.batch
            scores = model.vjp(x, ctx)[0]
            value = loss.vjp(scores, y, weight, normalizer)[0]
            return {"loss": value} | _totals(metrics, scores, y)

        numbers = _sum(team.map(run, list(team.parts(batch))))
        sums.add(**numbers, normalizer=normalizer, samples=batch.x.shape[0])
    if not sums.rows():
        raise ValueError(f"evaluation: {NO_BATCH}")
    return sums.means()


def prediction(model: Layer, batches: Iterable[Array], team: Team) -> Array:
    """Return the model's scores for batches of x in inference mode."""
    scores: list[Array] = []
    for x in batches:
        parts = list(team.parts(Batch(x, None, None)))
        scores += team.map(lambda part: model(part.batch.x), parts)
    return team.backend.xp.concat(scores, axis=0)


def _totals(metrics: Mapping[str, Metric], scores: Array, target: Array) -> Numbers:
    totals: Numbers = {}
    for name, metric in metrics.items():
        totals[name], totals[name + COUNT] = total(name, metric, scores, target)
    return totals


def _sum(parts: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """Return the sum of dicts with the same names, in the order in which they come."""
    first, *others = parts
    for other in others:
        first = {name: first[name] + value for name, value in other.items()}
    return first


def joined(accumulate: int, loss: Loss) -> int:
    """Return how many batches make an update, or raise ValueError where the loss cannot be so."""
    accumulate = integer("accumulate", accumulate)
    if accumulate > 1 and loss.couples_samples:
        raise ValueError(
            f"accumulate={accumulate}: {type(loss).__name__} compares the samples of a batch, so "
            "it is no sum over several; take larger batches"
        )
    return accumulate


def grouped(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    """Yield lists of `size` batches; the last may be shorter."""
    while group := list(islice(batches, size)):
        yield group

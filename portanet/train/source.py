"""Where batches come from: arrays, loaders and iterables, checked and brought to the model."""

from collections.abc import Iterator, Mapping
from inspect import isfunction
from itertools import islice
from typing import Any
from warnings import warn

from portanet.backend import Array, Backend
from portanet.data.loader import DataLoader, common_length
from portanet.nn.context import Context
from portanet.nn.layer import Layer
from portanet.nn.loss import Loss
from portanet.nn.running import output
from portanet.random import Key
from portanet.train.batch import (
    NO_BATCH,
    Batch,
    as_array,
    bring,
    bring_weight,
    check_finite,
    check_weight,
    in_main_memory,
    parts_of,
    two_of,
)
from portanet.train.class_weight import ClassWeight, class_weights
from portanet.train.given import batches_of, is_mapped
from portanet.train.memory import coupling_layers
from portanet.train.metric import Metric, total


class Source:
    """The batches of a run.

    `data` is a tuple of arrays (x, y) or (x, y, sample_weight), a DataLoader over such a tuple, or
    any iterable of such tuples. Floating-point numbers take the model's dtype; class indices become
    int64. Arrays are brought to the model's backend at once; what a loader or an iterable yields,
    and memory maps, batch by batch, while the device may be at the step before. Where several
    batches make an update, an iterable's are copied: it may refill one buffer. `accumulate` says
    how many do; 0, that nothing is trained.

    Values are checked where that is free of waiting: arrays once, here; batches of an iterable
    while they are in main memory. Raises ValueError for samples that are not finite, impossible
    targets, negative weights and lengths that differ, and TypeError for other data.
    """

    def __init__(
        self,
        data: Any,
        model: Layer,
        loss: Loss,
        backend: Backend,
        *,
        batch_size: int | None = None,
        shuffle: bool | None = None,
        accumulate: int = 0,
        replacement: bool = False,
        seed: int = 0,
        sample_weight: Array | None = None,
        class_weight: ClassWeight = None,
    ) -> None:
        self._model, self._loss, self._backend = model, loss, backend
        self._carrier = backend.overlapped()  # brings the batches
        self._few: Array | None = None  # the scores of two samples
        self._class_weight, self._class_array = class_weight, None
        self._data = data = batches_of(
            data,
            backend,
            batch_size=batch_size,
            shuffle=shuffle,
            replacement=replacement,
            seed=seed,
            training=accumulate > 0,
            sample_weight=sample_weight,
        )
        self._copied = accumulate > 1 and not isinstance(data, DataLoader)
        self._checked = False  # whether the values of all batches have been
        self._ready = False  # whether batches come as the model takes them
        self.steps: int | None = len(data) if hasattr(data, "__len__") else None
        if isinstance(data, DataLoader):
            self._checked = not any(map(is_mapped, data.arrays))
            if self._checked:
                parts = parts_of(data.arrays)
                self._check(*parts, data)
                few = [None if part is None else part[:1, ...] for part in parts]
                self._ready = data.transform is None and all(
                    a is b for a, b in zip(few, self._brought(*few), strict=True)
                )

    @property
    def repeatable(self) -> bool:
        """Whether an epoch's batches can be had again."""
        return isinstance(self._data, DataLoader) or iter(self._data) is not self._data

    def layout(self) -> dict[str, Any]:
        """Return what decides which samples an epoch's batches hold."""
        data = self._data
        return data.layout() if isinstance(data, DataLoader) else {"batches": self.steps}

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from 0, from its `first` on."""
        data = self._data
        if isinstance(data, DataLoader):
            batches = data.batches(epoch, first)
        else:
            if first and not self.repeatable:
                raise ValueError(
                    "an iterator does not begin again, so the epoch that was left cannot go on: "
                    "give a DataLoader, a list, or an object whose iteration begins anew"
                )
            if first and not isinstance(data, list):
                warn(
                    f"the epoch goes on with batch {first} of {type(data).__name__}: right only if "
                    "its batches come in the order that they had before",
                    stacklevel=2,
                )
            batches = islice(data, first, None)
        for count, parts in enumerate(batches, first):
            x, y, weight = parts_of(parts)
            if not self._ready:
                x, y = as_array(self._carrier, x), as_array(self._carrier, y)
                weight = None if weight is None else as_array(self._carrier, weight)
                if not self._checked and in_main_memory(x) and in_main_memory(y):
                    try:
                        self._check(x, y, weight)
                    except ValueError as error:
                        raise ValueError(f"batch {count} of epoch {epoch}: {error}") from error
                x, y, weight = self._brought(x, y, weight)
            if self._copied:
                x, y, weight = (self._copy(part) for part in (x, y, weight))
            yield Batch(x, y, self._weighted(x, y, weight))

    def try_out(self, metrics: Mapping[str, Metric], epochs: int, *, to_the_end: bool) -> None:
        """Raise what would else come only when the run is under way: ValueError and the like.

        Of data that are here, a list's first batch among them, two samples are weighted and given
        to the metrics, as in a step. In training, where epochs are gone through `to_the_end`, a
        last batch of one sample is tried on a model that compares the samples of a batch.
        """
        data = self._data
        if self.steps == 0:
            raise ValueError(NO_BATCH)
        # A class's own __iter__ may begin anew each time.
        if epochs > 1 and isinstance(data, Iterator) and not isfunction(type(data).__iter__):
            raise ValueError(
                f"{epochs} epochs of {type(data).__name__}, an iterator, which can be used only "
                "once: give a DataLoader, a list, or an object whose iteration begins anew"
            )
        if isinstance(data, list):
            x, y, _ = next(self.batches(0))
        elif self._checked and isinstance(data, DataLoader):
            x, y, weight = self._brought(*parts_of(data.probe()))
            self._weighted(x, y, weight)
        else:
            return
        for name, metric in metrics.items():
            total(name, metric, self._scores(x), two_of(y))
        if not isinstance(data, DataLoader):
            return
        full = data.drop_last or data.replacement
        alone = data.batch_size == 1 or (not full and data.samples % data.batch_size == 1)
        if to_the_end and alone and coupling_layers(self._model):
            try:
                self._model.vjp(x[:1, ...], Context(True, Key(0), needs_pullback=False))
            except ValueError as error:
                raise ValueError(
                    f"{data.samples} samples in batches of {data.batch_size} leave one for the "
                    f"last: {error}; take another batch_size, or a DataLoader with drop_last=True"
                ) from error

    def check_weight(self, what: str) -> None:
        """Raise ValueError where arrays' samples all weigh nothing: there would be no mean loss."""
        if self._checked and isinstance(self._data, DataLoader):
            _, y, weight = parts_of(self._data.arrays)
            if float(self._loss.normalizer(bring(self._backend, y), weight)) == 0.0:
                raise ValueError(f"{what}: all samples weigh 0, or are ignored")

    def _brought(self, x: Any, y: Any, weight: Any) -> tuple[Array, Array, Array | None]:
        to = self._carrier
        return bring(to, x), bring(to, y), None if weight is None else bring_weight(to, weight)

    def _copy(self, part: Array | None) -> Array | None:
        return None if part is None else self._backend.xp.asarray(part, copy=True)

    def _weighted(self, x: Array, y: Array, weight: Array | None) -> Array | None:
        """Return the samples' weights, each times its class's."""
        if self._class_weight is None:
            return weight
        xp, weights = self._backend.xp, self._weights(x, y)
        # Ignored labels need not be indices; the loss gives them no weight.
        within = xp.minimum(xp.maximum(y, 0), weights.shape[0] - 1)
        by_class = xp.take(weights, within, axis=0)
        return by_class if weight is None else weight * by_class

    def _check(self, x: Any, y: Any, weight: Any, loader: DataLoader | None = None) -> None:
        common_length(tuple(a for a in (x, y, weight) if a is not None))
        check_finite("x", x)
        check_finite("y", y)
        if weight is not None:
            check_weight("sample_weight", weight)
        if loader is not None and loader.transform is not None:
            # The model may fit only what the loader makes of the samples.
            x, *_ = loader.probe()
        self._model.check(x)
        self._loss.check(tuple(self._scores(x).shape), y)

    def _scores(self, x: Any) -> Array:
        """Return the model's scores of two samples; it is run on them once."""
        if self._few is None:
            few = bring(self._backend, two_of(x))  # one would not do for every normalization
            scores, _ = output(self._model, few, Context(needs_pullback=False))
            if tuple(scores.shape[:1]) != tuple(few.shape[:1]):
                raise ValueError(
                    f"the model turns samples of shape {tuple(few.shape)} into scores of shape "
                    f"{tuple(scores.shape)}: the first axis must stay the batch"
                )
            self._few = scores
        return self._few

    def _weights(self, x: Array, y: Array) -> Array:
        """Return the classes' weights as an array (K,)."""
        if self._class_array is None:
            if y.ndim != 1:
                raise ValueError("class_weight needs targets that are class indices (N,)")
            classes = self._scores(x).shape[-1]
            self._class_array = class_weights(self._class_weight, classes, self._backend)
        return self._class_array

"""Where batches come from: arrays, loaders and iterables, checked and brought to the model."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from math import inf
from typing import Any, NamedTuple

from portanet.backend import Array, Backend, backend_of
from portanet.checks import number
from portanet.data.loader import DataLoader, common_length
from portanet.nn.context import Context
from portanet.nn.layer import Layer
from portanet.nn.loss import Loss

ClassWeight = Mapping[int, float] | Array | None


class Batch(NamedTuple):
    """What one forward pass takes, on the model's backend."""

    x: Array
    y: Array
    weight: Array | None


class Source:
    """The batches of a run.

    `data` is a tuple of arrays (x, y) or (x, y, sample_weight), a DataLoader over such a tuple, or
    any iterable of such tuples. Floating-point numbers take the model's dtype; class indices become
    int64. Arrays are brought to the model's backend at once, memory maps and what an iterable
    yields batch by batch.

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
        default_size: int = 32,
        shuffle: bool = False,
        replacement: bool = False,
        seed: int = 0,
        sample_weight: Array | None = None,
        class_weight: ClassWeight = None,
    ) -> None:
        self._model, self._loss, self._backend = model, loss, backend
        self._shape: tuple[int, ...] | None = None
        self._class_weight, self._class_array = class_weight, None
        self._data: DataLoader | Iterable[Any]
        self._ready = False  # whether batches come as the model takes them
        if _is_arrays(data):
            if sample_weight is not None and len(data) == 3:
                raise ValueError("the data holds weights already: (x, y, weight), or sample_weight")
            arrays = data if sample_weight is None else (*data, sample_weight)
            kinds = (self._bring, self._bring, self._bring_weight)
            arrays = tuple(
                a if _is_mapped(a) else bring(a) for a, bring in zip(arrays, kinds, strict=False)
            )
            size = default_size if batch_size is None else batch_size
            data = DataLoader(arrays, size, shuffle=shuffle, replacement=replacement, seed=seed)
            self._ready = not any(map(_is_mapped, arrays))
        elif batch_size is not None:
            raise ValueError("batch_size goes with arrays; a loader or an iterable has its own")
        elif sample_weight is not None:
            raise ValueError(
                "sample_weight goes with arrays; a loader or an iterable yields (x, y, weight)"
            )
        elif not isinstance(data, Iterable):
            raise TypeError(
                "expected a tuple of arrays (x, y), a DataLoader or an iterable of batches, "
                f"got {type(data).__name__}"
            )
        self._data = data
        self._checked = False
        self.steps: int | None = len(data) if hasattr(data, "__len__") else None
        if isinstance(data, DataLoader):
            self._checked = not any(map(_is_mapped, data.arrays))
            if self._checked:
                self._check(*_parts(data.arrays), data)

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
            batches = islice(data, first, None)
        for count, parts in enumerate(batches, first):
            x, y, weight = map(self._as_array, _parts(parts))
            if not self._checked and all(_in_main_memory(a) for a in (x, y)):
                try:
                    self._check(x, y, weight)
                except ValueError as error:
                    raise ValueError(f"batch {count} of epoch {epoch}: {error}") from error
            yield self._batch(x, y, weight)

    def check_weight(self, what: str) -> None:
        """Raise ValueError where arrays' samples all weigh nothing: there would be no mean loss."""
        if self._checked and isinstance(self._data, DataLoader):
            _, y, weight = _parts(self._data.arrays)
            if float(self._loss.normalizer(self._bring(y), weight)) == 0.0:
                raise ValueError(f"{what}: all samples weigh 0, or are ignored")

    def _batch(self, x: Array, y: Array, weight: Array | None) -> Batch:
        if not self._ready:
            x, y = self._bring(x), self._bring(y)
            weight = None if weight is None else self._bring_weight(weight)
        if self._class_weight is not None:
            xp, weights = self._backend.xp, self._weights(x, y)
            # Ignored labels need not be indices; the loss gives them no weight.
            within = xp.minimum(xp.maximum(y, 0), weights.shape[0] - 1)
            by_class = xp.take(weights, within, axis=0)
            weight = by_class if weight is None else weight * by_class
        return Batch(x, y, weight)

    def _as_array(self, part: Any) -> Any:
        return part if part is None or hasattr(part, "device") else self._backend.asarray(part)

    def _bring(self, array: Any) -> Array:
        array = self._backend.asarray(array)
        if self._backend.xp.isdtype(array.dtype, "integral") and array.ndim == 1:
            return self._backend.asarray(array, "int64")
        return array

    def _bring_weight(self, array: Any) -> Array:
        return self._backend.asarray(array, self._backend.dtype)

    def _check(self, x: Any, y: Any, weight: Any, loader: DataLoader | None = None) -> None:
        common_length(tuple(a for a in (x, y, weight) if a is not None))
        for what, array in (("x", x), ("y", y), ("sample_weight", weight)):
            if array is not None:
                _check_finite(what, array)
        if weight is not None and not bool(backend_of(weight).xp.all(weight >= 0)):
            raise ValueError("sample_weight must not be negative")
        if loader is not None and loader.transform is not None:
            # The model may fit only what the loader makes of the samples.
            (x,) = loader.transformed((x[:2, ...],))
        self._model.check(x)
        self._loss.check(self._scores_shape(x), y)

    def _scores_shape(self, x: Any) -> tuple[int, ...]:
        """Return the shape of the model's output, by running it once on two samples."""
        if self._shape is None:
            few = self._bring(x[:2, ...])  # one would not do for every normalisation
            scores = self._model.vjp(few, Context(needs_pullback=False))[0]
            self._shape = tuple(scores.shape)
            if self._shape[:1] != tuple(few.shape[:1]):
                raise ValueError(
                    f"the model turns samples of shape {tuple(few.shape)} into scores of shape "
                    f"{self._shape}: the first axis must stay the batch"
                )
        return self._shape

    def _weights(self, x: Array, y: Array) -> Array:
        """Return the classes' weights as an array (K,)."""
        if self._class_array is None:
            if y.ndim != 1:
                raise ValueError("class_weight needs targets that are class indices (N,)")
            classes = self._scores_shape(x)[-1]
            given = self._class_weight
            if isinstance(given, Mapping):
                unknown = [c for c in given if c not in range(classes)]
                if unknown:
                    raise ValueError(f"class_weight: there are no classes {unknown}")
                pairs = [(f"class_weight[{c}]", given.get(c, 1.0)) for c in range(classes)]
                given = [number(what, value, low=-inf) for what, value in pairs]
            array = self._backend.asarray(given, self._backend.dtype)
            if tuple(array.shape) != (classes,):
                got = tuple(array.shape)
                raise ValueError(f"class_weight: expected {classes} weights, got shape {got}")
            _check_finite("class_weight", array)
            if not bool(self._backend.xp.all(array >= 0)):
                raise ValueError("class_weight must not be negative")
            self._class_array = array
        return self._class_array


def _parts(batch: Any) -> tuple[Any, Any, Any]:
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        raise TypeError(
            "expected batches (x, y) or (x, y, sample_weight), got "
            + (f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else type(batch).__name__)
        )
    return batch[0], batch[1], batch[2] if len(batch) == 3 else None


def _is_arrays(data: Any) -> bool:
    return (
        isinstance(data, tuple)
        and len(data) in (2, 3)
        and all(hasattr(part, "shape") or isinstance(part, list) for part in data)
    )


def _is_mapped(array: Any) -> bool:
    """Say whether an array is a view of a file, which may be larger than memory."""
    from numpy import memmap

    return isinstance(array, memmap)


def _in_main_memory(array: Any) -> bool:
    return str(getattr(array, "device", "cpu")) == "cpu"


def _check_finite(what: str, array: Any) -> None:
    xp = backend_of(array).xp
    if not xp.isdtype(array.dtype, "real floating") or bool(xp.all(xp.isfinite(array))):
        return
    bad = xp.any(xp.reshape(~xp.isfinite(array), (array.shape[0], -1)), axis=1)
    first = int(xp.argmax(xp.astype(bad, xp.int64)))
    raise ValueError(f"{what} contains numbers that are not finite, first in sample {first}")

"""Batches from arrays: shuffled by seed, gathered where the arrays live."""

from collections.abc import Callable, Iterator
from typing import Any

from portanet.backend import Array, Backend, backend_of
from portanet.checks import CheckedOptions, flag, integer
from portanet.data.transform import apply, as_transform
from portanet.random import Key
from portanet.registry import find_backend

Batch = tuple[Array, ...]


class DataLoader(metaclass=CheckedOptions):
    """Cuts arrays of equal length into batches: ``for x, y in DataLoader((x, y), batch_size=32)``.

    Args:
        data: one array, or a tuple of arrays of any backend, memory maps among them; samples are
            along their first axis.
        batch_size: samples in a batch; the last one of an epoch may have fewer.
        shuffle: whether each epoch takes the samples in a new order, drawn from `seed`.
        drop_last: leave out a last batch that is not full.
        seed: of the order; the same seed gives the same batches on every backend.
        replacement: draw every batch at random from all samples, so that one may come twice.
        transform: what is done to each batch's first array, such as augmentation: a function
            ``transform(x, key, first)``, `first` being the place of the batch's first sample in the
            epoch. The key is the seed's and the epoch's, so the same epoch gives the same images.
            It may work in place, and returns the changed x.

    Batches are tuples of arrays, as many as `data` holds. Iterating again gives the next epoch's
    order; ``loader.batches(epoch)`` gives any epoch's.

    Raises ValueError for arrays of different lengths, empty ones, and where `drop_last` leaves no
    batch.
    """

    def __init__(
        self,
        data: Array | tuple[Array, ...],
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        replacement: bool = False,
        transform: Callable[[Array, Key, int], Array] | None = None,
    ) -> None:
        if isinstance(data, list):
            raise TypeError("data must be an array or a tuple of arrays, got a list")
        self.arrays: Batch = data if isinstance(data, tuple) else (data,)
        self._backends = tuple(backend_of(array) for array in self.arrays)
        self.samples = common_length(self.arrays)
        self.batch_size = integer("batch_size", batch_size)
        self.shuffle, self.drop_last = flag("shuffle", shuffle), flag("drop_last", drop_last)
        self.replacement = flag("replacement", replacement)
        self.transform = None if transform is None else as_transform("transform must be", transform)
        self.key = Key(seed).child("batches")
        self._epoch = 0
        if len(self) == 0:
            raise ValueError(
                f"drop_last leaves no batch: {self.samples} samples, batch_size {batch_size}"
            )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(self.samples, self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[Batch]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        return self.batches(epoch)

    def layout(self) -> dict[str, Any]:
        """Return what decides which samples the batches hold, as plain numbers by name."""
        names = ("samples", "batch_size", "shuffle", "drop_last", "replacement")
        return {name: getattr(self, name) for name in names} | {"seed": self.key.seed}

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from 0, from its `first` on: always the same."""
        epoch, first = integer("epoch", epoch, least=0), integer("first", first, least=0)
        order = None
        if self.replacement:
            shape = (len(self) * self.batch_size,)
            order = self.key.child(epoch).integers(self.samples, shape)
        elif self.shuffle:
            order = self.key.child(epoch).permutation(self.samples)
        end = self.samples if order is None else len(order)
        if order is not None and len(set(self._backends)) == 1:
            order = self._backends[0].asarray(order)  # at once, not part by part
        ends = len(self) * self.batch_size
        for start in range(first * self.batch_size, ends, self.batch_size):
            stop = min(start + self.batch_size, end)
            batch = self._cut(start, stop) if order is None else self.gather(order[start:stop])
            yield self.transformed(batch, epoch, start)

    def probe(self) -> Batch:
        """Return the first two samples as an epoch gives them."""
        return self.transformed(self._cut(0, min(2, self.samples)))

    def _cut(self, start: int, stop: int) -> Batch:
        """Return samples in their own order: views, but for what a transform may change."""
        x, *others = (array[start:stop, ...] for array in self.arrays)
        if self.transform is not None:
            x = self._backends[0].xp.asarray(x, copy=True)
        return (x, *others)

    def gather(self, indices: Any) -> Batch:
        """Return the samples at these indices, integers (n,) below `samples`.

        They are in main memory, or where the arrays are.

        Whether they are is left to the library, for the sake of a device that is not waited for:
        NumPy raises IndexError, but takes negative ones from the end.
        """
        if getattr(indices, "ndim", None) != 1:
            raise TypeError(f"indices must be integers (n,), got {indices!r}")
        moved: dict[Backend, Array] = {}
        for backend in self._backends:
            if backend not in moved:
                moved[backend] = (
                    indices if find_backend(indices) is backend else backend.asarray(indices)
                )
        return tuple(
            backend.xp.take(array, moved[backend], axis=0)
            for backend, array in zip(self._backends, self.arrays, strict=True)
        )

    def transformed(self, batch: Batch, epoch: int = 0, first: int = 0) -> Batch:
        """Return a batch as an epoch gives it whose order has its samples from `first` on.

        A transform that works in place changes `batch`.
        """
        if self.transform is None:
            return batch
        x, *others = batch
        return (apply(self.transform, x, self.key.child("transform", epoch), first), *others)


def common_length(arrays: tuple[Array, ...]) -> int:
    """Return the length of the arrays' first axes, or raise ValueError where they differ."""
    lengths = [array.shape[0] if array.ndim else 0 for array in arrays]
    if not lengths or 0 in lengths:
        raise ValueError(f"there are no samples: the arrays have lengths {lengths}")
    if len(set(lengths)) > 1:
        raise ValueError(f"the arrays must have equal lengths, got {lengths}")
    return int(lengths[0])

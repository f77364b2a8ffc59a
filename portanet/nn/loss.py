"""Losses: one number for a batch, and its gradient with respect to the scores."""

from math import inf
from numbers import Real
from typing import Any, NoReturn, Protocol

from portanet.backend import Array, backend_of, dtype_name
from portanet.checks import CheckedOptions, word
from portanet.overriding import check_override


class LossPullback(Protocol):
    """The derivative of one call: from the value's gradient to the scores'."""

    def __call__(self, dvalue: float | Array = 1.0) -> Array:
        """Return dscores."""


class Loss(metaclass=CheckedOptions):
    """A loss L(scores, target) = Σₙ wₙ ℓ(scoresₙ, targetₙ) / normalizer.

    `sample_weight` (N,) holds the w, by default 1. The normalizer is by default the batch's own, so
    that the loss is a weighted mean. Where a batch is split, each part is given the normalizer of
    the whole: then the parts' values, and their gradients, sum to the whole's.

    A mean is a sum that is divided: where the sum is beyond the dtype's largest number (3·10³⁸ in
    float32) both are infinite, as PyTorch's; the gradient is not.

    With ``reduction="sum"`` nothing is divided: the normalizer is 1. With ``reduction="none"`` the
    value is no number but the array of the wₙ ℓₙ; a Trainer refuses it, for it has no gradient.

    A loss implements `vjp`, and overrides `normalizer` where it divides by something else than the
    number of samples, each counted with its weight. It may be 0, where all samples weigh 0 or are
    ignored: then the loss and its gradient must be 0, not NaN. A loss that compares samples with
    one another, as contrastive losses and Cox's do, sets ``couples_samples = True`` in its class:
    its batches stay whole, so it need not look at `normalizer`. Of all others a Trainer, and
    `check_gradients`, make sure that the parts of a batch sum to the whole, and that twice the
    weights give, with the same normalizer, twice the loss.
    """

    # Whether a sample's share depends on the others of its batch.
    couples_samples = False
    metrics: tuple[str, ...] = ()  # what a Trainer reports beside this loss by default
    reduction = "mean"
    _last_call: tuple[LossPullback, Array] | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in ("vjp", "normalizer"):
            check_override(cls, name, Loss)

    def vjp(
        self,
        scores: Array,
        target: Array,
        sample_weight: Array | None = None,
        normalizer: float | Array | None = None,
    ) -> tuple[Array, LossPullback]:
        """Return the value and ``pullback(dvalue=1) -> dscores``.

        The value is an array of shape (), or, where `reduction` is "none", of the shape that the
        loss says; dvalue is a number or of the value's shape. Checks shapes and dtypes, but not
        values, for which it would have to wait for the device; `check` does.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define vjp")

    def normalizer(self, target: Array, sample_weight: Array | None = None) -> float | Array:
        """Return what the sum over this batch is divided by; all its parts are given it.

        Raises ValueError where `reduction` is "none".
        """
        if self.reduction == "mean":
            return self._count(target, sample_weight)
        if self.reduction == "none":
            self._fail(
                "reduction='none' gives many values; training, and a batch in parts, need one: "
                "reduction='mean' or 'sum'"
            )
        return 1.0

    def check(self, scores_shape: tuple[int, ...], target: Array) -> None:
        """Raise ValueError where a target is impossible for scores of this shape.

        Of the shape, the number of samples may be another than the target's.
        """

    def __call__(self, scores: Array, target: Array, sample_weight: Array | None = None) -> Array:
        """Return the value, after checking the targets' values, and the weights'."""
        value, _ = self.vjp(scores, target, sample_weight)
        self._check_values(scores, target, sample_weight)
        return value

    def forward(self, scores: Array, target: Array, sample_weight: Array | None = None) -> Array:
        """Return the value, as calling the loss does, and remember the call for one `backward`."""
        value, pullback = self.vjp(scores, target, sample_weight)
        self._check_values(scores, target, sample_weight)
        self._last_call = pullback, value
        return value

    def backward(self, dvalue: float | Array = 1.0) -> Array:
        """Return the gradient of the last `forward` with respect to the scores.

        `dvalue` is a number; where `reduction` is "none", it may be an array as the value.
        """
        if self._last_call is None:
            self._fail("backward needs a forward before it", RuntimeError)
        pullback, value = self._last_call
        if value.ndim == 0 or isinstance(dvalue, int | float):
            dvalue = float(dvalue)
        else:
            backend_of(dvalue, value)
            if dvalue.shape != value.shape or dvalue.dtype != value.dtype:
                self._fail(
                    f"expected dvalue as the value, {dtype_name(value)} of shape "
                    f"{tuple(value.shape)}, got {dtype_name(dvalue)} of shape {tuple(dvalue.shape)}"
                )
        self._last_call = None
        return pullback(dvalue)

    def _check_values(self, scores: Array, target: Array, sample_weight: Array | None) -> None:
        self.check(tuple(scores.shape), target)
        if sample_weight is not None:
            xp = backend_of(sample_weight).xp
            self._require_finite(xp, sample_weight, "sample_weight")
            self._require(xp, sample_weight >= 0, "sample_weight must not be negative")

    def _fail(self, message: str, error: type[Exception] = ValueError) -> NoReturn:
        raise error(f"{type(self).__name__}: {message}")

    def _require(self, xp: Any, fine: Array, message: str) -> None:
        """Raise ValueError with the first sample where something is not fine."""
        if not bool(xp.all(fine)):
            bad = xp.any(xp.reshape(~fine, (fine.shape[0], -1)), axis=1)
            first = int(xp.argmax(xp.astype(bad, xp.int64)))
            self._fail(f"{message}, first in sample {first}")

    def _require_finite(self, xp: Any, array: Array, what: str = "target") -> None:
        if xp.isdtype(array.dtype, "real floating"):
            self._require(xp, xp.isfinite(array), f"{what} contains numbers that are not finite")

    def _accept(self, scores: Array, target: Array, sample_weight: Array | None) -> Any:
        arrays = (scores, target) if sample_weight is None else (scores, target, sample_weight)
        backend = backend_of(*arrays)
        if scores.dtype not in backend.floats:
            self._fail(f"expected floating-point scores, got {dtype_name(scores)}", TypeError)
        n = scores.shape[0] if scores.ndim else 0
        if n == 0:
            self._fail(f"expected at least one sample, got scores of shape {tuple(scores.shape)}")
        if 0 in scores.shape:
            self._fail(f"expected at least one number, got scores of shape {tuple(scores.shape)}")
        if sample_weight is not None and tuple(sample_weight.shape) != (n,):
            got = tuple(sample_weight.shape)
            self._fail(f"expected sample_weight of shape ({n},), got {got}")
        return backend.xp

    def _count(self, target: Array, sample_weight: Array | None) -> float | Array:
        """Return what a mean divides by: the number of samples, each counted with its weight."""
        if sample_weight is None:
            return target.shape[0]
        backend = backend_of(sample_weight)
        if sample_weight.dtype not in backend.floats:  # float16 may be too narrow for the sum
            sample_weight = backend.xp.astype(sample_weight, backend.floats[0])
        return backend.xp.sum(sample_weight)

    def _weighting(
        self,
        xp: Any,
        scores: Array,
        target: Array,
        sample_weight: Array | None,
        normalizer: float | Array | None,
    ) -> tuple[Array | None, float | Array]:
        """Return what each sample is multiplied by, or None, and what all are divided by.

        Both can meet the scores: in dtype and shape. Weights are divided here already.
        """
        divisor: float | Array = 1.0
        if self.reduction == "mean":
            divisor = self.normalizer(target, sample_weight) if normalizer is None else normalizer
        elif normalizer is not None:
            self.normalizer(target, sample_weight)  # refuses "none"; a sum is never divided
        dtype = scores.dtype if sample_weight is None else backend_of(scores).floats[-1]
        # Where all samples weigh 0, so do the loss and its gradient: they are divided by infinity.
        if isinstance(divisor, Real):  # as NumPy's sums are, too: they are no arrays
            divisor = float(divisor) or inf
        else:
            divisor = xp.asarray(divisor, dtype=dtype, device=scores.device)
            divisor = xp.where(divisor == 0, inf, divisor)
        if sample_weight is None:
            return None, divisor
        # Their quotient is of a size that the scores' dtype can hold, whatever they are.
        weights = xp.astype(sample_weight, dtype, copy=False) / divisor
        return by_sample(xp, xp.astype(weights, scores.dtype, copy=False), scores.ndim), 1.0

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_last_call": None}  # a pullback cannot be copied or pickled


def by_sample(xp: Any, values: Array, ndim: int) -> Array:
    """Return values (N,) in a shape that meets arrays (N, …) of `ndim` axes."""
    return values if ndim == 1 else xp.reshape(values, (-1, *(1,) * (ndim - 1)))


def reduction_named(reduction: str) -> str:
    """Return how a loss is reduced, or raise ValueError."""
    return word("reduction", reduction, "mean", "sum", "none")

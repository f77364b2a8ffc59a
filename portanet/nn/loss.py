"""Losses: one number for a batch, and its gradient by the scores."""

from math import prod
from typing import Any, NoReturn, Protocol

from portanet.backend import Array, backend_of, dtype_name
from portanet.checks import Named


class LossPullback(Protocol):
    """The derivative of one call: from the gradient by the value to the one by the scores."""

    def __call__(self, dvalue: float | Array = 1.0) -> Array:
        """Return dscores."""


class Loss(metaclass=Named):
    """A loss L(scores, target) = Σₙ wₙ ℓ(scoresₙ, targetₙ) / normalizer.

    `sample_weight` (N,) holds the w, by default 1. The normalizer is by default the batch's own, so
    that the loss is a weighted mean. Where a batch is split, each part is given the normalizer of
    the whole: then the parts' values, and their gradients, sum to the whole's.

    A loss implements `vjp` and says in `normalizer` what it divides by.
    """

    metrics: tuple[str, ...] = ()  # what a Trainer reports beside this loss by default
    _last_call: LossPullback | None = None

    def vjp(
        self,
        scores: Array,
        target: Array,
        sample_weight: Array | None = None,
        normalizer: float | Array | None = None,
    ) -> tuple[Array, LossPullback]:
        """Return the value, an array of shape (), and ``pullback(dvalue=1) -> dscores``.

        Checks shapes and dtypes, but not values, for which it would have to wait for the device;
        `check` does.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define vjp")

    def normalizer(self, target: Array, sample_weight: Array | None = None) -> float | Array:
        """Return what the sum over this batch is divided by."""
        if sample_weight is None:
            return target.shape[0]
        return backend_of(sample_weight).xp.sum(sample_weight)

    def check(self, scores_shape: tuple[int, ...], target: Array) -> None:
        """Raise ValueError where a target's value is impossible for scores of this shape."""

    def __call__(self, scores: Array, target: Array, sample_weight: Array | None = None) -> Array:
        """Return the value, after checking the targets' values."""
        value, _ = self.vjp(scores, target, sample_weight)
        self.check(tuple(scores.shape), target)
        return value

    def forward(self, scores: Array, target: Array, sample_weight: Array | None = None) -> Array:
        """Return the value, as calling the loss does, and remember the call for one `backward`."""
        value, pullback = self.vjp(scores, target, sample_weight)
        self.check(tuple(scores.shape), target)
        self._last_call = pullback
        return value

    def backward(self, dvalue: float = 1.0) -> Array:
        """Return the gradient of the last `forward` by the scores."""
        if self._last_call is None:
            self._fail("backward needs a forward before it", RuntimeError)
        pullback, self._last_call = self._last_call, None
        return pullback(float(dvalue))

    def _fail(self, message: str, error: type[Exception] = ValueError) -> NoReturn:
        raise error(f"{type(self).__name__}: {message}")

    def _accept(self, scores: Array, target: Array, sample_weight: Array | None) -> Any:
        arrays = (scores, target) if sample_weight is None else (scores, target, sample_weight)
        backend = backend_of(*arrays)
        if scores.dtype not in backend.floats:
            self._fail(f"expected floating-point scores, got {dtype_name(scores)}", TypeError)
        n = scores.shape[0] if scores.ndim else 0
        if n == 0:
            self._fail(f"expected at least one sample, got scores of shape {tuple(scores.shape)}")
        if sample_weight is not None and tuple(sample_weight.shape) != (n,):
            got = tuple(sample_weight.shape)
            self._fail(f"expected sample_weight of shape ({n},), got {got}")
        return backend.xp

    def _weighting(
        self,
        xp: Any,
        scores: Array,
        target: Array,
        sample_weight: Array | None,
        normalizer: float | Array | None,
    ) -> tuple[Array | None, float | Array]:
        """Return the weights and the normalizer as they can meet the scores: in their dtype."""
        if normalizer is None:
            normalizer = self.normalizer(target, sample_weight)
        if type(normalizer) not in (int, float):
            normalizer = xp.asarray(normalizer, dtype=scores.dtype, device=scores.device)
            # Where all samples weigh 0, so do the loss and its gradient.
            normalizer = xp.where(normalizer == 0, xp.ones_like(normalizer), normalizer)
        if sample_weight is not None:
            sample_weight = xp.astype(sample_weight, scores.dtype, copy=False)
        return sample_weight, normalizer

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class CrossEntropyLoss(Loss):
    """Softmax and cross-entropy in one block: ℓ = −Σₖ pₖ log softmax(s)ₖ.

    With z = s − max s: ℓ = Σₖ pₖ (log Σⱼ exp zⱼ − zₖ), dℓ/ds = softmax(s) Σₖ pₖ − p.

    Shapes: scores s (N, K), floating-point; target: class indices (N,), integers in [0, K), for
    which p is one-hot, or p itself (N, K), one-hot or soft, any real dtype. The result has the
    scores' dtype. It is a mean over the batch, weighted by `sample_weight` (N,) where given.
    """

    metrics = ("accuracy",)

    def vjp(
        self,
        scores: Array,
        target: Array,
        sample_weight: Array | None = None,
        normalizer: float | Array | None = None,
    ) -> tuple[Array, LossPullback]:
        """Return the value and the pullback, which keeps exp(z) and p."""
        xp = self._accept(scores, target, sample_weight)
        if scores.ndim != 2:
            self._fail(f"expected scores of shape (N, K), got {tuple(scores.shape)}")
        p = self._distribution(xp, scores, target)
        mass = xp.sum(p, axis=1)
        z = scores - xp.max(scores, axis=1, keepdims=True)
        e = xp.exp(z)
        sums = xp.sum(e, axis=1)
        # A score of −∞ has e = 0; where p is 0, too, it must not make 0 · ∞.
        losses = xp.log(sums) * mass - xp.sum(xp.where(p != 0, z, 0.0) * p, axis=1)
        weights, divisor = self._weighting(xp, scores, target, sample_weight, normalizer)
        if weights is not None:
            losses = losses * weights
        value = xp.sum(losses) / divisor

        def pullback(dvalue: float | Array = 1.0) -> Array:
            d = (e * (mass / sums)[:, None] - p) * (dvalue / divisor)
            return d if weights is None else d * weights[:, None]

        return value, pullback

    def _distribution(self, xp: Any, scores: Array, target: Array) -> Array:
        """Return the targets as p (N, K) in the scores' dtype."""
        n, k = scores.shape
        if tuple(target.shape) == (n, k):
            return xp.astype(target, scores.dtype, copy=False)
        if tuple(target.shape) != (n,):
            got = tuple(target.shape)
            self._fail(f"expected target of shape ({n},) or ({n}, {k}), got {got}")
        if not xp.isdtype(target.dtype, "integral"):
            self._fail(f"class indices must be integers, got {dtype_name(target)}", TypeError)
        labels = xp.astype(target, xp.int64, copy=False)
        classes = xp.arange(k, dtype=xp.int64, device=scores.device)
        return xp.astype(classes[:, None] == labels[None, :], scores.dtype).T

    def check(self, scores_shape: tuple[int, ...], target: Array) -> None:
        """Raise ValueError for a class index outside [0, K)."""
        if target.ndim != 1 or target.shape[0] == 0:
            return
        xp = backend_of(target).xp
        low, high, k = int(xp.min(target)), int(xp.max(target)), scores_shape[-1]
        if low < 0 or high >= k:
            self._fail(
                f"class indices must be in 0 … {k - 1}, as the scores have {k} columns; "
                f"got {low if low < 0 else high}"
            )


class MSELoss(Loss):
    """Mean squared error: ℓ = Σⱼ (sⱼ − tⱼ)² / J over the J numbers of a sample.

    dℓ/ds = 2 (s − t) / J.

    Shapes: scores s and target t (N, …), equal. The result has the scores' dtype. It is a mean over
    the batch, weighted by `sample_weight` (N,) where given.
    """

    def vjp(
        self,
        scores: Array,
        target: Array,
        sample_weight: Array | None = None,
        normalizer: float | Array | None = None,
    ) -> tuple[Array, LossPullback]:
        """Return the value and the pullback, which keeps s − t."""
        xp = self._accept(scores, target, sample_weight)
        if target.shape != scores.shape:
            expected, got = tuple(scores.shape), tuple(target.shape)
            self._fail(f"expected target of the scores' shape {expected}, got {got}")
        difference = scores - xp.astype(target, scores.dtype, copy=False)
        weights, divisor = self._weighting(xp, scores, target, sample_weight, normalizer)
        weighted = difference
        if weights is not None:
            weighted = difference * xp.reshape(weights, (-1, *(1,) * (scores.ndim - 1)))
        value = xp.sum(weighted * difference) / divisor

        def pullback(dvalue: float | Array = 1.0) -> Array:
            return weighted * (2.0 * dvalue / divisor)

        return value, pullback

    def normalizer(self, target: Array, sample_weight: Array | None = None) -> float | Array:
        """Return the number of elements, each counted with its sample's weight."""
        return super().normalizer(target, sample_weight) * prod(target.shape[1:])

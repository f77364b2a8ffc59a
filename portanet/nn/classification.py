"""Losses of classes: how improbable the scores make the targets."""

from typing import Any, ClassVar

from portanet.backend import Array, backend_of
from portanet.checks import number
from portanet.nn.class_loss import ClassLoss, scaled
from portanet.nn.elementwise_loss import ElementwiseLoss
from portanet.nn.fixed import Fixed, Weighted
from portanet.nn.loss import LossPullback
from portanet.special import sigmoid


class CrossEntropyLoss(ClassLoss):
    """Softmax and cross-entropy in one block: ℓ = −Σₖ ωₖ pₖ log softmax(s)ₖ.

    With z = s − max s: log softmax(s)ₖ = zₖ − log Σⱼ exp zⱼ, and with t = ω p:
    dℓ/ds = softmax(s) Σₖ tₖ − t.

    Args:
        weight: ω (K,), by default 1; a list, or an array of any backend.
        ignore_index: samples with this label have no part in the loss, nor in what the mean
            divides by.
        reduction: "mean", "sum", or "none" for the array (N, d₁, …) of the ℓ.
        label_smoothing: ε in [0, 1]: p is replaced by (1 − ε) p + ε/K.

    Shapes: scores s (N, K), or (N, K, d₁, …) for images and sequences, floating-point; target:
    class indices (N, d₁, …), integers in [0, K) or `ignore_index`, for which p is one-hot; or
    floating-point p itself, one-hot or soft, of the scores' shape. The result has the scores'
    dtype. `sample_weight` (N,) weighs the samples.

    The mean is PyTorch's: for class indices it divides by Σ ω of the targets' classes, for p by
    the number of distributions. Where that is 0, as all targets are ignored, so are the loss and
    its gradient (PyTorch: NaN). Source of label smoothing: Szegedy et al., "Rethinking the
    inception architecture for computer vision", 2016.
    """

    takes_probabilities = True

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
        self.label_smoothing = number("label_smoothing", label_smoothing, high=1.0)

    def vjp(
        self,
        scores: Array,
        target: Array,
        sample_weight: Array | None = None,
        normalizer: float | Array | None = None,
    ) -> tuple[Array, LossPullback]:
        """Return the value and the pullback, which keeps what `Kernels.cross_entropy` does."""
        xp = self._accept(scores, target, sample_weight)
        t = self._terms(xp, scores, target, sample_weight, normalizer)
        value, gradient = backend_of(scores).cross_entropy(scores, t, self.reduction == "none")

        def pullback(dvalue: float | Array = 1.0) -> Array:
            return scaled(gradient(), dvalue)

        return value, pullback


class NLLLoss(ClassLoss):
    """Negative log-likelihood of log-probabilities: ℓ = −ωₖ sₖ at the target's class k.

    dℓ/ds is −ωₖ at k and 0 elsewhere. `CrossEntropyLoss` is a `LogSoftmax` and this, in one block.

    Args:
        weight: ω (K,), by default 1; a list, or an array of any backend.
        ignore_index: samples with this label have no part in the loss, nor in what the mean
            divides by.
        reduction: "mean", "sum", or "none" for the array (N, d₁, …) of the ℓ.

    Shapes: scores s (N, K, d₁, …), log-probabilities; target (N, d₁, …), integers in [0, K) or
    `ignore_index`. The result has the scores' dtype. `sample_weight` (N,) weighs the samples. The
    mean divides as that of `CrossEntropyLoss` does.
    """

    def vjp(
        self,
        scores: Array,
        target: Array,
        sample_weight: Array | None = None,
        normalizer: float | Array | None = None,
    ) -> tuple[Array, LossPullback]:
        """Return the value and the pullback, which keeps −dℓ/ds."""
        xp = self._accept(scores, target, sample_weight)
        t = self._terms(xp, scores, target, sample_weight, normalizer)
        # A log-probability of −∞ at another class must not make 0 · ∞.
        gains = xp.where(t != 0, scores, 0.0) * t
        each = self.reduction == "none"

        def pullback(dvalue: float | Array = 1.0) -> Array:
            return scaled(t, -dvalue)

        return -xp.sum(gains, axis=1 if each else None), pullback


class BCEWithLogitsLoss(Weighted, ElementwiseLoss):
    """Sigmoid and binary cross-entropy in one block, for targets of their own for each score.

    ℓ = −ω (π t log σ(s) + (1 − t) log(1 − σ(s))); with q = 1 − t + π t, dℓ/ds = ω (q σ(s) − π t).
    Nothing overflows nor cancels: −log σ(s) = max(−s, 0) + log(1 + exp(−abs(s))).

    Args:
        weight: ω, by default 1: a number or an array that broadcasts to one sample's shape.
        reduction: "mean" over all numbers, "sum", or "none" for the array of the ℓ.
        pos_weight: π, the weight of the positive class, as `weight`: above 1 it favors recall.

    Shapes: scores s and target t (N, …), equal; t in [0, 1], of any real dtype. The result has the
    scores' dtype. `sample_weight` (N,) weighs the samples (PyTorch takes them as `weight`, too).
    """

    metrics = ("binary_accuracy",)
    weight: Fixed | None
    pos_weight: Fixed | None
    weighted: ClassVar = {"weight": None, "pos_weight": None}

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self.weight, self.pos_weight = weight, pos_weight

    def constants(self, scores: Array) -> tuple[Array | None, ...]:
        """Return ω and π, where they are given."""
        given = {"weight": self.weight, "pos_weight": self.pos_weight}
        return tuple(self._fixed(what, fixed, scores) for what, fixed in given.items())

    @staticmethod
    def formula(xp: Any, s: Array, t: Array, weight: Any, pos_weight: Any) -> tuple[Any, ...]:
        """Return ℓ and what the gradient needs."""
        positive = t if pos_weight is None else t * pos_weight
        q = 1.0 if pos_weight is None else 1.0 - t + positive
        e = xp.exp(-xp.abs(s))
        above = xp.maximum(s, xp.zeros_like(s))
        losses = (1.0 - t) * above + positive * (above - s) + q * xp.log1p(e)
        losses = losses if weight is None else losses * weight
        return losses, s, e, q, positive, weight

    @staticmethod
    def gradient(
        xp: Any, s: Array, e: Array, q: Any, positive: Array, weight: Any, scale: Any
    ) -> Array:
        """Return dℓ/ds times `scale`."""
        return (q * sigmoid(xp, s, e) - positive) * (scale if weight is None else scale * weight)

    def _fixed(self, what: str, fixed: Fixed | None, scores: Array) -> Array | None:
        """Return weights as they can meet the scores, or raise ValueError for their shape."""
        if fixed is None:
            return None
        one, shape = tuple(scores.shape[1:]), fixed.shape
        aligned = zip(reversed(shape), reversed((1, *one)), strict=False)
        if len(shape) > 1 + len(one) or any(n not in (1, m) for n, m in aligned):
            self._fail(
                f"{what} of shape {shape} does not broadcast to one sample's shape {one}; "
                "sample_weight weighs the samples"
            )
        return fixed.on(backend_of(scores), scores.dtype)

    def check(self, scores_shape: tuple[int, ...], target: Array) -> None:
        """Raise ValueError for a target of another shape, and for numbers outside [0, 1]."""
        super().check(scores_shape, target)
        xp = backend_of(target).xp
        if not xp.isdtype(target.dtype, "bool"):
            inside = (target >= 0) & (target <= 1)
            self._require(xp, inside, "targets are probabilities, in [0, 1]; got others")

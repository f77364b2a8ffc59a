"""Whether a loss is a weighted sum over samples, whose parts, for threads, sum to the whole."""

from typing import Any

from portanet.backend import Array, backend_of
from portanet.nn.loss import Loss

ADVICE = (
    "Divide the sum over the samples by `normalizer` where it is given; a loss that compares "
    "samples with one another says so with couples_samples = True"
)


def check_parts(loss: Loss, scores: Array, target: Array, sample_weight: Array | None) -> None:
    """Raise ValueError where a loss of two parts, or its gradient, is not that of the whole.

    Both parts are given the normalizer of the whole, and their values are summed. So is the whole,
    with twice the weights: loss and gradient must then be twice what they were. This waits for the
    device. A loss that says that it couples samples is never cut.
    """
    if loss.couples_samples:
        return
    backend, arrays = backend_of(scores), [scores, target, sample_weight]
    xp = backend.xp
    if scores.shape[0] == 1:  # it stands twice
        arrays = [None if array is None else xp.concat([array, array], axis=0) for array in arrays]
    scores, target, sample_weight = arrays
    samples, normalizer = scores.shape[0], loss.normalizer(target, sample_weight)

    def taken(start: int, stop: int, weights: Array | None = sample_weight) -> tuple[float, Array]:
        given = (scores, target, weights)
        x, y, weight = (None if array is None else array[start:stop, ...] for array in given)
        value, pullback = loss.vjp(x, y, weight, normalizer)
        return float(value), pullback()

    value, gradient = taken(0, samples)
    parts = [taken(0, samples // 2), taken(samples // 2, samples)]
    together, *sizes = sum(v for v, _ in parts), value, *(v for v, _ in parts)
    joined = xp.concat([d for _, d in parts], axis=0)
    # So written that numbers that are not finite pass: they are reported elsewhere.
    if abs(together - value) > 1e-3 * sum(map(abs, sizes)):
        found = f"has the value {value:.4g}, but in two parts {together:.4g}"
        loss._fail(f"a batch {found}. {ADVICE}")
    if _differ(xp, joined, gradient):
        loss._fail(f"a batch has another gradient in two parts. {ADVICE}")
    if sample_weight is None:
        return
    if sample_weight.dtype not in backend.floats:
        sample_weight = xp.astype(sample_weight, scores.dtype)
    twice, d = taken(0, samples, 2.0 * sample_weight)
    if abs(twice - 2.0 * value) > 1e-3 * abs(value) or _differ(xp, d, 2.0 * gradient):
        loss._fail(
            "vjp does not weigh the samples by sample_weight: with the same normalizer, twice the "
            "weights must give twice the value and the gradient"
        )


def _differ(xp: Any, a: Array, b: Array) -> bool:
    return float(xp.max(xp.abs(a - b))) > 1e-3 * float(xp.max(xp.abs(b)))

"""Whether a loss can be taken in parts: batches are cut for threads, and joined by `accumulate`."""

from portanet.backend import Array, backend_of
from portanet.nn.loss import Loss


def check_parts(loss: Loss, scores: Array, target: Array, sample_weight: Array | None) -> None:
    """Raise ValueError where a loss of two parts, or its gradient, is not that of the whole.

    Both parts are given the normalizer of the whole, and their values are summed. This waits for
    the device. A loss that says that it couples samples is never cut.
    """
    if loss.couples_samples:
        return
    xp, arrays = backend_of(scores).xp, [scores, target, sample_weight]
    if scores.shape[0] == 1:  # it stands twice
        arrays = [None if array is None else xp.concat([array, array], axis=0) for array in arrays]
    scores, target, sample_weight = arrays
    samples, normalizer = scores.shape[0], loss.normalizer(target, sample_weight)

    def taken(start: int, stop: int) -> tuple[float, Array]:
        x, y, weight = (None if array is None else array[start:stop, ...] for array in arrays)
        value, pullback = loss.vjp(x, y, weight, normalizer)
        return float(value), pullback()

    value, gradient = taken(0, samples)
    parts = [taken(0, samples // 2), taken(samples // 2, samples)]
    together, *sizes = sum(v for v, _ in parts), value, *(v for v, _ in parts)
    wrong = xp.concat([d for _, d in parts], axis=0) - gradient
    # So written that numbers that are not finite pass: they are told elsewhere.
    if abs(together - value) > 1e-3 * sum(map(abs, sizes)):
        what = f"has the value {value:.4g}, but in two parts {together:.4g}"
    elif float(xp.max(xp.abs(wrong))) > 1e-3 * float(xp.max(xp.abs(gradient))):
        what = "has another gradient in two parts"
    else:
        return
    raise ValueError(
        f"{type(loss).__name__}: a batch {what}. Divide the sum over the samples by `normalizer` "
        "where it is given; a loss that compares samples with one another says so with "
        "couples_samples = True"
    )

"""Are the gradients right, and if not, in which way are they wrong?"""

from itertools import product
from typing import Any

from portanet.backend import Array
from portanet.gradcheck import check_gradients
from portanet.layercheck.compare import agree
from portanet.layercheck.report import Failed, Skipped
from portanet.layercheck.subject import Subject

STEP, BOUND = 1e-5, 1e-6  # of finite differences in float64, and of the relative error
# A kink (ReLU's at 0) within a step looks like a wrong gradient. A hundredth of the step hardly
# meets one; rounding then leaves fewer digits.
FINE_STEP, FINE_BOUND = 1e-7, 1e-5
# Elements of an array, times those of x, that are moved one by one to say what is wrong.
MOST = 10**6


def gradients(subject: Subject, training: bool) -> str:
    """Compare dx and each parameter's gradient with finite differences."""
    if subject.of_integers and not subject.layer.params:
        raise Skipped("x holds integers, and there are no parameters")
    if training not in subject.repeats:
        raise Skipped("no two passes are alike")
    subject.run(training)  # what the pullback returns must have the form
    with subject.on() as trial:
        layer, x = subject.layer, trial.x()
        report = check_gradients(layer, x, training=training, eps=STEP)
        wrong = [n for n, error in report.errors.items() if not error <= BOUND]
        if wrong:
            report = check_gradients(layer, x, training=training, eps=FINE_STEP)
            wrong = [n for n in wrong if not report.errors[n] <= FINE_BOUND]
    if wrong:
        raise Failed("\n".join(_fault(subject, n, training) for n in wrong))
    return f"worst relative error {report.error:.1e}"


def _fault(subject: Subject, name: str, training: bool) -> str:
    """Say in which way one gradient is wrong, and where it is worst."""
    with subject.on() as trial:
        xp, x = subject.xp, trial.x()
        y, pullback = trial.layer.vjp(x, trial.context(training))
        dy = trial.dy(y)
        dx, grads = pullback(trial.dy(y))
        what, array, given = "dx", x, dx
        if name != "x":
            what, array, given = f"gradient of {name}", trial.layer.params[name], grads[name]
        if array.size * x.size > MOST:
            return f"{what} is not that of finite differences; a smaller input tells more"
        right = xp.zeros_like(array)
        places = list(product(*map(range, array.shape)))
        for index in places:
            before = float(array[index])
            ends = []
            for step in (STEP, -STEP):
                array[index] = before + step
                y, _ = trial.layer.vjp(x, trial.context(training))
                ends.append(float(xp.sum(y * dy)))
            array[index] = before
            right[index] = (ends[0] - ends[1]) / (2.0 * STEP)
    if _close(xp, given, right):
        return f"{what} is right in a call alone, but not where another one came between"
    errors = {index: abs(float(given[index] - right[index])) for index in places}
    worst = max(places, key=lambda index: (errors[index] != errors[index], errors[index]))
    return (
        f"{what} {_way(xp, given, right)}: {given[worst]:.6g} at {list(worst)}, "
        f"by finite differences {right[worst]:.6g}"
    )


def _way(xp: Any, given: Array, right: Array) -> str:
    """Say what is wrong with `given`, where it looks like one of the usual faults."""
    if not bool(xp.all(xp.isfinite(given))):
        return "holds numbers that are not finite"
    if _close(xp, right, 0.0 * right, given):
        return "should be zero"
    if not bool(xp.any(given)):
        return "is zero"
    factor = float(xp.sum(given * right)) / float(xp.sum(right * right))
    if _close(xp, factor * right, given):
        return "has the wrong sign" if factor < 0 else f"is {factor:.4g} times the right one"
    if given.ndim == 2 and given.shape[0] == given.shape[1] and _close(xp, given.T, right):
        return "is the transpose of the right one"
    off = given - right
    axes = [a for a in range(off.ndim) if off.shape[a] > 1]
    same = [a for a in axes if _close(xp, xp.mean(off, axis=a, keepdims=True), off)]
    if same:
        return f"is off by one number all along axis {', '.join(map(str, same))} (a mean's share?)"
    return "is wrong (a product with the transpose, a sum over another axis, a term left out?)"


def _close(xp: Any, a: Array, b: Array, scale: Array | None = None) -> bool:
    """Return whether the distance is rounding, beside the length of `scale` (by default b)."""
    length = xp.linalg.vector_norm(b if scale is None else scale)
    return bool(xp.linalg.vector_norm(a - b) <= 1e-4 * length)


def without_dx(subject: Subject) -> str:
    """Leave out what a trainer leaves out: dx before the first parameters, the pullback after."""
    message = ""
    for training in subject.modes():
        expected = subject.run(training)
        got = subject.run(training, needs_input_grad=False)
        expected.pop("dx", None)
        # Without parameters there is no pullback to run, so dx costs nothing there.
        if got.pop("dx", None) is not None and subject.layer.params:
            message = "dx is computed though ctx.needs_input_grad is False"
        agree(subject.xp, got, expected, "with ctx.needs_input_grad = False")
        if not training:
            with subject.on() as trial:
                alone = trial.to_host({"y": trial.layer(trial.x())})
            agree(subject.xp, alone, {"y": expected["y"]}, "layer(x) gives another y")
    return message

"""Is a call a function of its arguments, whatever other calls there were before or meanwhile?"""

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Barrier, BrokenBarrierError

from portanet.backend import Array
from portanet.layercheck.compare import Results, agree, one_line
from portanet.layercheck.report import Skipped
from portanet.layercheck.subject import MODES, Subject, Trial


def _alone(subject: Subject, training: bool, number: int) -> Results:
    """Return what a pass gives on a layer that nothing else is asked of."""
    with subject.on() as trial:
        y, pullback = trial.forward(trial.context(training), number)
        return trial.to_host(trial.backward(y, pullback, number))


def two_passes(subject: Subject) -> str:
    """Run two passes before either pullback, as shared weights do, then the later one's first."""
    for training in subject.modes():
        with subject.on() as trial:
            passes = [trial.forward(trial.context(training), number) for number in (0, 1)]
            for number in (1, 0):
                got = trial.to_host(trial.backward(*passes[number], number))
                hint = f"pass {number + 1} of two; its pullback reads what another call left behind"
                agree(subject.xp, got, _alone(subject, training, number), hint)
    return ""


def adds_nothing_up(subject: Subject) -> str:
    """Call one pullback twice: the gradients are those of one call."""
    for training in MODES:
        with subject.on() as trial:
            call = trial.forward(trial.context(training))
            first, second = (trial.to_host(trial.backward(*call)) for _ in range(2))
            hint = "a pullback's second call; does it add to what the first left on self?"
            agree(subject.xp, second, first, hint)
    return ""


def two_threads(subject: Subject) -> str:
    """Run two passes at once, each in a thread of its own."""
    for training in subject.modes():
        with subject.on() as trial:
            for number, got in enumerate(_at_once(trial, training)):
                hint = "while another thread ran the layer, too"
                agree(subject.xp, got, _alone(subject, training, number), hint)
    return ""


def _at_once(trial: Trial, training: bool) -> list[Results]:
    """Run both forward passes, then both pullbacks, in two threads that wait for each other."""
    barrier = Barrier(2)

    def step(number: int) -> Results:
        try:
            y, pullback = trial.forward(trial.context(training), number)
            barrier.wait()
            results = trial.backward(y, pullback, number)
            barrier.wait()
            return trial.to_host(results)
        except Exception:
            barrier.abort()
            raise

    with ThreadPoolExecutor(2) as pool:
        # A copy of the context for each: the selected backend is local to it.
        futures = [pool.submit(copy_context().run, step, number) for number in (0, 1)]
    errors = [error for error in (future.exception() for future in futures) if error]
    for error in errors:
        if not isinstance(error, BrokenBarrierError):  # that is only the other thread's
            raise error
    return [future.result() for future in futures]


def repeats(subject: Subject) -> str:
    """Run twice with one key: ctx.rng alone decides on random numbers."""
    for training in MODES:
        subject.check_repeats(training)
    return ""


def samples_stand_alone(subject: Subject) -> str:
    """Run samples by themselves: a trainer cuts batches into parts where nothing couples them."""
    layers = [layer for _, layer in subject.layer.named_layers()]
    if any(layer.couples_samples or layer.own_buffers for layer in layers):
        raise Skipped("the layer couples its samples, or keeps statistics of them")
    x = subject.x
    if x.ndim < 2 or x.shape[0] < 2:
        raise Skipped("needs a batch of two samples or more, (N, ...)")
    n = x.shape[0]
    with subject.on() as trial:

        def output(x: Array, training: bool, rng: str = "rng", first: int = 0) -> Array:
            ctx = trial.context(training, rng, first_sample=first)
            return trial.layer.vjp(trial.array(x), ctx)[0]

        for training in MODES:
            y = output(x, training)
            if y.shape[:1] != (n,):
                raise Skipped("y has no row for each sample")
            if bool(subject.xp.any(y != output(x, training, rng="other"))):
                continue  # a part of the batch may draw other numbers
            for first in (0, n - 1):
                try:
                    row = output(x[first : first + 1], training, first=first)
                except Exception as error:
                    raise Skipped(f"runs on no single sample: {one_line(error)}") from None
                hint = f"sample {first} by itself; couples_samples = True says that they differ"
                agree(subject.xp, {"y": row}, {"y": y[first : first + 1]}, hint)
    return ""

"""Does the layer run on any array library, and does float32 stay float32?"""

from collections.abc import Iterator
from contextlib import contextmanager

from portanet.backend import BackendError, dtype_name
from portanet.layercheck.compare import agree
from portanet.layercheck.report import Failed, Skipped
from portanet.layercheck.subject import MODES, Subject, Trial
from portanet.nn.running import kind
from portanet.selection import make_backend


def conforms(subject: Subject, device: str, dtype: str) -> str:
    """Run on array-api-strict, which knows the standard and nothing else."""
    for training in MODES:
        with _on(subject, "strict", device, dtype) as there:
            results = there.run(training)
            for name, array in results.items():
                if not there.backend.owns(array) or array.device != there.backend.device:
                    at = getattr(array, "device", "no device")
                    raise Failed(f"{name} is {kind(array)} on {at}, but x is of {there.backend}")
            got = there.to_host(results)
        if training in subject.repeats:
            rtol = 1e-9 if dtype == "float64" else 1e-4
            hint = "which NumPy gives"
            agree(subject.xp, got, subject.run(training, dtype), hint, rtol)
    return ""


def keeps_float32(subject: Subject, name: str) -> str:
    """Run in float32: y, dx and gradients are of it, new values of buffers of their buffer's."""
    with _on(subject, name, None, "float32") as trial:
        buffers = {f"new {n}": array for n, array in trial.layer.buffers.items()}
        for training in MODES:
            for result, array in trial.run(training).items():
                expected = dtype_name(buffers[result]) if result in buffers else "float32"
                if dtype_name(array) != expected:
                    raise Failed(
                        f"{result} is {dtype_name(array)}, expected {expected}: did an array "
                        "of another dtype, or a NumPy number, meet it? Python's numbers are safe"
                    )
    return ""


@contextmanager
def _on(subject: Subject, name: str, device: str | None, dtype: str) -> Iterator[Trial]:
    try:
        make_backend(name, device=device, dtype=dtype)
    except BackendError:
        raise Skipped("install array-api-strict") from None
    with subject.on(name, device, dtype) as trial:
        yield trial

"""What is looked at in a layer, and in which order."""

from collections.abc import Callable
from functools import partial

from portanet.layercheck.calls import (
    adds_nothing_up,
    repeats,
    samples_stand_alone,
    two_passes,
    two_threads,
)
from portanet.layercheck.compare import explain
from portanet.layercheck.gradients import gradients, without_dx
from portanet.layercheck.memory import lets_the_layer_go, memory_kept
from portanet.layercheck.portable import conforms, keeps_float32
from portanet.layercheck.purity import changes_nothing, stores_nothing, takes_read_only
from portanet.layercheck.report import Failed, LayerReport, Line, Skipped, Status
from portanet.layercheck.subject import Subject

# Each returns what is worth saying, or raises Failed or Skipped.
CHECKS: dict[str, Callable[[Subject], str]] = {
    "gradients in training": partial(gradients, training=True),
    "gradients in inference": partial(gradients, training=False),
    "without dx, without pullback": without_dx,
    "array API, CPU_DEVICE, float64": partial(conforms, device="CPU_DEVICE", dtype="float64"),
    "array API, device1, float64": partial(conforms, device="device1", dtype="float64"),
    "array API, no_float64, float32": partial(conforms, device="no_float64", dtype="float32"),
    "float32 stays float32, numpy": partial(keeps_float32, name="numpy"),
    "float32 stays float32, strict": partial(keeps_float32, name="strict"),
    "two passes before either pullback": two_passes,
    "gradients are not added up": adds_nothing_up,
    "two threads at once": two_threads,
    "one ctx.rng, one result": repeats,
    "samples stand alone": samples_stand_alone,
    "read-only x and dy": takes_read_only,
    "nothing changes in place": changes_nothing,
    "nothing is stored on the layer": stores_nothing,
    "the pullback lets the layer go": lets_the_layer_go,
    "memory that the pullback keeps": memory_kept,
}
NOTES = {"memory that the pullback keeps"}  # how much is too much, nobody can say


def check(subject: Subject) -> LayerReport:
    """Make every check, whatever the ones before it found."""
    lines: list[Line] = []
    for name, look in CHECKS.items():
        status: Status = "note" if name in NOTES else "ok"
        try:
            message = look(subject)
        except Skipped as skipped:
            status, message = "skipped", str(skipped)
        except Failed as failed:
            status, message = "FAIL", str(failed)
        except Exception as error:
            status, message = "FAIL", explain(error, subject.layer)
            for line in lines:  # what stops one check stops many: it is told once
                if line.message == message:
                    status, message = "skipped", f"stopped by the error of {line.name!r}"
                    break
        lines.append(Line(name, status, message))
    return LayerReport(str(subject), tuple(lines))

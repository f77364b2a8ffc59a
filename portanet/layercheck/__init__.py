"""Check a layer of one's own: gradients, every library, every dtype, one call after another."""

from typing import TYPE_CHECKING, Any

from portanet.checks import instance
from portanet.nn.layer import Layer

if TYPE_CHECKING:
    from portanet.layercheck.report import LayerReport


def check_layer(layer: Layer, x: Any, *, seed: int = 0) -> "LayerReport":
    """Return what is right and what is wrong with a layer; ``print`` shows it as a table.

    Copies of the layer run forward and backward, in training and in inference: against finite
    differences in float64, on array-api-strict and its devices, in float32, twice before either
    pullback, in two threads, on read-only arrays. A fault is told with the array's name and
    numbers.

    Args:
        layer: the layer; it is left as it is. Its arrays are moved a little off their values, for
            a scale of 1 and a shift of 0 hide faults.
        x: an input (N, …) of any library. Integers, such as indices, have no gradient; other
            numbers are taken in float64 and float32.
        seed: of dy, the masks and the moves.

    Raises TypeError where `layer` is no layer, and ValueError where x is empty or not finite, or
    the layer does not run on it.
    """
    # Rarely needed: `import portanet` goes without.
    from portanet.layercheck.check import check
    from portanet.layercheck.subject import Subject

    return check(Subject(instance("layer", layer, Layer), x, seed))

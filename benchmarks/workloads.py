"""The published workloads, each defined once; every contender builds its own network from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

SAMPLES = 2048  # in the data that a workload's batches are drawn from

# A network is a list of: ("linear", outputs), ("conv", channels, kernel, padding), ("pool", size),
# ("relu",), ("leaky_relu", slope), ("flatten",).
Spec = tuple[tuple[Any, ...], ...]

CNN_5X5: Spec = (
    *(("conv", 8, 5, 0), ("relu",), ("pool", 2)),
    *(("conv", 8, 5, 0), ("relu",), ("pool", 2)),
    *(("flatten",), ("linear", 10)),
)
CNN_3X3: Spec = (
    *(("conv", 32, 3, 1), ("relu",), ("conv", 32, 3, 1), ("relu",), ("pool", 2)),
    *(("conv", 64, 3, 1), ("relu",), ("conv", 64, 3, 1), ("relu",), ("pool", 2)),
    *(("flatten",), ("linear", 10)),
)


def mlp(*widths: int, activation: tuple[Any, ...] = ("relu",)) -> Spec:
    """Return linear layers of these widths with an activation between them."""
    layers: list[tuple[Any, ...]] = []
    for width in widths:
        layers += [("linear", width), activation]
    return tuple(layers[:-1])


@dataclass(frozen=True)
class Workload:
    """A network, its input, its optimizer and the batch: what one training step is."""

    name: str
    what: str
    input_shape: tuple[int, ...]
    network: Spec
    optimizer: str  # "sgd", "momentum" (0.9) or "adam"
    batch: int
    least: dict[str, float]  # the ratio to reach against each peer

    def data(self) -> tuple[Any, Any]:
        """Return random images, float32, and labels."""
        rng = np.random.default_rng(0)
        x = rng.random((SAMPLES, *self.input_shape), dtype="float32")
        return x, rng.integers(0, 10, SAMPLES)

    def layers(self) -> list[tuple[Any, ...]]:
        """Return the network with each layer's inputs filled in after its name."""
        return [layer for layer, _ in self.walk()]

    def walk(self) -> Iterator[tuple[tuple[Any, ...], tuple[int, ...]]]:
        """Yield each of `layers` and the shape of its output, one sample's."""
        shape = self.input_shape
        for kind, *rest in self.network:
            layer = (kind, *rest)
            if kind == "conv":
                out, kernel, padding = rest
                layer = (kind, shape[0], out, kernel, padding)
                grown = 2 * padding - kernel + 1
                shape = (out, shape[1] + grown, shape[2] + grown)
            elif kind == "linear":
                layer = (kind, shape[0], *rest)
                shape = (rest[0],)
            elif kind == "pool":
                shape = (shape[0], shape[1] // rest[0], shape[2] // rest[0])
            elif kind == "flatten":
                shape = (prod(shape),)
            yield layer, shape


def _workloads() -> list[Workload]:
    gray, color = (1, 28, 28), (3, 32, 32)
    leaky = mlp(512, 10, activation=("leaky_relu", 0.01))

    def peers(torch: float, jax: float | None = None, sklearn: float | None = None) -> Any:
        both = {"torch": torch, "jax": jax, "sklearn": sklearn}
        return {name: ratio for name, ratio in both.items() if ratio is not None}

    return [
        Workload(
            *("mlp-784", "MLP 784-100-30-10, ReLU, momentum"),
            *((784,), mlp(100, 30, 10), "momentum", 100, peers(1.5, 1.0, 1.6)),
        ),
        Workload(
            *("mlp-3072-sgd", "MLP 3072-512-10, leaky ReLU, SGD"),
            *((3072,), leaky, "sgd", 100, peers(1.2, 0.9, 2.0)),
        ),
        Workload(
            *("mlp-3072-adam", "MLP 3072-512-10, leaky ReLU, Adam"),
            *((3072,), leaky, "adam", 100, peers(1.0, None, 1.5)),
        ),
        Workload(
            *("mlp-3072-200", "MLP 3072-200-10, ReLU, momentum"),
            *((3072,), mlp(200, 10), "momentum", 40, peers(1.2, 0.9, 2.0)),
        ),
        *(
            Workload(
                *(f"cnn-5x5-b{batch}", "CNN 1×28×28, two 5×5×8, SGD"),
                *(gray, CNN_5X5, "sgd", batch, peers(torch, jax)),
            )
            for batch, torch, jax in ((1, 3.0, 1.1), (32, 1.0, 2.0), (128, 1.0, 2.0))
        ),
        Workload(
            *("cnn-3x3", "CNN 3×32×32, two 3×3×32, two 3×3×64, SGD"),
            *(color, CNN_3X3, "sgd", 64, peers(0.8, 1.5)),
        ),
    ]


WORKLOADS = {workload.name: workload for workload in _workloads()}
RATES = {"sgd": 0.01, "momentum": 0.01, "adam": 0.001}

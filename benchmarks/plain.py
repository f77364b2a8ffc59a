"""The network by hand: float64 NumPy and no framework, as an able person writes it in an afternoon.

Images are (N, C, H, W); a convolution is im2col and one matrix product, pooling a reshape. Each
layer is a function that returns its output and its backward pass, from dy to (dx, gradients of the
parameters); the first layer's dx, which nobody needs, is left out.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.workloads import RATES, Workload


def linear(x: Any, weight: Any, bias: Any) -> Any:
    """Fully connected: y = x Wᵀ + b."""

    def back(dy: Any, first: bool) -> Any:
        return None if first else dy @ weight, (dy.T @ x, dy.sum(axis=0))

    return x @ weight.T + bias, back


def conv(x: Any, weight: Any, bias: Any, padding: int) -> Any:
    """Convolution with stride 1; the rows of `columns` are the pixels under one window."""
    outputs, inputs, k, _ = weight.shape
    if padding:
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(x, (k, k), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    n, height, width = windows.shape[:3]
    shape, columns = x.shape, windows.reshape(n * height * width, inputs * k * k)
    matrix = weight.reshape(outputs, -1)
    y = columns @ matrix.T + bias

    def back(dy: Any, first: bool) -> Any:
        rows = dy.transpose(0, 2, 3, 1).reshape(-1, outputs)
        grads = (rows.T @ columns).reshape(weight.shape), rows.sum(axis=0)
        if first:
            return None, grads
        d_windows = (rows @ matrix).reshape(windows.shape).transpose(0, 3, 1, 2, 4, 5)
        dx = np.zeros(shape)
        for i in range(k):
            for j in range(k):
                dx[:, :, i : i + height, j : j + width] += d_windows[..., i, j]
        return dx[:, :, padding : shape[2] - padding, padding : shape[3] - padding], grads

    return y.reshape(n, height, width, outputs).transpose(0, 3, 1, 2), back


def pool(x: Any, size: int) -> Any:
    """Max pooling; equal maxima share the gradient."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // size, size, w // size, size)
    y = blocks.max(axis=(3, 5), keepdims=True)
    largest = blocks == y

    def back(dy: Any, first: bool) -> Any:
        share = dy.reshape(y.shape) / largest.sum(axis=(3, 5), keepdims=True)
        return (largest * share).reshape(x.shape), ()

    return y[:, :, :, 0, :, 0], back


def relu(x: Any, slope: float = 0.0) -> Any:
    """ReLU, leaky with a slope."""
    factor = np.where(x > 0, 1.0, slope)
    return x * factor, lambda dy, first: (dy * factor, ())


def flatten(x: Any) -> Any:
    """All of a sample's features in a row."""
    return x.reshape(len(x), -1), lambda dy, first: (dy.reshape(x.shape), ())


def cross_entropy(scores: Any, labels: Any) -> Any:
    """Softmax and cross-entropy: the mean loss, and its gradient with respect to the scores."""
    scores = scores - scores.max(axis=1, keepdims=True)
    log = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    true = np.arange(len(labels)), labels
    d_scores = np.exp(log)
    d_scores[true] -= 1.0
    return -log[true].mean(), d_scores / len(labels)


KINDS = {
    "linear": linear,
    "conv": conv,
    "pool": pool,
    "relu": relu,
    "leaky_relu": relu,
    "flatten": flatten,
}


class Network:
    """A workload's layers, their parameters and the optimizer's state."""

    def __init__(self, workload: Workload) -> None:
        rng = np.random.default_rng(0)
        self.optimizer, self.lr, self.steps = workload.optimizer, RATES[workload.optimizer], 0
        self.layers: list[Any] = []  # function, parameters, options
        for kind, *rest in workload.layers():
            params: list[Any] = []
            if kind in ("linear", "conv"):
                inputs, outputs, *rest = rest
                kernel = [rest.pop(0)] * 2 if kind == "conv" else []
                bound = np.prod((inputs, *kernel)) ** -0.5
                shapes = (outputs, inputs, *kernel), (outputs,)
                params = [rng.uniform(-bound, bound, shape) for shape in shapes]
            self.layers.append((KINDS[kind], params, rest))
        self.state = [
            [(np.zeros_like(p), np.zeros_like(p)) for p in params] for _, params, _ in self.layers
        ]

    def forward(self, x: Any) -> tuple[Any, list[Any]]:
        """Return the scores and the layers' backward passes."""
        backs = []
        for function, params, rest in self.layers:
            x, back = function(x, *params, *rest)
            backs.append(back)
        return x, backs

    def step(self, x: Any, labels: Any) -> float:
        """Update the parameters by one batch and return its loss."""
        scores, backs = self.forward(x)
        loss, d = cross_entropy(scores, labels)
        gradients = []
        for k in reversed(range(len(backs))):
            d, grads = backs[k](d, k == 0)
            gradients.append(grads)
        self.steps += 1
        for (_, params, _), grads, state in zip(
            self.layers, reversed(gradients), self.state, strict=True
        ):
            for p, g, (m, v) in zip(params, grads, state, strict=True):
                self.update(p, g, m, v)
        return loss

    def update(self, p: Any, g: Any, m: Any, v: Any) -> None:
        """Apply SGD, momentum or Adam to a parameter in place."""
        if self.optimizer == "sgd":
            p -= self.lr * g
        elif self.optimizer == "momentum":
            m[...] = 0.9 * m + g
            p -= self.lr * m
        else:
            m[...] = 0.9 * m + 0.1 * g
            v[...] = 0.999 * v + 0.001 * g**2
            first, second = m / (1 - 0.9**self.steps), v / (1 - 0.999**self.steps)
            p -= self.lr * first / (np.sqrt(second) + 1e-8)


def numpy64(workload: Workload, x: Any, y: Any, threads: int) -> tuple[Any, Any]:
    """Return the contender's step and inference."""
    x, network = x.astype("float64"), Network(workload)
    return (
        lambda indices: network.step(x[indices], y[indices]),
        lambda image: network.forward(image.astype("float64"))[0],
    )

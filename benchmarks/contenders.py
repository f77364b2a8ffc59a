"""The contenders: each builds a workload's network in its own words and returns a training step.

A builder takes a workload and a data set (images float32, labels int64) and returns two functions:
``step(indices)``, which gathers that batch and updates the network, and ``infer(image)``, which
returns one image's scores. The libraries are imported inside, so that each process holds one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.plain import numpy64
from benchmarks.workloads import RATES, Workload

Step = Callable[[Any], Any]
Builder = Callable[[Workload, Any, Any, int], tuple[Step, Step]]


def sequential(nn: Any, workload: Workload) -> Any:
    """Build the network from a module with PyTorch's names, which portanet's has."""
    make = {
        "linear": nn.Linear,
        "conv": lambda i, o, k, p: nn.Conv2d(i, o, k, padding=p),
        "pool": nn.MaxPool2d,
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "flatten": nn.Flatten,
    }
    return nn.Sequential(*(make[kind](*rest) for kind, *rest in workload.layers()))


def portanet(workload: Workload, x: Any, y: Any, threads: int) -> tuple[Step, Step]:
    """The library as a Trainer runs it."""
    from benchmarks.training import Training

    training = Training.of(workload, x, y, threads)
    return training.step, training.model


def torch(
    workload: Workload, x: Any, y: Any, threads: int, device: str = "cpu"
) -> tuple[Step, Step]:
    """PyTorch eager, with its fused optimizer."""
    import torch as t
    from torch import nn

    t.set_num_threads(threads)
    model = sequential(nn, workload).to(device)
    loss, lr = nn.CrossEntropyLoss(), RATES[workload.optimizer]
    if workload.optimizer == "adam":
        optimizer: Any = t.optim.Adam(model.parameters(), lr=lr, fused=True)
    else:
        momentum = 0.9 * (workload.optimizer == "momentum")
        optimizer = t.optim.SGD(model.parameters(), lr=lr, momentum=momentum, fused=True)
    images, labels = t.from_numpy(x).to(device), t.from_numpy(y).to(device)

    def step(indices: Any) -> Any:
        chosen = t.from_numpy(indices)
        if device != "cpu":  # once for both, and without a wait for the device
            chosen = chosen.pin_memory().to(device, non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        value = loss(model(images[chosen]), labels[chosen])
        value.backward()
        optimizer.step()
        return value.detach()

    @t.no_grad()
    def infer(image: Any) -> Any:
        return model(t.from_numpy(image))

    step.model, step.loss, step.optimizer = model, loss, optimizer  # type: ignore[attr-defined]
    return step, infer


def torch_compile(workload: Workload, x: Any, y: Any, threads: int) -> tuple[Step, Step]:
    """PyTorch with torch.compile over the forward pass and the loss."""
    import torch as t

    step, infer = torch(workload, x, y, threads)
    model, optimizer = step.model, step.optimizer  # type: ignore[attr-defined]
    images, labels = t.from_numpy(x), t.from_numpy(y)
    value_of = t.compile(lambda a, b: t.nn.functional.cross_entropy(model(a), b))

    def compiled(indices: Any) -> Any:
        chosen = t.from_numpy(indices)
        optimizer.zero_grad(set_to_none=True)
        value = value_of(images[chosen], labels[chosen])
        value.backward()
        optimizer.step()
        return value.detach()

    return compiled, infer


def jax(workload: Workload, x: Any, y: Any, threads: int) -> tuple[Step, Step]:
    """JAX with the whole step under jit, its buffers donated."""
    import jax as j
    import jax.numpy as jnp

    layers, rng = workload.layers(), np.random.default_rng(0)
    params = []
    for kind, *rest in layers:
        if kind in ("linear", "conv"):
            shape = (rest[0], rest[1]) if kind == "linear" else (rest[1], rest[0], rest[2], rest[2])
            fan_in = rest[0] if kind == "linear" else rest[0] * rest[2] ** 2
            weight = rng.uniform(-1, 1, shape) / np.sqrt(fan_in)
            params.append([jnp.asarray(weight, "float32"), jnp.zeros(rest[1], "float32")])
        else:
            params.append([])

    def scores(params: Any, a: Any) -> Any:
        for (kind, *rest), p in zip(layers, params, strict=True):
            if kind == "linear":
                a = a @ p[0] + p[1]
            elif kind == "conv":
                pad = [(rest[3], rest[3])] * 2
                a = j.lax.conv_general_dilated(a, p[0], (1, 1), pad) + p[1][:, None, None]
            elif kind == "pool":
                size = (1, 1, rest[0], rest[0])
                a = j.lax.reduce_window(a, -jnp.inf, j.lax.max, size, size, "VALID")
            elif kind == "flatten":
                a = a.reshape(a.shape[0], -1)
            else:
                a = jnp.maximum(a, 0) if kind == "relu" else jnp.where(a > 0, a, rest[0] * a)
        return a

    def value(params: Any, a: Any, b: Any) -> Any:
        log = j.nn.log_softmax(scores(params, a))
        return -jnp.mean(jnp.take_along_axis(log, b[:, None], axis=1))

    lr, mapped = RATES[workload.optimizer], j.tree_util.tree_map

    def update(params: Any, state: Any, images: Any, labels: Any, chosen: Any) -> Any:
        v, grads = j.value_and_grad(value)(params, images[chosen], labels[chosen])
        count, first, second = state
        if workload.optimizer == "momentum":
            first = mapped(lambda m, g: 0.9 * m + g, first, grads)
            params = mapped(lambda p, m: p - lr * m, params, first)
        elif workload.optimizer == "adam":
            count = count + 1
            first = mapped(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
            second = mapped(lambda s, g: 0.999 * s + 0.001 * g * g, second, grads)
            rate = lr * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
            params = mapped(
                lambda p, m, s: p - rate * m / (jnp.sqrt(s) + 1e-8), params, first, second
            )
        else:
            params = mapped(lambda p, g: p - lr * g, params, grads)
        return params, (count, first, second), v

    compiled = j.jit(update, donate_argnums=(0, 1))
    images, labels = jnp.asarray(x), jnp.asarray(y)
    zeros = mapped(jnp.zeros_like, params) if workload.optimizer != "sgd" else ()
    second = mapped(jnp.zeros_like, params) if workload.optimizer == "adam" else ()
    held = [params, (jnp.zeros(()), zeros, second)]

    def step(indices: Any) -> Any:
        held[0], held[1], v = compiled(held[0], held[1], images, labels, indices)
        return v.block_until_ready()

    run = j.jit(scores)
    return step, lambda image: run(held[0], image).block_until_ready()


def sklearn(workload: Workload, x: Any, y: Any, threads: int) -> tuple[Step, Step]:
    """scikit-learn's MLPClassifier, by partial_fit; it knows ReLU and no CNN."""
    from sklearn.neural_network import MLPClassifier

    widths = [rest[1] for kind, *rest in workload.layers() if kind == "linear"]
    if any(kind == "conv" for kind, *_ in workload.layers()):
        raise NotImplementedError("MLPClassifier has no convolution")
    options: dict[str, Any] = {"learning_rate_init": RATES[workload.optimizer], "alpha": 0.0}
    if workload.optimizer == "adam":
        options["solver"] = "adam"
    else:
        momentum = 0.9 * (workload.optimizer == "momentum")
        options |= {"solver": "sgd", "momentum": momentum, "nesterovs_momentum": False}
    model = MLPClassifier(widths[:-1], batch_size=workload.batch, **options)
    classes = np.arange(widths[-1])

    def step(indices: Any) -> Any:
        model.partial_fit(x[indices], y[indices], classes=classes)
        return model.loss_

    return step, model.predict_proba


CONTENDERS: dict[str, Builder] = {
    "portanet": portanet,
    "numpy64": numpy64,
    "torch": torch,
    "torch-compile": torch_compile,
    "jax": jax,
    "sklearn": sklearn,
}

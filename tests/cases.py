# ruff: noqa: E501 (tables: a line for each case)
"""One line for each public layer, loss, optimizer and schedule: the tests are derived from them.

Whoever adds a layer adds a line here, and gets its gradients, dtypes, devices, memory, threads and
read-only inputs tested on every backend. `test_rules.py` fails where a public class has no line.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

import portanet as pn
from portanet import nn, optim

Shape = tuple[int, ...]
CHANGES_WITH_MODE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout, nn.Dropout2d)


@dataclass(frozen=True)
class LayerCase:
    """A layer, the shape of an input for it, and below what its indices are where it takes some."""

    id: str
    make: Callable[[], nn.Layer]
    shape: Shape
    indices: int | None = None

    def x(self, name: str = "x") -> Any:
        """Return an input on the host: always the same for a name."""
        if self.indices is None:
            return numbers(name, self.shape)
        return pn.Key(11).child(name).integers(self.indices, self.shape)

    @property
    def modes(self) -> tuple[bool, ...]:
        """The values of `training` to test: both where they differ."""
        layers = [layer for _, layer in self.make().named_layers()]
        differ = any(isinstance(layer, CHANGES_WITH_MODE) for layer in layers)
        return (True, False) if differ else (True,)

    @property
    def small(self) -> bool:
        """Whether it can be checked element by element."""
        model = self.make()
        return prod(self.shape) + sum(prod(p.shape) for p in model.params.values()) <= 150


@dataclass(frozen=True)
class LossCase:
    """A loss, its scores' and its value's shape, its target, and whether samples are weighted."""

    id: str
    make: Callable[[], nn.Loss]
    shape: Shape
    target: str  # "indices", "ignored", "one-hot", "soft", "numbers", "integers" or "fractions"
    weighted: bool = False
    value: Shape = ()

    def targets(self) -> Any:
        """Return a target on the host; of "ignored" indices, every third is the loss's own."""
        if self.target in ("indices", "ignored", "one-hot"):
            n, k, *rest = self.shape
            indices = pn.Key(5).child("target").integers(k, (n, *rest))
            if self.target == "one-hot":
                return np.eye(k)[indices]
            if self.target == "ignored":
                indices.flat[::3] = self.make().ignore_index
            return indices
        if self.target == "integers":
            return pn.Key(5).child("target").integers(2, self.shape)
        if self.target == "fractions":
            return pn.Key(5).child("target").uniform(self.shape)
        values = numbers("target", self.shape)
        if self.target == "soft":
            return np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
        return values

    def weights(self) -> Any:
        """Return the samples' weights on the host, or None."""
        return pn.Key(5).child("weight").uniform((self.shape[0],)) * 2.0 if self.weighted else None


@dataclass(frozen=True)
class OptimizerCase:
    """An optimizer and its options."""

    id: str
    make: type[optim.Optimizer]
    options: dict[str, Any]


@dataclass(frozen=True)
class ScheduleCase:
    """A schedule, its options, how many counts to try, and the optimizer that it drives."""

    id: str
    make: type[optim.Schedule]
    options: dict[str, Any]
    counts: int
    optimizer: OptimizerCase = field(
        default_factory=lambda: OptimizerCase("sgd", optim.SGD, {"lr": 0.3})
    )


def shared() -> nn.Sequential:
    """Return a network that uses one layer twice."""
    twice = nn.Linear(4, 4)
    return nn.Sequential(twice, nn.Tanh(), twice, nn.Linear(4, 2))


def nested() -> nn.Sequential:
    """Return a network within a network, with layers that change with the mode."""
    body = nn.Sequential({"c": nn.Conv2d(2, 3, 3, padding=1), "n": nn.BatchNorm2d(3)})
    head = nn.Sequential(nn.Dropout(0.3), nn.Linear(12, 5), nn.Dropout(0.3), nn.Linear(5, 3))
    pool = nn.AvgPool2d(2)
    return nn.Sequential(
        {"body": body, "act": nn.Tanh(), "pool": pool, "flat": nn.Flatten(), "head": head}
    )


def words() -> nn.Sequential:
    """Return a network that takes indices."""
    return nn.Sequential(nn.Embedding(6, 2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(6, 3))


class Branched(nn.Layer):
    """A layer made of layers: a dropout called twice, a shared layer, sums, products, channels."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(2, 2, 3, padding="same")
        self.drop = nn.Dropout(0.4)
        self.gate = nn.Sequential({"narrow": nn.Conv2d(2, 2, 1), "act": nn.Sigmoid()})
        self.norm = nn.BatchNorm2d(4)
        self.tanh = nn.Tanh()

    def compute(self, x: nn.Node) -> nn.Node:
        """Return channels of two branches that share a convolution."""
        a = self.drop(self.tanh(self.conv(x)))
        b = self.conv(self.drop(a)) * self.gate(x) + x
        return self.norm(nn.concat([a, b]))


def small_cnn() -> nn.Sequential:
    """Return the convolutional network of the published experiments, with fewer channels."""
    return nn.Sequential(
        {
            "c1": nn.Conv2d(1, 2, 3),
            "r1": nn.ReLU(),
            "p1": nn.MaxPool2d(2),
            "c2": nn.Conv2d(2, 2, 2),
            "r2": nn.ReLU(),
            "flat": nn.Flatten(),
            "f": nn.Linear(8, 3),
        }
    )


# fmt: off
LAYERS = [
    LayerCase("linear", lambda: nn.Linear(5, 3), (4, 5)),
    LayerCase("linear-no-bias", lambda: nn.Linear(5, 3, bias=False), (4, 5)),
    LayerCase("linear-3d", lambda: nn.Linear(5, 3), (2, 4, 5)),
    LayerCase("linear-1d", lambda: nn.Linear(5, 3), (5,)),
    LayerCase("conv", lambda: nn.Conv2d(2, 3, 3), (2, 2, 5, 6)),
    LayerCase("conv-no-bias", lambda: nn.Conv2d(2, 3, (2, 3), bias=False), (3, 2, 4, 4)),
    LayerCase("conv-1x1", lambda: nn.Conv2d(3, 2, 1), (2, 3, 4, 3)),
    LayerCase("conv-whole-image", lambda: nn.Conv2d(2, 3, (4, 3)), (3, 2, 4, 3)),
    LayerCase("conv-one-sample", lambda: nn.Conv2d(2, 3, 2), (1, 2, 4, 3)),
    LayerCase("conv-stride", lambda: nn.Conv2d(2, 3, 3, stride=2), (2, 2, 8, 7)),
    LayerCase("conv-stride-pair", lambda: nn.Conv2d(2, 2, 2, stride=(3, 1)), (2, 2, 6, 4)),
    LayerCase("conv-padding", lambda: nn.Conv2d(2, 3, 3, padding=1), (2, 2, 4, 4)),
    LayerCase("conv-padding-pair", lambda: nn.Conv2d(2, 2, (3, 2), padding=(2, 1)), (2, 2, 3, 4)),
    LayerCase("conv-same", lambda: nn.Conv2d(2, 2, 3, padding="same"), (2, 2, 4, 3)),
    LayerCase("conv-same-even", lambda: nn.Conv2d(2, 2, (2, 4), padding="same", dilation=(3, 1)), (2, 2, 5, 4)),
    LayerCase("conv-valid", lambda: nn.Conv2d(1, 2, 3, padding="valid"), (2, 1, 4, 5)),
    LayerCase("conv-dilation", lambda: nn.Conv2d(2, 2, 2, dilation=(2, 3)), (2, 2, 5, 6)),
    LayerCase("conv-groups", lambda: nn.Conv2d(4, 6, 2, groups=2), (2, 4, 3, 4)),
    LayerCase("conv-depthwise", lambda: nn.Conv2d(3, 6, 3, padding=1, groups=3), (2, 3, 4, 3)),
    LayerCase("conv-everything", lambda: nn.Conv2d(4, 2, (3, 2), (2, 1), (1, 2), (1, 2), 2, False), (2, 4, 5, 4)),
    LayerCase("conv-reflect", lambda: nn.Conv2d(2, 3, 3, padding=(2, 1), padding_mode="reflect"), (2, 2, 4, 3)),
    LayerCase("conv-reflect-same-even", lambda: nn.Conv2d(2, 2, (2, 4), padding="same", dilation=(3, 1), padding_mode="reflect"), (2, 2, 5, 4)),
    LayerCase("conv-replicate", lambda: nn.Conv2d(2, 2, 3, 2, (3, 2), padding_mode="replicate"), (2, 2, 2, 5)),
    LayerCase("conv-circular", lambda: nn.Conv2d(2, 2, 3, padding=(3, 2), padding_mode="circular"), (2, 2, 3, 4)),
    LayerCase("conv-reflect-everything", lambda: nn.Conv2d(4, 2, (3, 2), (2, 1), (1, 2), (1, 2), 2, False, "reflect"), (2, 4, 5, 4)),
    LayerCase("conv-1d", lambda: nn.Conv1d(2, 3, 3), (4, 2, 5)),
    LayerCase("conv-1d-one-sample", lambda: nn.Conv1d(2, 3, 2, bias=False), (1, 2, 4)),
    LayerCase("conv-1d-same-even", lambda: nn.Conv1d(2, 2, 4, padding="same"), (2, 2, 5)),
    LayerCase("conv-1d-everything", lambda: nn.Conv1d(4, 2, 3, 2, 3, 2, 2, False), (3, 4, 6)),
    LayerCase("conv-1d-reflect", lambda: nn.Conv1d(2, 3, 3, padding=3, padding_mode="reflect"), (2, 2, 5)),
    LayerCase("conv-transpose", lambda: nn.ConvTranspose2d(2, 3, 3), (2, 2, 4, 3)),
    LayerCase("conv-transpose-no-bias", lambda: nn.ConvTranspose2d(3, 2, (2, 3), bias=False), (2, 3, 3, 2)),
    LayerCase("conv-transpose-1x1", lambda: nn.ConvTranspose2d(2, 3, 1), (1, 2, 4, 3)),
    LayerCase("conv-transpose-stride", lambda: nn.ConvTranspose2d(2, 2, (4, 2), (2, 3), (1, 0)), (2, 2, 3, 4)),
    LayerCase("conv-transpose-output-padding", lambda: nn.ConvTranspose2d(2, 2, 3, 2, 1, 1), (2, 2, 3, 4)),
    LayerCase("conv-transpose-beyond", lambda: nn.ConvTranspose2d(2, 2, 3, (1, 2), 2, (2, 3), dilation=(3, 4)), (2, 2, 3, 2)),
    LayerCase("conv-transpose-wide-padding", lambda: nn.ConvTranspose2d(2, 2, 2, padding=(2, 1)), (2, 2, 5, 4)),
    LayerCase("conv-transpose-groups", lambda: nn.ConvTranspose2d(4, 6, 2, groups=2), (2, 4, 3, 3)),
    LayerCase("conv-transpose-depthwise", lambda: nn.ConvTranspose2d(3, 3, 3, 2, groups=3), (2, 3, 3, 2)),
    LayerCase("conv-transpose-everything", lambda: nn.ConvTranspose2d(4, 2, (3, 2), (2, 3), (2, 1), (1, 2), 2, False, (1, 2)), (2, 4, 4, 3)),
    LayerCase("conv-transpose-1d", lambda: nn.ConvTranspose1d(2, 3, 3), (3, 2, 4)),
    LayerCase("conv-transpose-1d-everything", lambda: nn.ConvTranspose1d(4, 2, 3, 3, 2, 1, 2, False, 2), (3, 4, 5)),
    LayerCase("max-pool", lambda: nn.MaxPool2d(2), (2, 2, 4, 6)),
    LayerCase("max-pool-1x1", lambda: nn.MaxPool2d(1), (2, 2, 3, 3)),
    LayerCase("max-pool-overlap", lambda: nn.MaxPool2d(3, stride=1), (2, 2, 5, 4)),
    LayerCase("max-pool-gaps", lambda: nn.MaxPool2d(2, stride=3), (2, 2, 6, 7)),
    LayerCase("max-pool-padding", lambda: nn.MaxPool2d(3, 2, 1), (2, 2, 5, 6)),
    LayerCase("max-pool-pairs", lambda: nn.MaxPool2d((2, 3), (1, 2), (1, 0)), (2, 2, 4, 7)),
    LayerCase("max-pool-dilation", lambda: nn.MaxPool2d(2, (1, 2), 1, (2, 3)), (2, 2, 5, 6)),
    LayerCase("max-pool-ceil", lambda: nn.MaxPool2d((2, 3), 2, ceil_mode=True), (2, 2, 5, 6)),
    LayerCase("max-pool-ceil-small", lambda: nn.MaxPool2d(3, 2, ceil_mode=True), (2, 2, 2, 2)),
    LayerCase("max-pool-ceil-padding", lambda: nn.MaxPool2d(2, (2, 3), 1, ceil_mode=True), (2, 2, 3, 4)),
    LayerCase("max-pool-1d", lambda: nn.MaxPool1d(3, 2, 1), (3, 2, 7)),
    LayerCase("max-pool-1d-everything", lambda: nn.MaxPool1d(2, 3, 1, 2, ceil_mode=True), (3, 2, 6)),
    LayerCase("avg-pool", lambda: nn.AvgPool2d(2), (2, 2, 4, 6)),
    LayerCase("avg-pool-1x1", lambda: nn.AvgPool2d(1), (2, 2, 3, 3)),
    LayerCase("avg-pool-overlap", lambda: nn.AvgPool2d(3, stride=1), (2, 2, 5, 4)),
    LayerCase("avg-pool-gaps", lambda: nn.AvgPool2d(2, stride=3), (2, 2, 6, 7)),
    LayerCase("avg-pool-padding", lambda: nn.AvgPool2d(3, 2, 1), (2, 2, 5, 6)),
    LayerCase("avg-pool-pairs", lambda: nn.AvgPool2d((2, 3), (1, 2), (1, 0)), (2, 2, 4, 7)),
    LayerCase("avg-pool-ceil", lambda: nn.AvgPool2d((2, 3), 2, ceil_mode=True), (2, 2, 5, 6)),
    LayerCase("avg-pool-ceil-padding", lambda: nn.AvgPool2d((3, 2), (2, 3), 1, True), (2, 2, 4, 5)),
    LayerCase("avg-pool-not-counted", lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 2, 5, 4)),
    LayerCase("avg-pool-ceil-not-counted", lambda: nn.AvgPool2d((3, 2), (2, 3), 1, True, False), (2, 2, 4, 5)),
    LayerCase("avg-pool-divisor", lambda: nn.AvgPool2d(2, 1, 1, True, False, 3), (2, 2, 3, 4)),
    LayerCase("avg-pool-1d", lambda: nn.AvgPool1d(3, 2, 1), (3, 2, 7)),
    LayerCase("avg-pool-1d-everything", lambda: nn.AvgPool1d(2, 3, 1, True, False), (3, 2, 6)),
    LayerCase("adaptive", lambda: nn.AdaptiveAvgPool2d(1), (3, 2, 3, 4)),
    LayerCase("adaptive-uneven", lambda: nn.AdaptiveAvgPool2d((2, 3)), (2, 2, 5, 4)),
    LayerCase("adaptive-one-axis", lambda: nn.AdaptiveAvgPool2d((None, 2)), (2, 2, 3, 4)),
    LayerCase("adaptive-larger", lambda: nn.AdaptiveAvgPool2d((4, 5)), (2, 2, 2, 3)),
    LayerCase("adaptive-same", lambda: nn.AdaptiveAvgPool2d(None), (2, 2, 2, 3)),
    LayerCase("adaptive-1d", lambda: nn.AdaptiveAvgPool1d(1), (3, 2, 5)),
    LayerCase("adaptive-1d-uneven", lambda: nn.AdaptiveAvgPool1d(3), (3, 2, 5)),
    LayerCase("adaptive-max", lambda: nn.AdaptiveMaxPool2d(1), (3, 2, 3, 4)),
    LayerCase("adaptive-max-even", lambda: nn.AdaptiveMaxPool2d((2, 3)), (2, 2, 4, 6)),
    LayerCase("adaptive-max-uneven", lambda: nn.AdaptiveMaxPool2d((2, 3)), (2, 2, 5, 4)),
    LayerCase("adaptive-max-one-axis", lambda: nn.AdaptiveMaxPool2d((None, 2)), (2, 2, 3, 4)),
    LayerCase("adaptive-max-larger", lambda: nn.AdaptiveMaxPool2d((4, 5)), (2, 2, 2, 3)),
    LayerCase("adaptive-max-1d", lambda: nn.AdaptiveMaxPool1d(1), (3, 2, 5)),
    LayerCase("adaptive-max-1d-uneven", lambda: nn.AdaptiveMaxPool1d(4), (3, 2, 6)),
    LayerCase("upsample", lambda: nn.Upsample(scale_factor=2), (2, 2, 3, 2)),
    LayerCase("upsample-size", lambda: nn.Upsample((5, 3)), (2, 2, 3, 4)),
    LayerCase("upsample-smaller", lambda: nn.Upsample(scale_factor=(0.5, 0.7)), (2, 2, 5, 4)),
    LayerCase("upsample-sequence", lambda: nn.Upsample(scale_factor=2.5), (3, 2, 3)),
    LayerCase("upsample-linear", lambda: nn.Upsample(scale_factor=3, mode="linear"), (3, 2, 4)),
    LayerCase("upsample-linear-corners", lambda: nn.Upsample(7, mode="linear", align_corners=True), (3, 2, 4)),
    LayerCase("upsample-bilinear", lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (2, 2, 3, 2)),
    LayerCase("upsample-bilinear-corners", lambda: nn.Upsample((5, 4), mode="bilinear", align_corners=True), (2, 2, 3, 2)),
    LayerCase("upsample-bilinear-smaller", lambda: nn.Upsample((2, 5), mode="bilinear", align_corners=False), (2, 2, 5, 3)),
    LayerCase("upsample-bilinear-of-one", lambda: nn.Upsample(3, mode="bilinear"), (2, 2, 1, 1)),
    LayerCase("upsample-nothing", lambda: nn.Upsample((3, 2)), (2, 2, 3, 2)),
    LayerCase("pixel-shuffle", lambda: nn.PixelShuffle(2), (2, 8, 2, 3)),
    LayerCase("pixel-unshuffle", lambda: nn.PixelUnshuffle(2), (3, 2, 2, 4)),
    LayerCase("zero-pad", lambda: nn.ZeroPad2d((1, 2, 0, 3)), (2, 2, 3, 2)),
    LayerCase("zero-pad-none", lambda: nn.ZeroPad2d(0), (2, 2, 3, 2)),
    LayerCase("reflection-pad", lambda: nn.ReflectionPad2d((3, 1, 2, 0)), (2, 2, 3, 4)),
    LayerCase("replication-pad", lambda: nn.ReplicationPad2d((3, 1, 2, 0)), (2, 2, 1, 2)),
    LayerCase("batch-norm-1d", lambda: nn.BatchNorm1d(3), (6, 3)),
    LayerCase("batch-norm-1d-length", lambda: nn.BatchNorm1d(2), (3, 2, 4)),
    LayerCase("batch-norm-1d-plain", lambda: nn.BatchNorm1d(3, affine=False), (6, 3)),
    LayerCase("batch-norm-1d-no-tracking", lambda: nn.BatchNorm1d(3, track_running_stats=False), (6, 3)),
    LayerCase("batch-norm-1d-mean", lambda: nn.BatchNorm1d(3, eps=1e-3, momentum=None), (6, 3)),
    LayerCase("batch-norm-2d", lambda: nn.BatchNorm2d(3), (2, 3, 2, 4)),
    LayerCase("batch-norm-2d-plain", lambda: nn.BatchNorm2d(2, affine=False), (3, 2, 3, 2)),
    LayerCase("batch-norm-2d-no-tracking", lambda: nn.BatchNorm2d(2, track_running_stats=False), (3, 2, 3, 2)),
    LayerCase("batch-norm-2d-nothing", lambda: nn.BatchNorm2d(2, affine=False, track_running_stats=False), (3, 2, 3, 2)),
    LayerCase("layer-norm", lambda: nn.LayerNorm(5), (4, 5)),
    LayerCase("layer-norm-no-bias", lambda: nn.LayerNorm(5, bias=False), (2, 4, 5)),
    LayerCase("layer-norm-images", lambda: nn.LayerNorm((3, 2, 4)), (2, 3, 2, 4)),
    LayerCase("layer-norm-rows", lambda: nn.LayerNorm((2, 4), eps=1e-3), (2, 3, 2, 4)),
    LayerCase("layer-norm-plain", lambda: nn.LayerNorm(5, elementwise_affine=False), (4, 5)),
    LayerCase("layer-norm-1d", lambda: nn.LayerNorm(5), (5,)),
    LayerCase("group-norm", lambda: nn.GroupNorm(2, 4), (2, 4, 2, 3)),
    LayerCase("group-norm-one", lambda: nn.GroupNorm(1, 3, eps=1e-3), (2, 3, 2, 4)),
    LayerCase("group-norm-each", lambda: nn.GroupNorm(3, 3, affine=False), (2, 3, 2, 4)),
    LayerCase("group-norm-features", lambda: nn.GroupNorm(2, 6), (4, 6)),
    LayerCase("instance-norm-1d", lambda: nn.InstanceNorm1d(3, affine=True), (2, 3, 4)),
    LayerCase("instance-norm-2d", lambda: nn.InstanceNorm2d(3), (2, 3, 2, 4)),
    LayerCase("instance-norm-2d-affine", lambda: nn.InstanceNorm2d(2, 1e-3, affine=True), (2, 2, 3, 2)),
    LayerCase("relu", lambda: nn.ReLU(), (2, 3, 2, 4)),
    LayerCase("leaky-relu", lambda: nn.LeakyReLU(), (2, 3, 2, 4)),
    LayerCase("leaky-relu-slope", lambda: nn.LeakyReLU(-0.5), (4, 5)),
    LayerCase("relu6", lambda: nn.ReLU6(), (2, 3, 2, 4)),
    LayerCase("hardtanh", lambda: nn.Hardtanh(), (3, 5)),
    LayerCase("hardtanh-bounds", lambda: nn.Hardtanh(-0.3, 0.8), (4, 5)),
    LayerCase("prelu", lambda: nn.PReLU(), (2, 3, 2, 4)),
    LayerCase("prelu-channels", lambda: nn.PReLU(3), (2, 3, 2, 4)),
    LayerCase("prelu-features", lambda: nn.PReLU(5, init=-0.5), (4, 5)),
    LayerCase("prelu-1d", lambda: nn.PReLU(), (7,)),
    LayerCase("elu", lambda: nn.ELU(), (2, 3, 2, 4)),
    LayerCase("elu-alpha", lambda: nn.ELU(0.4), (4, 5)),
    LayerCase("selu", lambda: nn.SELU(), (2, 3, 2, 4)),
    LayerCase("sigmoid", lambda: nn.Sigmoid(), (2, 3, 2, 4)),
    LayerCase("tanh", lambda: nn.Tanh(), (2, 3, 2, 4)),
    LayerCase("softplus", lambda: nn.Softplus(), (2, 3, 2, 4)),
    LayerCase("softplus-options", lambda: nn.Softplus(beta=2.0, threshold=1.0), (4, 5)),
    LayerCase("silu", lambda: nn.SiLU(), (2, 3, 2, 4)),
    LayerCase("gelu", lambda: nn.GELU(), (2, 3, 2, 4)),
    LayerCase("gelu-tanh", lambda: nn.GELU("tanh"), (2, 3, 2, 4)),
    LayerCase("hardswish", lambda: nn.Hardswish(), (2, 3, 2, 4)),
    LayerCase("hardsigmoid", lambda: nn.Hardsigmoid(), (2, 3, 2, 4)),
    LayerCase("mish", lambda: nn.Mish(), (2, 3, 2, 4)),
    LayerCase("softmax", lambda: nn.Softmax(), (4, 5)),
    LayerCase("softmax-channels", lambda: nn.Softmax(1), (2, 3, 2, 4)),
    LayerCase("softmax-1d", lambda: nn.Softmax(), (5,)),
    LayerCase("log-softmax", lambda: nn.LogSoftmax(), (4, 5)),
    LayerCase("log-softmax-channels", lambda: nn.LogSoftmax(1), (2, 3, 2, 4)),
    LayerCase("dropout", lambda: nn.Dropout(), (2, 3, 2, 4)),
    LayerCase("dropout-none", lambda: nn.Dropout(0.0), (4, 5)),
    LayerCase("dropout-all", lambda: nn.Dropout(1.0), (4, 5)),
    LayerCase("dropout-1d", lambda: nn.Dropout(0.25), (12,)),
    LayerCase("dropout-2d", lambda: nn.Dropout2d(), (2, 3, 2, 4)),
    LayerCase("dropout-2d-none", lambda: nn.Dropout2d(0.0), (2, 3, 2, 4)),
    LayerCase("embedding", lambda: nn.Embedding(7, 3), (4, 5), indices=7),
    LayerCase("embedding-images", lambda: nn.Embedding(3, 2), (2, 1, 2, 3), indices=3),
    # The padding does not occur in x: its gradient is set to zero, whatever finite differences say.
    LayerCase("embedding-padding", lambda: nn.Embedding(5, 3, padding_idx=-1), (12,), indices=4),
    LayerCase("identity", lambda: nn.Identity(), (2, 3, 2)),
    LayerCase("flatten", lambda: nn.Flatten(), (2, 3, 2, 4)),
    LayerCase("flatten-some", lambda: nn.Flatten(2, 3), (2, 3, 2, 4)),
    LayerCase("flatten-all", lambda: nn.Flatten(0), (2, 3, 4)),
    LayerCase("reshape", lambda: nn.Reshape(4, -1), (2, 3, 2, 4)),
    LayerCase("reshape-image", lambda: nn.Reshape(2, 3, 2), (4, 12)),
    LayerCase("reshape-number", lambda: nn.Reshape(), (4, 1)),
    LayerCase("permute", lambda: nn.Permute(0, 2, 3, 1), (2, 3, 2, 4)),
    LayerCase("permute-sequences", lambda: nn.Permute(0, 2, 1), (2, 3, 4)),
    LayerCase("sequential", lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)), (3, 4)),
    LayerCase("sequential-named", lambda: nn.Sequential({"a": nn.Linear(4, 3), "b": nn.Sigmoid()}), (3, 4)),
    LayerCase("sequential-empty", lambda: nn.Sequential(), (3, 4)),
    LayerCase("sequential-no-parameters", lambda: nn.Sequential(nn.Flatten(), nn.Tanh()), (3, 2, 2)),
    LayerCase("sequential-shared", shared, (3, 4)),
    LayerCase("sequential-words", words, (4, 3), indices=6),
    LayerCase("sequential-nested", nested, (4, 2, 4, 5)),
    LayerCase("residual", lambda: nn.Residual(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4))), (3, 4)),
    LayerCase("residual-shortcut", lambda: nn.Residual(nn.Conv2d(2, 3, 3, 2, 1), nn.Conv2d(2, 3, 1, 2)), (2, 2, 5, 4)),
    LayerCase("residual-of-nothing", lambda: nn.Residual(nn.Tanh()), (3, 4)),
    LayerCase("parallel", lambda: nn.Parallel(nn.Linear(4, 3), nn.Sequential(nn.Linear(4, 3), nn.Tanh())), (3, 4)),
    LayerCase("parallel-concat", lambda: nn.Parallel(nn.Conv2d(2, 1, 1), nn.AvgPool2d(3, 1, 1), nn.Conv2d(2, 3, 3, padding=1), merge="concat"), (2, 2, 4, 3)),
    LayerCase("parallel-named", lambda: nn.Parallel({"a": nn.Linear(4, 2), "b": nn.Linear(4, 3)}, merge="concat"), (3, 4)),
    LayerCase("composite", Branched, (3, 2, 4, 5)),
    LayerCase("sequential-cnn", small_cnn, (3, 1, 8, 8)),
]

LOSSES = [
    LossCase("cross-entropy", lambda: nn.CrossEntropyLoss(), (5, 4), "indices"),
    LossCase("cross-entropy-weighted", lambda: nn.CrossEntropyLoss(), (5, 4), "indices", True),
    LossCase("cross-entropy-one-hot", lambda: nn.CrossEntropyLoss(), (5, 4), "one-hot"),
    LossCase("cross-entropy-soft", lambda: nn.CrossEntropyLoss(), (5, 4), "soft"),
    LossCase("cross-entropy-soft-weighted", lambda: nn.CrossEntropyLoss(), (5, 4), "soft", True),
    LossCase("cross-entropy-numbers", lambda: nn.CrossEntropyLoss(), (5, 4), "numbers"),
    LossCase("cross-entropy-one-sample", lambda: nn.CrossEntropyLoss(), (1, 3), "indices"),
    LossCase("cross-entropy-sum", lambda: nn.CrossEntropyLoss(reduction="sum"), (5, 4), "indices", True),
    LossCase("cross-entropy-none", lambda: nn.CrossEntropyLoss(reduction="none"), (5, 4), "indices", value=(5,)),
    LossCase("cross-entropy-ignored", lambda: nn.CrossEntropyLoss(), (5, 4), "ignored"),
    LossCase("cross-entropy-ignored-class", lambda: nn.CrossEntropyLoss(ignore_index=1), (6, 3), "ignored", True),
    LossCase("cross-entropy-classes", lambda: nn.CrossEntropyLoss([0.5, 2.0, 1.0, 0.0]), (7, 4), "indices"),
    LossCase("cross-entropy-classes-soft", lambda: nn.CrossEntropyLoss([0.5, 2.0, 1.0]), (5, 3), "soft", True),
    LossCase("cross-entropy-smooth", lambda: nn.CrossEntropyLoss(label_smoothing=0.2), (5, 4), "ignored"),
    LossCase("cross-entropy-smooth-soft", lambda: nn.CrossEntropyLoss([1.0, 3.0], label_smoothing=0.7), (5, 2), "soft"),
    LossCase("cross-entropy-everything", lambda: nn.CrossEntropyLoss([0.5, 2.0, 0.3], 2, "mean", 0.1), (8, 3), "ignored", True),
    LossCase("cross-entropy-everything-sum", lambda: nn.CrossEntropyLoss([0.5, 2.0, 0.3], 2, "sum", 0.1), (8, 3), "ignored", True),
    LossCase("cross-entropy-everything-none", lambda: nn.CrossEntropyLoss([0.5, 2.0, 0.3], 2, "none", 0.1), (8, 3), "ignored", True, (8,)),
    LossCase("cross-entropy-images", lambda: nn.CrossEntropyLoss(), (2, 3, 2, 4), "indices"),
    LossCase("cross-entropy-images-everything", lambda: nn.CrossEntropyLoss([0.5, 2.0, 0.3], -1, "mean", 0.1), (3, 3, 2, 4), "ignored", True),
    LossCase("cross-entropy-images-none", lambda: nn.CrossEntropyLoss([0.5, 2.0, 0.3], reduction="none"), (2, 3, 2, 4), "ignored", True, (2, 2, 4)),
    LossCase("cross-entropy-sequences-soft", lambda: nn.CrossEntropyLoss([0.5, 2.0, 0.3]), (3, 3, 4), "soft", True),
    LossCase("nll", lambda: nn.NLLLoss(), (5, 4), "indices"),
    LossCase("nll-everything", lambda: nn.NLLLoss([0.5, 2.0, 0.3], 2), (8, 3), "ignored", True),
    LossCase("nll-sum", lambda: nn.NLLLoss([0.5, 2.0, 0.3], reduction="sum"), (5, 3), "ignored"),
    LossCase("nll-images", lambda: nn.NLLLoss(), (2, 3, 2, 4), "ignored", True),
    LossCase("nll-images-none", lambda: nn.NLLLoss([0.5, 2.0, 0.3], reduction="none"), (2, 3, 2, 4), "ignored", True, (2, 2, 4)),
    LossCase("bce", lambda: nn.BCEWithLogitsLoss(), (5, 4), "fractions"),
    LossCase("bce-1d", lambda: nn.BCEWithLogitsLoss(pos_weight=3.0), (6,), "integers", True),
    LossCase("bce-weights", lambda: nn.BCEWithLogitsLoss([0.5, 2.0, 0.0, 1.0]), (5, 4), "fractions"),
    LossCase("bce-pos-weights", lambda: nn.BCEWithLogitsLoss(pos_weight=[0.5, 2.0, 0.0, 1.0]), (5, 4), "fractions", True),
    LossCase("bce-images", lambda: nn.BCEWithLogitsLoss([[[0.5]], [[2.0]]], "mean", [1.0, 3.0, 0.2]), (3, 2, 2, 3), "fractions", True),
    LossCase("bce-sum", lambda: nn.BCEWithLogitsLoss(2.0, "sum"), (5, 4), "integers", True),
    LossCase("bce-none", lambda: nn.BCEWithLogitsLoss(2.0, "none", 3.0), (5, 4), "fractions", True, (5, 4)),
    LossCase("mse", lambda: nn.MSELoss(), (5, 4), "numbers"),
    LossCase("mse-1d", lambda: nn.MSELoss(), (5,), "numbers"),
    LossCase("mse-images", lambda: nn.MSELoss(), (3, 2, 2, 3), "numbers"),
    LossCase("mse-weighted", lambda: nn.MSELoss(), (5, 4), "numbers", True),
    LossCase("mse-images-weighted", lambda: nn.MSELoss(), (3, 2, 2, 3), "numbers", True),
    LossCase("mse-integers", lambda: nn.MSELoss(), (5, 4), "integers"),
    LossCase("mse-sum", lambda: nn.MSELoss("sum"), (5, 4), "numbers", True),
    LossCase("mse-none", lambda: nn.MSELoss("none"), (5, 4), "numbers", value=(5, 4)),
    LossCase("mse-none-weighted", lambda: nn.MSELoss("none"), (3, 2, 2, 3), "numbers", True, (3, 2, 2, 3)),
    LossCase("l1", lambda: nn.L1Loss(), (5, 4), "numbers"),
    LossCase("l1-sum", lambda: nn.L1Loss("sum"), (5, 4), "numbers", True),
    LossCase("l1-none", lambda: nn.L1Loss("none"), (5,), "numbers", True, (5,)),
    LossCase("huber", lambda: nn.HuberLoss(), (5, 4), "numbers"),
    LossCase("huber-delta", lambda: nn.HuberLoss(delta=0.4), (3, 2, 2, 3), "numbers", True),
    LossCase("huber-sum", lambda: nn.HuberLoss("sum", 2.0), (5, 4), "integers"),
    LossCase("huber-none", lambda: nn.HuberLoss("none"), (5, 4), "numbers", True, (5, 4)),
    LossCase("smooth-l1", lambda: nn.SmoothL1Loss(), (5, 4), "numbers"),
    LossCase("smooth-l1-beta", lambda: nn.SmoothL1Loss(beta=0.4), (3, 2, 2, 3), "numbers", True),
    LossCase("smooth-l1-no-beta", lambda: nn.SmoothL1Loss(beta=0.0), (5, 4), "numbers", True),
    LossCase("smooth-l1-sum", lambda: nn.SmoothL1Loss("sum", 2.0), (5, 4), "integers"),
    LossCase("smooth-l1-none", lambda: nn.SmoothL1Loss("none"), (5, 4), "numbers", True, (5, 4)),
]

OPTIMIZERS = [
    OptimizerCase("sgd", optim.SGD, {"lr": 0.3}),
    OptimizerCase("sgd-decay", optim.SGD, {"lr": 0.3, "weight_decay": 0.01}),
    OptimizerCase("sgd-momentum", optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    OptimizerCase("sgd-dampening", optim.SGD, {"lr": 0.1, "momentum": 0.8, "dampening": 0.3}),
    OptimizerCase("sgd-nesterov", optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    OptimizerCase("sgd-everything", optim.SGD, {"lr": 0.1, "momentum": 0.7, "nesterov": True, "weight_decay": 0.02}),
    OptimizerCase("adam", optim.Adam, {"lr": 0.01}),
    OptimizerCase("adam-betas", optim.Adam, {"lr": 0.01, "betas": (0.7, 0.95)}),
    OptimizerCase("adam-eps", optim.Adam, {"lr": 0.05, "eps": 1e-2}),
    OptimizerCase("adam-decay", optim.Adam, {"lr": 0.01, "weight_decay": 0.05}),
    OptimizerCase("adam-amsgrad", optim.Adam, {"lr": 0.01, "betas": (0.9, 0.7), "amsgrad": True}),
    OptimizerCase("adamw", optim.AdamW, {"lr": 0.01}),
    OptimizerCase("adamw-everything", optim.AdamW, {"lr": 0.01, "betas": (0.8, 0.6), "eps": 1e-4, "weight_decay": 0.3, "amsgrad": True}),
    OptimizerCase("adamax", optim.Adamax, {"lr": 0.01}),
    OptimizerCase("adamax-everything", optim.Adamax, {"lr": 0.01, "betas": (0.7, 0.8), "eps": 1e-2, "weight_decay": 0.05}),
    OptimizerCase("nadam", optim.NAdam, {"lr": 0.01}),
    OptimizerCase("nadam-momentum-decay", optim.NAdam, {"lr": 0.01, "momentum_decay": 0.3, "weight_decay": 0.05}),
    OptimizerCase("nadam-everything", optim.NAdam, {"lr": 0.01, "betas": (0.7, 0.95), "eps": 1e-2, "weight_decay": 0.3, "decoupled_weight_decay": True}),
    OptimizerCase("radam", optim.RAdam, {"lr": 0.01}),
    OptimizerCase("radam-never-adaptive", optim.RAdam, {"lr": 0.01, "betas": (0.9, 0.6), "weight_decay": 0.05}),
    OptimizerCase("radam-everything", optim.RAdam, {"lr": 0.01, "betas": (0.7, 0.95), "eps": 1e-2, "weight_decay": 0.3, "decoupled_weight_decay": True}),
    OptimizerCase("adagrad", optim.Adagrad, {"lr": 0.1}),
    OptimizerCase("adagrad-everything", optim.Adagrad, {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.05, "initial_accumulator_value": 0.5, "eps": 1e-2}),
    OptimizerCase("adadelta", optim.Adadelta, {"lr": 1.0}),
    OptimizerCase("adadelta-everything", optim.Adadelta, {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.05}),
    OptimizerCase("rmsprop", optim.RMSprop, {"lr": 0.01}),
    OptimizerCase("rmsprop-momentum", optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-2, "momentum": 0.8, "weight_decay": 0.05}),
    OptimizerCase("rmsprop-centered", optim.RMSprop, {"lr": 0.01, "centered": True}),
    OptimizerCase("rmsprop-everything", optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, "momentum": 0.8, "weight_decay": 0.05, "centered": True}),
]

_MOMENTUM = OptimizerCase("sgd", optim.SGD, {"lr": 0.3, "momentum": 0.9})
_ADAM = OptimizerCase("adam", optim.Adam, {"lr": 0.3, "betas": (0.9, 0.99)})
SCHEDULES = [
    ScheduleCase("step", optim.StepLR, {"step_size": 3}, 10),
    ScheduleCase("step-gamma", optim.StepLR, {"step_size": 1, "gamma": 0.99}, 10),
    ScheduleCase("step-by-step", optim.StepLR, {"step_size": 4, "gamma": 0.5, "by": "step"}, 10),
    ScheduleCase("multi-step", optim.MultiStepLR, {"milestones": [3, 7]}, 10),
    ScheduleCase("multi-step-gamma", optim.MultiStepLR, {"milestones": [5, 2, 2, 0], "gamma": 0.7, "by": "step"}, 8),
    ScheduleCase("exponential", optim.ExponentialLR, {"gamma": 0.9}, 10),
    ScheduleCase("exponential-by-step", optim.ExponentialLR, {"gamma": 0.99, "by": "step"}, 10, _ADAM),
    ScheduleCase("constant", optim.ConstantLR, {}, 8),
    ScheduleCase("constant-long", optim.ConstantLR, {"factor": 0.5, "total_iters": 3, "by": "step"}, 8),
    ScheduleCase("linear", optim.LinearLR, {}, 8),
    ScheduleCase("linear-warm-up", optim.LinearLR, {"start_factor": 0.01, "total_iters": 7, "by": "step"}, 10, _ADAM),
    ScheduleCase("linear-down", optim.LinearLR, {"start_factor": 1.0, "end_factor": 0.25}, 8),
    ScheduleCase("polynomial", optim.PolynomialLR, {}, 8),
    ScheduleCase("polynomial-power", optim.PolynomialLR, {"total_iters": 9, "power": 2.5, "by": "step"}, 12),
    ScheduleCase("lambda", optim.LambdaLR, {"lr_lambda": lambda epoch: 1 / (1 + 0.1 * epoch)}, 8),
    ScheduleCase("lambda-by-step", optim.LambdaLR, {"lr_lambda": lambda step: 0.95**step, "by": "step"}, 8),
    ScheduleCase("cosine", optim.CosineAnnealingLR, {"T_max": 10}, 11),
    ScheduleCase("cosine-up-again", optim.CosineAnnealingLR, {"T_max": 7, "eta_min": 0.01, "by": "step"}, 35, _ADAM),
    ScheduleCase("warm-restarts", optim.CosineAnnealingWarmRestarts, {"T_0": 4}, 13),
    ScheduleCase("warm-restarts-longer", optim.CosineAnnealingWarmRestarts, {"T_0": 3, "T_mult": 2, "eta_min": 0.02, "by": "step"}, 30, _ADAM),
    ScheduleCase("one-cycle", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20}, 20, _MOMENTUM),
    ScheduleCase("one-cycle-adam", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 17}, 17, _ADAM),
    ScheduleCase("one-cycle-plain", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20, "cycle_momentum": False}, 20),
    ScheduleCase("one-cycle-linear", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20, "anneal_strategy": "linear"}, 20, _MOMENTUM),
    ScheduleCase("one-cycle-late", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 11, "pct_start": 0.77}, 11, _ADAM),
    ScheduleCase("one-cycle-factors", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20, "div_factor": 10.0, "final_div_factor": 100.0}, 20, _ADAM),
    ScheduleCase("one-cycle-momenta", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20, "base_momentum": 0.5, "max_momentum": 0.8}, 20, _MOMENTUM),
    ScheduleCase("one-cycle-three-phase", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20, "three_phase": True}, 20, _ADAM),
    ScheduleCase("one-cycle-three-phase-late", optim.OneCycleLR, {"max_lr": 0.5, "total_steps": 20, "pct_start": 0.7, "three_phase": True}, 20, _MOMENTUM),
    ScheduleCase("sequential", optim.SequentialLR, {"schedulers": [optim.LinearLR(0.1), optim.CosineAnnealingLR(9)], "milestones": [5]}, 15),
    ScheduleCase("sequential-by-step", optim.SequentialLR, {"schedulers": [optim.ConstantLR(by="step"), optim.ExponentialLR(0.9, by="step"), optim.StepLR(2, by="step")], "milestones": [3, 6]}, 12, _ADAM),
    ScheduleCase("chained", optim.ChainedScheduler, {"schedulers": [optim.ConstantLR(0.1, 4), optim.ExponentialLR(0.9)]}, 10),
    ScheduleCase("plateau", optim.ReduceLROnPlateau, {}, 3),
    ScheduleCase("plateau-max", optim.ReduceLROnPlateau, {"mode": "max", "factor": 0.5, "patience": 1, "threshold": 0.1, "cooldown": 2, "monitor": "val_accuracy"}, 3),
    ScheduleCase("plateau-abs", optim.ReduceLROnPlateau, {"patience": 0, "threshold_mode": "abs", "threshold": 0.2, "min_lr": 1e-3, "eps": 1e-3, "monitor": "loss"}, 3),
]
# fmt: on


def ids(cases: list[Any]) -> list[str]:
    """Return the cases' names, as pytest shows them."""
    return [case.id for case in cases]


def numbers(name: str, shape: Shape) -> Any:
    """Return normal numbers, float64, on the host: always the same for a name and a shape.

    None is near 0, where activations have a kink that finite differences would step over.
    """
    values = pn.Key(11).child(name).normal(tuple(shape))
    return values + 0.05 * np.sign(values)


def fill(layer: nn.Layer) -> nn.Layer:
    """Draw a layer's arrays on the selected backend, so that no scale is 1 and no shift is 0."""
    layer.initialize(1)
    for name, p in layer.params.items():
        layer.params[name] = numbers(name, p.shape) * 0.5
    for name, b in layer.buffers.items():
        if "mean" in name:
            layer.buffers[name] = numbers(name, b.shape)
        elif "var" in name:
            layer.buffers[name] = 0.5 + abs(numbers(name, b.shape))
        else:
            layer.buffers[name] = 3
    return layer

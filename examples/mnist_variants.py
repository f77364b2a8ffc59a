"""The variants of mnist_optimizers.py: their settings, and those of the study to compare with.

Optimizers and layers are here as their papers have them. In the study some are not: its Adadelta
mixes the two means up, its Nadam squares the gradient, its AMSGrad has no use for its maximum, and
its batch normalization starts with a scale of 0 and never learns.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from portanet import nn, optim

HIDDEN = (100, 30)


def noisy(model: nn.Layer, eta: float, gamma: float, **options: Any) -> optim.Optimizer:
    """Return SGD with normal noise on the gradients, of variance eta / (1 + step)^gamma."""
    return optim.SGD(model, transforms=[optim.GradientNoise(eta, gamma)], **options)


def l1(model: nn.Layer, alpha: float, **options: Any) -> optim.Optimizer:
    """Return SGD with a penalty alpha · Σ |w|, from which weights up to alpha are free."""
    return optim.SGD(model, transforms=[optim.L1(alpha, dead_zone=True)], **options)


def l2(model: nn.Layer, alpha: float, **options: Any) -> optim.Optimizer:
    """Return SGD with weight decay alpha on the weights alone."""
    return optim.SGD(model, weight_decay=alpha, decay_bias=False, **options)


@dataclass(frozen=True)
class Variant:
    """A line of the table: how a network is made and trained."""

    name: str
    optimizer: Callable[..., optim.Optimizer]  # called with the model and the options
    options: dict[str, Any]
    activation: type[nn.Layer] = nn.SiLU
    falling: bool = True  # the rate, along half a cosine
    hidden: tuple[int, ...] = HIDDEN
    batch_norm: bool = False
    dropout: float = 0.0
    mse: bool = False  # sigmoid outputs and squared errors, instead of softmax and log-loss
    augmented: bool = False

    def network(self) -> nn.Sequential:
        """Return the network, with its weights still to be drawn."""
        layers: list[nn.Layer] = []
        width = 784
        for out in self.hidden:
            layers.append(nn.Linear(width, out))
            if self.batch_norm:
                layers.append(nn.BatchNorm1d(out))
            layers.append(self.activation())
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
            width = out
        layers.append(nn.Linear(width, 10))
        return nn.Sequential(*layers, nn.Sigmoid()) if self.mse else nn.Sequential(*layers)

    def settings(self) -> str:
        """Return in words what differs from one variant to another."""
        options = []
        for name, value in self.options.items():
            values = value if isinstance(value, tuple) else (value,)
            option = name + "".join(f" {v:g}" for v in values if v is not True)
            options.append(option + "→0" * (name == "lr" and self.falling))
        words = [f"{self.optimizer.__name__}({', '.join(options)})", self.activation.__name__]
        if self.dropout:
            words.append(f"dropout {self.dropout:g}")
        if self.hidden != HIDDEN:
            words.append("–".join(map(str, (784, *self.hidden, 10))))
        return ", ".join(words)


class Study(NamedTuple):
    """What the study has of a variant; its rates are constant."""

    best: float  # accuracy
    epochs: int  # that it shows
    options: dict[str, Any]
    activation: type[nn.Layer] = nn.ReLU


FAMILIES = {
    "SGD, noise, penalties": (
        Variant("sgd", optim.SGD, {"lr": 0.5}),
        Variant("noise", noisy, {"lr": 0.5, "eta": 1e-4, "gamma": 0.55}),
        Variant("l1", l1, {"lr": 0.5, "alpha": 1e-4}),
        Variant("l2", l2, {"lr": 0.5, "alpha": 1e-4}),
    ),
    "Momentum": (
        Variant("momentum", optim.SGD, {"lr": 0.05, "momentum": 0.9}),
        Variant("l2-momentum", l2, {"lr": 0.05, "alpha": 5e-4, "momentum": 0.9}),
        Variant("nesterov", optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    ),
    "A rate for each weight": (
        Variant("adagrad", optim.Adagrad, {"lr": 0.05}),
        Variant("adadelta", optim.Adadelta, {"lr": 1.0}),
        Variant("rmsprop", optim.RMSprop, {"lr": 0.002}),
    ),
    "The Adam family": (
        Variant("adam", optim.Adam, {"lr": 0.003}),
        Variant("adamax", optim.Adamax, {"lr": 0.005}),
        Variant("nadam", optim.NAdam, {"lr": 0.003}),
        Variant("amsgrad", optim.Adam, {"lr": 0.003, "amsgrad": True}),
    ),
    "Layers, loss, depth": (
        Variant("dropout", optim.SGD, {"lr": 0.5}, hidden=(64,), dropout=0.2),
        Variant("batch-norm", optim.SGD, {"lr": 0.5}, batch_norm=True),
        Variant("mse", optim.SGD, {"lr": 3.0}, mse=True),
        Variant("shallow", optim.SGD, {"lr": 0.5}, hidden=(100,)),
        Variant("deep", optim.SGD, {"lr": 0.2}, hidden=(100, 60, 60, 30)),
    ),
    "Augmentation": (
        Variant("augmented", optim.AdamW, {"lr": 0.002}, augmented=True),
        Variant("wide", optim.AdamW, {"lr": 0.002}, hidden=(400, 100), augmented=True),
    ),
}
VARIANTS = {variant.name: variant for family in FAMILIES.values() for variant in family}

BETAS, EPS, SIGMOID = {"betas": (0.9, 0.99)}, {"eps": 1e-8}, nn.Sigmoid
STUDY = {
    "sgd": Study(0.9758, 48, {"lr": 0.05}),
    # σ = lr / (1 + step)^10: there is no noise after the first few steps.
    "noise": Study(0.9759, 28, {"lr": 0.05, "eta": 0.05**2, "gamma": 20.0}),
    "l1": Study(0.9715, 14, {"lr": 0.05, "alpha": 1e-4}),
    "l2": Study(0.9758, 38, {"lr": 0.05, "alpha": 1e-4}),
    "momentum": Study(0.9770, 36, {"lr": 0.005, "momentum": 0.9}),
    "l2-momentum": Study(0.9788, 70, {"lr": 0.01, "alpha": 1e-4, "momentum": 0.9}),
    "nesterov": Study(0.9526, 40, {"lr": 0.05, "momentum": 0.9, "nesterov": True}, SIGMOID),
    "adagrad": Study(0.9495, 40, {"lr": 0.05} | EPS, SIGMOID),
    "adadelta": Study(0.9641, 70, {"lr": 1.0, "rho": 0.9} | EPS, SIGMOID),
    "rmsprop": Study(0.9669, 70, {"lr": 0.05, "alpha": 0.9} | EPS, SIGMOID),
    "adam": Study(0.9563, 40, {"lr": 0.05} | BETAS, SIGMOID),
    "adamax": Study(0.9704, 68, {"lr": 0.05} | BETAS, SIGMOID),
    "nadam": Study(0.9240, 8, {"lr": 0.05}),
    "amsgrad": Study(0.9606, 70, {"lr": 0.05, "amsgrad": True}, SIGMOID),
    "dropout": Study(0.9754, 70, {"lr": 0.5}),
    "batch-norm": Study(0.1135, 16, {"lr": 0.05}),
}


def as_published(variant: Variant) -> Variant:
    """Return a variant with the study's settings."""
    study = STUDY[variant.name]
    return replace(variant, options=study.options, activation=study.activation, falling=False)

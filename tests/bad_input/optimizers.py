# ruff: noqa: E501 (a table: a line for each bad call)
"""Bad options of optimizers, groups and transforms, bad gradients and states."""

from functools import partial

import numpy as np

from portanet import nn, optim

INF, NAN = float("inf"), float("nan")


def model() -> nn.Linear:
    return nn.Linear(2, 1)


def grads(**others):
    """Return gradients of `model()`, some of them replaced."""
    return {"weight": np.ones((1, 2), "f4"), "bias": np.ones(1, "f4")} | others


def sgd(**options):
    return optim.SGD(model(), **options)


def adam_state(**others):
    return optim.Adam(model()).state_dict() | others


# fmt: off
RATES = [
    (f"optim.{name}", partial(getattr(optim, name), model(), **options), error, fragment)
    for name in ("SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop")
    for options, error, fragment in (
        ({"learning_rate": 0.1}, TypeError, f"{name} has no option 'learning_rate'; did you mean 'lr'"),
        ({"lr": -0.1}, ValueError, "lr must be in [0, inf], got -0.1"),
        ({"lr": NAN}, ValueError, "lr must be in [0, inf], got nan"),
        ({"lr": INF}, ValueError, "lr must be finite, got inf"),
        ({"lr": "0.1"}, TypeError, "lr must be a number, got '0.1'"),
        ({"lr": np.ones(2)}, TypeError, "lr must be a number, got array([1., 1.])"),
        ({"weight_decay": -1}, ValueError, "weight_decay must be in [0, inf], got -1"),
        ({"decay_bias": "no"}, TypeError, "decay_bias must be True or False, got 'no'"),
        ({"transforms": optim.L1(0.1)}, TypeError, "transforms must be a list, got L1(alpha=0.1)"),
        ({"transforms": [3]}, TypeError, "transforms must be a Transform, got 3"),
        ({"groups": {"head": {"lr": 1.0}}}, ValueError, f"{name}: the group 'head' names no layer or parameter; there are weight, bias"),
        ({"groups": {"bias": {"lr": -1.0}}}, ValueError, "lr must be in [0, inf], got -1.0"),
        ({"groups": {"bias": {"rate": 1.0}}}, TypeError, f"{name} has no option 'rate'"),
        ({"groups": {"bias": 0.1}}, TypeError, "groups['bias'] must be a Mapping, got 0.1"),
        ({"groups": [{"lr": 1.0}]}, TypeError, "groups must be a Mapping, got [{'lr': 1.0}]"),
    )
]
BETAS = [
    (f"optim.{name}", partial(getattr(optim, name), model(), **options), error, fragment)
    for name in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam")
    for options, error, fragment in (
        ({"beta_1": 0.9}, TypeError, f"{name} has no option 'beta_1'; did you mean 'betas'"),
        ({"epsilon": 1e-7}, TypeError, f"{name} has no option 'epsilon'; did you mean 'eps'"),
        ({"momentum": 0.9}, TypeError, f"{name} has no option 'momentum'"),
        ({"betas": (1.0, 0.9)}, ValueError, "betas must be in [0, 1), got 1.0"),
        ({"betas": (0.9, -0.1)}, ValueError, "betas must be in [0, inf], got -0.1"),
        ({"betas": (0.9, NAN)}, ValueError, "betas must be in [0, inf], got nan"),
        ({"betas": 0.9}, TypeError, "betas must be a pair of numbers, got 0.9"),
        ({"betas": (0.9,)}, TypeError, "betas must be a pair of numbers, got (0.9,)"),
        ({"betas": "ab"}, TypeError, "betas must be a number, got 'a'"),
        ({"eps": -1e-8}, ValueError, "eps must be in [0, inf], got -1e-08"),
    )
]

LINES = [
    *RATES,
    *BETAS,
    ("optim.SGD", lambda: sgd(momentum=-0.9), ValueError, "momentum must be in [0, inf], got -0.9"),
    ("optim.SGD", lambda: sgd(dampening=NAN), ValueError, "dampening must be in [-inf, inf], got nan"),
    ("optim.SGD", lambda: sgd(nesterov=True), ValueError, "nesterov needs a momentum and zero dampening"),
    ("optim.SGD", lambda: sgd(nesterov=True, momentum=0.9, dampening=0.1), ValueError, "nesterov needs a momentum and zero dampening"),
    ("optim.SGD", lambda: sgd(nesterov="no", momentum=0.9), TypeError, "nesterov must be True or False, got 'no'"),
    ("optim.Adagrad", lambda: optim.Adagrad(model(), lr_decay=-1), ValueError, "lr_decay must be in [0, inf], got -1"),
    ("optim.Adagrad", lambda: optim.Adagrad(model(), initial_accumulator_value=-1), ValueError, "initial_accumulator_value must be in [0, inf], got -1"),
    ("optim.Adagrad", lambda: optim.Adagrad(model(), eps=-1), ValueError, "eps must be in [0, inf], got -1"),
    ("optim.Adadelta", lambda: optim.Adadelta(model(), rho=1.5), ValueError, "rho must be in [0, 1], got 1.5"),
    ("optim.Adadelta", lambda: optim.Adadelta(model(), eps=-1), ValueError, "eps must be in [0, inf], got -1"),
    ("optim.RMSprop", lambda: optim.RMSprop(model(), alpha=-0.1), ValueError, "alpha must be in [0, 1], got -0.1"),
    ("optim.RMSprop", lambda: optim.RMSprop(model(), alpha=1.5), ValueError, "alpha must be in [0, 1], got 1.5"),
    ("optim.RMSprop", lambda: optim.RMSprop(model(), momentum=-1), ValueError, "momentum must be in [0, inf], got -1"),
    ("optim.RMSprop", lambda: optim.RMSprop(model(), centered="no"), TypeError, "centered must be True or False, got 'no'"),
    ("optim.RMSprop", lambda: optim.RMSprop(model(), eps=-1), ValueError, "eps must be in [0, inf], got -1"),
    ("optim.Adam", lambda: optim.Adam(model(), amsgrad="no"), TypeError, "amsgrad must be True or False, got 'no'"),
    ("optim.NAdam", lambda: optim.NAdam(model(), momentum_decay=-1), ValueError, "momentum_decay must be in [0, inf], got -1"),
    ("optim.NAdam", lambda: optim.NAdam(model(), decoupled_weight_decay="no"), TypeError, "decoupled_weight_decay must be True or False, got 'no'"),
    ("optim.NAdam", lambda: optim.NAdam(model(), mu_product=0.5), TypeError, "NAdam has no option 'mu_product'"),
    ("optim.RAdam", lambda: optim.RAdam(model(), decoupled_weight_decay=1), TypeError, "decoupled_weight_decay must be True or False, got 1"),
    # --- the model ---
    ("optim.Optimizer", lambda: optim.SGD({"weight": np.ones(3)}), TypeError, "SGD takes the model first, got dict"),
    ("optim.Optimizer", lambda: optim.SGD(model().params), TypeError, "SGD takes the model first, got Arrays"),
    ("optim.Optimizer", lambda: optim.Adam(nn.ReLU()), ValueError, "Adam: the model has no parameters to train"),
    ("optim.Optimizer", lambda: setattr(sgd(), "lr", 0.1), AttributeError, "SGD: set optimizer.hyper['lr'] instead"),
    ("optim.Optimizer", lambda: setattr(sgd(), "learning_rate", 0.1), AttributeError, "SGD: set optimizer.hyper['lr'] instead"),
    ("optim.Optimizer", lambda: setattr(optim.Adam(model()), "beta_1", 0.1), AttributeError, "Adam: set optimizer.hyper['betas'] instead"),
    ("optim.Optimizer.update", lambda: optim.Optimizer(model()).step(grads()), NotImplementedError, "an optimizer gives its formula in `update`"),
    # --- gradients; on each backend in tests/optim ---
    ("optim.Optimizer.step", lambda: sgd().step({}), ValueError, "SGD: the gradients do not fit the model: missing ['bias', 'weight'], unknown []"),
    ("optim.Optimizer.step", lambda: sgd().step(grads(b=1.0)), ValueError, "missing [], unknown ['b']"),
    ("optim.Optimizer.step", lambda: sgd().step([1.0]), TypeError, "grads must be a Mapping, got [1.0]"),
    ("optim.Optimizer.step", lambda: sgd().step(grads(bias=None)), TypeError, "expected an array of one of"),
    ("optim.Optimizer.step", lambda: sgd().step(grads(bias=np.ones(2, "f4"))), ValueError, "SGD: gradient of 'bias': expected shape (1,), got (2,)"),
    ("optim.Optimizer.step", lambda: sgd().step(grads(bias=np.ones(1))), TypeError, "SGD: gradient of 'bias': expected float32, the parameter's dtype, got float64"),
    # --- states ---
    ("optim.Optimizer.check_model", lambda: sgd().check_model({}), TypeError, "model must be a Layer, got {}"),
    ("optim.Optimizer.check_model", lambda: sgd().check_model(model()), RuntimeError, "SGD: bias, weight: other layers than it was made for; make a new optimizer"),
    ("optim.Optimizer.load_state_dict", lambda: sgd().load_state_dict([]), TypeError, "state must be a Mapping, got []"),
    ("optim.Optimizer.load_state_dict", lambda: sgd().load_state_dict({}), ValueError, "SGD: the state lacks steps, taken, groups, transforms, arrays"),
    ("optim.Optimizer.load_state_dict", lambda: optim.Adam(model()).load_state_dict(adam_state(steps=-1)), ValueError, "steps must be at least 0, got -1"),
    ("optim.Optimizer.load_state_dict", lambda: optim.Adam(model()).load_state_dict(adam_state(taken={"bias": 1})), ValueError, "Adam: the state has no 'exp_avg.bias' of shape (1,)"),
    ("optim.Optimizer.load_state_dict", lambda: sgd().load_state_dict(adam_state()), ValueError, "SGD: the state is another optimizer's"),
    ("optim.NAdam.load_state_dict", lambda: optim.NAdam(model()).load_state_dict({}), ValueError, "NAdam: the state lacks taken, mu_product"),
    ("optim.NAdam.load_state_dict", lambda: optim.NAdam(model()).load_state_dict([]), TypeError, "state must be a Mapping, got []"),
    # --- transforms ---
    ("optim.Transform", lambda: optim.Transform(1), TypeError, "Transform takes no arguments, got 1"),
    ("optim.Transform.__call__", lambda: optim.Transform()({}, {}, 0), NotImplementedError, "Transform does not define __call__"),
    ("optim.Transform.load_state_dict", lambda: optim.L1(0.1).load_state_dict({"x": 1.0}), ValueError, "L1: expected a state of [], got ['x']"),
    ("optim.ClipGradNorm", lambda: optim.ClipGradNorm(-1.0), ValueError, "max_norm must be in [0, inf], got -1.0"),
    ("optim.ClipGradNorm", lambda: optim.ClipGradNorm(1.0, 0), ValueError, "norm_type must be positive, got 0"),
    ("optim.ClipGradNorm", lambda: optim.ClipGradNorm(1.0, "inf"), TypeError, "norm_type must be a number, got 'inf'"),
    ("optim.ClipGradValue", lambda: optim.ClipGradValue("a"), TypeError, "clip_value must be a number, got 'a'"),
    ("optim.L1", lambda: optim.L1(NAN), ValueError, "alpha must be in [0, inf], got nan"),
    ("optim.L1", lambda: optim.L1(0.1, dead_zone=0.1), TypeError, "dead_zone must be True or False, got 0.1"),
    ("optim.L1", lambda: optim.L1(0.1, bias="no"), TypeError, "bias must be True or False, got 'no'"),
    ("optim.GradientNoise", lambda: optim.GradientNoise(eta=-1), ValueError, "eta must be in [0, inf], got -1"),
    ("optim.GradientNoise", lambda: optim.GradientNoise(seed=-1), ValueError, "seed must be at least 0, got -1"),
    ("optim.GradientNoise", lambda: optim.GradientNoise(sigma=1), TypeError, "GradientNoise has no option 'sigma'"),
]

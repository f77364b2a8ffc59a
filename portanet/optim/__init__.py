"""Optimizers and learning-rate schedules."""

from portanet.optim.adagrad import Adadelta, Adagrad, RMSprop
from portanet.optim.adam import Adam, Adamax, AdamW
from portanet.optim.combined import ChainedScheduler, SequentialLR
from portanet.optim.cyclic import CosineAnnealingLR, CosineAnnealingWarmRestarts, OneCycleLR
from portanet.optim.factor import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from portanet.optim.nadam import NAdam
from portanet.optim.optimizer import Optimizer
from portanet.optim.plateau import ReduceLROnPlateau
from portanet.optim.radam import RAdam
from portanet.optim.schedule import Schedule
from portanet.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "NAdam",
    "OneCycleLR",
    "Optimizer",
    "PolynomialLR",
    "RAdam",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
]

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
from portanet.optim.group import Common
from portanet.optim.nadam import NAdam
from portanet.optim.optimizer import Optimizer
from portanet.optim.plateau import ReduceLROnPlateau
from portanet.optim.radam import RAdam
from portanet.optim.schedule import RateSchedule, Schedule
from portanet.optim.sgd import SGD
from portanet.optim.transform import L1, ClipGradNorm, ClipGradValue, GradientNoise, Transform

__all__ = [
    "L1",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ChainedScheduler",
    "ClipGradNorm",
    "ClipGradValue",
    "Common",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "GradientNoise",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "NAdam",
    "OneCycleLR",
    "Optimizer",
    "PolynomialLR",
    "RAdam",
    "RMSprop",
    "RateSchedule",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
    "Transform",
]

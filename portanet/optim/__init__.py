"""Optimizers and learning-rate schedules."""

from portanet.optim.adaptive import Adam
from portanet.optim.optimizer import Optimizer
from portanet.optim.schedule import OneCycleLR, Schedule, StepLR
from portanet.optim.sgd import SGD

__all__ = ["SGD", "Adam", "OneCycleLR", "Optimizer", "Schedule", "StepLR"]

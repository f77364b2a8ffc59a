"""Layers, containers, losses and initialisations."""

from portanet.nn.activation import LeakyReLU, ReLU, Sigmoid, Tanh
from portanet.nn.container import Sequential
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.convolution import Conv2d
from portanet.nn.dropout import Dropout
from portanet.nn.initialization import (
    Constant,
    FanInUniform,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Normal,
    Ones,
    Uniform,
    Zeros,
)
from portanet.nn.layer import Layer
from portanet.nn.linear import Linear
from portanet.nn.loss import CrossEntropyLoss, Loss, MSELoss
from portanet.nn.normalization import BatchNorm1d, BatchNorm2d
from portanet.nn.pooling import AvgPool2d, MaxPool2d
from portanet.nn.shape import Flatten

__all__ = [
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Constant",
    "Context",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "FanInUniform",
    "Flatten",
    "GlorotNormal",
    "GlorotUniform",
    "Gradients",
    "HeNormal",
    "HeUniform",
    "Layer",
    "LeakyReLU",
    "Linear",
    "Loss",
    "MSELoss",
    "MaxPool2d",
    "Normal",
    "Ones",
    "Pullback",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "Uniform",
    "Zeros",
]

"""Layers, containers, losses and initializations."""

from portanet.nn.activation import ELU, SELU, Hardtanh, LeakyReLU, PReLU, ReLU, ReLU6
from portanet.nn.adaptive_pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
)
from portanet.nn.batch_norm import BatchNorm1d, BatchNorm2d
from portanet.nn.classification import BCEWithLogitsLoss, CrossEntropyLoss, NLLLoss
from portanet.nn.container import Parallel, Residual, Sequential
from portanet.nn.context import Context, Gradients, Pullback
from portanet.nn.convolution import Conv1d, Conv2d
from portanet.nn.dropout import Dropout, Dropout2d
from portanet.nn.elementwise import Elementwise
from portanet.nn.elementwise_loss import ElementwiseLoss
from portanet.nn.embedding import Embedding
from portanet.nn.graph import Node, concat
from portanet.nn.initialization import (
    Constant,
    FanInUniform,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initialization,
    Normal,
    Ones,
    Uniform,
    Zeros,
)
from portanet.nn.layer import Layer
from portanet.nn.layer_norm import GroupNorm, InstanceNorm1d, InstanceNorm2d, LayerNorm
from portanet.nn.linear import Linear
from portanet.nn.loss import Loss, LossPullback
from portanet.nn.padding import ReflectionPad2d, ReplicationPad2d, ZeroPad2d
from portanet.nn.pixel_shuffle import PixelShuffle, PixelUnshuffle
from portanet.nn.pooling import AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d
from portanet.nn.regression import HuberLoss, L1Loss, MSELoss, SmoothL1Loss
from portanet.nn.shape import Flatten, Identity, Permute, Reshape
from portanet.nn.smooth_activation import (
    GELU,
    Hardsigmoid,
    Hardswish,
    Mish,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from portanet.nn.softmax import LogSoftmax, Softmax
from portanet.nn.transposed_convolution import ConvTranspose1d, ConvTranspose2d
from portanet.nn.upsampling import Upsample

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Constant",
    "Context",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout2d",
    "Elementwise",
    "ElementwiseLoss",
    "Embedding",
    "FanInUniform",
    "Flatten",
    "GlorotNormal",
    "GlorotUniform",
    "Gradients",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HeNormal",
    "HeUniform",
    "HuberLoss",
    "Identity",
    "Initialization",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "L1Loss",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Loss",
    "LossPullback",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "Mish",
    "NLLLoss",
    "Node",
    "Normal",
    "Ones",
    "PReLU",
    "Parallel",
    "Permute",
    "PixelShuffle",
    "PixelUnshuffle",
    "Pullback",
    "ReLU",
    "ReLU6",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Reshape",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Tanh",
    "Uniform",
    "Upsample",
    "ZeroPad2d",
    "Zeros",
    "concat",
]

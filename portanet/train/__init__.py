"""Training: the Trainer, its callbacks and its history."""

from portanet.train.averaging import AveragedWeights
from portanet.train.callback import Callback, EarlyStopping
from portanet.train.checkpoints import Checkpoints
from portanet.train.csv_logger import CSVLogger
from portanet.train.history import History
from portanet.train.measures import TopKAccuracy, accuracy, binary_accuracy, mae, mse
from portanet.train.trainer import Trainer

__all__ = [
    "AveragedWeights",
    "CSVLogger",
    "Callback",
    "Checkpoints",
    "EarlyStopping",
    "History",
    "TopKAccuracy",
    "Trainer",
    "accuracy",
    "binary_accuracy",
    "mae",
    "mse",
]

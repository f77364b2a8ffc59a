"""Training: the Trainer, its callbacks and its history."""

from portanet.train.callback import Callback, EarlyStopping
from portanet.train.checkpoints import Checkpoints
from portanet.train.history import History
from portanet.train.metric import accuracy
from portanet.train.trainer import Trainer

__all__ = ["Callback", "Checkpoints", "EarlyStopping", "History", "Trainer", "accuracy"]

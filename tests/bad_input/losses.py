# ruff: noqa: E501 (a table: a line for each bad call)
"""Bad options, scores, targets and weights of losses."""

import numpy as np

from portanet import nn

INF, NAN = float("inf"), float("nan")
CE, NLL, BCE, MSE, L1 = (
    nn.CrossEntropyLoss(),
    nn.NLLLoss(),
    nn.BCEWithLogitsLoss(),
    nn.MSELoss(),
    nn.L1Loss(),
)


def scores(*shape: int, dtype: str = "float64"):
    return np.ones(shape, dtype)


def labels(*values: int):
    return np.array(values, "int64")


# fmt: off
LINES = [
    # --- options ---
    ("nn.CrossEntropyLoss", lambda: nn.CrossEntropyLoss(from_logits=True), TypeError, "CrossEntropyLoss has no option 'from_logits'; it takes weight, ignore_index, reduction"),
    ("nn.CrossEntropyLoss", lambda: nn.CrossEntropyLoss(label_smoothing=1.5), ValueError, "label_smoothing must be in [0, 1], got 1.5"),
    ("nn.CrossEntropyLoss", lambda: nn.CrossEntropyLoss(ignore_index=None), TypeError, "ignore_index must be an int, got None"),
    ("nn.CrossEntropyLoss", lambda: nn.CrossEntropyLoss([[1.0, 2.0]]), ValueError, "CrossEntropyLoss: expected weight of 1 axis, got shape (1, 2)"),
    ("nn.CrossEntropyLoss", lambda: nn.CrossEntropyLoss({0: 1.0}), TypeError, "expected real numbers, got dict of dtype object"),
    ("nn.CrossEntropyLoss", lambda: nn.CrossEntropyLoss(["a", "b"]), TypeError, "expected real numbers, got list of dtype"),
    ("nn.CrossEntropyLoss", lambda: nn.CrossEntropyLoss(np.array([1.0, NAN])), ValueError, "weight must be finite and not negative, got [1.0, nan]"),
    ("nn.CrossEntropyLoss", lambda: nn.CrossEntropyLoss(reduction="sums"), ValueError, "reduction must be 'mean', 'sum' or 'none', got 'sums'"),
    ("nn.CrossEntropyLoss", lambda: nn.CrossEntropyLoss(reduction=None), ValueError, "reduction must be 'mean', 'sum' or 'none', got None"),
    ("nn.CrossEntropyLoss", lambda: setattr(nn.CrossEntropyLoss(), "weight", [[1.0, 2.0]]), ValueError, "CrossEntropyLoss: expected weight of 1 axis, got shape (1, 2)"),
    ("nn.BCEWithLogitsLoss", lambda: setattr(nn.BCEWithLogitsLoss(), "pos_weight", -2.0), ValueError, "pos_weight must be finite and not negative, got -2.0"),
    ("nn.NLLLoss", lambda: nn.NLLLoss([1.0, -2.0]), ValueError, "weight must be finite and not negative, got [1.0, -2.0]"),
    ("nn.NLLLoss", lambda: nn.NLLLoss(label_smoothing=0.1), TypeError, "NLLLoss has no option 'label_smoothing'; it takes weight, ignore_index, reduction"),
    ("nn.BCEWithLogitsLoss", lambda: nn.BCEWithLogitsLoss(pos_weight=INF), ValueError, "pos_weight must be finite and not negative, got inf"),
    ("nn.BCEWithLogitsLoss", lambda: nn.BCEWithLogitsLoss([[1.0], [1.0, 2.0]]), ValueError, "expected numbers in rows of equal length"),
    ("nn.MSELoss", lambda: nn.MSELoss("average"), ValueError, "reduction must be 'mean', 'sum' or 'none', got 'average'"),
    ("nn.L1Loss", lambda: nn.L1Loss(beta=1.0), TypeError, "L1Loss has no option 'beta'; it takes reduction"),
    ("nn.HuberLoss", lambda: nn.HuberLoss(delta=0.0), ValueError, "delta must be above 0"),
    ("nn.HuberLoss", lambda: nn.HuberLoss(delta=-1), ValueError, "delta must be in [0, inf], got -1"),
    ("nn.HuberLoss", lambda: nn.HuberLoss(1.0), ValueError, "reduction must be 'mean', 'sum' or 'none', got 1.0"),
    ("nn.SmoothL1Loss", lambda: nn.SmoothL1Loss(beta=-1), ValueError, "beta must be in [0, inf], got -1"),
    ("nn.SmoothL1Loss", lambda: nn.SmoothL1Loss(beta=INF), ValueError, "beta must be finite, got inf"),
    ("nn.SmoothL1Loss", lambda: nn.SmoothL1Loss(beta="x"), TypeError, "beta must be a number, got 'x'"),
    # --- scores, targets, weights; more of them in test_every_loss.py and in tests/test_losses.py ---
    ("nn.Loss", lambda: nn.Loss("mean"), TypeError, "Loss takes no arguments, got 'mean'"),
    ("nn.Loss.vjp", lambda: nn.Loss().vjp(scores(2), scores(2)), NotImplementedError, "Loss does not define vjp"),
    ("nn.Loss.__call__", lambda: CE([[1.0, 2.0]], labels(0)), TypeError, "expected an array of one of"),
    ("nn.Loss.__call__", lambda: CE(scores(2, 3), [0, 1]), TypeError, "expected an array of one of"),
    ("nn.Loss.__call__", lambda: CE(scores(2, 3, dtype="int64"), labels(0, 1)), TypeError, "CrossEntropyLoss: expected floating-point scores, got int64"),
    ("nn.Loss.__call__", lambda: CE(scores(2, 3), np.array([True, False])), TypeError, "CrossEntropyLoss: class indices must be integers, got bool"),
    ("nn.Loss.__call__", lambda: CE(scores(2, 3), np.ones((2, 3), bool)), TypeError, "holds probabilities, which must be floating-point, got bool"),
    ("nn.Loss.__call__", lambda: CE(scores(2, 0), labels(0, 0)), ValueError, "CrossEntropyLoss: expected at least one number, got scores of shape (2, 0)"),
    ("nn.Loss.__call__", lambda: CE(scores(2, 3, 0), np.zeros((2, 0), "i8")), ValueError, "CrossEntropyLoss: expected at least one number, got scores of shape (2, 3, 0)"),
    ("nn.Loss.__call__", lambda: CE(scores(2, 3), np.array([[0.5, 0.5, 0.0], [INF, 0.0, 0.0]])), ValueError, "CrossEntropyLoss: target contains numbers that are not finite, first in sample 1"),
    ("nn.Loss.__call__", lambda: NLL(scores(2, 3), labels(0, 3)), ValueError, "NLLLoss: class indices must be in 0 … 2, as the scores have 3 columns; got 3"),
    ("nn.Loss.__call__", lambda: BCE(scores(2), np.array([0.5, 1.5])), ValueError, "BCEWithLogitsLoss: targets are probabilities, in [0, 1]; got others, first in sample 1"),
    ("nn.Loss.__call__", lambda: MSE(scores(2, 0), scores(2, 0)), ValueError, "MSELoss: expected at least one number, got scores of shape (2, 0)"),
    ("nn.Loss.__call__", lambda: MSE(scores(), scores()), ValueError, "MSELoss: expected at least one sample, got scores of shape ()"),
    ("nn.Loss.__call__", lambda: MSE(scores(2), scores(2) * 1j), TypeError, "MSELoss: expected a target of real numbers, got complex128"),
    ("nn.Loss.__call__", lambda: MSE(scores(2), scores(2), scores(3)), ValueError, "MSELoss: expected sample_weight of shape (2,), got (3,)"),
    ("nn.Loss.__call__", lambda: MSE(scores(2), scores(2), [1.0, 2.0]), TypeError, "expected an array of one of"),
    ("nn.Loss.__call__", lambda: MSE(scores(2), scores(2), np.array([1.0, NAN])), ValueError, "MSELoss: sample_weight contains numbers that are not finite, first in sample 1"),
    ("nn.Loss.__call__", lambda: CE(scores(2, 3), labels(0, 1), np.array([1.0, -1.0])), ValueError, "CrossEntropyLoss: sample_weight must not be negative, first in sample 1"),
    ("nn.Loss.forward", lambda: L1.forward(scores(3, 1), scores(3)), ValueError, "L1Loss: expected target of the scores' shape (3, 1), got (3,)"),
    ("nn.Loss.forward", lambda: CE.forward(scores(2, 3), labels(0, -1)), ValueError, "got -1 (ignore_index is -100)"),
    ("nn.Loss.backward", lambda: nn.MSELoss().backward(), RuntimeError, "MSELoss: backward needs a forward before it"),
    ("nn.Loss.check", lambda: CE.check((2, 3), labels(0, 3)), ValueError, "class indices must be in 0 … 2"),
    ("nn.Loss.check", lambda: BCE.check((2,), np.array([NAN, 0.5])), ValueError, "BCEWithLogitsLoss: target contains numbers that are not finite, first in sample 0"),
    ("nn.Loss.normalizer", lambda: nn.MSELoss("none").normalizer(scores(3)), ValueError, "MSELoss: reduction='none' gives many values; training, and a batch in parts, need one"),
]

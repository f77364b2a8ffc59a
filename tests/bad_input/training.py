# ruff: noqa: E501 (a table: a line for each bad call)
"""Bad arguments of the Trainer and what it takes, and of weights on disk.

Each call makes its own Trainer: a classifier of 4 features into 3 classes.
"""

import numpy as np

import portanet as pn
from portanet import nn, optim, train
from portanet.data import DataLoader

INF, NAN = float("inf"), float("nan")
X, Y = np.ones((6, 4), "f4"), np.array([0, 1, 2, 0, 1, 2])
BAD_X = np.where(np.arange(24).reshape(6, 4) == 9, NAN, X)


def trainer(*args, **options) -> pn.Trainer:
    model = nn.Sequential(nn.Linear(4, 3))
    return pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model), *args, **options)


def fit(data=(X, Y), *, made=None, **options):
    return (made or trainer()).fit(data, **{"progress": False} | options)


def parts(**others):
    """Return the arguments of a Trainer, some of them replaced."""
    model = nn.Sequential(nn.Linear(4, 3))
    given = {"model": model, "loss": nn.MSELoss(), "optimizer": optim.SGD(model)}
    return pn.Trainer(**given | others)


def ignored():
    return np.full(6, -100)


# fmt: off
LINES = [
    ("pn.Trainer", lambda: parts(model=np.ones(3)), TypeError, "model must be a Layer, got array([1., 1., 1.])"),
    ("pn.Trainer", lambda: parts(loss="mse"), TypeError, "loss must be a Loss, got 'mse'"),
    ("pn.Trainer", lambda: parts(loss=nn.MSELoss), TypeError, "loss must be a Loss, got <class"),
    ("pn.Trainer", lambda: parts(optimizer="sgd"), TypeError, "optimizer must be an Optimizer, got 'sgd'"),
    ("pn.Trainer", lambda: parts(optimizer=optim.SGD(nn.Linear(4, 3))), ValueError, "Trainer: the optimizer was made for another model"),
    ("pn.Trainer", lambda: parts(schedule=0.1), TypeError, "schedule must be a Schedule, got 0.1"),
    ("pn.Trainer", lambda: parts(schedule=lambda epoch: 0.5), TypeError, "; LambdaLR makes one of a function"),
    ("pn.Trainer", lambda: parts(scheduler=None), TypeError, "Trainer has no option 'scheduler'; did you mean 'schedule'"),
    ("pn.Trainer", lambda: parts(metrics=["acuracy"]), ValueError, "unknown metric 'acuracy'; did you mean 'accuracy'?"),
    ("pn.Trainer", lambda: parts(metrics=3), TypeError, "metrics must be a list, got 3"),
    ("pn.Trainer", lambda: parts(metrics=[3]), ValueError, "unknown metric 3; it takes accuracy, binary_accuracy, mae, mse"),
    ("pn.Trainer", lambda: parts(metrics=[train.TopKAccuracy]), TypeError, "metrics: expected a function or an object, got the class TopKAccuracy"),
    ("pn.Trainer", lambda: parts(metrics=["accuracy", "accuracy"]), ValueError, "metrics: the name 'accuracy' is taken"),
    ("pn.Trainer", lambda: parts(callbacks=[pn.EarlyStopping]), TypeError, "callbacks must be a Callback, got <class"),
    ("pn.Trainer", lambda: parts(callbacks=pn.EarlyStopping()), TypeError, "callbacks must be a list, got"),
    ("pn.Trainer", lambda: parts(seed=1.5), TypeError, "a seed must be an integer, got 1.5"),
    ("pn.Trainer", lambda: parts(monitor=3), TypeError, "monitor must be a str, got 3"),
    ("pn.Trainer", lambda: parts(monitor="val_f1"), ValueError, "say with mode='min' or 'max' which 'val_f1' is the better"),
    ("pn.Trainer", lambda: parts(mode="best"), ValueError, "mode must be 'auto', 'min' or 'max', got 'best'"),
    # --- fit: options ---
    ("pn.Trainer.fit", lambda: fit(epochs=0), ValueError, "epochs must be at least 1, got 0"),
    ("pn.Trainer.fit", lambda: fit(epochs=1.5), TypeError, "epochs must be an int, got 1.5"),
    ("pn.Trainer.fit", lambda: fit(steps=-1), ValueError, "steps must be at least 1, got -1"),
    ("pn.Trainer.fit", lambda: fit(epochs=1, steps=1), ValueError, "fit takes epochs or steps, not both"),
    ("pn.Trainer.fit", lambda: fit(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    ("pn.Trainer.fit", lambda: fit(batch_size="all"), TypeError, "batch_size must be an int, got 'all'"),
    ("pn.Trainer.fit", lambda: fit(shuffle="no"), TypeError, "shuffle must be True or False, got 'no'"),
    ("pn.Trainer.fit", lambda: fit(progress="no"), TypeError, "progress must be True or False, got 'no'"),
    ("pn.Trainer.fit", lambda: fit(accumulate=0), ValueError, "accumulate must be at least 1, got 0"),
    ("pn.Trainer.fit", lambda: fit(num_epochs=3), TypeError, "Trainer.fit has no option 'num_epochs'; did you mean 'epochs'"),
    ("pn.Trainer.fit", lambda: fit(validation_split=0.1), TypeError, "Trainer.fit has no option 'validation_split'; hold samples out: fit((x[n:], y[n:]), validation_data=(x[:n], y[:n]))"),
    ("pn.Trainer.fit", lambda: fit(steps_per_epoch=5), TypeError, "Trainer.fit has no option 'steps_per_epoch'; an epoch is all of the data; `steps` is how many updates fit does in all"),
    ("pn.Trainer.fit", lambda: fit(validation_steps=5), TypeError, "Trainer.fit has no option 'validation_steps'; validation_data is evaluated whole, after each epoch"),
    ("pn.Trainer.fit", lambda: fit(validation_freq=5), TypeError, "Trainer.fit has no option 'validation_freq'; validation_data is evaluated whole, after each epoch"),
    ("pn.Trainer.fit", lambda: fit(validation_batch_size=5), TypeError, "Trainer.fit has no option 'validation_batch_size'; give validation_data as a DataLoader, which has a batch_size"),
    ("pn.Trainer.fit", lambda: fit(initial_epoch=5), TypeError, "Trainer.fit has no option 'initial_epoch'; epochs are counted on from call to call; `resume` goes on with a saved run"),
    ("pn.Trainer.fit", lambda: fit(verbose=2), TypeError, "Trainer.fit has no option 'verbose'; fit(…, progress=False) prints nothing; with progress=True it is a line an epoch"),
    ("pn.Trainer.fit", lambda: fit(callbacks=[]), TypeError, "Trainer.fit has no option 'callbacks'; they are the Trainer's: Trainer(…, callbacks=[…])"),
    ("pn.Trainer.fit", lambda: fit(metrics=[]), TypeError, "Trainer.fit has no option 'metrics'; they are the Trainer's: Trainer(…, metrics=[…])"),
    ("pn.Trainer.fit", lambda: fit(schedule=None), TypeError, "Trainer.fit has no option 'schedule'; it is the Trainer's: Trainer(…, schedule=…)"),
    ("pn.Trainer.fit", lambda: trainer().fit(X, Y), TypeError, "Trainer.fit takes one thing without a name, such as the tuple (x, y)"),
    ("pn.Trainer.fit", lambda: fit(made=trainer(monitor="val_error"), validation_data=(X, Y)), ValueError, "monitor 'val_error' is none of loss, accuracy, val_loss, val_accuracy"),
    ("pn.Trainer.fit", lambda: fit(made=trainer(schedule=optim.OneCycleLR(1, 5, cycle_momentum=False)), steps=6), ValueError, "OneCycleLR ends after 5 steps, but the run goes on to step 6"),
    ("pn.Trainer.fit", lambda: fit(made=trainer(callbacks=[pn.EarlyStopping()])), ValueError, "EarlyStopping watches 'val_loss', but there are loss, accuracy"),
    # --- fit: data ---
    ("pn.Trainer.fit", lambda: fit((X[:0], Y[:0])), ValueError, "there are no samples: the arrays have lengths [0, 0]"),
    ("pn.Trainer.fit", lambda: fit([]), ValueError, "the data gave no batch: it is empty"),
    ("pn.Trainer.fit", lambda: fit((X, Y[:5])), ValueError, "the arrays must have equal lengths, got [6, 5]"),
    ("pn.Trainer.fit", lambda: fit((X[:, :3], Y)), ValueError, "Linear '0': expected x of shape (…, 4), got (2, 3)"),
    ("pn.Trainer.fit", lambda: fit((X[0], Y[:4])), ValueError, "Linear '0': expected x of shape (…, 4), got (2,)"),
    ("pn.Trainer.fit", lambda: fit((X.astype("i4"), Y)), TypeError, "Linear '0': expected x of float32, its parameters' dtype, got int32"),
    ("pn.Trainer.fit", lambda: fit((X * 1j, Y)), TypeError, "expected real numbers, got ndarray of dtype complex"),
    ("pn.Trainer.fit", lambda: fit((X.astype("O"), Y)), TypeError, "expected real numbers, got ndarray of dtype object; .astype(float) makes numbers of objects"),
    ("pn.Trainer.fit", lambda: fit((BAD_X, Y)), ValueError, "x contains numbers that are not finite, first in sample 2"),
    ("pn.Trainer.fit", lambda: fit((X * INF, Y)), ValueError, "x contains numbers that are not finite, first in sample 0"),
    ("pn.Trainer.fit", lambda: fit((X.astype("f8") * 1e300, Y)), ValueError, "some of the numbers are too large for float32"),
    ("pn.Trainer.fit", lambda: fit((X, Y + 1)), ValueError, "CrossEntropyLoss: class indices must be in 0 … 2, as the scores have 3 columns; got 3"),
    ("pn.Trainer.fit", lambda: fit((X, Y - 1)), ValueError, "got -1 (ignore_index is -100)"),
    ("pn.Trainer.fit", lambda: fit((X, Y.astype("f4"))), TypeError, "CrossEntropyLoss: class indices must be integers, got float32"),
    ("pn.Trainer.fit", lambda: fit((X, Y[:, None])), ValueError, "CrossEntropyLoss: expected target of shape (6,) or (6, 3), got (6, 1); target[..., 0] has it"),
    ("pn.Trainer.fit", lambda: fit((X, Y > 0)), TypeError, "CrossEntropyLoss: class indices must be integers, got bool"),
    ("pn.Trainer.fit", lambda: fit((X, ["a"] * 6)), TypeError, "expected real numbers, got list of dtype <U1; numpy.unique(…, return_inverse=True) numbers labels"),
    ("pn.Trainer.fit", lambda: fit((X, ignored())), ValueError, "all samples weigh 0, or are ignored: there is no mean loss"),
    ("pn.Trainer.fit", lambda: fit((X, Y, Y, Y)), TypeError, "expected batches (x, y) or (x, y, sample_weight), got"),
    ("pn.Trainer.fit", lambda: fit((X,)), TypeError, "expected batches (x, y) or (x, y, sample_weight), got"),
    ("pn.Trainer.fit", lambda: fit(X), TypeError, "expected batches (x, y) or (x, y, sample_weight), got ndarray"),
    ("pn.Trainer.fit", lambda: fit(None), TypeError, "expected a tuple of arrays (x, y), a DataLoader or an iterable of batches, got NoneType"),
    ("pn.Trainer.fit", lambda: fit({"x": X, "y": Y}), TypeError, "expected a tuple of arrays (x, y), a DataLoader or an iterable of batches, got dict"),
    ("pn.Trainer.fit", lambda: fit([X, Y]), TypeError, "expected batches (x, y) or (x, y, sample_weight), got ndarray; whole arrays are given as a tuple (x, y)"),
    ("pn.Trainer.fit", lambda: fit([(X, Y), (BAD_X, Y)]), ValueError, "batch 1 of epoch 0: x contains numbers that are not finite, first in sample 2"),
    ("pn.Trainer.fit", lambda: fit([(X, Y), (X[:, :2], Y)]), ValueError, "Linear '0': expected x of shape (…, 4), got (6, 2)"),
    ("pn.Trainer.fit", lambda: fit(iter([(X, Y)]), epochs=2), ValueError, "2 epochs of list_iterator, an iterator, which can be used only once: give a DataLoader"),
    ("pn.Trainer.fit", lambda: fit(validation_data=iter([(X, Y)]), epochs=2), ValueError, "2 epochs of list_iterator, an iterator, which can be used only once"),
    ("pn.Trainer.fit", lambda: fit(DataLoader((X, Y)), shuffle=False), ValueError, "shuffle goes with arrays; a loader or an iterable has its own order"),
    ("pn.Trainer.fit", lambda: fit(DataLoader((X, Y)), batch_size=2), ValueError, "batch_size goes with arrays; a loader or an iterable has its own"),
    ("pn.Trainer.fit", lambda: fit(DataLoader(X)), TypeError, "expected batches (x, y) or (x, y, sample_weight), got 1 parts"),
    # --- fit: weights, validation data ---
    ("pn.Trainer.fit", lambda: fit(sample_weight=np.ones(5)), ValueError, "the arrays must have equal lengths, got [6, 6, 5]"),
    ("pn.Trainer.fit", lambda: fit(sample_weight=np.ones((6, 1))), ValueError, "sample_weight: expected weights of shape (6,), got (6, 1)"),
    ("pn.Trainer.fit", lambda: fit(sample_weight=-np.ones(6)), ValueError, "sample_weight must not be negative"),
    ("pn.Trainer.fit", lambda: fit(sample_weight=np.full(6, NAN)), ValueError, "sample_weight contains numbers that are not finite, first in sample 0"),
    ("pn.Trainer.fit", lambda: fit(sample_weight=np.zeros(6)), ValueError, "all samples weigh 0, or are ignored: there is no mean loss"),
    ("pn.Trainer.fit", lambda: fit((X, Y, np.ones(6)), sample_weight=np.ones(6)), ValueError, "the data holds weights already: (x, y, weight), or sample_weight"),
    ("pn.Trainer.fit", lambda: fit(DataLoader((X, Y)), sample_weight=np.ones(6)), ValueError, "sample_weight goes with arrays; a loader or an iterable yields (x, y, weight)"),
    ("pn.Trainer.fit", lambda: fit(class_weight={3: 1.0}), ValueError, "class_weight: there are no classes [3]"),
    ("pn.Trainer.fit", lambda: fit(class_weight={0: "a"}), TypeError, "class_weight[0] must be a number, got 'a'"),
    ("pn.Trainer.fit", lambda: fit(class_weight=[1.0, 2.0]), ValueError, "class_weight: expected 3 weights, got shape (2,)"),
    ("pn.Trainer.fit", lambda: fit(class_weight=[1.0, 2.0, -1.0]), ValueError, "class_weight must not be negative"),
    ("pn.Trainer.fit", lambda: fit(class_weight=[1.0, 2.0, INF]), ValueError, "class_weight contains numbers that are not finite"),
    ("pn.Trainer.fit", lambda: fit(class_weight="balanced"), TypeError, "class_weight must be a dict or an array (K,), got 'balanced'; len(y) / (K * numpy.bincount(y)) gives"),
    ("pn.Trainer.fit", lambda: fit(validation_data=(X[:0], Y[:0])), ValueError, "there are no samples"),
    ("pn.Trainer.fit", lambda: fit(validation_data=(BAD_X, Y)), ValueError, "x contains numbers that are not finite, first in sample 2"),
    ("pn.Trainer.fit", lambda: fit(validation_data=(X, Y + 1)), ValueError, "class indices must be in 0 … 2"),
    ("pn.Trainer.fit", lambda: fit(validation_data=(X, ignored())), ValueError, "validation_data: all samples weigh 0, or are ignored"),
    ("pn.Trainer.fit", lambda: fit(validation_data=0.2), TypeError, "expected a tuple of arrays (x, y), a DataLoader or an iterable of batches, got float"),
    # --- evaluate, predict ---
    ("pn.Trainer.evaluate", lambda: trainer().evaluate((X[:0], Y[:0])), ValueError, "there are no samples"),
    ("pn.Trainer.evaluate", lambda: trainer().evaluate(X, Y), TypeError, "Trainer.evaluate takes one thing without a name, such as the tuple (x, y)"),
    ("pn.Trainer.evaluate", lambda: trainer().evaluate((X, Y), batchsize=3), TypeError, "Trainer.evaluate has no option 'batchsize'; did you mean 'batch_size'?"),
    ("pn.Trainer.predict", lambda: trainer().predict(X, 3), TypeError, "Trainer.predict takes one thing without a name, x"),
    ("pn.Trainer.predict", lambda: trainer().predict(X, batchsize=3), TypeError, "Trainer.predict has no option 'batchsize'; did you mean 'batch_size'?"),
    ("pn.Trainer.evaluate", lambda: trainer().evaluate([]), ValueError, "evaluation: the data gave no batch"),
    ("pn.Trainer.evaluate", lambda: trainer().evaluate((BAD_X, Y)), ValueError, "x contains numbers that are not finite, first in sample 2"),
    ("pn.Trainer.evaluate", lambda: trainer().evaluate((X, Y), batch_size=-1), ValueError, "batch_size must be at least 1, got -1"),
    ("pn.Trainer.evaluate", lambda: trainer().evaluate((X, Y), sample_weight=np.zeros(6)), ValueError, "all samples weigh 0, or are ignored: there is no mean loss"),
    ("pn.Trainer.evaluate", lambda: trainer().evaluate((X, ignored())), ValueError, "all samples weigh 0, or are ignored: there is no mean loss"),
    ("pn.Trainer.predict", lambda: trainer().predict(X[:0]), ValueError, "there are no samples"),
    ("pn.Trainer.predict", lambda: trainer().predict(X[:, :2]), ValueError, "Linear '0': expected x of shape (…, 4), got (6, 2)"),
    ("pn.Trainer.predict", lambda: trainer().predict(X.astype("i8")), TypeError, "Linear '0': expected x of float32"),
    ("pn.Trainer.predict", lambda: trainer().predict(X, batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    ("pn.Trainer.predict", lambda: trainer().predict((X, Y)), TypeError, "predict takes x alone, got a tuple"),
    ("pn.Trainer.predict", lambda: trainer().predict(DataLoader(X, shuffle=True)), ValueError, "predict gives scores in the order of the samples, but the loader draws another: give one without shuffle and replacement"),
    ("pn.Trainer.predict", lambda: trainer().predict(DataLoader(X, replacement=True)), ValueError, "predict gives scores in the order of the samples, but the loader draws another: give one without shuffle and replacement"),
    ("pn.Trainer.predict", lambda: trainer().predict(DataLoader(X), batch_size=2), ValueError, "batch_size goes with arrays; a loader or an iterable has its own"),
    ("pn.Trainer.predict", lambda: trainer().predict(iter([])), ValueError, "predict: the data gave no batch: it is empty, or an iterator, which can be used only once"),
    ("pn.Trainer.predict", lambda: trainer().predict([]), ValueError, "there are no samples"),
    ("pn.Trainer.predict", lambda: trainer().predict([(X, Y), (X[:, :2], Y)]), ValueError, "Linear '0': expected x of shape (…, 4), got (6, 2)"),
    ("pn.Trainer.predict", lambda: trainer().predict([(X, Y), ()]), ValueError, "Linear '0': expected x of shape (…, 4), got (0,)"),
    ("pn.Trainer.predict", lambda: trainer().predict(5), ValueError, "there are no samples"),
    ("pn.Trainer.predict", lambda: trainer().predict("digits"), TypeError, "expected real numbers, got str"),
    ("pn.Trainer.predict", lambda: trainer().predict(None), TypeError, "expected real numbers, got NoneType"),
    ("pn.Trainer.predict", lambda: trainer().predict("digits"), TypeError, "expected real numbers, got str"),
    ("pn.Trainer.predict", lambda: trainer().predict(None), TypeError, "expected real numbers, got NoneType of dtype object"),
    ("pn.Trainer.save", lambda: trainer().save("run.pt"), ValueError, "run.pt"),
    ("pn.Trainer.save", lambda: trainer().save("no such folder/run.safetensors"), FileNotFoundError, "no such folder"),
    ("pn.Trainer.load", lambda: pn.Trainer.load("no such file.safetensors", nn.Linear(2, 1), nn.MSELoss(), optim.SGD(nn.Linear(2, 1))), ValueError, "the optimizer was made for another model"),
    ("pn.Trainer.load_state_dict", lambda: trainer().load_state_dict({}), ValueError, "the state lacks"),
    ("pn.Trainer.load_state_dict", lambda: trainer().load_state_dict([]), TypeError, "state must be a Mapping, got []"),
    ("pn.Trainer.restore_best", lambda: trainer().restore_best(), RuntimeError, "no best epoch: no validation_data, or no finite val_loss"),
    # --- metrics, callbacks, history ---
    ("train.accuracy", lambda: train.accuracy(np.ones((3, 1)), Y[:3]), ValueError, "accuracy needs scores of shape (N, K, …) with K ≥ 2 classes, got (3, 1)"),
    ("train.accuracy", lambda: train.accuracy(np.ones(3), Y[:3]), ValueError, "accuracy needs scores of shape (N, K, …) with K ≥ 2 classes, got (3,)"),
    ("train.accuracy", lambda: train.accuracy(np.ones((3, 2)), Y[:2]), ValueError, "accuracy: expected target of shape (3,) or (3, 2), got (2,)"),
    ("train.accuracy", lambda: train.accuracy(np.ones((3, 2)), Y[:3, None]), ValueError, "accuracy: expected target of shape (3,) or (3, 2), got (3, 1)"),
    ("train.accuracy", lambda: train.accuracy(np.ones((3, 2)), [0, 1, 0]), TypeError, "expected an array of one of"),
    ("train.TopKAccuracy", lambda: train.TopKAccuracy(0), ValueError, "k must be at least 1, got 0"),
    ("train.TopKAccuracy", lambda: train.TopKAccuracy(2.5), TypeError, "k must be an int, got 2.5"),
    ("train.TopKAccuracy", lambda: train.TopKAccuracy(n=2), TypeError, "TopKAccuracy has no option 'n'"),
    ("train.TopKAccuracy.__call__", lambda: train.TopKAccuracy()(np.ones((3, 5)), Y[:3]), ValueError, "TopKAccuracy() needs scores of shape (N, K, …) with more than 5 classes, got (3, 5)"),
    ("train.TopKAccuracy.__call__", lambda: train.TopKAccuracy(1)(np.ones(3), Y[:3]), ValueError, "TopKAccuracy(k=1) needs scores of shape (N, K, …) with more than 1 classes, got (3,)"),
    ("train.TopKAccuracy.__call__", lambda: train.TopKAccuracy(2)(np.ones((3, 4)), Y[:2]), ValueError, "top_2_accuracy: expected target of shape (3,) or (3, 4), got (2,)"),
    ("train.TopKAccuracy.__call__", lambda: train.TopKAccuracy(2)(np.ones((3, 4)), np.ones(3)), TypeError, "top_2_accuracy: class indices must be integers, got float64"),
    ("train.binary_accuracy", lambda: train.binary_accuracy(np.ones((3, 1)), np.ones(3)), ValueError, "binary_accuracy: expected target of the scores' shape (3, 1), got (3,)"),
    ("train.binary_accuracy", lambda: train.binary_accuracy(np.ones(3), [0, 1, 0]), TypeError, "expected an array of one of"),
    ("train.mae", lambda: train.mae(np.ones((3, 1)), np.ones(3)), ValueError, "mae: expected target of the scores' shape (3, 1), got (3,)"),
    ("train.mse", lambda: train.mse(np.ones((3, 1)), np.ones(3)), ValueError, "mse: expected target of the scores' shape (3, 1), got (3,)"),
    ("pn.CSVLogger", lambda: pn.CSVLogger(3), TypeError, "path must be a str or a Path, got 3"),
    ("pn.CSVLogger", lambda: pn.CSVLogger(filename="run.csv"), TypeError, "CSVLogger has no option 'filename'; did you mean 'path'?"),
    ("pn.CSVLogger", lambda: pn.CSVLogger("run.csv", append=True), TypeError, "CSVLogger has no option 'append'; the file holds all of the run's history"),
    ("pn.CSVLogger", lambda: fit(made=trainer(callbacks=[pn.CSVLogger("no such folder/run.csv")])), FileNotFoundError, "no such folder"),
    ("pn.Callback", lambda: pn.Callback(3), TypeError, "Callback takes no arguments, got 3"),
    ("pn.AveragedWeights", lambda: pn.AveragedWeights(1.5), ValueError, "decay must be in [0, 1], got 1.5"),
    ("pn.AveragedWeights", lambda: pn.AveragedWeights(1), ValueError, "decay must be below 1: with 1 nothing would ever be averaged"),
    ("pn.AveragedWeights", lambda: pn.AveragedWeights(start=-1), ValueError, "start must be at least 0, got -1"),
    ("pn.AveragedWeights", lambda: pn.AveragedWeights(start=None), TypeError, "start must be an int, got None"),
    ("pn.AveragedWeights", lambda: pn.AveragedWeights(momentum=0.9), TypeError, "AveragedWeights has no option 'momentum'"),
    ("pn.AveragedWeights", lambda: pn.AveragedWeights().applied(nn.Linear(2, 2)).__enter__(), RuntimeError, "AveragedWeights: there is no mean, for no step was averaged yet"),
    ("pn.EarlyStopping", lambda: pn.EarlyStopping(patience=-1), ValueError, "patience must be at least 0, got -1"),
    ("pn.EarlyStopping", lambda: pn.EarlyStopping(patience=1.5), TypeError, "patience must be an int, got 1.5"),
    ("pn.EarlyStopping", lambda: pn.EarlyStopping(min_delta=-0.1), ValueError, "min_delta must be in [0, inf], got -0.1"),
    ("pn.EarlyStopping", lambda: pn.EarlyStopping(min_delta=NAN), ValueError, "min_delta must be in [0, inf], got nan"),
    ("pn.EarlyStopping", lambda: pn.EarlyStopping(mode="best"), ValueError, "mode must be 'auto', 'min' or 'max', got 'best'"),
    ("pn.EarlyStopping", lambda: pn.EarlyStopping(monitor="f1"), ValueError, "say with mode='min' or 'max' which 'f1' is the better"),
    ("pn.EarlyStopping", lambda: pn.EarlyStopping(restore_best_weights="yes"), TypeError, "restore_best_weights must be True or False, got 'yes'"),
    ("pn.History.__getitem__", lambda: pn.History()["val_f1"], KeyError, "no quantity 'val_f1' in the history; there are: none yet"),
    # --- files ---
    ("pn.Checkpoints", lambda: pn.Checkpoints("run", keep=0), ValueError, "keep must be at least 1, got 0"),
    ("pn.Checkpoints", lambda: pn.Checkpoints("run", steps=-1), ValueError, "steps must be at least 1, got -1"),
    ("pn.Checkpoints", lambda: pn.Checkpoints("run", every=10), TypeError, "Checkpoints has no option 'every'; it takes"),
    ("pn.Checkpoints", lambda: pn.Checkpoints(3), TypeError, "folder must be a str or a Path, got 3"),
    ("pn.Trainer.fit", lambda: fit(checkpoint=3), TypeError, "folder must be a str or a Path, got 3"),
    ("pn.save_weights", lambda: pn.save_weights(nn.Linear(2, 1), "weights.pt"), ValueError, "weights.pt: weights are written as .safetensors or .npz"),
    ("pn.save_weights", lambda: pn.save_weights(nn.Linear(2, 1), "no such folder/w.npz"), FileNotFoundError, "no such folder"),
    ("pn.save_weights", lambda: pn.save_weights("w.npz", nn.Linear(2, 1)), TypeError, "model must be a Layer, got 'w.npz'"),
    ("pn.save_weights", lambda: pn.save_weights(nn.Linear(2, 1), None), TypeError, "path must be a str or a Path, got None"),
    ("pn.load_weights", lambda: pn.load_weights(nn.Linear(2, 1), "no such file.npz"), FileNotFoundError, "there is no weights file no such file.npz"),
    ("pn.load_weights", lambda: pn.load_weights(nn.Linear(2, 1), "weights.pt"), ValueError, "weights.pt: weights are written as .safetensors or .npz"),
    ("pn.load_weights", lambda: pn.load_weights(3, "w.npz"), TypeError, "model must be a Layer, got 3"),
    ("pn.read_weights", lambda: pn.read_weights("no such file.npz"), FileNotFoundError, "there is no weights file no such file.npz"),
    ("pn.read_weights", lambda: pn.read_weights("weights.pt"), ValueError, "weights.pt: weights are written as .safetensors or .npz"),
    ("pn.read_weights", lambda: pn.read_weights(nn.Linear(2, 1)), TypeError, "path must be a str or a Path, got Linear"),
]

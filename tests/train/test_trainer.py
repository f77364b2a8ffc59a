"""fit, evaluate, predict: on arrays, loaders and iterables, by epochs and by steps."""

import pickle
import signal
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim
from portanet.data import DataLoader
from portanet.train.checkpoints import read_run
from portanet.train.step import Sums

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype("int64") + (X[:, 2] > 1)


def make(seed=0, lr=0.05, layers=(), **options):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), *layers, nn.Linear(8, 3))
    model.initialize(seed).to(dtype="float64")
    return pn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model, lr=lr), **options)


def fit(trainer, data=(X, Y), **options):
    return trainer.fit(data, progress=False, **options)


def weights(trainer):
    return {name: np.array(p) for name, p in trainer.model.params.items()}


def assert_same_weights(a, b, **tolerance):
    for name, array in weights(a).items():
        np.testing.assert_allclose(array, weights(b)[name], err_msg=name, **tolerance)


def test_learns_and_records():
    trainer = make()
    history = fit(trainer, epochs=30, batch_size=16, validation_data=(X[:20], Y[:20]))
    assert trainer.evaluate((X, Y))["accuracy"] > 0.95
    assert len(history) == 30
    assert len(history.steps["loss"]) == len(history.steps["lr"]) == 30 * 4
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert set(history.epochs) == {
        *("loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds", "samples_per_second")
    }
    assert not history.interrupted


def test_the_samples_per_second_are_those_of_an_epoch():
    history = fit(make(), epochs=2, batch_size=16)
    samples = np.multiply(history["seconds"], history["samples_per_second"])
    np.testing.assert_allclose(samples, [60.0, 60.0])


def test_the_numbers_of_long_epochs_are_read_now_and_then(monkeypatch):
    monkeypatch.setattr(Sums, "READ_EVERY", 4)
    sums, held = Sums(pn.get_backend()), []
    for number in range(10):
        value = np.asarray(float(number))
        held.append(weakref.ref(value))
        sums.add(loss=value)
    del value
    assert [ref() is None for ref in held] == [True] * 8 + [False] * 2
    assert [row["loss"] for row in sums.rows()] == list(range(10))


def test_epoch_loss_weighs_the_last_partial_batch_by_its_samples():
    trainer = make(lr=0.0)
    history = fit(trainer, epochs=1, batch_size=16)
    assert history["loss"][0] == pytest.approx(trainer.evaluate((X, Y))["loss"], rel=1e-12)
    expected = trainer.evaluate((X, Y), batch_size=7)
    assert history["accuracy"][0] == expected["accuracy"]


def test_same_seed_same_run_another_seed_another():
    runs = [make(layers=(nn.Dropout(0.3),)) for _ in range(2)]
    for run in runs:
        fit(run, epochs=3, batch_size=16)
    assert runs[0].history.steps == runs[1].history.steps
    assert_same_weights(*runs, rtol=0)
    other = make(layers=(nn.Dropout(0.3),))
    other.seed = 2
    fit(other, epochs=3, batch_size=16)
    assert other.history.steps["loss"] != runs[0].history.steps["loss"]


def test_two_fits_are_one_long_fit():
    twice, once = make(), make()
    fit(twice, epochs=1, batch_size=16)
    fit(twice, epochs=2, batch_size=16)
    fit(once, epochs=3, batch_size=16)
    assert_same_weights(twice, once, rtol=0)
    assert twice.history.steps == once.history.steps


@pytest.mark.parametrize("weighted", [False, True])
def test_accumulated_batches_equal_one_large_batch(weighted):
    weight = RNG.uniform(0.1, 3.0, size=60) if weighted else None
    small, large = make(), make()
    fit(small, epochs=3, batch_size=10, accumulate=3, sample_weight=weight)
    fit(large, epochs=3, batch_size=30, sample_weight=weight)
    assert len(small.history.steps["loss"]) == 6
    np.testing.assert_allclose(small.history.steps["loss"], large.history.steps["loss"])
    assert_same_weights(small, large, rtol=1e-8)


def test_batches_that_refill_one_buffer_can_be_accumulated(library):
    def run(x, y, weight, refilled):
        def batches():
            buffers = [np.zeros((10, *a.shape[1:]), a.dtype) for a in (x, y, weight)]
            buffers = [library.backend.asarray(b, str(b.dtype)) for b in buffers]
            for first in range(0, 60, 10):
                part = [library.backend.asarray(a[first : first + 10]) for a in (x, y, weight)]
                for buffer, values in zip(buffers, part, strict=True):
                    buffer[...] = values
                yield tuple(buffers if refilled else part)

        model = nn.Sequential(nn.Linear(4, 3)).initialize(0)
        trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=0.5))
        fit(trainer, batches(), accumulate=4)
        return trainer.history.steps

    weight = np.linspace(0.5, 2.0, 60).astype("float32")
    with pn.use_backend(library.name):
        data = X.astype("float32"), Y, weight
        assert run(*data, refilled=True) == run(*data, refilled=False)


def test_sample_weight_zero_is_as_if_the_sample_were_absent():
    keep = np.arange(60) % 3 > 0
    weighted, reduced = make(), make()
    fit(weighted, epochs=4, batch_size=60, sample_weight=keep.astype(float), shuffle=False)
    fit(reduced, (X[keep], Y[keep]), epochs=4, batch_size=60, shuffle=False)
    assert_same_weights(weighted, reduced, rtol=1e-9)


@pytest.mark.parametrize("given", [{0: 2.0, 2: 0.5}, [2.0, 1.0, 0.5]])
def test_class_weight_is_a_sample_weight_by_class(given):
    by_class, by_sample = make(), make()
    fit(by_class, epochs=2, batch_size=16, class_weight=given)
    fit(by_sample, epochs=2, batch_size=16, sample_weight=np.array([2.0, 1.0, 0.5])[Y])
    assert_same_weights(by_class, by_sample, rtol=1e-12)


def test_integer_weights_meet_class_weights(library):
    with pn.use_backend(library.name):
        model = nn.Sequential(nn.Linear(4, 3)).initialize(0)
        trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=0.1))
        fit(trainer, batch_size=20, sample_weight=np.arange(60) % 2, class_weight={1: 0.5})
        weight = (np.arange(60) % 2) * np.where(Y == 1, 0.5, 1.0)
        same = nn.Sequential(nn.Linear(4, 3)).initialize(0)
        other = pn.Trainer(same, nn.CrossEntropyLoss(), optim.SGD(same, lr=0.1))
        fit(other, batch_size=20, sample_weight=weight)
    assert trainer.history.steps == other.history.steps


def test_a_loader_a_list_and_arrays_give_the_same_run():
    arrays, loader, listed = make(), make(), make()
    fit(arrays, epochs=2, batch_size=16)
    fit(loader, DataLoader((X, Y), 16, shuffle=True, seed=0), epochs=2)
    shuffled = DataLoader((X, Y), 16, shuffle=True, seed=0)
    for _ in range(2):
        fit(listed, list(shuffled))
    assert_same_weights(arrays, loader, rtol=0)
    assert_same_weights(arrays, listed, rtol=0)


def test_memory_maps_are_read_batch_by_batch(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped, plain = make(), make()
    fit(mapped, (np.load(tmp_path / "x.npy", mmap_mode="r"), Y), epochs=2, batch_size=16)
    fit(plain, epochs=2, batch_size=16)
    assert_same_weights(mapped, plain, rtol=0)


def test_lists_and_float32_and_uint8_labels_are_taken():
    listed, plain = make(), make()
    fit(listed, (X.tolist(), Y.astype("uint8")), batch_size=16)
    fit(plain, batch_size=16)
    assert_same_weights(listed, plain, rtol=0)


def test_steps_sample_with_replacement_and_end_exactly():
    trainer = make()
    history = fit(trainer, steps=10, batch_size=16, validation_data=(X, Y))
    assert trainer.step == len(history.steps["loss"]) == 10
    assert len(history) == 3  # 4 + 4 + 2 steps
    assert len(history["val_loss"]) == 3


def test_steps_in_order():
    by_steps, by_epochs, drawn, default = (make() for _ in range(4))
    fit(by_steps, steps=6, batch_size=16, shuffle=False)
    fit(by_epochs, epochs=2, batch_size=16, shuffle=False)
    fit(drawn, steps=6, batch_size=16, shuffle=True)
    fit(default, steps=6, batch_size=16)
    assert by_steps.history.steps["loss"] == by_epochs.history.steps["loss"][:6]
    assert by_steps.history["loss"][0] == by_epochs.history["loss"][0]
    assert drawn.history.steps == default.history.steps


def test_steps_of_an_iterable_begin_again():
    trainer = make()
    fit(trainer, [(X[:30], Y[:30]), (X[30:], Y[30:])], steps=5)
    assert trainer.step == 5


def test_an_iterator_is_good_for_one_epoch():
    batches = [(X, Y)] * 2
    trainer, once = make(), "of .*, an iterator, which can be used only once: give a DataLoader"
    for iterator in (iter(batches), (batch for batch in batches), map(tuple, batches)):
        with pytest.raises(ValueError, match=once):
            fit(trainer, iterator, epochs=2)
        for options in ({"epochs": 2}, {"steps": 5}):  # of 4 steps an epoch
            with pytest.raises(ValueError, match=once):
                fit(trainer, batch_size=16, validation_data=iterator, **options)
    assert trainer.step == 0
    for options in ({"epochs": 1}, {"steps": 4}):
        fit(trainer, batch_size=16, validation_data=iter(batches), **options)
    assert len(fit(trainer, iter(batches))) == 3
    with pytest.raises(ValueError, match="epoch 4: the data gave no batch: it is empty, or an"):
        fit(trainer, iter([]))


def test_an_object_that_begins_anew_may_be_its_own_iterator():
    class Batches:
        def __iter__(self):
            self.left = 2
            return self

        def __next__(self):
            if not self.left:
                raise StopIteration
            self.left -= 1
            return X, Y

    trainer = make()
    fit(trainer, Batches(), epochs=3, validation_data=Batches())
    assert trainer.step == 6


def test_schedule_counts_steps_or_epochs():
    trainer = make(schedule=optim.StepLR(step_size=1, gamma=0.5), lr=0.1)
    fit(trainer, epochs=3, batch_size=30)
    assert trainer.history.steps["lr"] == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]
    assert trainer.history["lr"] == [0.1, 0.05, 0.025]
    trainer = make(schedule=optim.OneCycleLR(max_lr=0.1), lr=0.1)
    fit(trainer, epochs=2, batch_size=6)
    rates = trainer.history.steps["lr"]
    assert rates[0] == pytest.approx(0.004)
    assert max(rates) == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(4e-7)
    with pytest.raises(ValueError, match="OneCycleLR ends after 5 steps, but the run goes on to"):
        fit(make(schedule=optim.OneCycleLR(0.1, total_steps=5)), epochs=1, batch_size=6)


def test_best_epoch_is_kept_and_restored():
    trainer = make(lr=0.5, monitor="val_accuracy")
    kept = []

    class Watch(pn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            kept.append((logs["val_accuracy"], weights(trainer)))

    trainer.callbacks.append(Watch())
    fit(trainer, epochs=6, batch_size=8, validation_data=(X[:15], Y[:15]))
    accuracies = [accuracy for accuracy, _ in kept]
    best = trainer.restore_best()
    assert best.epoch == int(np.argmax(accuracies))
    assert best.value == max(accuracies)
    for name, array in kept[best.epoch][1].items():
        np.testing.assert_array_equal(trainer.model.params[name], array)
    with pytest.raises(RuntimeError, match="validation_data"):
        make().restore_best()


def test_predict_and_evaluate_agree_and_are_inference():
    trainer = make(layers=(nn.Dropout(0.5), nn.BatchNorm1d(8)))
    before = {name: np.array(b) for name, b in trainer.model.buffers.items()}
    scores = trainer.predict(X, batch_size=7)
    assert scores.shape == (60, 3)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, trainer.model(X))
    accuracy = np.mean(np.argmax(scores, axis=1) == Y)
    assert trainer.evaluate((X, Y))["accuracy"] == pytest.approx(accuracy)
    for name, array in before.items():
        np.testing.assert_array_equal(trainer.model.buffers[name], array)


def test_running_statistics_move_in_training():
    trainer = make(layers=(nn.BatchNorm1d(8),))
    fit(trainer, epochs=2, batch_size=16)
    assert int(trainer.model.buffers["2.num_batches_tracked"]) == 8


def test_own_metric_and_regression():
    def largest_error(scores, target):
        return abs(scores - target)[:, 0]

    model = nn.Sequential(nn.Linear(4, 1)).to(dtype="float64")
    trainer = pn.Trainer(model, nn.MSELoss(), optim.SGD(model, lr=0.1), metrics=[largest_error])
    target = X @ np.array([[1.0], [2.0], [-1.0], [0.5]])
    history = fit(trainer, (X, target), epochs=40, batch_size=20)
    assert history["largest_error"][-1] < 1e-3
    plain = pn.Trainer(model, nn.MSELoss(), optim.SGD(model))
    assert set(plain.evaluate((X, target))) == {"loss"}
    with pytest.raises(ValueError, match=r"accuracy needs scores of shape \(N, K, …\)"):
        pn.Trainer(model, nn.MSELoss(), optim.SGD(model), metrics=["accuracy"]).evaluate(
            (X, target)
        )


def test_runs_on_a_backend(library):
    pn.set_backend("numpy")
    with pn.use_backend(library.name) as backend:
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
        model.initialize(0)
        trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=0.1, momentum=0.9))
        history = fit(trainer, epochs=3, batch_size=16, validation_data=(X, Y))
        assert backend.name == pn.backend_of(*model.params.values()).name == library.name
    reference = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    same = pn.Trainer(reference, nn.CrossEntropyLoss(), optim.SGD(reference, lr=0.1, momentum=0.9))
    expected = fit(same, epochs=3, batch_size=16, validation_data=(X, Y))
    np.testing.assert_allclose(history.steps["loss"], expected.steps["loss"], rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-5)


class StopAt(pn.Callback):
    """Presses Ctrl-C, or asks to stop, in the middle of an epoch."""

    def __init__(self, step, how):
        self.step, self.how = step, how

    def on_step_end(self, trainer, step):
        if step == self.step:
            self.how(trainer)


def press(trainer):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("pythons_handler")
def test_ctrl_c_ends_after_the_step_and_marks_the_history(capsys):
    handler = signal.getsignal(signal.SIGINT)
    trainer = make(callbacks=[StopAt(6, press)])
    history = fit(trainer, epochs=5, batch_size=16, validation_data=(X, Y))
    assert history.interrupted
    assert trainer.step == len(history.steps["loss"]) == 6
    assert len(history) == 1  # the epoch that was cut short is not recorded
    assert signal.getsignal(signal.SIGINT) is handler
    assert "interrupted" in capsys.readouterr().err
    trainer.callbacks.clear()
    assert not fit(trainer, batch_size=16).interrupted


@pytest.mark.usefixtures("pythons_handler")
def test_an_epoch_that_was_cut_short_counts_as_one_for_the_next_fit():
    trainer = make(callbacks=[StopAt(1, press)])
    fit(trainer, batch_size=16)
    assert (trainer.epoch, trainer.step) == (0, 1)
    interrupted = []
    trainer.callbacks[:] = [StopAt(3, lambda t: interrupted.append(t.history.interrupted))]
    history = fit(trainer, batch_size=16)
    assert interrupted == [0]
    assert (trainer.epoch, trainer.step) == (2, 5)
    assert (len(history), len(history.steps["loss"])) == (1, 5)


@pytest.mark.usefixtures("pythons_handler")
@pytest.mark.parametrize("copied", [deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
def test_a_copy_of_a_trainer_goes_on_as_it_does(copied):
    trainer = make(callbacks=[StopAt(6, press)], schedule=optim.ReduceLROnPlateau(monitor="loss"))
    fit(trainer, epochs=5, batch_size=16, validation_data=(X, Y))
    assert trainer.step == 6  # the second of four of an epoch
    trainer.callbacks.clear()
    other = copied(trainer)
    histories = [fit(run, epochs=2, batch_size=16) for run in (trainer, other)]
    assert histories[0] is not histories[1]
    assert histories[0].steps == histories[1].steps
    assert_same_weights(trainer, other, rtol=0)


@pytest.mark.usefixtures("pythons_handler")
def test_a_second_ctrl_c_raises_and_the_handler_is_put_back():
    def twice(trainer):
        press(trainer)
        press(trainer)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(make(callbacks=[StopAt(2, twice)]), batch_size=16)
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_own_handler_is_left_alone_and_threads_can_train():
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        history = fit(make(callbacks=[StopAt(2, press)]), batch_size=16)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [1]
    assert not history.interrupted

    trainer = make()
    thread = threading.Thread(target=fit, args=(trainer,), kwargs={"batch_size": 16})
    thread.start()
    thread.join()
    assert trainer.step == 4


def test_a_callback_can_stop_the_run():
    def stop(trainer):
        trainer.stop_training = True

    trainer = make(callbacks=[StopAt(6, stop)])
    history = fit(trainer, epochs=5, batch_size=16)
    assert trainer.step == 6
    assert not history.interrupted


BAD = {
    "lengths": (((X, Y[:-1]), {}), "equal lengths, got \\[60, 59\\]"),
    "empty": (((X[:0], Y[:0]), {}), "no samples"),
    "nan": (((np.where(X > 2, np.nan, X), Y), {}), "x contains numbers that are not finite"),
    "label too high": (((X, Y + 1), {}), "class indices must be in 0 … 2.*got 3"),
    "label negative": (((X, Y - 1), {}), "got -1"),
    "features": (((X[:, :3], Y), {}), "Linear '0'.*expected x of shape"),
    "weights": (((X, Y), {"sample_weight": np.ones(59)}), "equal lengths"),
    "negative weight": (((X, Y), {"sample_weight": -np.ones(60)}), "not be negative"),
    "class weight": (((X, Y), {"class_weight": {7: 1.0}}), "no classes \\[7\\]"),
    "class weight shape": (((X, Y), {"class_weight": [1.0, 2.0]}), "expected 3 weights"),
    "epochs": (((X, Y), {"epochs": 0}), "epochs must be at least 1"),
    "steps": (((X, Y), {"steps": 0}), "steps must be at least 1"),
    "both": (((X, Y), {"epochs": 1, "steps": 1}), "not both"),
    "batch size": (((X, Y), {"batch_size": 0}), "batch_size must be at least 1"),
    "accumulate": (((X, Y), {"accumulate": 0}), "accumulate must be at least 1"),
    "monitor": (((X, Y), {"validation_data": (X[:0], Y[:0])}), "no samples"),
    "loader nan": ((DataLoader((X * np.nan, Y), 16), {}), "not finite, first in sample 0"),
    "list nan": (([(X * np.nan, Y)], {}), "not finite"),
    "list labels": (([(X, Y + 5)], {}), "class indices"),
    "list lengths": (([(X, Y[:5])], {}), "equal lengths"),
    "loader and weights": ((DataLoader((X, Y)), {"sample_weight": Y}), "goes with arrays"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_refused_before_anything_is_trained(case):
    (data, options), message = BAD[case]
    trainer = make()
    before = weights(trainer)
    with pytest.raises(ValueError, match=message):
        fit(trainer, data, **options)
    assert trainer.step == 0
    for name, array in before.items():
        np.testing.assert_array_equal(trainer.model.params[name], array)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, "expected a tuple of arrays"),
        ([(X,)], "got 1 parts"),
        ([X], r"expected batches \(x, y\)"),
        ((X.astype("int64"), Y), "expected x of float64"),
        ((X.astype(complex), Y), "real numbers"),
    ],
)
def test_data_of_the_wrong_kind(data, message):
    with pytest.raises(TypeError, match=message):
        fit(make(), data)


def test_wrong_arguments_of_the_trainer():
    model = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(TypeError, match="loss must be a Loss, got 'mse'"):
        pn.Trainer(model, "mse", optim.SGD(model))
    with pytest.raises(ValueError, match="unknown metric 'acuracy'"):
        pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model), metrics=["acuracy"])
    with pytest.raises(TypeError, match="did you mean 'schedule'"):
        pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model), scheduler=None)
    with pytest.raises(ValueError, match="monitor 'val_f1' is none of"):
        fit(make(monitor="val_f1", mode="max"), validation_data=(X, Y))


def test_early_stopping():
    stop = pn.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
    trainer = make(lr=3.0, callbacks=[stop])
    history = fit(trainer, epochs=50, batch_size=60, validation_data=(X, -Y + 2))
    losses = history["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 50
    assert trainer.evaluate((X, -Y + 2))["loss"] == pytest.approx(losses[best])
    with pytest.raises(ValueError, match="watches 'val_loss', but there are loss"):
        fit(make(callbacks=[pn.EarlyStopping()]))
    assert pn.EarlyStopping("val_accuracy").sign == 1.0
    with pytest.raises(ValueError, match="mode must be"):
        pn.EarlyStopping(mode="best")


def test_progress_prints_a_line_an_epoch(capsys):
    make().fit((X, Y), epochs=2, batch_size=16, validation_data=(X, Y))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("epoch 2/2  loss 0.")
    assert "val_accuracy" in lines[1]
    assert "samples/s" in lines[1]


def test_an_optimizer_of_another_model_is_refused():
    model, other = nn.Sequential(nn.Linear(4, 3)), nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(ValueError, match="the optimizer was made for another model"):
        pn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(other))


def named(name, function):
    function.__name__ = name
    return function


@pytest.mark.parametrize("name", ["loss", "lr", "samples", "normalizer", "val_x", "accuracy"])
def test_names_of_metrics_that_are_taken(name):
    metric = named(name, lambda scores, target: scores[:, 0])
    with pytest.raises(ValueError, match=f"the name '{name}' is taken"):
        make(metrics=["accuracy", metric])


@pytest.mark.parametrize(
    ("metric", "got"),
    [
        (lambda s, y: s.mean(), r"shape \(\)"),
        (lambda s, y: s, r"shape \(\d+, 3\)"),
        (lambda s, y: abs(s[:, :1] - y), r"shape \((\d+), \1\)"),
        (lambda s, y: float(s[0, 0]), "float"),
        (lambda s, y: s[:, 0].tolist(), "list"),
        (lambda s, y: (s[:, 0], y, y), "tuple"),
        (lambda s, y: None, "NoneType"),
    ],
)
def test_a_metric_must_give_one_value_a_sample(metric, got):
    expected = rf"metric 'mine': expected an array with one value for each sample, .* got {got}"
    with pytest.raises(ValueError, match=expected):
        fit(make(metrics=[named("mine", metric)]), batch_size=16)


HOOKS = {
    "on_train_begin": "on_fit_begin",
    "on_train_end": "on_fit_end",
    "on_batch_end": "on_step_end",
    "on_epoch_ends": "on_epoch_end",
    "on_fit_beginning": "on_fit_begin",
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("base", [pn.Callback, pn.EarlyStopping])
def test_a_hook_that_nothing_calls_is_refused(base, hook):
    with pytest.raises(TypeError, match=f"Mine: nothing calls '{hook}'; did .* '{HOOKS[hook]}'?"):
        type("Mine", (base,), {hook: lambda self, trainer: None})
    for begin in ("on_batch_begin", "on_train_batch_begin"):  # for which there is no other word
        with pytest.raises(TypeError, match=f"'{begin}'; no hook precedes a step; use on_step_end"):
            type("Mine", (base,), {begin: lambda self, trainer: None})
    with pytest.raises(TypeError, match="nothing calls 'on_x'; it takes on_epoch_begin, on_epoch"):
        type("Mine", (base,), {"on_x": None})
    type("Mine", (base,), {f"_{hook}": lambda self: None})  # one's own


def test_hooks_take_what_they_are_called_with():
    with pytest.raises(
        TypeError, match=r"takes \(self, epoch, logs=None\), but is called with \(s"
    ):

        class Keras(pn.Callback):
            def on_epoch_end(self, epoch, logs=None):
                pass

    seen = []

    class Mine(pn.Callback):
        def on_epoch_end(self, *args):
            seen.append(args)

        @staticmethod
        def on_fit_end(trainer):
            seen.append(trainer)

    trainer = make(callbacks=[Mine()])
    history = fit(trainer)
    assert seen == [(trainer, 0, {name: history[name][0] for name in history}), trainer]


def test_the_best_epoch_by_an_own_metric_and_never_a_nan():
    values = iter([float("nan"), 4.0, 2.0, 6.0])

    class Falling(pn.Callback):
        value = 0.0

        def on_epoch_begin(self, trainer, epoch):
            self.value = next(values)

    falling = Falling()
    mine = named("mine", lambda s, y: s[:, 0] * 0 + falling.value)
    with pytest.raises(ValueError, match="say with mode='min' or 'max'"):
        make(metrics=[mine], monitor="val_mine")
    trainer = make(metrics=[mine], monitor="val_mine", mode="min", callbacks=[falling])
    fit(trainer, epochs=4, batch_size=60, validation_data=(X, Y))
    assert (trainer.best.epoch, trainer.best.value) == (2, 2.0)


def test_batches_without_weight_leave_the_model_alone():
    weight = np.where(np.arange(60) < 16, 0.0, 1.0)
    trainer = make()
    history = fit(trainer, batch_size=16, sample_weight=weight, shuffle=False)
    assert history.steps["loss"][0] == 0.0
    assert np.isfinite(trainer.predict(X)).all()
    with pytest.raises(ValueError, match="all samples weigh 0"):
        trainer.evaluate((X, Y), sample_weight=np.zeros(60))
    with pytest.raises(ValueError, match="class_weight must not be negative"):
        fit(trainer, class_weight={0: -5.0})


def test_arguments_that_would_be_ignored_or_are_misnamed():
    trainer, loader = make(), DataLoader((X, Y), 16)
    with pytest.raises(ValueError, match="batch_size goes with arrays"):
        fit(trainer, loader, batch_size=8)
    with pytest.raises(ValueError, match="holds weights already"):
        fit(trainer, (X, Y, np.ones(60)), sample_weight=np.ones(60))
    with pytest.raises(TypeError, match=r"Trainer.fit has no option 'num_epochs'.*'epochs'"):
        fit(trainer, num_epochs=3)
    with pytest.raises(TypeError, match=r"such as the tuple \(x, y\)"):
        trainer.fit(X, Y)
    with pytest.raises(TypeError, match="callbacks must be a Callback"):
        make(callbacks=[pn.EarlyStopping])
    with pytest.raises(ValueError, match="give total_steps"):
        fit(make(schedule=optim.OneCycleLR(0.1)), ((X, Y) for _ in range(3)))
    assert trainer.step == 0
    assert make(metrics="accuracy").metrics.keys() == {"accuracy"}


def test_class_weights_need_class_indices():
    trainer = make()
    trainer.loss = nn.MSELoss()
    with pytest.raises(ValueError, match=r"class_weight needs targets that are class indices \(N"):
        fit(trainer, (X, X[:, :3]), class_weight=[1.0, 2.0, 3.0])
    assert trainer.step == 0


def test_a_model_must_leave_the_first_axis_to_the_batch():
    class Joined(nn.Layer):
        def vjp(self, x, ctx):
            shape, xp = x.shape, self.accept(x).xp
            return xp.reshape(x, (-1, 1)), lambda dy: (xp.reshape(dy, shape), {})

    trainer = make(layers=(Joined(), nn.Linear(1, 8)))
    with pytest.raises(
        ValueError, match=r"\(2, 4\) into scores of shape \(16, 3\): the first axis"
    ):
        fit(trainer)
    assert trainer.step == 0


def test_an_error_in_the_validation_is_not_taken_for_an_interruption():
    def moody(scores, target):
        if trainer.step == 2:  # after the epoch's last
            raise ValueError("not today")
        return scores[:, 0]

    trainer = make(metrics=[moody])
    with pytest.raises(ValueError, match="not today"):
        fit(trainer, batch_size=32, validation_data=(X, Y))
    assert trainer.step == 2


def test_a_normalization_without_running_statistics_can_be_trained():
    trainer = make(layers=(nn.BatchNorm1d(8, track_running_stats=False),))
    fit(trainer, epochs=2, batch_size=16)
    assert trainer.step == 8


def test_predict_takes_what_fit_takes():
    trainer = make()
    np.testing.assert_array_equal(trainer.predict(X.tolist()), trainer.predict(X))

    class Frame:  # what a DataFrame shows
        shape, dtype = X.shape, X.dtype

        def __array__(self, dtype=None, copy=None):
            return X

    np.testing.assert_array_equal(trainer.predict(Frame()), trainer.predict(X))


def test_what_is_wrong_with_a_batch_is_said_with_its_number():
    bad = X.copy()
    bad[20] = np.nan
    with pytest.raises(ValueError, match=r"batch 1 of epoch 0: x contains.*first in sample 4"):
        fit(make(), list(DataLoader((bad, Y), 16)))


class Hungry(nn.Layer):
    """y = x, for which there is memory up to a number of samples."""

    def __init__(self, most):
        self.most = most

    def vjp(self, x, ctx):
        if ctx.training and x.shape[0] > self.most:
            raise MemoryError("Unable to allocate 7.28 TiB for an array")
        return x, lambda dy: (dy, {})


def test_where_memory_runs_out_the_batch_that_fits_is_told():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), Hungry(10)).initialize(0)
    before = model.state_dict()
    trainer = pn.Trainer(model, nn.MSELoss(), optim.SGD(model, lr=0.1))
    x = np.ones((40, 3), "f4")
    with pytest.raises(MemoryError) as told:
        trainer.fit((x, x[:, :2]), batch_size=32, progress=False)
    assert str(told.value) == (
        "batch_size=32 needs more memory than there is on numpy on cpu; batch_size=8 fits, and "
        "with accumulate=4 it is nearly the same update (BatchNorm1d: of smaller batches)"
    )
    for name, array in before.items():
        np.testing.assert_array_equal(model.state_dict()[name], array)
    trainer.fit((x, x[:, :2]), batch_size=8, accumulate=4, progress=False)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_advice_where_memory_runs_out_is_the_same_update(accumulate):
    def trained(most, **options):
        trainer = make(layers=(Hungry(most),))
        fit(trainer, (X[:48], Y[:48]), **options)
        return trainer

    with pytest.raises(MemoryError, match=rf"=4 fits, .*={4 * accumulate} it is the same update$"):
        trained(4, batch_size=16, accumulate=accumulate)
    small = trained(4, batch_size=4, accumulate=4 * accumulate)
    large = trained(99, batch_size=16, accumulate=accumulate)
    np.testing.assert_allclose(small.history.steps["loss"], large.history.steps["loss"])
    assert_same_weights(small, large, rtol=1e-8)


# --- what a review found --------------------------------------------------------------------------


def test_layers_that_the_optimizer_does_not_have_are_refused():
    class Net(nn.Layer):
        def __init__(self):
            self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

        def compute(self, x):
            return self.head(self.body(x))

    model = Net().initialize(0)
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model))
    model.head = nn.Linear(8, 3).initialize(1)
    with pytest.raises(RuntimeError, match=r"head\.bias, head\.weight: .* make a new optimizer"):
        fit(trainer, ())
    for part in ("model", "optimizer"):
        trainer = make()
        setattr(trainer, part, getattr(make(), part))
        with pytest.raises(RuntimeError, match="make a new optimizer"):
            fit(trainer)
        assert (trainer.step, trainer.epoch) == (0, 0)


def test_a_fit_that_fails_before_its_first_step_is_no_epoch(capsys):
    trainer = make(layers=(Hungry(16),), schedule=optim.StepLR(1, 0.1), lr=0.1)
    with pytest.raises(MemoryError, match="batch_size=15 fits"):
        fit(trainer, batch_size=60)
    with pytest.raises(ValueError, match="no classes"):
        fit(trainer, [(X, Y)], class_weight={3: 2.0})
    assert trainer.epoch == 0
    history = trainer.fit((X, Y), epochs=2, batch_size=16)
    assert history["lr"] == pytest.approx([0.1, 0.01])
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines] == ["epoch 1/2", "epoch 2/2"]


class Began(pn.Callback):
    began = 0

    def on_fit_begin(self, trainer):
        self.began += 1


ONE_LEFT = "41 samples in batches of 20 leave one for the last: BatchNorm1d '2': needs more than"
LATE = {
    "weight": ({"sample_weight": np.ones((60, 1))}, {}, r"weights of shape \(60,\), got \(60, 1\)"),
    "class": ({"class_weight": {3: 1.0}}, {}, r"no classes \[3\]"),
    "metric": ({}, {"metrics": [named("mine", lambda s, y: s.mean())]}, "metric 'mine': expected"),
    "one left": (
        {"data": (X[:41], Y[:41]), "batch_size": 20},
        {"layers": (nn.BatchNorm1d(8),)},
        ONE_LEFT + ".*drop_last=True",
    ),
}


LISTS = {
    "labels": ([(X, Y + 1)], "batch 0 of epoch 0: CrossEntropyLoss: class indices must be in"),
    "features": ([(X[:, :3], Y)], "batch 0 of epoch 0: Linear '0': expected x of shape"),
    "lengths": ([(X, Y[:-1])], r"equal lengths, got \[60, 59\]"),
    "empty": ([], "the data gave no batch"),
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_batches_are_tried_out_before_anything_begins(kind, tmp_path):
    data, message = LISTS[kind]
    for options in ({"data": data}, {"validation_data": data}):
        trainer = make()
        with pytest.raises(ValueError, match=message):
            fit(trainer, **options, checkpoint=tmp_path / "run")
        assert trainer.step == 0
        assert not (tmp_path / "run").exists()


def test_an_evaluation_is_of_the_samples_as_they_are():
    drawn = DataLoader((X, Y), 16, replacement=True)
    with pytest.raises(ValueError, match=r"an evaluation is of all samples, .* replacement=True"):
        make().evaluate(drawn)
    with pytest.raises(ValueError, match=r"an evaluation is of all samples, .* replacement=True"):
        fit(make(), validation_data=drawn)
    fit(make(), drawn)


@pytest.mark.parametrize("case", LATE)
def test_what_would_fail_in_a_step_is_told_before_anything_begins(case, tmp_path):
    options, made, message = LATE[case]
    began = Began()
    trainer = make(callbacks=[began], **made)
    with pytest.raises(ValueError, match=message):
        fit(trainer, **options, checkpoint=tmp_path / "run")
    assert not began.began
    assert not (tmp_path / "run").exists()


def test_a_last_batch_of_one_sample_is_refused_only_where_it_comes():
    def batch_norm():
        return make(layers=(nn.BatchNorm1d(8),))

    n = 21
    data = X[:n], Y[:n]
    fit(make(), data, batch_size=20)
    fit(batch_norm(), data, batch_size=20, steps=3)  # drawn with replacement
    fit(batch_norm(), DataLoader(data, 20, drop_last=True))
    fit(batch_norm(), DataLoader(data, 20), steps=1)
    fit(batch_norm(), data, batch_size=7, validation_data=(X[:1], Y[:1]))
    with pytest.raises(ValueError, match="leave one for the last"):
        fit(batch_norm(), DataLoader(data, 20), steps=2)
    with pytest.raises(ValueError, match="in batches of 1 leave one"):
        fit(batch_norm(), data, batch_size=1, steps=50)
    # Several positions of one sample are enough for its statistics.
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Flatten(), nn.Linear(4, 3)).to(dtype="float64")
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model))
    fit(trainer, (np.reshape(data[0], (n, 2, 2)), data[1]), batch_size=20)
    assert trainer.step == 2


def test_shuffle_goes_with_arrays():
    for value in (True, False):
        for data in (DataLoader((X, Y), 16, shuffle=True), [(X, Y)]):
            with pytest.raises(ValueError, match="shuffle goes with arrays; a loader or an iterab"):
                fit(make(), data, shuffle=value)
    shuffled, default, in_order, loader = (make() for _ in range(4))
    fit(default, batch_size=16)
    fit(shuffled, batch_size=16, shuffle=True)
    fit(in_order, batch_size=16, shuffle=False)
    fit(loader, DataLoader((X, Y), 16))
    assert default.history.steps == shuffled.history.steps != in_order.history.steps
    assert in_order.history.steps == loader.history.steps


class Add(pn.Callback):
    """Adds a number of its own to each epoch's, of the type that NumPy computes."""

    adds = ("val_f1",)

    def __init__(self, values=(0.3, 0.9, 0.5, 0.4, 0.2)):
        self.values = values

    def on_epoch_end(self, trainer, epoch, logs):
        logs["val_f1"] = np.float64(self.values[epoch])


def watching(*callbacks, **options):
    return make(monitor="val_f1", mode="max", callbacks=list(callbacks), **options)


def test_callbacks_add_to_an_epochs_numbers(capsys):
    stop = pn.EarlyStopping("val_f1", mode="max", patience=2)
    schedule = optim.ReduceLROnPlateau(mode="max", factor=0.5, patience=0, monitor="val_f1")
    trainer = watching(Add(), stop, schedule=schedule, lr=0.1)
    history = trainer.fit((X, Y), epochs=5, batch_size=16)
    assert history["val_f1"] == [0.3, 0.9, 0.5, 0.4]
    assert all(type(value) is float for value in history["val_f1"])
    assert history["lr"] == [0.1, 0.1, 0.1, 0.05]
    assert (trainer.best.epoch, trainer.best.value) == (1, 0.9)
    assert "val_f1 0.9000" in capsys.readouterr().out.splitlines()[1]


def test_what_is_added_is_there_when_a_run_goes_on(tmp_path):
    class Fail(pn.Callback):
        def on_step_end(self, trainer, step):
            if step == 10:
                raise RuntimeError("killed")

    options = {"epochs": 4, "batch_size": 16, "validation_data": (X, Y), "checkpoint": tmp_path}
    with pytest.raises(RuntimeError, match="killed"):
        fit(watching(Add(), Fail()), **options)
    trainer = watching(Add())
    history = fit(trainer, **options, resume="auto")
    assert history["val_f1"] == [0.3, 0.9, 0.5, 0.4]
    assert (trainer.best.epoch, trainer.best.value) == (1, 0.9)
    best = watching()
    best.load_state_dict(read_run(tmp_path / "best.safetensors"))
    assert best.history["val_f1"] == [0.3, 0.9]


def test_what_nobody_adds_is_told():
    class Silent(Add):
        def on_epoch_end(self, trainer, epoch, logs):
            pass

    class Text(Add):
        def on_epoch_end(self, trainer, epoch, logs):
            logs["val_f1"] = "high"

    class Unnamed(Add):
        adds = ()

    stop = pn.EarlyStopping("val_f1", mode="max")
    with pytest.raises(ValueError, match="monitor 'val_f1' is none of loss"):
        fit(watching(), validation_data=(X, Y))
    with pytest.raises(ValueError, match=r"but there are loss, accuracy; .* names it in `adds`"):
        fit(make(callbacks=[Unnamed(), stop]))
    with pytest.raises(ValueError, match="which is not there yet: the callback that adds it comes"):
        fit(make(callbacks=[stop, Add()]))
    with pytest.raises(ValueError, match=r"was to add \['val_f1'\] to the logs of on_epoch_end"):
        fit(watching(Silent()))
    with pytest.raises(TypeError, match=r"logs\['val_f1'\] must be a number, got 'high'"):
        fit(watching(Text()))
    with pytest.raises(ValueError, match="callbacks: the name 'val_f1' in `adds` is taken"):
        fit(make(callbacks=[Add(), Add()]))
    assert fit(make(callbacks=[Unnamed()]))["val_f1"] == [0.3]  # nobody watches it


@pytest.mark.parametrize("change", [lambda logs: logs.update(loss=0.0), dict.clear])
def test_what_the_trainer_gives_stays(change):
    class Changing(pn.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            change(logs)

    with pytest.raises(ValueError, match=r"a callback changed \['loss'.* under another name"):
        fit(make(callbacks=[Changing()]))


def test_the_best_parameters_are_those_that_were_validated():
    class Later(Add):
        """Adds a number that nobody watches, sees the best epoch, and changes the parameters."""

        def on_epoch_end(self, trainer, epoch, logs):
            super().on_epoch_end(trainer, epoch, logs)
            losses.append(logs["val_loss"])
            best.append((trainer.best.epoch, trainer.best.value))
            trainer.model[0].own_params["weight"][...] = 0.0

    best, losses = [], []
    trainer = make(callbacks=[Later()])
    fit(trainer, epochs=3, batch_size=16, validation_data=(X, Y))
    assert best == [(int(np.argmin(losses[:k])), min(losses[:k])) for k in (1, 2, 3)]
    trainer.restore_best()
    assert trainer.evaluate((X, Y))["loss"] == min(losses)


def test_the_best_epoch_is_chosen_by_what_it_was():
    trainer = make()
    with pytest.raises(AttributeError, match="monitor"):
        trainer.monitor = "val_accuracy"
    assert make(monitor="val_accuracy").monitor == "val_accuracy"


def test_one_fit_at_a_time():
    def again(trainer):
        with pytest.raises(RuntimeError, match="fit was called while this trainer is in it"):
            fit(trainer)
        with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="stop_training"):
            pool.submit(fit, trainer).result()
        fit(deepcopy(trainer))  # another one

    trainer, plain = make(callbacks=[StopAt(2, again)]), make()
    histories = [fit(run, epochs=2, batch_size=16) for run in (trainer, plain)]
    assert histories[0].steps == histories[1].steps
    with pytest.raises(ValueError, match="no samples"):
        fit(trainer, (X[:0], Y[:0]))
    fit(trainer)  # after an error, too


def test_the_loss_of_the_step_in_hand():
    losses = []

    class Ask(pn.Callback):
        def on_step_end(self, trainer, step):
            losses.append(trainer.last_loss())

    trainer = make(callbacks=[Ask()])
    assert np.isnan(trainer.last_loss())
    history = fit(trainer, epochs=2, batch_size=16)
    assert len(losses) == 8
    assert losses == history.steps["loss"]
    assert trainer.last_loss() == losses[-1]
    assert fit(make(), epochs=2, batch_size=16)["loss"] == history["loss"]


def test_a_trainer_shows_what_its_users_need():
    assert {name for name in vars(make()) if not name.startswith("_")} == {
        *("model", "loss", "optimizer", "schedule", "metrics", "callbacks", "seed"),
        *("history", "best", "on_nan", "epoch", "step", "stop_training"),
    }

"""What becomes of steps whose numbers are not finite."""

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim
from portanet.train.guard import WINDOWS

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 3)).astype("f4"), RNG.integers(2, size=48)
BAD = 9  # the step, from 1, whose numbers are not finite; an epoch has 6


class Spoil(nn.Layer):
    """y = x, but where it is on, its output, or its gradient, is not finite."""

    def __init__(self, forward=1.0, backward=1.0):
        self.factors = forward, backward
        self.on = False

    def vjp(self, x, ctx):
        up, down = self.factors if self.on and ctx.training else (1.0, 1.0)
        return x * up, lambda dy: (dy * down, {})


class SpoilSteps(pn.Callback):
    """Turns the layer on for the steps of these numbers."""

    def __init__(self, layer, steps):
        self.layer, self.steps = layer, steps

    def on_fit_begin(self, trainer):
        self.on_step_end(trainer, trainer.step)

    def on_step_end(self, trainer, step):
        self.layer.on = step + 1 in self.steps


def trainer(spoil, steps=(BAD,), make=optim.Adam, **options):
    layers = {
        "fc1": nn.Linear(3, 4),
        "norm": nn.BatchNorm1d(4),
        "odd": spoil,
        "act": nn.LeakyReLU(),
        "fc2": nn.Linear(4, 2),
    }
    model = nn.Sequential(layers).initialize(0)
    options.setdefault("callbacks", [SpoilSteps(spoil, steps)])
    return pn.Trainer(model, nn.CrossEntropyLoss(), make(model), **options)


def fit(run, epochs=3):
    return run.fit((X, Y), epochs=epochs, batch_size=8, progress=False)


def arrays(run):
    """Return copies of all that a step changes."""
    here = run.model.backend
    state = run.model.state_dict() | run.optimizer.arrays
    return {name: np.array(here.to_numpy(array)) for name, array in state.items()}


class Keeping(pn.Callback):
    """Keeps what each step left."""

    def __init__(self):
        self.after = {}

    def on_step_end(self, trainer, step):
        self.after[step] = arrays(trainer)


@pytest.fixture(params=[False, True], ids=["at once", "when read"])
def asynchronous(request, library):
    """Whether the losses are looked at in each step, or when they are read."""
    library.backend.asynchronous = request.param
    return request.param


@pytest.mark.usefixtures("asynchronous")
@pytest.mark.parametrize("bad", [BAD, 12])  # within an epoch, and its last: there is no next loss
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_where_it_began_is_found_by_doing_the_steps_again(where, value, bad):
    run = trainer(Spoil(**{where: value}), [bad], callbacks=[])
    spoil, vjp = run.model[2], Spoil.vjp
    samples = {}  # by the first number of a batch, in which step it first came

    def spoiled(self, x, ctx):
        if ctx.training:
            step = samples.setdefault(float(run.model.backend.to_numpy(x)[0, 0]), len(samples) + 1)
            self.on = step == bad
        return vjp(self, x, ctx)

    spoil.__dict__["vjp"] = spoiled.__get__(spoil)
    what = {"forward": "output", "backward": "gradient"}[where]
    message = rf"^step {bad} \(epoch 2\): the {what} of Spoil 'odd' is the first that is not finite"
    with pytest.raises(FloatingPointError, match=message) as told:
        fit(run)
    assert "on_nan='skip'" in str(told.value)
    assert run.step == bad - 1
    assert len(run.history.steps["loss"]) <= run.step
    assert all(np.isfinite(array).all() for array in arrays(run).values())


def test_what_does_not_come_again_when_done_again():
    run = trainer(Spoil(forward=float("nan")), callbacks=[])
    spoil, vjp, calls = run.model[2], Spoil.vjp, []

    def spoiled_once(self, x, ctx):
        if ctx.training:
            calls.append(len(calls))
        self.on = ctx.training and len(calls) == BAD
        return vjp(self, x, ctx)

    spoil.__dict__["vjp"] = spoiled_once.__get__(spoil)
    with pytest.raises(FloatingPointError, match="which is, done again; does a callback change it"):
        fit(run)


def test_data_that_cannot_be_gone_back_to():
    run = trainer(Spoil(backward=float("nan")), [4])
    batches = [(X[k : k + 8], Y[k : k + 8]) for k in range(0, 48, 8)]
    with pytest.raises(FloatingPointError, match="the data cannot be gone back to"):
        run.fit(iter([*batches[:2], *batches]), progress=False)


def test_one_bad_step_does_not_end_an_epoch_with_rollback():
    run = trainer(Spoil(forward=float("nan")), [50], on_nan="rollback")
    history = run.fit((np.tile(X, (10, 1)), np.tile(Y, 10)), batch_size=4, progress=False)
    assert 0 < history["undone"][0] <= 32


def test_buffers_alone_may_be_what_is_not_finite():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).initialize(0)
    run = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=0.1), on_nan="skip")
    x = X.copy()
    x[20] = 1e30
    with np.errstate(all="ignore"):
        history = run.fit((x, Y), batch_size=8, shuffle=False, progress=False)
    assert history["undone"] == [1.0]
    assert np.isfinite(model.buffers["0.running_var"]).all()


def test_the_loss_itself_may_be_what_is_not_finite():
    class Loss(nn.MSELoss):
        def vjp(self, scores, target, *rest):
            value, pullback = super().vjp(scores, target, *rest)
            return value * float("inf"), pullback

    model = nn.Sequential(nn.Linear(3, 1)).initialize(0)
    run = pn.Trainer(model, Loss(), optim.SGD(model, lr=0.1))
    with pytest.raises(FloatingPointError, match=r"step 1 .*the loss is not finite, and the model"):
        run.fit((X, X[:, :1]), progress=False)


def test_a_batch_that_is_not_finite_itself():
    class Burnt(pn.data.Transform):
        draws = 1

        def apply(self, backend, x, u):
            return x * float("inf")

    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    run = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model))
    loader = pn.data.DataLoader((X[:, :, None, None], Y), 8, transform=Burnt())
    with pytest.raises(FloatingPointError, match=r"^step 1 .*: the batch's x is not finite;"):
        run.fit(loader, progress=False)
    assert run.step == 0


def test_gradients_that_are_not_finite_together():
    model = nn.Linear(1, 1, bias=False)
    model.params["weight"] = np.zeros((1, 1))
    run = pn.Trainer(model, nn.MSELoss(reduction="sum"), optim.SGD(model, lr=0.1))
    batch = np.full((1, 1), 1e19, "f4"), np.full((1, 1), 1e19, "f4")  # the gradient is −2e38
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"^step 1 .*: its numbers are not finite;"),
    ):
        run.fit([batch, batch], accumulate=2, progress=False)


def test_a_step_that_is_too_long_spoils_the_parameters_alone():
    model = nn.Linear(1, 1, bias=False)
    model.params["weight"] = np.ones((1, 1))
    run = pn.Trainer(model, nn.MSELoss(), optim.SGD(model, lr=1e38))
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match="by then a parameter or a buffer is not finite;"),
    ):
        run.fit((np.ones((1, 1), "f4"), np.full((1, 1), 9.0, "f4")), progress=False)


def test_a_rate_that_is_too_high_is_told_from():
    model = nn.Sequential(nn.Linear(3, 30), nn.ReLU(), nn.Linear(30, 1)).initialize(0)
    run = pn.Trainer(model, nn.MSELoss(), optim.SGD(model, lr=1e6))
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match="a lower rate, ClipGradNorm"),
    ):
        run.fit((X, X[:, :1]), epochs=50, progress=False)


# --- skip -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("bad", [(BAD,), (1,), (1, 2, BAD, 12)], ids=str)
def test_a_skipped_step_leaves_everything_as_it_was(library, where, bad):
    spoil, kept = Spoil(**{where: float("nan")}), Keeping()
    run = trainer(spoil, on_nan="skip", callbacks=[SpoilSteps(spoil, bad), kept])
    start = arrays(run)
    history = fit(run)
    assert run.step == 18
    for step in range(1, 19):
        before, after = kept.after.get(step - 1, start), kept.after[step]
        for name, array in after.items():
            # The optimizer's arrays begin at zero in the first step.
            old = before.get(name, np.zeros_like(array))
            if step in bad:
                np.testing.assert_array_equal(array, old, err_msg=f"{name}, step {step}")
            elif "weight" in name:
                assert (array != old).any(), f"{name}, step {step}"
    counts = [float(sum(6 * epoch < step <= 6 * epoch + 6 for step in bad)) for epoch in range(3)]
    assert history["undone"] == counts
    assert np.isfinite(history["loss"]).all()
    losses = history.steps["loss"]
    assert len(losses) == 18
    if where == "forward":
        assert [k + 1 for k, loss in enumerate(losses) if not np.isfinite(loss)] == list(bad)
    library.check(run.model.params["fc1.weight"], (4, 3))


@pytest.mark.parametrize("mode", ["skip", "rollback"])
@pytest.mark.usefixtures("library")
def test_where_nothing_goes_wrong_nothing_is_changed(mode):
    plain, watched = trainer(Spoil(), ()), trainer(Spoil(), (), on_nan=mode)
    assert fit(watched)["loss"] == fit(plain)["loss"]
    assert watched.history["undone"] == [0.0] * 3
    for name, array in arrays(plain).items():
        np.testing.assert_array_equal(arrays(watched)[name], array)


@pytest.mark.parametrize("mode", ["skip", "rollback"])
def test_an_epoch_of_which_nothing_is_left_is_an_error(mode):
    run = trainer(Spoil(forward=float("nan")), range(7, 13), on_nan=mode)
    with pytest.raises(FloatingPointError, match="all 6 steps were undone"):
        fit(run)
    assert all(np.isfinite(array).all() for array in arrays(run).values())


def test_the_mean_of_an_epoch_leaves_skipped_steps_out():
    spoil = Spoil(forward=float("nan"))
    run = trainer(spoil, (2,), lambda model: optim.SGD(model, lr=0.0), on_nan="skip")
    history = fit(run, 1)
    losses = history.steps["loss"]
    assert history["loss"] == [pytest.approx(np.mean(losses[:1] + losses[2:]), rel=1e-6)]


def test_parameters_that_a_callback_spoiled_cannot_be_skipped():
    class Ruin(pn.Callback):
        def on_step_end(self, trainer, step):
            if step == BAD:
                trainer.model.params["fc1.bias"][...] = np.inf

    run = trainer(Spoil(), on_nan="skip", callbacks=[Ruin()])
    with pytest.raises(FloatingPointError, match="by then a parameter or a buffer is not finite"):
        fit(run)


# --- rollback -------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_rollback_goes_back_to_the_last_good_state(where, asynchronous):
    spoil, kept = Spoil(**{where: float("nan")}), Keeping()
    run = trainer(spoil, on_nan="rollback", callbacks=[SpoilSteps(spoil, (BAD,)), kept])
    history = fit(run)
    # After steps 7, 8 and 10, the first, second and fourth of their epoch, the numbers are read: 9
    # and 10 are undone then, and 11 goes on from where 8 ended. A loss that is not finite is seen
    # at once, where that does not wait.
    seen = BAD if where == "forward" and not asynchronous else 10
    assert history["undone"] == [0.0, seen - 8.0, 0.0]
    assert np.isfinite(history["loss"]).all()
    assert run.step == 18
    whole, plain = trainer(Spoil(), ()), Keeping()
    whole.callbacks.append(plain)
    fit(whole)
    for name, array in kept.after[seen].items():
        np.testing.assert_array_equal(array, plain.after[8][name])
    for name, array in kept.after[18].items():
        assert np.isfinite(array).all(), name


def test_rollback_restores_before_the_next_step(monkeypatch):
    monkeypatch.setitem(WINDOWS, "rollback", 3)
    spoil, kept = Spoil(backward=float("nan")), Keeping()
    freeze = optim.StepLR(step_size=1, gamma=0.0, by="epoch")  # from the second epoch on, lr is 0
    run = trainer(
        spoil,
        make=lambda model: optim.SGD(model, lr=0.1),
        on_nan="rollback",
        schedule=freeze,
        callbacks=[SpoilSteps(spoil, (5,)), kept],
    )
    fit(run, 2)
    for name, array in kept.after[12].items():
        if "running" not in name and "batches" not in name:
            np.testing.assert_array_equal(array, kept.after[3][name])


@pytest.mark.usefixtures("asynchronous")
def test_a_bad_last_step_does_not_end_short_epochs_with_rollback():
    last = (6, 12, 18)
    history = fit(trainer(Spoil(forward=float("nan")), last, on_nan="rollback"))
    assert history["undone"] == [2.0, 2.0, 2.0]  # those since the fourth


class Halve(pn.Callback):
    """Changes the parameters at the end of each epoch, as an average over steps would."""

    def __init__(self):
        self.left = {}

    def on_epoch_end(self, trainer, epoch, logs):
        for parameter in trainer.model.params.values():
            parameter[...] = parameter * 0.5
        self.left[epoch] = arrays(trainer)


@pytest.mark.usefixtures("asynchronous")
@pytest.mark.parametrize("mode", ["raise", "rollback"])
def test_what_a_callback_did_between_epochs_stays(mode):
    spoil, halve, kept = Spoil(forward=float("nan")), Halve(), Keeping()
    # The first step of the second epoch; to find it in a step done again, those after it, too.
    bad = range(7, 19) if mode == "raise" else (7,)
    run = trainer(spoil, on_nan=mode, callbacks=[SpoilSteps(spoil, bad), halve, kept])
    if mode == "raise":
        with pytest.raises(FloatingPointError, match=r"^step 7 "):
            fit(run)
        after = arrays(run)
    else:
        fit(run)
        after = kept.after[7]
    for name, array in after.items():
        np.testing.assert_array_equal(array, halve.left[0][name], err_msg=name)


class Rates(pn.Callback):
    """Sets the rate of the next step by its number, from 0."""

    def __init__(self, rate):
        self.rate = rate

    def on_step_end(self, trainer, step):
        for group in trainer.optimizer.groups.values():
            group.hyper["lr"] = group.initial["lr"] * self.rate(step)


@pytest.mark.usefixtures("asynchronous")
@pytest.mark.parametrize("mode", ["raise", "rollback"])
def test_hyperparameters_that_a_callback_set_stay(mode):
    spoil, rates = Spoil(backward=float("nan")), Rates(lambda step: 1.0 / (1 + step))
    run = trainer(
        spoil,
        make=lambda model: optim.SGD(model, lr=0.1, groups={"fc2": {"lr": 0.5}}),
        on_nan=mode,
        callbacks=[SpoilSteps(spoil, (12,)), rates],
    )
    if mode == "raise":
        with pytest.raises(FloatingPointError, match="which is, done again"):
            fit(run)
    else:
        fit(run)
    assert run.step == {"raise": 12, "rollback": 18}[mode]
    for group, lr in (("", 0.1), ("fc2", 0.5)):
        assert run.optimizer.groups[group].hyper["lr"] == pytest.approx(lr / (1 + run.step))
        assert run.optimizer.groups[group].initial["lr"] == lr
    assert run.history.steps["lr"] == pytest.approx([0.1 / (1 + k) for k in range(run.step)])


@pytest.mark.usefixtures("asynchronous")
@pytest.mark.parametrize("asked", [False, True])
def test_after_an_error_the_history_has_the_steps_until_then_as_they_were(asked):
    class Ask(pn.Callback):
        def on_step_end(self, trainer, step):
            if asked:
                losses.append(trainer.last_loss())

    losses = []
    model = nn.Sequential(nn.Linear(3, 1)).initialize(0)
    # From the fourth step on the rate is such that the fifth has no finite loss.
    callbacks = [Ask(), Rates(lambda step: 1.0 if step < 3 else 1e201)]
    run = pn.Trainer(model, nn.MSELoss(), optim.SGD(model, lr=0.1), callbacks=callbacks)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=r"^step 5 "):
        run.fit((X, X[:, :1] * 3), epochs=4, batch_size=8, progress=False)
    assert run.step == 4
    assert run.history.steps["lr"] == pytest.approx([0.1, 0.1, 0.1, 1e200])
    assert np.isfinite(run.history.steps["loss"]).all()
    assert len(run.history.steps["loss"]) == 4
    assert not asked or losses[:4] == run.history.steps["loss"]
    assert run.optimizer.hyper["lr"] == pytest.approx(1e200)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="on_nan must be 'raise', 'skip' or 'rollback', got"):
        trainer(Spoil(), on_nan="stop")

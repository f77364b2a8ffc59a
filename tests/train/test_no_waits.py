"""A training step reads no number from the device: the host asks for work and never waits for it.

array-api-strict plays the device. Every way by which a number of it can reach the host is counted:
a fit of nine steps must read as often as one of three, and nothing from the first step's end on.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import array_api_strict
import numpy as np
import pytest
from cases import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES, ids, numbers
from portanet_strict import StrictBackend

import portanet as pn
from portanet import data, nn, optim, train
from portanet.data import DataLoader

READS = ("__bool__", "__float__", "__int__", "__complex__", "__index__")
READS += ("__array__", "__buffer__", "__dlpack__", "__iter__", "__repr__")


@dataclass
class Device:
    """The backend that plays a device, and how often a number was read from it."""

    backend: pn.Backend
    reads: int = 0

    def counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.reads += 1
            return function(*args, **options)

        return counted


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """Select the device; what depends on an array's values in its shape is refused there."""
    array_type = type(array_api_strict.empty(1))
    monkeypatch.setattr(StrictBackend, "asynchronous", True)
    with pn.use_backend("strict", device="device1") as backend:
        found = Device(backend)
        for name in READS:
            if read := getattr(array_type, name, None):
                monkeypatch.setattr(array_type, name, found.counting(read))
        monkeypatch.setattr(StrictBackend, "to_numpy", found.counting(StrictBackend.to_numpy))
        flags = {"boolean_indexing": False, "data_dependent_shapes": False}
        with array_api_strict.ArrayAPIStrictFlags(**flags):
            yield found


@dataclass
class Counts(pn.Callback):
    """How often the device had been read from when each step ended."""

    device: Device
    after: list[int] = field(default_factory=list)

    def on_step_end(self, trainer: pn.Trainer, step: int) -> None:
        self.after.append(self.device.reads)


Given = tuple[nn.Layer, nn.Loss, Any]  # and data


def assert_no_waits(
    device: Device,
    make: Callable[[int], Given],
    optimizer: Callable[[nn.Layer], optim.Optimizer] = lambda model: optim.SGD(model, lr=0.01),
    options: Any = (),
    **trained: Any,
) -> None:
    """Fit what is made for so many steps, and compare the numbers of reads."""
    totals = []
    for steps in (3, 9):
        model, loss, batches = make(steps)
        counts, before = Counts(device), device.reads
        trainer = pn.Trainer(model, loss, optimizer(model), callbacks=[counts], **dict(options))
        trainer.fit(batches, progress=False, **trained)
        assert len(counts.after) == steps
        assert counts.after[-1] == counts.after[0], "a step reads from the device"
        totals.append(device.reads - before)
    assert totals[0] == totals[1] > 0, "the end of an epoch reads from the device for each step"


def classifier() -> nn.Layer:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).initialize(0)


X, Y, WEIGHT = numbers("x", (90, 4)), np.arange(90) % 3, np.linspace(0.5, 1.5, 90)


def arrays(steps: int) -> Given:
    n = 10 * steps
    return classifier(), nn.CrossEntropyLoss(), DataLoader((X[:n], Y[:n]), 10, shuffle=True)


# --- every layer, loss, optimizer and schedule ----------------------------------------------------


@pytest.mark.parametrize("case", LAYERS, ids=ids(LAYERS))
def test_layers(device: Device, case: Any) -> None:
    def make(steps: int) -> Given:
        layer, first = case.make(), [nn.PReLU()] if case.indices is None else []
        model = nn.Sequential(*first, layer, nn.PReLU()).initialize(0)  # something to train
        x = device.backend.asarray(case.x())
        y = model(x)
        if y.shape[:1] != x.shape[:1]:
            pytest.skip("the case is of a single sample, not a batch")
        return model, nn.MSELoss(), [(x, device.backend.xp.zeros_like(y))] * steps

    assert_no_waits(device, make)


TRAINED = [case for case in LOSSES if case.value == ()]


@pytest.mark.parametrize("case", TRAINED, ids=ids(TRAINED))
def test_losses(device: Device, case: Any) -> None:
    def make(steps: int) -> Given:
        batch = [numbers("x", case.shape), case.targets(), case.weights()]
        batch = [device.backend.asarray(part) for part in batch if part is not None]
        return nn.Sequential(nn.PReLU()).initialize(0), case.make(), [tuple(batch)] * steps

    assert_no_waits(device, make)


@pytest.mark.parametrize("case", OPTIMIZERS, ids=ids(OPTIMIZERS))
def test_optimizers(device: Device, case: Any) -> None:
    assert_no_waits(device, arrays, lambda model: case.make(model, **case.options))


@pytest.mark.parametrize("case", SCHEDULES, ids=ids(SCHEDULES))
def test_schedules(device: Device, case: Any) -> None:
    plateau = {"monitor": "loss"} if case.make is optim.ReduceLROnPlateau else {}
    schedule = case.make(**case.options | plateau)
    optimizer = case.optimizer
    assert_no_waits(
        device,
        arrays,
        lambda model: optimizer.make(model, **optimizer.options),
        {"schedule": schedule},
    )


TRANSFORMS: list[Any] = [
    optim.ClipGradNorm(0.1),
    optim.ClipGradNorm(0.1, norm_type=float("inf")),
    optim.ClipGradNorm(0.1, norm_type=3.0),
    optim.ClipGradValue(0.01),
    optim.L1(0.01, dead_zone=True, bias=True),
    optim.GradientNoise(),
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: type(t).__name__)
def test_what_is_done_to_gradients(device: Device, transform: Any) -> None:
    assert {type(t) for t in TRANSFORMS} == public(optim, optim.Transform)
    assert_no_waits(device, arrays, lambda model: optim.SGD(model, transforms=[transform]))


# --- data -----------------------------------------------------------------------------------------

AUGMENTATIONS: list[Any] = [
    data.RandomHorizontalFlip(),
    data.RandomCrop(4, padding=1),
    data.RandomAffine(20.0, (0.1, 0.1), (0.9, 1.1)),
    data.RandomRotation(20.0),
    data.Cutout(2),
    data.ColorJitter(0.2, 0.2),
]


@pytest.mark.parametrize("transform", AUGMENTATIONS, ids=lambda t: type(t).__name__)
def test_augmentation_on_the_device(device: Device, transform: Any) -> None:
    assert {type(t) for t in AUGMENTATIONS} == public(data, data.Transform)

    def make(steps: int) -> Given:
        images = device.backend.asarray(numbers("images", (6 * steps, 3, 4, 4)))
        labels = device.backend.asarray(np.arange(6 * steps) % 2)
        model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).initialize(0)
        loader = DataLoader((images, labels), 6, transform=data.Compose([transform]))
        return model, nn.CrossEntropyLoss(), loader

    assert_no_waits(device, make)


def public(module: Any, base: type) -> set[type]:
    found = {getattr(module, name) for name in module.__all__}
    return {c for c in found if isinstance(c, type) and issubclass(c, base)} - {base}


def as_arrays(x: Any, y: Any, weight: Any) -> Any:
    return x, y, weight


def as_memory_maps(x: Any, y: Any, weight: Any) -> Any:
    return x.view(np.memmap), y, weight


def as_batches(x: Any, y: Any, weight: Any) -> Any:
    return list(DataLoader((x, y, weight), 10))


def as_labels_that_may_not_fit(x: Any, y: Any, weight: Any) -> Any:
    return list(DataLoader((x, y.astype("uint64")), 10))


def as_such_labels_on_the_device(x: Any, y: Any, weight: Any) -> Any:
    return DataLoader((pn.asarray(x), pn.asarray(y.astype("uint64"))), 10)


def as_bare_lists(x: Any, y: Any, weight: Any) -> Any:
    return [(a.tolist(), b.tolist()) for a, b in DataLoader((x, y), 10)]


@pytest.mark.parametrize(
    "form",
    [
        as_arrays,
        as_memory_maps,
        as_batches,
        as_labels_that_may_not_fit,
        as_such_labels_on_the_device,
        as_bare_lists,
    ],
)
def test_forms_of_data(device: Device, form: Callable[..., Any]) -> None:
    options: dict[str, Any] = {"class_weight": {1: 0.5}}

    def make(steps: int) -> Given:
        n = 10 * steps
        return classifier(), nn.CrossEntropyLoss(), form(X[:n], Y[:n], WEIGHT[:n])

    if form in (as_arrays, as_memory_maps):
        options["batch_size"] = 10
    assert_no_waits(device, make, **options)


# --- the Trainer ----------------------------------------------------------------------------------


def margin(scores: Any, target: Any) -> Any:
    return pn.backend_of(scores).xp.max(scores, axis=1) - scores[:, 0]


OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "raise": ({"on_nan": "raise"}, {}),
    "skip": ({"on_nan": "skip"}, {}),
    "metrics": ({"metrics": ["accuracy", train.TopKAccuracy(2), margin]}, {}),
    "validation": ({}, {"validation_data": (X, Y)}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(device: Device, name: str) -> None:
    options, trained = OPTIONS[name]
    assert_no_waits(device, arrays, lambda model: optim.Adam(model), options, **trained)


def test_measures_of_numbers(device: Device) -> None:
    def make(steps: int) -> Given:
        n = 10 * steps
        return classifier(), nn.MSELoss(), DataLoader((X[:n], X[:n, :3]), 10)

    metrics = ["binary_accuracy", "mae", "mse"]
    assert_no_waits(device, make, options={"metrics": metrics})


def test_rollback_reads_after_steps_whose_number_is_a_power_of_two(device: Device) -> None:
    counts, model = Counts(device), classifier()
    options: dict[str, Any] = {"callbacks": [counts], "on_nan": "rollback"}
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model), **options)
    trainer.fit((X, Y), batch_size=1, progress=False)
    steps = zip(counts.after, counts.after[1:], strict=False)
    read = [step for step, (before, after) in enumerate(steps, 2) if after > before]
    assert read == [2, 4, 8, 16, 32, 64]


def test_accumulated_batches(device: Device) -> None:
    def make(steps: int) -> Given:
        n = 10 * steps
        return classifier(), nn.CrossEntropyLoss(), DataLoader((X[:n], Y[:n]), 5)

    assert_no_waits(device, make, accumulate=2)


def test_evaluation(device: Device) -> None:
    model = classifier()
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model))
    reads = [0]
    for steps in (3, 9):
        loader = arrays(steps)[2]
        reads.append(device.reads)
        trainer.evaluate(loader)
        reads.append(device.reads - reads.pop())
    assert reads[1] == reads[2] > 0


# --- the test itself ------------------------------------------------------------------------------


class Curious(nn.Layer):
    """y = x, after something was asked of it."""

    def __init__(self, ask: Callable[[Any], Any]) -> None:
        self.ask = ask

    def vjp(self, x: Any, ctx: nn.Context) -> Any:
        self.ask(x)
        return x, lambda dy: (dy, {})


def whole(x: Any) -> Any:
    xp = pn.backend_of(x).xp
    return xp.astype(x, xp.int64)


ASK: dict[str, Callable[[Any], Any]] = {
    "bool": lambda x: bool(x[0, 0] > 0),
    "float": lambda x: float(x[0, 0]),
    "int": lambda x: int(x[0, 0]),
    "index": lambda x: range(whole(x)[0, 0]),
    "to_numpy": lambda x: pn.backend_of(x).to_numpy(x),
    "dlpack": np.from_dlpack,
    "max": lambda x: max(x[0, :]),
    "print": repr,
    "whether numbers fit": lambda x: pn.asarray(whole(x), "uint8"),
}


@pytest.mark.parametrize("how", ASK)
def test_what_would_wait_is_seen(device: Device, how: str) -> None:
    def make(steps: int) -> Given:
        model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(), Curious(ASK[how])).initialize(0)
        return model, nn.CrossEntropyLoss(), arrays(steps)[2]

    with pytest.raises(AssertionError, match="a step reads from the device"):
        assert_no_waits(device, make)


@pytest.mark.parametrize("ask", [lambda x: x[x > 0], lambda x: array_api_strict.nonzero(x)])
def test_shapes_that_depend_on_values_are_refused(device: Device, ask: Any) -> None:
    model = nn.Sequential(nn.Linear(4, 3), Curious(ask)).initialize(0)
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model))
    with pytest.raises(RuntimeError, match=r"boolean_indexing|data_dependent_shapes"):
        trainer.fit((X, Y), progress=False)


# --- on a GPU -------------------------------------------------------------------------------------


class HoldUp(pn.Callback):
    """Keeps the GPU from going on after the third step until the ninth was asked for."""

    def __init__(self) -> None:
        self.asked, self.in_time = Event(), False

    def hold(self, _: Any) -> None:
        self.in_time = self.asked.wait(timeout=60.0)  # only a step that waits takes so long

    def on_step_end(self, trainer: pn.Trainer, step: int) -> None:
        if step == 3:
            import cupy

            cupy.cuda.get_current_stream().launch_host_func(self.hold, None)
        elif step == 9:
            self.asked.set()


@pytest.mark.gpu
@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: type(t).__name__)
def test_steps_go_on_while_the_gpu_is_held_up(transform: Any) -> None:
    if reason := pn.available_backends()["cupy"]:
        pytest.skip(f"cupy: {reason}")
    with pn.use_backend("cupy"):
        for callbacks in ([], [held := HoldUp()]):  # first what is compiled and allocated once
            model = classifier()
            optimizer = optim.Adam(model, transforms=[transform])
            trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks)
            trainer.fit((X, Y), batch_size=10, shuffle=False, progress=False)
    assert held.in_time

"""Batches from main memory: brought one by one, in order, and on a GPU beside the work."""

import random
import sys
from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import cuda_streams
import numpy as np
import pytest
from portanet_cupy import CupyBackend, transfer
from portanet_numpy import NumpyBackend

import portanet as pn
from portanet import nn, optim
from portanet.data import DataLoader

# --- CuPy's streams, played on the CPU ------------------------------------------------------------


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[cuda_streams.Device]:
    device = cuda_streams.Device()
    monkeypatch.setitem(sys.modules, "cupy", device)
    transfer.stream.cache_clear()
    yield device
    transfer.stream.cache_clear()


def backend_on(device: cuda_streams.Device) -> CupyBackend:
    backend = object.__new__(CupyBackend)  # without a driver
    backend.xp, backend.device, backend.dtype = device, device, "float32"
    return backend


def test_every_step_reads_its_own_batch(device: cuda_streams.Device) -> None:
    """However the streams go on, and however long a batch is kept."""
    for seed in range(200):
        seen = steps_in_an_order(device, random.Random(seed))
        assert seen == sorted(seen), f"seed {seed}"
        assert set(seen) == set(range(12))


def steps_in_an_order(device: cuda_streams.Device, choose: random.Random) -> list[float]:
    """Return what steps read, some of them more than once, of batches that hold their number."""
    carrier, kept, seen = backend_on(device).overlapped(), list[Any](), list[float]()
    for number in range(12):
        array = carrier.asarray(np.full(2, number, "float32"))
        for _ in range(choose.randrange(1, 4)):
            device.work.ask(partial(lambda memory: seen.append(memory[1]), array.memory))
        kept = [*kept, array][choose.randrange(3) :]
        del array
        device.advance(choose, choose.randrange(12))
    device.advance(choose)
    assert not any(stream.queue for stream in device.streams)
    return seen


def test_a_batch_arrives_while_the_device_is_at_the_step_before(
    device: cuda_streams.Device,
) -> None:
    choose, backend = random.Random(0), backend_on(device)
    carrier = backend.overlapped()
    carrier.asarray(np.zeros(2, "float32"))
    device.advance(choose)
    device.work.ask(lambda: None)  # a long step
    array = carrier.asarray(np.ones(2, "float32"))
    device.advance(choose, held=device.work)
    assert device.arrived == 2
    carrier.asarray(np.ones(2, "float32"))
    device.advance(choose, held=device.work)
    assert device.arrived == 2  # one is staged, until the step is done
    device.advance(choose)
    assert device.arrived == 3
    assert array.memory.tolist() == [1.0, 1.0]


def test_copies_have_one_stream_and_what_is_brought_at_once_another(
    device: cuda_streams.Device,
) -> None:
    backend = backend_on(device)
    carriers = [backend.overlapped() for _ in range(2)]
    assert len(device.streams) == 2
    assert device.streams[1].non_blocking
    assert [carrier._copies for carrier in carriers] == 2 * device.streams[1:]
    backend.asarray(np.ones(2, "float32"))
    assert not device.streams[1].queue
    assert len(device.work.queue) == 1


# --- who asks for it ------------------------------------------------------------------------------

X = np.random.default_rng(0).standard_normal((20, 4)).astype("float32")
Y = np.arange(20) % 3


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was brought from main memory by a backend that is for batches, in order."""
    brought = list[Any]()

    class Carrier(NumpyBackend):
        def from_numpy(self, host: Any) -> Any:
            brought.append(np.array(host))
            return super().from_numpy(host)

    def overlapped(self: NumpyBackend) -> NumpyBackend:
        other = copy(self)
        other.__class__ = Carrier
        return other

    monkeypatch.setattr(NumpyBackend, "overlapped", overlapped)
    return brought


def trainer(**options: Any) -> pn.Trainer:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).initialize(0)
    optimizer = optim.SGD(model, lr=0.1, momentum=0.9)
    return pn.Trainer(model, nn.CrossEntropyLoss(), optimizer, **options)


def mapped(folder: Path) -> tuple[Any, Any]:
    np.save(folder / "x.npy", X)
    return np.load(folder / "x.npy", mmap_mode="r"), Y


def a_list(folder: Path) -> Any:
    return list(DataLoader((X, Y), 6))


def a_loader_that_changes(folder: Path) -> Any:
    return DataLoader((X, Y), 6, transform=lambda x, key, first: x)


def a_loader_of_maps(folder: Path) -> Any:
    return DataLoader(mapped(folder), 6)


ONE_BY_ONE = [mapped, a_list, a_loader_that_changes, a_loader_of_maps]


@pytest.mark.parametrize("form", ONE_BY_ONE)
def test_batches_come_when_they_are_needed(
    form: Callable[[Path], Any], carried: list[Any], tmp_path: Path
) -> None:
    class Count(pn.Callback):
        def on_fit_begin(self, trainer: pn.Trainer) -> None:
            carried.clear()  # two samples, on which what was given was tried

        def on_step_end(self, trainer: pn.Trainer, step: int) -> None:
            xs = [part for part in carried if part.ndim == 2]
            np.testing.assert_array_equal(np.concatenate(xs), X[: 6 * step])

    options = {"batch_size": 6, "shuffle": False} if form is mapped else {}
    trainer(callbacks=[Count()]).fit(form(tmp_path), progress=False, **options)
    assert len(carried) == 8


def test_arrays_are_brought_at_once_and_never_again(carried: list[Any]) -> None:
    trainer().fit((X, Y), batch_size=6, progress=False)
    trainer().fit(DataLoader((X, Y), 6), progress=False)
    # One sample, to see whether they must be, and two, on which what was given is tried.
    assert [part.shape for part in carried] == 2 * [(1, 4), (1,), (2, 4), (2,)]


def test_a_loader_of_other_numbers_is_brought_batch_by_batch(carried: list[Any]) -> None:
    loader = DataLoader((X.astype("float64"), Y.astype("int8")), 6)
    one, other = trainer(), trainer()
    one.fit(loader, progress=False)
    assert [len(part) for part in carried] == [1, 1, 2, 2, 6, 6, 6, 6, 6, 6, 2, 2]
    other.fit(DataLoader((X, Y), 6), progress=False)
    assert one.history.steps == other.history.steps


def test_predict_and_evaluate_ask_for_it_too(carried: list[Any]) -> None:
    trainer().evaluate(list(DataLoader((X, Y), 6)))
    assert len(carried) == 8
    trainer().predict(DataLoader((X, Y), 6))
    assert len(carried) == 12


def test_no_batch_is_taken_beyond_the_last_step(carried: list[Any]) -> None:
    numbers = count()
    batches = ((X + next(numbers), Y) for _ in range(10))
    one = trainer()
    one.fit(batches, steps=3, progress=False)
    assert next(numbers) == 3
    one.fit(batches, steps=2, accumulate=2, progress=False)
    assert next(numbers) == 8
    assert len(carried) == 14


def test_a_broken_iterable_breaks_at_its_batch(carried: list[Any]) -> None:
    def batches() -> Iterator[Any]:
        yield X, Y
        yield X, Y
        raise OSError("the disk is gone")

    one = trainer()
    with pytest.raises(OSError, match="the disk is gone"):
        one.fit(batches(), progress=False)
    assert one.step == 2
    bad = np.where(np.arange(4) == 2, np.nan, X).astype("float32")
    with pytest.raises(ValueError, match="batch 2 of epoch 0: x contains"):
        trainer().fit([(X, Y), (X, Y), (bad, Y)], progress=False)
    assert len(carried) == 10  # the list's first batch once more, to try it out


def test_a_run_is_left_and_taken_up_between_batches(carried: list[Any], tmp_path: Path) -> None:
    def stop(trainer: pn.Trainer, step: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    ended, whole = trainer(), trainer()
    watch = pn.Callback()
    watch.on_step_end = stop  # type: ignore[method-assign]
    ended.callbacks.append(watch)
    with pytest.raises(KeyboardInterrupt):
        ended.fit(a_list(tmp_path), progress=False)
    ended.save(tmp_path / "run.safetensors")
    again = trainer()
    again.fit(a_list(tmp_path), resume=tmp_path / "run.safetensors", progress=False)
    whole.fit(a_list(tmp_path), progress=False)
    assert again.history.steps == whole.history.steps
    assert len(carried) == 22  # of them 3 batches to try the lists out


# --- the results ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ONE_BY_ONE)
def test_batches_one_by_one_train_as_arrays_do(
    form: Callable[[Path], Any], library: Any, tmp_path: Path
) -> None:
    library.select("float32")
    given, arrays = trainer(), trainer()
    options = {"batch_size": 6, "shuffle": False}
    given.fit(form(tmp_path), epochs=3, progress=False, **options if form is mapped else {})
    arrays.fit((X, Y), epochs=3, progress=False, **options)
    assert given.history.steps == arrays.history.steps
    for name, p in given.model.params.items():
        np.testing.assert_array_equal(library.host(p), library.host(arrays.model.params[name]))

"""Batches in parts on threads: the same bits whatever the number of threads, the same sums."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim
from portanet.train.batch import Batch
from portanet.train.parallel import Team

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3, 20, 20)).astype("float32")
Y = RNG.integers(0, 4, 200)


def network(*extra):
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), *extra, nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.3)),
        *(nn.Flatten(), nn.Linear(6 * 9 * 9, 4)),
    ).initialize(0)


def run(monkeypatch, threads, part, *extra, **options):
    backend = type(pn.set_backend("numpy"))
    monkeypatch.setenv("PORTANET_THREADS", str(threads))
    if part != "own":
        monkeypatch.setattr(backend, "part_size", lambda self, shape: part)
    model = network(*extra)
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model, lr=0.01))
    trainer.fit((X, Y), epochs=2, batch_size=72, progress=False, **options)
    return trainer


@pytest.mark.parametrize("part", ["own", 7])
def test_the_number_of_threads_changes_no_bit(monkeypatch, part):
    weight = RNG.uniform(0.1, 2.0, 200)
    runs = [run(monkeypatch, n, part, sample_weight=weight) for n in (1, 2, 3, 16)]
    for other in runs[1:]:
        assert other.history.steps == runs[0].history.steps
        for name, p in runs[0].model.params.items():
            np.testing.assert_array_equal(other.model.params[name], p)


def test_other_parts_agree_but_for_rounding(monkeypatch):
    whole, parts = run(monkeypatch, 1, None), run(monkeypatch, 2, 10)
    np.testing.assert_allclose(whole.history.steps["loss"], parts.history.steps["loss"], rtol=1e-4)
    first = [run.history.steps["loss"][0] for run in (whole, parts)]
    assert first[0] == pytest.approx(first[1], rel=1e-6)
    assert whole.history["accuracy"][0] == pytest.approx(parts.history["accuracy"][0], abs=0.02)


def test_a_network_with_batch_norm_is_not_cut(monkeypatch):
    backend, model = pn.set_backend("numpy"), network(nn.BatchNorm2d(6))
    batch = Batch(X, Y, None)
    assert [part.first for part in Team(backend, model).parts(batch)] == [0]
    firsts = [part.first for part in Team(backend, network()).parts(batch)]
    assert firsts == [0, 32, 64, 96, 128, 160, 192]
    several = run(monkeypatch, 2, 10, nn.BatchNorm2d(6))
    one = run(monkeypatch, 1, None, nn.BatchNorm2d(6))
    assert several.history.steps == one.history.steps


def test_parts_cover_a_batch_with_its_weights():
    parts = list(Team(pn.set_backend("numpy"), network()).parts(Batch(X, Y, Y * 1.0)))
    np.testing.assert_array_equal(np.concatenate([part.batch.x for part in parts]), X)
    np.testing.assert_array_equal(np.concatenate([part.batch.weight for part in parts]), Y)


def test_an_error_in_a_part_comes_out_and_nothing_hangs(monkeypatch):
    monkeypatch.setenv("PORTANET_THREADS", "2")
    backend = pn.set_backend("numpy")

    def fails(item):
        if item == 3:
            raise ZeroDivisionError(item)
        return item

    with Team(backend, network()) as team:
        assert team.map(fails, [0, 1, 2]) == [0, 1, 2]
        with pytest.raises(ZeroDivisionError):
            team.map(fails, [0, 1, 2, 3])
        with pytest.raises(ZeroDivisionError):
            team.map(fails, [3, 1])


def test_a_wrong_number_of_threads_is_said(monkeypatch):
    monkeypatch.setenv("PORTANET_THREADS", "many")
    with pytest.raises(ValueError, match="PORTANET_THREADS, must be 1 or more, got 'many'"):
        pn.set_backend("numpy")


def test_running_statistics_follow_accumulated_batches_one_by_one(monkeypatch):
    def statistics(**options):
        model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1200), nn.Linear(1200, 4))
        trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=0.0))
        trainer.fit((X, Y), progress=False, **options)
        return model.buffers

    monkeypatch.setenv("PORTANET_THREADS", "3")
    single, accumulated = statistics(batch_size=50), statistics(batch_size=50, accumulate=4)
    assert int(accumulated["1.num_batches_tracked"]) == 4
    for name, array in single.items():
        np.testing.assert_allclose(accumulated[name], array, rtol=1e-5)


def test_evaluation_in_parts_is_that_of_the_whole(monkeypatch):
    parts, whole = run(monkeypatch, 2, 7), run(monkeypatch, 2, 7)
    monkeypatch.setattr(type(pn.get_backend()), "part_size", lambda self, shape: None)
    expected = whole.evaluate((X, Y))
    monkeypatch.setattr(type(pn.get_backend()), "part_size", lambda self, shape: 7)
    assert parts.evaluate((X, Y)) == pytest.approx(expected, rel=1e-6)
    monkeypatch.delenv("PORTANET_THREADS")
    with pytest.raises(ValueError, match="must be 1 or more, got 0"):
        pn.set_backend("numpy", threads=0)
    with pytest.raises(TypeError, match=r"backend 'numpy' has no option 'thread'.*'threads'"):
        pn.set_backend("numpy", thread=2)


def test_the_threads_of_the_selected_backend_are_the_trainers():
    pn.set_backend("numpy", threads=3)
    model = network()
    assert model.backend.threads == 3
    assert model.to(dtype="float64").backend.dtype == "float64"
    assert model.backend.threads == 3


@pytest.fixture
def blas_threads() -> Iterator[Callable[[], list[int]]]:
    """Each BLAS has two threads; the function says how many it has now."""
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads() -> list[int]:
        pools = threadpoolctl.threadpool_info()
        return [pool["num_threads"] for pool in pools if pool["user_api"] == "blas"]

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        yield threads


def test_blas_threads_come_back_however_runs_overlap(blas_threads) -> None:
    before = blas_threads()
    one, other = (pn.set_backend("numpy").one_thread_each() for _ in range(2))
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)  # the first to begin ends first
    assert set(blas_threads()) <= {1}
    other.__exit__(None, None, None)
    assert blas_threads() == before


def test_blas_threads_are_held_back_from_any_thread(blas_threads) -> None:
    """A limit is not left to the thread that was the first to set one, the caller's or a run's."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    backend, before = pn.set_backend("numpy"), blas_threads()

    def run() -> list[int]:
        with backend.one_thread_each():
            return blas_threads()

    with ThreadPoolExecutor(1) as another:
        assert set(another.submit(run).result()) <= {1}
        assert blas_threads() == before
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            assert set(blas_threads()) <= {1}
        assert set(run()) <= {1}
        assert set(another.submit(run).result()) <= {1}
        assert blas_threads() == before


def test_blas_threads_come_back_in_any_thread(blas_threads) -> None:
    backend, before = pn.set_backend("numpy"), blas_threads()
    begun, end = Event(), Event()

    def run() -> None:
        with backend.one_thread_each():
            begun.set()
            assert end.wait(60)

    with ThreadPoolExecutor(1) as another:
        with backend.one_thread_each():
            other = another.submit(run)
            assert begun.wait(60)
        assert set(blas_threads()) <= {1}
        end.set()
        other.result()
        assert blas_threads() == before


@pytest.mark.parametrize(
    ("model", "cut"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(1200, 4)), False),  # no window, images or not
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(648, 4)), True),
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(648, 1000)), False),
    ],
    ids=["flat", "narrow", "wide"],
)
def test_a_batch_is_cut_where_the_parts_gradients_cost_little(model, cut):
    backend = pn.set_backend("numpy")
    assert backend.part_size(X.shape) == 32
    assert (len(list(Team(backend, model).parts(Batch(X, Y, None)))) > 1) == cut


@pytest.mark.parametrize("threads", [1, 2])
def test_predictions_are_made_in_parts_and_stay_in_order(monkeypatch, threads):
    monkeypatch.setenv("PORTANET_THREADS", str(threads))
    pn.set_backend("numpy")
    model, seen = network(), []
    run = Team.map
    monkeypatch.setattr(Team, "map", lambda *a: seen.append(len(a[2])) or run(*a))
    scores = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model)).predict(X, batch_size=72)
    assert seen == [3, 3, 2]
    np.testing.assert_allclose(scores, model(X), rtol=1e-5, atol=1e-6)

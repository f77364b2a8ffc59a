"""DataLoader: every sample once, in an order that the seed decides, on any backend."""

import pickle
from copy import deepcopy
from itertools import chain

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim
from portanet.data import Compose, DataLoader

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10)


def labels(batches):
    return [y.tolist() for _, y in batches]


def test_in_order_with_a_last_partial_batch():
    loader = DataLoader((X, Y), batch_size=4)
    assert len(loader) == 3
    assert labels(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert labels(loader) == labels(loader)
    for x, y in loader:
        np.testing.assert_array_equal(x, X[y])


def test_drop_last():
    loader = DataLoader((X, Y), batch_size=4, drop_last=True)
    assert len(loader) == 2
    assert labels(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(DataLoader((X, Y), batch_size=5, drop_last=True)) == 2


@pytest.mark.parametrize("drop_last", [False, True])
def test_shuffled_epochs_are_permutations_keyed_by_seed_and_epoch(drop_last):
    loader = DataLoader((X, Y), 4, shuffle=True, seed=3, drop_last=drop_last)
    first, second = labels(loader), labels(loader)
    assert first != second
    if not drop_last:
        assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(10))
    assert labels(loader.batches(0)) == first
    again = DataLoader((X, Y), 4, shuffle=True, seed=3, drop_last=drop_last)
    assert [labels(again), labels(again)] == [first, second]
    assert labels(DataLoader((X, Y), 4, shuffle=True, seed=4).batches(0)) != first
    for x, y in loader.batches(5):
        np.testing.assert_array_equal(x, X[y])


def test_replacement_draws_full_batches_from_all_samples():
    loader = DataLoader((X, Y), batch_size=4, replacement=True)
    drawn = [y for epoch in range(300) for _, y in loader.batches(epoch)]
    assert {len(y) for y in drawn} == {4}
    counts = np.bincount(np.concatenate(drawn), minlength=10)
    assert counts.sum() == 3600
    assert abs(counts - 360).max() < 5 * np.sqrt(360)
    assert any(len(set(y.tolist())) < 4 for y in drawn)


def test_same_batches_on_every_backend(library):
    backend = library.backend
    expected = labels(DataLoader((X, Y), 4, shuffle=True))
    x, y = backend.asarray(X), backend.asarray(Y)
    batches = list(DataLoader((x, y), 4, shuffle=True))
    assert [backend.to_numpy(y).tolist() for _, y in batches] == expected
    assert all(pn.backend_of(x, y) is pn.backend_of(batches[0][0]) for x, y in batches)


def test_one_array_memory_maps_and_mixed_backends(tmp_path):
    assert [b[0].shape for b in DataLoader(X, 4)] == [(4, 2), (4, 2), (2, 2)]
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for x, y in DataLoader((mapped, Y), 4, shuffle=True):
        np.testing.assert_array_equal(x, X[y])
    with pn.use_backend("strict") as strict:
        there = strict.asarray(Y)
    for x, y in DataLoader((X, there), 4, shuffle=True):
        np.testing.assert_array_equal(x, X[strict.to_numpy(y)])


@pytest.mark.parametrize("options", [{"shuffle": True}, {"replacement": True}], ids=str)
def test_an_epochs_order_goes_to_a_device_once(options, monkeypatch):
    with pn.use_backend("strict", device="device1") as backend:
        loader = DataLoader((backend.asarray(X), backend.asarray(Y)), 4, **options)
        brought, bring = [], type(backend).from_numpy

        def noted(self, host):
            brought.append(host.shape)
            return bring(self, host)

        monkeypatch.setattr(type(backend), "from_numpy", noted)
        found = [backend.to_numpy(y).tolist() for _, y in loader.batches(0)]
    assert brought == [(12 if "replacement" in options else 10,)]
    assert found == labels(DataLoader((X, Y), 4, **options).batches(0))


@pytest.mark.parametrize("copied", [deepcopy, lambda loader: pickle.loads(pickle.dumps(loader))])
def test_a_copy_gives_the_same_batches(library, copied):
    loader = DataLoader((library.array(X), library.array(Y, "int64")), 4, shuffle=True, seed=3)
    next(iter(loader))
    pairs = zip(copied(loader), loader, strict=True)
    for batch, expected in pairs:
        for a, b in zip(batch, expected, strict=True):
            library.check(a, b.shape, str(b.dtype).rpartition(".")[2])
            np.testing.assert_array_equal(library.host(a), library.host(b))


def in_place(x, key, first):
    x += 1.0
    return x


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"replacement": True}], ids=str)
def test_a_transform_may_work_in_place(library, options):
    x, y = library.array(X.copy()), library.array(Y, "int64")
    loader = DataLoader((x, y), 4, transform=in_place, **options)
    for epoch in range(2):
        for batch, labels in loader.batches(epoch):
            np.testing.assert_array_equal(library.host(batch), X[library.host(labels)] + 1.0)
    np.testing.assert_array_equal(library.host(x), X)


@pytest.mark.parametrize("shuffle", [False, True])
def test_data_that_are_tried_out_stay_as_they_are(shuffle):
    x, model = X.astype("float32"), nn.Linear(2, 10)
    loader = DataLoader((x, Y), 4, shuffle=shuffle, transform=in_place)
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model))
    trainer.fit(loader, epochs=2, validation_data=loader, progress=False)
    np.testing.assert_array_equal(x, X.astype("float32"))


def test_what_is_no_transform_is_named():
    def halved(x):
        return x / 2

    def forgets(x, key, first):
        x += 1.0

    with pytest.raises(
        TypeError, match=r"transform must be a function transform\(x, key, first\), .* got .*halved"
    ):
        DataLoader(X, transform=halved)
    with pytest.raises(
        TypeError, match=r"Compose: expected a function transform\(x, key, first\), .* got .*halved"
    ):
        Compose([halved])
    loader = DataLoader(X, transform=Compose([forgets]))
    with pytest.raises(TypeError, match=r"forgets.* must return the changed x, got None"):
        next(iter(loader))


def test_a_transform_in_c_need_not_say_what_it_takes():
    loader = DataLoader(X, transform=min)
    with pytest.raises(TypeError, match=r"not supported between|ambiguous"):
        next(iter(loader))

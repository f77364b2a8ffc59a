"""The comparison of optimizers on SVHN, on files of little data."""

import argparse
import re
import signal
import sys

import numpy as np
import pytest
from small_data import cifar10_of_bars, mat, matrix, svhn, svhn_of_bars, write

import portanet as pn
from portanet import data, nn
from portanet.data import cifar10

N = 40  # images in a file of CIFAR-10
NAMES = ["sgd", "momentum", "adam", "dropout"]


@pytest.fixture
def svhn_mlp(example, data_folder, tmp_path, monkeypatch):
    """The program, in an empty folder, with a small CIFAR-10 to be found."""
    monkeypatch.setattr(cifar10, "RECORDS", N)
    write(data_folder / "cifar-10-batches-bin", cifar10_of_bars(N))
    monkeypatch.chdir(tmp_path)
    return example("svhn_mlp")


@pytest.fixture
def pictures(svhn_mlp):
    pn.set_backend("numpy")
    return svhn_mlp.load("cifar10", quick=False)


def run(program, *options):
    return program.main(["--data", "cifar10", "--backend", "numpy", *options])


def table(out):
    """Return the lines of the printed table: name to epoch, validation and test accuracy."""
    found = re.findall(r"^(\w+) +\S+ +\S+ +(\d+) +(0\.\d{4}|1\.0000) +(\S+)$", out, re.MULTILINE)
    return {name: (int(epoch), float(v), float(t)) for name, epoch, v, t in found}


def test_all_variants(svhn_mlp, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert run(svhn_mlp, "--epochs", "6", "--plot", "p.png") == 0
    out = capsys.readouterr().out
    assert "180 images train, 20 validate, 40 test" in out
    results = table(out)
    assert list(results) == NAMES
    assert all(1 <= epoch <= 6 for epoch, _, _ in results.values())
    name = re.search("the weights of (.*), written to svhn_mlp.npz", out)[1]
    assert results[name][1] == max(validation for _, validation, _ in results.values())
    assert results[name][2] > 0.9
    # Read again into a network that began elsewhere.
    assert f"test accuracy {results[name][2]:.4f} on CIFAR-10" in out
    assert (tmp_path / "p.png").stat().st_size > 10_000
    with np.load("svhn_mlp.npz", allow_pickle=False) as file:
        assert {name: file[name].shape for name in file.files} == {
            "hidden.weight": (512, 3072),
            "hidden.bias": (512,),
            "scores.weight": (10, 512),
            "scores.bias": (10,),
        }


def test_svhn_from_its_matlab_files(svhn_mlp, data_folder, capsys):
    pytest.importorskip("scipy")
    files = {"train_32x32.mat": svhn_of_bars(100), "test_32x32.mat": svhn_of_bars(30)}
    write(data_folder / "svhn", files)
    options = ["--backend", "numpy", "--epochs", "6", "--variants", "adam"]
    assert svhn_mlp.main(options) == 0
    out = capsys.readouterr().out
    assert "data: SVHN; 90 images train, 10 validate, 30 test" in out
    assert list(table(out)) == ["adam"]
    assert table(out)["adam"][2] > 0.8


def test_arrays_that_do_not_fit_each_other(svhn_mlp, data_folder, capsys):
    pytest.importorskip("scipy")
    images, labels = svhn(6)
    unequal = mat(matrix("X", images), matrix("y", labels[:5], mat_class=6))
    write(data_folder / "svhn", {"train_32x32.mat": unequal, "test_32x32.mat": unequal})
    assert svhn_mlp.main(["--backend", "numpy"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "train_32x32.mat: X holds 6 images, so y must have shape (6, 1), got (5, 1)" in line


def test_missing_svhn(svhn_mlp, capsys):
    pytest.importorskip("scipy")
    assert svhn_mlp.main(["--backend", "numpy"]) == 2
    what, why, remedy = capsys.readouterr().err.splitlines()
    assert what.startswith("svhn_mlp: missing in ")
    assert "train_32x32.mat" in what
    assert "pip install pooch" in why
    for words in ("http://ufldl.stanford.edu", "PORTANET_DATA", "; or take", "--data cifar10"):
        assert words in remedy


def test_svhn_without_scipy(svhn_mlp, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert svhn_mlp.main(["--backend", "numpy"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install scipy" in line
    assert "--data cifar10" in line


def test_missing_cifar10(svhn_mlp, data_folder, capsys):
    (data_folder / "cifar-10-batches-bin" / "test_batch.bin").unlink()
    assert run(svhn_mlp) == 2
    message = capsys.readouterr().err
    assert "test_batch.bin" in message
    assert "--data" not in message


def test_the_published_split(svhn_mlp, monkeypatch):
    """The last 3,257 of 73,257 images validate; scaled by the mean and deviation of all."""
    assert 73_257 - svhn_mlp.HELD_OUT == 70_000
    monkeypatch.setattr(svhn_mlp, "HELD_OUT", 7)
    pn.set_backend("numpy")
    found = svhn_mlp.load("cifar10", quick=False)
    (x, y), test = data.load_cifar10()
    mean, std = x.mean(axis=(0, 2, 3)), x.std(axis=(0, 2, 3))
    for part, (images, labels) in (
        (found.train, (x[:-7], y[:-7])),
        (found.validation, (x[-7:], y[-7:])),
        (found.test, test),
    ):
        scaled = (images - mean[:, None, None]) / std[:, None, None]
        np.testing.assert_allclose(part[0], scaled, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(part[1], labels)


def test_quick_takes_little_data(svhn_mlp, monkeypatch, capsys):
    monkeypatch.setattr(svhn_mlp, "QUICK", 30)
    assert run(svhn_mlp, "--quick", "--variants", "sgd") == 0
    out = capsys.readouterr().out
    assert "27 images train, 3 validate, 30 test" in out
    assert "epoch 2/2" in out


def test_the_best_epoch_is_kept(svhn_mlp, pictures):
    """It is not the last one where validation has wrong labels, which no network learns."""
    x, y = pictures.validation
    pictures = pictures._replace(validation=(x, np.roll(y, 1)))
    args = argparse.Namespace(settings="published", epochs=6, seed=0)
    result = svhn_mlp.train(svhn_mlp.Variant(svhn_mlp.momentum, lr=0.003), pictures, args)
    validation = result.history["val_accuracy"]
    assert result.validation == max(validation) > validation[-1]
    assert result.epoch == validation.index(max(validation)) + 1
    assert svhn_mlp.accuracy(result.model, pictures.validation) == result.validation
    assert svhn_mlp.accuracy(result.model, pictures.test) == result.test


@pytest.mark.parametrize("settings", ["tuned", "published"])
def test_rates(svhn_mlp, pictures, settings):
    few = pictures._replace(train=tuple(part[:2] for part in pictures.train))
    args = argparse.Namespace(settings=settings, epochs=6, seed=0)
    for variant in svhn_mlp.SETTINGS[settings].values():
        rates = svhn_mlp.train(variant, few, args).history.steps["lr"]
        assert max(rates) == pytest.approx(variant.lr, rel=0.1)
        assert (len(set(rates)) == 1) == (settings == "published")


def test_the_study_decays_after_fifty_epochs(svhn_mlp, pictures):
    few = pictures._replace(train=tuple(part[:2] for part in pictures.train))
    args = argparse.Namespace(settings="published", epochs=51, seed=0)
    history = svhn_mlp.train(svhn_mlp.SETTINGS["published"]["sgd"], few, args).history
    assert history["lr"] == pytest.approx([0.01] * 50 + [0.0099])


def test_published_settings(svhn_mlp):
    """Of the study: SGD, rate 0.01, 30 epochs of batches of 100; weights N(0, 0.02), biases 0."""
    args = svhn_mlp.parse(["--settings", "published"])
    assert (args.epochs, svhn_mlp.BATCH, args.variants) == (30, 100, NAMES)
    sgd = svhn_mlp.SETTINGS["published"]["sgd"]
    assert (sgd.optimizer, sgd.lr, sgd.dropout) == (svhn_mlp.optim.SGD, 0.01, 0.0)


def test_all_variants_begin_alike(svhn_mlp, pictures, monkeypatch):
    begun = {}

    def fit(trainer, *args, **options):
        dropout = trainer.model["dropout"].p
        begun[dropout] = {n: np.array(p) for n, p in trainer.model.params.items()}
        return trainer.history

    monkeypatch.setattr(pn.Trainer, "fit", fit)
    args = argparse.Namespace(settings="tuned", epochs=1, seed=0)
    for variant in svhn_mlp.SETTINGS["tuned"].values():
        assert svhn_mlp.train(variant, pictures, args) is None
    plain, dropped = begun.values()
    for name, array in plain.items():
        np.testing.assert_array_equal(array, dropped[name])
    assert plain["hidden.weight"].std() == pytest.approx(0.02, rel=0.01)
    assert not plain["hidden.bias"].any()


def printed(capsys):
    """Return what was printed, but for the times."""
    return re.sub(r"  \S+ samples/s .*", "", capsys.readouterr().out)


def test_the_same_seed_prints_the_same(svhn_mlp, capsys):
    outs = []
    for seed in ("3", "3", "4"):
        assert run(svhn_mlp, "--epochs", "1", "--seed", seed, "--variants", "dropout") == 0
        outs.append(printed(capsys))
    assert outs[0] == outs[1] != outs[2]


def test_on_torch(svhn_mlp, capsys):
    pytest.importorskip("torch")
    assert run(svhn_mlp, "--backend", "torch", "--epochs", "6", "--variants", "adam") == 0
    out = capsys.readouterr().out
    assert "backend torch" in out
    assert table(out)["adam"][2] > 0.9


@pytest.fixture
def ctrl_c(monkeypatch, pythons_handler):
    """Press Ctrl-C in the k-th evaluation of the loss."""

    def press_in(k):
        original, calls = nn.CrossEntropyLoss.vjp, []

        def vjp(*args, **options):
            calls.append(1)
            if len(calls) == k:
                signal.raise_signal(signal.SIGINT)
            return original(*args, **options)

        monkeypatch.setattr(nn.CrossEntropyLoss, "vjp", vjp)

    return press_in


def test_interrupted_in_the_second_variant(svhn_mlp, tmp_path, ctrl_c, capsys):
    pytest.importorskip("matplotlib")
    steps = 2  # in an epoch of 180 images
    ctrl_c(6 * (steps + 1) + 1 + 2)
    assert run(svhn_mlp, "--epochs", "6", "--plot", "p.png") == 130
    out = capsys.readouterr().out
    assert list(table(out)) == ["sgd"]
    assert "the weights of sgd, written to svhn_mlp.npz" in out
    assert (tmp_path / "svhn_mlp.npz").is_file()
    assert (tmp_path / "p.png").is_file()


def test_interrupted_in_the_first_epoch(svhn_mlp, tmp_path, ctrl_c, capsys):
    pytest.importorskip("matplotlib")
    ctrl_c(1)
    assert run(svhn_mlp, "--plot", "p.png") == 130
    assert table(capsys.readouterr().out) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize(
    "options",
    [["--data", "mnist"], ["--variants", "rmsprop"], ["--epochs", "0"], ["--save", "w.pt"]],
    ids=" ".join,
)
def test_bad_options(svhn_mlp, options, capsys):
    with pytest.raises(SystemExit) as caught:
        svhn_mlp.main(options)
    assert caught.value.code == 2
    assert f"argument {options[0]}" in capsys.readouterr().err


@pytest.mark.gpu
def test_on_a_gpu(svhn_mlp, capsys):
    if (reason := pn.available_backends()["cupy"]) is not None:
        pytest.skip(reason)
    assert svhn_mlp.main(["--data", "cifar10", "--quick", "--backend", "cupy"]) == 0
    assert "backend cupy" in capsys.readouterr().out

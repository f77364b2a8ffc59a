"""The table of optimizers, on digits that are bars: ten heights, one for each class."""

import os
import re
import signal
import subprocess
import sys
from math import sqrt

import numpy as np
import pytest
from small_data import idx, write

import portanet as pn
from portanet import nn, optim

NAMES = [
    *("sgd", "noise", "l1", "l2"),
    *("momentum", "l2-momentum", "nesterov"),
    *("adagrad", "adadelta", "rmsprop"),
    *("adam", "adamax", "nadam", "amsgrad"),
    *("dropout", "batch-norm", "mse", "shallow", "deep"),
    *("augmented", "wide"),
]


@pytest.fixture
def bars(data_folder):
    """MNIST's files, with 300 bars to train on and 100 to test on."""
    rng = np.random.default_rng(0)
    files = {}
    for name, n in (("train", 300), ("t10k", 100)):
        labels = np.arange(n) % 10
        images = rng.integers(0, 20, size=(n, 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 2 : 2 * label + 6, 4:24] = 255
        files |= {f"{name}-images-idx3-ubyte": idx(images)}
        files |= {f"{name}-labels-idx1-ubyte": idx(labels)}
    write(data_folder / "mnist", files)


@pytest.fixture
def program(example):
    return example("mnist_optimizers")


@pytest.fixture
def table(example):
    """The module of the variants."""
    return example("mnist_variants")


def rows(out):
    """Return the table's rows by name: settings, accuracy, epoch, and what stands after the time.

    Of two runs with the same seed, only the seconds differ.
    """
    lines = out.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("variant "))
    found = {}
    for line in lines[start + 1 :]:
        if re.fullmatch(r"[a-z0-9-]+  .*", line):
            name, settings, best, epoch, seconds, *rest = re.split(r"  +", line)
            assert float(seconds) >= 0
            found[name] = (settings, float(best), int(epoch), *rest)
    return found


@pytest.mark.usefixtures("bars")
def test_the_whole_table_and_its_plot(run_example, tmp_path):
    pytest.importorskip("matplotlib")
    plot = tmp_path / "curves.svg"
    done = run_example(
        "mnist_optimizers", "--quick", "--backend", "numpy", "--jobs", "2", "--plot", str(plot)
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "MNIST: 300 images to train on, 100 to test on; 2 epochs" in done.stdout
    found = rows(done.stdout)
    assert list(found) == NAMES
    assert all(0 < best <= 1 and epoch in (1, 2) for _, best, epoch, *_ in found.values())
    assert found["l2-momentum"][3:] == ("0.9788 (70)",)
    assert found["dropout"][0] == "SGD(lr 0.5→0), SiLU, dropout 0.2, 784–64–10"
    assert found["wide"][3:] == ()
    assert f"plot written to {plot}" in done.stdout
    assert plot.read_text().count("<path") > len(NAMES)


@pytest.mark.usefixtures("bars")
def test_the_same_seed_gives_the_same_table_in_any_number_of_jobs(program, capfd):
    tables = []
    for options in (["--jobs", "1"], ["--jobs", "2"], ["--jobs", "2", "--seed", "4"]):
        chosen = ["--only", "augmented,sgd,dropout", "--epochs", "1", "--backend", "numpy"]
        assert program.main(chosen + options) == 0
        tables.append(rows(capfd.readouterr().out))
    assert list(tables[0]) == ["sgd", "dropout", "augmented"]
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]


@pytest.mark.usefixtures("bars")
@pytest.mark.parametrize("name", NAMES)
def test_each_variant_learns(program, table, name):
    pn.set_backend("numpy")
    outcome = program.train(table.VARIANTS[name], seed=0, epochs=20, quick=False)
    assert len(outcome.accuracies) == 20
    assert outcome.best == max(outcome.accuracies) > 0.9


@pytest.mark.usefixtures("bars")
@pytest.mark.parametrize("name", ["batch-norm", "mse", "augmented"])
def test_the_same_on_every_library(library, program, table, name):
    found = program.train(table.VARIANTS[name], seed=0, epochs=2, quick=False).accuracies
    pn.set_backend("numpy", dtype="float64")
    expected = program.train(table.VARIANTS[name], seed=0, epochs=2, quick=False).accuracies
    assert found == pytest.approx(expected, abs=0.011)  # an image of a hundred


@pytest.mark.usefixtures("bars")
def test_the_last_epochs_accuracy_is_that_of_the_test_images(program, table, monkeypatch):
    kept = []
    monkeypatch.setattr(nn.Sequential, "initialize", initialize_and_keep(kept))
    pn.set_backend("numpy")
    outcome = program.train(table.VARIANTS["augmented"], seed=0, epochs=3, quick=False)
    _, (images, labels) = program.digits(False)
    scores = kept[0](images.reshape(100, 784))
    assert outcome.accuracies[-1] == pytest.approx(np.mean(scores.argmax(axis=1) == labels))


def initialize_and_keep(kept):
    initialize = nn.Sequential.initialize

    def initialized(self, *args, **options):
        kept.append(initialize(self, *args, **options))
        return kept[-1]

    return initialized


@pytest.mark.usefixtures("bars")
def test_all_start_from_the_studys_weights(program, table, monkeypatch):
    kept, weights = [], {}
    monkeypatch.setattr(nn.Sequential, "initialize", initialize_and_keep(kept))
    monkeypatch.setattr(pn.Trainer, "fit", lambda *args, **options: None)
    pn.set_backend("numpy")
    for name in ("sgd", "nadam", "wide"):
        program.train(table.VARIANTS[name], seed=1, epochs=1, quick=True)
        weights[name] = kept[-1].params
    np.testing.assert_array_equal(weights["sgd"]["0.weight"], weights["nadam"]["0.weight"])
    deviation = sqrt(6 / (784 + 400))
    assert weights["wide"]["0.weight"].std() == pytest.approx(deviation, rel=0.01)
    assert [p.shape for p in weights["sgd"].values() if p.ndim > 1] == [
        (100, 784),
        (30, 100),
        (10, 30),
    ]
    assert not any(p.any() for p in weights["wide"].values() if p.ndim == 1)


SGD = {"momentum": 0.0, "weight_decay": 0.0, "nesterov": False}
# From the study: figure, epochs, activation, optimizer and what its options are.
PUBLISHED = {
    "sgd": (0.9758, 48, "ReLU", "SGD", SGD | {"lr": 0.05}),
    "noise": (0.9759, 28, "ReLU", "SGD", SGD | {"lr": 0.05}),
    "l1": (0.9715, 14, "ReLU", "SGD", SGD | {"lr": 0.05}),
    "l2": (0.9758, 38, "ReLU", "SGD", SGD | {"lr": 0.05, "weight_decay": 1e-4}),
    "momentum": (0.9770, 36, "ReLU", "SGD", SGD | {"lr": 0.005, "momentum": 0.9}),
    "l2-momentum": (
        0.9788,
        70,
        "ReLU",
        "SGD",
        {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": False},
    ),
    "nesterov": (0.9526, 40, "Sigmoid", "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adagrad": (0.9495, 40, "Sigmoid", "Adagrad", {"lr": 0.05, "eps": 1e-8}),
    "adadelta": (0.9641, 70, "Sigmoid", "Adadelta", {"rho": 0.9, "eps": 1e-8}),
    "rmsprop": (0.9669, 70, "Sigmoid", "RMSprop", {"lr": 0.05, "alpha": 0.9, "eps": 1e-8}),
    "adam": (0.9563, 40, "Sigmoid", "Adam", {"lr": 0.05, "betas": (0.9, 0.99), "amsgrad": False}),
    "adamax": (0.9704, 68, "Sigmoid", "Adamax", {"lr": 0.05, "betas": (0.9, 0.99)}),
    "nadam": (0.9240, 8, "ReLU", "NAdam", {"lr": 0.05}),
    "amsgrad": (0.9606, 70, "Sigmoid", "Adam", {"lr": 0.05, "amsgrad": True}),
    "dropout": (0.9754, 70, "ReLU", "SGD", SGD | {"lr": 0.5}),
    "batch-norm": (0.1135, 16, "ReLU", "SGD", SGD | {"lr": 0.05}),
}


def published(table, name):
    """Return a variant with the study's settings, its network and its optimizer."""
    variant = table.as_published(table.VARIANTS[name])
    model = variant.network().initialize()
    return variant, model, variant.optimizer(model, **variant.options)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_studys_settings(table, name):
    best, epochs, activation, kind, options = PUBLISHED[name]
    variant, model, optimizer = published(table, name)
    assert table.STUDY[name][:2] == (best, epochs)
    assert not variant.falling
    assert type(optimizer).__name__ == kind
    assert {key: optimizer.hyper[key] for key in options} == options
    layers = [type(layer).__name__ for layer in model.children.values()]
    extra = {"dropout": ["Dropout"]}.get(name, [])
    before = {"batch-norm": ["BatchNorm1d"]}.get(name, [])
    hidden = ["Linear", *before, activation, *extra]
    assert layers == hidden * (1 if name == "dropout" else 2) + ["Linear"]


def test_the_study_is_complete(table):
    assert table.STUDY.keys() == PUBLISHED.keys()


def test_the_studys_penalties_and_noise(table):
    (noise,) = published(table, "noise")[2].transforms
    for t in range(4):
        variance = noise.eta / (1 + t) ** noise.gamma
        assert sqrt(variance) == pytest.approx(0.05 / (1 + t) ** 10)
    (penalty,) = published(table, "l1")[2].transforms
    assert isinstance(penalty, optim.L1)
    assert (penalty.alpha, penalty.dead_zone, penalty.bias) == (1e-4, True, False)
    assert published(table, "l2")[2].decay_bias is False
    _, model, _ = published(table, "dropout")
    assert [p.shape for p in model.params.values() if p.ndim > 1] == [(64, 784), (10, 64)]
    assert [layer.p for layer in model.children.values() if isinstance(layer, nn.Dropout)] == [0.2]


@pytest.mark.usefixtures("bars")
def test_the_studys_table_is_without_what_it_has_not(program, capfd):
    options = ["--settings", "published", "--only", "wide,adam,mse", "--epochs", "1"]
    assert program.main([*options, "--jobs", "1", "--backend", "numpy"]) == 0
    out = capfd.readouterr().out
    ((name, (settings, *_)),) = rows(out).items()
    assert (name, settings) == ("adam", "Adam(lr 0.05, betas 0.9 0.99), Sigmoid")
    assert "0 of 1 reach the published accuracy" in out


@pytest.mark.usefixtures("bars")
def test_a_variant_that_diverges_leaves_the_table_whole(program, table, monkeypatch, capfd):
    steep = table.Variant("sgd", optim.SGD, {"lr": 1e30})
    monkeypatch.setitem(table.VARIANTS, "sgd", steep)
    options = ["--only", "sgd,momentum", "--epochs", "2", "--jobs", "1", "--backend", "numpy"]
    with np.errstate(all="ignore"):
        assert program.main(options) == 0
    found = rows(capfd.readouterr().out)
    assert found["sgd"] == ("SGD(lr 1e+30→0), SiLU", 0.0, 0, "0.9758 (48)", "diverged")
    assert found["momentum"][-1] == "0.9770 (36)"


def test_missing_data_is_one_message(program, capsys):
    assert program.main(["--quick", "--backend", "numpy"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("mnist_optimizers: missing in ")
    assert "PORTANET_DATA" in message.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "adam,adan"], "argument --only: adan: not among sgd, noise"),
        (["--only", ""], "argument --only: "),
        (["--only", "wide", "--settings", "published"], "argument --only: the study has no"),
        (["--settings", "best"], "argument --settings: "),
        (["--epochs", "0"], "argument --epochs: "),
        (["--jobs", "0"], "argument --jobs: "),
        (["--plot", "curves.txt"], "argument --plot: "),
    ],
)
def test_bad_options_are_told_before_training(program, monkeypatch, capsys, options, message):
    monkeypatch.setattr(program, "compare", None)
    with pytest.raises(SystemExit) as caught:
        program.main(options)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("bars", "pythons_handler")
def test_interrupted_in_the_first_step(program, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    loss = nn.CrossEntropyLoss.vjp

    def interrupted(*args, **options):
        monkeypatch.setattr(nn.CrossEntropyLoss, "vjp", loss)
        signal.raise_signal(signal.SIGINT)
        return loss(*args, **options)

    monkeypatch.setattr(nn.CrossEntropyLoss, "vjp", interrupted)
    plot = tmp_path / "curves.png"
    options = ["--epochs", "1", "--jobs", "1", "--backend", "numpy", "--plot", str(plot)]
    assert program.main(options) == 130
    assert rows(capsys.readouterr().out) == {}
    assert not plot.exists()


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a group of processes")
@pytest.mark.usefixtures("bars", "pythons_handler")
def test_interrupted_it_plots_what_is_done(program, tmp_path):
    pytest.importorskip("matplotlib")
    plot = tmp_path / "curves.png"
    options = ["--epochs", "40", "--jobs", "2", "--backend", "numpy", "--plot", str(plot)]
    command = [sys.executable, program.__file__, "--only", "shallow,wide,augmented", *options]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **streams, start_new_session=True) as process:
        shown = iter(process.stdout.readline, "")
        assert any(line.startswith("shallow ") for line in shown), process.stderr.read()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the jobs, too
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert out.endswith(f"plot written to {plot}\n")
    assert plot.is_file()

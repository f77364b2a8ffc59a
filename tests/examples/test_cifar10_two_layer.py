"""Two layers on CIFAR-10, their search and the convolutional variant, on little data."""

import re
import signal
import sys

import numpy as np
import pytest
from small_data import cifar10_of_bars, write

import portanet as pn
from portanet import data, nn, optim
from portanet.data import cifar10

N = 40  # images in a file of CIFAR-10


@pytest.fixture
def two_layer(example, data_folder, tmp_path, monkeypatch):
    """The program, in an empty folder, with a small CIFAR-10 to be found."""
    monkeypatch.setattr(cifar10, "RECORDS", N)
    write(data_folder / "cifar-10-batches-bin", cifar10_of_bars(N))
    monkeypatch.chdir(tmp_path)
    return example("cifar10_two_layer")


def run(program, *options):
    return program.main(["--backend", "numpy", *options])


def accuracy(out):
    return float(re.search(r"^test accuracy (\S+)", out, re.MULTILINE)[1])


@pytest.fixture
def hyper(monkeypatch):
    """Note the rate and the momentum of each update."""
    noted, step = [], optim.SGD.step

    def noting(optimizer, *args):
        noted.append((optimizer.hyper["lr"], optimizer.hyper["momentum"]))
        return step(optimizer, *args)

    monkeypatch.setattr(optim.SGD, "step", noting)
    return noted


# Two layers


def test_tuned(two_layer, hyper, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert run(two_layer, "--quick", "--plot", "p.png", "--save", "w.npz") == 0
    out = capsys.readouterr().out
    assert "total: 616,610 parameters" in out
    assert float(re.search("untrained: test accuracy (.*)", out)[1]) < 0.4
    assert re.search("^iteration   200  batch: loss .* test batch: loss", out, re.MULTILINE)
    assert accuracy(out) > 0.9
    assert "on 40 images after 200 iterations" in out
    rates, momenta = zip(*hyper, strict=True)
    assert len(rates) == 200
    assert rates[0] == 0.01
    assert rates[100] == pytest.approx(0.005)
    assert rates[-1] < 1e-6
    assert set(momenta) == {0.9}
    assert (tmp_path / "p.png").stat().st_size > 10_000
    with np.load("w.npz", allow_pickle=False) as file:
        assert file["hidden.weight"].shape == (200, 3072)


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_published(two_layer, hyper, monkeypatch, momentum):
    monkeypatch.setattr(two_layer, "ITERATIONS", 300)
    assert run(two_layer, "--settings", "published", "--quick", f"--momentum={momentum}") == 0
    assert hyper == [(0.01, momentum)] * 30


def test_published_settings(two_layer):
    assert (two_layer.BATCH, two_layer.ITERATIONS) == (40, 2000)
    model = two_layer.two_layers().initialize(0, weight=nn.HeNormal(), bias=0)
    weight = np.array(model.params["hidden.weight"])
    assert weight.shape == (200, 3072)
    assert weight.std() == pytest.approx(1 / np.sqrt(3072 / 2), rel=0.01)


def test_each_image_is_standardized(two_layer, data_folder):
    """One of a single color, too, which has no deviation."""
    path = data_folder / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(bytes([3]) + bytes([77]) * 3072 + path.read_bytes()[3073:])
    pn.set_backend("numpy")
    (x, y), (xt, yt) = two_layer.load(quick=False)
    assert (len(x), len(y), len(xt), len(yt)) == (5 * N, 5 * N, N, N)
    for images in (x, xt[1:]):
        np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), 0, atol=1e-5)
        np.testing.assert_allclose(images.std(axis=(1, 2, 3)), 1, rtol=1e-5)
    assert abs(xt[0]).max() < 1e-4
    raw = data.load_cifar10()[0][0][7]
    np.testing.assert_allclose(x[7], (raw - raw.mean()) / raw.std(), rtol=1e-3, atol=1e-5)


def test_what_is_noted_is_from_before_the_step(two_layer):
    pn.set_backend("numpy")
    train, test = (two_layer.flat(split) for split in two_layer.load(quick=False))
    model = two_layer.two_layers(20).initialize(0)
    batches = data.DataLoader(train, 30, shuffle=True)
    others = data.DataLoader(test, 10, replacement=True, seed=1)
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model, lr=0.01))
    begun = [
        float(trainer.evaluate(next(loader.batches(0)))["loss"]) for loader in (batches, others)
    ]
    curves = two_layer.Curves([], [])
    watched = two_layer.watched(model, batches, others, curves)
    history = trainer.fit(watched, steps=15, progress=False)  # two passes
    noted, other = (np.array(curve, dtype=float) for curve in curves)
    assert len(noted) == len(other) == 15
    np.testing.assert_allclose([noted[0, 0], other[0, 0]], begun, rtol=1e-5)
    np.testing.assert_allclose(noted[:, 0], history.steps["loss"], rtol=1e-5)
    assert len(set(other[:, 0])) == 15  # other images each time
    shares = noted[:, 1] * np.array([30, 30, 30, 30, 30, 30, 20] * 2 + [30])
    np.testing.assert_allclose(shares, np.round(shares), atol=1e-4)


def test_what_is_printed(two_layer, monkeypatch):
    monkeypatch.setattr(two_layer, "SHOWN", 2)
    curves = two_layer.Curves([(9, 9), (1, 0.25), (2, 0.75)], [(9, 9), (3, 0.0), (5, 0.5)])
    assert curves.recent() == (
        "batch: loss 1.500  accuracy 0.500   test batch: loss 4.000  accuracy 0.250"
    )


def test_the_same_seed_prints_the_same(two_layer, monkeypatch, capsys):
    monkeypatch.setattr(two_layer, "ITERATIONS", 400)
    monkeypatch.setattr(two_layer, "SHOWN", 20)
    outs = []
    for seed in ("3", "3", "4"):
        assert run(two_layer, "--quick", "--seed", seed) == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1] != outs[2]


def test_on_torch(two_layer, capsys):
    pytest.importorskip("torch")
    assert two_layer.main(["--quick", "--backend", "torch"]) == 0
    out = capsys.readouterr().out
    assert "backend torch" in out
    assert accuracy(out) > 0.9


def test_missing_data(two_layer, data_folder, capsys):
    (data_folder / "cifar-10-batches-bin" / "data_batch_3.bin").unlink()
    assert run(two_layer) == 2
    message = capsys.readouterr().err
    assert message.startswith("cifar10_two_layer: missing in ")
    for words in ("data_batch_3.bin", "PORTANET_DATA", "https://"):
        assert words in message


@pytest.fixture
def ctrl_c(monkeypatch, pythons_handler):
    """Press Ctrl-C in the k-th evaluation of a loss from now on."""

    def press_in(k):
        calls, original = [], nn.CrossEntropyLoss.vjp

        def vjp(*args, **options):
            calls.append(1)
            if len(calls) == k:
                signal.raise_signal(signal.SIGINT)
            return original(*args, **options)

        monkeypatch.setattr(nn.CrossEntropyLoss, "vjp", vjp)

    return press_in


@pytest.mark.parametrize(("model", "k"), [("two-layer", 10), ("cnn", 1)])
def test_interrupted(two_layer, ctrl_c, tmp_path, capsys, model, k):
    ctrl_c(k)
    assert run(two_layer, "--quick", "--model", model, "--save", "w.npz") == 130
    assert re.search("test accuracy .* after . iterations", capsys.readouterr().out)
    assert (tmp_path / "w.npz").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--momentum", "1"], "--momentum"),
        (["--momentum", "-0.1"], "--momentum"),
        (["--momentum", "nan"], "--momentum"),
        (["--search", "0"], "--search"),
        (["--study", "s.sqlite"], "--study"),
        (["--search", "2", "--model", "cnn"], "--search searches for two layers"),
        (["--search", "2", "--save", "w.npz"], "beside --study"),
    ],
)
def test_bad_options(two_layer, options, message, capsys):
    with pytest.raises(SystemExit) as caught:
        two_layer.main(options)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


# The convolutional variant


def test_convolutional(two_layer, monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(two_layer, "CNN_EPOCHS", 3)
    seen, fit = [], pn.Trainer.fit

    def fitted(trainer, batches, **options):
        seen.append((batches, options["validation_data"]))
        return fit(trainer, batches, **options)

    monkeypatch.setattr(pn.Trainer, "fit", fitted)
    assert run(two_layer, "--model", "cnn", "--plot", "p.png") == 0
    out = capsys.readouterr().out
    assert "total: 113,962 parameters" in out
    assert "epoch 3/3" in out
    assert accuracy(out) > 0.5
    assert (tmp_path / "p.png").stat().st_size > 10_000
    ((batches, (x, y)),) = seen
    assert (len(batches.arrays[0]), len(x), len(y)) == (180, 20, 20)
    (first, _), (second, _) = next(batches.batches(0)), next(batches.batches(1))
    rows = {image.tobytes() for image in batches.arrays[0]}
    changed = [image.tobytes() not in rows for image in np.concatenate((first, second))]
    assert np.mean(changed) > 0.9  # few are neither mirrored nor shifted
    held = {image.tobytes() for image in x}
    assert not held & rows


# The search


@pytest.fixture
def search(example, two_layer, monkeypatch):
    """The program, whose trials are short."""
    pytest.importorskip("optuna")
    module = example("cifar10_search")
    monkeypatch.setattr(module, "QUICK", 100)
    return two_layer


def found(path):
    """Return the table and the weights of a search."""
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
        weights = {name: file[name].tobytes() for name in file.files}
    return path.with_suffix(".csv").read_text(), weights


def searched(program, n, study, *options):
    return run(program, "--quick", "--search", str(n), "--study", str(study), *options)


def test_search(search, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    evaluated, evaluate = [], pn.Trainer.evaluate

    def noting(trainer, split, **options):
        evaluated.append(len(split[0]))
        return evaluate(trainer, split, **options)

    monkeypatch.setattr(pn.Trainer, "evaluate", noting)
    assert searched(search, 3, tmp_path / "s.db", "--plot", str(tmp_path / "s.png")) == 0
    # The 40 test images once, in the end; until then the 20 that validate.
    assert evaluated == [20] * 30 + [40]
    out = capsys.readouterr().out
    tables = out.split("the 3 trials, the best first\n")
    assert len(tables) == 2
    lines = [line.split() for line in tables[1].splitlines()[1:4]]
    assert sorted(line[0] for line in lines) == ["1", "2", "3"]
    values = [float(line[-1]) for line in lines]
    assert values == sorted(values, reverse=True)
    text, weights = found(tmp_path / "s.db")
    rows = [row.split(",") for row in text.splitlines()]
    assert rows[0][:3] == ["trial", "hidden", "lr"]
    (first,) = (row for row in rows if row[0] == "1")
    assert first[1:9] == ["200", "0.01", "0.9", "40", "2000", "1e-05", "0.0", "cosine"]
    assert len(np.frombuffer(weights["hidden.bias"], "f4")) == int(rows[1][1])  # of the best
    assert (tmp_path / "s.png").stat().st_size > 10_000
    model = search.two_layers(int(rows[1][1]))
    pn.load_weights(model, tmp_path / "s.npz")
    train, test = (search.flat(split) for split in search.load(quick=True))
    trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model))
    held = tuple(part[-20:] for part in train)
    assert trainer.evaluate(held)["accuracy"] == float(rows[1][-1])
    assert trainer.evaluate(test)["accuracy"] == pytest.approx(accuracy(out), abs=1e-4)


def test_a_search_goes_on_as_if_it_had_not_been_interrupted(search, tmp_path, ctrl_c, capsys):
    """By Ctrl-C in the first trial and in a later one, by a kill, by the number of trials."""
    whole, parts = tmp_path / "whole.db", tmp_path / "parts.db"
    assert searched(search, 5, whole) == 0
    ctrl_c(3)
    assert searched(search, 5, parts) == 130
    assert "goes on after 0 trials" in capsys.readouterr().out
    ctrl_c(180)
    assert searched(search, 5, parts) == 130
    after = int(re.search("goes on after (.) trials", capsys.readouterr().out)[1])
    assert 0 < after < 4
    killed(parts)
    assert searched(search, 4, parts) == 0
    assert f"parts.db holds {after} trials" in capsys.readouterr().out
    assert searched(search, 5, parts) == 0
    assert found(parts) == found(whole)
    assert len({row.split(",", 1)[1] for row in found(parts)[0].splitlines()}) == 6  # none twice


def killed(path):
    """Leave a trial behind that will never end."""
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    optuna.load_study(study_name=None, storage=storage).ask()
    storage.remove_session()
    storage.engine.dispose()


def test_trials_that_are_given_up(search, tmp_path, monkeypatch, capsys):
    """After 40 %, where the median of the first three is better; only the best are saved."""
    accuracies, made, saved = [0.3, 0.5, 0.6, 0.45, 0.55, 0.7], [], []

    def fit(trainer, *args, **options):
        if trainer not in made:
            made.append(trainer)
        return trainer.history

    def evaluate(trainer, split):
        return {"accuracy": accuracies[made.index(trainer)] if trainer in made else 0.1}

    save = pn.save_weights
    monkeypatch.setattr(pn.Trainer, "fit", fit)
    monkeypatch.setattr(pn.Trainer, "evaluate", evaluate)
    monkeypatch.setattr(pn, "save_weights", lambda *a: [saved.append(len(made)), save(*a)])
    assert searched(search, 6, tmp_path / "s.db") == 0
    listed, ranked = capsys.readouterr().out.split("the best first")
    for text in (listed, ranked):
        assert re.findall(r"^ +(\d) .*given up after (.*)$", text, re.MULTILINE) == [("4", "40%")]
    assert re.findall(r"^ +(\d) ", ranked, re.MULTILINE) == ["6", "3", "5", "2", "1", "4"]
    assert saved == [1, 2, 3, 6]
    done = [row.split(",")[-2] for row in found(tmp_path / "s.db")[0].splitlines()[1:]]
    assert done == ["1.0"] * 5 + ["0.4"]


@pytest.mark.parametrize("change", ["seed", "quick", "data"])
def test_searches_are_not_mixed(search, data_folder, tmp_path, capsys, change):
    study = tmp_path / "s.db"
    assert searched(search, 1, study) == 0
    before = study.read_bytes(), found(study)
    options = ["--search", "2", "--study", str(study), "--quick"]
    if change == "seed":
        options += ["--seed", "1"]
    elif change == "quick":
        options.remove("--quick")
    else:
        path = data_folder / "cifar-10-batches-bin" / "data_batch_1.bin"
        path.write_bytes(bytes([5]) + path.read_bytes()[1:])
    assert run(search, *options) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "s.db: holds a search of" in line
    assert "--study FILE.db" in line
    assert (study.read_bytes(), found(study)) == before


def test_what_is_no_study(search, tmp_path, capsys):
    (tmp_path / "s.db").write_text("no database")
    assert searched(search, 1, tmp_path / "s.db") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "s.db: cannot be read as a study: " in line


def test_weights_that_are_missing_or_others(search, tmp_path, capsys):
    study, weights = tmp_path / "s.db", tmp_path / "s.npz"
    assert searched(search, 1, study) == 0
    pn.save_weights(search.two_layers(7), weights)
    assert searched(search, 1, study) == 2
    assert "s.npz: not the weights of the best trial: " in capsys.readouterr().err
    weights.unlink()
    assert searched(search, 1, study) == 2
    assert "there is no weights file" in capsys.readouterr().err


def test_search_without_optuna(two_layer, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SystemExit) as caught:
        two_layer.main(["--search", "2"])
    assert caught.value.code == 2
    assert "pip install optuna" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.gpu
def test_on_a_gpu(two_layer, capsys):
    if (reason := pn.available_backends()["cupy"]) is not None:
        pytest.skip(reason)
    assert two_layer.main(["--quick", "--backend", "cupy"]) == 0
    assert "backend cupy" in capsys.readouterr().out

"""The convolutional network, as a reader would train it, on little data."""

import signal

import numpy as np
import pytest
from small_data import idx, write

import portanet as pn
from portanet import data, nn, optim


@pytest.fixture
def mnist_cnn(example):
    return example("mnist_cnn")


def bars(n, by_label=False):
    """Return images (N, 28, 28, 1) and labels: noise, and a bar at a height for each class."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 10
    labels = np.sort(labels) if by_label else labels
    images = rng.integers(0, 60, size=(n, 28, 28, 1), dtype="uint8")
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 2 : 2 * label + 6, 4:24] = 255
    return images, labels


def write_npz(path, n=300, by_label=False):
    images, labels = bars(n, by_label)
    np.savez(path, images=images, labels=labels)


def test_falls_back_to_the_digits_and_writes_weights_and_plot(mnist_cnn, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    weights, plot = tmp_path / "w.npz", tmp_path / "p.png"
    options = ["--epochs", "2", "--backend", "numpy", "--save", str(weights), "--plot", str(plot)]
    assert mnist_cnn.main(options) == 0
    out = capsys.readouterr().out
    assert "the embedded digits, enlarged to 28×28" in out
    assert "backend numpy on cpu" in out
    assert "total: 3,106 parameters" in out
    assert "epoch 2/2" in out
    accuracy = float(out.split("test accuracy ")[1].split()[0])
    assert accuracy > 0.8
    with np.load(weights, allow_pickle=False) as file:
        assert {name: file[name].shape for name in file.files} == {
            "c1.weight": (8, 1, 5, 5),
            "c1.bias": (8,),
            "c2.weight": (8, 8, 5, 5),
            "c2.bias": (8,),
            "f.weight": (10, 128),
            "f.bias": (10,),
        }
    assert plot.stat().st_size > 1000


@pytest.mark.parametrize(("optimizer", "by_label"), [("adam", False), ("nesterov", True)])
def test_own_images_from_an_npz_file(mnist_cnn, tmp_path, capsys, optimizer, by_label):
    write_npz(tmp_path / "mine.npz", by_label=by_label)
    options = ["--data", str(tmp_path / "mine.npz"), "--optimizer", optimizer, "--batch-size", "20"]
    assert mnist_cnn.main([*options, "--epochs", "6", "--lr", "0.02", "--backend", "numpy"]) == 0
    out = capsys.readouterr().out
    assert "300 images, shuffled; the first 30 test" in out
    assert float(out.split("test accuracy ")[1].split()[0]) > 0.9


def test_same_seed_prints_the_same(mnist_cnn, capsys):
    printed = []
    for options in ([], [], ["--augment"], ["--augment"]):
        options = [*options, "--epochs", "1", "--images", "500", "--seed", "3"]
        assert mnist_cnn.main([*options, "--backend", "numpy"]) == 0
        lines = capsys.readouterr().out.splitlines()
        printed.append([line.partition("  val_accuracy")[0] for line in lines])
    assert "val_loss" in printed[0][-2]
    assert printed[0] == printed[1]
    assert printed[2] == printed[3]
    assert printed[0][-2] != printed[2][-2]


def test_the_same_run_on_numpy_and_torch(mnist_cnn):
    pytest.importorskip("torch")
    (x, y), _ = data.load_digits(size=28)
    losses, weights, batches = {}, {}, {}
    for name in ("numpy", "torch"):
        with pn.use_backend(name) as backend:
            model = mnist_cnn.network().initialize(0)
            weights[name] = {n: np.array(backend.to_numpy(p)) for n, p in model.params.items()}
            trainer = pn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model, lr=0.01))
            trainer.fit((x, y), steps=50, batch_size=32, progress=False)
            losses[name] = trainer.history.steps["loss"]
            loader = data.DataLoader((backend.asarray(x), backend.asarray(y)), 32, shuffle=True)
            batches[name] = [backend.to_numpy(labels).tolist() for _, labels in loader]
    assert batches["numpy"] == batches["torch"]
    for n, array in weights["numpy"].items():
        np.testing.assert_array_equal(array, weights["torch"][n])
    np.testing.assert_allclose(losses["numpy"], losses["torch"], rtol=0, atol=1e-4)


@pytest.mark.skipif(
    pn.available_backends()["cupy"] is None, reason="a CUDA device answers here: CuPy works"
)
def test_cupy_without_cuda_ends_with_one_message(run_example):
    done = run_example("mnist_cnn", PORTANET_BACKEND="cupy")
    assert done.returncode == 2
    assert done.stderr.startswith("mnist_cnn: backend 'cupy' cannot be used: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_backend_ends_with_one_message(run_example):
    done = run_example("mnist_cnn", "--backend", "nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("mnist_cnn: unknown backend 'nonsense'")
    assert "numpy" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_missing_and_damaged_data_are_one_message(mnist_cnn, tmp_path, capsys):
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    for choice, message in (
        ("mnist", "PORTANET_DATA"),
        (str(tmp_path / "bad.npz"), "bad.npz"),
        (str(tmp_path / "missing.npz"), "missing.npz"),
    ):
        assert mnist_cnn.main(["--data", choice, "--backend", "numpy"]) == 2
        assert message in capsys.readouterr().err


def test_the_fewest_images_of_ones_own(mnist_cnn, tmp_path, capsys):
    write_npz(tmp_path / "few.npz", 10)
    options = ["--data", str(tmp_path / "few.npz"), "--epochs", "1", "--backend", "numpy"]
    assert mnist_cnn.main(options) == 0
    assert "on 1 images of few.npz" in capsys.readouterr().out


def test_the_images_held_out_are_the_same_for_all_seeds(mnist_cnn, tmp_path):
    write_npz(tmp_path / "mine.npz")
    first, second = (mnist_cnn.load(str(tmp_path / "mine.npz")) for _ in range(2))
    np.testing.assert_array_equal(first.test[0], second.test[0])
    both = np.concatenate((first.train[0], first.test[0]))
    assert len(np.unique(both.reshape(len(both), -1), axis=0)) == 300


X, Y = np.zeros((20, 28, 28), "u1"), np.arange(20) % 10


@pytest.mark.parametrize(
    ("images", "labels", "got"),
    [
        (X[:1], Y[:1], "(1, 1, 28, 28)"),
        (X[:2], Y[:2], "(2, 1, 28, 28)"),
        (X[:9], Y[:9], "(9, 1, 28, 28)"),
        (X, Y + 1, "labels 1 to 10"),
        (X, Y - 1, "labels -1 to 8"),
        (np.stack([X] * 3, axis=-1), Y, "(20, 3, 28, 28)"),
        (X[:, :8, :8], Y, "(20, 1, 8, 8)"),
    ],
)
def test_images_that_do_not_fit_are_one_message(mnist_cnn, tmp_path, capsys, images, labels, got):
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    assert mnist_cnn.main(["--data", str(tmp_path / "own.npz"), "--backend", "numpy"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "own.npz: expected at least 10 gray images (N, 28, 28) with labels 0 to 9" in line
    assert got in line


BAD_OPTIONS = [
    ["--epochs", "0"],
    ["--batch-size", "-8"],
    ["--images", "1.5"],
    ["--lr", "nan"],
    ["--bound", "-1"],
    ["--optimizer", "best"],
    ["--settings", "theirs"],
    ["--save", "w.pt"],
    ["--plot", "missing/p.png"],
    ["--log", "l.txt"],
    ["--target", "1.1"],
    ["--factor", "0"],
    ["--max-attempts", "0"],
    ["--jobs", "0"],
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=" ".join)
def test_bad_options_are_told_before_training(mnist_cnn, tmp_path, monkeypatch, capsys, options):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mnist_cnn, "run", None)
    with pytest.raises(SystemExit) as caught:
        mnist_cnn.main(["--search", *options])
    assert caught.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"error: argument {options[0]}: " in line
    assert options[1] in line


def test_on_mnist_in_its_folder(mnist_cnn, data_folder, capsys):
    images, labels = bars(120)
    parts = {"train": slice(0, 100), "t10k": slice(100, None)}
    for name, part in parts.items():
        files = {"images-idx3": images[part, ..., 0], "labels-idx1": labels[part]}
        contents = {f"{name}-{kind}-ubyte": idx(array) for kind, array in files.items()}
        write(data_folder / "mnist", contents)
    assert mnist_cnn.main(["--data", "mnist", "--quick", "--backend", "numpy"]) == 0
    out = capsys.readouterr().out
    assert "data: MNIST\nsettings: epochs 2, batch_size 128, lr 0.01, optimizer adam" in out
    assert "on 20 images of MNIST" in out


@pytest.fixture
def mine(mnist_cnn, tmp_path):
    write_npz(tmp_path / "mine.npz")
    return mnist_cnn.load(str(tmp_path / "mine.npz"))


def test_the_published_settings(mnist_cnn, mine, capsys):
    settings = mnist_cnn.PUBLISHED._replace(images=50, epochs=1)
    images = mnist_cnn.split(mine, settings)
    pixels, labels = mine.train
    for part, start, stop in ((images.validation, 0, 27), (images.train, 27, 77)):
        np.testing.assert_allclose(part[0], pixels[start:stop] * 255, rtol=1e-6)
        np.testing.assert_array_equal(part[1], labels[start:stop])
    np.testing.assert_allclose(images.test[0], mine.test[0] * 255, rtol=1e-6)
    assert images.blank == 0

    # The same by hand: image after image, in the trainer's order.
    model = mnist_cnn.network().initialize(3, weight=nn.Uniform(0.01), bias=nn.Uniform(0.01))
    assert 0.009 < max(abs(p).max() for p in model.params.values()) <= 0.01
    loss = nn.CrossEntropyLoss()
    for k in pn.Key(3).child("batches", 0).permutation(50):
        model.zero_grads()
        scores = model.forward(images.train[0][k : k + 1], training=True)
        _, pullback = loss.vjp(scores, images.train[1][k : k + 1])
        model.backward(pullback())
        for name, p in model.params.items():
            model.params[name] = p - 0.0001 * model.grads[name]
    trainer = mnist_cnn.trained(images, settings, 3)
    for name, p in trainer.model.params.items():
        np.testing.assert_allclose(p, model.params[name], rtol=1e-4, atol=1e-7)


@pytest.mark.usefixtures("pythons_handler")
def test_interrupted_in_the_first_epoch(mnist_cnn, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    loss = nn.CrossEntropyLoss.vjp

    def interrupted(*args, **options):
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(nn.CrossEntropyLoss, "vjp", loss)
        return loss(*args, **options)

    monkeypatch.setattr(nn.CrossEntropyLoss, "vjp", interrupted)
    weights, plot = tmp_path / "w.safetensors", tmp_path / "p.svg"
    options = ["--save", str(weights), "--plot", str(plot), "--backend", "numpy"]
    assert mnist_cnn.main(options) == 130
    out = capsys.readouterr().out
    assert "test accuracy" in out
    assert "no plot: no epoch was finished" in out
    assert weights.is_file()
    assert not plot.exists()


@pytest.mark.usefixtures("pythons_handler")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal_it_goes_on_when_started_again(
    mnist_cnn, tmp_path, monkeypatch, capsys, number
):
    options = ["--quick", "--backend", "numpy", "--data", "digits"]
    assert mnist_cnn.main(options) == 0
    whole = capsys.readouterr().out.splitlines()
    step = optim.Adam.step

    def interrupted(self, grads):
        step(self, grads)
        if self.steps == 60:  # in the second epoch
            signal.raise_signal(number)

    options += ["--checkpoint", str(tmp_path / "run")]
    with monkeypatch.context() as patch:
        patch.setattr(optim.Adam, "step", interrupted)
        assert mnist_cnn.main(options) == 128 + number
    capsys.readouterr()
    assert mnist_cnn.main(options) == 0
    assert capsys.readouterr().out.splitlines()[-1] == whole[-1]
    assert mnist_cnn.main(options) == 0, "nothing is left to train"
    assert "epoch" not in capsys.readouterr().out.partition("parameters\n")[2]


def test_a_run_that_does_not_fit_is_one_message(mnist_cnn, tmp_path, capsys):
    options = ["--quick", "--backend", "numpy", "--data", "digits", "--epochs", "1"]
    options += ["--checkpoint", str(tmp_path / "run")]
    assert mnist_cnn.main(options) == 0
    capsys.readouterr()
    assert mnist_cnn.main([*options, "--optimizer", "sgd"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("mnist_cnn: the checkpoint does not fit: the saved run has another opt")
    assert said.count("\n") == 1


def test_a_search_has_a_log_instead(mnist_cnn, tmp_path, capsys):
    with pytest.raises(SystemExit):
        mnist_cnn.main(["--search", "--checkpoint", str(tmp_path)])
    assert "a search is kept by --log" in capsys.readouterr().err


@pytest.mark.gpu
def test_on_a_gpu(mnist_cnn, capsys):
    if (reason := pn.available_backends()["cupy"]) is not None:
        pytest.skip(reason)
    assert mnist_cnn.main(["--backend", "cupy", "--epochs", "2"]) == 0
    assert "backend cupy" in capsys.readouterr().out

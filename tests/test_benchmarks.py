"""The benchmarks run: one short round each, no time is asserted."""

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import portanet as pn
from portanet import nn, optim

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the benchmarks stop and continue processes by POSIX signals"
)

NAMES = [
    *("mlp-784", "mlp-3072-sgd", "mlp-3072-adam", "mlp-3072-200"),
    *("cnn-5x5-b1", "cnn-5x5-b32", "cnn-5x5-b128", "cnn-3x3"),
]


def run(*arguments, module="benchmarks"):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def figures_of(path, *arguments, module):
    """Run a command with --quick, and return what it printed and wrote."""
    done = run("--quick", "--json", path, *arguments, module=module)
    assert done.returncode == 0, done.stderr
    written = json.loads(path.read_text())
    assert " core" in written["machine"]
    return done.stdout, written


@pytest.fixture
def imported(monkeypatch):
    """Give a function that imports one of the benchmarks' modules."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


# --- the commands --------------------------------------------------------------------------------


def test_a_quick_round_prints_and_writes_every_contender(tmp_path):
    only = ("--only", "mlp-784,cnn-5x5-b1,install", "--against", "numpy64,sklearn")
    printed, written = figures_of(tmp_path / "f.json", *only, module="benchmarks")
    for name in ("mlp-784", "cnn-5x5-b1"):
        assert f"\n{name}: " in printed
        figures = written["figures"][name]
        for contender in ("portanet", "numpy64"):
            result = figures["results"][contender]
            assert result.keys() == {"threads", "rates", "latency", "bytes"}
            assert result["rates"][0] > 0
            assert result["latency"] > 0
            assert result["bytes"] > 0
        assert "sklearn" in figures["results"] | figures["skipped"]
    assert "MLPClassifier has no convolution" in printed or "No module" in printed
    install = written["install"]
    assert install["results"].keys() | install["skipped"].keys() == {"portanet", "sklearn"}
    for library in (install["numpy"], install["results"]["portanet"]):
        assert library["import_seconds"][0] > 0
        assert library["bytes"] > 100_000
    assert "  + portanet" in printed


@pytest.mark.gpu
def test_a_quick_round_on_a_gpu_prints_and_writes_every_contender(tmp_path):
    if (reason := pn.available_backends()["cupy"]) is not None:
        pytest.skip(reason)
    only = ("--backend", "cupy", "--only", "mlp-784,cnn-5x5-b32", "--batch", "own,64")
    printed, written = figures_of(tmp_path / "f.json", *only, module="benchmarks")
    assert "TF32 off" in printed
    assert (written["tf32"], written["steps"]) == (False, 1)
    for name, batches in (("mlp-784", {"100", "64"}), ("cnn-5x5-b32", {"32", "64"})):
        assert written["figures"][name].keys() == batches
        for results in written["figures"][name].values():
            assert results["portanet"]["milliseconds"][0] > 0
            assert "ended" not in results["torch"].get("skipped", "")
    assert printed.count("\n| MLP 784-100-30-10, ReLU, momentum | ") == 2


@pytest.mark.skipif(pn.available_backends()["cupy"] is None, reason="a CUDA device answers here")
def test_without_a_gpu_the_reason_is_said(tmp_path):
    done = run("--backend", "cupy", "--json", tmp_path / "f.json")
    assert done.returncode == 2
    reason = pn.available_backends()["cupy"]
    assert done.stderr == f"python -m benchmarks: backend 'cupy' cannot be used: {reason}\n"
    assert done.stdout == ""
    assert not (tmp_path / "f.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--batch 64", "argument --batch: goes with --backend cupy alone"),
        ("--tf32", "argument --tf32: goes with --backend cupy alone"),
        ("--backend cupy --rounds 3", "argument --rounds: goes with --backend numpy alone"),
        ("--backend cupy --seconds 1", "argument --seconds: goes with --backend numpy alone"),
        ("--backend cupy --against torch", "argument --against: goes with --backend numpy alone"),
        ("--backend cupy --only install", "unknown: install; known: mlp-784, "),
        ("--backend cupy --batch 64,0", "must be sizes or 'own', with commas, got '64,0'"),
        ("--backend cupy --batch 6²", "must be sizes or 'own', with commas, got '6²'"),
        ("--backend torch", "argument --backend: invalid choice: 'torch'"),
    ],
)
def test_options_that_do_not_go_together_are_said(imported, options, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options.split()])
    with pytest.raises(SystemExit) as ended:
        imported("__main__").main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("module", ["", ".profile", ".limits", ".growth"])
def test_unknown_names_and_impossible_files_are_said(module):
    done = run("--only", "mlp-785", module=f"benchmarks{module}")
    assert done.returncode == 2
    assert "unknown: mlp-785; known: " in done.stderr
    done = run("--json", "missing/figures.json", module=f"benchmarks{module}")
    assert done.returncode == 2
    assert "there is no folder for missing/figures.json" in done.stderr


def test_a_profile_has_a_row_for_each_layer(tmp_path):
    only = ("--only", "mlp-784,cnn-5x5-b32")
    printed, written = figures_of(tmp_path / "f.json", *only, module="benchmarks.profile")
    assert "cut into parts" in printed
    (profile,) = written["figures"]["cnn-5x5-b32"]
    assert list(profile["rows"]) == [
        *("gathering the batch", *map(str, range(8)), "loss", "optimizer", "the rest"),
    ]
    kinds = ["Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear"]
    assert [profile["rows"][str(k)]["kind"] for k in range(8)] == kinds
    for name in ("0", "7", "loss"):
        assert profile["rows"][name]["seconds"].keys() == {"forward", "backward"}
        assert f"\n    {name} " in printed
    assert profile["rows"]["optimizer"]["seconds"].keys() == {""}
    assert written["figures"]["mlp-784"][0]["threads"] == 1


def test_limits_have_rates_and_shares(tmp_path):
    only = ("--only", "mlp-784")
    printed, written = figures_of(tmp_path / "f.json", *only, module="benchmarks.limits")
    figures = written["figures"]["mlp-784"]
    names = ["0 linear y", "0 linear dW", *(f"{k} linear {d}" for k in (2, 4) for d in DERIVED)]
    assert [product["name"] for product in figures["products"]] == names
    for product in figures["products"]:
        assert product["flops"]["1"] > 0
        assert f"\n  {product['name']} " in printed
    one = figures["threads"]["1"]
    assert one["share"] == pytest.approx(one["products"] / one["step"])


DERIVED = ("y", "dW", "dx")


def test_growth_is_measured_by_size(tmp_path):
    only = ("--only", "width", "--against", "numpy64")
    printed, written = figures_of(tmp_path / "f.json", *only, module="benchmarks.growth")
    curves = written["figures"]["width"]["MLP-3072"]
    assert curves.keys() == {"portanet", "numpy64"}
    for curve in curves.values():
        assert curve.keys() == {"32", "64"}
        assert min(curve.values()) > 0
    assert "hidden units" in printed


# --- their parts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp-784", "mlp-3072-adam", "cnn-5x5-b128"])
def test_the_contender_does_what_a_trainer_does(imported, name):
    workload = imported("workloads").WORKLOADS[name]
    x, y = (array[: 2 * workload.batch] for array in workload.data())
    one, other = (imported("training").Training.of(workload, x, y, threads=1) for _ in range(2))
    with one.team:
        for indices in np.split(np.arange(len(y)), 2):
            one.step(indices)
    trainer = pn.Trainer(other.model, other.loss, other.optimizer)
    trainer.fit((x, y), epochs=1, batch_size=workload.batch, shuffle=False, progress=False)
    assert trainer.step == 2
    for a, b in zip(one.model.params.values(), other.model.params.values(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_by_hand_learns_what_portanet_learns(imported, name):
    """One step's loss and parameters; three steps, for the optimizers' state."""
    workload = imported("workloads").WORKLOADS[name]
    workload = replace(workload, batch=min(workload.batch, 4))
    by_hand = imported("plain").Network(workload)
    pn.set_backend("numpy", dtype="float64")
    model = imported("contenders").sequential(nn, workload)
    params = [p for _, params, _ in by_hand.layers for p in params]
    model.load_state_dict(dict(zip(model.state_dict(), params, strict=True)))
    lr = imported("workloads").RATES[workload.optimizer]
    optimizer = optim.Adam(model, lr=lr)
    if workload.optimizer != "adam":
        optimizer = optim.SGD(model, lr=lr, momentum=0.9 * (workload.optimizer == "momentum"))
    rng, loss = np.random.default_rng(0), nn.CrossEntropyLoss()
    for _ in range(3):
        x = rng.standard_normal((workload.batch, *workload.input_shape))
        labels = rng.integers(0, 10, workload.batch)
        value, pullback = loss.vjp(model.forward(x, training=True), labels)
        model.zero_grads()
        model.backward(pullback())
        optimizer.step(model.grads)
        assert by_hand.step(x, labels) == pytest.approx(float(value), rel=1e-12)
        for mine, ours in zip(params, model.params.values(), strict=True):
            np.testing.assert_allclose(mine, ours, rtol=0, atol=1e-10 * np.abs(ours).max())


def test_pooling_by_hand_gives_a_gradient_only_once(imported):
    y, back = imported("plain").pool(np.ones((1, 1, 4, 4)), 2)
    dy = np.arange(1.0, 5.0).reshape(1, 1, 2, 2)
    dx, _ = back(dy, first=False)
    assert y.tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]
    assert dx.sum() == dy.sum()


def test_rows_of_a_gpu_are_each_there_once(imported):
    gpu, workloads = imported("gpu"), imported("workloads").WORKLOADS
    found = [(workload.name, workload.batch) for workload in gpu.rows(workloads)]
    assert found[:3] == [("mlp-784", 100), ("mlp-784", 1024), ("mlp-3072-sgd", 100)]
    # The three of 5×5 are one network, which has one row in its batch of 1024.
    assert [batch for name, batch in found if name.startswith("cnn-5x5")] == [1, 1024, 32, 128]
    assert [batch for name, batch in found if name == "cnn-3x3"] == [64, 512, 1024]
    asked = gpu.rows(["cnn-5x5-b1", "cnn-5x5-b32"], gpu.batches("own,32,7"))
    assert [workload.batch for workload in asked] == [1, 32, 7]


def test_the_table_of_a_gpu_is_markdown(imported, monkeypatch, capsys):
    gpu = imported("gpu")
    answers = {
        ("portanet", 100): {"milliseconds": [0.5, 0.25, 0.75]},
        ("torch", 100): {"milliseconds": [1.0, 1.25, 0.75]},
        ("portanet", 1024): {"milliseconds": [1.0]},
        ("torch", 1024): {"skipped": "no room"},
        ("portanet", 8): {"skipped": "broken"},
        ("torch", 8): {"skipped": "no room"},
    }
    monkeypatch.setattr(gpu, "apart", lambda name, workload, *_: answers[name, workload.batch])
    figures = gpu.measure(gpu.rows(["mlp-784"], ["own", 1024, 8]), 3, False)
    assert figures["mlp-784"][100]["torch"] == answers["torch", 100]
    what = "MLP 784-100-30-10, ReLU, momentum"
    assert capsys.readouterr().out.splitlines() == [
        "",
        "| workload | batch | portanet, ms a step | PyTorch, ms a step | samples/s | portanet is |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        f"| {what} | 100 | 0.500 [0.250 … 0.750] | 1.000 [0.750 … 1.250] | 200,000 | 2.00× |",
        f"| {what} | 1024 | 1.000 [1.000 … 1.000] | – | 1,024,000 | – |",
        f"| {what} | 8 | – | – | – | – |",
        "",
        "torch skipped: no room (mlp-784 of 1024, mlp-784 of 8)",
        "",
        "portanet skipped: broken (mlp-784 of 8)",
    ]


def test_steps_on_a_gpu_are_timed_after_the_warm_up(imported, monkeypatch):
    """A device whose clock counts the steps: the k-th takes k milliseconds."""
    gpu, workload = imported("gpu"), imported("workloads").WORKLOADS["cnn-5x5-b1"]
    steps, clock = [], [0]

    class Event:
        def record(self):
            self.time = clock[0]

    def step(batch):
        assert batch.shape == (1,)
        steps.append(batch)
        clock[0] += len(steps)

    timed = (step, Event, lambda start, end: end.time - start.time, lambda: None)
    monkeypatch.setitem(gpu.CONTENDERS, "portanet", lambda *_: timed)
    found = gpu.timed("portanet", workload, 3, False)
    assert found == {"milliseconds": [gpu.WARM_UP + k for k in (1, 2, 3)]}


def test_a_contender_without_a_gpu_says_so_in_its_own_process(imported):
    gpu = imported("gpu")
    workload = imported("workloads").WORKLOADS["mlp-784"]
    answer = gpu.apart("torch", workload, 1, False)
    assert answer.keys() <= {"milliseconds", "skipped"}
    reasons = ("PyTorch finds no CUDA device", "No module named 'torch'")
    assert "milliseconds" in answer or answer["skipped"] in reasons
    ended = gpu.apart("nobody", workload, 1, False)
    assert ended == {"skipped": "its process ended: KeyError: 'nobody'"}


def test_layers_of_a_workload_fit_together(imported):
    workloads = imported("workloads").WORKLOADS
    assert list(workloads) == NAMES
    assert workloads["cnn-5x5-b1"].layers() == [
        *(("conv", 1, 8, 5, 0), ("relu",), ("pool", 2), ("conv", 8, 8, 5, 0), ("relu",)),
        *(("pool", 2), ("flatten",), ("linear", 128, 10)),
    ]
    assert workloads["cnn-3x3"].layers()[-1] == ("linear", 4096, 10)
    assert workloads["mlp-3072-sgd"].layers()[0] == ("linear", 3072, 512)


def test_products_of_a_convolution_have_its_shapes(imported):
    workload = imported("workloads").WORKLOADS["cnn-5x5-b32"]
    found = {product.name: product for product in imported("limits").products(workload)}
    assert "0 conv dx" not in found
    assert found["0 conv y"].shape == (8, 25, 24 * 24 * 32)
    assert found["3 conv dW"].shape == (8, 8 * 8 * 32, 200)
    assert found["3 conv dx"].shape == (200, 8, 8 * 8 * 32)
    assert found["7 linear dx"].shape == (128, 10, 32)
    m, k, n = found["3 conv y"].part
    assert (m, k) == (8, 200)
    assert 4 * k * n <= 2**20 < 4 * k * (n + 1)


def test_what_grows_is_one_thing(imported):
    growth = imported("growth")
    assert growth.PANELS["batch"].sizes == (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    assert growth.powers(1, 6) == (1, 2, 4, 6)
    assert growth.grown("width", "MLP-3072", 64).layers()[-1] == ("linear", 64, 10)
    assert growth.grown("image", "CNN 3×3", 16).layers()[-1] == ("linear", 64 * 4 * 4, 10)
    assert growth.grown("batch", "CNN 5×5", 2).batch == 2
    assert growth.grown("threads", "CNN 3×3", 2).batch == 128


def test_the_picture_of_growth(imported, tmp_path):
    pytest.importorskip("matplotlib")
    growth, plot = imported("growth"), imported("plot")
    figures = {
        what: {
            network: {"portanet": {1: 0.001, 4: 0.002}, "torch": {1: 0.002, 4: 0.003}, "jax": {}}
            for network in panel.networks
        }
        for what, panel in growth.PANELS.items()
    }
    path = tmp_path / "growth.png"
    plot.check(path)
    plot.draw(path, {what: panel.label for what, panel in growth.PANELS.items()}, figures)
    assert path.stat().st_size > 10_000
    words = [plot.title(what, found) for what, found in figures.items()]
    assert words[1] == "4× the width takes portanet 2× the time for MLP-3072"
    assert words[2] == "16× the pixels takes portanet 2× the time for CNN 3×3"
    assert words[3].startswith("portanet's speed-up by 4 threads: 0.5× on CNN 5×5, ")
    with pytest.raises(ValueError, match=r"growth\.xyz must end in one of: .*png"):
        plot.check(tmp_path / "growth.xyz")


def test_what_an_installation_brings(imported):
    install = imported("install")
    assert install.brought(["numpy>=2", "pytest"]) >= {"pytest", "pluggy", "iniconfig"}
    assert install.brought(["pytest; extra == 'never'", "numpy"]) == set()
    with pytest.raises(ImportError, match="no_such_module"):
        install.import_seconds("no_such_module")

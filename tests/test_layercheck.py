"""``python -m portanet check``: right layers pass, and each fault is found under its own name."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import own_layers
import pytest
from cases import LAYERS, LayerCase

import portanet as pn
from portanet import nn
from portanet.__main__ import main
from portanet.layercheck.check import CHECKS, NOTES
from portanet.layercheck.compare import agree
from portanet.layercheck.report import Failed, LayerReport

FLOATS = ("--input", "5,4")
INTEGERS = ("--input", "6", "--int", "5")
X = np.random.default_rng(0).normal(size=(5, 4))


@pytest.fixture(autouse=True)
def _path_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def check(
    capsys: pytest.CaptureFixture[str], where: str, options: tuple[str, ...] = FLOATS
) -> tuple[int, dict[str, dict[str, str]]]:
    """Run the command; return its exit code and, by status, its lines' messages by name."""
    code = main(["check", where, *options])
    out, err = capsys.readouterr()
    assert err == ""
    return code, by_status(out)


def by_status(table: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"ok": {}, "FAIL": {}, "skipped": {}, "note": {}}
    status = name = ""
    for line in table.splitlines():
        if match := re.fullmatch(r"  (ok|FAIL|skipped|note) +(.+?)(?:  +(.*))?", line):
            status, name = match[1], match[2]
            found[status][name] = match[3] or ""
        elif match := re.fullmatch(r" {11}-> (.*)", line):
            found[status][name] += match[1] + "\n"
    assert set().union(*found.values()) == CHECKS.keys(), table
    return found


# --- right layers --------------------------------------------------------------------------------

ALONE = "samples stand alone"
BOTH = ("gradients in training", "gradients in inference")
RIGHT: dict[str, tuple[tuple[str, ...], set[str]]] = {  # the options, and what is skipped
    "Squared": (FLOATS, set()),
    "Product": (FLOATS, set()),
    "Standardized": (FLOATS, {ALONE}),
    "Centered": (FLOATS, {ALONE}),
    "Noisy": (FLOATS, set()),
    "Skip": (FLOATS, set()),
    "Cyclic": (FLOATS, set()),
    "Lookup": (INTEGERS, {ALONE}),
    "OneHot": (INTEGERS, {ALONE, *BOTH}),
    "Total": (FLOATS, {ALONE}),
    "Pairs": (FLOATS, {ALONE}),
    "make": (FLOATS, set()),
    "INSTANCE": (FLOATS, set()),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_layer_passes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    options, skipped = RIGHT[name]
    code, found = check(capsys, f"own_layers:{name}", options)
    assert found["FAIL"] == {}
    assert code == 0
    assert found["skipped"].keys() == skipped
    assert found["note"].keys() == NOTES


OWN = (
    *("linear", "conv-everything", "max-pool-overlap", "avg-pool-padding", "batch-norm-1d"),
    *("batch-norm-2d-no-tracking", "relu", "sigmoid", "dropout", "flatten", "embedding"),
    *("sequential-no-parameters", "sequential-shared", "sequential-nested"),
)


@pytest.mark.parametrize("case", [case for case in LAYERS if case.id in OWN], ids=lambda c: c.id)
def test_portanets_own_layers_pass(case: LayerCase) -> None:
    report = pn.check_layer(case.make(), case.x())
    assert report.ok, str(report)
    assert by_status(str(report))["ok"]["two threads at once"] == ""


def test_the_cases_have_these_names() -> None:
    assert {case.id for case in LAYERS} >= set(OWN)


# --- wrong ones ----------------------------------------------------------------------------------

NUMPY32, STRICT32 = "float32 stays float32, numpy", "float32 stays float32, strict"
DEVICES = ("array API, CPU_DEVICE, float64", "array API, device1, float64")
NO_FLOAT64 = "array API, no_float64, float32"
TWO, THREADS = "two passes before either pullback", "two threads at once"
ADDED, STORED = "gradients are not added up", "nothing is stored on the layer"
GOES, PLACE, READ_ONLY = (
    *("the pullback lets the layer go", "nothing changes in place"),
    "read-only x and dy",
)
WITHOUT, RNG = "without dx, without pullback", "one ctx.rng, one result"

# The lines that fail, the one that names the fault first, and what that one says.
FAULTS: dict[str, tuple[tuple[str, ...], str]] = {
    "MissingFactor": (BOTH, r"gradient of weight is 0\.5 times the right one: (\S+) at \[\d\]"),
    "WrongSign": (BOTH, "gradient of weight has the wrong sign"),
    "NoGradient": (BOTH, "gradient of weight is zero"),
    "NotANumber": (BOTH, "gradient of weight holds numbers that are not finite: nan at"),
    "ForgottenScale": (BOTH, "dx is wrong"),
    "ForgottenBuffer": (BOTH, "dx is wrong"),
    "TransposedWeight": (BOTH, "gradient of weight is the transpose of the right one"),
    "TransposedInput": (
        BOTH,
        r"dx is wrong \(a product with the transpose.* at \[\d, \d\], by fin",
    ),
    "TransposedShape": (BOTH[:1], r"'weight': expected shape \(3, 4\), got \(4, 3\)"),
    "TransposedError": (BOTH[:1], r"matmul: .*; own_layers\.py, line \d+: return dy @ w\.T"),
    "WithoutName": (BOTH[:1], r"gradients for \['w'\], but the parameters are \['weight'\]"),
    "WithoutTheMean": (BOTH, "dx is off by one number all along axis 0 "),
    "WrongChild": (BOTH, r"gradient of body\.2\.weight is 0\.5 times"),
    "WrongInInference": (BOTH[1:], r"dx is 1\.5 times"),
    "DependsOnNothing": (BOTH, "dx should be zero"),
    "Accumulating": ((ADDED, TWO, THREADS, STORED, GOES), r"weight\[\d\] is .*, expected .* self"),
    "Remembering": ((TWO, *BOTH, THREADS, STORED, GOES), "pass 1 of two; its pullback reads"),
    "NumpyFunction": ((*DEVICES, NO_FLOAT64, STRICT32), r"vjp made numpy\.ndarray"),
    "NumpyGradient": (
        (*DEVICES, NO_FLOAT64, NUMPY32, STRICT32),
        r"dx is numpy\.ndarray of float64",
    ),
    "NumpyMethod": (DEVICES[:1], r"no attribute 'sum'; own_layers\.py, line \d+: total = x\.sum"),
    "OnTheDefaultDevice": ((DEVICES[1], NO_FLOAT64), "device"),
    "Promoting": ((NUMPY32, STRICT32, NO_FLOAT64), "y is float64, expected float32"),
    "PromotingNumber": ((NUMPY32, DEVICES[0]), "y is float64, expected float32"),
    "PromotingGradient": ((NUMPY32, STRICT32, NO_FLOAT64), "gradient of weight is float64, exp"),
    "PromotingBuffer": ((NUMPY32, STRICT32), "new mean is float64, expected float32"),
    "ChangingBuffer": ((PLACE, RNG), r"mean\[0\] is .*: the forward pass changed it"),
    "HiddenRandom": ((RNG,), r"y\[0, 0\] is .*, expected .*: does vjp draw from elsewhere"),
    "InPlace": ((PLACE, READ_ONLY, BOTH[0]), r"x\[0, 0\] is .*: the forward pass changed it"),
    "InPlaceBackwards": ((PLACE, READ_ONLY, BOTH[0]), r"dy\[0, 0\] is .*: the pullback changed it"),
    "Restoring": ((READ_ONLY,), r"read-only; own_layers\.py, line \d+: x \*= 2"),
    "KeepingItself": ((GOES,), "keeps KeepingItself alive through 'self'"),
    "KeepingItsDefault": ((GOES,), "keeps KeepingItsDefault alive through 'me'"),
    "KeepingItsCycle": ((GOES,), "keeps KeepingItsCycle alive through 'self'"),
    "KeepingItsContext": ((GOES,), "keeps KeepingItsContext alive through 'ctx'"),
    "KeepingItsMethod": ((GOES,), "keeps KeepingItsMethod alive through 'self'"),
    "WrongWithoutInputGradient": ((WITHOUT,), r"gradient of weight\[0\] is .*needs_input_grad"),
    "NeedsRandomNumbers": ((WITHOUT,), "'NoneType' object has no attribute 'child'"),
    "Undeclared": ((ALONE,), r"y\[0, 0\] is .*couples_samples"),
    "MainThreadOnly": ((THREADS,), r"RuntimeError: which thread is this\?; own_layers\.py, line"),
    "NoPair": (
        (BOTH[0], DEVICES[0], NO_FLOAT64, NUMPY32),
        r"the pullback must return \(dx, grads\), got numpy.ndarray",
    ),
    "NoBuffer": (BOTH[:1], "'gone', which is no buffer"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_under_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected, message = FAULTS[name]
    code, found = check(capsys, f"own_layers:{name}")
    assert code == 1
    assert found["FAIL"].keys() == set(expected)
    assert re.search(message, found["FAIL"][expected[0]].replace("\n", " ")), found["FAIL"]


def test_every_check_finds_something() -> None:
    assert {line for lines, _ in FAULTS.values() for line in lines} == CHECKS.keys() - NOTES


def test_an_error_is_told_once_where_it_stops_many(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = check(capsys, "own_layers:TransposedError")
    assert len(found["skipped"]) > 10
    assert set(found["skipped"].values()) == {f"stopped by the error of {BOTH[0]!r}"}
    assert found["ok"].keys() >= {RNG, ALONE, GOES}


def test_two_passes_that_differ_are_compared_with_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, found = check(capsys, "own_layers:HiddenRandom")
    assert found["skipped"] == {BOTH[0]: "no two passes are alike"}
    _, found = check(capsys, "own_layers:AlwaysRandom")
    assert found["FAIL"].keys() == {RNG}
    assert {message for name, message in found["skipped"].items() if name in (*BOTH, TWO)} == {
        "no two passes are alike"
    }


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Sequential(nn.Tanh(), own_layers.Standardized()), "the layer couples its samples"),
        (nn.Sequential(nn.Tanh(), own_layers.Centered()), "the layer couples its samples"),
        (own_layers.Total(), "y has no row for each sample"),
        (own_layers.Pairs(), "runs on no single sample: ValueError: Pairs: needs two samples"),
    ],
)
def test_why_samples_are_not_run_by_themselves(layer: nn.Layer, message: str) -> None:
    assert by_status(str(pn.check_layer(layer, X)))["skipped"][ALONE].startswith(message)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("got", "message"),
    [
        ({}, r"^there are ; expected y, dx: here$"),
        ({"y": [1.0, 2.0, 3.0], "dx": [NAN, INF]}, r"^y has shape \(3,\), expected \(2,\): here$"),
        ({"y": [1.0, NAN], "dx": [NAN, INF]}, r"^y\[1\] is nan, expected 2: here$"),
        ({"y": [1.0, 2.0], "dx": [1.0, INF]}, r"^dx\[0\] is 1, expected nan: here$"),
        ({"y": [1.0, 2.0], "dx": [NAN, -INF]}, r"^dx\[1\] is -inf, expected inf: here$"),
    ],
)
def test_two_runs_that_differ(got: dict[str, list[float]], message: str) -> None:
    expected = {"y": np.asarray([1.0, 2.0]), "dx": np.asarray([NAN, INF])}
    with np.errstate(invalid="ignore"):
        agree(np, expected, expected, "here", rtol=0.0)
        with pytest.raises(Failed, match=message):
            agree(np, {n: np.asarray(a) for n, a in got.items()}, expected, "here", rtol=0.0)


def test_every_stored_name_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for name, attribute in (("Accumulating", "sum"), ("Remembering", "x")):
        _, found = check(capsys, f"own_layers:{name}")
        assert found["FAIL"][STORED].startswith(f"the call stored self.{attribute}; ")


def test_a_fault_in_a_child_that_stores_has_its_name() -> None:
    model = nn.Sequential({"a": nn.Tanh(), "b": own_layers.Remembering()})
    found = by_status(str(pn.check_layer(model, X)))
    assert found["FAIL"][STORED].startswith("the call stored self.b.x; ")


def test_large_arrays_are_not_moved_element_by_element(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portanet.layercheck.gradients.MOST", 10)
    code, found = check(capsys, "own_layers:MissingFactor")
    assert code == 1
    assert "gradient of weight is not that of finite diff" in found["FAIL"][BOTH[0]]


def test_a_kink_within_a_step_is_no_fault() -> None:
    x = np.where(np.abs(X) > 0.5, 2e-6, X)
    assert pn.check_gradients(nn.ReLU(), x).error > 1e-3
    report = pn.check_layer(nn.ReLU(), x)
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Product", "1 times the input (x 1)"),  # and not the weight
        ("Noisy", "1 times the input (mask 1)"),
        ("Standardized", "1.2 times the input (y 1, inverse 0.2)"),
        ("Centered", "0 times the input"),
        ("KeepingColumns", "3.75 times the input (columns 3.75)"),  # of which a view is kept
    ],
)
def test_the_memory_that_a_pullback_keeps(name: str, kept: str) -> None:
    report = pn.check_layer(getattr(own_layers, name)(), X)
    assert report.ok, str(report)
    assert by_status(str(report))["note"]["memory that the pullback keeps"] == kept


def test_the_memory_of_a_network_is_that_of_its_layers() -> None:
    model = nn.Sequential(own_layers.Product(8, 4), own_layers.Product(4, 8), own_layers.Noisy())
    [note] = [line for line in pn.check_layer(model, X).lines if line.status == "note"]
    assert note.message == "4 times the input (x 3, mask 1)"


# --- what the check needs, and what it leaves ----------------------------------------------------


def test_without_array_api_strict_its_lines_are_skipped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "array_api_strict", None)
    code, found = check(capsys, "own_layers:Squared")
    assert code == 0
    assert found["skipped"] == dict.fromkeys(
        (*DEVICES, NO_FLOAT64, STRICT32), "install array-api-strict"
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_layer_and_the_selection_stay_as_they_are(library: Any, training: bool) -> None:
    layer = nn.Sequential(own_layers.Centered(), own_layers.Squared())
    layer.forward(library.array(X), training=training)
    arrays = {**layer.params, **layer.buffers}
    before = {name: library.host(array) for name, array in arrays.items()}
    selected = pn.get_backend()
    report = pn.check_layer(layer, library.array(X))
    assert report.ok, str(report)
    assert pn.get_backend() is selected
    for name, array in {**layer.params, **layer.buffers}.items():
        assert array is arrays[name]
        np.testing.assert_array_equal(library.host(array), before[name])
    layer.backward(library.array(X))  # the remembered call is still there


def test_the_report_tells_all() -> None:
    report = pn.check_layer(own_layers.MissingFactor(), X)
    assert isinstance(report, LayerReport)
    assert not report.ok
    assert [line.name for line in report.failed] == list(BOTH)
    assert [line.name for line in report.lines] == list(CHECKS)
    table = str(report).splitlines()
    assert table[0] == "MissingFactor on float64 of shape (5, 4); weight (4,)"
    assert table[-1] == "15 ok, 2 failed, 0 skipped"
    assert pn.check_layer(own_layers.MissingFactor(), X) == report
    assert pn.check_layer(own_layers.MissingFactor(), X, seed=1) != report


def test_a_large_network_is_named_in_one_line() -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(5)))
    assert str(pn.check_layer(model, X)).splitlines()[0].endswith("2.weight (4, 4), 5 more arrays")


@pytest.mark.parametrize(
    ("layer", "x", "error", "message"),
    [
        (np.tanh, X, TypeError, "layer must be a Layer, got <ufunc 'tanh'>"),
        (nn.Tanh(), X[:0], ValueError, "x must hold numbers"),
        (nn.Tanh(), X * np.nan, ValueError, "x must hold numbers, all of them finite"),
        (nn.Linear(3, 2), X, ValueError, r"Linear cannot run on x of shape \(5, 4\): ValueError"),
        (nn.Tanh(), X > 0, ValueError, "Tanh cannot run .* expected floating-point x, got bool"),
    ],
)
def test_what_cannot_be_checked(layer: Any, x: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        pn.check_layer(layer, x)


# --- the command ---------------------------------------------------------------------------------

HERE = Path(own_layers.__file__)
ERRORS = {
    "own_layers": "expected MODULE:FACTORY, such as layers.py:MyLayer, got 'own_layers'",
    "own_layers:": "expected MODULE:FACTORY",
    ":Squared": "expected MODULE:FACTORY",
    "no_such_module:Squared": "cannot import no_such_module: ModuleNotFoundError: No module",
    "no_such_file.py:Squared": r"cannot import no_such_file\.py: FileNotFoundError",
    "own_layers:Nothing": "own_layers has no 'Nothing'",
    "own_layers:Squared.nothing": r"own_layers has no 'Squared\.nothing'",
    "own_layers:NUMBER": r"own_layers:NUMBER: expected a portanet\.nn\.Layer, got int",
    "builtins:dict": r"builtins:dict: expected a portanet\.nn\.Layer, got dict",
    "own_layers:NeedsAnArgument": r"NeedsAnArgument\(\) failed: TypeError: .*missing 1 required",
    "own_layers:fails": r"own_layers:fails\(\) failed: RuntimeError: no weights were found",
    "own_layers:NoDerivative": "NoDerivative cannot run on x of shape .* defines neither vjp",
    "own_layers:NoPullback": r"vjp must return \(y, pullback\), got numpy\.ndarray",
    "own_layers:OfIntegers": "y must be an array of floating-point numbers, got .* of int64",
    "own_layers:Lookup": "Lookup cannot run on x of shape",
    "portanet.nn:MaxPool2d": r"portanet\.nn:MaxPool2d\(\) failed: TypeError",
    "portanet.nn:Linear": "missing 2 required positional arguments",
}


@pytest.mark.parametrize("where", ERRORS)
def test_what_cannot_be_checked_is_one_line(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", where, *FLOATS]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert re.match(f"python -m portanet check: .*{ERRORS[where]}", err), err


def test_a_shape_that_the_layer_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "own_layers:Product", "--input", "2,3,8,8"]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert re.search(r"Product cannot run on x of shape \(2, 3, 8, 8\): ValueError: matmul", err)
    assert re.search(r"; own_layers\.py, line \d+: return x @ w\.T", err)


@pytest.mark.parametrize("high", ["0", "-2"])
def test_integers_need_a_range(high: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "own_layers:Lookup", "--input", "6", "--int", high]) == 2
    assert f"--int must be at least 1, got {high}" in capsys.readouterr().err


def test_indices_out_of_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "own_layers:Lookup", "--input", "60", "--int", "9"]) == 2
    assert "IndexError" in capsys.readouterr().err


@pytest.mark.parametrize("shape", ["", "2,x", "2,0", "-1", "2,,3", "2.5"])
def test_a_shape_is_sizes(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["check", "own_layers:Squared", f"--input={shape}"])
    assert f"expected sizes such as 2,3,8,8, got {shape!r}" in capsys.readouterr().err


def test_a_shape_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["check", "own_layers:Squared"])
    assert "--input" in capsys.readouterr().err


def test_a_module_may_be_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, f"{HERE}:Squared")[0] == 0
    code, found = check(capsys, f"{HERE}:MissingFactor")
    assert code == 1
    assert found["FAIL"].keys() == set(BOTH)


@pytest.mark.parametrize(
    ("code", "message"),
    [("import no_such_library", "No module named 'no_such_library'"), ("x = (", "SyntaxError")],
)
def test_a_file_that_cannot_be_imported(
    code: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.py"
    path.write_text(code, encoding="utf-8")
    assert main(["check", f"{path}:Layer", *FLOATS]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert message in err


def test_the_command_runs(tmp_path: Path) -> None:
    """A file imports what stands beside it, whatever the folder that the command runs in."""
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "beside.py").write_text("FACTOR = 1.0\n", encoding="utf-8")
    (tmp_path / "layers" / "mine.py").write_text(
        """from beside import FACTOR
from portanet import nn


class Mine(nn.Layer):
    def vjp(self, x, ctx):
        self.accept(x)
        return 2.0 * x, lambda dy: (FACTOR * dy, {})
""",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "portanet", "check", "layers/mine.py:Mine", "--input", "2,3"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "dx is 0.5 times the right one" in by_status(ran.stdout)["FAIL"][BOTH[0]]


def test_info_tells_what_array_api_strict_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert pn.available_backends()["strict"] is None
    assert main(["info"]) == 0
    assert re.search(r"strict  +ok\n.*\n.*no_float64\n +use +testing", capsys.readouterr().out)

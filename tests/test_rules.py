"""The house rules, read off the source: who imports what, what is public, how long files are."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES

from portanet import nn, optim

ROOT = Path(__file__).parent.parent
CORE = sorted((ROOT / "portanet").rglob("*.py"))
BACKENDS = sorted((ROOT / "backends").rglob("*.py"))
every_file = pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in CORE + BACKENDS]
)


def place_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports when it runs, those inside functions too."""
    tree = tree_of(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place_of(path)}: a relative import"
            # `from portanet import im2col` imports the module portanet.im2col
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from within if node.module == "portanet" else [str(node.module)]


# --- libraries -----------------------------------------------------------------------------------

# What deals with data on the host: files, seeds, conversions. Not what computes.
ALLOWED = {
    "portanet/__main__.py": {"numpy", "array_api_compat"},  # prints their versions
    "portanet/backend.py": {"numpy"},
    "portanet/checkpoint.py": {"numpy"},
    "portanet/conversion.py": {"numpy"},
    "portanet/data/cifar10.py": {"numpy"},
    "portanet/data/dataset.py": {"numpy"},
    "portanet/data/formats.py": {"numpy"},
    "portanet/data/matlab.py": {"numpy"},
    "portanet/data/matlab_child.py": {"numpy", "scipy"},
    "portanet/data/split.py": {"numpy"},
    "portanet/data/svhn.py": {"numpy"},
    "portanet/random.py": {"numpy"},
    "portanet/storage.py": {"numpy"},
    "portanet/train/given.py": {"numpy"},
}
ARRAY_LIBRARIES = {"numpy", "cupy", "torch", "array_api_compat", "array_api_strict", "scipy", "jax"}


@pytest.mark.parametrize("path", CORE, ids=place_of)
def test_the_core_names_no_array_library(path: Path) -> None:
    found = {name.partition(".")[0] for name in imports_of(path)} & ARRAY_LIBRARIES
    assert found == ALLOWED.get(place_of(path), set())


def test_the_list_names_files_that_exist() -> None:
    assert {place_of(path) for path in CORE} >= ALLOWED.keys()


@every_file
def test_no_pickle_and_no_hidden_randomness(path: Path) -> None:
    forbidden = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "random"}
    assert not {name.partition(".")[0] for name in imports_of(path)} & forbidden
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


# --- which way imports run -----------------------------------------------------------------------

# A module imports its own package and those of a lower rank.
RANKS = {
    "display": -1,
    "words": -1,
    "checks": 0,
    "overriding": 1,
    "conversion": 0,
    "cpus": 0,
    "durable": 0,
    "memory": 0,
    "pickling": 0,
    "random": 1,
    "im2col": 1,
    "special": 1,
    "sums": 0,
    "normalization": 2,
    "tracing": 1,
    "fusion": 2,
    "pooling": 2,
    "kernels": 3,
    "registry": 3,
    "version": 0,
    "backend": 4,
    "selection": 5,
    "storage": 5,
    "nn": 6,
    "data": 6,
    "optim": 7,
    "gradcheck": 7,
    "checkpoint": 7,
    "train": 8,
    "layercheck": 8,
    "__init__": 9,
    "__main__": 10,
}


@pytest.mark.parametrize("path", CORE, ids=place_of)
def test_imports_run_one_way(path: Path) -> None:
    own = path.relative_to(ROOT / "portanet").parts[0].removesuffix(".py")
    for name in imports_of(path):
        package, _, rest = name.partition(".")
        if package != "portanet":
            continue
        other = rest.partition(".")[0] or "__init__"
        if own != "__main__":
            assert other in RANKS, f"{name} comes from the top, which imports this file"
        assert other == own or RANKS.get(other, 0) < RANKS[own], f"{own} imports {name}"


@pytest.mark.parametrize("path", BACKENDS, ids=place_of)
def test_backends_import_only_the_base_class_and_what_kernels_are_made_of(path: Path) -> None:
    own = path.relative_to(ROOT / "backends").parts[0]
    modules = ("backend", "cpus", "fusion", "im2col", "kernels")
    allowed = {f"portanet.{module}" for module in modules}
    names = {name for name in imports_of(path) if name.startswith("portanet")}
    assert {name for name in names if name.partition(".")[0] != own} <= allowed
    library = own.removeprefix("portanet_").replace("strict", "array_api_strict")
    others = ARRAY_LIBRARIES - {"numpy", "array_api_compat", library}
    assert not {name.partition(".")[0] for name in imports_of(path)} & others


# --- layers --------------------------------------------------------------------------------------


def nested_functions(function: ast.FunctionDef) -> Iterator[ast.AST]:
    for node in ast.walk(function):
        if node is not function and isinstance(node, ast.FunctionDef | ast.Lambda):
            yield node


@every_file
def test_pullbacks_keep_neither_layer_nor_context(path: Path) -> None:
    """A cycle layer → pullback → layer would keep activations alive; contexts hold layers, too."""
    for vjp in ast.walk(tree_of(path)):
        if not (isinstance(vjp, ast.FunctionDef) and vjp.name == "vjp"):
            continue
        for pullback in nested_functions(vjp):
            for node in ast.walk(pullback):
                assert not isinstance(node, ast.Nonlocal), f"line {node.lineno}: rebinds"
                if isinstance(node, ast.Name):
                    assert node.id not in ("self", "ctx"), f"line {node.lineno}: keeps {node.id}"


BASES = (nn.Elementwise, nn.ElementwiseLoss, optim.RateSchedule)  # for those who add one


def public(module: Any, base: type) -> set[type]:
    """Return the public subclasses of `base` that can be used as they are."""
    found = {getattr(module, name) for name in module.__all__}
    return {c for c in found if isinstance(c, type) and issubclass(c, base)} - {base, *BASES}


PUBLIC = {
    nn.Layer: (public(nn, nn.Layer), {type(case.make()) for case in LAYERS}),
    nn.Loss: (public(nn, nn.Loss), {type(case.make()) for case in LOSSES}),
    optim.Optimizer: (public(optim, optim.Optimizer), {case.make for case in OPTIMIZERS}),
    optim.Schedule: (public(optim, optim.Schedule), {case.make for case in SCHEDULES}),
}


@pytest.mark.parametrize("base", PUBLIC, ids=lambda base: base.__name__)
def test_everything_public_has_a_case(base: type) -> None:
    classes, tested = PUBLIC[base]
    assert classes
    missing = {c.__name__ for c in classes - tested}
    assert not missing, f"add a line to tests/cases.py for {sorted(missing)}"


@pytest.mark.parametrize(
    "cls", sorted((c for classes, _ in PUBLIC.values() for c in classes), key=lambda c: c.__name__)
)
def test_everything_public_is_documented(cls: type) -> None:
    documentation = vars(cls).get("__doc__") or ""
    assert len(documentation.splitlines()) > 1, "a line, and what a reader must know"
    if issubclass(cls, nn.Layer | nn.Loss):
        assert "Shapes:" in documentation


def test_cases_have_names_of_their_own() -> None:
    for cases in (LAYERS, LOSSES, OPTIMIZERS, SCHEDULES):
        names = [case.id for case in cases]
        assert len(set(names)) == len(names)


# --- files ---------------------------------------------------------------------------------------

MOST_LINES = 250


@every_file
def test_files_can_be_read_in_one_sitting(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES


def test_test_folders_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))

"""Whatever is wrong with a call, portanet says so itself, where the mistake is.

The tables of this folder have a line for each bad call: the public name, the call, the error, and a
fragment of its message. Add one with everything public; the rules below fail where there is none.
What is wrong in the same way for every layer, loss, optimizer or transform, and what looks odd but
must work, is in `test_every_*.py`.
"""

import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from bad_input import backends, layers, losses, optimizers, schedules, training
from bad_input import data as datasets

import portanet as pn
from portanet import data, nn, optim, train
from portanet.__main__ import main

Line = tuple[str, Callable[[], Any], type[BaseException], str]

ROOT = Path(__file__).parent.parent.parent
TABLES = [backends, datasets, layers, losses, optimizers, schedules, training]
LINES: list[Line] = [line for table in TABLES for line in table.LINES]


@pytest.mark.parametrize(
    ("call", "error", "fragment"),
    [pytest.param(*line[1:], id=f"{line[0]}: {line[3]}") for line in LINES],
)
def test_bad_call(call: Callable[[], Any], error: type[BaseException], fragment: str) -> None:
    with pytest.raises(error, match=re.escape(fragment)) as caught:
        call()
    # Not in the depths of an array library, whose words say nothing of what the user wrote.
    source = Path(traceback.extract_tb(caught.tb)[-1].filename)
    assert source.is_relative_to(ROOT), f"raised in {source}"
    assert not source.is_relative_to(ROOT / "tests"), f"raised in {source}"


@pytest.mark.parametrize(("arguments", "code", "fragment"), backends.COMMANDS)
def test_bad_command(
    arguments: list[str], code: int, fragment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = main(arguments)
    except SystemExit as stopped:  # argparse's way
        found = stopped.code
    assert found == code
    printed = capsys.readouterr()
    assert fragment in printed.err
    assert not printed.out


# --- the rules -----------------------------------------------------------------------------------

MODULES = {"pn": pn, "nn": nn, "optim": optim, "data": data, "train": train}
WITHOUT_LINES = {
    "pn.BackendError": "an error",
    "pn.BackendMismatchError": "an error",
    "pn.CheckpointError": "an error",
    "data.DataError": "an error",
    "data.DataNotFoundError": "an error",
    "data.load_svhn": "needs SciPy: its lines are in tests/data/test_svhn.py",
    "pn.available_backends": "takes nothing",
    "pn.get_backend": "takes nothing",
    "pn.release_memory": "takes nothing",
    "nn.Gradients": "a type",
    "nn.Initialization": "a type",
    "nn.LossPullback": "a type",
    "nn.Pullback": "a type",
    "nn.Elementwise": "what layers are made from",
    "nn.ElementwiseLoss": "what losses are made from",
    "optim.RateSchedule": "what schedules are made from",
    "optim.Common": "a type",
}
# Methods that take arguments, but not from users.
CALLED_BY_PORTANET = {
    "pn.Backend": set(dir(pn.Backend)) - {"asarray", "retyped"},  # by layers
    "pn.Callback": set(dir(pn.Callback)),  # by the Trainer
    "pn.Checkpoints": set(dir(pn.Checkpoints)),  # by the Trainer
    "pn.History": {"append", "complete", "load_state_dict", "plot"},  # by the Trainer, or a picture
    "nn.Context": {"child", "run"},  # by containers
    "nn.Layer": {"fail", "named_layers"},
    "data.Transform": {"fail"},
} | {f"nn.{name}": {"__call__"} for name in dir(nn.initialization)}  # by a layer that is drawn


def public_names() -> dict[str, Any]:
    """Return everything public by its name; what has two, by the first."""
    names: dict[str, Any] = {}
    for short, module in MODULES.items():
        for name in module.__all__:
            value = getattr(module, name)
            if not isinstance(value, ModuleType) and value not in names.values():
                names[f"{short}.{name}"] = value
    return names


def methods() -> Iterator[str]:
    """Yield the public methods that take arguments, where their class is not another's child."""
    classes = {n: c for n, c in public_names().items() if inspect.isclass(c)}
    for name, cls in classes.items():
        if name in WITHOUT_LINES or set(cls.__mro__[1:]) & set(classes.values()):
            continue
        for method in set(dir(cls)) - CALLED_BY_PORTANET.get(name, set()):
            function = inspect.unwrap(getattr(cls, method))
            public = method == "__call__" or not method.startswith("_")
            if public and inspect.isfunction(function) and len(signature(function).parameters) > 1:
                yield f"{name}.{method}"


def resolved(name: str) -> Any:
    """Return what a line is about."""
    short, *rest = name.split(".")
    value: Any = MODULES[short]
    for part in rest:
        found = inspect.getattr_static if inspect.isclass(value) else getattr
        value = found(value, part)
    return value


TOLD = {name for name, *_ in LINES}


def test_everything_public_has_a_line() -> None:
    covered = {".".join(name.split(".")[:2]) for name in TOLD} | WITHOUT_LINES.keys()
    missing = sorted(public_names().keys() - covered)
    assert not missing, f"add lines to the tables of {Path(__file__).parent} for {missing}"


def test_every_method_with_arguments_has_a_line() -> None:
    missing = sorted(set(methods()) - TOLD)
    assert not missing, f"add lines to the tables of {Path(__file__).parent} for {missing}"


@pytest.mark.parametrize("name", sorted(TOLD))
def test_no_line_is_about_something_that_is_gone(name: str) -> None:
    assert resolved(name) is not None

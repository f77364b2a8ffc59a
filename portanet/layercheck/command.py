"""``python -m portanet check``: find a layer that somebody else wrote, and check it."""

import argparse
import importlib.util
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

from portanet.layercheck import check_layer
from portanet.layercheck.compare import one_line
from portanet.nn.layer import Layer
from portanet.random import Key, Shape


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``check``."""
    parser.add_argument(
        "layer",
        metavar="MODULE:FACTORY",
        help="a module or a .py file, and in it a layer or what gives one when called",
    )
    parser.add_argument(
        "--input",
        metavar="SHAPE",
        type=_shape,
        required=True,
        help="the shape of an input, batch and all: 2,3,8,8",
    )
    parser.add_argument(
        "--int",
        dest="high",
        metavar="HIGH",
        type=int,
        help="make the input of integers, such as indices, in [0, HIGH)",
    )


def run(chosen: argparse.Namespace) -> int:
    """Print the report on a layer; returns 1 where a check fails, 2 where none can be made."""
    key = Key(0).child("check_layer", "x")
    try:
        if chosen.high is not None and chosen.high < 1:
            raise ValueError(f"--int must be at least 1, got {chosen.high}")
        layer = find_layer(chosen.layer)
        normal = chosen.high is None
        x = key.normal(chosen.input) if normal else key.integers(chosen.high, chosen.input)
        report = check_layer(layer, x)
    except ValueError as error:
        print(f"python -m portanet check: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(report)
    return 0 if report.ok else 1


def find_layer(where: str) -> Layer:
    """Return the layer that ``MODULE:FACTORY`` names; raises ValueError where there is none."""
    place, _, name = where.rpartition(":")
    if not (place and name):
        raise ValueError(f"expected MODULE:FACTORY, such as layers.py:MyLayer, got {where!r}")
    try:
        module = _import(place)
    except (Exception, SystemExit) as error:
        raise ValueError(f"cannot import {place}: {one_line(error)}") from error
    try:
        found: Any = attrgetter(name)(module)
    except AttributeError as error:
        raise ValueError(f"{place} has no {name!r}: {error}") from error
    if callable(found) and not isinstance(found, Layer):
        try:
            found = found()
        except Exception as error:
            raise ValueError(f"{where}() failed: {one_line(error)}") from error
    if not isinstance(found, Layer):
        raise ValueError(f"{where}: expected a portanet.nn.Layer, got {type(found).__name__}")
    return found


def _import(place: str) -> Any:
    """Import a module by its name, or from its file, beside which it finds others."""
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place).resolve()
    spec = importlib.util.spec_from_file_location("checked", path)
    assert spec is not None  # as of every .py
    assert spec.loader is not None
    sys.path.insert(0, str(path.parent))
    module = sys.modules["checked"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _shape(text: str) -> Shape:
    try:
        shape = tuple(int(size) for size in text.split(","))
    except ValueError:
        shape = (0,)
    if min(shape) < 1:
        raise argparse.ArgumentTypeError(f"expected sizes such as 2,3,8,8, got {text!r}")
    return shape

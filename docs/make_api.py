"""Writes docs/api.md, the index of everything public: ``python docs/make_api.py``."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, GenericAlias, ModuleType
from typing import Any

import portanet
import portanet.nn.initialization
from portanet import data, nn, optim, train

INDEX = Path(__file__).with_name("api.md")
HEAD = """# Everything public

A line for each name; `help(name)` has the rest: formulas, shapes, dtypes, errors, sources. Methods
and properties stand below the class that introduces them: those of every layer below `pn.nn.Layer`.
This file is made by `python docs/make_api.py`."""
MODULES = (portanet, nn, optim, data, train)
KINDS = {
    "Layers": nn.Layer,
    "Losses": nn.Loss,
    "Optimizers": optim.Optimizer,
    "Schedules": optim.Schedule,
    "Transforms of gradients": optim.Transform,
}
INITIALIZATIONS, REST = "Initializations", "The rest"


def public(module: ModuleType) -> dict[str, Any]:
    """Return what a module exports, in the order of the alphabet."""
    names = sorted(module.__all__, key=str.casefold)
    values = {name: getattr(module, name) for name in names}
    return {name: v for name, v in values.items() if not isinstance(v, ModuleType)}


CLASSES = {v for module in MODULES for v in public(module).values() if inspect.isclass(v)}


def heading(value: Any) -> str:
    """Return the heading under which a name of `nn` or `optim` stands."""
    for words, kind in KINDS.items():
        if inspect.isclass(value) and issubclass(value, kind):
            return words
    initializes = value.__module__ == nn.initialization.__name__
    return INITIALIZATIONS if initializes else REST


def arguments(function: Any, skipped: int = 0) -> str:
    """Return the arguments and their defaults, without types: ``(x, *, dtype=None)``."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[skipped:]
    except ValueError:  # an exception's are not known
        return ""
    text = str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters]))
    return re.sub(r"<class '([\w.]+)'>", r"\1", text)


def summary(value: Any) -> str:
    """Return the first paragraph of a docstring, on one line."""
    paragraph = inspect.cleandoc(value.__doc__ or "").partition("\n\n")[0]
    return paragraph.replace("\n", " ").replace("``", "`")


def members(cls: type) -> Iterator[str]:
    """Yield a line for each public method and property, unless a base class is listed itself."""
    if CLASSES & set(cls.__mro__[1:]):
        return
    for name in sorted(dir(cls), key=str.casefold):
        owner = next((base for base in cls.__mro__ if name in vars(base)), object)
        if owner.__module__.partition(".")[0] != "portanet":
            continue
        value = inspect.getattr_static(cls, name)
        if name.startswith("_") and (name != "__call__" or not value.__doc__):
            continue
        if isinstance(value, property):
            yield f"  - `.{name}`: {summary(value)}"
        elif isinstance(value, FunctionType):
            yield f"  - `.{name}{arguments(value, skipped=1)}`: {summary(value)}"
        elif isinstance(value, classmethod | staticmethod):
            yield f"  - `.{name}{arguments(getattr(cls, name))}`: {summary(value)}"


def entry(path: str, value: Any) -> list[str]:
    """Return the lines of a name: its arguments, what it is, its members."""
    if isinstance(value, GenericAlias):  # its docstring is dict's
        return [f"- `{path}`: a `{value}`".replace("typing.", "")]
    is_protocol = getattr(value, "_is_protocol", False)  # nobody makes one; it is called
    head = f"- `{path}{'' if is_protocol else arguments(value)}`: {summary(value)}"
    return [head, *members(value)] if inspect.isclass(value) else [head]


def index() -> str:
    """Return the whole file."""
    parts, above = [HEAD], public(portanet)
    for module in MODULES:
        short = module.__name__.replace("portanet", "pn", 1)
        parts.append(f"## `{module.__name__}`")
        sections: dict[str, list[str]] = {words: [] for words in [*KINDS, INITIALIZATIONS, REST]}
        for name, value in public(module).items():
            again = module is not portanet and value is above.get(name)
            lines = [f"- `{short}.{name}`: as `pn.{name}`."]
            words = heading(value) if module in (nn, optim) else REST
            sections[words] += lines if again else entry(f"{short}.{name}", value)
        for words, lines in sections.items():
            if lines:
                parts += [f"### {words}"] * (module in (nn, optim)) + ["\n".join(lines)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    INDEX.write_text(index(), encoding="utf-8")
    print(f"wrote {INDEX}")

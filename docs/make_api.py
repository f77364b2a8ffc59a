"""Writes docs/api.md, the index of everything public: ``python docs/make_api.py``."""

import inspect
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import Any

import portanet
import portanet.nn.initialization
from portanet import data, nn, optim, train

INDEX = Path(__file__).with_name("api.md")
HEAD = """# Everything public

A line for each name; `help(name)` has the rest: formulas, shapes, dtypes, errors, sources. This
file is made by `python docs/make_api.py`."""
INITIALIZATIONS = {
    name for name, c in vars(portanet.nn.initialization).items() if inspect.isclass(c)
}


def section_of(value: Any) -> str:
    """Return the heading under which a name of `nn` or `optim` stands."""
    kinds = {
        "layers": nn.Layer,
        "losses": nn.Loss,
        "optimizers": optim.Optimizer,
        "schedules": optim.Schedule,
        "transforms of gradients": optim.Transform,
    }
    for words, kind in kinds.items():
        if inspect.isclass(value) and issubclass(value, kind):
            return words
    return "initialisations" if getattr(value, "__name__", "") in INITIALIZATIONS else "the rest"


def line(path: str, value: Any) -> str:
    """Return a name with its arguments and the first line of its docstring."""
    what = (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ").replace("``", "`")
    if isinstance(value, GenericAlias):  # its docstring is dict's
        return f"- `{path}`: a `{value}`"
    try:
        parameters = inspect.signature(value).parameters.values()
    except ValueError:
        return f"- `{path}`: {what}"
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    arguments, named = [], False
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not named:
            arguments.append("*")
        named = named or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        default = "" if p.default is p.empty else f"={p.default!r}"
        arguments.append(f"{stars.get(p.kind, '')}{p.name}{default}")
    return f"- `{path}({', '.join(arguments)})`: {what}"


def index() -> str:
    """Return the whole file."""
    parts = [HEAD]
    for module in (portanet, nn, optim, data, train):
        short = module.__name__.replace("portanet", "pn", 1)
        parts.append(f"## `{module.__name__}`")
        sections: dict[str, list[str]] = {}
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, ModuleType):
                continue
            heading = section_of(value) if module in (nn, optim) else ""
            sections.setdefault(heading, []).append(line(f"{short}.{name}", value))
        for heading, lines in sorted(sections.items(), key=lambda item: item[0] == "the rest"):
            parts += [f"### {heading.capitalize()}"] * bool(heading) + ["\n".join(lines)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    INDEX.write_text(index(), encoding="utf-8")
    print(f"wrote {INDEX}")

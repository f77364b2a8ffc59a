"""Groups of parameters, each with hyperparameters of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Hyper = dict[str, Any]


@dataclass
class Group:
    """The hyperparameters of some parameters: as given, and those of the next step."""

    initial: Mapping[str, Any]
    hyper: Hyper = field(init=False)

    def __post_init__(self) -> None:
        self.hyper = dict(self.initial)


def lies_in(parameter: str, name: str) -> bool:
    """Say whether a parameter is, or lies in the layer, of a dotted name; all lie in ""."""
    return name in ("", parameter) or parameter.startswith(f"{name}.")


def closest(parameter: str, names: Iterable[str]) -> str:
    """Return the longest of the names that the parameter lies in; "" must be among them."""
    return max((name for name in names if lies_in(parameter, name)), key=len)

"""Groups of parameters, each with hyperparameters of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from portanet.checks import hint

Hyper = dict[str, Any]


class FixedKeys(dict[str, Any]):
    """A dict whose values can be set, but to which nothing can be added."""

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self:
            raise KeyError(f"there is no hyperparameter {key!r}; {hint(key, self.keys())}")
        super().__setitem__(key, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)  # the default would add the items one by one


@dataclass
class Group:
    """The hyperparameters of some parameters: as given, and those of the next step."""

    initial: Mapping[str, Any]
    hyper: Hyper = field(init=False)

    def __post_init__(self) -> None:
        self.hyper = FixedKeys(self.initial)


def lies_in(parameter: str, name: str) -> bool:
    """Say whether a parameter is, or lies in the layer, of a dotted name; all lie in ""."""
    return name in ("", parameter) or parameter.startswith(f"{name}.")


def closest(parameter: str, names: Iterable[str]) -> str:
    """Return the longest of the names that the parameter lies in; "" must be among them."""
    return max((name for name in names if lies_in(parameter, name)), key=len)

"""Groups of parameters, each with hyperparameters of its own, and the options that all share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypedDict

from portanet.optim.transform import Transform
from portanet.words import hint

Hyper = dict[str, Any]


class Common(TypedDict, total=False):
    """The options that every optimizer takes, ``**common: Unpack[Common]``; see `Optimizer`."""

    transforms: Sequence[Transform]
    groups: Mapping[str, Mapping[str, Any]] | None
    decay_bias: bool


class FixedKeys(dict[str, Any]):
    """A dict whose values can be set, but to which nothing can be added."""

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several values; raise KeyError for another key, and then set none."""
        values = dict(*args, **kwargs)
        for key in values.keys() - self.keys():
            raise KeyError(f"there is no hyperparameter {key!r}; {hint(key, self.keys())}")
        super().update(values)

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)  # the default would add the items one by one


class Group:
    """The hyperparameters of some parameters: as given, and those of the next step."""

    def __init__(self, initial: Mapping[str, Any]) -> None:
        self.initial = initial
        self.hyper: Hyper = FixedKeys(initial)


def lies_in(parameter: str, name: str) -> bool:
    """Say whether a parameter is, or lies in the layer, of a dotted name; all lie in ""."""
    return name in ("", parameter) or parameter.startswith(f"{name}.")


def closest(parameter: str, names: Iterable[str]) -> str:
    """Return the longest of the names that the parameter lies in; "" must be among them."""
    return max((name for name in names if lies_in(parameter, name)), key=len)

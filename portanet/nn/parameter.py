"""A layer's arrays as it declares them: what they are before they are drawn."""

from dataclasses import dataclass
from typing import Any

from portanet.backend import Array, Backend
from portanet.nn.initialization import Initialization
from portanet.random import Key, Shape


@dataclass(frozen=True)
class Parameter:
    """An array that is trained."""

    shape: Shape
    init: Initialization
    fan_in: int = 0  # 0: no weighted sum enters or leaves it (batch norm's scale and shift)
    fan_out: int = 0

    def draw(
        self,
        backend: Backend,
        key: Key,
        weight: Initialization | None = None,
        bias: Initialization | None = None,
    ) -> Array:
        """Return it drawn; `weight` and `bias` replace the initializations of weighted sums."""
        override = (weight if len(self.shape) > 1 else bias) if self.fan_in else None
        draw = self.init if override is None else override
        try:
            values = draw(key, self.shape, self.fan_in, self.fan_out)
        except ZeroDivisionError:
            raise ValueError(
                f"{draw} needs the fans: add_parameter(…, fan_in=…, fan_out=…)"
            ) from None
        return _filled(backend, self.shape, values, backend.dtype)


@dataclass(frozen=True)
class Buffer:
    """An array that belongs to a layer but is not trained."""

    shape: Shape
    fill: float
    dtype: str | None = None  # None: the backend's

    def draw(self, backend: Backend) -> Array:
        """Return it as it starts."""
        return _filled(backend, self.shape, self.fill, self.dtype or backend.dtype)


def _filled(backend: Backend, shape: Shape, values: Any, dtype: str) -> Array:
    xp = backend.xp
    array = backend.asarray(values, dtype)
    if array.ndim == 0:
        return xp.full(shape, float(array), dtype=array.dtype, device=backend.device)
    if tuple(array.shape) != shape:
        got = tuple(array.shape)
        raise ValueError(f"the initialization of an array of shape {shape} gave one of {got}")
    return xp.asarray(array, copy=True)  # it changes in place, and may share the host's memory

"""Numbers that are given once, when a loss is made, for scores of any backend and dtype."""

from copy import deepcopy
from reprlib import repr as shortened
from typing import Any, ClassVar

from portanet.backend import Array, Backend
from portanet.registry import find_backend
from portanet.selection import get_backend


class Fixed:
    """Weights from a number, a list or an array of any backend; they stay as they were given.

    They are brought to each backend and dtype once, when first needed there: two threads that need
    them at once may both do it, and get the same.

    Raises ValueError where one is negative or not finite.
    """

    def __init__(self, what: str, values: Any) -> None:
        source = find_backend(values)
        # As Python's numbers: what is selected now, such as float32, must not round them.
        self._values = deepcopy(values) if source is None else source.to_numpy(values).tolist()
        self._arrays: dict[tuple[Backend, Any], Array] = {}
        backend = get_backend()
        try:
            array = backend.asarray(self._values, backend.dtype)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{what}: {error}") from error
        if not bool(backend.xp.all(backend.xp.isfinite(array) & (array >= 0))):
            raise ValueError(f"{what} must be finite and not negative, got {self!r}")
        self.shape = tuple(array.shape)

    def on(self, backend: Backend, dtype: Any) -> Array:
        """Return the numbers as an array of a backend and one of its dtypes."""
        key = backend, dtype
        if key not in self._arrays:
            self._arrays[key] = backend.asarray(self._values, str(dtype).rpartition(".")[2])
        return self._arrays[key]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_arrays": {}}  # which hold backends

    def __repr__(self) -> str:
        return shortened(self._values)


class Weighted:
    """A loss with attributes that are None or `Fixed`, whatever they are assigned: checked, too."""

    # Their names, with the number of axes that they must have, or None.
    weighted: ClassVar[dict[str, int | None]] = {}

    def __setattr__(self, name: str, values: Any) -> None:
        if name in self.weighted and not (values is None or isinstance(values, Fixed)):
            values, ndim = Fixed(name, values), self.weighted[name]
            if ndim not in (None, len(values.shape)):
                who = type(self).__name__
                raise ValueError(f"{who}: expected {name} of {ndim} axis, got shape {values.shape}")
        super().__setattr__(name, values)

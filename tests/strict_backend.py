"""array-api-strict as a backend: the standard and nothing else, on devices that do not mix.

Importing this module registers it under the name ``strict``.
"""

from typing import Any

from portanet import Backend, register_backend

DEVICES = ("CPU_DEVICE", "device1", "no_float64")


@register_backend
class StrictBackend(Backend):
    """Arrays of array-api-strict, on a device of it: its `Device` or that one's name."""

    name = "strict"
    package = "array_api_strict"
    install = "pip install array-api-strict"

    @classmethod
    def load(cls) -> Any:
        """Return the library itself."""
        import array_api_strict

        return array_api_strict

    @classmethod
    def info(cls) -> dict[str, str]:
        """Return its version and devices."""
        return {"version": cls.load().__version__, "devices": ", ".join(DEVICES)}

    def probe(self, device: Any, dtype: str) -> Any:
        """Return a small new array on `device`."""
        return super().probe(self.xp.Device(device) if isinstance(device, str) else device, dtype)

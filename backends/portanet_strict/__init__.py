"""array-api-strict: the standard and nothing else, slowly. It is for testing.

What runs here runs on every library that conforms: array-api-strict refuses what the standard does
not promise, such as NumPy's functions and methods, numbers of mixed kinds, arrays of two devices.
Its devices are imaginary; one of them has no float64.
"""

from typing import Any

from portanet.backend import Backend

DEVICES = ("CPU_DEVICE", "device1", "no_float64")


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
        """Return its version, its devices and what it is for."""
        return {
            "version": cls.load().__version__,
            "devices": ", ".join(DEVICES),
            "use": "testing",
        }

    def probe(self, device: Any, dtype: str) -> Any:
        """Return a small new array on `device`."""
        return super().probe(self.xp.Device(device) if isinstance(device, str) else device, dtype)

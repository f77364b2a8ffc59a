"""Which backends there are, and which of them an array belongs to.

Backends are found by name through the entry-point group ``portanet.backends``; nothing here, nor
anywhere in portanet, imports one by name.
"""

from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portanet.backend import Backend

classes: dict[str, type["Backend"]] = {}  # loaded or registered, by name
broken: dict[str, str] = {}  # entry points that could not be loaded, with the reason
# The backends of arrays that came along, by device, for each library; and by type of array, how to
# find the device and where to look it up: two dict look-ups, 0.1 µs.
_met: dict[str, dict[Hashable, "Backend"]] = {}
_places: dict[type, tuple[Callable[[Any], Hashable], dict[Hashable, "Backend"]]] = {}
_scanned = False


def register_backend(backend: type["Backend"]) -> type["Backend"]:
    """Make a backend known under its name without an entry point; may be used as a decorator.

    Raises TypeError where it is no subclass of `Backend` with `name`, `package` and `install`.
    """
    classes[_checked(backend).name] = backend
    broken.pop(backend.name, None)
    _met.clear()  # it may hold a class of that name, which this one replaces
    _places.clear()
    return backend


def _checked(backend: type["Backend"]) -> type["Backend"]:
    if not (isinstance(backend, type) and hasattr(backend, "unavailable")):
        raise TypeError(f"expected a subclass of portanet.Backend, got {backend!r}")
    for word in ("name", "package", "install"):
        if not isinstance(getattr(backend, word, None), str):
            raise TypeError(f"{backend.__name__} lacks `{word}`, a string; see portanet.Backend")
    return backend


def known() -> dict[str, type["Backend"]]:
    """Return every backend class; reads the entry points once, when first needed (30 ms)."""
    global _scanned
    if not _scanned:
        from importlib.metadata import entry_points

        for point in entry_points(group="portanet.backends"):
            if point.name in classes:
                continue
            try:
                classes[point.name] = _checked(point.load())
            except Exception as error:  # somebody else's package: report it, do not fail on it
                broken[point.name] = f"{point.value} failed to load: {error!r}"
        _scanned = True
    return classes


def find_backend(array: Any) -> "Backend | None":
    """Return the backend of one array, or None for anything else."""
    try:
        device_key, backends = _places[type(array)]
        return backends[device_key(array)]
    except KeyError:  # the first of its type, or on its device
        pass
    # What a backend lets stand for an array, to see what is done to it, says itself where it lives.
    if (own := getattr(array, "portanet_backend", None)) is not None:
        return own  # type: ignore[no-any-return]
    for cls in list(known().values()):
        if cls.owns(array):
            device_key, backends = attrgetter(cls.device_key), _met.setdefault(cls.name, {})
            _places[type(array)] = device_key, backends
            return backends.setdefault(device_key(array), cls(array.device))
    return None

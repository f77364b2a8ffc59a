"""Checks, when a subclass is defined, that its methods accept what they will be called with."""

import inspect

from portanet.words import hint


def check_override(cls: type, name: str, base: type) -> None:
    """Raise TypeError where a class's own method cannot be called with what the base's takes."""
    function = inspect.getattr_static(cls, name)
    if function is inspect.getattr_static(base, name):
        return
    static = isinstance(function, staticmethod)
    if static:
        function = function.__func__
    if not inspect.isfunction(function):  # a class's instance, say, shows only when it is called
        return
    taken = inspect.signature(function, follow_wrapped=False)
    given = [n for n in inspect.signature(getattr(base, name)).parameters if n != "self"]
    given = given if static else ["self", *given]
    try:
        taken.bind(*given)
    except TypeError:
        message = f"{cls.__name__}.{name} takes {taken}, but is called with ({', '.join(given)})"
        raise TypeError(message) from None


def check_hooks(cls: type, base: type, prefix: str) -> None:
    """Raise TypeError where a class has hooks, by the prefix of their names, that `base` has not.

    They would never be called. Those that it has must be called as the base's are.
    """
    known = [name for name in dir(base) if name.startswith(prefix)]
    for name in dir(cls):
        if name.startswith(prefix):
            if name not in known:
                raise TypeError(f"{cls.__name__}: nothing calls {name!r}; {hint(name, known)}")
            check_override(cls, name, base)

"""A layer's own arrays: whoever needs them first draws them, for all."""

from threading import Thread
from typing import Any

import pytest

from portanet import nn
from portanet.nn import declared


class Late:
    """A lock that another thread gets, and gives back, just before the one that asks for it."""

    def __init__(self, first: Any) -> None:
        self.first, self.held = first, False

    def __enter__(self) -> None:
        first, self.first = self.first, None
        if first is not None:
            other = Thread(target=first)
            other.start()
            other.join()
        assert not self.held
        self.held = True

    def __exit__(self, *error: object) -> None:
        self.held = False


@pytest.mark.parametrize("kind", ["own_params", "own_buffers"])
def test_threads_that_need_the_arrays_first_see_the_same(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    layer, seen = nn.BatchNorm1d(3), []

    def look() -> None:
        seen.append(dict(getattr(layer, kind)))

    lock = Late(look)
    monkeypatch.setattr(declared, "_drawing", lock)
    look()
    assert lock.first is None
    theirs, mine = seen
    assert theirs
    assert all(mine[name] is theirs[name] for name in theirs)


def test_arrays_are_drawn_within_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Late(None)
    monkeypatch.setattr(declared, "_drawing", lock)

    def init(key: Any, shape: Any, fan_in: int, fan_out: int) -> Any:
        assert lock.held
        return key.normal(shape)

    layer = nn.Layer()
    layer.add_parameter("weight", (2,), init)
    assert layer.params["weight"].shape == (2,)
    assert not lock.held

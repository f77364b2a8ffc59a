"""The tree of layers: what its parts are called, and what it costs to make one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portanet import nn
from portanet.nn.tree import ParameterTree


def labels(layer: nn.Layer) -> list[str]:
    """Return what the parts are called in messages."""
    return [part.label for _, part in layer.named_layers()]


MAKE: dict[str, Callable[[list[nn.Layer]], nn.Layer]] = {
    "numbered": lambda layers: nn.Sequential(*layers),
    "named": lambda layers: nn.Sequential({f"l{k}": layer for k, layer in enumerate(layers)}),
    "branches": lambda layers: nn.Parallel(*layers),
    "of containers": lambda layers: nn.Sequential(*(nn.Sequential(layer) for layer in layers)),
}


@pytest.mark.parametrize("kind", MAKE)
def test_twice_the_layers_take_twice_the_steps(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    visits, walk = 0, ParameterTree._walk

    def counted(self: ParameterTree, *args: Any) -> Iterator[Any]:
        nonlocal visits
        visits += 1
        return walk(self, *args)

    monkeypatch.setattr(ParameterTree, "_walk", counted)
    counts = []
    for n in (50, 100):
        layers: list[nn.Layer] = [nn.ReLU() for _ in range(n)]
        visits = 0
        MAKE[kind](layers)
        counts.append(visits)
    assert 50 < counts[0] < counts[1] <= 2 * counts[0]


def test_what_stands_in_several_places_has_its_first_name() -> None:
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    inner = nn.Sequential(b, a)
    assert labels(nn.Sequential({"in": a, "body": inner, "out": a}))[1:] == [
        "Linear 'in'",
        "Sequential 'body'",
        "Linear 'body.0'",
    ]


def test_a_container_that_holds_it_later_takes_no_name_away() -> None:
    class Tied(nn.Layer):
        def __init__(self) -> None:
            self.first = nn.Linear(2, 2)
            self.body = nn.Sequential(nn.ReLU(), self.first)  # where it was called "1"

    assert labels(Tied())[1:] == ["Linear 'first'", "Sequential 'body'", "ReLU 'body.0'"]


def test_another_layer_in_its_place_leaves_the_second_name() -> None:
    class Net(nn.Layer):
        def __init__(self) -> None:
            self.a = self.b = nn.Linear(2, 2)

    net = Net()
    assert labels(net)[1:] == ["Linear 'a'"]
    net.a = nn.ReLU()
    assert labels(net)[1:] == ["ReLU 'a'", "Linear 'b'"]


def test_of_children_that_are_refused_none_is_taken() -> None:
    model = nn.Parallel(nn.ReLU())
    with pytest.raises(TypeError, match="expected a layer for 'b', got int"):
        model._add_children({"a": nn.ReLU(), "b": 3})
    assert list(model.children) == ["0"]

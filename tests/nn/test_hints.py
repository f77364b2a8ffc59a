"""What those who know other libraries look for on a layer is answered by what there is."""

import pickle
from copy import copy, deepcopy
from typing import Any

import numpy as np
import pytest

from portanet import nn
from portanet.nn import hints


def model() -> nn.Sequential:
    return nn.Sequential({"fc": nn.Linear(3, 2), "norm": nn.BatchNorm1d(2)})


@pytest.mark.parametrize("word", hints.INSTEAD)
def test_a_word_of_another_library(word: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(model(), word)
    assert str(caught.value) == f"Sequential has no {word!r}: {hints.INSTEAD[word]}"
    assert not hasattr(model(), word)
    assert getattr(model(), word, 3) == 3


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ("parameters", "an optimizer takes the model, as Adam(model)"),
        ("train", "forward(x, training=True)"),
        ("eval", "calling the layer is inference"),
        ("zero_grad", "zero_grads()"),
        *((word, "Trainer(model") for word in ("compile", "fit", "predict", "evaluate")),
    ],
)
def test_the_commonest_words(word: str, instead: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(model(), word)
    assert instead in str(caught.value)


@pytest.mark.parametrize(
    ("name", "word", "where"),
    [
        ("fc", "weight", r"Linear 'fc' has no 'weight': it is an array, params\['weight'\]"),
        ("norm", "bias", r"BatchNorm1d 'norm' has no 'bias': it is an array, params\['bias'\]"),
        ("norm", "running_mean", r"it is an array, buffers\['running_mean'\]"),
    ],
)
def test_arrays_are_no_attributes(name: str, word: str, where: str) -> None:
    with pytest.raises(AttributeError, match=where):
        getattr(model()[name], word)
    kind = "buffers" if word == "running_mean" else "params"
    there = rf"'{word}' is an array of this layer: assign to {kind}\['{word}'\]"
    with pytest.raises(TypeError, match=there):
        setattr(model()[name], word, np.ones(2))


def test_any_other_word_is_pythons() -> None:
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'wieght'"):
        nn.Linear(3, 2).wieght  # noqa: B018


def test_the_error_within_a_property_is_its_own() -> None:
    class Own(nn.Layer):
        @property
        def layers(self) -> Any:
            return self.missing

    with pytest.raises(AttributeError, match="'Own' object has no attribute 'missing'"):
        Own().layers  # noqa: B018


@pytest.mark.parametrize("copied", [copy, deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_made_as_ever(copied: Any) -> None:
    x, given = np.ones((2, 3), "float32"), model()
    np.testing.assert_array_equal(copied(given)(x), given(x))


def test_nothing_that_a_hint_is_about_exists() -> None:
    there = [word for word in hints.INSTEAD if hasattr(nn.Layer, word)]
    assert not there

"""Layer, group and instance normalization: what is normalized, over what, and how exactly."""

from typing import Any

import numpy as np
from cases import fill, numbers

from portanet import nn
from portanet.nn import Context

X = 5.0 + 3.0 * numbers("x", (4, 6, 3, 2))


def normalized(values: Any, axes: Any) -> Any:
    return (values - values.mean(axes, keepdims=True)) / values.std(axes, keepdims=True)


def test_layer_norm_normalizes_the_last_axes_of_each_sample(place: Any) -> None:
    for shape, axes in (((6, 3, 2), (1, 2, 3)), ((3, 2), (2, 3)), (2, -1), ([2], -1)):
        y = nn.LayerNorm(shape, eps=0.0)(place.array(X))
        np.testing.assert_allclose(place.host(y), normalized(X, axes), rtol=1e-3, atol=1e-4)


def test_group_norm_normalizes_groups_of_neighboring_channels(place: Any) -> None:
    for groups in (1, 2, 3, 6):
        split = X.reshape(4, groups, 6 // groups, 3, 2)
        expected = normalized(split, (2, 3, 4)).reshape(X.shape)
        y = nn.GroupNorm(groups, 6, eps=0.0)(place.array(X))
        np.testing.assert_allclose(place.host(y), expected, rtol=1e-3, atol=1e-4)


def test_instance_norm_normalizes_each_channel_by_itself(place: Any) -> None:
    for layer, x, axes in (
        (nn.InstanceNorm2d(6, eps=0.0), X, (2, 3)),
        (nn.InstanceNorm1d(6, eps=0.0), X[..., 0], -1),
    ):
        y = place.host(layer(place.array(x)))
        np.testing.assert_allclose(y, normalized(x, axes), rtol=1e-3, atol=1e-4)


def test_samples_are_normalized_by_themselves_in_both_modes(place: Any) -> None:
    for layer in (nn.LayerNorm((6, 3, 2)), nn.GroupNorm(3, 6), nn.InstanceNorm2d(6, affine=True)):
        assert not layer.couples_samples
        assert not layer.buffers
        fill(layer)
        whole = place.host(layer.vjp(place.array(X), Context(True))[0])
        for k in range(4):
            alone = place.host(layer(place.array(X[k : k + 1])))
            np.testing.assert_allclose(alone, whole[k : k + 1], rtol=place.rtol, atol=1e-6)


def test_numbers_far_from_zero_keep_their_variance(place: Any) -> None:
    # E[x²] − E[x]² would be all rounding: float32 has seven digits, and x² ten.
    values = 30_000.0 + np.arange(8.0).reshape(1, 8)
    for layer in (nn.LayerNorm(8), nn.GroupNorm(1, 8)):
        y = layer(place.array(values))
        np.testing.assert_allclose(place.host(y), normalized(values, 1), rtol=1e-3)


def test_constant_numbers_become_the_shift(place: Any) -> None:
    layer = fill(nn.LayerNorm(4))
    y, pullback = layer.vjp(place.array(np.full((2, 4), 7.0)), Context(True))
    bias = place.host(layer.params["bias"])
    np.testing.assert_array_equal(place.host(y), np.stack([bias, bias]))
    dx, _ = pullback(place.array(numbers("dy", (2, 4))))
    assert np.all(np.isfinite(place.host(dx)))


def test_which_parameters_there_are(place: Any) -> None:
    assert list(nn.LayerNorm(3).params) == ["weight", "bias"]
    assert list(nn.LayerNorm(3, bias=False).params) == ["weight"]
    assert not nn.LayerNorm(3, elementwise_affine=False).params
    assert nn.LayerNorm((2, 3)).params["weight"].shape == (2, 3)
    assert list(nn.GroupNorm(1, 3).params) == ["weight", "bias"]
    assert not nn.GroupNorm(1, 3, affine=False).params
    assert not nn.InstanceNorm2d(3).params
    assert list(nn.InstanceNorm2d(3, affine=True).params) == ["weight", "bias"]

"""What happens to gradients before the update: values, composition, repeatability, errors."""

from typing import Any

import numpy as np
import pytest
from cases import numbers

import portanet as pn
from portanet import nn, optim

SHAPES = {"fc1.weight": (3, 4), "fc1.bias": (3,), "norm.weight": (5,)}


def arrays(place: Any, name: str) -> dict[str, Any]:
    """Return one array for each parameter, always the same for a name."""
    return {n: place.array(numbers(f"{name} {n}", shape)) for n, shape in SHAPES.items()}


def apply(place: Any, transform: optim.Transform, step: int = 0) -> dict[str, Any]:
    """Return the transformed gradients on the host; what was given must stay as it is."""
    grads, params = arrays(place, "g"), arrays(place, "p")
    new = transform(grads, params, step)
    for name, shape in SHAPES.items():
        place.check(new[name], shape)
        assert (place.host(grads[name]) == place.host(arrays(place, "g")[name])).all()
        assert (place.host(params[name]) == place.host(arrays(place, "p")[name])).all()
    return {name: place.host(array) for name, array in new.items()}


def host(name: str) -> dict[str, Any]:
    return {n: numbers(f"{name} {n}", shape) for n, shape in SHAPES.items()}


def assert_close(got: dict[str, Any], expected: dict[str, Any], rtol: float) -> None:
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=rtol, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, float("inf")])
@pytest.mark.parametrize("share", [0.25, 0.999, 4.0])
def test_clipping_by_norm(place: Any, norm_type: float, share: float) -> None:
    flat = np.concatenate([g.ravel() for g in host("g").values()])
    norm = np.linalg.norm(flat, norm_type)
    got = apply(place, optim.ClipGradNorm(share * norm, norm_type))
    scale = min(1.0, share * norm / (norm + 1e-6))
    assert_close(got, {n: g * scale for n, g in host("g").items()}, place.rtol)


@pytest.mark.parametrize("in_order", [True, False])
def test_the_norm_of_many_gradients_keeps_its_digits(library: Any, in_order: bool) -> None:
    g = np.random.default_rng(0).normal(size=(2048, 1024)).astype("float32")
    given = library.array(g if in_order else g.T, "float32")
    given = given if in_order else pn.backend_of(given).xp.permute_dims(given, (1, 0))
    clipped = library.host(optim.ClipGradNorm(1.0)({"g": given}, {}, 0)["g"])
    norm = np.linalg.norm(g.astype("float64"))
    np.testing.assert_allclose(clipped, g / norm, rtol=5e-7)


@pytest.mark.parametrize("clip", [optim.ClipGradNorm, optim.ClipGradValue])
def test_an_infinite_bound_clips_nothing(place: Any, clip: Any) -> None:
    assert_close(apply(place, clip(float("inf"))), host("g"), place.rtol)


def test_parameters_without_elements_do_not_count_in_the_norm(library: Any) -> None:
    full, empty = library.array([3.0, -4.0]), library.array(np.zeros((0, 2)))
    for norm_type, norm in ((2.0, 5.0), (float("inf"), 4.0)):
        clip = optim.ClipGradNorm(1.0, norm_type)
        clipped = clip({"full": full, "empty": empty}, {}, 0)
        np.testing.assert_allclose(library.host(clipped["full"]), [3 / norm, -4 / norm], 1e-5)
        assert tuple(clipped["empty"].shape) == (0, 2)
        assert tuple(clip({"empty": empty}, {}, 0)["empty"].shape) == (0, 2)


def test_clipping_by_value(place: Any) -> None:
    got = apply(place, optim.ClipGradValue(0.5))
    assert_close(got, {n: np.clip(g, -0.5, 0.5) for n, g in host("g").items()}, place.rtol)
    assert max(abs(g).max() for g in got.values()) == 0.5


def test_l1_leaves_zeros_alone(library: Any) -> None:
    w = library.array([[0.0, 3.0, -3.0]])
    got = optim.L1(0.5)({"w": 0.0 * w}, {"w": w}, 0)["w"]
    np.testing.assert_array_equal(library.host(got), [[0.0, 0.5, -0.5]])


@pytest.mark.parametrize("dead_zone", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_l1(place: Any, dead_zone: bool, bias: bool) -> None:
    got = apply(place, optim.L1(0.6, dead_zone=dead_zone, bias=bias))
    expected = host("g")
    for name, w in host("p").items():
        if bias or name == "fc1.weight":
            where = abs(w) > 0.6 if dead_zone else 1.0
            expected[name] = expected[name] + 0.6 * np.sign(w) * where
    assert_close(got, expected, place.rtol)
    w = abs(host("p")["fc1.weight"])
    assert (w > 0.6).any()
    assert (w <= 0.6).any()


def test_noise_is_normal_and_fades() -> None:
    like = pn.asarray(np.zeros((300, 400)), dtype="float64")
    for step in (0, 1, 9):
        noise = optim.GradientNoise(0.04, 0.6)({"w": like}, {"w": like}, step)["w"]
        sigma = (0.04 / (1 + step) ** 0.6) ** 0.5
        assert abs(noise.std() / sigma - 1) < 0.01
        assert abs(noise.mean()) < 4 * sigma / 300
        shares = [(abs(noise) < k * sigma).mean() for k in (1, 2, 3)]
        np.testing.assert_allclose(shares, [0.6827, 0.9545, 0.9973], atol=0.005)


def test_noise_repeats_with_its_seed_and_differs_by_step_and_name(place: Any) -> None:
    noise = optim.GradientNoise(seed=3)
    first = apply(place, noise)
    assert_close(first, apply(place, optim.GradientNoise(seed=3)), 0.0)
    for other in (apply(place, noise, 1), apply(place, optim.GradientNoise(seed=4))):
        assert (first["fc1.weight"] != other["fc1.weight"]).all()
    g = host("g")
    drawn = [first[name] - g[name] for name in ("fc1.bias", "norm.weight")]
    assert (drawn[0] != drawn[1][:3]).all()


def test_noise_agrees_between_libraries(place: Any) -> None:
    got = apply(place, optim.GradientNoise(), 2)
    pn.set_backend("numpy", dtype=place.dtype)
    noise = optim.GradientNoise()
    grads = {n: pn.asarray(g) for n, g in host("g").items()}
    assert_close(got, {n: np.asarray(a) for n, a in noise(grads, grads, 2).items()}, place.rtol)


def test_faded_noise_is_none(place: Any) -> None:
    assert_close(apply(place, optim.GradientNoise(0.05**2, 900.0), 10), host("g"), place.rtol)


def model() -> nn.Layer:
    layers = {"fc1": nn.Linear(4, 3), "act": nn.Tanh(), "norm": nn.BatchNorm1d(3)}
    return nn.Sequential(layers).initialize(1)


def gradients(place: Any, network: nn.Layer) -> dict[str, Any]:
    return {n: place.array(numbers(n, p.shape)) for n, p in network.params.items()}


def test_an_optimizer_applies_them_in_order(place: Any) -> None:
    transforms = [optim.L1(0.1), optim.ClipGradNorm(0.7), optim.GradientNoise(seed=1)]
    ours, theirs = model(), model()
    optimizer = optim.SGD(ours, lr=1.0, transforms=transforms)
    plain = optim.SGD(theirs, lr=1.0)
    for step in range(3):
        grads = gradients(place, ours)
        optimizer.step(grads)
        for transform in transforms:
            grads = transform(grads, theirs.params, step)
        plain.step(grads)
        for name, p in ours.params.items():
            assert (place.host(p) == place.host(theirs.params[name])).all()


def test_frozen_parameters_do_not_count_in_the_norm(place: Any) -> None:
    network = model()
    network["fc1"].freeze()
    before = {n: place.host(p) for n, p in network.params.items()}
    grads = gradients(place, network)
    optim.SGD(network, lr=1.0, transforms=[optim.ClipGradNorm(0.1)]).step(grads)
    change = [place.host(network.params[n]) - before[n] for n in ("norm.weight", "norm.bias")]
    np.testing.assert_allclose(np.linalg.norm(np.concatenate(change)), 0.1, rtol=1e-4)


class Counting(optim.Transform):
    """Keeps state: how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, grads: Any, params: Any, step: int) -> Any:
        self.calls += 1
        return grads

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: Any) -> None:
        self.calls = state["calls"]


class Particular(Counting):
    """Takes no state of an odd number, and that only when it has taken a part of it."""

    def load_state_dict(self, state: Any) -> None:
        self.calls = state["calls"]
        if self.calls % 2:
            raise ValueError(f"{self.calls} is odd")


@pytest.mark.parametrize("odd", [0, 1])
def test_a_state_that_one_of_them_does_not_take_changes_nothing(library: Any, odd: int) -> None:
    network = model()
    transforms = [Counting(), Counting()]
    transforms[odd] = Particular()
    optimizer = optim.SGD(network, momentum=0.9, transforms=transforms)
    for _ in range(2):
        optimizer.step(gradients(library, network))
    before = optimizer.state_dict()
    groups = {"": {"initial": {**optimizer.initial}, "hyper": optimizer.hyper | {"lr": 7.0}}}
    state = before | {"steps": 3, "groups": groups, "transforms": [{"calls": 3}, {"calls": 3}]}
    with pytest.raises(ValueError, match="3 is odd"):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after["transforms"] == [{"calls": 2}, {"calls": 2}]
    assert {n: after[n] for n in ("steps", "groups")} == {n: before[n] for n in ("steps", "groups")}
    optimizer.load_state_dict(state | {"transforms": [{"calls": 4}, {"calls": 6}]})
    assert (optimizer.steps, optimizer.hyper["lr"]) == (3, 7.0)


def test_their_state_is_the_optimizers(place: Any) -> None:
    network, counting = model(), Counting()
    optimizer = optim.SGD(network, transforms=[counting, optim.L1(0.1)])
    for _ in range(3):
        optimizer.step(gradients(place, network))
    other = optim.SGD(network, transforms=[Counting(), optim.L1(0.1)])
    other.load_state_dict(optimizer.state_dict())
    assert other.transforms[0].calls == 3
    with pytest.raises(ValueError, match="another optimizer's: \\['transforms'\\]"):
        optim.SGD(network).load_state_dict(optimizer.state_dict())

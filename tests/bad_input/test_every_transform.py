"""Bad images, and images in odd memory, for every augmentation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_input.layouts import NAMES, laid_out
from cases import numbers

import portanet as pn
from portanet import data

KEY = pn.Key(0)
MAKERS: dict[str, Callable[[], Any]] = {
    "ColorJitter": lambda: data.ColorJitter(0.3, 0.3),
    "Compose": lambda: data.Compose([data.RandomCrop(5, 1), data.Cutout(2)]),
    "Cutout": lambda: data.Cutout(3, fill=0.5),
    "RandomAffine": lambda: data.RandomAffine(20, (0.1, 0.1), (0.8, 1.2)),
    "RandomCrop": lambda: data.RandomCrop(4, padding=1),
    "RandomHorizontalFlip": lambda: data.RandomHorizontalFlip(),
    "RandomRotation": lambda: data.RandomRotation(30),
}
every_transform = pytest.mark.parametrize("name", MAKERS)


def images(n: int = 4) -> Any:
    return 0.5 + 0.1 * numbers("images", (n, 3, 6, 7))


def test_all_of_them_are_here() -> None:
    found = {getattr(data, name) for name in data.__all__}
    kinds = {c for c in found if isinstance(c, type) and issubclass(c, data.Transform)}
    assert {c.__name__ for c in kinds} - {"Transform"} <= MAKERS.keys()


@every_transform
def test_any_layout_in_memory(name: str, tmp_path: Path) -> None:
    pn.set_backend("numpy", dtype="float64")
    expected = MAKERS[name]()(images(), KEY)
    for layout in NAMES:
        found = MAKERS[name]()(laid_out(images(), layout, tmp_path), KEY)
        np.testing.assert_allclose(found, expected, 1e-14)


@every_transform
def test_odd_images(name: str, library: Any) -> None:
    transform = MAKERS[name]()
    none = transform(library.array(images()[:0]), KEY)
    assert none.shape[0] == 0
    assert none.shape[1:] == transform(library.array(images()), KEY).shape[1:]
    for shape in ((), (6,), (6, 7), (3, 6, 7), (1, 4, 3, 6, 7)):
        with pytest.raises(ValueError, match=r"expected images of shape \(N, C, H, W\), got"):
            transform(library.array(np.ones(shape)), KEY)
    for shape in ((4, 3, 0, 7), (4, 3, 6, 0), (4, 0, 6, 7)):
        with pytest.raises(ValueError, match=r"expected images of shape \(N, C, H, W\), got"):
            transform(library.array(np.ones(shape)), KEY)
    for dtype in ("bool", "uint8", "int64"):
        with pytest.raises(TypeError, match=f"expected floating-point images, got {dtype}"):
            transform(library.array(np.ones((4, 3, 6, 7), dtype)), KEY)


@every_transform
@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
def test_a_bad_pixel_stays_in_its_image(name: str, bad: float, library: Any) -> None:
    transform, spoiled = MAKERS[name](), images()
    expected = library.host(transform(library.array(images()), KEY))
    spoiled[0] = bad
    with np.errstate(all="ignore"):
        found = library.host(transform(library.array(spoiled), KEY))
    np.testing.assert_array_equal(found[1:], expected[1:])
    if np.isnan(bad):
        assert np.isnan(found[0]).any()

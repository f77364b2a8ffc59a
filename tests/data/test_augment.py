"""Augmentation: each transform beside loops over pixels, by seed, in parts, in training."""

from cmath import exp
from itertools import islice
from math import floor, pi, sqrt

import numpy as np
import pytest

import portanet as pn
from portanet import nn
from portanet.data import (
    ColorJitter,
    Compose,
    Cutout,
    DataLoader,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    Transform,
)
from portanet.data.affine import resample

KEY = pn.Key(7)
GRAY = np.random.default_rng(1).random((5, 1, 6, 7))
COLORS = np.random.default_rng(2).random((5, 3, 5, 4))


# --- beside loops over pixels ---------------------------------------------------------------------

# Each takes the transform, one image (C, H, W) and its random numbers.


def in_range(ends, u):
    return ends[0] + (ends[1] - ends[0]) * u


def each_pixel(size, value):
    """Return the image (C, *size) whose pixels are value(row, column), (C,)."""
    pixels = [[value(i, j) for j in range(size[1])] for i in range(size[0])]
    return np.moveaxis(np.array(pixels), 2, 0)


def pixel(image, i, j, fill=0.0):
    c, h, w = image.shape
    return image[:, i, j] if 0 <= i < h and 0 <= j < w else np.full(c, fill)


def flipped(transform, image, u):
    last = image.shape[2] - 1 if u[0] < transform.p else None
    return each_pixel(image.shape[1:], lambda i, j: image[:, i, j if last is None else last - j])


def cropped(transform, image, u):
    free = [n + 2 * transform.padding - k for n, k in zip(image.shape[1:], transform.size)]  # noqa: B905
    top, left = (floor(v * (k + 1)) - transform.padding for v, k in zip(u, free, strict=True))
    return each_pixel(transform.size, lambda i, j: pixel(image, i + top, j + left, transform.fill))


def covered(transform, image, u):
    c, h, w = image.shape
    tops = (floor(u[0] * h), floor(u[1] * w))

    def value(i, j):
        steps = ((i - tops[0]) + transform.size[0] // 2, (j - tops[1]) + transform.size[1] // 2)
        hidden = all(0 <= k < n for k, n in zip(steps, transform.size, strict=True))
        return np.full(c, transform.fill) if hidden else image[:, i, j]

    return each_pixel((h, w), value)


def lit(transform, image, u):
    brightness, contrast = in_range(transform.brightness, u[0]), in_range(transform.contrast, u[1])
    y = np.clip(image * brightness, 0.0, 1.0)
    weights = [0.2989, 0.587, 0.114] if len(y) == 3 else [1.0]
    mean = np.mean(sum(weight * channel for weight, channel in zip(weights, y, strict=True)))
    return np.clip(mean + contrast * (y - mean), 0.0, 1.0)


def turned(image, degrees, scale=1.0, shift=0j, fill=0.0):
    """Turn clockwise, scale, shift: in the plane of complex numbers, rightwards and downwards."""
    c, h, w = image.shape
    center = complex(w - 1, h - 1) / 2

    def value(i, j):
        source = (complex(j, i) - center - shift) / (scale * exp(1j * pi * degrees / 180)) + center
        total, weights = np.zeros(c), 0.0
        for k in range(h):
            for m in range(w):
                away = source - complex(m, k)
                weight = max(0.0, 1.0 - abs(away.real)) * max(0.0, 1.0 - abs(away.imag))
                total, weights = total + weight * image[:, k, m], weights + weight
        return total + fill * (1.0 - weights)

    return each_pixel((h, w), value)


def moved(transform, image, u):
    h, w = image.shape[1:]
    most = transform.translate[0] * w, transform.translate[1] * h
    shift = complex(*(round(in_range((-k, k), v)) for k, v in zip(most, u[2:], strict=True)))
    degrees, scale = in_range(transform.degrees, u[0]), in_range(transform.scale, u[1])
    return turned(image, degrees, scale, shift, transform.fill)


def rotated(transform, image, u):
    return turned(image, -in_range(transform.degrees, u[0]), fill=transform.fill)


CASES = [
    (RandomHorizontalFlip(), flipped),
    (RandomHorizontalFlip(0.8), flipped),
    (RandomCrop(4), cropped),
    (RandomCrop((3, 2), padding=1), cropped),
    (RandomCrop((7, 8), padding=2, fill=0.25), cropped),
    (Cutout(3), covered),
    (Cutout((4, 1), fill=0.5), covered),
    (Cutout(20), covered),
    (ColorJitter(0.4, 0.7), lit),
    (ColorJitter(brightness=2.5), lit),
    (ColorJitter(contrast=(0.2, 3.0)), lit),
    (RandomRotation(40), rotated),
    (RandomRotation((10, 170), fill=-1.0), rotated),
    (RandomAffine(30), moved),
    (RandomAffine((-180, -20), translate=(0.3, 0.6)), moved),
    (RandomAffine(0, translate=(0.0, 1.0), fill=0.5), moved),
    (RandomAffine(10, (0.1, 0.1), (0.4, 2.5), fill=0.25), moved),
]
every_case = pytest.mark.parametrize(
    ("transform", "reference"), CASES, ids=[repr(transform) for transform, _ in CASES]
)
every_transform = pytest.mark.parametrize("transform", [case[0] for case in CASES], ids=repr)
both = pytest.mark.parametrize("images", [GRAY, COLORS], ids=["gray", "colors"])


def test_every_transform_has_a_case():
    public = {getattr(pn.data, name) for name in pn.data.__all__}
    transforms = {c for c in public if isinstance(c, type) and issubclass(c, Transform)}
    assert {type(transform) for transform, _ in CASES} == transforms - {Transform}


@both
@every_case
def test_transforms(transform, reference, images, place):
    x = place.array(images)
    y = transform(x, KEY, 3)
    u = KEY.samples((len(images), transform.draws), "float64", 3)
    expected = np.stack([reference(transform, *pair) for pair in zip(images, u, strict=True)])
    place.check(y, expected.shape)
    np.testing.assert_allclose(place.host(y), expected, rtol=place.rtol, atol=place.rtol)
    assert not np.array_equal(place.host(y), images)
    np.testing.assert_array_equal(place.host(x), place.host(place.array(images)))


@every_transform
def test_both_dtypes_change_alike(transform, library):
    wide = transform(library.array(COLORS), KEY)
    place = library.select("float32")
    narrow = transform(place.array(COLORS), KEY)
    place.check(narrow, wide.shape)
    np.testing.assert_allclose(place.host(narrow), place.host(wide), rtol=1e-4, atol=1e-5)


@every_transform
def test_the_order_in_memory_does_not_matter(transform, library):
    x = library.array(np.moveaxis(COLORS, 0, 3).copy())
    y = transform(library.backend.xp.permute_dims(x, (3, 0, 1, 2)), KEY)
    expected = transform(library.array(COLORS), KEY)
    np.testing.assert_allclose(library.host(y), library.host(expected), rtol=0, atol=1e-14)


# --- by seed, in parts ----------------------------------------------------------------------------

EVERYTHING = Compose(
    [
        RandomCrop(5, padding=1),
        RandomHorizontalFlip(),
        RandomAffine(30, (0.2, 0.2), (0.8, 1.2)),
        ColorJitter(0.3, 0.3),
        Cutout(2),
    ]
)


@pytest.mark.parametrize("transform", [*(case[0] for case in CASES), EVERYTHING], ids=repr)
def test_a_key_gives_the_same_images_each_time_and_in_parts(transform, library):
    x = library.array(GRAY)
    whole = library.host(transform(x, KEY))
    np.testing.assert_array_equal(library.host(transform(x, KEY)), whole)
    np.testing.assert_array_equal(library.host(transform(x, KEY, 0)), whole)
    for start, stop in ((0, 2), (2, 3), (3, 5)):
        part = library.host(transform(x[start:stop, ...], KEY, start))
        np.testing.assert_allclose(part, whole[start:stop], rtol=0, atol=1e-14)
    if not isinstance(transform, Cutout) or transform.size != (20, 20):  # it covers everything
        assert not np.array_equal(library.host(transform(x, pn.Key(8))), whole)
        assert not np.array_equal(library.host(transform(x, KEY, 1)), whole)


def test_samples_differ():
    same = np.broadcast_to(GRAY[:1], GRAY.shape)
    rows = EVERYTHING(same, KEY).reshape(5, -1)
    assert len({tuple(row) for row in rows.tolist()}) == 5


def test_compose_gives_each_transform_a_key_of_its_own():
    flip = RandomHorizontalFlip()
    x = np.random.default_rng(3).random((64, 1, 1, 2))
    y = Compose([flip, flip])(x, KEY, 2)
    np.testing.assert_array_equal(y, flip(flip(x, KEY.child(0), 2), KEY.child(1), 2))
    assert not np.array_equal(y, x)
    keys = []
    Compose([lambda x, key, first: keys.append((key, first)) or x])(x, KEY, 5)
    assert keys == [(KEY.child(0), 5)]
    assert Compose([])(x, KEY) is x


# --- what is exact --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transform",
    [
        RandomHorizontalFlip(0),
        RandomCrop((6, 7)),
        RandomAffine(0),
        RandomAffine((0, 0), (0, 0), (1, 1), fill=0.3),
        RandomRotation(0),
        ColorJitter(),
        Compose([RandomCrop((6, 7)), RandomRotation(0), ColorJitter(0, 0)]),
    ],
    ids=repr,
)
def test_without_a_change_images_come_back_as_they_are(transform, place):
    y = transform(place.array(GRAY), KEY)
    np.testing.assert_array_equal(place.host(y), place.host(place.array(GRAY)))


def test_whole_pixels_are_shifted_without_interpolation(place):
    shifts = [(-2, 1), (0, -1), (3, 0), (-9, 2), (1, 5)]  # down, right
    matrices = np.array([[[1.0, 0.0, -right], [0.0, 1.0, -down]] for down, right in shifts])
    x = place.array(GRAY)
    y = place.host(resample(x, matrices, fill=0.3))
    surrounded = np.pad(place.host(x), ((0, 0), (0, 0), (9, 9), (9, 9)), constant_values=0.3)
    if place.dtype == "float32":
        surrounded = surrounded.astype("float32")
    for image, source, (down, right) in zip(y, surrounded, shifts, strict=True):
        expected = source[:, 9 - down : 15 - down, 9 - right : 16 - right]
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("size", [5, 6])
@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3), (270, 3), (360, 0)])
def test_quarter_turns_move_pixels(size, degrees, turns, place):
    x = place.array(np.random.default_rng(4).random((3, 2, size, size)))
    expected = np.rot90(place.host(x), turns, axes=(2, 3))  # counter-clockwise
    bounds = {"rtol": 0, "atol": 20 * np.finfo(place.dtype).eps}
    y = RandomRotation((degrees, degrees))(x, KEY)
    np.testing.assert_allclose(place.host(y), expected, **bounds)
    y = RandomAffine((-degrees, -degrees))(x, KEY)
    np.testing.assert_allclose(place.host(y), expected, **bounds)


def test_a_quarter_turn_is_a_transposition_and_a_flip():
    x = GRAY[:, :, :, :6]
    y = RandomRotation((90, 90))(x, KEY)
    np.testing.assert_allclose(y, np.swapaxes(x, 2, 3)[:, :, ::-1], atol=1e-14)


def test_flips():
    np.testing.assert_array_equal(RandomHorizontalFlip(1)(COLORS, KEY), COLORS[:, :, :, ::-1])


# --- how often, how far ---------------------------------------------------------------------------

N = 20_000


def assert_uniform(counts):
    """Bound χ² by its mean and six standard deviations."""
    counts = np.asarray(counts)
    expected, freedom = counts.sum() / counts.size, counts.size - 1
    assert np.sum((counts - expected) ** 2 / expected) < freedom + 6 * sqrt(2 * freedom)


def assert_spread(values, low, high):
    """Check the mean of numbers that are uniform in [low, high], and that they reach its ends."""
    margin = 0.002 * (high - low)
    assert low - 1e-9 <= values.min() < low + margin
    assert high - margin < values.max() <= high + 1e-9
    assert abs(values.mean() - (low + high) / 2) < 5 * (high - low) / sqrt(12 * len(values))


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_how_often_images_are_mirrored(p):
    x = np.tile(np.array([0.0, 1.0]), (N, 1, 1, 1))
    y = RandomHorizontalFlip(p)(x, KEY)
    assert abs(y[:, 0, 0, 0].mean() - p) <= 5 * sqrt(p * (1 - p) / N)


def test_where_pieces_are_cut():
    x = np.broadcast_to(np.arange(12.0).reshape(3, 4), (N, 1, 3, 4))
    corners = RandomCrop((2, 1))(x, KEY)[:, 0, 0, 0].astype(int)
    counts = np.bincount(corners, minlength=12)
    assert counts[8:].sum() == 0
    assert_uniform(counts[:8])
    corners = RandomCrop((3, 4), padding=1, fill=-1)(x, KEY)[:, 0, 1, 1].astype(int)
    assert_uniform(np.bincount(corners, minlength=12)[[0, 1, 2, 4, 5, 6, 8, 9, 10]])


def test_where_holes_are():
    holes = 1.0 - Cutout(1)(np.ones((N, 1, 3, 4)), KEY)
    np.testing.assert_array_equal(holes.sum(axis=(1, 2, 3)), 1.0)
    assert_uniform(holes.sum(axis=(0, 1)).ravel())
    areas = (1.0 - Cutout(2)(np.ones((N, 1, 3, 4)), KEY)).sum(axis=(1, 2, 3)).astype(int)
    shares = np.bincount(areas)[[1, 2, 4]] / N  # in the corner, along the edges, whole
    np.testing.assert_allclose(shares, [1 / 12, 5 / 12, 6 / 12], atol=5 * sqrt(0.25 / N))


def test_how_images_are_turned_scaled_and_shifted():
    """Bilinear interpolation is exact for coordinates, so images of them tell where they are."""
    down, right = np.mgrid[-10.0:11, -10.0:11]
    x = np.broadcast_to(np.stack([right, down]), (2000, 2, 21, 21))
    y = RandomAffine((-10, 30), (0.1, 0.2), (0.8, 1.5), fill=np.e)(x, KEY)
    center, beside = y[:, 0, 10, 10] + 1j * y[:, 1, 10, 10], y[:, 0, 10, 11] + 1j * y[:, 1, 10, 11]
    inverse = beside - center  # of scale · exp(iφ)
    assert_spread(-np.angle(inverse, deg=True), -10, 30)
    assert_spread(1 / np.abs(inverse), 0.8, 1.5)
    shift = -center / inverse
    np.testing.assert_allclose(shift, np.round(shift.real) + 1j * np.round(shift.imag), atol=1e-9)
    for steps, most in ((shift.real, 2.1), (shift.imag, 4.2)):
        counts = np.bincount(np.round(steps).astype(int) + floor(most))
        assert len(counts) == 2 * floor(most) + 1
        assert_uniform(counts[1:-1])
        assert abs(counts[[0, -1]].mean() / counts[1:-1].mean() - (most - floor(most) + 0.5)) < 0.2
    angles = RandomRotation((-10, 30))(x, KEY)[:, :, 10, 11]
    assert_spread(np.degrees(np.arctan2(angles[:, 1], angles[:, 0])), -10, 30)


def test_how_bright_images_become():
    x = np.full((N, 1, 1, 1), 0.25)
    assert_spread(ColorJitter(brightness=0.4)(x, KEY) / 0.25, 0.6, 1.4)
    assert_spread(ColorJitter(brightness=2)(x, KEY) / 0.25, 0.0, 3.0)
    x = np.broadcast_to(np.array([0.4, 0.6]), (N, 1, 1, 2))
    y = ColorJitter(contrast=(0.5, 2))(x, KEY)
    assert_spread((y[..., 1] - y[..., 0]) / 0.2, 0.5, 2.0)
    np.testing.assert_allclose(y.mean(axis=3), 0.5)


# --- in training ----------------------------------------------------------------------------------

X = np.random.default_rng(5).random((10, 1, 6, 7))
Y = np.arange(10) % 3


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_loaders_epoch_has_the_same_images_however_it_is_cut(shuffle):
    def loader(size, transform=EVERYTHING, **options):
        return DataLoader((X, Y), size, shuffle=shuffle, transform=transform, **options)

    def images(batches):
        return np.concatenate([x for x, _ in batches])

    whole, again = (images(loader(10).batches(3)) for _ in range(2))
    np.testing.assert_array_equal(again, whole)
    np.testing.assert_allclose(images(loader(4).batches(3)), whole, rtol=0, atol=1e-14)
    np.testing.assert_allclose(
        images(islice(loader(4).batches(3), 1, None)), whole[4:], rtol=0, atol=1e-14
    )
    for other in (loader(10).batches(2), loader(10, seed=1).batches(3)):
        assert not np.array_equal(images(other), whole)
    for (x, y), (plain, labels) in zip(loader(4), loader(4, None), strict=True):
        assert x.shape == (*plain.shape[:2], 5, 5)
        np.testing.assert_array_equal(y, labels)


def test_a_loader_tells_its_transform_the_place_and_a_key_by_epoch():
    told = []
    loader = DataLoader(X, 4, transform=lambda x, key, first: told.append((key, first)) or -x)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([x for (x,) in loader]), -X)
    assert [first for _, first in told] == [0, 4, 8] * 2
    keys = [key for key, _ in told]
    assert keys == [keys[0]] * 3 + [keys[3]] * 3
    assert keys[0] != keys[3]


def test_drawing_with_replacement_augments_each_draw():
    loader = DataLoader(X[:1], 8, replacement=True, transform=RandomRotation(90))
    ((x,),) = loader
    assert len({tuple(row) for row in x.reshape(8, -1).tolist()}) == 8


@pytest.mark.parametrize("shuffle", [False, True])
def test_memory_maps(shuffle, tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for options in ({"transform": EVERYTHING}, {"transform": RandomHorizontalFlip()}):
        batches = [DataLoader(data, 4, shuffle=shuffle, **options) for data in (mapped, X)]
        for (x,), (expected,) in zip(*batches, strict=True):
            np.testing.assert_array_equal(x, expected)


def trainer():
    """Return one whose network takes images of 5×5."""
    pn.set_backend("numpy", dtype="float64")
    model = nn.Sequential(nn.Flatten(), nn.Linear(25, 3))
    return pn.Trainer(model, nn.CrossEntropyLoss(), pn.optim.SGD(model, lr=0.1))


def weights_after(trainer, data, **options):
    trainer.fit(data, progress=False, **options)
    return trainer.model.params["1.weight"]


def test_training_sees_what_the_loader_makes():
    """The network fits no image of the data, only the pieces cut from them."""
    loader = DataLoader((X, Y), 4, shuffle=True, transform=EVERYTHING)
    weights = weights_after(trainer(), loader, epochs=3)
    made = [list(loader.batches(epoch)) for epoch in range(3)]
    by_hand = trainer()
    for batches in made:
        weights_after(by_hand, batches)
    np.testing.assert_array_equal(by_hand.model.params["1.weight"], weights)
    by_parts = trainer()
    for _ in range(3):
        weights_after(by_parts, loader)
    np.testing.assert_array_equal(by_parts.model.params["1.weight"], weights)


def test_validation_data_is_evaluated_as_it_is():
    x = X[:, :, :5, :5]
    fitted = trainer()
    loader = DataLoader((x, Y), 4, transform=RandomCrop(5, padding=2))
    history = fitted.fit(loader, validation_data=(x, Y), progress=False)
    scores = fitted.model(x)
    assert history["val_loss"][-1] == pytest.approx(nn.CrossEntropyLoss()(scores, Y))


# --- errors ---------------------------------------------------------------------------------------

BYTES = (X * 255).astype("uint8")


@every_transform
def test_bytes_are_refused_with_advice(transform, library):
    name = type(transform).__name__
    message = rf"{name}: expected floating-point images, got uint8; portanet.asarray\(x, dtype="
    with pytest.raises(TypeError, match=message):
        transform(library.array(BYTES), KEY)
    with pytest.raises(TypeError, match=message):  # before anything is trained
        trainer().fit(DataLoader((BYTES, Y), 4, transform=transform), progress=False)
    advised = pn.asarray(BYTES, dtype="float32") / 255
    assert transform(advised, KEY).dtype == advised.dtype


def test_transforms_show_their_options():
    shown = repr(Compose([RandomCrop(28, 2), RandomHorizontalFlip()]))
    assert shown == (
        "Compose(transforms=[RandomCrop(size=(28, 28), padding=2), RandomHorizontalFlip()])"
    )

"""im2col and col2im: against loops that read like the definition, and against each other."""

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from portanet import im2col as generic
from portanet.im2col import Window
from portanet.selection import make_backend

# kernel_size, stride, padding, dilation, and the image's height and width
GEOMETRIES = [
    (1, 1, 0, 1, (4, 5)),
    (3, 1, 0, 1, (5, 6)),
    (3, 1, 1, 1, (4, 4)),
    (2, 2, 0, 1, (6, 4)),
    (2, 2, 0, 1, (5, 7)),  # the last row and column are in no window
    (2, 3, 1, 1, (7, 8)),  # a stride beyond the kernel
    ((3, 2), (2, 1), (1, 0), 1, (6, 5)),
    ((1, 4), (1, 2), (0, 2), 1, (3, 6)),
    (3, 1, 0, 2, (7, 8)),
    (2, (2, 3), (2, 1), (3, 2), (6, 7)),
    ((5, 4), 1, 0, 1, (5, 4)),  # one position
    (5, 1, 2, 1, (2, 3)),  # a kernel beyond the image
    (3, 1, "same", 1, (4, 5)),
    ((2, 4), 1, "same", (1, 2), (4, 5)),
    (2, 2, "valid", 1, (4, 4)),
]
SAMPLES, CHANNELS = 3, 2


@pytest.fixture(params=GEOMETRIES, ids=str)
def geometry(request: pytest.FixtureRequest) -> tuple[Window, tuple[int, int, int, int]]:
    """Give a window and the shape of an image."""
    *arguments, size = request.param
    return Window.of(*arguments), (SAMPLES, CHANNELS, *size)


@cache
def pixels(window: Window, shape: Any) -> Any:
    """Return, for each element of the columns that is no padding, its place there and its pixel.

    The row counts channel, kernel row and kernel column; the column counts output row, output
    column and sample.
    """
    n, c, h, w = shape
    (kh, kw), (oh, ow) = window.kernel, window.output_size(h, w)
    pairs = []
    for channel, u, v, i, j, sample in product(*map(range, (c, kh, kw, oh, ow, n))):
        place = (channel * kh + u) * kw + v, (i * ow + j) * n + sample
        y = i * window.stride[0] + u * window.dilation[0] - window.padding[0][0]
        x = j * window.stride[1] + v * window.dilation[1] - window.padding[1][0]
        if 0 <= y < h and 0 <= x < w:
            pairs.append((place, (sample, channel, y, x)))
    return pairs


def looped_im2col(x: Any, window: Window) -> Any:
    n, c, h, w = x.shape
    oh, ow = window.output_size(h, w)
    columns = np.zeros((c * window.kernel[0] * window.kernel[1], oh * ow * n), dtype=x.dtype)
    for place, pixel in pixels(window, x.shape):
        columns[place] = x[pixel]
    return columns


def looped_col2im(columns: Any, shape: Any, window: Window) -> Any:
    image = np.zeros(shape, dtype=columns.dtype)
    for place, pixel in pixels(window, shape):
        image[pixel] += columns[place]
    return image


def whole_numbers(shape: Any, seed: int = 0) -> Any:
    """Return small whole numbers, whose sums are exact in any order."""
    return np.random.default_rng(seed).integers(-9, 10, shape).astype("float32")


def test_output_size_counts_the_windows_that_fit(geometry: Any) -> None:
    window, (_, _, h, w) = geometry
    for axis, length in enumerate((h, w)):
        before, after = window.padding[axis]
        reach = window.dilation[axis] * (window.kernel[axis] - 1)  # from the first to the last
        starts = range(-before, length + after, window.stride[axis])
        fits = sum(start + reach < length + after for start in starts)
        assert window.output_size(h, w)[axis] == fits


def test_im2col_lays_out_columns(place: Any, geometry: Any) -> None:
    window, shape = geometry
    host = whole_numbers(shape)
    expected = looped_im2col(host, window)
    x = place.array(host)
    columns = place.backend.im2col(x, window)
    place.check(columns, expected.shape)
    np.testing.assert_array_equal(place.host(columns), expected)
    np.testing.assert_array_equal(place.host(x), host)


def test_col2im_adds_columns_to_pixels(place: Any, geometry: Any) -> None:
    window, shape = geometry
    host = whole_numbers(looped_im2col(np.zeros(shape), window).shape)
    columns = place.array(host)
    image = place.backend.col2im(columns, shape, window)
    place.check(image, shape)
    np.testing.assert_array_equal(place.host(image), looped_col2im(host, shape, window))
    np.testing.assert_array_equal(place.host(columns), host)


def test_col2im_is_the_transpose_of_im2col(place: Any, geometry: Any) -> None:
    window, shape = geometry
    x = whole_numbers(shape)
    backend = place.backend
    columns = place.host(backend.im2col(place.array(x), window))
    c = whole_numbers(columns.shape, seed=1)
    image = place.host(backend.col2im(place.array(c), shape, window))
    assert np.sum(columns * c) == np.sum(x * image)


def test_both_keep_the_batch_innermost_in_memory(geometry: Any) -> None:
    window, shape = geometry
    backend = make_backend("numpy")
    columns = backend.im2col(whole_numbers(shape), window)
    assert columns.flags.c_contiguous
    image = backend.col2im(columns, shape, window)
    assert image.strides[0] == image.itemsize


LAYOUTS = {
    "batch first": lambda x: x,
    "batch last": lambda x: np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2),
    "channels last": lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "reversed": lambda x: x[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_numpys_own_equals_the_generic_bit_for_bit(geometry: Any, layout: str, dtype: str) -> None:
    window, shape = geometry
    x = LAYOUTS[layout](np.random.default_rng(0).standard_normal(shape).astype(dtype))
    x.flags.writeable = False
    backend = make_backend("numpy")
    columns, expected = backend.im2col(x, window), generic.im2col(np, x, window)
    assert columns.dtype == expected.dtype == x.dtype
    assert columns.tobytes() == expected.tobytes()
    columns.flags.writeable = False
    image, expected = (
        backend.col2im(columns, shape, window),
        generic.col2im(np, columns, shape, window),
    )
    assert image.dtype == expected.dtype == x.dtype
    assert image.tobytes() == expected.tobytes()


def test_an_empty_batch_gives_empty_columns(place: Any) -> None:
    window, shape = Window.of(3, padding=1), (0, 2, 4, 5)
    columns = place.backend.im2col(place.array(np.zeros(shape)), window)
    place.check(columns, (18, 0))
    place.check(place.backend.col2im(columns, shape, window), shape)


def test_pad_and_crop_undo_each_other() -> None:
    window = Window(kernel=(3, 3), padding=((1, 2), (0, 3)))
    x = whole_numbers((2, 4, 5, 3))
    padded = generic.pad(np, x, window, value=-7.0)
    assert padded.shape == (2, 7, 8, 3)
    assert (padded == -7.0).sum() >= padded.size - x.size
    np.testing.assert_array_equal(generic.crop(padded, window, 4, 5), x)
    assert generic.pad(np, x, Window(kernel=(3, 3))) is x


def test_batch_last_and_batch_first_are_views() -> None:
    x = whole_numbers((2, 3, 4, 5))
    assert generic.batch_last(np, x).shape == (3, 4, 5, 2)
    assert np.shares_memory(generic.batch_first(np, generic.batch_last(np, x)), x)
    np.testing.assert_array_equal(generic.batch_first(np, generic.batch_last(np, x)), x)


@pytest.mark.parametrize("dilation", [1, 2, (3, 1)])
@pytest.mark.parametrize("kernel", [1, 2, 3, (4, 3)])
def test_same_keeps_the_size(kernel: Any, dilation: Any) -> None:
    window = Window.of(kernel, padding="same", dilation=dilation)
    assert window.output_size(6, 7) == (6, 7)
    for before, after in window.padding:  # the odd pixel goes to the bottom and the right
        assert after - before in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"kernel_size": 0}, ValueError, "kernel_size must be at least 1, got 0"),
        ({"kernel_size": 2.0}, TypeError, r"kernel_size must be an int, got 2\.0"),
        ({"kernel_size": (1, 2, 3)}, ValueError, "kernel_size must be an int or a pair"),
        ({"kernel_size": 3, "stride": 0}, ValueError, "stride must be at least 1"),
        ({"kernel_size": 3, "dilation": (1, 0)}, ValueError, "dilation must be at least 1"),
        ({"kernel_size": 3, "padding": -1}, ValueError, "padding must be at least 0"),
        ({"kernel_size": 3, "padding": "full"}, ValueError, '"same" or "valid", got \'full\''),
        ({"kernel_size": 3, "padding": "same", "stride": 2}, ValueError, "stride 1, got stride 2"),
    ],
)
def test_arguments_that_make_no_window(arguments: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        Window.of(**arguments)


def test_a_window_that_does_not_fit_says_so(place: Any) -> None:
    window = Window.of((2, 3), padding=(0, 1), dilation=(4, 1))
    with pytest.raises(ValueError, match=r"\(2, 3\).*does not fit into an image of 4×7"):
        place.backend.im2col(place.array(np.zeros((1, 1, 4, 7))), window)

"""im2col, its transpose and the convolutions: against loops that read like the definition, against
each other, and each backend's own against the generic ones."""

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import portanet_numpy.convolution
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import portanet as pn
from portanet import im2col as generic
from portanet.im2col import Window
from portanet.nn import border
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
    padded = generic.pad(np, x, window.padding, value=-7.0)
    assert padded.shape == (2, 7, 8, 3)
    assert (padded == -7.0).sum() >= padded.size - x.size
    np.testing.assert_array_equal(generic.crop(padded, window.padding, 4, 5), x)
    assert generic.pad(np, x, Window(kernel=(3, 3)).padding) is x


PADDING_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # NumPy's words
BORDERS = [((1, 1), (1, 1)), ((0, 2), (3, 1)), ((2, 0), (0, 4)), ((0, 0), (0, 0))]


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("padding", BORDERS, ids=str)
def test_extend_copies_pixels_to_the_border(place: Any, mode: str, padding: Any) -> None:
    host = whole_numbers((2, 3, 5, 4))
    x = place.array(host)
    image = border.extend(place.backend.xp, x, padding, mode)
    expected = np.pad(host, ((0, 0), *padding, (0, 0)), mode=PADDING_MODES[mode])
    place.check(image, expected.shape)
    np.testing.assert_array_equal(place.host(image), expected)
    np.testing.assert_array_equal(place.host(x), host)


@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("padding", BORDERS, ids=str)
def test_fold_is_the_transpose_of_extend(library: Any, mode: str, padding: Any) -> None:
    xp, x = library.backend.xp, whole_numbers((2, 3, 5, 4))
    image = library.host(border.extend(xp, library.array(x), padding, mode))
    d = whole_numbers(image.shape, seed=1)
    folded = border.fold(library.array(d), padding, mode)
    library.check(folded, x.shape)
    assert np.sum(image * d) == np.sum(x * library.host(folded))


def test_a_border_of_one_pixel_can_only_be_replicated() -> None:
    x, padding = whole_numbers((1, 1, 1, 1)), ((2, 1), (0, 3))
    assert np.all(border.extend(np, x, padding, "replicate") == x)
    for mode, most in (("reflect", 0), ("circular", 1)):
        words = f"padding_mode='{mode}' of 1 pixels allows padding of {most}, got 2"
        with pytest.raises(ValueError, match=words):
            border.extend(np, x, padding, mode)
        x2 = whole_numbers((1, most + 1, 4, 1))  # just enough
        width = ((most, most), (0, 0))
        expected = np.pad(x2, ((0, 0), *width, (0, 0)), mode=PADDING_MODES[mode])
        np.testing.assert_array_equal(border.extend(np, x2, width, mode), expected)


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


# --- windows -------------------------------------------------------------------------------------

sizes = st.tuples(st.integers(1, 4), st.integers(1, 4))
pads = st.tuples(st.integers(0, 3), st.integers(0, 3))
generated = settings(max_examples=60, derandomize=True, deadline=None, database=None)


@st.composite
def windows(draw: Any) -> tuple[Window, tuple[int, int]]:
    """Draw a window, with padding that differs between sides, and an image that it fits into."""
    kernel, dilation = draw(sizes), draw(sizes)
    kind = draw(st.sampled_from(["same", "stride 1", "any"]))
    if kind == "same":
        window = Window.of(kernel, padding="same", dilation=dilation)
    else:
        stride = (1, 1) if kind == "stride 1" else draw(sizes)
        window = Window(kernel, stride, (draw(pads), draw(pads)), dilation)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    least = [max(1, r - sum(p)) for r, p in zip(reach, window.padding, strict=True)]
    return window, (least[0] + draw(st.integers(0, 4)), least[1] + draw(st.integers(0, 4)))


@generated
@given(windows())
def test_reach_is_where_each_kernel_element_meets_pixels(drawn: Any) -> None:
    window, size = drawn
    for axis, (length, count) in enumerate(zip(size, window.output_size(*size), strict=True)):
        padded = np.arange(length + sum(window.padding[axis]))
        met = [padded[part].tolist() for part in window.reach(axis, count)]
        d, s = window.dilation[axis], window.stride[axis]
        assert met == [
            [position * s + element * d for position in range(count)]
            for element in range(window.kernel[axis])
        ]


@generated
@given(windows())
def test_mirrored_makes_pixels_of_positions(drawn: Any) -> None:
    window, size = drawn
    mirrored = window.mirrored()
    reach = [d * (k - 1) for k, d in zip(window.kernel, window.dilation, strict=True)]
    beyond = any(max(p) > r for p, r in zip(window.padding, reach, strict=True))
    assert (mirrored is None) == (window.stride != (1, 1) or beyond)
    if mirrored is not None:
        assert mirrored.output_size(*window.output_size(*size)) == size
        assert mirrored.mirrored() == window


@generated
@given(windows())
def test_with_ceil_mode_a_last_window_may_reach_beyond(drawn: Any) -> None:
    window, size = drawn
    found = window.output_size(*size, ceil_mode=True)
    wide = window.widened(*size, found)
    assert wide.output_size(*size) == found
    assert window.widened(*size, window.output_size(*size)) == window
    for axis, length in enumerate(size):
        (before, after), step = window.padding[axis], window.stride[axis]
        reach = window.dilation[axis] * (window.kernel[axis] - 1)
        starts = range(0, before + length + after + step, step)
        fit = [s for s in starts if s + reach < before + length + after]
        last = fit[-1] + step  # the first that does not fit, where pixels are left for it
        left = fit[-1] + reach + 1 < before + length + after
        assert found[axis] == len(fit) + (left and last < before + length)


def test_with_ceil_mode_a_window_may_be_larger_than_the_image() -> None:
    window = Window.of(3, 2)
    assert window.output_size(2, 3, ceil_mode=True) == (1, 1)
    assert window.widened(2, 3, (1, 1)).padding == ((0, 1), (0, 0))
    with pytest.raises(ValueError, match="does not fit into an image of 1×3"):
        window.output_size(1, 3, ceil_mode=True)


# --- convolution ---------------------------------------------------------------------------------


def grouped(matrix: Any, groups: int) -> Any:
    """Give a matrix, or a product, a leading axis of groups."""
    return matrix if groups == 1 else matrix.reshape(groups, len(matrix) // groups, -1)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_are_products_with_columns(place: Any, geometry: Any, groups: int) -> None:
    window, shape = geometry
    host = whole_numbers(shape)
    columns = grouped(looped_im2col(host, window), groups)
    matrix = grouped(whole_numbers((4, columns.shape[-2]), seed=1), groups)
    product = matrix @ columns
    dy = whole_numbers(product.shape, seed=2)
    d_columns = (matrix.swapaxes(-1, -2) @ dy).reshape(-1, dy.shape[-1])

    backend, arrays = place.backend, [place.array(a) for a in (matrix, dy, host)]
    results = {
        "y": (backend.convolve(arrays[0], arrays[2], window), product),
        "dW": (
            backend.convolve_weight_grad(arrays[1], arrays[2], window),
            dy @ columns.swapaxes(-1, -2),
        ),
        "dx": (
            backend.convolve_input_grad(arrays[0], arrays[1], shape, window),
            looped_col2im(d_columns, shape, window),
        ),
    }
    for name, (got, expected) in results.items():
        place.check(got, expected.shape)
        np.testing.assert_array_equal(place.host(got), expected, err_msg=name)
    for array, before in zip(arrays, (matrix, dy, host), strict=True):
        np.testing.assert_array_equal(place.host(array), before)


@generated
@given(
    windows(),
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 3),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from([1, 1000, 5000, 1 << 20]),
)
def test_numpys_convolutions_equal_the_generic_ones(
    drawn: Any, channels: Any, groups: int, dtype: str, block: int
) -> None:
    window, size = drawn
    samples, inputs, outputs = channels
    shape = (samples, inputs * groups, *size)
    positions = np.prod(window.output_size(*size)) * samples
    rows = inputs * window.kernel[0] * window.kernel[1]
    x = np.asfortranarray(whole_numbers(shape).astype(dtype))
    matrix = grouped(whole_numbers((outputs * groups, rows), 1).astype(dtype), groups)
    dy = grouped(whole_numbers((outputs * groups, positions), 2).astype(dtype), groups)
    for array in (x, matrix, dy):
        array.flags.writeable = False

    backend = make_backend("numpy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portanet_numpy.convolution, "BLOCK", block)
        for name, arguments in {
            "convolve": (matrix, x, window),
            "convolve_weight_grad": (dy, x, window),
            "convolve_input_grad": (matrix, dy, shape, window),
        }.items():
            got = getattr(backend, name)(*arguments)
            expected = getattr(pn.Backend, name)(backend, *arguments)
            assert got.dtype == expected.dtype == np.dtype(dtype), name
            assert got.shape == expected.shape, name
            np.testing.assert_array_equal(got, expected, err_msg=name)
    if samples > 1:
        assert got.strides[0] == got.itemsize, "the batch is not innermost in memory"


@pytest.mark.parametrize(
    ("block", "rows"),
    [(1, [1] * 7), (2000, [3, 3, 1]), (2700, [4, 3]), (1 << 20, [7])],
)
def test_blocks_of_columns_are_whole_rows_of_the_output(
    monkeypatch: pytest.MonkeyPatch, block: int, rows: list[int]
) -> None:
    monkeypatch.setattr(portanet_numpy.convolution, "BLOCK", block)
    window, x = Window.of((2, 3)), whole_numbers((3, 2, 8, 6))  # 576 bytes a row of the output
    columns = generic.im2col(np, x, window)
    places = iter(range(7 * 4 * 3))
    view = portanet_numpy.convolution.windows(x, window)
    blocks = portanet_numpy.convolution.blocks(view, ())
    for count, (at, part) in zip(rows, blocks, strict=True):
        assert part.shape == (12, count * 4 * 3)
        assert [next(places) for _ in part[0]] == list(range(columns.shape[1]))[at]
        np.testing.assert_array_equal(part, columns[:, at])
    assert not list(places)

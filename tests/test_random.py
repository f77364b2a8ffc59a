"""Random numbers that are a pure function of a key: the same ones today and after an upgrade."""

from math import sqrt
from typing import Any

import numpy as np
import pytest

from portanet.random import Key, fresh_seed

WEIGHTS = Key(7).child("init", "c1.weight")
SHUFFLE = Key(-3).child("shuffle", 12)
N = 200_000


# --- golden values: whoever changes one changes every network that anybody has trained ------------


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (Key(0), [0x26234F468FA4B37A, 0x86436C9846DEA56A, 0xC1F8C1A5B5E47B05]),
        (WEIGHTS, [0x72A79AE968AB68C1, 0x3AE0EC56ECEF6CBF, 0x7B5F37A87C9E5906]),
        (SHUFFLE, [0x32FE39CD62269154, 0x6BF7ED7C3002D786, 0x3EA9400E37D4B2DF]),
    ],
)
def test_bits_are_golden(key: Key, words: list[int]) -> None:
    bits = key.bits(3)
    assert bits.dtype == np.uint64
    assert bits.tolist() == words


def test_uniform_is_golden() -> None:
    expected = ["0x1.ca9e6ba5a2adap-2", "0x1.d70762b7677b4p-3", "0x1.ed7cdea1f2796p-2"]
    drawn = WEIGHTS.uniform((3,))
    assert drawn.dtype == np.float64
    assert [u.hex() for u in drawn.tolist()] == expected


def test_uniform_in_float32_is_golden() -> None:
    expected = ["0x1.a2ada00000000p-2", "0x1.ca9e680000000p-2", "0x1.d9ded80000000p-1"]
    drawn = WEIGHTS.uniform((3,), "float32")
    assert drawn.dtype == np.float32
    assert [u.hex() for u in drawn.tolist()] == expected


def test_normal_is_golden() -> None:
    expected = [-1.0829042348197144, -0.680218202301201, 0.12353844718587047, -0.24498690679146673]
    drawn = WEIGHTS.normal((4,))
    assert drawn.dtype == np.float64
    # The last bits belong to the machine's cosine and logarithm.
    np.testing.assert_allclose(drawn, expected, rtol=1e-13)


def test_permutation_and_integers_are_golden() -> None:
    permutation, integers = SHUFFLE.permutation(8), SHUFFLE.integers(100, (6,))
    assert permutation.dtype == integers.dtype == np.int64
    assert permutation.tolist() == [7, 6, 0, 2, 5, 1, 3, 4]
    assert integers.tolist() == [19, 42, 24, 49, 56, 36]


# --- a key and its numbers ------------------------------------------------------------------------


def draws(key: Key) -> list[Any]:
    return [
        key.bits(7),
        key.uniform((2, 3)),
        key.uniform((2, 3), "float32"),
        key.normal((3, 1)),
        key.permutation(7),
        key.integers(9, (4,)),
    ]


def test_a_key_gives_the_same_numbers_each_time() -> None:
    key = Key(5).child("a", 1)
    for first, second, third in zip(
        draws(key), draws(key), draws(Key(5).child("a").child(1)), strict=True
    ):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)


def test_fewer_numbers_are_the_first_of_more() -> None:
    np.testing.assert_array_equal(WEIGHTS.bits(3), WEIGHTS.bits(1000)[:3])
    np.testing.assert_array_equal(WEIGHTS.uniform((2, 2)).ravel(), WEIGHTS.uniform((9,))[:4])


def test_drawing_leaves_numpys_global_state_alone() -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    draws(WEIGHTS)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Key(0), Key(1)),
        (Key(1), Key(-1)),
        (Key(0), Key(2**64)),
        (Key(0), Key(0).child("")),
        (Key(0).child("a"), Key(0).child("b")),
        (Key(0).child("a", "b"), Key(0).child("ab")),
        (Key(0).child("a", "b"), Key(0).child("b", "a")),
        (Key(0).child(1), Key(0).child("1")),
        (Key(1), Key(0).child(1)),
        (Key(0).child("epoch", 1), Key(0).child("epoch", 2)),
    ],
    ids=str,
)
def test_other_seeds_and_paths_are_independent(one: Key, other: Key) -> None:
    assert one != other
    x, y = one.normal((N,)), other.normal((N,))
    assert abs(np.mean(x * y)) < 5 / sqrt(N)
    assert not set(one.bits(1000).tolist()) & set(other.bits(1000).tolist())


@pytest.mark.parametrize("seed", [0, -1, 2**200, np.int64(3), np.uint8(3), True])
def test_any_integer_is_a_seed(seed: Any) -> None:
    assert Key(seed).bits(2).tolist() == Key(int(seed)).bits(2).tolist()
    assert Key(seed) == Key(int(seed))


@pytest.mark.parametrize("seed", [0.0, "0", None, [0]])
def test_nothing_else_is_a_seed(seed: Any) -> None:
    with pytest.raises(TypeError, match="a seed must be an integer, got"):
        Key(seed)


def test_fresh_seeds_differ() -> None:
    seeds = {fresh_seed() for _ in range(100)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 0, 3), (2, 3, 5)])
def test_shapes(shape: tuple[int, ...]) -> None:
    assert WEIGHTS.uniform(shape).shape == shape
    assert WEIGHTS.uniform(shape, "float32").shape == shape
    assert WEIGHTS.normal(shape).shape == shape
    assert WEIGHTS.integers(3, shape).shape == shape


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_a_permutation_has_every_number_once(n: int) -> None:
    assert sorted(WEIGHTS.permutation(n).tolist()) == list(range(n))


# --- the distributions ----------------------------------------------------------------------------


class Extreme(Key):
    """A key whose bits are all ones, or all zeros for an even seed."""

    def bits(self, n: int) -> Any:
        """Return the extreme words."""
        return np.full(n, (2**64 - 1) * (self.seed % 2), dtype="uint64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_never_reaches_one(dtype: str) -> None:
    drawn = Extreme(1).uniform((5,), dtype)
    assert drawn.dtype == dtype
    assert drawn.max() < 1.0
    assert Extreme(0).uniform((5,), dtype).tolist() == [0.0] * 5


@pytest.mark.parametrize("seed", [0, 1])
def test_normal_is_finite_at_the_extremes(seed: int) -> None:
    assert np.all(np.isfinite(Extreme(seed).normal((4,))))


@pytest.mark.parametrize("high", [1, 2, 3, 10, 2**31, 2**32 + 1, 2**53 - 1])
def test_integers_stay_below_high(high: int) -> None:
    assert Extreme(1).integers(high, (1,)).tolist() == [high - 1]
    assert Extreme(0).integers(high, (1,)).tolist() == [0]


def check_moments(x: Any, moments: list[float]) -> None:
    """Assert the means of x, x², x³ and x⁴ within five standard errors."""
    for power, expected in enumerate(moments, start=1):
        terms = x.astype("float64") ** power
        assert abs(terms.mean() - expected) < 5 * terms.std() / sqrt(x.size)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_has_its_moments(dtype: str) -> None:
    check_moments(Key(1).uniform((N,), dtype), [1 / 2, 1 / 3, 1 / 4, 1 / 5])


def test_normal_has_its_moments() -> None:
    x = Key(1).normal((N,))
    check_moments(x, [0.0, 1.0, 0.0, 3.0])
    check_moments(x[: N // 2] * x[N // 2 :], [0.0, 1.0])  # the two halves share their radius


def test_neighbors_are_independent() -> None:
    for x in (Key(1).uniform((N,)) - 0.5, Key(1).uniform((N,), "float32") - 0.5):
        check_moments(x[1:] * x[:-1], [0.0])


def test_integers_are_uniform() -> None:
    counts = np.bincount(Key(1).integers(10, (N,)), minlength=10)
    expected = N / 10
    assert np.sum((counts - expected) ** 2 / expected) < 40  # χ², 9 degrees of freedom: p < 1e-5


def test_permutations_are_uniform() -> None:
    orders = [tuple(Key(1).child(i).permutation(3).tolist()) for i in range(6000)]
    counts = np.array([orders.count(order) for order in sorted(set(orders))])
    assert counts.size == 6
    assert np.sum((counts - 1000) ** 2 / 1000) < 35  # χ², 5 degrees of freedom: p < 2e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("features", [1, 4, 7, 8, 9, 33])
def test_a_samples_numbers_do_not_depend_on_the_part_it_is_drawn_in(dtype, features):
    key = Key(5, ("mask",))
    whole = key.samples((11, features), dtype)
    assert whole.shape == (11, features)
    assert whole.dtype == dtype
    assert len(np.unique(whole)) == whole.size
    for first, stop in ((0, 4), (4, 5), (5, 11)):
        part = key.samples((stop - first, features), dtype, first)
        np.testing.assert_array_equal(part, whole[first:stop])
    assert abs(key.samples((400, features), dtype).mean() - 0.5) < 5 / np.sqrt(12 * 400 * features)

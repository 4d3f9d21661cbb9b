"""Convolution by FFT: equal to the sum it stands for, as long as what goes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xlsr.data.filtering import _fast_size, convolve


@given(st.integers(1, 400), st.integers(1, 200), st.data())
def test_it_is_the_sum_over_the_taps(samples: int, taps: int, data) -> None:
    delay = data.draw(st.integers(0, taps - 1))
    rng = np.random.default_rng(samples * 1000 + taps)
    waveform, response = (rng.standard_normal(size).astype(np.float32) for size in (samples, taps))
    wanted = np.convolve(waveform.astype(float), response.astype(float))[delay : delay + samples]
    found = convolve(waveform, response, delay)
    assert found.dtype == np.float32
    assert found.shape == waveform.shape
    np.testing.assert_allclose(found, wanted, atol=1e-4)  # float32 sums of up to 200 products of about 1


@pytest.mark.parametrize("size", [1, 7, 31, 1025, 179_201, 10_000_019])
def test_sizes_have_small_prime_factors_and_are_the_next(size: int) -> None:
    def smooth(number: int) -> bool:
        for prime in (2, 3, 5):
            while number % prime == 0:
                number //= prime
        return number == 1

    found = _fast_size(size)
    assert found == next(number for number in range(size, 2 * size + 1) if smooth(number))

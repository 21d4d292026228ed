"""The tensor is the closed form that the docstring states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.preprocess import Preprocess
from verisight.data.preprocess import normalise

unit = st.floats(0.05, 1)


@given(st.tuples(unit, unit, unit), st.tuples(unit, unit, unit), st.tuples(*[st.integers(0, 255)] * 3))
def test_each_channel_is_x_over_255_less_mean_over_std(mean, std, colour) -> None:
    made = normalise(np.full((2, 16, 16, 3), colour, np.uint8), Preprocess(size=16, mean=mean, std=std))
    assert made.shape == (2, 3, 16, 16)
    for channel in range(3):
        np.testing.assert_allclose(made[:, channel], (colour[channel] / 255 - mean[channel]) / std[channel], atol=1e-4)


def test_rows_and_columns_keep_their_place() -> None:
    picture = np.zeros((1, 4, 5, 3), np.uint8)
    picture[0, 1, 3, 2] = 255
    (where,) = np.argwhere(normalise(picture, Preprocess(mean=(0, 0, 0), std=(1, 1, 1))))
    assert where.tolist() == [0, 2, 1, 3]


def test_a_list_of_crops_is_a_batch_and_memory_is_ready_for_a_network() -> None:
    crops = [np.full((8, 8, 3), value, np.uint8) for value in (0, 255)]
    made = normalise(crops, Preprocess())
    assert made.dtype == np.float32
    assert made.flags["C_CONTIGUOUS"]
    assert made[:, 0, 0, 0].tolist() == [-1, 1]


def test_efficientnet_lites_input_is_x_less_127_over_128() -> None:
    lite = Preprocess(mean=(0.498039,) * 3, std=(0.501961,) * 3)
    made = normalise(np.full((1, 1, 1, 3), 200, np.uint8), lite)
    np.testing.assert_allclose(made.ravel(), (200 - 127) / 128, atol=1e-5)


@pytest.mark.parametrize("value", ["size", "margin", "frames"])
def test_the_value_is_frozen(value: str) -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(Preprocess(), value, 20)

"""Distances from what is usual are those of the fitted Gaussian, and grow with strangeness."""

from __future__ import annotations

import numpy as np
import torch
from numpy.testing import assert_allclose

from verisight.nn.novelty import Novelty


def features(rows: int, seed: int = 0, width: int = 12) -> np.ndarray:
    """Three strong directions, the others weak."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(width, width)))[0]
    return (rng.normal(size=(rows, width)) * np.array([5, 3, 2] + [0.3] * (width - 3))) @ turn + 4


def distances(model: Novelty, f: np.ndarray) -> np.ndarray:
    return model(torch.from_numpy(f.astype(np.float32))).numpy()


def test_it_is_the_mahalanobis_distance_under_the_models_own_covariance() -> None:
    f = features(500)
    model = Novelty.fit(f, directions=3)
    basis, variance, rest = (getattr(model, name).numpy().astype(float) for name in ("basis", "variance", "rest"))
    covariance = basis @ np.diag(variance - rest) @ basis.T + rest * np.eye(f.shape[1])
    away = f - f.mean(axis=0)
    expected = np.sqrt(np.einsum("nd,de,ne->n", away, np.linalg.inv(covariance), away))
    assert_allclose(distances(model, f), expected, rtol=1e-3)


def test_the_covariance_is_the_one_of_maximum_likelihood() -> None:
    """Tipping, Bishop 1999, eq. 8: the mean of the eigenvalues that are left out; scikit-learn's PCA agrees."""
    from sklearn.decomposition import PCA

    f = features(400)
    model, theirs = Novelty.fit(f, directions=3), PCA(3).fit(f)
    assert_allclose(model.variance.numpy(), theirs.explained_variance_ * 399 / 400, rtol=1e-4)
    assert_allclose(float(model.rest), theirs.noise_variance_ * 399 / 400, rtol=1e-4)


def test_the_mean_square_over_the_fitted_rows_is_the_number_of_features() -> None:
    f = features(500)
    assert_allclose((distances(Novelty.fit(f, 3), f) ** 2).mean(), f.shape[1], rtol=1e-3)


def test_what_leaves_along_a_weak_direction_is_stranger_than_along_a_strong_one() -> None:
    f = features(500)
    model = Novelty.fit(f, 3)
    weak = np.linalg.svd(f - f.mean(axis=0))[2][-1]
    strong = np.linalg.svd(f - f.mean(axis=0))[2][0]
    centre = f.mean(axis=0)
    near, far = distances(model, np.stack([centre + 3 * strong, centre + 3 * weak]))
    assert far > 5 * near


def test_few_rows_and_constant_features_give_finite_distances() -> None:
    for f in (np.ones((2, 5)), features(3), np.zeros((10, 1))):
        assert np.isfinite(distances(Novelty.fit(f), f)).all()

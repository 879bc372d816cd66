"""GELU and the exponentials of softmax, against the standard library's."""

from math import erf, sqrt

import mlx.core as mx
import numpy as np

from akidb_ray.embedding.mlx.elementwise import EXP_SCALE, exp_scaled, gelu


def test_gelu_is_accurate_over_the_range_of_activations() -> None:
    x = np.linspace(-12, 12, 20_001)
    expected = np.array([value * 0.5 * (1 + erf(value / sqrt(2))) for value in x])
    np.testing.assert_allclose(np.array(gelu(mx.array(x))), expected, atol=5e-6)


def test_gelu_keeps_its_limits_for_huge_values() -> None:
    found = np.array(gelu(mx.array([-1000.0, 0.0, 1000.0])))
    np.testing.assert_allclose(found, [0, 0, 1000], atol=1e-3)


def test_exponential_is_accurate_where_softmax_looks() -> None:
    exponents = np.linspace(-31, 0, 20_001)
    found = np.array(exp_scaled(mx.array(exponents / EXP_SCALE)))
    np.testing.assert_allclose(found, np.exp(exponents), rtol=1.5e-5)


def test_masked_scores_get_no_weight() -> None:
    assert np.array(exp_scaled(mx.array([-2.0, -100.0, -500.0]))).max() < 1e-13

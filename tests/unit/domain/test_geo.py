import numpy as np
import pytest

from akidb_ray.domain.geo import EARTH_RADIUS_M, distances_m

ROME, BERLIN, SUVA, APIA = (12.4964, 41.9028), (13.405, 52.52), (178.44, -18.14), (-171.77, -13.83)


@pytest.mark.parametrize(
    ("here", "there", "metres"),
    [
        (ROME, ROME, 0),
        (ROME, BERLIN, 1_182_560),
        (SUVA, APIA, 1_150_660),
        ((0, 0), (180, 0), np.pi * EARTH_RADIUS_M),
        ((17, 90), (-60, -90), np.pi * EARTH_RADIUS_M),
        ((180, 10), (-180, 10), 0),
        ((0, 0), (0, 1), np.pi * EARTH_RADIUS_M / 180),
    ],
)
def test_distance_of_known_places(
    here: tuple[float, float], there: tuple[float, float], metres: float
) -> None:
    assert distances_m(*here, *there) == pytest.approx(metres, rel=2e-3, abs=1e-6)
    assert distances_m(*there, *here) == pytest.approx(metres, rel=2e-3, abs=1e-6)


def test_many_distances_are_those_of_the_points_one_by_one() -> None:
    random = np.random.default_rng(1)
    lons, lats = random.uniform(-180, 180, 10_007), random.uniform(-90, 90, 10_007)
    found = distances_m(*ROME, lons, lats)
    assert (found.shape, found.dtype) == ((10_007,), np.float64)
    one_by_one = [float(distances_m(*ROME, *at)) for at in zip(lons, lats, strict=True)]
    assert found.tolist() == one_by_one


def test_no_points_have_no_distances() -> None:
    assert distances_m(*ROME, [], []).shape == (0,)

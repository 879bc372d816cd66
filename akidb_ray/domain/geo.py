"""Distances on the earth."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

EARTH_RADIUS_M = 6_371_008.8


def distances_m(lon: float, lat: float, lons: ArrayLike, lats: ArrayLike) -> NDArray[np.float64]:
    """Great-circle distances, in metres, of one point from others: float64, of the shape of `lons`.

    All are in degrees. The haversine formula on a sphere of the earth's mean radius: off by half a
    percent at most.
    """
    phi, phis = np.radians(lat), np.radians(np.asarray(lats, np.float64))
    half_lat = (phis - phi) / 2
    half_lon = np.radians(np.asarray(lons, np.float64) - lon) / 2
    # Squares, not powers: NumPy rounds powers of one number and of many differently.
    chord = np.square(np.sin(half_lat)) + np.cos(phi) * np.cos(phis) * np.square(np.sin(half_lon))
    return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(chord, 1.0))))

"""When values of payloads are the same, and in which order they stand."""

from akidb_ray.domain.filter import Scalar

ScalarKey = tuple[int, Scalar]


def scalar_key(value: Scalar) -> ScalarKey:
    """Equal for values that are the same, and sorted: strings, then numbers, then booleans.

    As in filters, whole numbers and floats compare by value, and booleans are not numbers.
    """
    if isinstance(value, str):
        return 0, value
    return (2 if isinstance(value, bool) else 1), value

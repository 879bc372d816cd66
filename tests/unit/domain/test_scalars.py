"""When values of payloads are the same, and in which order they stand."""

from akidb_ray.domain.scalars import scalar_key


def test_equal_numbers_are_the_same_and_booleans_are_no_numbers() -> None:
    assert scalar_key(1) == scalar_key(1.0)
    assert hash(scalar_key(1)) == hash(scalar_key(1.0))
    assert scalar_key(True) != scalar_key(1)
    assert scalar_key("1") != scalar_key(1)
    assert scalar_key(2**53 + 1) != scalar_key(float(2**53))


def test_strings_stand_before_numbers_and_these_before_booleans() -> None:
    values = [True, 0.5, "b", -1, False, "ü", 2**70, "Z"]
    assert sorted(values, key=scalar_key) == ["Z", "b", "ü", -1, 0.5, 2**70, False, True]

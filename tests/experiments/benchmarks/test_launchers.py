"""What is printed of a sweep on Ray beside one on `cores`."""

from experiments.benchmarks.launchers import line


def test_the_difference_and_ratio_are_those_of_the_rounds() -> None:
    """Medians 12 and 4; differences 8, 7, 10; ratios 3, 8, 2."""
    said = line("all", [12.0, 8.0, 20.0], [4.0, 1.0, 10.0])
    assert said.split() == [
        "all", "ray", "12.0", "s,", "cores", "4.0", "s,", "+8.0", "s", "[+7.0,", "+10.0],", "3.00x", "[2.00,", "8.00]",
    ]  # fmt: skip

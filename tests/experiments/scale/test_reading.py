"""What the measurements of reading come to."""

from experiments.scale import reading


def test_rounds_are_summed_up_by_the_median_of_the_largest_process() -> None:
    def of(kind: str, *peaks: float) -> dict:
        return {"kind": kind, "processes": [{"peak_mb": peak} for peak in peaks]}

    shown = [of("whole", 9.0), of("whole", 8.0, 7.0), of("shards", 4.0), of("shards", 1.0, 2.0)]
    shown += [of("whole", 9.5), of("whole", 6.0, 8.5), of("shards", 6.0), of("shards", 3.0, 2.0)]
    shown += [of("whole", 1.0), of("whole", 9.0, 9.0), of("shards", 5.0), of("shards", 9.0, 2.0)]
    assert reading.summary(shown) == {
        "whole on 1": {"peak_mb": 9.0}, "whole on 2": {"peak_mb": 8.5},
        "shards on 1": {"peak_mb": 5.0}, "shards on 2": {"peak_mb": 3.0},
    }  # fmt: skip

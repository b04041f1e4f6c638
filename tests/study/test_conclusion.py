"""The sentence of a verdict says what the claim came to, which part failed and which is undecided."""

import dataclasses

import pytest

from ncf.study.conclusion import Conclusion, Part

KINDS = {"b": "better", "w": "worse", "e": "equivalent", "u": "undecided", "i": "incomplete"}


def conclusion(status: str, findings: str, alone: str = "", needs: str = "all") -> Conclusion:
    parts = zip(findings, alone or findings)
    return Conclusion(status, needs, tuple(Part(f"part {n}", KINDS[f], KINDS[a]) for n, (f, a) in enumerate(parts)))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (conclusion("holds", "bbbb"), "holds: all 4 comparisons are better"),
        (conclusion("holds", "bbuu", "bbbb"),
         "holds: all 4 comparisons are better; as single findings, after correction, 2 better, 2 undecided"),
        (conclusion("fails", "wuuu"), "fails: 1 of 4 comparisons is worse, 3 undecided"),
        (conclusion("fails", "uuew"), "fails: 1 of 4 comparisons is worse, 1 equivalent, 2 undecided"),
        (conclusion("fails", "bbee"), "fails: 2 of 4 comparisons are equivalent, 2 better"),
        (conclusion("refuted", "wueu", "wwee"),
         "refuted: all 4 comparisons are worse or equivalent (2 worse, 2 equivalent)"),
        (conclusion("undecided", "bbuu"), "undecided: 2 of 4 comparisons are better, 2 undecided"),
        (conclusion("undecided", "bbii"), "undecided: 2 of 4 comparisons are better, 2 incomplete"),
        (conclusion("holds", "uub", needs="any"), "holds: 1 of 3 comparisons is better, 2 undecided"),
        (conclusion("holds", "b"), "holds: the comparison is better"),
        (conclusion("undecided", "u"), "undecided: the comparison is undecided"),
        (conclusion("refuted", "w"), "refuted: the comparison is worse or equivalent (1 worse)"),
    ],
)  # fmt: skip
def test_the_sentence(given: Conclusion, sentence: str) -> None:
    assert given.sentence == sentence


def test_the_parts_are_named() -> None:
    given = conclusion("fails", "bwueui")
    assert given.holding == ("part 0",)
    assert given.failed == ("part 1", "part 3")
    assert given.undecided == ("part 2", "part 4", "part 5")
    assert dataclasses.asdict(given)["parts"][1] == {"name": "part 1", "finding": "worse", "alone": "worse"}

"""Interleaved lists against the enumeration of everything that can happen, and clicks at random against zero."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ncf.online.interleaving import (
    Interleaved,
    balanced,
    balanced_preference,
    preference,
    probabilistic,
    team_draft,
)
from ncf.online.optimised import optimised
from ncf.stats.checks import StatisticsError

REFERENCE = json.loads((Path(__file__).parent / "reference" / "interleaving.json").read_text())
A, B, C = [0, 1, 2, 3], [1, 2, 3, 0], [4, 0, 1, 2]
RUNS = 40_000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def repeated(ranking: list[int], runs: int = RUNS) -> np.ndarray:
    return np.tile(ranking, (runs, 1))


def best_left(ranking: list[int], taken: tuple[int, ...]) -> int | None:
    return next((item for item in ranking if item >= 0 and item not in taken), None)


def drafts(rankings: list[list[int]], k: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], float]]:
    """Every list, its teams and their probability, by drawing each round's order."""
    orders = list(itertools.permutations(range(len(rankings))))

    def grow(
        items: tuple[int, ...], teams: tuple[int, ...], chance: float
    ) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], float]]:
        if len(items) == k or all(best_left(r, items) is None for r in rankings):
            yield items, teams, chance
            return
        for order in orders:
            grown, by = items, teams
            for team in order:
                item = best_left(rankings[team], grown)
                if item is not None and len(grown) < k:
                    grown, by = (*grown, item), (*by, team)
            yield from grow(grown, by, chance / len(orders))

    yield from grow((), (), 1.0)


def shares_agree(seen: Counter, expected: Counter, runs: int) -> None:  # type: ignore[type-arg]
    assert set(seen) <= set(expected)
    for key, chance in expected.items():
        error = np.sqrt(chance * (1 - chance) / runs)
        assert seen[key] / runs == pytest.approx(chance, abs=4 * error + 1e-12), key


@pytest.mark.parametrize("rankings", [[A, B], [A, B, C], [[0, 1, -1, -1], [0, 5, 6, 7]], [[0, 1], [1, 0]]], ids=str)
@pytest.mark.parametrize("k", [1, 3, 4])
def test_team_draft_makes_every_list_as_often_as_enumerated(rankings: list[list[int]], k: int) -> None:
    expected: Counter = Counter()  # type: ignore[type-arg]
    for items, teams, chance in drafts(rankings, k):
        expected[items, teams] += chance
    lists = team_draft([repeated(r) for r in rankings], k, rng())
    seen = Counter(
        (tuple(i for i in row if i >= 0), tuple(t for i, t in zip(row, team, strict=True) if i >= 0))
        for row, team in zip(lists.items.tolist(), lists.credit.argmax(-1).tolist(), strict=True)
    )
    shares_agree(seen, expected, RUNS)


def test_the_published_enumeration_and_the_blind_spot() -> None:
    published = REFERENCE["team_draft_enumeration a b c d vs b c d a, k=4"]["lists"]
    expected: Counter = Counter()  # type: ignore[type-arg]
    for items, teams, chance in drafts([A, B], 4):
        expected["".join("abcd"[i] for i in items), "".join("AB"[t] for t in teams)] += chance
    assert expected == {(row["list"], row["teams"]): pytest.approx(row["p"]) for row in published}
    lists = team_draft([repeated([0, 1, 2]), repeated([1, 2, 0])], 3, rng())
    credit = preference(lists, lists.items == 2).mean(0)  # only c is clicked: B ranks it second, A third
    assert credit[0] == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(RUNS))


def random_clicks(lists: Interleaved, seed: int = 9) -> np.ndarray:
    """Clicks that know nothing of items and fall with position."""
    chances = 0.6 / np.arange(1, lists.items.shape[1] + 1)
    return rng(seed).random(lists.items.shape) < chances


@pytest.mark.parametrize("method", ["team draft", "probabilistic", "optimised linear", "optimised inverse"])
def test_clicks_at_random_prefer_neither(method: str) -> None:
    a, b = repeated(A), repeated(B)
    made: dict[str, Callable[[], Interleaved]] = {
        "team draft": lambda: team_draft([a, b], 4, rng()),
        "probabilistic": lambda: probabilistic(a, b, 4, rng()),
        "optimised linear": lambda: optimised(np.array(A), np.array(B), 4).draw(RUNS, rng()),
        "optimised inverse": lambda: optimised(np.array(A), np.array(B), 4, credit="inverse").draw(RUNS, rng()),
    }
    lists = made[method]()
    credit = preference(lists, random_clicks(lists))
    difference = credit[:, 1] - credit[:, 0]
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(RUNS)


def test_balanced_lists_are_biased_under_clicks_at_random() -> None:
    lists = balanced(repeated(A), repeated(B), 4, rng())
    difference = balanced_preference(lists, random_clicks(lists))
    assert difference.mean() > 10 * difference.std() / np.sqrt(RUNS)


def test_team_draft_without_coins_would_find_a_preference_that_is_none() -> None:
    """Clicks that fall with position, all items alike: a fixed order prefers the first ranker, coins prefer none."""
    items = np.argsort(rng().random((2, RUNS, 10)), axis=-1)
    coins = team_draft([*items], 4, rng(1))
    z = {}
    for name, teams in (("coins", coins.credit), ("fixed", np.eye(2)[np.tile([0, 1, 0, 1], (RUNS, 1))])):
        credit = preference(Interleaved(coins.items, teams, name), random_clicks(coins))
        difference = credit[:, 1] - credit[:, 0]
        z[name] = difference.mean() / difference.std() * np.sqrt(RUNS)
    assert abs(z["coins"]) < 4
    assert z["fixed"] < -21


def test_balanced_lists_are_the_two_of_joachims() -> None:
    lists = balanced(repeated([0, 1, 2, 3]), repeated([1, 4, 0, 5]), 4, rng())
    expected: Counter = Counter()  # type: ignore[type-arg]
    expected[0, 1, 4, 2] = 0.5  # a first: 0, 1; then 1 again, 4; 2
    expected[1, 0, 4, 2] = 0.5  # b first: 1, 0; then 4, 1 again; 0 again, 2
    shares_agree(Counter(map(tuple, lists.items.tolist())), expected, RUNS)


def test_balanced_credit_by_hand() -> None:
    lists = balanced(np.array([[0, 1, 2, 3]]), np.array([[1, 2, 3, 0]]), 4, rng())
    at = {item: np.flatnonzero(lists.items[0] == item)[0] for item in range(4)}

    def worth(*clicked: int) -> float:
        clicks = np.zeros((1, 4))
        clicks[0, [at[item] for item in clicked]] = 1
        return float(balanced_preference(lists, clicks)[0])

    assert worth() == 0
    assert worth(0) == -1  # the top of a
    assert worth(1) == 1  # the top of b
    assert worth(3) == 1  # b's first three hold it, a's do not
    assert worth(2, 3) == 1  # b's first three hold both, a's the one


def enumerated_probabilistic(a: list[int], b: list[int], k: int, tau: float) -> dict[tuple[int, ...], tuple]:  # type: ignore[type-arg]
    """Every list with its probability and, position by position, the chance that the second ranking drew the item."""

    def chances(ranking: list[int], taken: tuple[int, ...]) -> dict[int, float]:
        left = {item: (1.0 + rank) ** -tau for rank, item in enumerate(ranking) if item not in taken}
        return {item: weight / sum(left.values()) for item, weight in left.items()}

    found: dict[tuple[int, ...], tuple] = {(): (1.0, ())}  # type: ignore[type-arg]
    for _ in range(k):
        grown: dict[tuple[int, ...], tuple] = {}  # type: ignore[type-arg]
        for head, (chance, credit) in found.items():
            first, second = chances(a, head), chances(b, head)
            for item in {*first, *second}:
                p, q = first.get(item, 0.0), second.get(item, 0.0)
                grown[(*head, item)] = (chance * (p + q) / 2, (*credit, q / (p + q)))
        found = grown
    return found


def test_probabilistic_lists_and_their_marginal_credit_are_enumerated() -> None:
    a, b = [0, 1, 2], [2, 3, 0]
    table = enumerated_probabilistic(a, b, 3, 3.0)
    assert sum(chance for chance, _ in table.values()) == pytest.approx(1)
    lists = probabilistic(repeated(a), repeated(b), 3, rng())
    seen = Counter(map(tuple, lists.items.tolist()))
    shares_agree(seen, Counter({items: chance for items, (chance, _) in table.items()}), RUNS)
    for items, credit in zip(lists.items[:200].tolist(), lists.credit[:200], strict=True):
        np.testing.assert_allclose(credit[:, 1], table[tuple(items)][1], atol=1e-12)
        np.testing.assert_allclose(credit.sum(1), 1, atol=1e-12)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_swapping_rankers_flips_the_sign(order: tuple[int, int]) -> None:
    pair = [repeated(A, 500), repeated(C, 500)]
    lists = team_draft([pair[i] for i in order], 4, rng())
    assert set(np.unique(lists.items)) <= {0, 1, 2, 3, 4}
    design = optimised(np.array([A, C][order[0]]), np.array([A, C][order[1]]), 4)
    mirrored = optimised(np.array([A, C][order[1]]), np.array([A, C][order[0]]), 4)
    both = {tuple(r): c for r, c in zip(design.lists.tolist(), design.credit.tolist(), strict=True)}
    for row, credit in zip(mirrored.lists.tolist(), mirrored.credit.tolist(), strict=True):
        np.testing.assert_allclose(both[tuple(row)], -np.array(credit))


def test_equal_rankings_make_equal_lists() -> None:
    for lists in (team_draft([repeated(A), repeated(A)], 4, rng()), balanced(repeated(A), repeated(A), 4, rng())):
        np.testing.assert_array_equal(lists.items, repeated(A))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: team_draft([repeated(A, 2)], 2, rng()), "two or more"),
        (lambda: team_draft([repeated(A, 2), repeated(B, 3)], 2, rng()), "one shape"),
        (lambda: team_draft([repeated([0, 0], 2), repeated([0, 1], 2)], 2, rng()), "each item once"),
        (lambda: team_draft([repeated(A, 2) / 2, repeated(B, 2)], 2, rng()), "whole numbers"),
        (lambda: balanced(repeated(A, 2), repeated(B, 2), 0, rng()), "k"),
        (lambda: probabilistic(repeated(A, 2), repeated(B, 2), 2, rng(), tau=0), "tau"),
        (lambda: preference(team_draft([repeated(A, 2), repeated(B, 2)], 2, rng()), np.zeros((2, 3))), "clicks"),
        (lambda: preference(team_draft([repeated(A, 2), repeated(B, 2)], 2, rng()), -np.ones((2, 2))), "clicks"),
        (lambda: preference(balanced(repeated(A, 2), repeated(B, 2), 2, rng()), np.ones((2, 2))), "balanced"),
        (lambda: balanced_preference(team_draft([repeated(A, 2)] * 2, 2, rng()), np.ones((2, 2))), "balanced"),
    ],
)
def test_what_cannot_be_interleaved_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        call()

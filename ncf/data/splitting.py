"""The ways to split: `SPLITS` is the registry of the `split` config group.

In every one, a user without training positives is not evaluated: its held-out positives are dropped and counted
(`Split.dropped`). An item without training positives stays: it is a candidate, and counts where it is held out.

The shares follow RecBole's rule: of n positives, floor(share * n) are held out, but at least one if train keeps one.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo

from ncf.core.registry import Registry
from ncf.core.rng import numpy_generator
from ncf.core.roles import Role
from ncf.data.interactions import Interactions, digest_of
from ncf.data.split import Pairs, Split
from ncf.data.times import Moment, Share, after, first_instant, shown
from ncf.errors import DataError

Ties = Literal["file", "reverse_file", "item_id"]
By = Literal["user", "overall"]
Back = Annotated[int, Field(ge=0, lt=2**31), Role(since=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _leaves_some(share: float, info: ValidationInfo) -> float:
    if share + info.data.get("valid", 0) >= 1:
        raise ValueError("expected split.valid + split.test below 1, so that train has a share")
    return share


def _below_folds(fold: int, info: ValidationInfo) -> int:
    folds = info.data.get("folds")
    if folds is not None and fold >= folds:
        raise ValueError(f"expected 0 to {folds - 1}, as split.folds={folds}")
    return fold


def leave_one_out(interactions: Interactions, *, ties: Ties, back: Back) -> Split:
    """Split each user's positives in time: the last is test, the one before it validation, the rest train.

    A user with two positives has one in train and one in test; a user with one has it in train. With `back`, all is as
    it was that many positives of each user ago: with 1, test is the last but one, and the last is in no part. Splits
    with different values share no test positive; the validation positive of one is the test positive of the next.

    Args:
        back: how many of each user's last positives to leave out first.
        ties: Which of two positives of the same time counts as earlier: the first in the file ("file"), the last in
            the file ("reverse_file"), or the one with the smaller item id ("item_id").

    Raises:
        DataError: the interactions have no timestamps.
    """
    order = _by_time(interactions, _times(interactions, "leave_one_out"), ties)
    sizes = np.bincount(interactions.users, minlength=interactions.num_users)
    from_end = sizes.cumsum()[interactions.users[order]] - np.arange(len(order)) - 1
    order, sizes = order[from_end >= back], np.maximum(sizes - back, 0)
    counts = _Counts((sizes >= 3).astype(np.int64), (sizes >= 2).astype(np.int64))
    parts = _last(order, interactions.users[order], sizes, counts)
    settings = {"split": "leave_one_out", "ties": ties} | ({"back": back} if back else {})
    return _split(interactions, parts, settings, in_time=True)


def ratio(
    interactions: Interactions,
    *,
    by: By,
    order: Literal["auto", "time", "random"],
    valid: Share,
    test: Annotated[Share, AfterValidator(_leaves_some)],
    ties: Ties,
    seed: Seed,
) -> Split:
    """Hold out a share of each user's positives, or of all together, the last ones in time or random ones.

    Args:
        by: of what the shares are: each "user"'s positives, or all of them ("overall").
        order: "time", "random", or "auto": time where there are timestamps.
        valid: share of validation, the positives before the test ones.
        test: share of test, the last positives.
        ties: as in `leave_one_out`; only used in time.
        seed: of the random order; only used at random.

    Raises:
        DataError: `order` is "time" and the interactions have no timestamps.
    """
    if order == "auto":
        order = "random" if interactions.timestamps is None else "time"
    rule: dict[str, Any] = {"seed": seed} if order == "random" else {"ties": ties}
    if order == "random":
        rows = _at_random(interactions, by, seed)
    else:
        times = _times(interactions, "ratio split.order=time")
        rows = _by_time(interactions, times, ties)
        if by == "overall":
            rows = rows[np.argsort(times[rows], kind="stable")]
    groups, sizes = _groups(interactions, rows, by)
    parts = _last(rows, groups, sizes, _shares(sizes, valid, test))
    settings = {"split": "ratio", "by": by, "order": order, "valid": valid, "test": test, **rule}
    in_time = order == "time"
    return _split(interactions, parts, settings, in_time=in_time, in_time_overall=in_time and by == "overall")


def random(
    interactions: Interactions,
    *,
    by: By,
    valid: Share,
    test: Annotated[Share, AfterValidator(_leaves_some)],
    folds: Annotated[int, Field(ge=2)] | None,
    fold: Annotated[int, Field(ge=0), AfterValidator(_below_folds)],
    seed: Seed,
) -> Split:
    """Hold out random positives of each user, or of all together; what is held out does not depend on the file's order.

    With `folds`, the positives are cut into as many parts of equal size (up to one), and part `fold` is test; over all
    folds each positive is in test exactly once, unless its user has no other.

    Args:
        by: of what the shares are: each "user"'s positives, or all of them ("overall").
        valid: share of validation.
        test: share of test; without meaning if there are folds.
        folds: number of folds, or None.
        fold: which fold is test, from 0.
        seed: of the random order.
    """
    rows = _at_random(interactions, by, seed)
    groups, sizes = _groups(interactions, rows, by)
    settings: dict[str, Any] = {"split": "random", "by": by, "valid": valid, "seed": seed}
    if folds is None:
        counts = _shares(sizes, valid, test)
        return _split(interactions, _last(rows, groups, sizes, counts), settings | {"test": test})
    rows, tested = _fold_last(rows, groups, sizes, folds, fold)
    counts = _Counts(_held_out(sizes, valid, kept=sizes - tested), tested)
    settings |= {"folds": folds, "fold": fold}
    return _split(interactions, _last(rows, groups, sizes, counts), settings)


def temporal(
    interactions: Interactions,
    *,
    valid_from: Moment,
    test_from: Annotated[Moment, AfterValidator(after)],
) -> Split:
    """Split at two moments, the same for all users: train is before `valid_from`, test from `test_from` on.

    A share stands for the time of the positive at that share of all positives in time; positives of one time are
    never divided. So nothing is trained on that is not earlier than every held-out positive, of whomever.

    Args:
        valid_from: first moment of validation.
        test_from: first moment of test.

    Raises:
        DataError: the interactions have no timestamps, or a part is left without positives.
    """
    times = _times(interactions, "temporal")
    ordered = np.sort(times)
    fine = interactions.subseconds is not None
    first = [first_instant(moment, ordered, fine) for moment in (valid_from, test_from)]
    which = (times >= first[0]).astype(np.int64) + (times >= first[1])
    rows = _by_time(interactions, times, "item_id")
    parts = [rows[which[rows] == part] for part in range(3)]
    settings = {"split": "temporal", "valid_from": first[0], "test_from": first[1]}
    split = _split(interactions, parts, settings, in_time=True, in_time_overall=True)
    for name, own in (("train", split.train), ("validation", split.valid), ("test", split.test)):
        if not len(own):
            raise DataError(
                f"{interactions.name}: split=temporal leaves no positive for {name} from users with training positives "
                f"(split.valid_from={valid_from}, split.test_from={test_from}); expected other moments between "
                f"{shown(ordered[0], fine)} and {shown(ordered[-1], fine)}, the first and the last positive"
            )
    return split


def cold_items(
    interactions: Interactions,
    *,
    valid: Share,
    test: Annotated[Share, AfterValidator(_leaves_some)],
    candidates: Literal["cold", "all"],
    seed: Seed,
) -> Split:
    """Hold out all positives of random items, so that train has none of theirs: how well are new items recommended?

    The items of validation and those of test differ.

    Args:
        valid: share of items, of all that have positives, whose positives are validation.
        test: likewise for test.
        candidates: what a held-out positive is ranked among: the "cold" items of its part, or "all" items, as in a
            catalogue, where a model that puts every warm item first is at chance or below.
        seed: of the draw of items.

    Raises:
        DataError: a part is left without positives.
    """
    sizes = np.array([interactions.num_items])
    counts = _shares(sizes, valid, test)
    order = numpy_generator(seed, "split/cold_items").permutation(interactions.num_items)
    which = np.zeros(interactions.num_items, np.int64)
    which[order[: counts.test[0]]] = 2
    which[order[counts.test[0] : counts.test[0] + counts.valid[0]]] = 1
    if (times := interactions.instants) is None:
        rows = np.lexsort((interactions.items, interactions.users))
    else:
        rows = _by_time(interactions, times, "item_id")
    parts = [rows[which[interactions.items[rows]] == part] for part in range(3)]
    settings = {"split": "cold_items", "valid": valid, "test": test, "candidates": candidates, "seed": seed}
    split = _split(interactions, parts, settings)
    if candidates == "cold":
        split = replace(split, valid_among=np.flatnonzero(which == 1), test_among=np.flatnonzero(which == 2))
    if not (len(split.train) and len(split.valid) and len(split.test)):
        raise DataError(
            f"{interactions.name}: split=cold_items leaves no positive for train, validation or test; expected more "
            f"items than {interactions.num_items}, or other shares than split.valid={valid:g} and split.test={test:g}"
        )
    return split


def tied_last_positives(interactions: Interactions) -> int:
    """Count the users whose last two positives share a timestamp, so that the rule for ties picks the test item."""
    if (instants := interactions.instants) is None:
        return 0
    order = _by_time(interactions, instants, "file")
    users, times = interactions.users[order], instants[order]
    last = np.flatnonzero(np.append(users[1:] != users[:-1], True))
    last = last[last > 0]
    return int(((users[last] == users[last - 1]) & (times[last] == times[last - 1])).sum())


@dataclass(frozen=True)
class _Counts:
    """How many positives of each group are held out: (G,) int64 each."""

    valid: np.ndarray
    test: np.ndarray


def _split(
    interactions: Interactions, parts: list[np.ndarray], settings: dict[str, Any], in_time: bool = False,
    in_time_overall: bool = False,
) -> Split:  # fmt: skip
    """Return the split whose parts are these row numbers, without the held-out rows of users who have none in train."""
    trained = np.bincount(interactions.users[parts[0]], minlength=interactions.num_users) > 0
    kept = [parts[0], *(rows[trained[interactions.users[rows]]] for rows in parts[1:])]
    train, valid, test = (_take(interactions, rows) for rows in kept)
    return Split(
        train=train,
        valid=valid,
        test=test,
        num_users=interactions.num_users,
        num_items=interactions.num_items,
        user_ids=interactions.user_ids,
        item_ids=interactions.item_ids,
        titles=interactions.titles,
        genres=interactions.genres,
        name=interactions.name,
        digest=digest_of(data=interactions.digest, **settings),
        in_time=in_time,
        in_time_overall=in_time_overall,
        dropped=len(interactions) - sum(map(len, kept)),
        item_features=interactions.item_features,
        user_features=interactions.user_features,
    )


def _take(interactions: Interactions, rows: np.ndarray) -> Pairs:
    """Return the pairs at `rows`, sorted by user; the rows of a user stay in their order."""
    rows = rows[np.argsort(interactions.users[rows], kind="stable")]
    stamps, subseconds = (None if t is None else t[rows] for t in (interactions.timestamps, interactions.subseconds))
    return Pairs(interactions.users[rows], interactions.items[rows], stamps, interactions.ratings[rows], subseconds)


def _times(interactions: Interactions, split: str) -> np.ndarray:
    """Return the times in order, as `Interactions.instants`. Raises DataError without any."""
    if (instants := interactions.instants) is None:
        raise DataError(
            f"{interactions.name}: expected timestamps, found none; split={split} orders positives by time, "
            f"{'split.order=random' if split.startswith('ratio') else 'split=ratio'} does without"
        )
    return instants


def _by_time(interactions: Interactions, times: np.ndarray, ties: Ties) -> np.ndarray:
    """Return (N,) row numbers sorted by user, then time, then the rule for ties."""
    if ties == "item_id":
        return np.lexsort((interactions.items, times, interactions.users))
    if ties == "file":
        return np.lexsort((times, interactions.users))
    backwards = np.lexsort((times[::-1], interactions.users[::-1]))
    return len(interactions) - 1 - backwards


def _at_random(interactions: Interactions, by: By, seed: int) -> np.ndarray:
    """Return (N,) row numbers in random order, within each user or overall, whatever their order in the file."""
    rows = np.lexsort((interactions.items, interactions.users))
    draws = numpy_generator(seed, f"split/{by}").random(len(rows))
    return rows[np.argsort(draws, kind="stable") if by == "overall" else np.lexsort((draws, interactions.users[rows]))]


def _groups(interactions: Interactions, rows: np.ndarray, by: By) -> tuple[np.ndarray, np.ndarray]:
    """Return the group (N,) of each row, of which shares are taken, ascending, and the sizes (G,) of the groups."""
    if by == "overall":
        return np.zeros(len(rows), np.int64), np.array([len(rows)])
    return interactions.users[rows], np.bincount(interactions.users, minlength=interactions.num_users)


def _shares(sizes: np.ndarray, valid: float, test: float) -> _Counts:
    tested = _held_out(sizes, test, kept=sizes)
    return _Counts(_held_out(sizes, valid, kept=sizes - tested), tested)


def _held_out(sizes: np.ndarray, share: float, kept: np.ndarray) -> np.ndarray:
    """Return how many of `sizes` (G,) are held out: a share, rounded down, but 1 where `kept` (G,) is at least 2."""
    counts = np.floor(sizes * share + 1e-9).astype(np.int64)  # 0.29 * 100 is a little less than 29
    return np.minimum(np.maximum(counts, 1), np.maximum(kept - 1, 0))


def _last(rows: np.ndarray, groups: np.ndarray, sizes: np.ndarray, counts: _Counts) -> list[np.ndarray]:
    """Divide `rows` (N,), which are sorted by group: the last of each are test, those before them validation."""
    from_end = sizes.cumsum()[groups] - np.arange(len(rows)) - 1
    is_test = from_end < counts.test[groups]
    is_valid = ~is_test & (from_end < (counts.valid + counts.test)[groups])
    return [rows[~(is_test | is_valid)], rows[is_valid], rows[is_test]]


def _fold_last(
    rows: np.ndarray, groups: np.ndarray, sizes: np.ndarray, folds: int, fold: int
) -> tuple[np.ndarray, np.ndarray]:
    """Move one fold of each group to its end; return the rows (N,) and the fold's size in each group (G,).

    The folds of different groups begin at different ones, so that those of small groups are not all in the first.
    """
    place = np.arange(len(rows)) - (sizes.cumsum() - sizes)[groups]
    chosen = (place + groups) % folds == fold
    tested = np.minimum(np.bincount(groups[chosen], minlength=len(sizes)), np.maximum(sizes - 1, 0))
    return rows[np.lexsort((chosen, groups))], tested


SPLITS = Registry(
    "split",
    {
        "leave_one_out": leave_one_out,
        "ratio": ratio,
        "random": random,
        "temporal": temporal,
        "cold_items": cold_items,
    },
)

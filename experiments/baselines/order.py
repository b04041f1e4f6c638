"""The page's section on the published order: which pairs of models are turned round, and whether that can be told.

A row of pairs.csv is the published winner's mean less the loser's, so a pair that is turned round has a negative one.
"""

import numpy as np
import pandas as pd

from experiments.baselines import published
from experiments.baselines.arms import ARMS, METRICS, NAMES
from experiments.baselines.comparisons import p_text
from experiments.baselines.published import MAIN, OWN
from experiments.baselines.rankings import ALL_ITEMS, EVERY_DRAW, ONE_DRAW, POPULAR, RARE
from ncf.report.kit.markup import Table

FAMILY = ("settings", "ranking", "metric")
"""The columns that the pairs share whose p-values are corrected together."""

LEVEL = 0.05  # of a corrected p
_SETTINGS = {MAIN: "settings above", OWN: "tuned for it"}


def verdict(ours: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Whether the order is the published one, in one sentence."""
    users, found = ours["users"].iloc[0], turned_round(ours, pairs)
    apart = found[(found["settings"] == OWN) & (found["p_both"] <= LEVEL)]
    if apart.empty:
        tests = _drawn(pairs, OWN)
        told = int((tests["p_both"] <= LEVEL).sum())
        return (
            f"**Nothing that {users} users can tell apart contradicts it.** With settings tuned for its protocol, "
            f"{told} of {len(tests)} pairs of models (in two metrics) can be told apart, all in the published order; "
            f"the other {len(tests) - told} are undecided."
        )
    return f"**Not quite.** With settings tuned for its protocol, told apart and turned round: {_names(apart)}."


def values(ours: pd.DataFrame) -> Table:
    """Ours on MovieLens-100K beside the published values, in the published order of NDCG@10."""
    reference = published.reference()
    means = ours[ours["ranking"] == ONE_DRAW].set_index(["arm", "settings"])
    rows = []
    for name, theirs in sorted(reference["models"].items(), key=lambda item: -item[1][METRICS[0]]):
        numbers = [theirs[m] for m in METRICS] + [means.loc[(name, s), m] for s in _SETTINGS for m in METRICS]
        rows.append([ARMS[name].title, *(f"{n:.4f}" for n in numbers), str(means.loc[(name, MAIN), "seeds"])])
    where = [f"published, {reference['data']}", *(f"here, {title}" for title in _SETTINGS.values())]
    header = ["model", *(f"{place}, {NAMES[m]}" for place in where for m in METRICS), "seeds"]
    return Table("99 sampled negatives", header, rows, f"Published, without intervals: {reference['source']}.")


def agreement(ours: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """How far our order is the published one, and how much of it can be told from chance."""
    lines = []
    for settings, title in _SETTINGS.items():
        for metric in METRICS:
            tau, reversed_ = published.agreement(_drawn(ours, settings), metric)
            tests = _drawn(pairs[pairs["metric"] == metric], settings)
            apart = tests[tests["p_both"] <= LEVEL]
            against = apart[apart["difference"] < 0]
            lines.append(
                f"- {title.capitalize()}, {NAMES[metric]}: {len(tests) - len(reversed_)} of {len(tests)} pairs of "
                f"models are in the published order (Kendall's tau {tau:.2f}). {len(apart)} pairs can be told apart, "
                f"{len(against) or 'none'} of these turned round{f' ({_names(against)})' if len(against) else ''}."
            )
    return "\n".join(lines)


def turned(ours: pd.DataFrame, pairs: pd.DataFrame) -> Table:
    """Every pair that is turned round, with what the published values and the other rankings say of it."""
    others = pairs.set_index(["settings", "metric", "winner", "loser", "ranking"])[["difference", "p_both"]]
    rows = []
    for row in turned_round(ours, pairs).to_dict("records"):
        key = (row["settings"], row["metric"], row["winner"], row["loser"])
        elsewhere = [others.loc[(*key, ranking)] for ranking in (EVERY_DRAW, ALL_ITEMS)]
        names = [_SETTINGS[row["settings"]], NAMES[row["metric"]], _pair(row)]
        here = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        gap = f"{row['published']:+.4f} ({row['resolved']:.4f})"
        found = [f"{one['difference']:+.4f} ({p_text(one['p_both'])})" for one in elsewhere]
        rows.append([*names, gap, here, p_text(row["p_both"]), *found])
    columns = ["settings", "metric", "pair", "published (resolved)", "here", "p", "every draw (p)", "all items (p)"]
    note = (
        "The first of a pair is above in the literature; a difference is its mean less the other's. "
        "Resolved: see below. p corrected by Holm over all pairs of the same settings, ranking and metric; "
        "[pairs.csv](pairs.csv) has them as they were."
    )
    return Table("Turned round here", columns, rows, note)


def turned_round(ours: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs that the one draw turns round.

    `published` is the published difference, `resolved` the least that the published data could tell from none (at 95%,
    uncorrected) if its users differed between the two models as much as ours do: half our interval, scaled by the
    square root of the numbers of users.
    """
    reference = published.reference()
    scale = np.sqrt(ours["users"].iloc[0] / reference["users"])
    found = pairs[(pairs["ranking"] == ONE_DRAW) & (pairs["difference"] < 0)].copy()
    theirs = reference["models"]
    found["published"] = [
        theirs[row.winner][row.metric] - theirs[row.loser][row.metric] for row in found.itertuples(index=False)
    ]
    found["half"] = (found["high"] - found["low"]) / 2
    found["resolved"] = found["half"] * scale
    return found


def explanation(ours: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """What the turned pairs come to: settings, few users, small published gaps, one draw, rare items, what is left."""
    found = turned_round(ours, pairs)
    if found.empty:
        return "- No pair is turned round."
    lines = [_settings(found), *_chance(ours, found), _one_draw(ours, pairs), _rare(pairs, found)]
    apart = found[found["p_both"] <= LEVEL]
    return "\n".join([*lines, *(_left(row) for row in apart.to_dict("records"))])


def _settings(found: pd.DataFrame) -> str:
    before, after = (
        set(found.loc[found["settings"] == s, ["metric", "winner", "loser"]].itertuples(index=False, name=None))
        for s in (MAIN, OWN)
    )
    return (
        f"- **Settings.** Tuned for another protocol, {len(before)} pairs are turned round; tuned for this one, "
        f"{len(before - after)} of them are in the published order, and {len(after - before)} others are not."
    )


def _chance(ours: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    reference, users = published.reference(), ours["users"].iloc[0]
    small, far = found["published"] < found["resolved"], found["published"] > found["high"]
    alone = (found["high"] < 0).sum()
    return [
        f"- **Few users.** {(found['p_both'] > LEVEL).sum()} of these {len(found)} differences are not significant "
        f"once corrected ({alone} of the {len(found)} intervals, which are not corrected, leave out 0): {users} users "
        f"leave {found['half'].min():.3f} to {found['half'].max():.3f} to either side. {far.sum()} of the intervals "
        "end below the published gap, but these pairs were picked for being turned round, so some would by chance.",
        f"- **Small published gaps.** If users of {reference['data']} differ between two models as much as these do, "
        f"its {reference['users']:,} users resolve (at 95%) only gaps above the number in brackets: for {small.sum()} "
        f"of the {len(found)}, the published order itself could be chance.",
    ]


def _one_draw(ours: pd.DataFrame, pairs: pd.DataFrame) -> str:
    means = ours.pivot(index=["settings", "arm"], columns="ranking", values="hit@10")
    luck = (means[ONE_DRAW] - means[EVERY_DRAW]).abs().max()
    own = {ranking: table["p_both"] for ranking, table in pairs[pairs["settings"] == OWN].groupby("ranking")}
    told = {ranking: int((p <= LEVEL).sum()) for ranking, p in own.items()}
    return (
        f"- **One draw of 99.** The draw that all runs share puts a model's HR@10 up to {luck:.3f} off its mean over "
        f"every draw. With settings tuned for the protocol that mean tells {told[EVERY_DRAW]} of {len(own[ONE_DRAW])} "
        f"pairs apart instead of {told[ONE_DRAW]}; a ranking of all items, {told[ALL_ITEMS]}."
    )


def _rare(pairs: pd.DataFrame, found: pd.DataFrame) -> str:
    halves = pairs.set_index(["settings", "metric", "winner", "loser", "ranking"])
    said = []
    for row in found[found["settings"] == OWN].to_dict("records"):
        key = (OWN, row["metric"], row["winner"], row["loser"])
        rare, popular = (halves.loc[(*key, ranking)] for ranking in (RARE, POPULAR))
        said.append(
            f"{_pair(row)} in {NAMES[row['metric']]} {rare['difference']:+.4f} (p {p_text(rare['p_both'])}) and "
            f"{popular['difference']:+.4f} (p {p_text(popular['p_both'])})"
        )
    half = pairs[(pairs["settings"] == OWN) & pairs["ranking"].isin([RARE, POPULAR])]
    apart = half[(half["difference"] < 0) & (half["p_both"] <= LEVEL)]
    also = [
        f"{_turned(row)} over {'rare' if row['ranking'] == RARE else 'popular'} items (p {p_text(row['p_both'])})"
        for row in apart.to_dict("records")
    ]
    return (
        "- **Rare items.** Users halved by how many training positives their held-out item has, the rarer half first, "
        f"tuned for the protocol: {'; '.join(said) or 'no pair is turned round'}. Of all pairs in these halves, turned "
        f"round and told apart: {'; '.join(also) or 'none'}."
    )


def _left(row: dict) -> str:
    """A pair that is turned round and told apart: whether the published gap explains it."""
    above, below = ARMS[row["loser"]].title, ARMS[row["winner"]].title
    known = row["published"] < row["resolved"]
    verdict = "so there is no published finding to disagree with" if known else "and this is not explained"
    return (
        f"- **{above} above {below}** in {NAMES[row['metric']]}, {_SETTINGS[row['settings']]}: not by chance. "
        f"The published gap of {row['published']:.4f} is {'below' if known else 'above'} the {row['resolved']:.4f} "
        f"that its data resolves, {verdict}."
    )


def _pair(row: dict) -> str:
    return f"{ARMS[row['winner']].title} over {ARMS[row['loser']].title}"


def _drawn(table: pd.DataFrame, settings: str) -> pd.DataFrame:
    return table[(table["settings"] == settings) & (table["ranking"] == ONE_DRAW)]


def _names(pairs: pd.DataFrame) -> str:
    return "; ".join(_turned(row) for row in pairs.to_dict("records"))


def _turned(row: dict) -> str:
    return f"{ARMS[row['loser']].title} above {ARMS[row['winner']].title} ({NAMES[row['metric']]})"

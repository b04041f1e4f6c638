"""README.md and its figures, from the CSV files beside it: the same files give the same bytes."""

from pathlib import Path

import numpy as np
import pandas as pd

from experiments.which_method import figures
from experiments.which_method.costs import totals
from experiments.which_method.figures import RULES
from experiments.which_method.runs import HERE, cells, registered
from experiments.which_method.tables import PAIRS, grid, main_cells, read, right
from ncf.core.files import write_text
from ncf.report.kit.markup import Table

NOT_YET = "Not measured yet: `make methods`."

MARGIN = 0.01  # clicks a session; a smaller effect is none that a method has to name

# Situation; what could be used, of which the page takes the least variable that is right; what not to use instead.
ADVICE = (
    ("You can show B to users drawn at random", ("A/B", "A/B, CUPED"), ()),
    ("Whole regions get B, because users of a region meet", ("clusters, robust", "clusters, means"),
     ("clusters, as if users",)),
    ("You want to know the winner only", ("interleaving",), ()),
    ("B must not be shown, but A's lists are drawn at random, with their chances logged",
     ("logs, IPS", "logs, SNIPS", "logs, DR"), ("logs, naive", "logs, item means")),
    ("Users chose B, and what made them choose was measured",
     ("opt-in, matching, seen", "opt-in, IPW, seen", "opt-in, AIPW, seen", "opt-in, double ML, seen"),
     ("opt-in, naive",)),
    ("Users chose B, and what made them choose was measured badly", ("opt-in, IPW, proxy", "opt-in, AIPW, proxy"), ()),
    ("Users chose B, and what made them choose was not measured",
     ("opt-in, IPW, unseen", "opt-in, double ML, unseen"), ()),
    ("B came in waves", ("rollout, two-way fixed effects", "rollout, group-time"), ("rollout, before/after",)),
    ("There are only held-out ratings", ("offline NDCG@10",), ()),
)  # fmt: skip


def write(folder: Path = HERE) -> None:
    """README.md and figures/ in `folder`."""
    tables = read(folder)
    figures.draw(tables, folder / "figures")
    write_text(folder / "README.md", text(tables))


def text(tables: dict[str, pd.DataFrame]) -> str:
    """The page, as Markdown."""
    results = tables["results"]
    main = main_cells(results)
    parts = {
        "size": size(main), "verdict": verdict(main), "answer": answer(main).markdown(), "main": methods(main),
        "power": power(results), "peeking": peeking(tables["peeking"]), "warnings": warnings(results),
        "agreement": agreement(tables["agreement"]), "example": example(tables), "status": status(results),
        "models": models(tables["models"]), "costs": costs(tables["costs"]),
        "world": registered()["world"], "commits": commits(tables),
    }  # fmt: skip
    page = (HERE / "page.md").read_text()
    for name, value in parts.items():
        page = page.replace("{" + name + "}", value)
    return page


def costs(table: pd.DataFrame) -> str:
    """Seconds and memory by number of users."""
    if table.empty:
        return "Not measured yet: `python -m experiments.which_method costs`."
    rows = [
        [
            f"{users:,}",
            f"{r.seconds:.2f} [{r.least:.2f}, {r.most:.2f}]",
            f"{1000 * r.seconds / 120:.1f}",
            f"{r.gib:.1f}",
        ]
        for users, r in totals(table).iterrows()
    ]
    header = ["users", "seconds, one core", "minutes for 1,000 replications on two", "peak of memory, GiB"]
    note = (
        f"All seven designs and the drawing, 14 days; median of {table['round'].nunique()} rounds, in brackets least "
        f"and most. Measured at {str(table['commit'].iloc[0])[:12]}, on a CPU; on a GPU: not measured."
    )
    return Table("One replication of all designs", header, rows, note).markdown()


def size(main: pd.DataFrame) -> str:
    """How much was asked."""
    names = [PAIRS[pair] for pair in PAIRS if pair in set(main["pair"])]
    return (
        f"{main['replications'].max():,} replications of {main['users'].max():,} users and {registered_days()} days "
        f"each, for {len(names)} pairs: {', '.join(names)}."
    )


def registered_days() -> int:
    """Days of an experiment."""
    return int(next(s for s in registered()["settings"] if s.startswith("days=")).split("=")[1])


def verdict(main: pd.DataFrame) -> str:
    """Which methods are right in all pairs, and which are not."""
    known = main[main["bias"].notna()].assign(right=right)
    share = known.groupby("method", sort=False)["right"].mean()
    always = [name for name, value in share.items() if value == 1]
    never = [name for name, value in share.items() if value < 1]
    return (
        f"**{len(always)} of {len(share)} methods told the truth of every pair** (bias within {registered()['errors']} "
        f"Monte Carlo errors of 0 and coverage of .95): {'; '.join(always)}.\n\n**The others did not**, in one pair or "
        f"more: {'; '.join(never)}."
    )


def answer(main: pd.DataFrame) -> Table:
    """The first table: ask this, use that, because."""
    rows = [[ask, *advised(main, candidates, instead)] for ask, candidates, instead in ADVICE]
    note = (
        "Bias: the mean miss, in clicks a session, of the pair where it is largest. Covers: least share of 95% "
        "intervals that hold the truth. Right winner: share of replications that name it (p ≤ .05), least and most "
        f"over the pairs whose effect is {MARGIN:g} or more. Costs: means a "
        "replication. False alarms: share that names a winner between A and A."
    )
    return Table("Ask this, use that, because", ["your situation", "use", "because"], rows, note)


def advised(main: pd.DataFrame, candidates: tuple[str, ...], instead: tuple[str, ...]) -> list[str]:
    """Return what to use, and why: of the candidates that are right for every pair the one that varies least.

    If none is right, nothing is to be used, and the one with the least bias is shown for the reason.
    """
    own = main[main["method"].isin(candidates)]
    fit = own.assign(right=right(own) | own["bias"].isna()).groupby("method").agg({"right": "all", "sd": "mean"})
    if fit["right"].any():
        use = str(fit.loc[fit["right"], "sd"].idxmin())
        first, name = f"{sentence(main, use)}; {cost(main, use)}", f"**{use}**"
    else:
        use = str(own.assign(size=own["bias"].abs()).groupby("method")["size"].max().idxmin())
        first, name = f"None is right; {use}: {sentence(main, use)}", "**nothing**"
    return [name, ". ".join([first, *(f"Not {other}: {sentence(main, other)}" for other in instead)])]


def sentence(main: pd.DataFrame, method: str) -> str:
    """Bias, spread, coverage, winners of a method over the pairs."""
    own = main[main["method"] == method]
    if own.empty:
        return "not measured"
    parts = []
    if own["bias"].notna().all():
        worst = own.loc[own["bias"].abs().idxmax()]
        parts = [
            f"bias {worst['bias']:+.4f} ± {worst['bias_error']:.4f}, SD {worst['sd']:.3f}",
            f"covers {own['coverage'].min():.0%}",
        ]
    apart = own[own["effect"].abs() >= MARGIN]
    if len(apart):
        parts.append(f"right winner {span(apart['right_winner'])}")
        if apart["wrong_winner"].max() > 0:
            parts.append(f"wrong winner up to {apart['wrong_winner'].max():.1%}")
    same = own[own["pair"] == "same"]
    if len(same):
        parts.append(f"false alarms {same['power'].iloc[0]:.1%}")
    return ", ".join(parts)


def span(values: pd.Series) -> str:
    """Least and most, as per cent."""
    low, high = f"{values.min():.0%}", f"{values.max():.0%}"
    return low if low == high else f"{low} to {high}"


def cost(main: pd.DataFrame, method: str) -> str:
    """What a method took."""
    own = main[main["method"] == method]
    if own.empty or not own["sessions"].max():
        return "costs no session"
    return f"costs {own['sessions'].mean():,.0f} sessions, {own['shown_b'].mean():,.0f} shown B"


def methods(main: pd.DataFrame) -> str:
    """A table for each pair."""
    header = [
        "method", "truth", "bias ± MC", "SD", "mean error", "coverage ± MC", "power", "right winner", "wrong winner",
        "sessions", "shown B", "right?",
    ]  # fmt: skip
    made = []
    for pair in PAIRS:
        own = main[main["pair"] == pair].assign(right=right)
        if own.empty:
            continue
        rows = [[r.method, *_numbers(r)] for r in own.itertuples()]
        title = f"{PAIRS[pair]}: the truth is {own['effect'].iloc[0]:+.4f} clicks a session"
        made.append(Table(title, header, rows).markdown())
    note = (
        f"Sessions are those of {registered_days()} days that a method looks at. Offline NDCG@10 is asked once: its "
        "data are the same in every replication. It has no exact value on its scale."
    )
    return "\n".join([*made, note])


def _numbers(r: object) -> list[str]:
    row = pd.Series(r._asdict())  # type: ignore[attr-defined]
    known = pd.notna(row["bias"])
    return [
        f"{row['truth']:+.4f}" if known else "",
        f"{row['bias']:+.4f} ± {row['bias_error']:.4f}" if known else "", f"{row['sd']:.4f}", f"{row['error']:.4f}",
        f"{row['coverage']:.3f} ± {row['coverage_error']:.3f}" if known else "", f"{row['power']:.3f}",
        f"{row['right_winner']:.3f}", f"{row['wrong_winner']:.3f}", f"{row['sessions']:,.0f}",
        f"{row['shown_b']:,.0f}", ("yes" if row["right"] else "**no**") if known else "",
    ]  # fmt: skip


def power(results: pd.DataFrame) -> str:
    """The share that names the right winner, by size."""
    whole = results[results["design"] == "ab"][["pair", "users", "confounding"]].drop_duplicates()
    own = results.merge(whole, on=["pair", "users", "confounding"])
    own = own[(own["pair"] != "same") & own["method"].isin(figures.POWERS)]
    if own["users"].nunique() < 2:
        return NOT_YET
    users = sorted(own["users"].unique())
    table = own.pivot_table(index=["pair", "method"], columns="users", values="right_winner")
    rows = [
        [PAIRS[pair], method, *(_share(table.loc[(pair, method)].get(n)) for n in users)]
        for pair in PAIRS for method in figures.POWERS if (pair, method) in table.index
    ]  # fmt: skip
    sessions = own[own["method"] == "A/B"].groupby("users")["sessions"].mean()
    header = ["pair", "method", *(f"{n:,} users, {sessions[n]:,.0f} sessions" for n in users)]
    counts = own.groupby("users")["replications"].agg(["min", "max"])
    each = "; ".join(f"{n:,} users: {span_of(low, high)} replications" for n, low, high in counts.itertuples())
    return Table("Names the right winner", header, rows, f"{each}. Logs hold a fifth of the sessions.").markdown()


def span_of(low: int, high: int) -> str:
    """A count, or its range."""
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _share(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.3f}"


def peeking(table: pd.DataFrame) -> str:
    """Type-I error of each rule by the last day."""
    if table.empty:
        return NOT_YET
    last = table[table["day"] == table["day"].max()].set_index("rule")
    count = int(last["replications"].iloc[0])
    rows = [
        [name, f"{(s := float(last['stopped'][rule])):.3f} ± {np.sqrt(s * (1 - s) / count):.3f}"]
        for rule, name in RULES.items()
    ]
    note = f"{count:,} A/B tests of A against A, looked at on each of {int(table['day'].max())} days; 5% is promised."
    return Table("Finds a difference where there is none", ["rule", "share of tests"], rows, note).markdown()


def warnings(results: pd.DataFrame) -> str:
    """Bias, bound and E-value by confounding."""
    own = grid(results)
    if own.groupby("pair").size().max() < 2:
        return NOT_YET
    limit = registered()["warns_in_time"]
    header = [
        "pair", "confounding", "actual bias", "misses the truth", "largest bias by the bound", "bound holds",
        "bound warns", "where wrong", "where right", "E-value (of the limit)", "of the real confounding",
        "E-value warns", "where wrong", "where right",
    ]  # fmt: skip
    several = own.groupby("pair")["pair"].transform("size") > 1
    rows = [
        [
            PAIRS[r.pair], f"{r.confounding:g}", f"{r.bias:+.3f} ± {r.bias_error:.3f}", f"{r.misses:.3f}",
            f"{r.mean_largest_bias:.3f}", f"{r.bound_holds:.3f}", f"{r.bound_warns:.3f}", _share(r.bound_in_time),
            _share(r.bound_false_alarms), f"{r.mean_evalue:.2f} ({r.mean_evalue_limit:.2f})", f"{r.real_evalue:.2f}",
            f"{r.evalue_warns:.3f}", _share(r.evalue_in_time), _share(r.evalue_false_alarms),
        ]
        for r in own[several].itertuples()
    ]  # fmt: skip
    note = (
        "Double ML that has not seen enthusiasm. Confounding: what enthusiasm, from -1 to 1, adds to the log odds of "
        "opting in. A tool warns where a confounder as strong as the real one could explain the estimate away; where "
        "wrong, right: of the replications whose interval misses, or holds, the truth. Bound holds: the miss is no "
        "larger than it says."
    )
    return f"{in_time(own[several], limit)}\n\n{Table('Warnings', header, rows, note).markdown()}"


def in_time(own: pd.DataFrame, limit: float) -> str:
    """One sentence a pair and tool."""
    said = []
    for pair, rows in own.groupby("pair", sort=False):
        wrong = rows[rows["misses"] > 0.1]
        for tool, name in (("bound", "omitted-variable bound"), ("evalue", "E-value")):
            kept = wrong[wrong[f"{tool}_in_time"] >= limit]["confounding"]
            where = ", ".join(f"{value:g}" for value in kept) or "none"
            of = ", ".join(f"{value:g}" for value in wrong["confounding"])
            said.append(
                f"- {PAIRS[str(pair)]}: where more than 10% of the intervals miss the truth (confounding {of}), the "
                f"{name} warns in time, in {limit:.0%} of them or more, at **{where}**."
            )
    return "\n".join(said)


def agreement(table: pd.DataFrame) -> str:
    """How NDCG's gain foretells that of clicks."""
    if table.empty:
        return NOT_YET
    rows = []
    for world, own in table.groupby("world", sort=False):
        sure = own["ndcg"].abs() > 1.96 * own["ndcg_error"]
        agrees = np.sign(own["ndcg"]) == np.sign(own["clicks"])
        slope = float((own["ndcg"] @ own["clicks"]) / (own["ndcg"] @ own["ndcg"]))
        left = own["clicks"] - slope * own["ndcg"]
        rows.append([
            str(world), f"{len(own)}", f"{agrees.sum()} of {len(own)}", f"{(agrees & sure).sum()} of {sure.sum()}",
            f"{own['ndcg'].corr(own['clicks'], method='spearman'):.2f}", f"{slope * 0.01:+.3f}",
            f"{np.sqrt((left**2).mean()):.3f}", f"{np.sqrt((own['clicks'] ** 2).mean()):.3f}",
        ])  # fmt: skip
    header = [
        "world", "pairs", "same sign", "same sign, NDCG significant", "rank correlation", "clicks for .01 of NDCG@10",
        "typical error of that", "typical gain in clicks",
    ]  # fmt: skip
    count = len(set(table["a"]) | set(table["b"]))
    note = (
        f"All pairs of {count} rankers, which is few: the pairs share rankers, so they are not independent and no test "
        "is made of them. A line through 0; typical: root mean square."
    )
    return Table("NDCG@10 on held-out ratings, and exact clicks", header, rows, note).markdown()


def example(tables: dict[str, pd.DataFrame]) -> str:
    """What the pictures show, in words."""
    balance, parts = tables["balance"], tables["comparisons"]
    if balance.empty or parts.empty:
        return NOT_YET
    worst = balance.loc[balance["smd_before"].abs().idxmax()]
    forbidden = float(parts.loc[parts["kind"] == 2, "weight"].sum())
    return (
        f"The first replication of {PAIRS[registered()['example']]}. Those who opted in and the others differ by "
        f"{abs(worst['smd_before']):.2f} standard deviations in {worst['confounder']}, and by "
        f"{abs(worst['smd_after']):.3f} once weighted. Of the weight of two-way fixed effects in the rollout, "
        f"{forbidden:.0%} lies on comparisons with users who have B already."
    )


def status(results: pd.DataFrame) -> str:
    """How many cells there are."""
    made = results[["pair", "users", "confounding"]].drop_duplicates()
    there = {tuple(row) for row in made.itertuples(index=False)}
    wanted = cells()
    left = [cell for cell in wanted if (cell.pair, cell.users, cell.confounding) not in there]
    names = "; ".join(f"{PAIRS[c.pair]}, {c.users:,} users, confounding {c.confounding:g}" for c in left)
    lacking = f" Missing so far: {names}." if left else ""
    return f"{len(wanted) - len(left)} of {len(wanted)} registered cells are in results.csv.{lacking}"


def models(table: pd.DataFrame) -> str:
    """The rankers."""
    plan = registered()["models"]
    rows = [
        [r.model, f"`{' '.join(plan[r.model])}`", f"{r.ndcg:.4f}", f"{r.epochs}"]
        for r in table.rename(columns={"ndcg@10": "ndcg"}).itertuples()
    ]
    return Table("The rankers, on MovieLens-100K", ["name", "settings", "test NDCG@10", "epochs"], rows).markdown()


def commits(tables: dict[str, pd.DataFrame]) -> str:
    """Which commits the rows were made by."""
    own = tables["results"].drop_duplicates(["pair", "users", "confounding"])
    counts = own["commit"].value_counts()
    return ", ".join(f"{n} cells by {commit[:12]}" for commit, n in counts.items()) + "."

"""README.md and its figures, from the CSV files beside it."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import pandas as pd

from experiments.bandits.runs import HERE, registered
from experiments.bandits.speed import draw
from ncf.core.files import write_text
from ncf.report.kit.markup import Table
from ncf.report.kit.style import RC, save, titled
from ncf.report.simulation import BEST_ITEM, Comparison
from ncf.report.simulation_page import comparison_table, regret, summary

_SAID = {"worse": "worse than", "equivalent": "equivalent to"}
TITLES = {"linear": "Quality dominates: linear", "linear_fixed_norm": "Taste decides: linear_fixed_norm"}


def write(folder: Path = HERE) -> None:
    """README.md and figures/ in `folder`; the same tables give the same bytes."""
    curves = pd.read_csv(folder / "curves.csv")
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for environment, title in TITLES.items():
        with matplotlib.rc_context(RC):
            figure = regret(curves[curves["environment"] == environment])
            save(titled(figure, title), folder / "figures", f"regret_{environment}")
    if (folder / "scaling.csv").exists():
        with matplotlib.rc_context(RC):
            save(draw(pd.read_csv(folder / "scaling.csv")), folder / "figures", "scaling")
    write_text(folder / "README.md", text(folder))


def text(folder: Path = HERE) -> str:
    """The page, as Markdown."""
    results = pd.read_csv(folder / "results.csv", keep_default_na=False)
    compared = pd.read_csv(folder / "comparisons.csv")
    parts = {"verdict": verdict(results, compared), "seeds": seeds(results), "story": story(results, compared)}
    for environment in TITLES:
        parts[f"summary_{environment}"] = summary(results[results["environment"] == environment]).markdown()
        own = compared[compared["environment"] == environment].drop(columns=["environment"])
        means = results[results["environment"] == environment].groupby("agent")[list(own["measure"].unique())].mean()
        found = [_exactly(Comparison(**row), means) for row in own.drop(columns=["claim"]).to_dict("records")]
        family = "of a claim in an environment"
        parts[f"comparisons_{environment}"] = comparison_table(
            found, registered()["smallest_effect"], family
        ).markdown()
    parts |= {"speed": speed(folder), "scaling": scaling(folder)}
    page = (HERE / "page.md").read_text()
    for name, value in parts.items():
        page = page.replace("{" + name + "}", value)
    return page


def _exactly(one: Comparison, means: pd.DataFrame) -> Comparison:
    """Return a comparison with means of as many digits as the table of regrets shows; its own have six."""
    own, other = (float(means.loc[agent, one.measure]) for agent in (one.treatment, one.against))
    return replace(one, treatment_mean=own, against_mean=other)


def status(rows: pd.DataFrame) -> str:
    """What the comparisons of a claim say together: every one of them has to be better."""
    found = set(rows["finding"])
    if found == {"better"}:
        return "holds"
    if "incomplete" in found:
        return "is incomplete"
    against = rows[rows["finding"].isin(["worse", "equivalent"])]
    if len(against) == len(rows):
        return "is refuted"
    if len(against):
        parts = [f"{_SAID[str(r.finding)]} {r.against} in {r.measure}" for r in against.itertuples()]
        return f"fails ({', '.join(parts)})"
    return "is undecided"


def verdict(results: pd.DataFrame, compared: pd.DataFrame) -> str:
    """One line for each claim and environment."""
    lines = []
    for name, claim in registered()["claims"].items():
        for environment in registered()["environments"]:
            rows = compared[(compared["claim"] == name) & (compared["environment"] == environment)]
            lines.append(f"- {name}, {environment}: that {claim['says']} **{status(rows)}**.")
    own = results[(results["agent"] == "thompson") & (results["environment"] == "linear")]["first 200"] / 200
    limit = registered()["limits"]["mean regret of thompson over 200 periods in linear"]
    kept = "is" if own.mean() <= limit else "is not"
    lines.append(
        f"- The mean regret of thompson over 200 periods in linear is {own.mean():.4f}, which {kept} at most {limit}."
    )
    return "\n".join(lines)


def seeds(results: pd.DataFrame) -> str:
    """How many of the registered runs there are."""
    own = results[results["agent"] != BEST_ITEM]
    counts = own.groupby(["environment", "agent"]).size()
    plan = registered()
    wanted = plan["seeds"] * len(plan["agents"]) * len(plan["environments"])
    each = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    return f"{len(own)} of {wanted} registered runs are in these tables, {each} seeds an agent"


def story(results: pd.DataFrame, compared: pd.DataFrame) -> str:
    """The notebook's agent beside greedy ALS and the best fixed item."""
    lines = []
    for environment in registered()["environments"]:
        means = results[results["environment"] == environment].groupby("agent")[["period 50", "first 200"]].mean()
        if not {"bayes_original", "als", BEST_ITEM} <= set(means.index):
            continue
        at = ", ".join(
            f"{name} {means.loc[name, 'period 50']:.3f}" for name in ("bayes_original", "als", BEST_ITEM, "thompson")
        )
        lines.append(f"- {environment}, regret at period 50: {at}.")
    return "\n".join(lines)


def speed(folder: Path) -> str:
    """What speed.csv says."""
    path = folder / "speed.csv"
    if not path.exists():
        return "Not measured: `python -m experiments.bandits.speed`."
    table = pd.read_csv(path)
    recorded = table["who"].str.startswith("Spark")  # of which only the shortest and the longest fit are known
    rows = [
        [r.what, r.who, f"{r.seconds:.4g} [{r.least:.4g}, {r.most:.4g}]", f"{r.cpu_seconds:.4g}"]
        for r in table[~recorded].itertuples()
    ]
    spark = table[recorded].iloc[0]
    rows.append([spark["what"], spark["who"], f"[{spark['least']:.4g}, {spark['most']:.4g}]", ""])
    own = table.set_index(["what", "who"])
    pair, fit = own["cpu_seconds"]["period of bayes_original"], own["seconds"]["fit of als"]["ncf"]
    note = (
        f"In CPU seconds the batched agent is {pair['sequential'] / pair['batched']:.0f} times as fast as the other "
        f"one. By the clock the median fit of ALS is {spark['least'] / fit:,.0f} times as fast as the quickest of "
        "Spark's, which had two cores."
    )
    return Table(
        "Seconds of one thread", ["what", "who", "by the clock, median [least, most]", "of CPU"], rows, note
    ).markdown()


def scaling(folder: Path) -> str:
    """What scaling.csv says."""
    path = folder / "scaling.csv"
    if not path.exists():
        return "Not measured: `python -m experiments.bandits.speed scaling`."
    table = pd.read_csv(path).drop_duplicates(["users", "items", "factors"])
    rows = [
        [
            f"{r.users:,}",
            f"{r.items:,}",
            f"{r.factors}",
            f"{r.cpu_seconds:.3g}",
            f"{r.seconds:.3g}",
            f"{r.peak_gib:.2f}",
        ]
        for r in table.itertuples()
    ]
    header = ["users", "items", "factors", "CPU seconds a period", "by the clock", "peak GiB of the process"]
    return Table("A period of thompson, one thread", header, rows).markdown()

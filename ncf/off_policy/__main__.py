"""`python -m ncf.off_policy log=obd campaign=all policy=bts`: estimate what a policy would have earned."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ncf.core import command_line
from ncf.core.command_line import visible
from ncf.core.files import write_text, writing
from ncf.core.formats import add_format, as_csv, as_json, as_table, records
from ncf.data.archive import user_path
from ncf.data.feedback import LoggedFeedback, columns_of, read
from ncf.data.frame import column_names, refuse_missing_columns
from ncf.data.open_bandit import BEHAVIOURS, CAMPAIGNS, open_bandit, thompson_prior
from ncf.errors import ConfigError, DataError
from ncf.off_policy import policies, reward_models
from ncf.off_policy.analysis import Analysis, Settings, analyse, names, rewards, values
from ncf.off_policy.estimators import ESTIMATORS
from ncf.off_policy.list_analysis import ESTIMATORS as OF_LISTS
from ncf.off_policy.list_analysis import analyse_lists
from ncf.off_policy.per_action import PerAction, per_action
from ncf.off_policy.policy_files import Chances, Policy, catalogue, places, read_policy
from ncf.stats.estimate import Estimate, table

OBD = "obd"
_FLAG = ("true", "false")
_COLUMNS = ("user", "item", "reward", "propensity", "position", "time", "slate")
_SHOWN = ("method", "value", "standard_error", "low", "high", "effective_n")


@dataclass(frozen=True, eq=False)
class Asked:
    """What the command works on: a log, the policy to evaluate, and what else is known."""

    feedback: LoggedFeedback
    policy: Policy
    action_context: np.ndarray | None = None
    scores: PerAction | None = None
    on_policy: LoggedFeedback | None = None


def parser() -> command_line.Parser:
    """Define the options of the command."""
    options = command_line.Parser("ncf.off_policy", __doc__)
    add = options.add_argument
    add("--log", required=True, help="obd, the Open Bandit Dataset; or a CSV, TSV or Parquet file of your own")
    add("--campaign", choices=CAMPAIGNS, help="of obd: all, men or women (all)")
    add(
        "--behaviour",
        help="the policy that logged: of obd random or bts (random), of a file the rows to read",
    )
    add(
        "--policy",
        help="to evaluate: uniform (random), empirical, bts (of obd), or a file of probabilities or scores",
    )
    add("--run", help="a finished run as the policy, with temperature= or epsilon=, or for reward_model=run")
    add("--temperature", type=float, help="of a softmax over scores")
    add("--epsilon", type=float, help="or the share shown at random, else the highest score")
    _add_columns(options)
    _add_estimators(options)
    add("--level", type=float, default=0.95, help="coverage of intervals (0.95)")
    add("--cluster", help="user, slate, time or policy: rounds that share it depend on each other")
    add("--lists", choices=_FLAG, default="false", help="evaluate whole lists: slate and position")
    add("--distinct", choices=_FLAG, default="true", help="the policy shows no item twice in a list (true)")
    add(
        "--allow_low_ess",
        choices=_FLAG,
        default="false",
        help="show what rests on under 30 effective rounds",
    )
    add(
        "--archive",
        help="of obd: open_bandit_dataset.zip, the full data, or its folder; of run=: its data",
    )
    add("--root", default="data", help="folder of data (data)")
    add("--output", type=Path, help="folder to write estimates.csv and result.json to")
    add_format(options)
    return options


def _add_estimators(options: command_line.Parser) -> None:
    """Add the estimators, the reward model, and what both are tuned by."""
    add = options.add_argument
    add("--estimators", help=f"some of {', '.join(ESTIMATORS)}; of lists {', '.join(OF_LISTS)} (all)")
    add("--reward_model", default="tabular", help="tabular, ridge, logistic, or run, the scores of run= (tabular)")
    add("--l2", type=float, default=1.0, help="penalty of ridge and logistic (1)")
    add(
        "--folds",
        type=int,
        help="a model predicts each fold from the others (tabular 1: none held out; else, and of lists, 3)",
    )
    add("--seed", type=int, default=12345, help="of the folds (12345, as published figures)")
    add("--clip", help="largest weight of clipped_ips, several with commas (from the data)")
    add("--tau", help="largest weight that switch_dr corrects, several with commas (from the data)")
    add("--lambda", help="shrinkage of dr_os, several with commas (from the data)")


def _add_columns(options: command_line.Parser) -> None:
    """Add the names of a file's columns."""
    for name in _COLUMNS:
        options.add_argument(f"--{name}", help=f"the file's column ({name})")
    options.add_argument("--context", help="and its numeric columns that describe a round, with commas between")
    options.add_argument("--policy_column", help="and the column that names policies (policy)")
    options.add_argument("--on_policy", help="rows of this policy in the file give the value to compare with")


def main(arguments: Sequence[str]) -> None:
    """Run the command. Raises NcfError for errors that the user can fix."""
    options = parser().parse(arguments)
    settings = _settings(options)
    asked = _of_obd(options) if options.log == OBD else _of_file(options)
    if options.lists == "true":
        chosen = () if options.estimators is None else names(options.estimators)
        found = analyse_lists(
            asked.feedback, asked.policy, settings, chosen, distinct=options.distinct == "true",
            on_policy=asked.on_policy,
        )  # fmt: skip
    else:
        found = analyse(
            asked.feedback, asked.policy, settings, action_context=asked.action_context, scores=asked.scores,
            on_policy=None if asked.on_policy is None else rewards(asked.on_policy),
        )  # fmt: skip
    facts = _facts(options, found)
    if options.output is not None:
        _write(options.output, options, found, facts)
    print(_shown(options.format, found, facts), end="")


def _settings(options: Namespace) -> Settings:
    of_lists, name = options.lists == "true", options.reward_model
    if of_lists and (given := [key for key in ("clip", "tau", "lambda") if getattr(options, key) is not None]):
        raise ConfigError(f"{given[0]}: expected none with lists=true, whose estimators have no such number")
    if of_lists and name != "tabular":
        raise ConfigError(f"reward_model: expected tabular with lists=true, got {name}")
    model = "logistic" if name == "run" else name
    parameters = {key: list(values(getattr(options, key), key)) for key in ("clip", "tau", "lambda")}
    return Settings(
        names(None if of_lists else options.estimators), reward_models.named(model, options.l2),
        options.folds if options.folds is not None else 1 if model == "tabular" and not of_lists else 3, options.seed,
        parameters,
        options.level, options.cluster, options.allow_low_ess == "true",
    )  # fmt: skip


def _of_obd(options: Namespace) -> Asked:
    """Return what is asked of the Open Bandit Dataset."""
    campaign, behaviour = options.campaign or "all", options.behaviour or "random"
    if behaviour not in BEHAVIOURS:
        raise ConfigError(f"behaviour: expected one of {', '.join(BEHAVIOURS)}, got {behaviour!r}")
    if given := [name for name in (*_COLUMNS, "policy_column", "on_policy") if getattr(options, name) is not None]:
        raise ConfigError(f"{given[0]}: expected none with log=obd, whose columns are known")
    if options.run is not None or options.reward_model == "run":
        raise ConfigError("run: expected none with log=obd, whose items no run knows")
    root, archive = user_path(options.root), None if options.archive is None else user_path(options.archive)
    data = open_bandit(campaign, behaviour, root, archive)
    own = None
    if options.policy in BEHAVIOURS:
        same = options.policy == behaviour
        own = (data if same else open_bandit(campaign, options.policy, root, archive)).feedback
    if options.policy == "bts":
        place = places(data.feedback)
        prior = thompson_prior(campaign, root)
        chances = per_action(policies.bernoulli_thompson(*prior, int(place.max()) + 1)[None], len(data.feedback), place)
        policy = Policy(data.items, chances)
    else:
        policy = _policy(options, data.feedback, data.items)
    return Asked(data.feedback, policy, data.item_context, on_policy=own)


def _of_file(options: Namespace) -> Asked:
    """Return what is asked of a log of the user's own."""
    if options.campaign is not None:
        raise ConfigError("campaign: expected none but with log=obd")
    source = user_path(options.log)
    columns = columns_of(
        source, policy=options.policy_column, context=options.context and tuple(options.context.split(",")),
        **{name: getattr(options, name) for name in _COLUMNS},
    )  # fmt: skip
    advice = "item=<column>, reward=<column> and propensity=<column> say which they are"
    refuse_missing_columns(str(source), column_names(source), [name for _, name in columns.named()], advice)
    whole = read(source, columns)
    feedback = whole if options.behaviour is None else whole.of_policy(options.behaviour)
    own = None if options.on_policy is None else whole.of_policy(options.on_policy)
    if options.run is None:
        if options.reward_model == "run":
            raise ConfigError("reward_model=run: expected run=<folder>, found none")
        return Asked(feedback, _policy(options, feedback, catalogue(feedback)), on_policy=own)
    items, row, scores, hidden = _scores(options, feedback)
    if options.policy is None:
        policy = Policy(items, PerAction(_chances(options)(np.where(hidden, -np.inf, scores)), row))
    else:
        policy = _policy(options, feedback, items)
    if options.reward_model == "run" and not np.array_equal(policy.items.astype(str), items.astype(str)):
        raise ConfigError("reward_model=run: expected a policy over the items of the run, found other items")
    return Asked(feedback, policy, None, PerAction(scores, row) if options.reward_model == "run" else None, own)


def _policy(options: Namespace, feedback: LoggedFeedback, known: np.ndarray) -> Policy:
    """Return the policy that `policy=` names. Raises ConfigError for none."""
    if options.policy is None:
        raise ConfigError("policy: expected uniform, empirical, bts (of obd), a file, or run=<folder>, found none")
    from_scores = options.temperature is not None or options.epsilon is not None
    if from_scores and options.policy in ("uniform", "random", "empirical", "bts"):
        raise ConfigError(f"temperature, epsilon: expected a policy of scores, got policy={options.policy}")
    if options.policy in ("uniform", "random"):
        return Policy(known, policies.uniform(len(feedback), len(known)))
    if options.policy == "empirical":
        items = catalogue(feedback)
        code = np.unique(feedback.item.astype(str) if items.dtype == object else feedback.item, return_inverse=True)[1]
        return Policy(items, policies.empirical(code.ravel(), len(items), places(feedback)))
    path = user_path(options.policy)
    if not path.exists():
        raise DataError(f"policy: expected uniform, empirical, bts (of obd) or a file, found no {options.policy!r}")
    return read_policy(path, feedback, known, _chances(options) if from_scores else None)


def _chances(options: Namespace) -> Chances:
    """Return what turns scores into probabilities. Raises ConfigError unless one of the two options is given."""
    if (options.temperature is None) == (options.epsilon is None):
        raise ConfigError("temperature, epsilon: expected one of them, which turns scores into a policy")
    if options.temperature is not None:
        return partial(policies.softmax, temperature=options.temperature)
    return partial(policies.epsilon_greedy, epsilon=options.epsilon)


def _scores(options: Namespace, feedback: LoggedFeedback) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return a run's items (I,), the row (N,) of each round, scores (U, I) and which of these items a user has."""
    from ncf.runs.loading import load  # here: a log alone needs no torch

    if feedback.user is None:
        raise DataError(f"{feedback.label}: expected a column of users (user=), whom the run scores for, found none")
    run = load(options.run, None if options.root == "data" else options.root, options.archive)
    users, row = np.unique(feedback.user.astype(str), return_inverse=True)
    scores = run.score(users.tolist()).astype(np.float64)
    hidden = run.seen[run.indices("user", users.tolist())].toarray() > 0
    return run.split.item_ids, row.ravel(), scores, hidden


def _facts(options: Namespace, found: Analysis) -> dict[str, object]:
    """Return what every output says beside the estimates."""
    on_policy = found.on_policy
    return {
        "log": options.log if options.log != OBD else f"obd, campaign {options.campaign or 'all'}",
        "behaviour": options.behaviour or ("random" if options.log == OBD else None),
        "policy": _policy_name(options),
        "lists" if options.lists == "true" else "rounds": found.rounds,
        "effective_sample_size": found.effective,
        **found.largest,
        "on_policy_value": None if on_policy is None else on_policy.value,
        "on_policy_low": None if on_policy is None else on_policy.low,
        "on_policy_high": None if on_policy is None else on_policy.high,
    }  # fmt: skip


def _policy_name(options: Namespace) -> str:
    """Return what was evaluated: scores make as many policies as there are temperatures."""
    chosen = [
        f"{name}={value:g}" for name in ("temperature", "epsilon") if (value := getattr(options, name)) is not None
    ]
    return " ".join([options.policy or options.run, *chosen])


def _shown(form: str, found: Analysis, facts: dict[str, object]) -> str:
    if form == "json":
        return as_json({**facts, "notes": found.notes, "estimates": _rows(found)})
    if form == "csv":
        return as_csv(_frame(found, facts))
    lines = [f"{name.replace('_', ' ')}  {_number(value)}" for name, value in facts.items() if value is not None]
    rows = [{name: _number(row[name]) for name in _SHOWN} for row in records(table(found.estimates))]
    said = [f"note: {visible(note)}" for note in (*found.notes, *_warnings(found.estimates))]
    return "\n".join([*lines, "", as_table(rows, _SHOWN), *said]).rstrip() + "\n"


def _frame(found: Analysis, facts: dict[str, object]) -> pd.DataFrame:
    frame = table(found.estimates)
    for name in ("on_policy_value", "on_policy_low", "on_policy_high"):
        frame[name] = np.nan if facts[name] is None else facts[name]
    return frame.assign(notes="; ".join(found.notes))


def _rows(found: Analysis) -> list[dict[str, object]]:
    """Return the estimates as plain values that JSON has: text in place of infinities, nothing in place of NaN."""
    return [
        {k: None if v != v else str(v) if v in (float("inf"), float("-inf")) else v for k, v in row.items()}
        for row in records(table(found.estimates))
    ]


def _warnings(estimates: Sequence[Estimate]) -> list[str]:
    return [f"{one.method}: {'; '.join(one.warnings)}" for one in estimates if one.warnings]


def _number(value: object) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _write(folder: Path, options: Namespace, found: Analysis, facts: dict[str, object]) -> None:
    """Write the estimates, and last what they are of. Raises FileError; ConfigError for what is no folder."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"output: expected a folder, found {folder}")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    write_text(folder / "estimates.csv", as_csv(_frame(found, facts)))
    write_text(folder / "result.json", as_json({"command": "off_policy", "options": asked, **facts,
                                                "notes": found.notes, "estimates": _rows(found)}))  # fmt: skip


if __name__ == "__main__":
    command_line.run(main)

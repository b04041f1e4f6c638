"""`python -m ncf.report sweep=<folder>`: one command from any sweep's runs to its page, without a registration."""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from made_up import REGISTRATION
from made_up_sweep import made, runs
from toys import compose, small

from ncf.errors import ConfigError, DataError
from ncf.report import sweep_page
from ncf.report.__main__ import main
from ncf.report.kit import page
from ncf.report.sweep import Sweep
from ncf.train import train


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two losses, three seeds each."""
    folder = tmp_path_factory.mktemp("sweep")
    for loss in ("bce", "focal"):
        for seed in (1, 2, 3):
            run = folder / f"{loss}-{seed}"
            run.mkdir()
            train(compose(*small(root, f"loss={loss}", f"seed={seed}", "trainer.epochs=2")), run)
    return folder


@pytest.fixture(scope="module")
def reported(trained: Path) -> Path:
    """The folder of its report."""
    main([f"sweep={trained}", "formats=svg"])
    return trained / "report"


def test_any_sweep_has_its_table_tests_curves_and_page(trained: Path, reported: Path) -> None:
    files = {str(path.relative_to(reported)) for path in reported.rglob("*") if path.is_file()}
    assert files >= {"report.html", "README.md", "results.csv", "curves.csv.gz", "tables/comparisons.md"}
    assert {f for f in files if f.startswith("figures/")} >= {"figures/runs.svg", "figures/curves.svg"}
    readme = (reported / "README.md").read_text()
    assert f"# {trained.name}: 6 runs, 2 arms" in readme
    day = datetime.fromtimestamp((trained / "bce-1" / "result.json").stat().st_mtime, UTC).date()
    assert f"Data synthetic; model neumf; 2 epochs; runs finished {day}" in readme
    assert "| BCE | 3 |" in readme
    assert "| focal | BCE | 3 |" in readme
    assert "](figures/curves.svg)" in readme
    assert "exploratory" in readme
    html = (reported / page.PAGE).read_text()
    assert f"<h1>{trained.name}: 6 runs, 2 arms</h1>" in html
    assert f"<title>{trained.name}, report</title>" in html


@pytest.mark.slow
def test_made_again_it_is_the_same_to_the_byte_also_from_its_tables(reported: Path, tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    before = content(reported)
    main([f"results={reported}/results.csv", "formats=svg"])
    assert content(reported) == before
    main([f"results={reported}/results.csv", "formats=svg", f"output={tmp_path}/copy"])
    assert content(tmp_path / "copy") == before


def test_a_registered_study_is_not_replaced_by_what_nobody_registered(tmp_path: Path) -> None:
    runs().assign(registration="a" * 64).to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(ConfigError, match=r"--registration: the runs in .* are registered; name it"):
        main([f"results={tmp_path}/results.csv"])
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_with_a_registration_that_has_none_of_the_runs_the_user_is_told_how_to_see_them(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.yaml").write_text(f"{REGISTRATION}\nreport: [missing]\n")
    main([f"registration={tmp_path}/plan.yaml", f"sweep={trained}", f"output={tmp_path}/out"])
    said = "none of the 6 runs is registered; without registration= the report compares them"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["margin=0"], "--margin: expected a relative change between 0 and 1, got 0.0"),
        (["baseline=loss=bce", "registration=plan.yaml"], "--baseline: expected none beside --registration"),
        (["baseline=model=ease"], "--baseline: expected settings that differ"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    trained: Path, tmp_path: Path, given: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        main([f"sweep={trained}", f"output={tmp_path}/out", *given])
    assert not (tmp_path / "out").exists()


def test_epochs_that_are_none_are_named(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "sweep", ignore=shutil.ignore_patterns("report")))
    (folder / "bce-1" / "metrics.jsonl").write_text('{"epoch": 1, "ndcg@10": "high"}\n')
    with pytest.raises(DataError, match=r"bce-1/metrics\.jsonl: expected numbers"):
        main([f"sweep={folder}"])


def test_every_line_marker_and_band_of_a_figure_is_in_its_legend() -> None:
    table = runs(seeds=4)
    curves = [{"run": run, "epoch": e, "ndcg@10": 0.1 * e, "train_loss": 1.0} for run in table["run"] for e in (1, 2)]
    sweep = made(table)
    sweep = type(sweep)(table, pd.DataFrame(curves), 0.05, {})
    changes, spread, learning = (draw(sweep) for _, draw in sweep_page.FIGURES.values())
    texts = [[t.get_text() for t in f.legends[0].get_texts()] for f in (changes, spread, learning)]
    assert texts[0] == ["±5%", "equivalent", "undecided"]  # the findings that there are
    assert set(texts[0][1:]) == {c.finding for c in sweep.contrasts if c.metric == sweep.metrics[0]}
    assert texts[1] == ["a run", "mean"]
    assert texts[2] == [*(arm.label for arm in sweep.arms), sweep_page.BEST]


def said(sweep: Sweep) -> str:
    """The words of its page, on one line."""
    facts = {"tables": {"results": sweep_page.results(sweep)}, "figures": {}, "image": "svg", "questions": {}}
    return " ".join(sweep_page.Prose(sweep).page("sweep.md.j2", facts).split())


def test_words_note_and_table_say_one_thing_of_the_baselines() -> None:
    factorial = said(made(runs(seeds=3)))
    assert "In test NDCG@10, of 4 comparisons: " in factorial
    assert "Arms differ in loss and optimizer.lr." in factorial
    assert "leave out what does not vary: focal has γ 2, α 0.25." in factorial
    assert "the baselines are BCE for loss and lr 0.001 for optimizer.lr. A baseline is the package's" in factorial
    assert "Baselines: BCE for loss, lr 0.001 for optimizer.lr." in factorial
    assert "not compared" not in factorial
    chosen = said(made(runs(seeds=3), loss="focal"))
    assert "of 2 comparisons: " in chosen
    assert "The baseline chosen is focal for loss. Each arm is compared with the one that has this baseline" in chosen
    assert "optimizer.lr is not compared." in chosen
    assert "Baselines: focal for loss." in chosen
    assert "over the 2 comparisons" in chosen
    assert "package's default" not in chosen
    single = said(made(runs(seeds=3).query("`optimizer.lr` == 0.001")))
    assert "of 1 comparison: " in single
    assert "Each arm is compared with the baseline, BCE for loss." in single
    assert "Holm" not in single
    for text in (factorial, chosen, single):
        assert "first arm" not in text


def test_arms_without_a_counterpart_are_named() -> None:
    table = runs(seeds=3).query("loss == 'bce' or `optimizer.lr` == 0.01")
    table.loc[table["loss"] == "focal", "optimizer.lr"] = 0.1
    assert "focal, lr 0.1 differs from the baseline in several factors at once" in said(made(table))
    chosen = said(made(table, **{"optimizer.lr": "0.001"}))
    assert "Without such a counterpart, and so not compared: focal, lr 0.1." in chosen


@pytest.mark.parametrize(("seeds", "words"), [(3, "; these have 3."), (7, "; these have 7."), (8, None)])
def test_seeds_too_few_for_any_difference_to_show_are_said(seeds: int, words: str | None) -> None:
    """Wilcoxon's smallest p is 2^(1 - n): over four comparisons, 8 seeds are the first whose p stays below 0.05."""
    text = said(made(runs(seeds=seeds)))
    claim = "With 4 comparisons, none can be better or worse below 8 common seeds, however large the difference"
    assert (f"{claim}{words}" in text) if words else (claim not in text)


def test_of_one_arm_nothing_is_said_of_comparisons() -> None:
    text = said(made(runs().query("loss == 'bce' and `optimizer.lr` == 0.001")))
    assert "The runs differ in their seed alone; there is nothing to compare." in text
    assert not re.search("aseline|Holm|Arms differ", text)


def test_the_star_lies_on_its_curve_at_the_median_of_the_kept_epochs() -> None:
    """Runs that peak at epochs 1, 3 and 4; the longest one alone has a fifth, which the mean curve leaves out."""
    table = runs(seeds=3).query("loss == 'bce' and `optimizer.lr` == 0.001").assign(best_epoch=[1, 4, 3])
    own = [(0.3, 0.2, 0.1), (0.1, 0.2, 0.2, 0.5, 0.1), (0.1, 0.2, 0.6)]
    values = dict(zip(table["run"], own, strict=True))
    curves = [{"run": run, "epoch": e, "ndcg@10": v} for run, own in values.items() for e, v in enumerate(own, 1)]
    for kept, place in ((3, (3, 0.3)), (2, (1, 0.2))):  # of two runs, the earlier epoch
        sweep = Sweep(table.head(kept), pd.DataFrame(curves), 0.05, {})
        figure = sweep_page.curves(sweep)
        assert figure is not None
        (curve,) = [line for line in figure.axes[0].lines if line.get_marker() != "*"]
        (star,) = [line for line in figure.axes[0].lines if line.get_marker() == "*" and len(line.get_xdata())]
        assert (star.get_xdata()[0], star.get_ydata()[0]) == pytest.approx(place)
        assert place == pytest.approx(tuple(curve.get_xydata()[place[0] - 1]))


def test_means_over_folds_are_said_in_words_note_and_figure() -> None:
    table = runs(seeds=1).query("`optimizer.lr` == 0.001")
    sweep = made(pd.concat([table.assign(**{"split.fold": fold, "run": table["run"] + f"-{fold}"}) for fold in (0, 2)]))
    text = said(sweep)
    assert "of each arm and seed are means over 2 folds (0, 2), which count alike. Folds share their data" in text
    assert "tests are over seeds alone, and of one seed there is none." in text
    assert "standard deviation over seeds of means over 2 folds." in text
    assert "Values of a seed are means over 2 folds." in sweep_page.comparisons(sweep).note
    legend = sweep_page.runs(sweep).legends[0].get_texts()
    assert legend[0].get_text() == "a seed, mean over 2 folds"
    assert "fold" not in said(made(table))


def test_an_axis_promises_an_interval_only_where_one_is_drawn() -> None:
    labels = [sweep_page.changes(made(runs(seeds=n))).axes[0].get_xlabel() for n in (3, 12)]
    assert ["no interval: too few pairs" in label for label in labels] == [True, False]


def test_settings_cannot_become_markup_or_formulas() -> None:
    table = runs(seeds=3).replace({"loss": {"focal": "<b>$x^{$</b>"}})
    sweep = made(table)
    for _, draw in sweep_page.FIGURES.values():
        if (figure := draw(sweep)) is not None:
            figure.savefig("/dev/null", format="svg")
    assert "<b>" in sweep_page.results(sweep).rows[-1][0]
    html = sweep_page.Prose(sweep, html=True).page(
        "sweep.html.j2", {"tables": {"results": sweep_page.results(sweep)}, "figures": {}, "image": "svg",
                          "questions": {}},
    )  # fmt: skip
    assert not re.search("<b>", html)

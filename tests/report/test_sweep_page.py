"""`python -m ncf.report sweep=<folder>`: one command from any sweep's runs to its page, without a registration."""

import re
import shutil
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
    assert "# 6 runs, 2 arms" in readme
    assert "| BCE | 3 |" in readme
    assert "| focal (γ 2, α 0.25) | BCE | 3 |" in readme
    assert "](figures/curves.svg)" in readme
    assert "exploratory" in readme
    assert "<h1>6 runs, 2 arms</h1>" in (reported / page.PAGE).read_text()


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
    assert texts[0] == ["±5%", "better", "worse", "equivalent", "undecided"]
    assert texts[1] == ["a run", "mean"]
    assert texts[2] == [*(arm.label for arm in sweep.arms), "median best epoch"]


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

"""`python -m ncf.tune`: what is typed, and what it prints."""

import json
import sys
from pathlib import Path

import pytest
from toys import small

from ncf import tune
from ncf.errors import ConfigError, FileError

pytest.importorskip("optuna")


def overrides(root: Path, model: str) -> list[str]:
    return [o for o in small(root, f"model={model}") if not o.startswith("model.")]


def test_the_command_prints_the_best_settings(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune.main([*overrides(root, "ease"), f"folder={tmp_path}", "trials=2"]) == 0
    (path,) = tmp_path.glob("ease-*.json")
    summary, said = json.loads(path.read_text()), capsys.readouterr()
    header, row, last = said.out.splitlines()
    assert (header.split(), row.split()) == (["setting", "best"], ["model.l2", str(summary["best"]["model.l2"])])
    assert last == f"ndcg@10 (validation) {summary['value']:.4f} of 2 trials"
    assert [line.partition(":")[0] for line in said.err.splitlines()[1:]] == ["trial 0", "trial 1"]
    assert said.err.startswith("tuning ease on synthetic, ")


def test_a_space_of_one_s_own_comes_before_the_one_of_the_package(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "conf"
    (own / "tuning").mkdir(parents=True)
    (own / "tuning" / "ease.yaml").write_text("model.l2: {choices: [3.0]}\n")
    (own / "model").mkdir()
    (own / "model" / "gentle.yaml").write_text("name: ease\nl2: 5.0\n")
    settings = [o for o in overrides(root, "ease") if not o.startswith("model=")]
    tune.main([*settings, "model=gentle", "trials=1", f"folder={tmp_path / 'studies'}", "--config-dir", str(own)])
    (path,) = (tmp_path / "studies").rglob("result.json")
    assert json.loads(path.read_text())["config"]["model"] == {
        "name": "ease", "l2": 3.0, "decay": "positions", "half_life": None,
    }  # fmt: skip


def test_options_may_stand_anywhere() -> None:
    parsed = tune.parser().parse(["model=ease", "--trials", "3", "seed=2"])
    assert (parsed.overrides, parsed.trials) == (["model=ease", "seed=2"], 3)
    with pytest.raises(ConfigError, match=r"^trials: expected a whole number, got 'many'"):
        tune.parser().parse(["model=ease", "trials=many"])


def test_a_full_disk_is_status_1_and_so_are_failures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*given: object) -> None:
        raise FileError("studies.db: cannot write (database or disk is full)")

    monkeypatch.setattr(tune, "tune", full)
    assert tune.main(["model=ease"]) == 1
    assert capsys.readouterr().err == "error: studies.db: cannot write (database or disk is full)\n"
    summary = {"best": {"model.l2": 3.0}, "monitor": "mrr", "value": 0.5, "trials": 2, "ended": "failures"}
    monkeypatch.setattr(tune, "tune", lambda *given: summary)
    assert tune.main(["model=ease"]) == 1


def test_a_missing_library_is_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"^tune: optuna is not installed; pip install 'ncf\[tuning\]'$"):
        tune.main([*overrides(root, "ease"), f"folder={tmp_path}"])

"""A registration is checked as it is loaded: unknown keys, bad values and names that nothing registers are refused."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from ncf.stats.checks import StatisticsError
from ncf.study.registration import Registration, in_arm, load

STUDY = Path(__file__).parents[2] / "experiments/focal_loss/preregistration.yaml"


def changed(folder: Path, **values: Any) -> Path:
    """The study's registration with dotted keys set to other values."""
    plan = OmegaConf.load(STUDY)
    for key, value in values.items():
        OmegaConf.update(plan, key.replace("__", "."), value, force_add=True)
    path = folder / "preregistration.yaml"
    OmegaConf.save(plan, path)
    return path


@pytest.fixture(scope="module")
def study() -> Registration:
    return load(STUDY)


def test_a_registration_is_known_by_the_digest_of_its_file(study):
    assert study.sha256 == hashlib.sha256(STUDY.read_bytes()).hexdigest()


def test_the_study_registers_what_was_asked(study):
    assert (study.seeds[4] >= 30, study.seeds[10] >= 30, study.seeds[50] >= 10) == (True, True, True)
    assert study.seeds_at(50)[:2] == range(42, 44)
    assert [len(h.comparisons()) for h in study.hypotheses.values()] == [4, 8, 12]
    assert {c.ratios for c in study.hypotheses["H1"].comparisons()} == {(10,), (50,)}
    grown = [c for c in study.hypotheses["H2"].comparisons() if c.claim.says == "grows"]
    assert [c.name for c in grown] == [
        "focal vs bce, test/ndcg@10, growth over 1:4, 1:10, 1:50",
        "focal vs bce, test/hit@10, growth over 1:4, 1:10, 1:50",
    ]


def test_the_constant_weight_arms_have_weight_one(study):
    for run in study.runs("constant_weight"):
        assert (1 - run["alpha"]) * run["neg_ratio"] / run["alpha"] == pytest.approx(1)


def test_grids_have_the_runs_that_were_asked(study):
    main = study.runs("main")
    assert len(main) == 3 * sum(study.seeds.values())
    assert len({tuple(sorted(run.items())) for run in main}) == len(main)
    surface = {(run["gamma"], run["alpha"], run["neg_ratio"]) for run in study.runs("grid")}
    assert len(surface) == 5 * 4 * 3
    assert {(run["gamma"], run["neg_ratio"]) for run in study.runs("clamped")} == {
        (g, r) for g in (0.0, 2.0) for r in (4, 10, 50)
    }
    assert {run["seed"] for run in study.runs("clamped")} == set(range(42, 47))


def test_a_run_is_in_its_arm(study):
    run = {"model": "neumf", "loss": "focal", "gamma": 2, "alpha": 10 / 11, "seed": 42}
    assert in_arm(run, study.arms["focal_balanced"], 10)
    assert not in_arm(run, study.arms["focal_balanced"], 4)
    assert not in_arm(run, study.arms["focal"], 10)
    assert not in_arm({**run, "alpha": float("nan")}, study.arms["focal_balanced"], 10)
    assert not in_arm({"model": "neumf"}, study.arms["bce"], 10)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alfa": 0.05}, "alfa: unknown key"),
        ({"alpha": 1.5}, "alpha: expected a value less than 1, got 1.5"),
        ({"alpha": "0.05"}, "alpha: .*got '0.05'"),
        ({"correction": "none"}, "correction: "),
        ({"seeds": {4: 0}}, "seeds.4: "),
        ({"hypotheses__H1__supported_if": "most"}, "hypotheses.H1.supported_if"),
        ({"hypotheses__H1__claims": [{"says": "higher"}]}, r"hypotheses.H1.claims.0.treatment: field required"),
        ({"sha256": "x"}, "expected no key sha256"),
        (
            {"pilot": [{"metric": "m", "ratio": 4, "baseline_mean": 0.06, "sd_difference": 0.0, "pairs": 5}]},
            "pilot.0.sd_",
        ),
    ],
)
def test_bad_values_are_refused_by_key(tmp_path, values, message):
    path = changed(tmp_path, **values)
    with pytest.raises(StatisticsError, match=f"preregistration.yaml: {message}"):
        load(path)


CLAIM = {"says": "higher", "treatment": "focal", "baseline": "bce", "ratios": [10], "metrics": ["test/ndcg@10"]}


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"treatment": "focall"}, "hypotheses.H1: arm: expected one of .*'focall'"),
        ({"ratios": [7]}, "hypotheses.H1: ratio: expected one of .*got 7"),
        ({"metrics": ["test/ndcg@5"]}, "hypotheses.H1: metric: expected one of .*ndcg@5"),
        ({"says": "grows"}, "expected at least two ratios for a claim that says grows"),
    ],
)
def test_claims_must_refer_to_what_is_registered(tmp_path, claim, message):
    path = changed(tmp_path, hypotheses__H1__claims=[{**CLAIM, **claim}])
    with pytest.raises(StatisticsError, match=message):
        load(path)


def test_every_compared_run_must_be_in_a_grid(tmp_path):
    with pytest.raises(StatisticsError, match=r"no grid makes all registered runs of arm '.*' at 1:4"):
        load(changed(tmp_path, seeds={4: 31, 10: 30, 50: 10}, grids__main__seeds={4: 30, 10: 30, 50: 10}))


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n", "- 1\n- 2\n", "a: ${nothing}\n", "\xff"])
def test_broken_files_are_refused(tmp_path, text):
    path = tmp_path / "preregistration.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(StatisticsError, match=r"preregistration\.yaml: "):
        load(path)


ALIASES = "a: &a [1]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi")
)
LISTS = "".join(f"a{n}: [" + f"'${{a{n - 1}}}'," * 9 + "]\n" for n in range(1, 9))
TEXTS = "".join(f"a{n}: ${{a{n - 1}}}${{a{n - 1}}}\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ALIASES, "elements nested 100 deep, found more"),
        ("a0: [x]\n" + LISTS, "characters and references 50 deep, found more"),
        ("a0: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n" + TEXTS, "characters and references 50 deep, found more"),
        ("a: ${a}\n", "references 50 deep, found more"),
        ("a: x${b}${a}\nb: x\n", "references 50 deep, found more"),
        ("a: ${oc.env:HOME}\n", "expected references such as"),
        ("a: ${b.c}\nb: [1]\n", "expected a reference to a key of the file"),
        ("[" * 50_000, "cannot be read"),
        ("a: " + "9" * 5_000, "cannot be read"),
        ("a: " + "x" * 70_000, "expected a file of at most 64 KiB, found 68 KiB"),
    ],
)
def test_a_file_that_unfolds_without_end_is_one_line_at_once(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "preregistration.yaml"
    path.write_text(text)
    begun = time.process_time()  # which does not depend on how busy the machine is
    with pytest.raises(StatisticsError, match=message) as caught:
        load(path)
    assert time.process_time() - begun < 2
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("fifo", "zero"):
        with pytest.raises(StatisticsError, match="expected a regular file"):
            load(tmp_path / name)
        with pytest.raises(StatisticsError, match="expected a regular file"):
            load(STUDY, tmp_path / name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": {4: 10**12}}, "seeds.4: expected a value less than or equal to 100000"),
        ({"resamples": 10**12}, "resamples: expected a value less than or equal to 1000000"),
        ({"first_seed": 10**30}, "first_seed: expected a value less than"),
        ({"grids__grid__seeds": {4: 99_999}}, r"grids.grid: expected at most 100,000 runs, got 2e\+06"),
        (
            {"grids__grid__blocks": [{f"key{n}": list(range(10)) for n in range(12)}]},
            "grids.grid: expected at most 100,000 runs, got 9e",
        ),
        ({f"unknown{n}": 1 for n in range(50)}, "unknown9: unknown key; and 40 more$"),
    ],
)
def test_gigantic_numbers_are_refused_by_their_key(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    begun = time.monotonic()
    with pytest.raises(StatisticsError, match=message):
        load(changed(tmp_path, **values))
    assert time.monotonic() - begun < 3


def test_references_stand_for_what_they_name(tmp_path: Path) -> None:
    text = STUDY.read_text().replace(
        "question: Does focal loss", "question: At ${alpha} (${arms.bce.loss}), does focal loss"
    )
    (tmp_path / "a.yaml").write_text(text)
    assert load(tmp_path / "a.yaml").question.startswith("At 0.05 (bce), does focal loss")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StatisticsError, match=r"absent\.yaml"):
        load(tmp_path / "absent.yaml")


def test_a_registration_cannot_be_changed(study):
    with pytest.raises(ValueError, match="frozen"):
        study.alpha = 0.1

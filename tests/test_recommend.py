"""`python -m ncf.recommend`: what a finished run would recommend, in every format, and mistakes by their option."""

import csv
import json
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from apart import finish
from finished_runs import FinishedRuns
from toys import compose

from ncf import recommend
from ncf.errors import ConfigError, DataError, NcfError
from ncf.train import train


def test_every_format_says_the_same(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    run = f"run={runs['neumf']}"
    recommend.main([run, "user=7", "k=3"])
    shown = capsys.readouterr().out
    assert shown.startswith("user 7: recent positives\n")
    assert "recommended\nrank  item_id  score" in shown
    recommend.main([run, "user=7,2,7", "k=3", "format=csv"])
    frame = pd.read_csv(StringIO(capsys.readouterr().out))
    assert frame["user_id"].tolist() == [7] * 3 + [2] * 3
    recommend.main([run, "--user", "7,2", "--k", "3", "--format", "json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["user_id"] for line in lines] == [7, 2]
    assert [item["item_id"] for item in lines[0]["items"]] == frame["item_id"][:3].tolist()


@pytest.mark.parametrize("name", ["neumf", "mlp", "gmf", "mf", "ials", "puresvd"])
def test_items_like_another_come_from_what_the_model_learned_of_each(
    name: str, runs: FinishedRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of a NeuMF, whose score is no inner product of vectors."""
    recommend.main([f"run={runs[name]}", "items_like=4", "k=3", "format=json"])
    items = json.loads(capsys.readouterr().out)
    assert len({item["item_id"] for item in items}) == 3
    assert 4 not in [item["item_id"] for item in items]
    assert [item["cosine"] for item in items] == sorted((item["cosine"] for item in items), reverse=True)


def test_a_model_that_learns_nothing_of_an_item_has_none_like_it(runs: FinishedRuns) -> None:
    with pytest.raises(DataError, match="items_like: model Popularity has no item vectors to compare"):
        recommend.main([f"run={runs['popularity']}", "items_like=4"])


def test_a_table_of_items_like_another_names_that_one(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    recommend.main([f"run={runs['ials']}", "items_like=4", "k=2"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "items like 4"
    assert lines[1].split() == ["item_id", "cosine"]
    assert len(lines) == 4


@pytest.mark.parametrize("at_once", [1000, 7])
def test_everyone_fits_into_a_file(
    at_once: int, runs: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommend, "_USERS_AT_ONCE", at_once)
    target = tmp_path / "all.csv"
    recommend.main([f"run={runs['neumf']}", "user=all", "k=4", "format=csv", f"output={target}"])
    frame = pd.read_csv(target)
    assert len(frame) == 60 * 4
    assert frame["user_id"].nunique() == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["user=1"], r"^expected run=\.\.\., found none \(--help"),
        (["run=x"], r"^expected one of user=\.\.\., items=\.\.\., items_like=\.\.\., found none \(--help"),
        (["run=x", "user=1", "items=2"], "^items: not allowed with user "),
        (["run=x", "items=1", "items_like=2"], "^items_like: not allowed with items "),
        (["run=x", "user=1", "ratings=2"], "ratings: expected items=<ids>, which they rate, found none"),
        (["run=x", "user=1", "items_like=2"], "^items_like: not allowed with user "),
        (["run=x", "user=1", "kk=2"], "^kk: unknown option, expected one of run, "),
        (["usr=3"], r"^usr: unknown option, expected one of run, root, archive, user, .* \(did you mean user\?\)$"),
        (["run=x", "--usr=3"], r"^usr: unknown option, .* \(did you mean user\?\)$"),
        (["run=x", "user=1", "k=two"], "^k: expected a whole number, got 'two' "),
        (["run=x", "user=1", "k=0"], "k: expected at least 1, got 0"),
        (["run=x", "user=1", "format=xml"], "^format: expected one of .*table.*, got 'xml' "),
    ],
)
def test_bad_options_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recommend.main(arguments)


def test_an_unknown_user_is_an_error_before_anything_is_written(runs: FinishedRuns, tmp_path: Path) -> None:
    target = tmp_path / "some.csv"
    with pytest.raises(DataError, match=r"user: expected an id among the 60 users .* got '999'"):
        recommend.main([f"run={runs['neumf']}", "user=7,999", "format=csv", f"output={target}"])
    assert not target.exists()


def test_an_output_that_cannot_be_written_is_named(runs: FinishedRuns) -> None:
    with pytest.raises(ConfigError, match=r"^output: cannot write /proc/none/x \("):
        recommend.main([f"run={runs['neumf']}", "user=1", "output=/proc/none/x"])


def test_an_error_is_one_line_on_stderr_and_status_2(tmp_path: Path) -> None:
    """The frame that all commands beside training share."""
    log = tmp_path / "log"
    assert finish(["run=nowhere", "user=1"], log, module="ncf.recommend") == 2
    assert log.read_text().startswith("error: run: expected a run folder, but nowhere does not exist")
    assert log.read_text().count("\n") == 1


FORMULA, COLOUR, TURNED = "=cmd|'/c calc'!A1", "\x1b[31mred", "a\u202etxt.exe"


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose users and items have ids that mean something to a spreadsheet, a terminal or an option."""
    folder = tmp_path_factory.mktemp("odd")
    users = ["all", "Doe, J", "1", "2", FORMULA, COLOUR, "*"]
    items = [FORMULA, COLOUR, TURNED, "-5", "+1.5", "@x", "plain", "8", "9", 'say "x"']
    rows = [(user, item) for n, user in enumerate(users) for m, item in enumerate(items) if (n + m) % 3 != 1]
    with (folder / "own.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("user_id", "item_id", "rating", "timestamp")])
        csv.writer(file).writerows((*row, 5, place) for place, row in enumerate(rows))
    (folder / "run").mkdir()
    cfg = compose(
        "data=csv",
        f"data.archive='{folder / 'own.csv'}'",
        f"data.root='{folder}'",
        "model=popularity",
        "evaluation.cutoffs=[5,10]",
    )
    assert train(cfg, folder / "run") is not None
    return folder / "run"


def said(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    recommend.main(list(options))
    return capsys.readouterr().out


def users_of(capsys: pytest.CaptureFixture[str], run: Path, user: str) -> list[str]:
    lines = said(capsys, f"run={run}", f"user={user}", "k=1", "format=json").splitlines()
    return [json.loads(line)["user_id"] for line in lines]


def test_an_id_counts_before_a_list_or_everyone(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert users_of(capsys, odd, "Doe, J") == ["Doe, J"]
    assert users_of(capsys, odd, "all") == ["all"]
    assert users_of(capsys, odd, '2,"Doe, J",1,2') == ["2", "Doe, J", "1"]
    with pytest.raises(DataError, match="got 'Doe'"):
        recommend.main([f"run={odd}", "user=Doe, K"])


@pytest.mark.parametrize("everyone", ["all", "*"])
def test_everyone_has_two_names(everyone: str, runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(users_of(capsys, runs["popularity"], everyone)) == 60


def test_csv_holds_no_formula_and_json_every_text_as_it_is(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users = '1,2,"Doe, J"'
    rows = list(csv.DictReader(StringIO(said(capsys, f"run={odd}", f"user={users}", "k=9", "format=csv"))))
    cells = {row["item_id"] for row in rows}
    assert {f"'{FORMULA}", "'@x", "-5", "+1.5", "plain", 'say "x"'} <= cells | {"plain", "-5", "+1.5"}
    assert not [cell for cell in cells if cell[0] in "=@"]
    lines = [
        json.loads(line) for line in said(capsys, f"run={odd}", f"user={users}", "k=9", "format=json").splitlines()
    ]
    raw = {item["item_id"] for line in lines for item in line["items"] + line["recent"]}
    assert {FORMULA, COLOUR, TURNED, "@x"} <= raw


@pytest.mark.parametrize("form", recommend.FORMATS)
def test_no_control_or_direction_character_reaches_the_terminal(
    form: str, odd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = said(capsys, f"run={odd}", f'user=1,2,"Doe, J",{COLOUR}', "k=9", f"format={form}")
    assert "red" in shown
    assert "txt.exe" in shown
    assert all(character.isprintable() for character in shown.replace("\n", ""))


def test_the_first_of_ten_are_the_nine(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shorter, longer = (said(capsys, f"run={odd}", "user=1", f"k={k}", "format=csv").splitlines() for k in (2, 3))
    assert longer[: len(shorter)] == shorter


def test_a_new_user_of_some_items_in_every_format(runs: FinishedRuns, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs["ease"]
    lines = said(capsys, f"run={run}", "items=50,3,50", "k=2").splitlines()
    assert [line.split()[0] for line in lines if line] == [
        "given",
        "item_id",
        "50",
        "3",
        "recommended",
        "rank",
        "1",
        "2",
    ]
    frame = pd.read_csv(StringIO(said(capsys, f"run={run}", "items=3, 50", "k=2", "format=csv")))
    assert list(frame) == ["rank", "item_id", "score"]
    found = json.loads(said(capsys, f"run={run}", "items=50,3", "k=2", "format=json"))
    assert [item["item_id"] for item in found["given"]] == [50, 3]
    assert [item["item_id"] for item in found["items"]] == frame["item_id"].tolist()
    assert not {50, 3} & set(frame["item_id"])


def test_items_are_spelled_as_users_are(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def given(items: str) -> list[str]:
        line = said(capsys, f"run={odd}", f"items={items}", "k=1", "format=json")
        return [item["item_id"] for item in json.loads(line)["given"]]

    assert given("plain") == ["plain"]
    assert given(FORMULA) == [FORMULA]
    assert given("8,-5,8,+1.5") == ["8", "-5", "+1.5"]
    assert given('"say ""x""", 9') == ['say "x"', "9"]
    assert FORMULA not in said(capsys, f"run={odd}", "items=plain", "format=csv").replace("'" + FORMULA, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["items="], "items: expected a value, got none"),
        (["items=50,777"], r"item: expected an id among the 80 items .* got '777'; similar ids: 77"),
        (["items=50,3", "ratings=5"], "ratings: expected 2, one for each item, got 1"),
        (["items=50,3", "ratings=5,x"], "ratings: expected finite numbers, got 'x'"),
    ],
)
def test_items_that_cannot_be_are_one_line(options: list[str], message: str, runs: FinishedRuns) -> None:
    with pytest.raises(NcfError, match=f"^{message}"):
        recommend.main([f"run={runs['ease']}", *options])

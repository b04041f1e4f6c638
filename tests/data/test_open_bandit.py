"""The Open Bandit Dataset: the small one as it is published, and archives given by hand in its layout."""

from pathlib import Path

import numpy as np
import pytest
from data_helpers import write_zip

from ncf.data import open_bandit as module
from ncf.data.open_bandit import BEHAVIOURS, CAMPAIGNS, SHA256, open_bandit, thompson_prior
from ncf.errors import ConfigError, DataError

DATA = Path(__file__).parents[2] / "data"  # the checkout's own, so that it is fetched once

ITEMS = """,item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3
0,0,-0.5,bb,x,u
1,1,0.25,aa,x,v
"""
LOG = """,timestamp,item_id,position,click,propensity_score,\
user_feature_0,user_feature_1,user_feature_2,user_feature_3,user-item_affinity_0
0,2019-11-24 00:00:09.5+00:00,1,3,1,0.029411764705882353,a,c,e,g,0.0
1,2019-11-24 00:00:01+00:00,0,1,0,0.5,b,c,f,g,0.0
2,2019-11-24 00:00:02+00:00,0,2,0,0.5,a,d,e,g,0.0
"""


def members(folder: str = "open_bandit_dataset/", log: str = LOG, items: str = ITEMS) -> dict[str, bytes]:
    """An archive with one log."""
    place = f"{folder}bts/men/"
    return {f"{place}men.csv": log.encode(), f"{place}item_context.csv": items.encode()}


def unpack(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_small_data_set_as_it_is_published(campaign: str, behaviour: str) -> None:
    data = open_bandit(campaign, behaviour, DATA)
    log = data.feedback
    clicks = {("random", "all"): 38, ("bts", "all"): 42, ("random", "men"): 46, ("bts", "men"): 69,
              ("random", "women"): 46, ("bts", "women"): 46}  # fmt: skip
    assert len(log) == 10_000
    assert len(data.items) == {"all": 80, "men": 34, "women": 46}[campaign]
    assert int(log.reward.sum()) == clicks[behaviour, campaign]
    assert sorted(set(log.position)) == [1, 2, 3]
    assert (np.diff(log.time) >= 0).all()
    assert log.repeated() == 0
    if behaviour == "random":
        np.testing.assert_allclose(log.propensity, 1 / len(data.items), rtol=1e-13)
    assert len(thompson_prior(campaign, DATA)[0]) == len(data.items)


@pytest.mark.parametrize("folder", ["", "open_bandit_dataset/", "obd/"])
@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_an_archive_by_hand(folder: str, kind: str, tmp_path: Path) -> None:
    if kind == "zip":
        archive = write_zip(tmp_path / "own.zip", members(folder))
    else:
        archive = unpack(tmp_path / "own", members(folder))
    data = open_bandit("men", "bts", tmp_path / "root", archive)
    assert data.feedback.item.tolist() == [0, 0, 1]
    assert data.feedback.position.tolist() == [1, 2, 3]
    assert data.feedback.reward.tolist() == [0, 0, 1]
    assert np.diff(data.feedback.time).tolist() == [1, 7.5]
    assert data.feedback.propensity.tolist() == [0.5, 0.5, 0.0294117647058823]  # as obp reads it
    assert set(data.feedback.policy) == {"bts"}
    assert data.feedback.context.astype(int).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert data.item_context.tolist() == [[0, 1, 0, 0, -0.5], [1, 0, 0, 1, 0.25]]
    assert not (tmp_path / "root").exists()


def test_a_folder_of_one_log_is_not_taken_for_that_of_another_policy(tmp_path: Path) -> None:
    archive = unpack(tmp_path / "own", members()) / "open_bandit_dataset" / "bts" / "men"
    with pytest.raises(DataError, match=r"expected it to contain random/men/men\.csv"):
        open_bandit("men", "random", tmp_path, archive)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"log": LOG.replace("0.5,b", "0,b")},
            r"bts/men/men\.csv, row 2: expected propensity as a probability above 0",
        ),
        ({"log": LOG.replace("0.5,b", ",b")}, "found 1 of propensity_score in 3 rows, the first in row 2"),
        ({"log": LOG.replace("24 00:00:01+00:00,0", "24 00:00:01+00:00,5")}, "row 2: expected an item of item_context"),
        ({"log": LOG.replace("2019-11-24 00:00:02", "soon")}, "row 3: expected timestamp as a date"),
        ({"log": LOG.replace("click", "clicks")}, "expected a column 'click', .* did you mean 'clicks'"),
        ({"log": LOG.splitlines()[0] + "\n"}, "expected rows, found none"),
        ({"items": ITEMS.replace("item_feature_3", "x")}, "expected a column 'item_feature_3'"),
    ],
)
def test_a_damaged_archive_is_named(change: dict[str, str], message: str, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "own.zip", members(**change))
    with pytest.raises(DataError, match=message):
        open_bandit("men", "bts", tmp_path, archive)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        open_bandit("men", "bts", tmp_path, tmp_path / "none.zip")
    with pytest.raises(DataError, match=r"as open_bandit_dataset.zip does, which is missing"):
        open_bandit("women", "bts", tmp_path, write_zip(tmp_path / "own.zip", members()))
    with pytest.raises(ConfigError, match="got 'kids' and 'bts'"):
        open_bandit("kids", "bts", tmp_path)


def fetched(contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the wheel hold these files, by their names in SHA256."""

    def fetch(requirement: str, wanted: dict[str, tuple[Path, bool]]) -> None:
        assert requirement == "obp==0.4.1"
        for name, (target, _) in zip(SHA256, wanted.values(), strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(contents[name])

    monkeypatch.setattr(module, "fetch_from_wheel", fetch)


def test_a_wheel_with_another_file_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched(dict.fromkeys(SHA256, b"other"), monkeypatch)
    with pytest.raises(DataError, match=r"obp==0.4.1, random/all/all.csv: expected SHA-256 7168295b"):
        open_bandit("all", "random", tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_kept_file_that_was_changed_is_not_trusted_nor_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_bandit("all", "random", DATA)
    contents = {name: (DATA / "raw" / "obd" / name).read_bytes() for name in SHA256}
    fetched(contents, monkeypatch)
    own = tmp_path / "raw" / "obd" / "bts" / "all" / "all.csv"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(DataError, match=r"bts/all/all\.csv: expected SHA-256 .* move .*obd away"):
        open_bandit("all", "random", tmp_path)
    assert own.read_text() == "mine"
    own.write_bytes(contents["bts/all/all.csv"])
    assert len(open_bandit("all", "random", tmp_path).feedback) == 10_000

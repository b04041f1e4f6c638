"""Loading, recommending, comparing and exporting finished runs, as a new user would, mistakes included."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from toys import compose, small

import ncf
from ncf import compare, export, recommend, train, tune
from ncf.errors import CheckpointError, ConfigError, DataError
from ncf.export import ExportError


def make(root: Path, folder: Path, model: str, *more: str) -> Path:
    """A finished run of the model in `folder`."""
    settings = [o for o in small(root, f"model={model}", *more) if model == "neumf" or not o.startswith("model.")]
    folder.mkdir()
    train.train(compose(*settings), folder, lambda: False)
    return folder


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    """Folders of finished runs by model; the two NeuMF differ in seed."""
    base = tmp_path_factory.mktemp("runs")
    folders = {name: make(root, base / name, name) for name in ("neumf", "ease", "popularity", "ials")}
    return folders | {"seed7": make(root, base / "seed7", "neumf", "seed=7")}


@pytest.fixture(scope="module")
def neumf(runs):
    return ncf.load(runs["neumf"])


def command(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", f"ncf.{module}", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", ["neumf", "ease", "popularity", "ials"])
def test_a_loaded_run_ranks_as_it_did(runs, name):
    loaded = ncf.load(runs[name])
    kept = compare.read_ranks(runs[name]).query("split == 'test'")
    scores = loaded.score(kept["user_id"])
    split = loaded.split
    for row, (rank, item) in enumerate(zip(kept["rank"], kept["item_id"], strict=True)):
        user = loaded.indices("user", [kept["user_id"].iloc[row]])[0]
        seen = np.concatenate([p.items[p.users == user] for p in (split.train, split.valid)])
        others = np.delete(scores[row], seen)
        positive = scores[row, loaded.indices("item", [item])[0]]
        assert (others > positive).sum() + ((others == positive).sum() + 1) / 2 == rank


def test_recommendations_are_the_best_unseen_items(neumf):
    users = neumf.split.user_ids[[3, 0, 59]].tolist()
    frame = neumf.recommend(users, 5)
    scores = neumf.score(users)
    for row, user in enumerate(users):
        mine = frame[frame["user_id"] == user]
        index = neumf.indices("user", [user])[0]
        split = neumf.split
        for part in (split.train, split.valid, split.test):
            scores[row, part.items[part.users == index]] = -np.inf
        best = split.item_ids[np.argsort(-scores[row], kind="stable")[:5]]
        assert mine["item_id"].tolist() == best.tolist()
        assert mine["rank"].tolist() == [1, 2, 3, 4, 5]
        assert mine["score"].is_monotonic_decreasing


def test_a_user_who_has_nearly_everything_gets_the_rest(neumf):
    user = neumf.split.user_ids[0]
    left = 80 - neumf.seen[0].nnz
    assert len(neumf.recommend([user], 1000)) == left
    assert len(neumf.recommend([], 3)) == 0


def test_chunks_change_nothing(neumf, monkeypatch):
    users = neumf.split.user_ids.tolist()
    whole = neumf.recommend(users, 3)
    monkeypatch.setattr("ncf.loading._MEMORY_MB", 0.001)
    told = []
    pd.testing.assert_frame_equal(neumf.recommend(users, 3, told.append), whole)
    assert sum(told) == 60
    assert len(told) == 60


def test_history_is_newest_first(neumf):
    split = neumf.split
    recent = neumf.history(split.user_ids[5], 3)
    assert recent["item_id"][0] == split.item_ids[split.test.items[split.test.users == 5][0]]
    assert recent["item_id"][1] == split.item_ids[split.valid.items[split.valid.users == 5][0]]
    assert recent["item_id"][2] == split.item_ids[split.train.items[split.train.users == 5][-1]]


def test_items_like_are_the_nearest_vectors(runs):
    loaded = ncf.load(runs["ials"])
    vectors = loaded.model.items.weight.detach().numpy().astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = np.argsort(-(vectors @ vectors[4]), kind="stable")
    nearest = nearest[nearest != 4][:3]
    assert loaded.items_like(loaded.split.item_ids[4], 3)["item_id"].tolist() == loaded.split.item_ids[nearest].tolist()


def test_unknown_ids_name_close_ones(neumf):
    with pytest.raises(DataError, match=r"user: expected an id among the 60 users .* got 100; close ones: .*10"):
        neumf.score([100])
    with pytest.raises(DataError, match=r"item: expected an id among the .* got 'x'"):
        neumf.score([0], ["x"])
    with pytest.raises(DataError, match=r"got 1\.5"):
        neumf.recommend([1.5], 3)
    assert neumf.score([5]).tolist() == neumf.score(["5"]).tolist()


def test_missing_unfinished_and_damaged_runs_are_refused(runs, tmp_path):
    with pytest.raises(DataError, match=r"not there \(finished runs near it: .*ease"):
        ncf.load(runs["neumf"].parent / "nemf")
    with pytest.raises(DataError, match=r"found no result.json"):
        ncf.load(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes((runs["neumf"] / "checkpoint.pt").read_bytes())
    with pytest.raises(DataError, match=f"go on with it: python -m ncf.train resume={tmp_path}"):
        ncf.load(tmp_path)
    result = json.loads((runs["neumf"] / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(result | {"data_digest": "f" * 64}))
    with pytest.raises(DataError, match="expected the data of digest ffffffff"):
        ncf.load(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"no")
    with pytest.raises(CheckpointError, match=r"checkpoint.pt: not a checkpoint"):
        ncf.load(tmp_path)


def test_recommend_prints_every_format(runs, capsys):
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
    recommend.main([run, "items_like=4", "k=3", "format=json"])
    assert len(json.loads(capsys.readouterr().out)) == 3


def test_recommend_writes_everyone_to_a_file(runs, tmp_path):
    target = tmp_path / "all.csv"
    recommend.main([f"run={runs['neumf']}", "user=all", "k=4", "format=csv", f"output={target}"])
    frame = pd.read_csv(target)
    assert len(frame) == 60 * 4
    assert frame["user_id"].nunique() == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["user=1"], "--run"),
        (["run=x"], "--user --items_like"),
        (["run=x", "user=1", "kk=2"], "unrecognized arguments: kk=2"),
        (["run=x", "user=1", "k=two"], "--k: invalid int value: 'two'"),
        (["run=x", "user=1", "k=0"], "k: expected at least 1, got 0"),
        (["run=x", "user=1", "format=xml"], "--format: invalid choice: 'xml'"),
    ],
)
def test_bad_options_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        recommend.main(arguments)


def test_options_may_stand_anywhere():
    assert compare.parser().parse(["a", "part=valid", "b"]).runs == [Path("a"), Path("b")]
    assert tune.parser().parse(["model=ease", "--trials", "3", "seed=2"]).overrides == ["model=ease", "seed=2"]


def test_errors_are_one_line_and_status_2(runs):
    for done in (
        command("recommend", f"run={runs['neumf']}", "user=999"),
        command("recommend", "run=nowhere", "user=1"),
        command("compare", "nowhere"),
        command("export", f"run={runs['popularity']}", "output=/proc/none"),
        command("recommend", f"run={runs['neumf']}", "user=1", "output=/proc/none/x"),
    ):
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""


def test_compare_shows_what_differs_and_tests_pairs(runs, capsys):
    compare.main([str(runs["neumf"]), str(runs["seed7"]), str(runs["popularity"])])
    shown = capsys.readouterr().out
    assert "seed" in shown
    assert "loss.name" not in shown  # the same in all
    assert "difference from 1 over 60 users (Wilcoxon p, Holm over 2 runs)" in shown


def test_per_user_values_mean_to_the_runs_metrics(runs):
    for folder in runs.values():
        run = compare.Finished(folder, compare.finished(folder))
        for part in ("valid", "test"):
            table = compare.per_user(run, part).drop(columns="item_id")
            assert table.mean().to_dict() == pytest.approx(run.result[part], abs=1e-12)


def test_compare_against_itself_finds_nothing(runs, capsys):
    compare.main([str(runs["ease"]), str(runs["ease"])])
    assert "+0.0000 (p 1)" in capsys.readouterr().out


def test_runs_on_other_data_are_not_paired(root, runs, tmp_path, capsys):
    other = make(root, tmp_path / "other", "ease", "data.seed=3")
    compare.main([str(runs["ease"]), str(other)])
    assert f"no paired test: {other}: expected the data and split of {runs['ease']}" in capsys.readouterr().out


def test_exports_read_back_equal(runs, tmp_path, neumf):
    pytest.importorskip("pyarrow")
    export.main([f"run={runs['neumf']}", f"output={tmp_path}", "forms=npy,parquet,model"])
    items, ids = np.load(tmp_path / "items.npy"), np.load(tmp_path / "item_ids.npy")
    assert items.shape == (80, 16)
    assert ids.tolist() == neumf.split.item_ids.tolist()
    state = neumf.model.state_dict()
    assert np.array_equal(items, torch.cat([state["gmf.items.weight"], state["mlp.items.weight"]], dim=1).numpy())
    frame = pd.read_parquet(tmp_path / "users.parquet")
    assert np.array_equal(np.stack(frame["vector"]), np.load(tmp_path / "users.npy"))
    users = torch.arange(60)
    scores = torch.export.load(tmp_path / "model.pt2").module()(users)
    torch.testing.assert_close(scores, neumf.model.score(users), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_exported_says_so(runs, tmp_path):
    with pytest.raises(ExportError, match="EASE scores from histories"):
        export.main([f"run={runs['ease']}", f"output={tmp_path}", "forms=model"])
    with pytest.raises(DataError, match="Popularity: expected items as vectors"):
        export.main([f"run={runs['popularity']}", f"output={tmp_path}", "forms=npy"])
    with pytest.raises(ConfigError, match="forms: expected some of npy, parquet, model, got 'onnx'"):
        export.main([f"run={runs['ease']}", f"output={tmp_path}", "forms=onnx"])
    assert list(tmp_path.iterdir()) == []

"""`ncf.load(folder)` is of the package itself, and what is no finished run is refused."""

import json

import pytest

import ncf
from ncf.errors import CheckpointError, DataError
from ncf.runs import loading


def test_the_package_itself_loads_runs():
    assert ncf.load is loading.load


def test_missing_unfinished_and_damaged_runs_are_refused(runs, tmp_path):
    with pytest.raises(DataError, match=rf"does not exist \(finished runs nearby: .*{runs['neumf'].parent}"):
        ncf.load(runs["neumf"].parent / "nemf")
    with pytest.raises(DataError, match=r"found no result.json"):
        ncf.load(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes((runs["neumf"] / "checkpoint.pt").read_bytes())
    with pytest.raises(DataError, match=f"resume it with python -m ncf.train resume={tmp_path}"):
        ncf.load(tmp_path)
    result = json.loads((runs["neumf"] / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(result | {"data_digest": "f" * 64}))
    with pytest.raises(DataError, match="expected data with digest ffffffff"):
        ncf.load(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"no")
    with pytest.raises(CheckpointError, match=r"checkpoint.pt: not a checkpoint"):
        ncf.load(tmp_path)

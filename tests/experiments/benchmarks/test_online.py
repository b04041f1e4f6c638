"""The benchmark of a large experiment, on a small one."""

import json

from experiments.benchmarks import online


def test_a_small_one(tmp_path, capsys) -> None:
    path = tmp_path / "log.parquet"
    online.made(300, 30).to_parquet(path, index=False)
    for form in online.FORMS:
        online.child(path, form)
        found = json.loads(capsys.readouterr().out)
        assert found["seconds"] > 0
        assert len(found["findings"]) == 2

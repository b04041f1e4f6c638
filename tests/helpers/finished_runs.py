"""Finished small runs that many tests only look at: each is made once a session, when it is first asked for."""

from pathlib import Path

import pytest
from toys import compose, small

from ncf.train import train

OVERRIDES = {
    "seed7": ("model=neumf", "seed=7"),
    "other data": ("model=ease", "data.seed=3"),
    "several": ("model=ease", "split=random"),
    "puresvd": ("model=puresvd", "model.factors=8"),
    "gmf": ("model=gmf", "model.factors=8"),
    "mf": ("model=mf", "model.factors=8"),
    "mlp": ("model=mlp", "model.factors=8", "model.hidden=[16,8]"),
}


class FinishedRuns(dict[str, Path]):
    """Name -> the folder of a finished run; a name that is not in OVERRIDES is that of a model."""

    def __init__(self, root: Path, base: Path) -> None:
        super().__init__()
        self._root, self._base = root, base

    def __missing__(self, name: str) -> Path:
        choices = OVERRIDES.get(name, (f"model={name}", *self._own(name)))
        kept = [o for o in small(self._root) if choices[0] == "model=neumf" or not o.startswith("model.")]
        self[name] = self._base / name
        self[name].mkdir()
        train(compose(*kept, *choices), self[name])
        return self[name]

    def _own(self, name: str) -> tuple[str, ...]:
        """What models of content, and of other runs, cannot do without: features of the items, and the runs."""
        if name == "hybrid":
            return (f"model.parts=['{self['ease']}','{self['puresvd']}']",)
        if name not in ("content", "content_knn", "cease", "mf_features"):
            return ()
        path = self._base / "items.csv"
        words = ("star", "war", "love", "night", "king", "day")
        lines = [f"{i},{words[i % 6]} {words[i % 5]},{'AB'[i % 2]}|{'CDE'[i % 3]}" for i in range(200)]
        path.write_text("\n".join(["item_id,plot:text,kinds:category", *lines]) + "\n")
        return (f"data.item_features='{path}'",)


@pytest.fixture(scope="session")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRuns:
    """runs["ease"] -> the folder of a finished run, to be looked at only."""
    return FinishedRuns(root, tmp_path_factory.mktemp("runs"))

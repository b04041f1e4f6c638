"""What is kept back of torchrec and fbgemm: logs up to warnings, and warnings; not errors, and not for ever."""

import logging
import warnings

import pytest
from several import require_torchrec

require_torchrec()

from ncf.training.distributed.quiet import quiet


def test_logs_up_to_warnings_and_warnings_are_kept_back(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("torchrec.of.a.test")
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(action="error"):
        with quiet():
            log.info("a page")
            log.warning("a page more")
            warnings.warn("concerns its authors", UserWarning, stacklevel=1)
            log.error("shown")
        log.info("shown again")
        with pytest.raises(UserWarning, match="shown too"):
            warnings.warn("shown too", UserWarning, stacklevel=1)
    assert [record.message for record in caplog.records] == ["shown", "shown again"]


def test_what_was_disabled_before_stays_so_after_an_error() -> None:
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with pytest.raises(ValueError, match="within"), quiet():
            raise ValueError("within")
        assert logging.root.manager.disable == logging.INFO
    finally:
        logging.disable(before)

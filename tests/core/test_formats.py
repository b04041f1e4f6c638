"""Tables as text, CSV and JSON."""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf.core.formats import as_csv, as_json, as_table, html_file, records, written

FRAME = pd.DataFrame({"id": ["=1+1", "-5", "a\x1b[31m"], "value": [0.5, 1.0, 2.0]})


def test_a_spreadsheet_runs_nothing_and_a_terminal_obeys_nothing() -> None:
    assert as_csv(FRAME) == "id,value\n'=1+1,0.5\n-5,1.0\na\\x1b[31m,2.0\n"
    assert "\x1b" not in as_table(records(FRAME), list(FRAME))


def test_json_keeps_every_text() -> None:
    line = as_json(records(FRAME))
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line) == FRAME.to_dict("records")


def test_json_holds_no_number_that_json_lacks() -> None:
    assert json.loads(as_json({1: np.float64("nan"), "x": (np.int64(2), [float("inf")])})) == {
        "1": None,
        "x": [2, [None]],
    }


def test_only_the_form_that_is_asked_for_is_made() -> None:
    made = {
        form: written(form, lambda: "text", lambda: {"x": 1}, lambda: FRAME.head(1))
        for form in ("table", "json", "csv")
    }
    assert made == {"table": "text", "json": '{"x": 1}\n', "csv": "id,value\n'=1+1,0.5\n"}


@pytest.mark.parametrize("name", ["data.csv", "page", "/dev/null", "."])
def test_a_page_is_a_file_of_html(name: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"ends in \.html"):
        html_file(name)
    assert html_file("a/page.HTML") == Path("a/page.HTML")

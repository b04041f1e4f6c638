"""What was measured on several processes is what the page says; the estimate on paper follows from its rates."""

import json
from pathlib import Path

import pytest

from experiments.scale import processes
from experiments.scale.plot import RESULTS

PAGE = Path(processes.__file__).with_name("README.md")


def test_the_page_has_the_figures() -> None:
    found = json.loads((RESULTS / "processes.json").read_text())
    page = " ".join(PAGE.read_text().split())
    assert " ".join(processes.table(found).split()) in page
    memory, paper, share = found["memory"], found["paper"], found["share"]
    one, two = memory["peak_mb"]["1"][0], max(memory["peak_mb"]["2"])
    assert f"take a process {one:,.0f} MB, and each of two {two:,.0f} MB, {two / one:.0%}" in page
    assert f"without tables takes {memory['bare_mb']:.0f} MB" in page
    assert f"From {share['rows_a_second']:,.0f}"[:-4] in page
    assert f"{share['mb_a_second']:,.0f} MB a second" in page
    assert f"takes {paper['step_seconds']:.2f} s, and ten epochs {paper['hours']:.1f} hours" in page
    assert f"{paper['dollars']:.1f} dollars; the tables take {paper['table_gb_a_process']:.1f} GB a process" in page
    slower = paper["step_seconds"] + 9 * paper["exchange_seconds"]
    assert f"at a tenth of the rate a step takes {slower:.2f} s" in page


def test_the_estimate_follows_from_what_was_measured() -> None:
    found = json.loads((RESULTS / "processes.json").read_text())
    rates = found["share"]["mb_a_second"] * 2**20, found["share"]["rows_a_second"]
    assert processes.on_paper(*rates) == {key: pytest.approx(found["paper"][key]) for key in processes.on_paper(*rates)}
    faster = processes.on_paper(rates[0], 2 * rates[1])
    computing = found["paper"]["step_seconds"] - found["paper"]["exchange_seconds"]
    assert faster["step_seconds"] == pytest.approx(found["paper"]["step_seconds"] - computing / 2)

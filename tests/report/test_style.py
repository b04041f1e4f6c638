"""Figures on disk: small, their text untouched."""

import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from ncf.report.style import RC, save


def test_coordinates_are_rounded_and_text_is_not(tmp_path: Path) -> None:
    with mpl.rc_context(RC):
        figure = Figure()
        axes = figure.subplots()
        axes.plot([0.123456, 2.0 / 3], [1.0 / 3, 0.98765])
        axes.set_title('p = 0.012345, "q=0.67891"')
        save(figure, tmp_path, "one")
    text = (tmp_path / "one.svg").read_text()
    assert 'p = 0.012345, "q=0.67891"' in text
    drawn = " ".join(re.findall(r' d="([^"]*)"', text))
    assert len(drawn.split()) > 12
    assert not re.search(r"\.\d{3}", drawn)

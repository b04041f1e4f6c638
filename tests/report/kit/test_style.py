"""Figures on disk: small, their text untouched."""

import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

from ncf.report.kit.style import RC, save


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
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_markers_keep_their_style_though_it_is_said_once(tmp_path: Path) -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2, 3], "o", color="#0072B2")
    axes.scatter([1, 2, 3], [3, 2, 1], color=["#E69F00", "#009E73", "#CC79A7"])  # no style that all share
    figure.savefig(tmp_path / "plain.svg", metadata={"Date": None})
    save(figure, tmp_path, "made")
    plain, made = ((tmp_path / f"{name}.svg").read_text() for name in ("plain", "made"))
    assert made.count("<use") == plain.count("<use")
    assert _fills(made) == _fills(plain)
    assert made.count("fill: #0072b2") < plain.count("fill: #0072b2")
    assert made.count("fill: #e69f00") == plain.count("fill: #e69f00")


def _fills(svg: str) -> list[str]:
    """The style that each marker is drawn in, its own or its group's."""
    parents = {child: parent for parent in ElementTree.fromstring(svg).iter() for child in parent}
    return [use.get("style") or parent.get("style", "") for use, parent in parents.items() if use.tag.endswith("}use")]


def test_the_same_figure_is_the_same_bytes_in_every_format(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        with mpl.rc_context(RC):
            figure = Figure()
            figure.subplots().plot([1, 2, 3], label="γ")
            save(figure, tmp_path / folder, "one", ["pdf", "png", "svg"])
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["one.pdf", "one.png", "one.svg"]
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    assert (tmp_path / "a" / "one.pdf").read_bytes().startswith(b"%PDF")
    assert b"/Type3" not in (tmp_path / "a" / "one.pdf").read_bytes()


def test_only_the_formats_that_are_asked_for_are_written(tmp_path: Path) -> None:
    figure = Figure()
    assert "<svg" in save(figure, tmp_path, "one", ["png"])
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]

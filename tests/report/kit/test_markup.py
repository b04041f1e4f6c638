"""Tables as Markdown and LaTeX."""

from ncf.report.kit.markup import Table

TABLE = Table(
    "Gain & loss", ["loss", "change"], [["focal (γ 2, α 0.25)", "+5.0% ± 1_a"], ["a|b", "−3 $x {y}"]], "100% so."
)


def test_markdown_has_a_row_a_line_and_no_stray_pipe() -> None:
    lines = TABLE.markdown().splitlines()
    assert lines[:4] == ["**Gain & loss**", "", "| loss | change |", "|---|---|"]
    assert lines[5] == r"| a\|b | −3 $x {y} |"
    assert lines[-1] == "100% so."


def test_latex_escapes_what_latex_reads_otherwise() -> None:
    latex = TABLE.latex()
    assert r"focal ($\gamma$ 2, $\alpha$ 0.25) & +5.0\% $\pm$ 1\_a \\" in latex
    assert r"a|b & $-$3 \$x \{y\} \\" in latex
    assert r"\caption{Gain \& loss. 100\% so.}" in latex
    assert r"\begin{tabular}{lr}" in latex
    assert latex.count(r"\\") == 3

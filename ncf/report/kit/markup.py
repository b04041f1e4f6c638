"""A table of text, as Markdown and as LaTeX."""

from dataclasses import dataclass

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
        "±": r"$\pm$", "α": r"$\alpha$", "γ": r"$\gamma$", "δ": r"$\delta$", "×": r"$\times$", "−": r"$-$",
        "<": r"$<$", ">": r"$>$", "≥": r"$\geq$", "≤": r"$\leq$",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Cells of text under a header, with a title and a note that says how to read it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""

    def markdown(self) -> str:
        """A pipe table, its title above and its note below."""
        lines = [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in [self.header, *self.rows]
        ]
        lines.insert(1, "|" + "---|" * len(self.header))
        note = f"\n{self.note}\n" if self.note else ""
        return f"**{self.title}**\n\n" + "\n".join(lines) + f"\n{note}"

    def latex(self) -> str:
        """A booktabs table: first column left, others right."""
        lines = [" & ".join(map(_escaped, row)) + r" \\" for row in [self.header, *self.rows]]
        body = "\n".join(["\\toprule", lines[0], "\\midrule", *lines[1:], "\\bottomrule"])
        columns = "l" + "r" * (len(self.header) - 1)
        caption = _escaped(f"{self.title}. {self.note}".strip())
        return (
            "% needs \\usepackage{booktabs}\n\\begin{table}\n\\centering\n"
            f"\\caption{{{caption}}}\n\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n\\end{{table}}\n"
        )


def _escaped(text: str) -> str:
    return text.translate(_LATEX)

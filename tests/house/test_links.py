"""Every relative link of a page leads somewhere: the file is there, and so is the heading."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("conf", "data", "docs", "experiments", "ncf", "tests")
PAGES = [*sorted(ROOT.glob("*.md")), *(page for name in FOLDERS for page in sorted((ROOT / name).rglob("*.md")))]
_CODE = re.compile(r"```.*?```", re.DOTALL)


@cache
def headings(page: Path) -> frozenset[str]:
    """The anchors that the usual renderers give a page's headings."""
    lines = re.findall(r"^#+ (.*)$", _CODE.sub("", page.read_text()), re.MULTILINE)
    words = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line).strip().lower() for line in lines]
    return frozenset(re.sub(r"[^\w\- ]", "", line).replace(" ", "-") for line in words)


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _CODE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" not in link and (
            not target.exists() or (anchor and target.suffix == ".md" and anchor not in headings(target))
        ):
            found.append(link)
    return found


def test_every_link_leads_somewhere() -> None:
    assert len(PAGES) > 30
    assert {page: broken(page) for page in PAGES if broken(page)} == {}


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A `heading`, here\n\n## Two\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#a-heading-here) [c](there.md#none) [d](gone.md) [e](#no) [f](https://x.y)"
    )
    assert broken(page) == ["there.md#none", "gone.md", "#no"]

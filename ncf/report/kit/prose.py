"""The words of a report, from Jinja templates.

Every template knows `study` and `SAMPLED`, the functions `contrast_name` and `row_name`, some of `ncf.report.evidence`,
and as filters others of `ncf.report.kit.naming`. Sentences that several pages need are the macros of `sentences.j2`.
"""

from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined, Template
from jinja2.bccache import Bucket

from ncf.errors import ConfigError
from ncf.evaluation.hypergeometric import SAMPLED
from ncf.report import evidence
from ncf.report.kit import naming
from ncf.report.kit.section import Facts

TEMPLATES = Path(__file__).parents[1] / "templates"


class _Compiled(BytecodeCache):
    """The templates that this process has compiled, by their text: each page would compile them anew."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key, bucket.checksum] = bucket.code


_COMPILED = {html: _Compiled() for html in (False, True)}  # escaping is compiled into a template


class Prose:
    """The templates, filled in for one study.

    Args:
        study: what they speak of: a `Study`, or a `Sweep` for the templates of unregistered sweeps.
        html: escape what is filled in.
    """

    def __init__(self, study: Any, html: bool = False) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=html, trim_blocks=True,
            lstrip_blocks=True, keep_trailing_newline=True, bytecode_cache=_COMPILED[html],
        )  # fmt: skip
        filters = (
            naming.at_ratios, naming.label, naming.listed, naming.loss_name, naming.metric_name, naming.p_value,
            naming.percent, naming.percent_ends, naming.percents, line,
        )  # fmt: skip
        self._environment.filters |= {function.__name__: function for function in filters}
        known = (
            naming.contrast_name, naming.row_name, evidence.detectable, evidence.over_users, evidence.population,
            evidence.users_method,
        )  # fmt: skip
        names = {function.__name__: function for function in known}
        self._environment.globals |= {"study": study, "SAMPLED": SAMPLED, **names}

    def page(self, template: str, facts: Facts) -> str:
        """A whole template of the library's, filled in."""
        return self._environment.get_template(template).render(facts)

    def macro(self, template: Path, name: str, facts: Facts) -> str:
        """What the macro `name` of a section's template says. Raises ConfigError if the template has none."""
        words = self._from_file(template).make_module(dict(facts))
        if not hasattr(words, name):
            raise ConfigError(f"{template}: expected a macro named {name}, found none")
        return str(getattr(words, name)())

    def _from_file(self, template: Path) -> Template:
        known, text = self._environment.bytecode_cache, template.read_text("utf-8")
        assert known is not None
        bucket = known.get_bucket(self._environment, str(template), None, text)
        if bucket.code is None:
            bucket.code = self._environment.compile(text)
            known.set_bucket(bucket)
        return Template.from_code(self._environment, bucket.code, self._environment.make_globals(None))


def line(text: str) -> str:
    """`text` on one line, however its template is wrapped; markup stays markup."""
    return type(text)(" ").join(text.split())

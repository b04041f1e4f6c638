"""What every section is made with: the page, its prose, the look of figures, tables as text, names and numbers."""

from importlib.util import find_spec

from ncf.errors import ConfigError

for package in ("matplotlib", "jinja2"):
    if find_spec(package) is None:
        raise ConfigError(f"report: {package} is not installed; pip install 'ncf[report]' brings it")

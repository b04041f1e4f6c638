"""What a run imports, imported once by the server from which tests fork (see apart.py), and frozen there.

A child would otherwise look through all of it for garbage, and so copy it.
"""

import importlib

import garbage

for name in ("ncf.train", "ncf.launch.sweep", "ncf.stats", "torch._inductor", "hydra_plugins.ncf_stacked_launcher"):
    importlib.import_module(name)
garbage.collect()

"""No search for garbage while tests are imported and collected: what they make stays, and takes a third of the time.

Imported before anything else; `collect` begins the search.
"""

import gc

gc.disable()


def collect() -> None:
    """Look for garbage from now on, among what is made from now on."""
    gc.freeze()
    gc.enable()

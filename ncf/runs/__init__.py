"""One run: its plan, its identity, what it leaves in its folder, going on with it, and reading it and many others."""

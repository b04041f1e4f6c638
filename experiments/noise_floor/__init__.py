"""An A/A study: how far runs differ whose losses are the same but for a factor."""

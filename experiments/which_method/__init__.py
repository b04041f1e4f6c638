"""Which method tells the truth about a new ranker? A registered study in a service whose truth is known."""

"""Every model tuned on an equal budget, ten seeds where it is random, one page that says who wins."""

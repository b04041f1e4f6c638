"""A component of one's own, for tests of `--import own_sampler`: it draws as `sampler=uniform` does."""

import ncf
from ncf.training.samplers import uniform

ncf.register("sampler", "own", uniform)

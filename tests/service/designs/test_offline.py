"""Offline evaluation: the difference in NDCG@10, from runs or from positives that are drawn."""

from dataclasses import replace

import pytest
import torch
from toy_services import design, service

from ncf.service import Sample


def test_of_runs_it_is_the_mean_paired_difference() -> None:
    made = replace(service(), offline=torch.tensor([[0.1, 0.2, 0.3], [0.2, 0.2, 0.5]], dtype=torch.float64))
    first, second = design("offline").answers(Sample(made, range(2)))
    assert first[0].estimate.value == second[0].estimate.value == pytest.approx(0.1)
    assert first[0].truth != first[0].truth  # there is none on this scale


def test_of_rankers_that_are_alike_it_is_nothing_and_of_a_better_one_more() -> None:
    alike = Sample(service(noise_a=0.0, noise_b=0.0), range(1))
    assert next(design("offline").answers(alike))[0].estimate.value == 0
    better = Sample(service(noise_a=5.0, noise_b=0.0, base_users=500), range(1))
    assert next(design("offline").answers(better))[0].estimate.value > 0

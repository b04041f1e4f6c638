"""The peers are pinned, and what runs in their environment does not need ncf."""

from pathlib import Path

from experiments.benchmarks import peers


def test_the_peer_side_needs_nothing_of_ncf() -> None:
    for module in ("serve", "recbole_side", "focal_sides"):
        source = Path(peers.__file__).with_name(f"{module}.py").read_text()
        assert not any(line.startswith(("import ncf", "from ncf")) for line in source.splitlines())


def test_every_peer_is_pinned() -> None:
    lines = [line for line in peers.PINS.read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert all(len(line.split("==")) == 2 for line in lines)

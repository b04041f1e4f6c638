"""The fused focal kernel against fvcore's and against the formula: forward and backward, time and peak memory."""

from experiments.benchmarks.harness import Comparison, alternate, side

SIZES = [253, 10**4, 10**5, 10**6, 10**7]
LOGITS_A_TURN = {"cpu": 4 * 10**6, "cuda": 2 * 10**9}  # work is repeated, so that a turn is long enough for the clock


def focal(peers: str, rounds: int) -> list[Comparison]:
    """One core, gamma 2, alpha 0.25: eager and compiled against fvcore, eager against the formula."""
    comparisons = against("fvcore", peers, rounds, compiled=False)
    comparisons += against("fvcore", peers, rounds, compiled=True)
    return comparisons + against("formula", None, rounds, compiled=False)


def against(peer: str, python: str | None, rounds: int, compiled: bool, device: str = "cpu") -> list[Comparison]:
    where = {} if python is None else {"python": python}
    """Compare with `peer` at every size of SIZES, checking that both give the same loss."""
    comparisons = []
    with side("focal_sides ncf") as ours, side(f"focal_sides {peer}", **where) as theirs:
        for size in SIZES:
            mine = ours.ask("prepare", logits=size, compiled=compiled, device=device)
            other = theirs.ask("prepare", logits=size, compiled=False, device=device)
            if abs(mine["loss"] / other["loss"] - 1) > 1e-4:
                raise RuntimeError(f"expected equal losses of {size} logits, got {mine} against {other}")
            repeats = max(1, min(2000, LOGITS_A_TURN[device] // size))
            peaks = {"ours": ours.ask("peak")["peak_bytes"], peer: theirs.ask("peak")["peak_bytes"]}
            needed = {(False, "fvcore"): 1.0, (True, "fvcore"): 5.0 if size == 10**6 else None}.get((compiled, peer))
            name = f"focal loss, {'compiled' if compiled else 'eager'} against {peer}, {size:,} logits"
            name += "" if device == "cpu" else f", {device}"
            run = alternate(
                name,
                lambda repeats=repeats: ours.ask("run", repeats=repeats),  # type: ignore[misc]
                lambda repeats=repeats: theirs.ask("run", repeats=repeats),  # type: ignore[misc]
                rounds,
                needed,
                peak_bytes=peaks,
                repeats=repeats,
            )
            print(f"  peak memory {peaks['ours'] / peaks[peer]:.2f} of {peer}'s (goal 0.5)")
            comparisons.append(run)
    return comparisons

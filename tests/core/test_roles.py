"""A setting's role says whether it identifies a run, may change on resume, and may differ within a table."""

import pytest

from ncf.core.roles import DISPLAY, LENGTH, MACHINE, MACHINE_IN_ID, RESULT, Role


@pytest.mark.parametrize(
    ("role", "identifies", "free_on_resume", "free_to_differ"),
    [
        (RESULT, True, False, False),
        (LENGTH, True, True, False),
        (MACHINE, False, True, True),
        (DISPLAY, False, True, True),
        (MACHINE_IN_ID, True, True, True),
    ],
)
def test_what_each_role_means(role: Role, identifies: bool, free_on_resume: bool, free_to_differ: bool) -> None:
    for value in (None, 0, False, "x", ["x"]):
        assert role.identifies(value) == identifies
    assert role.free_on_resume == free_on_resume
    assert role.free_to_differ == free_to_differ


@pytest.mark.parametrize("since", [False, True, "float32", None, ["hit", "ndcg", "mrr"]])
def test_a_later_setting_counts_only_where_it_is_not_what_earlier_runs_had(since: object) -> None:
    role = Role(since=since)
    assert not role.identifies(since)
    assert role.identifies("another value")
    assert not role.free_on_resume
    assert not role.free_to_differ


def test_a_setting_without_since_counts_even_where_it_is_null() -> None:
    assert RESULT.identifies(None)


@pytest.mark.parametrize("kind", ["machine", "display"])
def test_since_puts_no_other_kind_into_the_identity(kind: str) -> None:
    assert not Role(kind, since=1).identifies(2)  # type: ignore[arg-type]


def test_identity_can_be_refused_to_what_the_result_depends_on() -> None:
    assert not Role(identity=False).identifies(1)

"""The MovieLens sets: every one has a YAML, and the members it names are those of its archive."""

import pytest
from data_helpers import RELEASE_NAMES, members, ratings_text, settings

from ncf.core.compose import CONF
from ncf.data.releases import RELEASES, Release

BY_NAME = {release.name: release for release in RELEASES}


def test_every_release_has_a_yaml_and_every_movielens_yaml_a_release() -> None:
    assert set(BY_NAME) == set(RELEASE_NAMES) == {path.stem for path in (CONF / "data").glob("ml-*.yaml")}


@pytest.mark.parametrize("name", RELEASE_NAMES)
def test_the_members_are_those_of_the_official_archive(name: str) -> None:
    release, official = BY_NAME[name], list(members(name))
    assert [release.ratings_member, release.movies_members[0]] == official


@pytest.mark.parametrize("name", RELEASE_NAMES)
def test_the_layout_is_that_of_the_official_file(name: str) -> None:
    release, first = BY_NAME[name], ratings_text(name).decode().splitlines()[0]
    assert len(first.split(release.delimiter)) == 4
    assert release.header == first.startswith("userId")


@pytest.mark.parametrize("name", RELEASE_NAMES)
def test_the_pinned_digest_and_address_are_in_the_yaml(name: str) -> None:
    keys = settings(name)
    assert len(keys["sha256"]) == 64
    assert keys["url"].startswith("https://files.grouplens.org/")
    assert keys["url"].endswith(f"{name}.zip")


def test_only_the_smallest_has_a_copy_in_a_wheel_whose_movies_come_second() -> None:
    assert [release.name for release in RELEASES if release.wheel] == ["ml-100k"]
    assert BY_NAME["ml-100k"].movies_members == ["ml-100k/u.item", "ml-100k/ml-100k.item"]
    assert BY_NAME["ml-100k"].digest_is_of_ratings


def test_a_release_without_a_wheel_has_one_file_of_movies() -> None:
    release = Release("x", "folder", "r.csv", "m.csv", ",")
    assert (release.ratings_member, release.movies_members) == ("folder/r.csv", ["folder/m.csv"])

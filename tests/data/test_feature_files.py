"""Files of features: what is read, what kind a column is of, and what is refused, by its line."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from ncf.data.archive import Folder
from ncf.data.feature_files import read_feature_file, read_official_users
from ncf.errors import DataError


def written(folder: Path, text: str, name: str = "items.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_kinds_are_said_or_seen(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "id,price,genre,tags,plot,size:text,code:category,age:float,shape:token,words:token_seq\n"
        'a,1.5,x,u|v,"a long, story",1,7,3,p,one two\nb,,x,u,other,2,8,,p,three\nc,2e1,y,,third,3,7,4,q,\n',
    )
    rows = read_feature_file(path, "item")
    assert rows.ids.tolist() == ["a", "b", "c"]
    assert {c.name: c.kind for c in rows.columns} == {
        "price": "number",
        "genre": "text",
        "tags": "category",
        "plot": "text",
        "size": "text",
        "code": "category",
        "age": "number",
        "shape": "category",
        "words": "text",
    }  # fmt: skip  (of three genres two differ, which is more than half)
    by_name = {c.name: c.values for c in rows.columns}
    np.testing.assert_array_equal(by_name["price"], [1.5, np.nan, 20.0])
    assert by_name["plot"][0] == "a long, story"
    assert by_name["tags"].tolist() == ["u|v", "u", ""]


def test_few_values_are_categories(tmp_path: Path) -> None:
    path = written(tmp_path, "id,shelf\n" + "".join(f"{i},{'AB'[i % 2]}\n" for i in range(4)))
    assert read_feature_file(path, "item").columns[0].kind == "category"


def test_tabs_and_gzip(tmp_path: Path) -> None:
    path = tmp_path / "items.tsv.gz"
    path.write_bytes(gzip.compress(b"id\tsize\n1\t2\n"))
    assert read_feature_file(path, "item").columns[0].values.tolist() == [2.0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("id,size:number\n1,2\n2,big\n", "line 3: expected size as a number, found 'big'"),
        ("id,size\n1,2\n2,-1e999\n", "line 3: expected size as a number below 1.8e308, found '-1e999'"),
        ("id,size\n1,2\n1,3\n", "line 3: expected each id once (first on line 2), found '1 again'"),
        ("id,size\n,2\n", "line 2: expected an id in the first column"),
        ("id\n1\n", "line 1: expected a header of an id and at least one feature, each name once, found 'id'"),
        ("id,a,a\n1,2,3\n", "line 1: expected a header of an id and at least one feature, each name once"),
        ("id,a\n", "expected at least one line after the header, found none"),
        ("id,a\n1,2,3\n", "line 2: expected 2 fields"),
        ("", "expected lines of text, found an empty file"),
    ],
)
def test_a_wrong_file_is_one_line(text: str, complaint: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_feature_file(path, "item")
    assert str(caught.value).startswith(str(path))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_and_a_changed_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^data\.item_features: no such file: .*none\.csv$"):
        read_feature_file(tmp_path / "none.csv", "item")
    path = written(tmp_path, "id,a\n1,2\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(read_feature_file(path, "user", digest).columns) == 1
    path.write_text("id,a\n1,3\n")
    with pytest.raises(DataError, match=rf"expected SHA-256 {digest} \(data\.user_features_sha256\), found "):
        read_feature_file(path, "user", digest)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("u.user", "1|24|M|technician|85711\n2|53|F|other|94043\n"),
        ("ml-100k.user", "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
                         "1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\t94043\n"),
        ("users.dat", "1::M::24::technician::85711\n2::F::53::other::94043\n"),
    ],
)  # fmt: skip
def test_the_official_users_have_age_gender_and_occupation(name: str, text: str, tmp_path: Path) -> None:
    written(tmp_path, text, name)
    rows = read_official_users(Folder(tmp_path), f"set/{name}", "latin-1")
    assert rows is not None
    assert rows.ids.tolist() == ["1", "2"]
    values = {c.name: (c.kind, c.values.tolist()) for c in rows.columns}
    assert values == {
        "age": ("number", [24.0, 53.0]),
        "gender": ("category", ["M", "F"]),
        "occupation": ("category", ["technician", "other"]),
    }
    assert read_official_users(Folder(tmp_path / "none"), f"set/{name}", "latin-1") is None

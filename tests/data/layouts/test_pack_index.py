"""Packs: the manifest's own columns in an index, and what lies beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.recipe import DataSpec
from verisight.data.layouts.layout import write_picture
from verisight.data.layouts.pack import PACK
from verisight.data.manifest import SCHEMA, Manifest

FAKE = {
    "path": "i/1.png", "label": "1", "split": "test", "group": "g", "video": "v", "subject": "s", "donor": "d",
    "pair": "p", "generator": "x", "source": "", "quality": "c23", "domain": "m", "box": "1 2 3 4",
    "applied": "jpeg:40",
}  # fmt: skip
REAL = {**FAKE, "path": "i/0.png", "label": "0", "donor": "", "generator": "real", "source": "web", "applied": ""}


def read(root: Path, *rows: dict[str, str]) -> Manifest:
    for n in range(3):
        write_picture(root / f"i/{n}.png", n)
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    (root / "index.csv").write_text("\n".join(lines))
    return PACK(DataSpec(path=str(root), layout="pack"))


def test_every_column_of_the_manifest_can_stand_in_the_index(tmp_path: Path) -> None:
    assert list(FAKE) == SCHEMA.names
    made = read(tmp_path, REAL, FAKE)
    assert [{k: str(v) for k, v in row.items()} for row in made.table.to_pylist()] == [REAL, FAKE]


@pytest.mark.parametrize("alias", ["video", "subject"])
def test_a_column_that_stands_in_for_the_group_keeps_its_own_place(tmp_path: Path, alias: str) -> None:
    rows = [{"path": f"i/{n}.png", "label": str(n), "split": "test", alias: name} for n, name in enumerate("ab")]
    made = read(tmp_path, *rows)
    assert made.column("group").tolist() == made.column(alias).tolist() == ["a", "b"]


def test_with_a_group_video_and_subject_are_what_they_say(tmp_path: Path) -> None:
    made = read(tmp_path, REAL, FAKE)
    columns = [set(made.column(name)) for name in ("group", "video", "subject")]
    assert columns == [{"g"}, {"v"}, {"s"}]


@pytest.mark.parametrize("spelt", ["i/1.png", "i\\1.png", "./i/1.png", "i//1.png"])
def test_files_without_a_row_are_a_note(tmp_path: Path, spelt: str) -> None:
    made = read(tmp_path, REAL, {**FAKE, "path": spelt})
    assert made.notes == ("files without a row in the index, left out: 1, such as i/2.png",)

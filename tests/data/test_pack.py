"""Packs: an index beside the files, in a folder or a zip; every way in which the two disagree is named."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from verisight.core.errors import DataError
from verisight.core.places import cache_folder
from verisight.core.recipe import DataSpec
from verisight.data.layouts import read_layout
from verisight.data.manifest import Manifest

Rows = list[dict[str, Any]]
ROWS: Rows = [
    {"path": f"i/{n}.jpg", "label": n % 2, "split": s} for n, s in enumerate(["train", "train", "val", "test"])
]


def text_of(rows: Rows) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def pack(folder: Path, rows: Rows, index: bytes | None = None) -> Path:
    (folder / "i").mkdir(parents=True, exist_ok=True)
    for n in range(12):
        (folder / f"i/{n}.jpg").touch()
    (folder / "index.csv").write_bytes(text_of(rows).encode() if index is None else index)
    return folder


def read(path: Path, **changes: Any) -> Manifest:
    return read_layout(DataSpec(path=str(path), layout="pack", **changes))


def zipped(path: Path, entries: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def entries(prefix: str = "") -> dict[str, str]:
    return {f"{prefix}index.csv": text_of(ROWS)} | {f"{prefix}i/{n}.jpg": "" for n in range(4)}


def test_rows_come_as_they_stand_and_unknown_columns_are_ignored(tmp_path: Path) -> None:
    made = read(pack(tmp_path, [{**row, "sha256": "x", "note": "a, b"} for row in ROWS]))
    assert made.column("path").tolist() == [row["path"] for row in ROWS]
    assert made.column("label").tolist() == [0, 1, 0, 1]
    assert made.column("split").tolist() == ["train", "train", "val", "test"]
    assert made.root == tmp_path


@pytest.mark.parametrize("alias", ["group", "video", "subject", "identity"])
def test_the_group_goes_by_several_names(tmp_path: Path, alias: str) -> None:
    made = read(pack(tmp_path, [{**row, alias: f"g{n}"} for n, row in enumerate(ROWS)]))
    assert made.column("group").tolist() == ["g0", "g1", "g2", "g3"]


def test_the_proper_name_wins_over_an_alias(tmp_path: Path) -> None:
    made = read(pack(tmp_path, [{**row, "subject": "s", "group": f"g{n}"} for n, row in enumerate(ROWS)]))
    assert made.column("group").tolist() == ["g0", "g1", "g2", "g3"]


@pytest.mark.parametrize("alias", ["source", "real_source", "real_source_or_dataset"])
def test_a_source_is_kept_for_reals_only(tmp_path: Path, alias: str) -> None:
    made = read(pack(tmp_path, [{**row, alias: "web"} for row in ROWS]))
    assert made.column("source").tolist() == ["web", "", "web", ""]


def test_without_a_split_groups_are_cut_whole_by_the_spec(tmp_path: Path) -> None:
    rows = [{"path": f"i/{n}.jpg", "label": n % 2, "video": f"v{n % 2}{n // 4}"} for n in range(12)]
    made = read(pack(tmp_path, rows))
    homes = set(zip(made.column("group"), made.column("split"), strict=True))
    assert len(homes) == 6
    assert {split for _, split in homes} == {"train", "val", "test"}


def test_a_byte_order_mark_and_foreign_line_ends_are_no_part_of_the_table(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + text_of(ROWS).replace("\n", "\r\n").encode()
    assert read(pack(tmp_path, ROWS, content)).fingerprint() == read(pack(tmp_path / "b", ROWS)).fingerprint()


def test_windows_separators_are_read_as_separators(tmp_path: Path) -> None:
    rows = [{**row, "path": row["path"].replace("/", "\\")} for row in ROWS]
    assert read(pack(tmp_path, rows)).column("path").tolist() == [row["path"] for row in ROWS]


def changed(**first: Any) -> Rows:
    return [{**ROWS[0], **first}, *ROWS[1:]]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (changed(path="i/gone.jpg"), "i/gone.jpg: stands in the index, but there is no such file"),
        (changed(path="i"), "there is no such file"),
        (changed(path="i/1.jpg"), "i/1.jpg: stands twice"),
        (changed(path="../i/0.jpg"), "must be relative and stay inside"),
        (changed(path="..\\i\\0.jpg"), "must be relative and stay inside"),
        (changed(path="/etc/passwd"), "must be relative and stay inside"),
        (changed(label=2), "i/0.jpg: the label must be 0 (real) or 1 (fake), got '2'"),
        (changed(label=""), "got ''"),
        (changed(split="dev"), "unknown split 'dev'"),
        ([{**row, "group": "one"} for row in ROWS], "one: this group stands in two splits"),
        ([{"file": "x", "label": 0}], "has no column 'path'"),
        ([{"path": "i/0.jpg", "lable": 0}], "has no column 'label'; did you mean 'lable'?"),
    ],
)
def test_an_index_that_does_not_hold_together_is_refused_by_name(tmp_path: Path, rows: Rows, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        read(pack(tmp_path, rows))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has no rows"),
        (b"path,label\n", "has no rows"),
        (b"path,label\n\xff\xfe,0\n", "not a readable table"),
        (b"path,label\n" + b"x" * 200_000 + b",0\n", "not a readable table"),
        (b"file;label\ni/0.jpg,0,1,2\n", "has no column 'path'"),
    ],
    ids=["empty", "header only", "not UTF-8", "endless field", "other separator"],
)
def test_an_index_that_is_no_table_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=f"index.csv.*{reason}"):
        read(pack(tmp_path, ROWS, content))


def test_a_short_row_is_a_missing_value_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got ''"):
        read(pack(tmp_path, ROWS, b"path,split,label\ni/0.jpg,train\n"))


@pytest.mark.parametrize("name", ["nowhere", "plain", "plain/a.txt"])
def test_without_an_index_the_other_layout_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.txt").touch()
    with pytest.raises(DataError, match=r"holds no index\.csv; use data\.layout=folder"):
        read(tmp_path / name)


@pytest.mark.parametrize("prefix", ["", "pack/"])
def test_a_zip_equals_the_folder_that_it_holds(tmp_path: Path, prefix: str) -> None:
    made = read(zipped(tmp_path / "p.zip", entries(prefix)))
    assert made.fingerprint() == read(pack(tmp_path / "f", ROWS)).fingerprint()
    assert made.root.is_relative_to(cache_folder())


def test_a_zip_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "once.zip", entries())
    first = read(archive)

    def never(*_: Any) -> None:
        raise AssertionError("unpacked again")

    monkeypatch.setattr(zipfile.ZipFile, "extractall", never)
    assert read(archive).table.equals(first.table)
    with pytest.raises(AssertionError, match="unpacked again"):  # another content under the same name is another pack
        read(zipped(archive, {**entries(), "more": "x"}))


def test_an_unpacking_cut_short_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERISIGHT_CACHE", str(tmp_path / "cache"))
    archive = zipped(tmp_path / "cut.zip", entries())

    def half(self: zipfile.ZipFile, target: Path) -> None:
        self.extract("index.csv", target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extractall", half)
        with pytest.raises(KeyboardInterrupt):
            read(archive)
    assert len(read(archive)) == 4


@pytest.mark.parametrize(
    "name", ["../evil.txt", "i/../../evil.txt", "..\\evil.txt", "/evil.txt", "\\evil.txt", "C:/evil.txt"]
)
def test_an_entry_that_would_leave_the_folder_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("VERISIGHT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match="would be written outside the folder"):
        read(zipped(tmp_path / "bad.zip", {**entries(), name: "evil"}))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "bad.zip"]


def test_a_damaged_zip_is_refused_by_name(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "bad.zip", {**entries(), "long": "abcdefgh" * 100})
    content = archive.read_bytes()
    archive.write_bytes(content.replace(b"abcdefgh" * 100, b"ABCDEFGH" * 100))
    with pytest.raises(DataError, match=r"bad\.zip: cannot be unpacked"):
        read(archive)


# --- the real pack: counts as its README states them ---

SPLITS_OF = {  # generator -> fakes in train, val, test
    "dfdc_faceswap": (248, 32, 90), "ffpp_deepfakes": (40, 0, 0), "ffpp_faceswap": (0, 0, 40),
    "ffpp_face2face": (0, 40, 0), "stargan": (287, 41, 72), "stylegan2_sfhq": (280, 44, 76), "alae": (64, 13, 22),
    "began": (79, 7, 13),
    "sd21": (275, 31, 94), "sdxl": (240, 35, 75), "flux1_schnell": (231, 41, 78),
}  # fmt: skip
REALS_OF = {
    "DFDC": (248, 32, 90), "CelebA (StarGAN input column)": (287, 41, 72), "CelebA-HQ": (328, 32, 84),
    "CelebA-HQ reduced to 128 px": (160, 20, 50), "LFW (deep-funneled)": (255, 44, 81),
    "FaceForensics++ youtube original": (40, 0, 40),
}  # fmt: skip


@pytest.mark.realdata
def test_fakes_zip_has_the_counts_of_its_readme(shared_data: Path) -> None:
    made = read(shared_data / "fakes.zip")
    label, split = made.column("label"), made.column("split")
    assert (int((label == 1).sum()), int((label == 0).sum())) == (2588, 1904)
    for rows, column, expected in ((label == 1, "generator", SPLITS_OF), (label == 0, "source", REALS_OF)):
        names = made.column(column)
        assert set(names[rows]) == set(expected)
        for name, counts in expected.items():
            mine = rows & (names == name)
            assert tuple(int((mine & (split == s)).sum()) for s in ("train", "val", "test")) == counts, name

"""FakeAVCeleb: nine names over ten values, files that stand twice, and a fake voice under a real face."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.errors import DataError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.fakeavceleb import CLIPS_OF, EXPECTED, FAKEAVCELEB, table
from verisight.data.manifest import Manifest


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fakeavceleb")
    FAKEAVCELEB.tiny_copy(folder)
    return folder


def read(root: Path, **options: object) -> Manifest:
    return FAKEAVCELEB(DataSpec(path=str(root), layout="fakeavceleb", splits=(0.5, 0.0, 0.5), options=options))


def of(made: Manifest, name: str) -> dict[str, object]:
    return next(r for r in made.table.to_pylist() if name in r["path"])


def written(
    root: Path, *rows: str, header: str = "source,target1,target2,method,category,type,race,gender,path,"
) -> Path:
    (root / "meta_data.csv").write_text("\n".join((header, *rows)) + "\n")
    return root


def test_the_ninth_value_is_the_file_and_the_tenth_its_folder(tmp_path: Path) -> None:
    row = "id1,id2,-,wav2lip,C,FakeVideo-RealAudio,A,m,1_id2_wavtolip.mp4,FakeAVCeleb/FakeVideo-RealAudio/A/m/id1"
    (line,) = table(written(tmp_path, row))
    assert line.file == "FakeAVCeleb/FakeVideo-RealAudio/A/m/id1/1_id2_wavtolip.mp4"
    assert (line.source, line.donor, line.method) == ("id1", "id2", "wav2lip")


def test_a_reader_that_guesses_shifts_the_columns(tmp_path: Path) -> None:
    """Why this layout reads by position: ten values under nine names push the first one into the index."""
    pandas = pytest.importorskip("pandas")
    header = "source,target1,target2,method,category,type,race,gender,path"
    row = "id1,id2,-,wav2lip,C,FakeVideo-RealAudio,A,m,1.mp4,FakeAVCeleb/FakeVideo-RealAudio/A/m/id1"
    guessed = pandas.read_csv(written(tmp_path, row, header=header) / "meta_data.csv")
    assert guessed["source"].tolist() == ["id2"]
    assert table(tmp_path)[0].source == "id1"


@pytest.mark.parametrize(("label", "expected"), [("visual", 0), ("av", 1)])
def test_a_fake_voice_is_fake_only_where_sound_counts(copied: Path, label: str, expected: int) -> None:
    voice = of(read(copied, label=label), "RealVideo-FakeAudio")
    assert voice["label"] == expected
    assert voice["generator"] == ("rtvc" if expected else "real")
    assert voice["source"] == ("" if expected else "VoxCeleb2, fake voice")
    assert of(read(copied, label=label), "FakeVideo-RealAudio")["label"] == 1
    assert of(read(copied, label=label), "RealVideo-RealAudio")["label"] == 0


def test_a_file_that_stands_twice_is_one_row_under_its_first_method(copied: Path) -> None:
    made = read(copied)
    doubled = of(made, "00005_5_id00000_wavtolip")
    assert doubled["generator"] == "wav2lip"
    assert any("further rows of files that stand in the table already, left out: 1" in note for note in made.notes)


def test_the_person_shown_is_the_source_and_the_donor_an_id(copied: Path) -> None:
    made = read(copied)
    fake = of(made, "00001_id00002_faceswap")
    assert (fake["subject"], fake["donor"], fake["pair"]) == ("id00001", "id00002", "id00001")
    assert of(made, "RealVideo-RealAudio/African/men/id00001")["pair"] == "id00001"
    assert of(made, "RealVideo-FakeAudio/African/men/id00001")["donor"] == ""


def test_whoever_lends_only_a_voice_is_no_donor_of_a_face(tmp_path: Path) -> None:
    places = {f"id{n}": f"RealVideo-FakeAudio/A/m/id{n}" for n in (1, 2)}
    for place in places.values():
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "1_fake.mp4").touch()
    rows = [f"{me},id3,-,rtvc,B,RealVideo-FakeAudio,A,m,1_fake.mp4,{place}" for me, place in places.items()]
    assert set(read(written(tmp_path, *rows), label="av").column("donor")) == {""}


def test_race_and_gender_stay_out(copied: Path) -> None:
    rows = read(copied).table.drop_columns(["path", "video"]).to_pylist()
    assert not any(word in str(value) for row in rows for value in row.values() for word in ("African", "men"))


@pytest.mark.parametrize(
    ("header", "row", "reason"),
    [
        ("source,method,path", "a,b,c", "its header is not source,target1"),
        ("source,target1,target2,method,category,type,race,gender,path,", "a,b,c", "row 2 has not ten values"),
        ("", "", "its header is not"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path: Path, header: str, row: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(written(tmp_path, row, header=header))


def test_without_the_table_nothing_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no meta_data\.csv"):
        read(tmp_path)


def test_published_numbers_sum() -> None:
    assert sum(CLIPS_OF.values()) == 500 + 500 + 9709 + 10_835 == 21_544
    assert {sum(numbers.values()) for numbers in EXPECTED.values()} == {21_544}

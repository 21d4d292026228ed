"""KoDF: a name alone says class, people and method; donors are kept on one side, or counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.errors import DataError, RecipeError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.kodf import KODF
from verisight.data.manifest import Manifest


def read(root: Path, *names: str, **options: object) -> Manifest:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return KODF(DataSpec(path=str(root), layout="kodf", splits=(0.5, 0.0, 0.5), options=options))


def row(made: Manifest, name: str) -> dict[str, object]:
    return next(r for r in made.table.to_pylist() if name in r["path"])


def test_a_fake_names_target_donor_and_method(tmp_path: Path) -> None:
    made = read(tmp_path, "a/100001_100002_5_0001.mp4", "b/100001_001.mp4", "b/100002_001.mp4")
    fake = row(made, "100001_100002_5_0001")
    assert (fake["label"], fake["subject"], fake["donor"], fake["generator"]) == (1, "100001", "100002", "audio-driven")
    assert row(made, "b/100001_001")["label"] == 0


def test_actors_of_twenty_hexadecimal_digits_are_people_too(tmp_path: Path) -> None:
    a, b = "0123456789abcdef0123", "fedcba98765432100123"
    made = read(tmp_path, f"{a}_001.mp4", f"{b}_002.mp4", f"{a}_{b}_3_0001.mp4")
    fake = row(made, f"{a}_{b}")
    assert (fake["subject"], fake["donor"], fake["generator"]) == (a, b, "fsgan")


@pytest.mark.parametrize(("code", "method"), [("1", "deepfacelab"), ("2", "faceswap"), ("3", "fsgan"), ("4", "fomm")])
def test_codes_are_methods(tmp_path: Path, code: str, method: str) -> None:
    made = read(tmp_path, f"100001_100002_{code}_0001.mp4", "100002_001.mp4")
    assert row(made, "100001_100002")["generator"] == method


def test_an_unknown_code_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the code 7 is no method of KoDF"):
        read(tmp_path, "100001_100002_7_0001.mp4")


def test_donors_who_cross_the_cut_are_counted_or_left_out(tmp_path: Path) -> None:
    people = [f"1000{n:02d}" for n in range(10)]
    names = [f"{p}_001.mp4" for p in people]
    names += [f"{a}_{b}_1_0001.mp4" for a in people for b in people if a != b]
    loose, strict = read(tmp_path, *names), read(tmp_path, split="strict")
    home = dict(zip(loose.column("subject"), loose.column("split"), strict=True))
    mixed = sum(d != "" and home[d] != s for d, s in zip(loose.column("donor"), loose.column("split"), strict=True))
    assert mixed == 2 * 5 * 5  # ten people cut in half: each of five takes the faces of the other five
    assert any(f"fakes that join people of two splits (data.options.split=strict leaves them out): {mixed}" in n
               for n in loose.notes)  # fmt: skip
    assert len(strict) < len(loose)
    side: dict[str, str] = {}
    for r in strict.table.to_pylist():
        for who in (r["subject"], r["donor"]):
            assert not who or side.setdefault(who, r["split"]) == r["split"]
    assert any(f"left out: {len(loose) - len(strict)}" in note for note in strict.notes)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    KODF.tiny_copy(tmp_path)
    return tmp_path


def test_the_lists_give_split_pair_and_the_audio_driven_method(listed: Path) -> None:
    made = read(listed, split="official")
    fake = row(made, "100000_100002_3_")
    assert (fake["split"], fake["pair"]) == ("train", "100000_001")
    assert row(made, "_5_0001")["generator"] == "wav2lip"
    assert row(made, "clips/0123456789abcdef0123_001")["split"] == "test"


def test_lists_may_lie_elsewhere_and_their_absence_is_named(listed: Path) -> None:
    (listed / "lists").mkdir()
    for path in listed.glob("*.csv"):
        path.rename(listed / "lists" / path.name)
    assert len(read(listed, split="official", lists="lists")) == 18
    with pytest.raises(DataError, match=r"holds no lists of the AI-Hub copy; use data\.options\.split=target"):
        read(listed, split="official", lists="nowhere")


def test_a_clip_in_both_parts_is_refused(listed: Path) -> None:
    path = listed / "original_validation_videos.csv"
    path.write_text(path.read_text(encoding="utf-8-sig") + "100000_001,,\n", encoding="utf-8-sig")
    with pytest.raises(DataError, match="100000_001: stands in a list of training and in one of validation"):
        read(listed, split="official")


def test_a_list_without_the_column_of_names_is_refused(listed: Path) -> None:
    (listed / "original_training_videos.csv").write_text("id\n100000_001\n")
    with pytest.raises(DataError, match="has no column '영상ID'"):
        read(listed, split="official")


def test_an_unknown_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.options of kodf: 'split'"):
        read(tmp_path, split="random")

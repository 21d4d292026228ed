"""FaceForensics++: names, official and strict splits, on made-up lists of the published form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from verisight.core.errors import DataError, RecipeError
from verisight.core.recipe import DataSpec
from verisight.data.layouts.ffpp import FFPP
from verisight.data.manifest import SPLITS, Manifest

Pairs = Sequence[Sequence[str]]
FOUR = {"train": [["519", "515"]], "val": [["004", "982"]], "test": [["953", "974"], ["634", "660"]]}


def lay(
    root: Path, lists: Mapping[str, Pairs], *, methods: Sequence[str] = ("Deepfakes",), quality: str = "c23"
) -> None:
    """Empty files of the published names: both directions of every pair."""
    pairs = [pair for some in lists.values() for pair in some]
    for folder in ("original_sequences/youtube", *(f"manipulated_sequences/{m}" for m in methods)):
        (root / folder / quality / "videos").mkdir(parents=True)
    for a, b in pairs:
        for target, source in ((a, b), (b, a)):
            (root / f"original_sequences/youtube/{quality}/videos/{target}.mp4").touch()
            for method in methods:
                (root / f"manipulated_sequences/{method}/{quality}/videos/{target}_{source}.mp4").touch()


def write_lists(folder: Path, lists: Mapping[str, Pairs]) -> None:
    folder.mkdir(exist_ok=True)
    for split, pairs in lists.items():
        (folder / f"{split}.json").write_text(json.dumps(pairs))


def read(root: Path, splits: tuple[float, float, float] = (0.7, 0.15, 0.15), **options: Any) -> Manifest:
    return FFPP(DataSpec(path=str(root), layout="ffpp", options=options, splits=splits))


def rows_of(manifest: Manifest) -> dict[str, dict[str, Any]]:
    return {row["video"]: row for row in manifest.table.to_pylist()}


@pytest.fixture(scope="module")
def thousand() -> dict[str, Pairs]:
    """Made-up lists of the published form: 360, 70 and 70 pairs that use the ids 000 to 999 once each."""
    ids = [f"{i:03d}" for i in np.random.default_rng(0).permutation(1000)]
    pairs = [ids[i : i + 2] for i in range(0, 1000, 2)]
    return {"train": pairs[:360], "val": pairs[360:430], "test": pairs[430:]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, thousand: dict[str, Pairs]) -> Path:
    root = tmp_path_factory.mktemp("ffpp")
    lay(root, thousand, methods=("FaceSwap",))
    write_lists(root / "splits", thousand)
    return root


@pytest.mark.parametrize(
    ("name", "target", "source", "split"),
    [
        ("953_974", "953", "974", "test"),
        ("519_515", "519", "515", "train"),
        ("004_982", "004", "982", "val"),
        ("634_660", "634", "660", "test"),
    ],
)
def test_a_fake_names_target_then_source(tmp_path: Path, name: str, target: str, source: str, split: str) -> None:
    lay(tmp_path, FOUR)
    write_lists(tmp_path / "splits", FOUR)
    row = rows_of(read(tmp_path, methods="Deepfakes"))[f"Deepfakes/c23/{name}"]
    assert (row["subject"], row["donor"], row["pair"], row["split"]) == (target, source, target, split)
    assert (row["label"], row["generator"], row["quality"], row["source"]) == (1, "Deepfakes", "c23", "")


def test_the_real_of_a_fake_shares_its_pair_and_group(tmp_path: Path) -> None:
    lay(tmp_path, FOUR)
    write_lists(tmp_path, FOUR)  # in the root, as some copies have them
    rows = rows_of(read(tmp_path, methods="Deepfakes"))
    real, fake = rows["youtube/c23/953"], rows["Deepfakes/c23/953_974"]
    assert (real["label"], real["generator"], real["source"], real["donor"]) == (0, "real", "youtube", "")
    assert real["pair"] == fake["pair"]
    assert real["group"] == fake["group"] == rows["youtube/c23/974"]["group"]


def test_equal_names_of_two_methods_and_qualities_are_different_videos(tmp_path: Path) -> None:
    for quality in ("c23", "c40"):
        lay(tmp_path, FOUR, methods=("Deepfakes", "Face2Face"), quality=quality)
    made = read(tmp_path, (0, 0, 1), methods=["Deepfakes", "Face2Face"], quality=["c23", "c40"])
    assert len(made) == len(set(made.column("video"))) == 2 * 8 + 4 * 8
    assert len(set(made.column("group"))) == 4


@pytest.mark.parametrize("folder", ["raw", "c0"])
def test_raw_is_also_written_c0(tmp_path: Path, folder: str) -> None:
    lay(tmp_path, FOUR, quality=folder)
    made = read(tmp_path, (0, 0, 1), quality="raw", methods=["Deepfakes"])
    assert set(made.column("quality")) == {"raw"}
    assert len(made) == 16


def test_the_official_split_has_720_140_140_clips_of_each_kind(whole: Path, thousand: dict[str, Pairs]) -> None:
    made = read(whole, methods="FaceSwap")
    assert made.notes == ()  # nothing to complain about
    kinds = Counter(zip(made.column("generator"), made.column("split"), strict=True))
    sizes = {"train": 720, "val": 140, "test": 140}
    assert kinds == {(kind, split): sizes[split] for kind in ("real", "FaceSwap") for split in SPLITS}
    reals = made.column("subject")[made.column("label") == 0]
    assert sorted(reals) == [f"{i:03d}" for i in range(1000)]
    assert len(set(made.column("group"))) == 500


def test_strict_joins_sequences_of_one_youtube_video(whole: Path, thousand: dict[str, Pairs]) -> None:
    """22 videos with 45 sequences among 977: seven cross the splits, one has both sequences in one pair."""
    train, val, test = thousand["train"], thousand["val"], thousand["test"]
    shared: list[tuple[str, ...]] = [(train[i][0], val[i][0]) for i in range(5)]
    shared += [(train[5 + i][0], test[i][0]) for i in range(2)]
    shared += [(train[20 + 2 * i][0], train[21 + 2 * i][0]) for i in range(13)]
    shared += [(train[10][0], train[10][1]), (train[11][0], train[12][0], train[13][1])]
    video = {id: f"only-{id} 0" for pairs in thousand.values() for pair in pairs for id in pair}
    for number, ids in enumerate(shared):
        video.update({id: f"shared{number} {i}" for i, id in enumerate(ids)})
    assert len({name.split()[0] for name in video.values()}) == 977
    table = whole / "conversion_dict.json"
    table.write_text(json.dumps(video))
    try:
        made = read(whole, split="strict", methods="FaceSwap")
    finally:
        table.unlink()
    assert len(set(made.column("group"))) == 478
    sizes = Counter(made.column("split")[made.column("label") == 0])
    assert sizes == {"train": 2 * 353, "val": 140, "test": 140}
    assert len(made.notes) == 1
    assert made.notes[0].startswith("clips left out because a later split has others of the same YouTube video: 28,")


def test_strict_without_the_table_says_what_it_cannot_see(whole: Path) -> None:
    made = read(whole, split="strict", methods="FaceSwap")
    assert any("conversion_dict.json is absent" in note for note in made.notes)


def test_without_lists_pairs_are_cut_whole_and_a_note_says_so(tmp_path: Path) -> None:
    lay(tmp_path, FOUR)
    write_lists(tmp_path, {"train": FOUR["train"]})  # one of three is none
    made = read(tmp_path, (0.5, 0.25, 0.25), methods="Deepfakes")
    assert any("pairs cut by splits=(0.5, 0.25, 0.25)" in note for note in made.notes)
    assert Counter(made.column("split")) == {"train": 8, "val": 4, "test": 4}
    assert len(set(zip(made.column("group"), made.column("split"), strict=True))) == 4


def test_what_the_lists_do_not_name_is_left_out_and_what_is_absent_counted(tmp_path: Path) -> None:
    lay(tmp_path, {**FOUR, "more": [["100", "101"]]})
    write_lists(tmp_path / "splits", FOUR)
    videos = tmp_path / "manipulated_sequences/Deepfakes/c23/videos"
    (videos / "953_974.mp4").unlink()
    (videos / "953_519.mp4").touch()  # joins a test and a train id
    notes = read(tmp_path, methods="Deepfakes").notes
    assert any(note.startswith("clips left out because no split list names them: 5, such as") for note in notes)
    assert "clips of the split lists that are absent: 1, such as Deepfakes/c23/953_974" in notes


@pytest.mark.parametrize(
    ("lists", "named"),
    [
        ({**FOUR, "val": [["953", "982"]]}, "sequence 953 also stands in val.json"),
        ({**FOUR, "val": [["004"]]}, "val.json: must be a list of pairs"),
        ({**FOUR, "val": [["4", "982"]]}, "val.json: must be a list of pairs"),
        ({**FOUR, "val": {"004": "982"}}, "val.json: must be a list of pairs"),
    ],
)
def test_lists_that_do_not_hold_together_are_refused(tmp_path: Path, lists: dict[str, Any], named: str) -> None:
    lay(tmp_path, FOUR)
    write_lists(tmp_path / "splits", lists)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert named in str(caught.value)


def test_the_masks_and_the_other_set_in_the_folder_are_no_clips(tmp_path: Path) -> None:
    lay(tmp_path, FOUR)
    for odd in ("Deepfakes/masks/videos", "Deepfakes/c23/videos/masks", "DeepFakeDetection/c23/videos"):
        (tmp_path / "manipulated_sequences" / odd).mkdir(parents=True)
        (tmp_path / "manipulated_sequences" / odd / "953_974.mp4").touch()
    made = read(tmp_path, (0, 0, 1))
    assert len(made) == 16
    assert not any("not named like" in note for note in made.notes)


def test_another_compression_than_the_one_there_is_refused_with_the_way_out(tmp_path: Path) -> None:
    lay(tmp_path, FOUR)
    with pytest.raises(DataError, match=r"holds no clips at c40 .*data\.options\.quality"):
        read(tmp_path, quality="c40")
    with pytest.raises(RecipeError, match="c22"):
        read(tmp_path, quality="c22")
    with pytest.raises(RecipeError, match="quality"):
        read(tmp_path, quality=[])

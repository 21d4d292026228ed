"""DFD: actors and scenes in names, and a cut by actors."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

from verisight.core.recipe import DataSpec
from verisight.data.layouts.dfd import DFD
from verisight.data.manifest import Manifest

ACTORS = [f"{i:02d}" for i in range(1, 13)]


def lay(root: Path, actors: list[str]) -> None:
    """Every actor in one scene, swapped with every other."""
    reals, fakes = (
        root / "original_sequences/actors/c23/videos",
        root / "manipulated_sequences/DeepFakeDetection/c23/videos",
    )
    reals.mkdir(parents=True)
    fakes.mkdir(parents=True)
    for actor in actors:
        (reals / f"{actor}__exit_phone_room.mp4").touch()
    for i, (target, source) in enumerate(permutations(actors, 2)):
        (fakes / f"{target}_{source}__exit_phone_room__{i:08d}.mp4").touch()


def read(root: Path, splits: tuple[float, float, float]) -> Manifest:
    return DFD(DataSpec(path=str(root), layout="dfd", splits=splits))


def row(root: Path, folder: str, name: str) -> dict[str, Any]:
    path = root / folder / "c23/videos" / f"{name}.mp4"
    path.parent.mkdir(parents=True)
    path.touch()
    return dict(read(root, (0, 0, 1)).table.to_pylist()[0])


def test_a_fake_names_target_source_scene_and_experiment(tmp_path: Path) -> None:
    name = "24_23__outside_talking_still_laughing__YR5OVD4S"
    fake = row(tmp_path, "manipulated_sequences/DeepFakeDetection", name)
    assert (fake["label"], fake["subject"], fake["donor"]) == (1, "24", "23")
    assert fake["pair"] == "24__outside_talking_still_laughing"
    assert fake["video"] == f"DeepFakeDetection/c23/{name}"


def test_a_real_is_the_pair_of_its_fakes(tmp_path: Path) -> None:
    real = row(tmp_path, "original_sequences/actors", "24__outside_talking_still_laughing")
    assert (real["label"], real["subject"], real["donor"], real["source"]) == (0, "24", "", "actors")
    assert real["pair"] == "24__outside_talking_still_laughing"


def test_no_actor_stands_in_two_splits_and_the_mixed_fakes_are_counted(tmp_path: Path) -> None:
    lay(tmp_path, ACTORS)
    made = read(tmp_path, (0.5, 0.25, 0.25))
    home: dict[str, str] = {}
    for name in ("subject", "donor"):
        for person, split in zip(made.column(name), made.column("split"), strict=True):
            assert not person or home.setdefault(person, split) == split
    assert set(home.values()) == {"train", "val", "test"}
    left_out = len(ACTORS) + len(ACTORS) * (len(ACTORS) - 1) - len(made)
    assert left_out > 0
    assert any(f"stand in different splits: {left_out}," in note for note in made.notes)


def test_all_can_be_tested_on_with_a_group_for_each_actor(tmp_path: Path) -> None:
    lay(tmp_path, ACTORS)
    made = read(tmp_path, (0, 0, 1))
    assert len(made) == 12 + 12 * 11
    assert set(made.column("split")) == {"test"}
    assert sorted(set(made.column("group"))) == ACTORS

"""One folder of the user's, and it is the one that the user names."""

from __future__ import annotations

from pathlib import Path

import pytest

from verisight.core.places import WEIGHTS, cache_folder


def test_the_cache_is_where_the_variable_says_and_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VERISIGHT_CACHE", str(tmp_path / "a" / "b"))
    assert cache_folder() == tmp_path / "a" / "b"
    assert cache_folder().is_dir()


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_it_is_the_platforms(
    value: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, **_: tmp_path / name)
    monkeypatch.delenv("VERISIGHT_CACHE")
    if value is not None:
        monkeypatch.setenv("VERISIGHT_CACHE", value)
    assert cache_folder() == tmp_path / "verisight"


def test_the_package_ships_its_finder_with_its_licence() -> None:
    assert (WEIGHTS / "yunet.onnx").is_file()
    assert "Apache License" in next(WEIGHTS.glob("LICENSE-yunet*")).read_text()

"""Short ways to write a file, read it, and ask why it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from verisight.core.errors import InputError
from verisight.data.media import Frame, Media, open_media


def put(folder: Path, content: bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(path: Path, **options: Any) -> tuple[Media, list[Frame]]:
    media = open_media(path, **options)
    return media, list(media)


def reason(path: Path, **options: Any) -> str:
    """The reason why a file is refused."""
    with pytest.raises(InputError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    return caught.value.reason

"""Where files live: what the package ships, and the one folder of the user's that it writes to."""

from __future__ import annotations

import os
from pathlib import Path

WEIGHTS = Path(__file__).parents[1] / "weights"


def cache_folder() -> Path:
    """`$VERISIGHT_CACHE`, or the platform's cache folder: exported networks, decoded crops, the scan ledger."""
    from platformdirs import user_cache_path

    folder = Path(os.environ.get("VERISIGHT_CACHE") or user_cache_path("verisight", appauthor=False))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def stamp(path: Path) -> str:
    """What tells a file from its earlier or later self without reading it: its size and its time of change."""
    try:
        facts = path.stat()
    except OSError:
        return "absent"
    return f"{facts.st_size} {facts.st_mtime_ns}"

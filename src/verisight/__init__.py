"""Verisight: can I trust this face, this clip, this signal, this model?

Importing the package is cheap: names below load what they need when first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verisight.core.detector import Detector
    from verisight.data.manifest import Manifest
    from verisight.scan.pipeline import scan_files

__version__ = _version("verisight")
__all__ = ["Detector", "Manifest", "__version__", "scan_files"]

_HOME = {
    "Detector": "verisight.core.detector",
    "Manifest": "verisight.data.manifest",
    "scan_files": "verisight.scan.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'verisight' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)

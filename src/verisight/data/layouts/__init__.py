"""One file a data set: files -> Manifest."""

from verisight.core import catalogue
from verisight.core.recipe import DataSpec
from verisight.data.manifest import Manifest


def read_layout(spec: DataSpec, seed: int = 0) -> Manifest:
    """The manifest of `spec.path`, read by the layout that the spec names."""
    manifest: Manifest = catalogue.find(spec.layout, "layout").load()(spec, seed)
    return manifest

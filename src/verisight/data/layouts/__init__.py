"""One file a data set: files -> Manifest."""

import numpy as np

from verisight.core import catalogue
from verisight.core.errors import DataError, nearest
from verisight.core.recipe import DataSpec
from verisight.data.manifest import Manifest


def read_layout(spec: DataSpec, seed: int = 0) -> Manifest:
    """The manifest of `spec.path`, read by the layout that the spec names, without what is to be left out."""
    manifest: Manifest = catalogue.find(spec.layout, "layout").load()(spec, seed)
    return without(manifest, spec) if spec.leave_out else manifest


def without(manifest: Manifest, spec: DataSpec) -> Manifest:
    """Drop the generators of `spec.leave_out` and the reals that `spec.matched` names for them.

    Raises
    ------
    DataError : the data hold no such generator.
    """
    known = set(manifest.column("generator").tolist())
    for name in spec.leave_out:
        if name not in known:
            raise DataError(f"data.leave_out={name}", "the data hold no such generator", nearest(name, known))
    reals = {source for name in spec.leave_out for source in spec.matched.get(name, ())}
    dropped = np.isin(manifest.column("generator"), spec.leave_out) | (
        (manifest.column("label") == 0) & np.isin(manifest.column("source"), sorted(reals))
    )
    return manifest.where(~dropped)

"""`data.key=value` on the command line, for verbs that take no recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from verisight.core.errors import DataError

if TYPE_CHECKING:
    from verisight.core.recipe import DataSpec


def data_spec(path: str, layout: str, overrides: Sequence[str], where: str) -> DataSpec:
    """The data block of `overrides`, for a path and a layout that are given apart.

    Raises
    ------
    DataError : something else than the data block. RecipeError : a key or value that it refuses.
    """
    from omegaconf import OmegaConf

    from verisight.core.recipe import DataSpec, validate

    for override in overrides:
        if not override.startswith("data.") or "=" not in override:
            raise DataError(override, "only the data block can be given here", "use data.KEY=VALUE")
    given: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))
    return validate(DataSpec, {**given.get("data", {}), "layout": layout, "path": path}, where)

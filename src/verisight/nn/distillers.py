"""One interface for everything that pulls a student towards a teacher, with trained parts of its own or without.

    loss = distiller(student, teacher, label, index)        a scalar, unweighted

What a distiller trains (a regressor, a head) is trained with the student and thrown away with the teacher. The weights
in use, with which RepDistiller (Tian, Krishnan, Isola, ICLR 2020) or the authors of ADD ran each, stand in
USUAL_WEIGHT: they are for other data and other schedules, and to be tuned on a select split.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from inspect import signature
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from verisight.core.errors import RecipeError, nearest
from verisight.ops import distill
from verisight.ops.transport import directions
from verisight.ops.views import multi_view, partners_of


class Seen(NamedTuple):
    """What a network saw of a batch.

    maps : taps (B, C_l, H_l, W_l), in order. pooled : (B, D). logits : (B,) or (B, 2).
    """

    maps: tuple[Tensor, ...]
    pooled: Tensor
    logits: Tensor


class Distiller(torch.nn.Module, ABC):
    """Base of all; `student` and `teacher` of the constructor show the shapes.

    items : largest index of a training sample, plus 1. seed : of what is drawn.
    """

    aside: dict[str, Tensor]  # of the last call: what is logged

    def __init__(self, student: Seen, teacher: Seen, items: int, seed: int) -> None:
        super().__init__()
        self.aside = {}

    @abstractmethod
    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor: ...

    def make_room(self, items: int) -> None:
        """For a memory of so many training samples, where there is one; before training begins."""


class KD(Distiller):
    def __init__(self, student: Seen, teacher: Seen, items: int, seed: int, *, tau: float = 4.0) -> None:
        super().__init__(student, teacher, items, seed)
        self.tau = tau

    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        return distill.kd(student.logits, teacher.logits, self.tau)


class FrequencyAttention(Distiller):
    """ADD's first part. layers : weight of each tap; the paper's of the four stages of a ResNet."""

    def __init__(
        self,
        student: Seen,
        teacher: Seen,
        items: int,
        seed: int,
        *,
        layers: tuple[float, ...] = (0, 1, 2, 0.25),
        **how: Any,
    ) -> None:
        super().__init__(student, teacher, items, seed)
        self.layers, self.how = _layers(layers, student), _known(distill.frequency_attention, how)
        for w, S, T in zip(self.layers, student.maps, teacher.maps, strict=True):
            if w and S.shape[1:] != T.shape[1:]:
                raise RecipeError("fr", f"student and teacher maps are {tuple(S.shape[1:])} and {tuple(T.shape[1:])}")

    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        used = [(w, S, T) for w, S, T in zip(self.layers, student.maps, teacher.maps, strict=True) if w]
        found = [(w, distill.frequency_attention(S, T, **self.how)) for w, S, T in used]
        self.aside = {
            "fr_heaviest": torch.stack([f.heaviest for _, f in found]).max(),
            "fr_clamped": torch.stack([f.clamped for _, f in found]).mean(),
        }
        return torch.stack([w * f.loss for w, f in found]).sum()


class MultiViewAttention(Distiller):
    """ADD's second part. views : K. redraw : new views every step, as the released code has it; else the first ones."""

    def __init__(
        self,
        student: Seen,
        teacher: Seen,
        items: int,
        seed: int,
        *,
        layers: tuple[float, ...] = (0, 0.5, 2.5, 2),
        views: int = 12,
        redraw: bool = True,
        **how: Any,
    ) -> None:
        super().__init__(student, teacher, items, seed)
        self.layers, self.how = _layers(layers, student), _known(multi_view, how)
        self.views, self.redraw, self.seed = views, redraw, seed
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        calls: Any = self.calls
        drawn = torch.Generator().manual_seed(hash((self.seed, int(calls))) % 2**63)
        if self.training:
            calls += 1
        theta = directions(3, self.views, drawn if self.redraw else torch.Generator().manual_seed(self.seed))
        partners = partners_of(label, drawn)
        used = [(w, S, T) for w, S, T in zip(self.layers, student.maps, teacher.maps, strict=True) if w]
        found = [(w, multi_view(S, T, theta, partners, **self.how)) for w, S, T in used]
        self.aside = {
            "mv_transport": torch.stack([f.transport.detach() for _, f in found]).mean(),
            "mv_contrastive": torch.stack([f.contrastive.detach() for _, f in found]).mean(),
            "mv_active": torch.stack([f.active for _, f in found]).mean(),
            "mv_skipped": torch.as_tensor(float(any(f.skipped for _, f in found)), device=label.device),
        }
        return torch.stack([w * f.loss for w, f in found]).sum()


class FitNet(Distiller):
    """One map, through a trained regressor: convolution, normalisation, ReLU."""

    def __init__(self, student: Seen, teacher: Seen, items: int, seed: int, *, layer: int = 1) -> None:
        super().__init__(student, teacher, items, seed)
        self.layer = layer
        S, T = student.maps[layer], teacher.maps[layer]
        C, D, h, k = S.shape[1], T.shape[1], S.shape[2], T.shape[2]
        if h == 2 * k:
            fit: torch.nn.Module = torch.nn.Conv2d(C, D, 3, stride=2, padding=1)
        elif 2 * h == k:
            fit = torch.nn.ConvTranspose2d(C, D, 4, stride=2, padding=1)
        elif h >= k:
            fit = torch.nn.Conv2d(C, D, 1 + h - k)
        else:
            raise RecipeError("fitnet", f"no regressor from maps of {h} px to {k} px", "choose another layer")
        self.regressor = torch.nn.Sequential(fit, torch.nn.BatchNorm2d(D), torch.nn.ReLU())

    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        return distill.fitnet(self.regressor(student.maps[self.layer]), teacher.maps[self.layer])


class FitNetCos(Distiller):
    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        return distill.fitnet_cos(student.pooled, teacher.pooled)


class AT(Distiller):
    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        each = [distill.attention_transfer(S, T) for S, T in zip(student.maps, teacher.maps, strict=True)]
        return torch.stack(each).sum()


class SP(Distiller):
    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        return distill.similarity_preserving(student.maps[-1], teacher.maps[-1])


class NST(Distiller):
    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        return torch.stack([distill.nst(S, T) for S, T in zip(student.maps, teacher.maps, strict=True)]).sum()


class RKD(Distiller):
    def __init__(
        self, student: Seen, teacher: Seen, items: int, seed: int, *, distance: float = 25.0, angle: float = 50.0
    ) -> None:
        super().__init__(student, teacher, items, seed)
        self.distance, self.angle = distance, angle

    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        found = distill.rkd(student.pooled, teacher.pooled)
        return self.distance * found.distance + self.angle * found.angle


class PKT(Distiller):
    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        return distill.pkt(student.pooled, teacher.pooled)


class CC(Distiller):
    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        return distill.cc(student.pooled, teacher.pooled)


class VID(Distiller):
    """Every map: a trained mean (three convolutions) and variance."""

    def __init__(self, student: Seen, teacher: Seen, items: int, seed: int, *, start: float = 5.0) -> None:
        super().__init__(student, teacher, items, seed)
        self.means, self.raw = torch.nn.ModuleList(), torch.nn.ParameterList()
        for S, T in zip(student.maps, teacher.maps, strict=True):
            if S.shape[2:] != T.shape[2:]:
                raise RecipeError("vid", f"maps of {tuple(S.shape[2:])} and {tuple(T.shape[2:])} px")
            C, D = S.shape[1], T.shape[1]
            layers = [torch.nn.Conv2d(a, b, 1, bias=False) for a, b in ((C, D), (D, D), (D, D))]
            self.means.append(torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2]))
            v = torch.full((D,), start - 1e-5).expm1().log()  # softplus of it is the start
            self.raw.append(torch.nn.Parameter(v))

    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        each = [
            distill.vid(mean(S), T, softplus(raw) + 1e-5)
            for mean, raw, S, T in zip(self.means, self.raw, student.maps, teacher.maps, strict=True)
        ]
        return torch.stack(each).sum()


class NonLocal(Distiller):
    """Summed squared error of the last maps after one trained attention block on both; its scale begins at 0, where it
    is the error itself. What the block gives for the teacher is not detached from the block, as in ADD's code."""

    def __init__(self, student: Seen, teacher: Seen, items: int, seed: int) -> None:
        super().__init__(student, teacher, items, seed)
        C = student.maps[-1].shape[1]
        if student.maps[-1].shape[1:] != teacher.maps[-1].shape[1:]:
            raise RecipeError("nonlocal", "student and teacher have last maps of unlike shape")
        self.query, self.key = (torch.nn.Conv2d(C, max(1, C // 8), 1) for _ in range(2))
        self.value, self.scale = torch.nn.Conv2d(C, C, 1), torch.nn.Parameter(torch.zeros(1))

    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        S, T = student.maps[-1], teacher.maps[-1].detach()
        return (self._attended(S) - self._attended(T)).square().flatten(1).sum(dim=1).mean()

    def _attended(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).flatten(2) for part in (self.query, self.key, self.value))
        weights = (q.transpose(1, 2) @ k).softmax(dim=2)
        mixed: Tensor = (v @ weights.transpose(1, 2)).view_as(x)
        return self.scale * mixed + x


class CRD(Distiller):
    """Contrastive representation distillation: a memory of one embedding a training sample for either side.

    negatives : drawn from the memory, whatever their class. The partition constants Z are fixed at the first batch.
    """

    TAU, MOMENTUM = 0.07, 0.5

    def __init__(
        self, student: Seen, teacher: Seen, items: int, seed: int, *, negatives: int = 16384, width: int = 128
    ) -> None:
        super().__init__(student, teacher, items, seed)
        self.most, self.width, self.seed = negatives, width, seed
        self.heads = torch.nn.ModuleList([torch.nn.Linear(x.pooled.shape[1], width) for x in (student, teacher)])
        self.register_buffer("Z", torch.full((2,), -1.0))
        self.make_room(items)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def make_room(self, items: int) -> None:
        self.items, self.negatives = items, min(self.most, items)
        drawn = torch.Generator().manual_seed(self.seed)
        bound = (self.width / 3) ** -0.5
        self.register_buffer("memory", (torch.rand(2, items, self.width, generator=drawn) * 2 - 1) * bound)

    def forward(self, student: Seen, teacher: Seen, label: Tensor, index: Tensor) -> Tensor:
        memory, Z, calls = self.memory, self.Z, self.calls
        assert isinstance(memory, Tensor)
        assert isinstance(Z, Tensor)
        assert isinstance(calls, Tensor)
        pooled = (student.pooled, teacher.pooled.detach())
        e = [normalize(head(x), dim=1) for head, x in zip(self.heads, pooled, strict=True)]
        drawn = torch.Generator().manual_seed(hash((self.seed, int(calls))) % 2**63)
        rows = torch.randint(self.items, (len(index), self.negatives), generator=drawn).to(index.device)
        sides = []
        for mine in (0, 1):
            others = torch.cat([memory[1 - mine][index][:, None], memory[1 - mine][rows]], dim=1)
            u = (others @ e[mine][:, :, None]).squeeze(2).div(self.TAU).exp()
            scale = float(Z[mine]) if Z[mine] > 0 else float(u.detach().mean()) * self.items
            if self.training and Z[mine] < 0:
                Z[mine] = scale
            u = u / scale
            sides.append(distill.crd_side(u[:, 0], u[:, 1:], self.negatives / self.items))
        if self.training:
            calls += 1
            with torch.no_grad():
                for side in (0, 1):
                    moved = self.MOMENTUM * memory[side][index] + (1 - self.MOMENTUM) * e[side].detach()
                    memory[side, index] = normalize(moved, dim=1).to(memory.dtype)
        return sides[0] + sides[1]


def _known(loss: Callable[..., Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Arguments that the loss takes by name; others are refused before training, as Python refuses them."""
    taken = [name for name, each in signature(loss).parameters.items() if each.kind is each.KEYWORD_ONLY]
    for name in settings:
        if name not in taken:
            raise TypeError(f"no setting '{name}'; {nearest(name, taken)}")
    return settings


def _layers(weights: tuple[float, ...], seen: Seen) -> tuple[float, ...]:
    if len(weights) != len(seen.maps):
        raise RecipeError("layers", f"{len(weights)} weights for {len(seen.maps)} taps")
    if not any(weights):
        raise RecipeError("layers", "every weight is 0", "leave the loss out")
    return tuple(weights)


DISTILLERS: Mapping[str, type[Distiller]] = MappingProxyType(
    {
        "fr": FrequencyAttention,
        "mv": MultiViewAttention,
        "kd": KD,
        "fitnet": FitNet,
        "fitnet-cos": FitNetCos,
        "at": AT,
        "sp": SP,
        "nst": NST,
        "rkd": RKD,
        "pkt": PKT,
        "vid": VID,
        "cc": CC,
        "crd": CRD,
        "nonlocal": NonLocal,
    }
)
USUAL_WEIGHT: Mapping[str, float] = MappingProxyType(
    {"fr": 1, "mv": 16, "kd": 9, "fitnet": 100, "fitnet-cos": 16, "at": 1000, "sp": 3000, "nst": 50, "rkd": 1,
     "pkt": 30000, "vid": 1, "cc": 0.02, "crd": 0.8, "nonlocal": 16}
)  # fmt: skip


def distiller(
    name: str, student: Seen, teacher: Seen, items: int, seed: int = 0, settings: Mapping[str, Any] | None = None
) -> Distiller:
    """The distiller of this name for networks that see such tensors.

    Raises
    ------
    RecipeError : no such name (answered with the nearest), or a setting that it does not know or cannot use.
    """
    if name not in DISTILLERS:
        raise RecipeError(f"distil '{name}'", "no distiller of this name", nearest(name, DISTILLERS))
    try:
        return DISTILLERS[name](student, teacher, items, seed, **(settings or {}))
    except TypeError as error:
        raise RecipeError(f"distil '{name}'", str(error)) from error

"""The gradient of a step is that of the mean over its rows, whatever pieces and processes they come in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from verisight.optim.gradient import gradient, norm, shifted
from verisight.optim.plain import Plain
from verisight.optim.rule import Losses, UpdateRule
from verisight.optim.sharpness import SAM
from verisight.testing.ranks import on_two_ranks

ROWS = 16


def network() -> torch.nn.Sequential:
    """Without any layer that looks at more than its row; its filters lie in memory as Lightning's do here."""
    torch.manual_seed(0)
    made = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 4 * 4, 1)
    )
    return made.to(memory_format=torch.channels_last)


def rows() -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(1)
    return torch.randn(ROWS, 3, 6, 6, generator=made), torch.rand(ROWS, generator=made).round()


def closure_of(model: torch.nn.Module, pieces: Sequence[slice]) -> Callable[[], Iterable[Losses]]:
    inputs, target = rows()

    def closure() -> Iterable[Losses]:
        for piece in pieces:
            scores = model(inputs[piece]).squeeze(1)
            parts = {"main": cross_entropy(scores, target[piece]), "small": 0.1 * scores.square().mean()}
            yield Losses(parts, rows=len(scores))

    return closure


def cuts(*sizes: int) -> list[slice]:
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def steps(rule: UpdateRule, pieces: Sequence[slice], number: int = 4) -> tuple[list[Tensor], Losses]:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(number):
        losses = rule.step(closure_of(model, pieces), list(model.parameters()), optimizer)
    return [p.detach() for p in model.parameters()], losses


# --- pieces ---


def test_one_piece_is_what_backward_gives() -> None:
    model = network()
    (losses,) = closure_of(model, [slice(None)])()
    losses.total.backward()
    expected = [p.grad for p in model.parameters()]
    _, found = gradient(closure_of(model, [slice(None)]), list(model.parameters()))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_pieces_weigh_what_they_have_rows(sizes: list[int]) -> None:
    """On a mean of squares the gradient has a closed form; a mean of the pieces' means would not meet it."""
    x = torch.arange(1, sum(sizes) + 1, dtype=torch.float64)
    w = Parameter(torch.tensor(0.5, dtype=torch.float64))
    losses, (g,) = gradient(
        lambda: (Losses({"l": (w * x[c]).square().mean()}, rows=len(x[c])) for c in cuts(*sizes)), [w]
    )
    assert float(g) == pytest.approx(2 * 0.5 * float(x.square().mean()))
    assert float(losses.parts["l"]) == pytest.approx(0.25 * float(x.square().mean()))
    assert losses.rows == sum(sizes)


@pytest.mark.parametrize("rule", [Plain(), SAM(0.5)], ids=["plain", "sam"])
def test_steps_in_pieces_of_three_three_and_two_are_those_of_eight(rule: UpdateRule) -> None:
    whole, losses = steps(rule, cuts(8))
    pieces, same = steps(rule, cuts(3, 3, 2))
    torch.testing.assert_close(pieces, whole, rtol=1e-5, atol=1e-6)
    assert {name: float(v) for name, v in same.parts.items()} == pytest.approx(
        {name: float(v) for name, v in losses.parts.items()}, rel=1e-5
    )


def test_a_part_that_some_pieces_lack_counts_as_zero_there() -> None:
    w = Parameter(torch.tensor(1.0))
    found, (g,) = gradient(lambda: [Losses({"a": 3 * w}, rows=1), Losses({"a": w, "b": 4 * w}, rows=3)], [w])
    assert {name: float(value) for name, value in found.parts.items()} == {"a": 1.5, "b": 3.0}
    assert float(g) == 4.5


def test_grad_stays_untouched_and_what_no_piece_uses_has_none() -> None:
    w, other, unused = (Parameter(torch.ones(2)) for _ in range(3))
    w.grad = torch.full((2,), 7.0)
    _, found = gradient(
        lambda: [Losses({"a": w.sum()}, rows=1), Losses({"a": other.sum()}, rows=3)], [w, other, unused]
    )
    assert found[0].tolist() == [0.25] * 2
    assert found[1].tolist() == [0.75] * 2
    assert found[2] is None
    assert w.grad.tolist() == [7.0] * 2


# --- processes ---


@pytest.mark.parametrize("rule", [Plain(), SAM(0.5)], ids=["plain", "sam"])
def test_two_processes_with_five_and_eleven_rows_are_one_with_sixteen(rule: UpdateRule) -> None:
    shares = [cuts(5), [slice(5, 10), slice(10, 16)]]

    def work(rank: int) -> dict[str, Tensor]:
        weights, losses = steps(rule, shares[rank])
        return {
            **{str(i): w for i, w in enumerate(weights)},
            "main": losses.parts["main"],
            "rows": torch.tensor(losses.rows),
        }

    first, second = on_two_ranks(work)
    weights, losses = steps(rule, cuts(5, 5, 6))
    for i, expected in enumerate(weights):
        torch.testing.assert_close(first[str(i)], expected, rtol=1e-5, atol=1e-6)
    assert all(first[name].equal(second[name]) for name in first)
    assert int(first["rows"]) == ROWS
    assert float(first["main"]) == pytest.approx(float(losses.parts["main"]), rel=1e-5)


def test_a_parameter_that_one_process_alone_uses_gets_its_share_everywhere() -> None:
    def work(rank: int) -> dict[str, Tensor]:
        both, one, none = (Parameter(torch.ones(1, 2, 2, 2)) for _ in range(3))
        loss = both.sum() * (rank + 1) + (one.sum() if rank else 0)
        _, found = gradient(lambda: [Losses({"l": loss}, rows=1 + 2 * rank)], [both, one, none])
        assert found[2] is None
        return {"both": found[0], "one": found[1]}

    for found in on_two_ranks(work):
        assert found["both"].unique().tolist() == [(1 * 1 + 3 * 2) / 4]
        assert found["one"].unique().tolist() == [3 / 4]


# --- norm, shifted ---


def test_the_norm_is_that_of_all_gradients_together() -> None:
    assert float(norm([torch.tensor([3.0]), None, torch.tensor([[4.0], [12.0]])])) == 13.0
    assert float(norm([None])) == 0.0
    assert norm([torch.ones(2, dtype=torch.float64)]).dtype == torch.float64
    assert float(norm([torch.full((10_000,), 300.0, dtype=torch.float16)])) == pytest.approx(30_000)
    assert float(norm([torch.ones(100_000, dtype=torch.bfloat16)])) == pytest.approx(math.sqrt(100_000))


def test_shifted_weights_come_back_bit_for_bit_even_after_an_error() -> None:
    p, q = Parameter(torch.tensor([0.1, 1e-20, -0.0])), Parameter(torch.ones(2))
    before = p.detach().clone()
    seen = []

    def fail() -> None:
        seen.extend([p.tolist(), q.tolist()])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), shifted([p, q], [torch.tensor([1e6, 1.0, 3.0]), None]):
        fail()
    assert seen == [[torch.tensor(0.1).add(1e6).item(), 1.0, 3.0], [1, 1]]
    assert p.detach().view(torch.int32).equal(before.view(torch.int32))
    assert p.requires_grad


def test_autocast_sees_shifted_weights() -> None:
    """It keeps bfloat16 copies of the weights, which a shift in place would leave as they were."""
    w, x = Parameter(torch.ones(2, 2)), torch.ones(2)
    with torch.autocast("cpu", torch.bfloat16):
        seen = [torch.nn.functional.linear(x, w)]
        with shifted([w], [torch.ones(2, 2)]):
            seen.append(torch.nn.functional.linear(x, w))
        seen.append(torch.nn.functional.linear(x, w))
    assert [s.tolist() for s in seen] == [[2, 2], [4, 4], [2, 2]]

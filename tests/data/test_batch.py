"""A batch is cut, moved and joined row by row, whatever columns it has."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verisight.data.batch import Batch, concatenate


def batch(rows: int, *, domain: bool = True) -> Batch:
    index = torch.arange(rows)
    return Batch(
        inputs=index[:, None].float() + 0.5,
        label=index % 2,
        domain=index % 3 if domain else None,
        index=index,
        extra={"points": index[:, None, None].float().expand(rows, 5, 2)},
    )


def equal(a: Batch, b: Batch) -> bool:
    columns = all(getattr(a, name).equal(getattr(b, name)) for name in ("inputs", "label", "index"))
    domains = a.domain is b.domain is None or (
        a.domain is not None and b.domain is not None and a.domain.equal(b.domain)
    )
    return (
        columns and domains and a.extra.keys() == b.extra.keys() and all(a.extra[k].equal(b.extra[k]) for k in a.extra)
    )


@given(st.integers(1, 30), st.integers(1, 12), st.booleans())
def test_parts_joined_again_are_the_batch(rows: int, size: int, domain: bool) -> None:
    whole = batch(rows, domain=domain)
    parts = list(whole.parts(size))
    assert [len(part) for part in parts] == [size] * (rows // size) + ([rows % size] if rows % size else [])
    assert equal(concatenate(parts), whole)


def test_a_batch_on_another_device_keeps_its_types() -> None:
    moved = batch(3).to("meta")
    assert {t.device.type for t in (moved.inputs, moved.label, moved.domain, moved.index, moved.extra["points"])} == {
        "meta"
    }
    assert (moved.inputs.dtype, moved.label.dtype, moved.index.dtype) == (torch.float32, torch.int64, torch.int64)


def test_a_batch_without_domains_stays_without() -> None:
    assert batch(3, domain=False).to("meta").domain is None
    assert concatenate([batch(2, domain=False)] * 2).domain is None


@pytest.mark.parametrize("order", [1, -1])
def test_batches_with_and_without_a_column_do_not_join(order: int) -> None:
    plain = Batch(inputs=torch.zeros(1, 1), label=torch.zeros(1), domain=torch.zeros(1), index=torch.zeros(1))
    with pytest.raises(ValueError, match="different columns"):
        concatenate([batch(1), plain][::order])
    with pytest.raises(ValueError, match="different columns"):
        concatenate([batch(1), batch(1, domain=False)][::order])

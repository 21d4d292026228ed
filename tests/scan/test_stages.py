"""Work ahead keeps its order and its bounds; scoring gathers files and keeps them apart."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verisight.core.checkpoint import Card
from verisight.core.detector import Detector
from verisight.core.preprocess import Preprocess
from verisight.data.decode.files import Frame
from verisight.data.faces import Face
from verisight.scan import stages
from verisight.scan.stages import BATCH, Finding, Scoring, ahead, start

PLAIN = Preprocess(size=16, mean=(0, 0, 0), std=(1, 1, 1))


def detector(scorer) -> Detector:
    card = Card(
        name="stub",
        method="test",
        task="deepfake",
        positive="fake",
        recipe={},
        preprocess=PLAIN,
        aggregate="mean-of-faces",
    )
    return Detector(card, scorer)


def crops(*levels: int) -> list[np.ndarray]:
    return [np.full((16, 16, 3), level, np.uint8) for level in levels]


# --- ahead ---


@given(st.integers(0, 12), st.integers(0, 4))
def test_ahead_keeps_the_order_and_takes_no_more_than_its_window(count: int, window: int) -> None:
    taken = []

    def items():
        for i in range(count):
            taken.append(i)
            yield i

    with ThreadPoolExecutor(3) as pool:
        for done, (item, square) in enumerate(ahead(pool, lambda i: i * i, items(), window=window)):
            assert (item, square) == (done, done * done)
            assert len(taken) <= done + 1 + window
    assert len(taken) == count


def test_a_fault_is_raised_where_its_item_would_come() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = ahead(pool, lambda i: 1 / i, [1, 0, 2], window=2)
        assert next(results) == (1, 1.0)
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_what_a_closed_pool_refuses_is_done_at_once() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    assert start(pool, max, 3, 5).result(timeout=0) == 5
    with pytest.raises(ZeroDivisionError):
        start(pool, lambda: 1 / 0).result(timeout=0)


def test_pictures_of_one_file_are_looked_at_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "CORES", 2)
    both = threading.Barrier(2, timeout=10)  # broken unless two are in hand at once

    def together(picture: np.ndarray) -> list[Face]:
        both.wait()
        return []

    finding = Finding(together)
    frames = [Frame(np.zeros((4, 4, 3), np.uint8), float(i)) for i in range(4)]
    assert [frame.time_s for frame, _ in finding.over(frames)] == [0, 1, 2, 3]


# --- scoring ---


def test_what_waits_while_a_batch_is_scored_makes_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scoring, "AT_ONCE", 1)
    free, begun, sizes = threading.Event(), threading.Event(), []

    def slow(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        begun.set()
        free.wait(10)
        return batch.mean(axis=(1, 2, 3)) * 255

    scoring = Scoring(detector(slow))
    first = scoring.submit(crops(1))
    begun.wait(10)
    rest = [scoring.submit(crops(*levels)) for levels in ([10, 20], [30], [40, 50, 60])]
    free.set()
    assert first.result(10).score == pytest.approx([1])
    said = [future.result(10).score.tolist() for future in rest]
    assert said == [pytest.approx([10, 20]), pytest.approx([30]), pytest.approx([40, 50, 60])]
    assert sizes == [1, 6]


def test_a_batch_never_grows_over_its_bound_and_a_request_is_never_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scoring, "AT_ONCE", 1)
    sizes = []

    def scorer(batch: np.ndarray) -> np.ndarray:
        time.sleep(0.01)
        sizes.append(len(batch))
        return batch.mean(axis=(1, 2, 3)) * 255

    scoring = Scoring(detector(scorer))
    wanted = [crops(*range(n)) for n in (40, 30, 20, 64, 1)]
    for asked, said in zip(wanted, [scoring.submit(each) for each in wanted], strict=True):
        assert said.result(10).score == pytest.approx(range(len(asked)), abs=1e-3)
    assert max(sizes) <= BATCH
    assert sum(sizes) == 155


def test_the_fault_of_one_file_stays_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scoring, "AT_ONCE", 1)
    free, begun = threading.Event(), threading.Event()

    def scorer(batch: np.ndarray) -> np.ndarray:
        begun.set()
        free.wait(10)
        if (batch * 255 > 250).any():
            raise ValueError("too bright")
        return batch.mean(axis=(1, 2, 3)) * 255

    scoring = Scoring(detector(scorer))
    scoring.submit(crops(0))
    begun.wait(10)
    good, bad, other = (scoring.submit(crops(level)) for level in (10, 255, 20))
    free.set()
    assert good.result(10).score == pytest.approx([10])
    assert other.result(10).score == pytest.approx([20])
    with pytest.raises(ValueError, match="too bright"):
        bad.result(10)


def test_novelty_goes_with_its_crop() -> None:
    card = Card(
        name="stub",
        method="test",
        task="deepfake",
        positive="fake",
        recipe={},
        preprocess=PLAIN,
        aggregate="mean-of-faces",
        novelty=(0.0, 100.0, 200.0),
    )
    both = Detector(card, lambda batch: (batch.mean(axis=(1, 2, 3)), batch.mean(axis=(1, 2, 3)) * 255))
    scoring = Scoring(both)
    one, other = scoring.submit(crops(50, 150)), scoring.submit(crops(100))
    assert one.result(10).novelty == pytest.approx([0.25, 0.75], abs=1e-3)
    assert other.result(10).novelty == pytest.approx([0.5], abs=1e-3)

"""A folder of hostile files, scanned as a whole: each gets a verdict, none ends the scan, the ledger is complete."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hostile import hostile_files
from PIL import Image

from verisight.scan.ledger import Ledger
from verisight.scan.session import scan_session


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory, portrait) -> tuple[dict[str, dict], dict[str, str], Path]:
    folder = tmp_path_factory.mktemp("hostile")
    expected = {str(hostile.path): hostile.expect for hostile in hostile_files(folder / "files")}
    good = folder / "files" / "portrait.jpg"
    Image.fromarray(portrait).save(good)
    ledger = folder / "ledger.sqlite"
    with open(folder / "out.jsonl", "w", encoding="utf-8") as stream:
        failed = scan_session(
            [Path(path) for path in [*expected, str(good)]], format="jsonl", ledger=f"sqlite:///{ledger}", stream=stream
        )
    found = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert failed == sum(verdict["status"] == "failed" for verdict in found)
    return {verdict["path"]: verdict for verdict in found}, expected, ledger


def shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def test_there_are_more_than_two_hundred_and_each_has_one_verdict(verdicts) -> None:
    found, expected, _ = verdicts
    assert len(expected) >= 200
    assert {shown(path) for path in expected} <= set(found)


def test_what_must_fail_fails_and_what_must_be_read_is_read(verdicts) -> None:
    found, expected, _ = verdicts
    wrong = [
        (path, found[shown(path)]["status"])
        for path, expect in expected.items()
        if (expect == "fails") != (found[shown(path)]["status"] == "failed") and expect != "either"
    ]
    assert wrong == []


def test_every_failure_has_a_reason_of_one_line_and_is_none_of_ours(verdicts) -> None:
    found, _, _ = verdicts
    for verdict in found.values():
        if verdict["status"] != "scored":
            assert verdict["reason"]
            assert verdict["reason"].isprintable()
            assert "fault of ours" not in verdict["reason"], verdict


def test_the_good_file_among_them_is_scored(verdicts) -> None:
    found, _, _ = verdicts
    (good,) = [verdict for path, verdict in found.items() if path.endswith("/portrait.jpg")]
    assert good["status"] == "scored"


def test_the_ledger_holds_a_row_for_every_file(verdicts) -> None:
    found, _, ledger = verdicts
    with Ledger(f"sqlite:///{ledger}") as book:
        assert len(list(book.rows())) == len(found)

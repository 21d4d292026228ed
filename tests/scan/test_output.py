"""What is printed: the contract for programs, words for people, and no trap for either."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from verisight.scan.output import Csv, Table, percent, shortened, visible, word, writer
from verisight.scan.verdict import FaceVerdict, Verdict

CONTRACT = ["path", "status", "label", "probability", "threshold", "reason", "faces", "detector", "seconds"]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def verdict(path: str = "a.jpg", **facts: object) -> Verdict:
    given = {"status": "scored", "label": "fake", "probability": 0.9375, "threshold": 0.6}
    return Verdict.model_validate({"path": path, "detector": "d@1", "seconds": 0.25, **given, **facts})


FACES = tuple(FaceVerdict(box=(1.0, 2.0, 3.0, 4.0), score=score, time_s=None) for score in (0.5, 0.9375, 0.25))
FAKE = verdict(faces=FACES)
REAL = verdict("b.jpg", label="real", probability=0.125)
ABSTAINED = verdict("c.jpg", status="abstained", label=None, probability=None, reason="no face found in the picture")
FAILED = verdict("d.jpg", status="failed", label=None, probability=None, reason="cut off, 'early'")
ALL = [FAKE, REAL, ABSTAINED, FAILED]


def printed(format: str, verdicts: list[Verdict]) -> str:
    stream = io.StringIO()
    with writer(format, stream) as out:
        for item in verdicts:
            out.write(item)
    return stream.getvalue()


def test_jsonl_is_one_object_a_line_with_the_fields_of_the_contract() -> None:
    objects = [json.loads(line) for line in printed("jsonl", ALL).splitlines()]
    assert [list(o) for o in objects] == [CONTRACT] * 4
    assert objects == [v.model_dump(mode="json") for v in ALL]
    assert objects[0]["faces"][1] == {"box": [1.0, 2.0, 3.0, 4.0], "score": 0.9375, "time_s": None}
    assert [o["label"] for o in objects] == ["fake", "real", None, None]


@pytest.mark.parametrize("verdicts", [[], [FAKE], ALL])
def test_json_is_one_array_of_the_same_objects(verdicts: list[Verdict]) -> None:
    assert json.loads(printed("json", verdicts)) == [v.model_dump(mode="json") for v in verdicts]


def test_json_stays_whole_when_the_scan_is_interrupted() -> None:
    stream = io.StringIO()

    def interrupted() -> None:
        with writer("json", stream) as out:
            out.write(FAKE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(json.loads(stream.getvalue())) == 1


def test_csv_counts_the_faces_and_gives_their_highest_score() -> None:
    rows = list(csv.DictReader(io.StringIO(printed("csv", ALL))))
    assert list(rows[0]) == list(Csv.COLUMNS)
    assert set(CONTRACT) < set(Csv.COLUMNS)
    assert [(r["faces"], r["highest_face_score"]) for r in rows] == [("3", "0.9375"), ("0", ""), ("0", ""), ("0", "")]
    assert [float(r["probability"]) if r["probability"] else None for r in rows] == [v.probability for v in ALL]
    assert rows[3]["reason"] == "cut off, 'early'"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_the_csv_is_a_formula_and_a_path_stays_that_file(start: str) -> None:
    item = verdict(f'{start}HYPERLINK("http://x";"y").jpg', reason=f"{start}1+1", detector=f"{start}d@1")
    (_, row) = csv.reader(io.StringIO(printed("csv", [item]), newline=""))
    assert all(cell[:1] not in ("=", "+", "-", "@", "\t", "\r") for cell in row if cell)
    assert Path(row[0]) == Path(item.path)


@pytest.mark.parametrize(
    "path", ["a,b;c.jpg", 'quo"te.jpg', "two\nlines.jpg", "re\rturn.jpg", "얼굴.jpg", " leading.jpg"]
)
def test_any_path_survives_every_format_for_programs(path: str) -> None:
    item = verdict(path)
    assert next(csv.DictReader(io.StringIO(printed("csv", [item]), newline="")))["path"] == path
    assert json.loads(printed("jsonl", [item]))["path"] == path
    assert printed("jsonl", [item]).count("\n") == 1


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_lines_are_out_before_the_scan_ends(format: str) -> None:
    raw = io.BytesIO()
    with writer(format, io.TextIOWrapper(raw, encoding="utf-8")) as out:
        out.write(verdict("first.jpg"))
        assert b"first.jpg" in raw.getvalue()


@pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
def test_what_programs_read_is_utf8_whatever_the_locale(format: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1", newline="\r\n")
    with writer(format, stream) as out:
        out.write(verdict("얼굴.jpg"))
    assert "얼굴.jpg" in raw.getvalue().decode("utf-8")
    assert b"\r" not in raw.getvalue()


def test_a_table_in_a_poor_locale_is_no_fault() -> None:
    raw = io.BytesIO()
    with writer("table", io.TextIOWrapper(raw, encoding="ascii")) as out:
        out.write(verdict("얼굴.jpg"))
    assert r"\uc5bc\uad74.jpg" in raw.getvalue().decode("ascii")
    assert "#########." in raw.getvalue().decode("ascii")


def test_the_table_has_a_row_a_file_and_counts() -> None:
    lines = printed("table", ALL).splitlines()
    assert lines[1].split() == ["fake", "94", "%", "█████████░", "3", "a.jpg"]
    assert lines[2].split() == ["no", "forgery", "found", "12", "%", "█░░░░░░░░░", "-", "b.jpg"]
    assert lines[3].split() == ["abstained", "-", "-", "c.jpg"]
    assert lines[4].strip() == "no face found in the picture"
    assert lines[5].split() == ["failed", "-", "-", "d.jpg"]
    assert "4 files, 2 scored: 1 fake, 1 no forgery found, 1 abstained, 1 failed" in lines
    names = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert {line.index(name) for line, name in zip((*lines[1:4], lines[5]), names, strict=True)} == {42}
    assert lines[0].index("file") == 42


def test_nobody_reads_that_something_is_real() -> None:
    assert word(REAL) == "no forgery found"
    shown = printed("table", [REAL])
    assert "real" not in shown
    assert "not a proof of authenticity" in shown


def test_the_table_has_colour_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    with Table(shown) as out:
        out.write(FAKE)
    assert ESCAPE.search(shown.getvalue())
    assert not ESCAPE.search(printed("table", ALL))


def test_on_a_terminal_every_line_of_the_table_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    with Table(shown) as out:
        out.write(verdict("folder/" * 30 + "face.jpg", reason="word " * 40))
        out.write(verdict("사진/" * 30 + "얼굴.jpg"))
    lines = ESCAPE.sub("", shown.getvalue()).splitlines()
    assert max(cell_len(line) for line in lines) <= 80
    assert any("face.jpg" in line for line in lines)
    assert any("얼굴.jpg" in line for line in lines)


def test_square_brackets_in_a_name_are_no_markup() -> None:
    assert "[bold]a[/bold].jpg" in printed("table", [verdict("[bold]a[/bold].jpg")])


def test_a_name_can_neither_command_the_terminal_nor_read_backwards() -> None:
    shown = printed("table", [verdict("\x1b]0;owned\x07\x1b[2J\u202egpj.exe\nfake.jpg", reason="\x1b[31mred")])
    assert not set(shown) & set("\x1b\x07\u202e")
    assert r"\x1b]0;owned\x07\x1b[2J\u202egpj.exe\nfake.jpg" in shown


@given(st.text(st.characters(exclude_categories=[])))
def test_visible_text_is_printable_and_plain_text_stays(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    shown.encode("utf-8")  # lone surrogates cannot be
    if text.isprintable():
        assert shown == text


@given(st.text(st.characters(exclude_categories=["C", "Z", "M"])), st.integers(8, 60))
def test_shortened_text_fits_and_keeps_its_end(text: str, width: int) -> None:
    shown = shortened(text, width)
    assert cell_len(shown) <= width
    if cell_len(text) <= width:
        assert shown == text
    else:
        assert shown.endswith(text[-2:])
        assert shown.startswith(text[:1])


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (0.0, "0 %"),
        (1e-9, "<1 %"),
        (0.0051, "1 %"),
        (0.125, "12 %"),
        (0.9949, "99 %"),
        (0.9951, ">99 %"),
        (1.0, "100 %"),
    ],
)
def test_what_is_not_certain_never_reads_as_certain(probability: float, shown: str) -> None:
    assert percent(probability) == shown

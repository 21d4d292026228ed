"""What is printed: the contract for programs, words for people, and no trap for either."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from verisight.core.errors import VerisightError
from verisight.scan import output
from verisight.scan.output import Csv, Table, file_writer, percent, shortened, span, visible, word, writer
from verisight.scan.verdict import Caution, FaceVerdict, Person, Provenance, Quality, Verdict

CONTRACT = [
    "path",
    "status",
    "label",
    "probability",
    "interval",
    "threshold",
    "reason",
    "novelty",
    "people",
    "faces",
    "quality",
    "warnings",
    "provenance",
    "detector",
    "seconds",
]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def verdict(path: str = "a.jpg", **facts: object) -> Verdict:
    given = {"status": "scored", "label": "fake", "probability": 0.9375, "threshold": 0.6}
    return Verdict.model_validate({"path": path, "detector": "d@1", "seconds": 0.25, **given, **facts})


FACES = tuple(FaceVerdict(box=(1.0, 2.0, 3.0, 4.0), score=score, time_s=None) for score in (0.5, 0.9375, 0.25))
FAKE = verdict(faces=FACES)
REAL = verdict("b.jpg", label="real", probability=0.125)
ABSTAINED = verdict("c.jpg", status="abstained", label=None, probability=None, reason="no face found in the picture")
FAILED = verdict("d.jpg", status="failed", label=None, probability=None, reason="cut off, 'early'")
DOUBT = verdict("e.jpg", status="abstained", label=None, probability=0.5, interval=(0.25, 0.75), reason="in doubt")
WARNED = tuple(Caution(code=code, text=f"About {code}.") for code in ("small-face", "heavy-compression", "cuts"))
FULL = verdict(
    "full.mp4",
    probability=0.97,
    interval=(0.88, 0.99),
    novelty=0.75,
    people=(
        Person(person=0, probability=0.97, faces=2, start_s=0.0, end_s=1.5),
        Person(person=1, probability=0.25, faces=1, start_s=1.0, end_s=1.0, counted=False),
    ),
    faces=(
        FaceVerdict(box=(1.0, 2.0, 3.0, 4.0), score=0.9375, time_s=0.0),
        FaceVerdict(box=(-0.5, 2.0, 3.0, 4.0), score=0.25, time_s=1.5, person=1),
    ),
    quality=Quality(codec="h264", width=640, height=360, fps=25.0, kbit_s=412.5, crf=31.0, face_px=96.0, detail=0.5),
    warnings=WARNED,
    provenance=Provenance(c2pa="untrusted", claims=("signed by A", "made by B"), made_with=("Lavf61",)),
)
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
    assert objects[0]["faces"][1] == {"box": [1.0, 2.0, 3.0, 4.0], "score": 0.9375, "time_s": None, "person": 0}
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
    assert set(CONTRACT) - {"interval", "quality", "provenance"} < set(Csv.COLUMNS)
    assert [(r["faces"], r["highest_face_score"]) for r in rows] == [("3", "0.9375"), ("0", ""), ("0", ""), ("0", "")]
    assert [float(r["probability"]) if r["probability"] else None for r in rows] == [v.probability for v in ALL]
    assert rows[3]["reason"] == "cut off, 'early'"


def test_csv_has_interval_people_cautions_quality_and_provenance_in_flat_columns() -> None:
    full, bare = csv.DictReader(io.StringIO(printed("csv", [FULL, FAILED])))
    expected = {
        "interval_low": "0.88",
        "interval_high": "0.99",
        "novelty": "0.75",
        "people": "2",
        "warnings": "small-face;heavy-compression;cuts",
        "codec": "h264",
        "width": "640",
        "height": "360",
        "face_px": "96.0",
        "jpeg_quality": "",
        "crf": "31.0",
        "c2pa": "untrusted",
    }
    assert {name: full[name] for name in expected} == expected
    assert {name: bare[name] for name in expected} == dict.fromkeys(expected, "") | {"people": "0"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_the_csv_is_a_formula_and_a_path_stays_that_file(start: str) -> None:
    item = verdict(
        f'{start}HYPERLINK("http://x";"y").jpg',
        reason=f"{start}1+1",
        detector=f"{start}d@1",
        quality=Quality(codec=f"{start}h264", width=1, height=1),
        warnings=(Caution(code=f"{start}c", text="x"),),
    )
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
    assert {line.index(name) for line, name in zip((*lines[1:4], lines[5]), names, strict=True)} == {50}
    assert lines[0].index("file") == 50


def test_a_row_has_its_interval_and_a_doubtful_file_its_probability() -> None:
    lines = printed("table", [FULL, DOUBT]).splitlines()
    assert lines[1].split() == ["fake", "97", "%", "(88-99)", "██████████", "2", "full.mp4"]
    (row,) = (line for line in lines if "e.jpg" in line)
    assert row.split() == ["abstained", "50", "%", "(25-75)", "█████░░░░░", "-", "e.jpg"]
    assert lines[0].index("(95 %)") == lines[1].index("(88-99)") == row.index("(25-75)")
    assert "2 files, 1 scored: 1 fake, 0 no forgery found, 1 abstained, 0 failed" in lines


def test_the_table_shows_the_two_first_cautions_and_how_many_there_are_more() -> None:
    lines = [line.strip() for line in printed("table", [FULL]).splitlines()]
    assert lines[2:4] == ["! About small-face.", "! About heavy-compression."]
    assert lines[4].startswith("! 1 more;")
    two = printed("table", [FULL.model_copy(update={"warnings": WARNED[:2]})])
    assert "more" not in two


def test_a_note_stands_below_its_row() -> None:
    stream = io.StringIO()
    with Table(stream) as out:
        out.write(FAKE)
        out.note("first\nsecond \x1b[31m")
        out.write(REAL)
    lines = stream.getvalue().splitlines()
    assert lines[2:4] == [" " * 17 + "first", " " * 17 + r"second \x1b[31m"]
    assert "b.jpg" in lines[4]


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


@pytest.mark.parametrize("width", [72, 80, 120])
def test_on_a_terminal_every_line_of_the_table_fits(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")  # rich takes a dumb terminal to be 80 wide whatever COLUMNS says

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    with Table(shown) as out:
        out.write(verdict("folder/" * 30 + "face.jpg", reason="word " * 40))
        out.write(verdict("사진/" * 30 + "얼굴.jpg", probability=0.999, interval=(0.9912, 0.9999)))
        out.write(FULL.model_copy(update={"warnings": (Caution(code="long", text="word " * 40),)}))
        out.note("word " * 40)
    lines = ESCAPE.sub("", shown.getvalue()).splitlines()
    assert max(cell_len(line) for line in lines) <= width
    assert any("(99-100)" in line for line in lines) == (width >= 80)
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


@given(st.floats(0, 1), st.floats(0, 1))
def test_an_interval_never_reads_narrower_than_it_is(a: float, b: float) -> None:
    low, high = sorted((a, b))
    shown_low, shown_high = (int(end) for end in span((low, high)).split("-"))
    assert shown_low / 100 - 1e-9 <= low <= high <= shown_high / 100 + 1e-9
    assert low - shown_low / 100 < 0.01 + 1e-9
    assert shown_high / 100 - high < 0.01 + 1e-9


def test_parquet_has_the_fields_of_json_and_gives_every_verdict_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "case.parquet"
    with file_writer("parquet", path) as out:
        for item in [FULL, DOUBT, *ALL]:
            out.write(item)
    table = pq.read_table(path)
    assert table.column_names == CONTRACT
    assert [Verdict.model_validate(row) for row in table.to_pylist()] == [FULL, DOUBT, *ALL]
    assert table.schema.field("interval").type == pa.list_(pa.float64())
    assert set(table.schema.field("people").type.value_type.names) == set(Person.model_fields)


def test_parquet_types_do_not_depend_on_what_was_scanned(tmp_path: Path) -> None:
    for name, items in {"none": [], "failed": [FAILED], "full": [FULL]}.items():
        with file_writer("parquet", tmp_path / name) as out:
            for item in items:
                out.write(item)
    assert len({str(pq.read_schema(tmp_path / name)) for name in ("none", "failed", "full")}) == 1


def test_parquet_holds_no_more_than_a_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_GROUP", 8)
    with file_writer("parquet", tmp_path / "case.parquet") as out:
        for _ in range(10):
            out.write(FAKE)  # one verdict and three faces
    file = pq.ParquetFile(tmp_path / "case.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2] * 5


def test_parquet_does_not_go_to_a_stream() -> None:
    with pytest.raises(VerisightError, match="binary and goes to a file"):
        writer("parquet", io.StringIO())


@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv"])
def test_a_file_holds_what_the_stream_would_and_bears_its_name_only_when_whole(tmp_path: Path, format: str) -> None:
    path = tmp_path / "case.out"
    with file_writer(format, path) as out:
        for item in ALL:
            out.write(item)
            assert not path.exists()
            assert [p.name for p in tmp_path.iterdir()] == [".case.out.part"]
    assert path.read_bytes().decode("utf-8") == printed(format, ALL)
    assert [p.name for p in tmp_path.iterdir()] == ["case.out"]


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "parquet"])
def test_a_file_is_whole_after_ctrl_c(tmp_path: Path, format: str) -> None:
    path = tmp_path / "case"
    path.write_text("of yesterday")

    def interrupted() -> None:
        with file_writer(format, path) as out:
            out.write(FAKE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    read = {
        "json": lambda: json.loads(path.read_text()),
        "jsonl": lambda: path.read_text().splitlines(),
        "csv": lambda: list(csv.DictReader(path.open())),
        "parquet": lambda: pq.read_table(path).to_pylist(),
    }
    assert len(read[format]()) == 1


def test_a_fault_leaves_the_file_of_before(tmp_path: Path) -> None:
    path = tmp_path / "case.jsonl"
    path.write_text("of yesterday")

    def faulty() -> None:
        with file_writer("jsonl", path) as out:
            out.write(FAKE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        faulty()
    assert path.read_text() == "of yesterday"
    assert len((tmp_path / ".case.jsonl.part").read_text().splitlines()) == 1


def test_what_is_no_file_is_never_replaced_and_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in {
        tmp_path: "exists and is no regular file",
        Path("/dev/null"): "exists and is no regular file",
        tmp_path / "file" / "case.csv": "cannot be written",
    }.items():
        with pytest.raises(VerisightError, match=reason), file_writer("csv", path):
            pytest.fail("it was opened")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "case.csv").symlink_to(tmp_path / "elsewhere.csv")
    with file_writer("csv", tmp_path / "case.csv") as out:
        out.write(FAKE)
    assert (tmp_path / "case.csv").is_symlink()
    assert (tmp_path / "elsewhere.csv").read_text() == printed("csv", [FAKE])

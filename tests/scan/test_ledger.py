"""The ledger: nothing is lost, nothing foreign is touched, many may write at once."""

from __future__ import annotations

import contextlib
import doctest
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from itertools import permutations
from pathlib import Path

import pytest

from verisight.core.errors import InputError, VerisightError
from verisight.scan import ledger as ledger_module
from verisight.scan.ledger import VERDICTS, Ledger, content_hash
from verisight.scan.verdict import FaceVerdict, Verdict

WRITE = """
import sys
from pathlib import Path
from verisight.scan.ledger import Ledger
from verisight.scan.verdict import Verdict

url, name, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Ledger(url) as ledger:
    for i in range(number):
        verdict = Verdict(path=f"{name}{i}", status="abstained", threshold=0.5, detector="d@1", seconds=0.0)
        ledger.record(Path(f"/{name}{i:06d}"), f"{name}{i}", "d@1", verdict)
        print(i, flush=True)
"""


def verdict(path: str = "a.jpg", probability: float = 0.75) -> Verdict:
    face = FaceVerdict(box=(1.5, 2.0, 30.25, 40.0), score=probability, time_s=0.5)
    return Verdict(
        path=path,
        status="scored",
        label="fake",
        probability=probability,
        threshold=0.6,
        faces=(face,),
        detector="d@1",
        seconds=0.1,
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'case.sqlite'}"


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(ledger_module) == doctest.TestResults(failed=0, attempted=3)


def test_a_verdict_comes_back_whole_in_a_later_session(url: str) -> None:
    with Ledger(url) as ledger:
        ledger.record(Path("/x/a.jpg"), "c1", "d@1", verdict())
    with Ledger(url) as ledger:
        assert ledger.lookup("c1", "d@1") == verdict()


def test_a_verdict_is_found_by_content_and_detector_whatever_the_path(url: str) -> None:
    with Ledger(url) as ledger:
        ledger.record(Path("/x/a.jpg"), "c1", "d@1", verdict())
        assert ledger.lookup("c1", "d@2") is None
        assert ledger.lookup("c2", "d@1") is None


def test_of_several_paths_with_one_content_always_the_same_answers(tmp_path: Path) -> None:
    answers = set()
    for order in permutations("abc"):
        with Ledger(f"sqlite:///{tmp_path}/{''.join(order)}.sqlite") as ledger:
            for name in order:
                ledger.record(Path(f"/x/{name}"), "c1", "d@1", verdict(name))
            found = ledger.lookup("c1", "d@1")
            assert found is not None
            answers.add(found.path)
    assert len(answers) == 1


def test_a_file_that_could_not_be_read_is_never_found(url: str) -> None:
    with Ledger(url) as ledger:
        ledger.record(Path("/x/a.jpg"), "", "d@1", verdict())
        assert ledger.lookup("", "d@1") is None
        assert len(list(ledger.rows())) == 1


def test_a_new_verdict_replaces_that_of_its_path_and_detector_and_no_other(url: str) -> None:
    with Ledger(url) as ledger:
        ledger.record(Path("/x/a.jpg"), "c1", "d@1", verdict(probability=0.7))
        ledger.record(Path("/x/a.jpg"), "c1", "d@2", verdict(probability=0.8))
        ledger.record(Path("/x/b.jpg"), "c1", "d@1", verdict(probability=0.9))
        ledger.record(Path("/x/../x/a.jpg"), "c9", "d@1", verdict(probability=0.65))
        kept = [(row.path, row.detector, row.content, row.verdict.probability) for row in ledger.rows()]
    assert kept == [
        ("/x/a.jpg", "d@1", "c9", 0.65),
        ("/x/a.jpg", "d@2", "c1", 0.8),
        ("/x/b.jpg", "d@1", "c1", 0.9),
    ]


def test_rows_come_by_path_whatever_the_order_of_writing(url: str) -> None:
    names = [f"/x/{i * 7919 % 2500:04d}" for i in range(2500)]  # more than one batch of a thousand
    with Ledger(url) as ledger:
        rows = [
            {"place": name, "detector": "d@1", "path": name, "content": "c", "verdict": verdict().model_dump_json()}
            for name in names
        ]
        with ledger._engine.begin() as connection:
            connection.execute(VERDICTS.insert(), rows)
        assert [row.path for row in ledger.rows()] == sorted(names)


def test_relative_paths_are_kept_absolute(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Ledger(url) as ledger:
        ledger.record(Path("a.jpg"), "c1", "d@1", verdict())
        assert [row.path for row in ledger.rows()] == [str(tmp_path / "a.jpg")]


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", "얼굴.jpg".encode(), b"'; DROP TABLE x; --", b"a\nb", b"x" * 4000])
def test_any_name_can_be_kept(url: str, name: bytes) -> None:
    path = Path("/x", os.fsdecode(name))
    with Ledger(url) as ledger:
        ledger.record(path, "c1", "d@1", verdict())
        ledger.record(path, "c2", "d@1", verdict())
        (row,) = ledger.rows()
    assert row.path == "/x/" + name.decode("utf-8", "backslashreplace")


def test_threads_share_a_ledger(url: str) -> None:
    with Ledger(url) as ledger:

        def work(name: str) -> None:
            for i in range(25):
                ledger.record(Path(f"/{name}/{i}"), f"{name}{i}", "d@1", verdict())
                assert ledger.lookup(f"{name}{i}", "d@1") == verdict()

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(ledger.rows())) == 100


def test_processes_that_start_together_share_a_new_ledger(url: str) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", WRITE, url, name, "40"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in "abcd"
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    with Ledger(url) as ledger:
        assert [row.content for row in ledger.rows()] == [f"{name}{i}" for name in "abcd" for i in range(40)]


def test_a_reader_that_is_not_done_holds_up_no_writer(url: str, tmp_path: Path) -> None:
    with Ledger(url) as ledger, contextlib.closing(sqlite3.connect(tmp_path / "case.sqlite")) as reader:
        ledger.record(Path("/a"), "c1", "d@1", verdict())
        reader.execute("BEGIN")
        assert reader.execute(f"SELECT COUNT(*) FROM {VERDICTS.name}").fetchone() == (1,)
        ledger.record(Path("/b"), "c2", "d@1", verdict())  # without a write-ahead log: 30 s, then "locked"
        assert reader.execute(f"SELECT COUNT(*) FROM {VERDICTS.name}").fetchone() == (1,)
        assert ledger.lookup("c2", "d@1") == verdict()


def test_kill_9_loses_nothing_that_was_said_to_be_kept(url: str, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITE, url, "a", "100000"], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        for _ in range(50):
            running.stdout.readline()
        running.send_signal(signal.SIGKILL)
        said = 50 + len(running.stdout.read().split())
    with Ledger(url) as ledger:
        kept = [row.content for row in ledger.rows()]
    assert len(kept) - said in (0, 1)  # the row in hand is there or not, never half
    assert kept == [f"a{i}" for i in range(len(kept))]
    with contextlib.closing(sqlite3.connect(tmp_path / "case.sqlite")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "holiday.jpg"
    file.write_bytes(b"\xff\xd8\xff not a database" * 400)
    before = file.read_bytes()
    with pytest.raises(VerisightError, match=r"holiday\.jpg: cannot be opened \(file is not a database\)"):
        Ledger(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_somebody_elses_table_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as raw:
        raw.execute(f"CREATE TABLE {VERDICTS.name} (content TEXT, theirs TEXT)")
        raw.execute(f"INSERT INTO {VERDICTS.name} VALUES ('x', 'y')")
        raw.commit()
    with pytest.raises(VerisightError, match="is not a ledger's; give another database"):
        Ledger(f"sqlite:///{file}")
    with contextlib.closing(sqlite3.connect(file)) as raw:
        assert raw.execute(f"SELECT * FROM {VERDICTS.name}").fetchall() == [("x", "y")]


def test_other_tables_of_a_shared_database_stay(tmp_path: Path) -> None:
    file = tmp_path / "shared.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as raw:
        raw.execute("CREATE TABLE verisight_verdicts_0 (old TEXT)")
        raw.execute("INSERT INTO verisight_verdicts_0 VALUES ('kept')")
        raw.commit()
    with Ledger(f"sqlite:///{file}") as ledger:
        ledger.record(Path("/a"), "c1", "d@1", verdict())
    with contextlib.closing(sqlite3.connect(file)) as raw:
        assert raw.execute("SELECT old FROM verisight_verdicts_0").fetchall() == [("kept",)]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "case.db",
            "cannot be opened (Could not parse SQLAlchemy URL from given URL string); for a file: sqlite:///case.db",
        ),
        ("nonsense://x", "ledger nonsense://x: cannot be opened (Can't load plugin: sqlalchemy.dialects:nonsense)"),
        ("postgresql+asyncpg9://h/n", "sqlalchemy.dialects:postgresql.asyncpg9"),
        ("oracle+cx_oracle://h/n", "its driver 'cx_Oracle' is not installed; run: pip install cx_Oracle"),
        ("postgresql://me:secret@host:port/n", "ledger postgresql://***@host:port/n: not a database URL"),
        ("sqlite://", "names no file, so nothing would be kept; try sqlite:///FILE"),
        ("sqlite:////no/such/folder/case.sqlite", "cannot be opened (unable to open database file)"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_one_line_without_its_password(url: str, message: str) -> None:
    with pytest.raises(VerisightError) as error:
        Ledger(url)
    assert message in str(error.value)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_ledger_that_stops_taking_verdicts_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(url) as ledger:
        with ledger._engine.begin() as connection:
            connection.exec_driver_sql(
                f"CREATE TRIGGER full BEFORE INSERT ON {VERDICTS.name} "
                "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
            )
        with pytest.raises(
            VerisightError, match=r"cannot be written \(database or disk is full\); what is in it stays"
        ):
            ledger.record(Path("/a"), "c1", "d@1", verdict())


def test_a_damaged_verdict_is_named_not_trusted(url: str) -> None:
    with Ledger(url) as ledger:
        ledger.record(Path("/a"), "c1", "d@1", verdict())
        with ledger._engine.begin() as connection:
            connection.execute(VERDICTS.update().values(verdict='{"path": 1}'))
        with pytest.raises(VerisightError, match="does not validate; use --force"):
            ledger.lookup("c1", "d@1")
        ledger.record(Path("/a"), "c1", "d@1", verdict())  # what --force does
        assert ledger.lookup("c1", "d@1") == verdict()


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_content_hash_is_the_sha256_of_the_file(tmp_path: Path, size: int) -> None:
    content = bytes(i * 31 % 251 for i in range(size))
    (tmp_path / "f").write_bytes(content)
    assert content_hash(tmp_path / "f") == hashlib.sha256(content).hexdigest()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this platform")
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match="not a regular file"):
        content_hash(tmp_path / "pipe.jpg")


@pytest.mark.parametrize(
    ("name", "reason"), [("gone.jpg", "No such file"), (".", "directory"), ("nul\0byte", "null byte")]
)
def test_what_has_no_content_is_refused_by_name(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        content_hash(tmp_path / name)

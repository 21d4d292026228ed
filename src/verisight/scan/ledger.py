"""What has been judged, in a database: SQLite by default, any that SQLAlchemy knows by its URL.

One transaction a file, so that `kill -9` loses the files in hand and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from verisight.core.errors import InputError, VerisightError, one_line
from verisight.scan.verdict import FAULT, Verdict

# Part of the key of every row. It rises when the same file and detector get another verdict than before: a field is
# added, or filled in another way. Each number has a table of its own, so that two versions of Verisight can share a
# database: what another has judged is judged anew, and its rows stay as they are.
SCHEMA = 2

_META = sa.MetaData()
# Long paths are legal, long keys are not everywhere: rows are found by the hash of the path.
VERDICTS = sa.Table(
    f"verisight_verdicts_{SCHEMA}",
    _META,
    sa.Column("place", sa.String(64), primary_key=True),
    sa.Column("detector", sa.String(200), primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("content", sa.String(64), nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    # With the place, of a thousand copies the first is found without a look at the others.
    sa.Index(f"verisight_verdicts_{SCHEMA}_by_content", "content", "detector", "place"),
)


@dataclass(frozen=True)
class Row:
    """path : absolute. content : SHA-256 of the file, empty when it could not be read. detector : name@fingerprint."""

    path: str
    content: str
    detector: str
    verdict: Verdict


class Ledger:
    """Verdicts by content and detector. Threads, processes and machines may share one.

    Parameters
    ----------
    url : of a database, such as `sqlite:///case.sqlite` or `postgresql+psycopg://host/name`.

    Attributes
    ----------
    found : how many lookups had an answer.

    Raises
    ------
    VerisightError : no such kind of database, its driver is missing, it cannot be opened, or its table of this name
        is somebody else's. An existing file that is not a ledger is left as it is. Every method raises it when the
        database fails.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> verdict = Verdict(path="a.jpg", status="abstained", threshold=0.5, detector="d@1", seconds=0.1)
    >>> with TemporaryDirectory() as folder, Ledger(f"sqlite:///{folder}/case.sqlite") as ledger:
    ...     ledger.record(Path("a.jpg"), "c0ffee", "d@1", verdict)
    ...     ledger.lookup("c0ffee", "d@1") == verdict
    True
    """

    def __init__(self, url: str) -> None:
        self._name = "ledger " + re.sub(r"://.*@", "://***@", url)  # a password belongs in no message
        self._lock = threading.Lock()  # SQLite has one writer; the threads of a scan take turns
        self.found = 0
        with self._explaining("cannot be opened", "" if "://" in url else f"for a file: sqlite:///{url}"):
            try:
                self._engine = sa.create_engine(url)
            except ModuleNotFoundError as error:
                raise VerisightError(
                    self._name, f"its driver '{error.name}' is not installed", f"run: pip install {error.name}"
                ) from error
            except ValueError as error:  # a port that is not a number
                raise VerisightError(self._name, f"not a database URL ({error})", "try sqlite:///FILE") from error
            if self._engine.dialect.name == "sqlite":
                if self._engine.url.database in (None, "", ":memory:"):
                    raise VerisightError(self._name, "names no file, so nothing would be kept", "try sqlite:///FILE")
                sa.event.listen(self._engine, "connect", _tune_sqlite)
            self._prepare()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def lookup(self, content: str, detector: str) -> Verdict | None:
        """A verdict of this detector on this content, under whatever path; None when there is none.

        One that the next look may better is none: a fault of ours, or a manifest left unread that can be read by now.

        content : SHA-256 in hex; empty is never found, since a file that could not be read may be readable now.
        """
        wanted = sa.select(VERDICTS.c.verdict).where(
            VERDICTS.c.content == content, VERDICTS.c.detector == detector, VERDICTS.c.content != ""
        )
        with self._explaining("cannot be read"), self._engine.connect() as connection:
            text = connection.execute(wanted.order_by(VERDICTS.c.place).limit(1)).scalar()
        verdict = None if text is None else self._verdict(text)
        if verdict is None or _outdated(verdict):
            return None
        with self._lock:
            self.found += 1
        return verdict

    def record(self, path: Path, content: str, detector: str, verdict: Verdict) -> None:
        """Keep a verdict; it replaces what this path and detector had before."""
        place = os.path.abspath(path)
        row = {
            "place": hashlib.sha256(os.fsencode(place)).hexdigest(),
            "detector": detector,
            "path": os.fsencode(place).decode("utf-8", "backslashreplace"),
            "content": content,
            "verdict": verdict.model_dump_json(),
        }
        with self._explaining("cannot be written", "what is in it stays; make it writable, then run again"), self._lock:
            try:
                self._replace(row)
            except IntegrityError:  # another machine wrote the same row between our delete and our insert
                self._replace(row)

    def rows(self) -> Iterator[Row]:
        """All rows, by path and detector, a thousand in memory at once."""
        query = sa.select(VERDICTS).order_by(VERDICTS.c.path, VERDICTS.c.detector)
        with self._explaining("cannot be read"), self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query):
                yield Row(row.path, row.content, row.detector, self._verdict(row.verdict))

    def _replace(self, row: dict[str, str]) -> None:
        """Delete and insert in one transaction: an upsert that every database knows."""
        old = VERDICTS.c.place == row["place"], VERDICTS.c.detector == row["detector"]
        with self._engine.begin() as connection:
            connection.execute(sa.delete(VERDICTS).where(*old))
            connection.execute(sa.insert(VERDICTS).values(row))

    def _verdict(self, text: str) -> Verdict:
        try:
            return Verdict.model_validate_json(text)
        except ValidationError as error:
            raise VerisightError(
                self._name, "holds a verdict that does not validate", "use --force, or another ledger"
            ) from error

    def _prepare(self) -> None:
        """Make the table unless it is there; refuse one of the same name with other columns."""
        for pause_s in (0.1, 0.5, 2.0, None):
            try:
                _META.create_all(self._engine)
                break
            except DBAPIError as error:
                # Two scans that start together race for the table and for SQLite's journal mode: the loser looks again.
                racing = any(word in str(error.orig) for word in ("already exists", "locked", "unique"))
                if pause_s is None or not racing:
                    raise
                time.sleep(pause_s)
        columns = {column["name"] for column in sa.inspect(self._engine).get_columns(VERDICTS.name)}
        if columns != set(VERDICTS.columns.keys()):
            raise VerisightError(self._name, f"its table {VERDICTS.name} is not a ledger's", "give another database")

    @contextlib.contextmanager
    def _explaining(self, what: str, next_step: str = "") -> Iterator[None]:
        """Whatever the database says becomes one line."""
        try:
            yield
        except SQLAlchemyError as error:
            reason: Any = getattr(error, "orig", None) or error
            raise VerisightError(self._name, f"{what} ({one_line(reason)})", next_step) from error


def _outdated(verdict: Verdict) -> bool:
    """Whether the next look may bring more: a fault of ours, or a manifest that can be read by now."""
    unread = verdict.provenance is not None and verdict.provenance.c2pa == "unread"
    mended = verdict.status == "failed" and (verdict.reason or "").startswith(FAULT)
    return mended or (unread and importlib.util.find_spec("c2pa") is not None)


def content_hash(path: Path) -> str:
    """SHA-256 of a regular file's content, hex.

    Raises
    ------
    InputError : it cannot be read, or is not a regular file (a pipe would hang).
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError(path, "not a regular file")
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe that nobody writes to without waiting for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _tune_sqlite(connection: Any, _: object) -> None:
    """Readers beside the writer, and patience when two scans share a file."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()

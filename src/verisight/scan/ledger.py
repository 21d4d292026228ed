"""What has been judged, in a database: SQLite by default, any that SQLAlchemy knows by its URL.

One transaction a file, so that `kill -9` loses the files in hand and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from verisight.core.errors import InputError, VerisightError, one_line
from verisight.scan.verdict import Verdict

_META = sa.MetaData()
# Long paths are legal, long keys are not everywhere: rows are found by the hash of the path.
VERDICTS = sa.Table(
    "verisight_verdicts_1",  # the number is the schema's: a later one gets a table of its own
    _META,
    sa.Column("place", sa.String(64), primary_key=True),
    sa.Column("detector", sa.String(200), primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("content", sa.String(64), nullable=False, index=True),
    sa.Column("verdict", sa.Text, nullable=False),
)


@dataclass(frozen=True)
class Row:
    """path : absolute. content : SHA-256 of the file, empty when it could not be read. detector : name@fingerprint."""

    path: str
    content: str
    detector: str
    verdict: Verdict


class Ledger:
    """Verdicts by content and detector.

    Parameters
    ----------
    url : of a database, such as `sqlite:///case.sqlite` or `postgresql+psycopg://host/name`.

    Raises
    ------
    VerisightError : no such kind of database, its driver is missing, or it cannot be opened. An existing file that is
        not a ledger is left as it is.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = sa.create_engine(url)
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _tune_sqlite)
            _META.create_all(self._engine)
        except (ArgumentError, NoSuchModuleError) as error:
            raise VerisightError(
                f"--ledger {url}", f"not a database URL ({one_line(error)})", "try sqlite:///FILE"
            ) from error
        except ModuleNotFoundError as error:
            raise VerisightError(
                f"--ledger {url}", f"its driver '{error.name}' is not installed", f"run: pip install {error.name}"
            ) from error
        except DBAPIError as error:
            raise VerisightError(f"--ledger {url}", f"cannot be opened ({one_line(error.orig)})") from error
        self._lock = threading.Lock()  # SQLite has one writer; the threads of a scan take turns

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def lookup(self, content: str, detector: str) -> Verdict | None:
        """A verdict of this detector on this content, under whatever path; None when there is none."""
        wanted = sa.select(VERDICTS.c.verdict).where(
            VERDICTS.c.content == content, VERDICTS.c.detector == detector, VERDICTS.c.content != ""
        )
        with self._engine.connect() as connection:
            found = connection.execute(wanted.order_by(VERDICTS.c.path).limit(1)).scalar()
        return None if found is None else Verdict.model_validate_json(found)

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
        old = sa.delete(VERDICTS).where(VERDICTS.c.place == row["place"], VERDICTS.c.detector == detector)
        try:
            with self._lock, self._engine.begin() as connection:
                connection.execute(old)
                connection.execute(sa.insert(VERDICTS).values(row))
        except DBAPIError as error:
            raise VerisightError(
                "ledger", f"cannot be written ({one_line(error.orig)})", "free space, then rerun"
            ) from error

    def rows(self) -> Iterator[Row]:
        """All rows, by path and detector."""
        query = sa.select(VERDICTS).order_by(VERDICTS.c.path, VERDICTS.c.detector)
        with self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query):
                yield Row(row.path, row.content, row.detector, Verdict.model_validate_json(row.verdict))


def content_hash(path: Path) -> str:
    """SHA-256 of a regular file's content, hex.

    Raises
    ------
    InputError : it cannot be read, or is not a regular file (a pipe would hang).
    """
    try:
        if not path.is_file():
            raise InputError(path, "not a regular file")
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({one_line(error)})") from error


def _tune_sqlite(connection: object, _: object) -> None:
    """Readers beside the writer, and patience when two scans share a file."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()

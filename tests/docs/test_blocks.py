"""Every code block of the documentation runs.

The blocks of a page run in order, in one folder of their own that holds `photos/`, `data/real`, `data/fake` and
`recipes/`: `python` in one namespace a page, `bash` (and the `$` lines of `console`) under `bash -euo pipefail`.
`text`, `yaml`, `json` and the like are not run. A comment on the line above a block says what is special about it:
`<!-- not run: needs a PostgreSQL server -->`, or `<!-- exit code 3: one of the photos is broken -->`.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from verisight.core import catalogue
from verisight.core.places import cache_folder
from verisight.data.faces import face_finder
from verisight.data.quality import write_h264
from verisight.data.synthetic import blended_forgery
from verisight.scan.demo import panned, portrait

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUN = ("python", "bash", "console")
SHOWN = ("text", "yaml", "json", "toml", "csv", "html", "makefile")
MOST_NOT_RUN = 3
LIMIT_S = 300
CHECKED_APART = ("git clone ", "make ", "pip install ")

FENCE = re.compile(r"^(?P<indent>\s*)(?P<ticks>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
MARK = re.compile(r"^\s*<!--\s*(?P<what>not run|exit code (?P<code>\d+)):(?P<reason>.*?)-->\s*$")


class BlockError(AssertionError):
    """A block that does not do what the page promises; names page and line."""


@dataclass(frozen=True)
class Block:
    """One fenced block.

    line : of the page, counted from 1, on which the code starts.
    exit_code : that a bash block is to end with.
    left_out : why it is not run; empty when it is.
    """

    page: Path
    line: int
    language: str
    code: str
    exit_code: int = 0
    left_out: str = ""

    def fail(self, what: str, line: int | None = None) -> BlockError:
        return BlockError(f"{self.page.name}:{line or self.line}: {what}")


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order. A block without end, language or reason (when left out) is an error."""
    found, lines = list[Block](), page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        if not opening:
            at += 1
            continue
        start, indent, ticks = at + 1, len(opening["indent"]), opening["ticks"]
        end = next((i for i in range(start, len(lines)) if lines[i].strip() == ticks), None)
        if end is None:
            raise BlockError(f"{page.name}:{at + 1}: this block is never closed")
        mark = MARK.match(lines[at - 1]) if at else None
        reason = mark["reason"].strip() if mark else ""
        block = Block(
            page,
            line=start + 1,
            language=opening["language"],
            code="\n".join(line[indent:] if not line[:indent].strip() else line for line in lines[start:end]),
            exit_code=int(mark["code"] or 0) if mark else 0,
            left_out=reason if mark and mark["what"] == "not run" else "",
        )
        if block.language not in RUN + SHOWN:
            raise block.fail(f"language '{block.language}' is neither run {RUN} nor shown only {SHOWN}", at + 1)
        if mark and not reason:
            raise block.fail(f"'{mark['what']}' needs a reason", at)
        found.append(block)
        at = end + 1
    return found


def run_page(page: Path, folder: Path, cache: Path) -> None:
    """Run the blocks of a page in order; the first that fails is raised with its line and its output."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(page):
        if not block.left_out and block.language in RUN:
            if block.language == "python":
                run_python(block, folder, namespace)
            else:
                run_bash(block, folder, cache)


def run_python(block: Block, folder: Path, namespace: dict[str, Any]) -> None:
    output = io.StringIO()
    padded = "\n" * (block.line - 1) + block.code  # so that line numbers are those of the page
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(output):
            exec(compile(padded, str(block.page), "exec"), namespace)
    except BaseException as error:
        places = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(block.page)]
        line = error.lineno if isinstance(error, SyntaxError) else (places[-1] if places else None)
        report = "".join(traceback.format_exception(error))
        raise block.fail(f"{type(error).__name__}: {error}\n{output.getvalue()}{report}", line) from None


def run_bash(block: Block, folder: Path, cache: Path) -> None:
    lines = []
    for number, line in enumerate(block.code.splitlines(), start=block.line):
        if block.language == "console":
            line = line[2:] if line.startswith("$ ") else ""
        if line.startswith(CHECKED_APART):
            check_apart(block, line, number)
            line = ""
        lines.append(line)
    trap = """trap 'echo "failed at line $LINENO: $BASH_COMMAND" >&2' ERR"""
    script = "\n".join([trap + "\n" * (block.line - 2), *lines])  # so that line numbers are those of the page
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "VERISIGHT_CACHE": str(cache),
        "COLUMNS": "120",
    }
    done = subprocess.run(
        ["bash", "-Eeuo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode != block.exit_code:
        where = re.search(r"failed at line (\d+): ", done.stdout)
        told = f"exit code {done.returncode} instead of {block.exit_code}\n{done.stdout}"
        raise block.fail(told, int(where[1]) if where else None)


def check_apart(block: Block, line: str, number: int) -> None:
    """What would download or rebuild is not run, but what it names has to exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    words = line.split("#")[0].split()
    if line.startswith("make "):
        known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        wrong = [word for word in words[1:] if "=" not in word and word not in known]
    elif line.startswith("pip install "):
        extras = ",".join(re.findall(r"\[([\w,-]+)\]", line))
        wrong = [extra for extra in extras.split(",") if extra and extra not in project["optional-dependencies"]]
        files = [name for flag, name in itertools.pairwise(words) if flag == "-c"]
        wrong += [name for name in files if not (ROOT / name).is_file()]
    else:
        wrong = [] if len(words) >= 3 else ["a repository"]
    if wrong:
        raise block.fail(f"names what does not exist: {', '.join(wrong)}", number)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a folder for one page: what the pages say is in `photos/` and `data/`, and the recipes."""
    folder = tmp_path_factory.mktemp("stage")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    picture = portrait()
    face = face_finder()(picture)[0]

    photos = folder / "photos"
    photos.mkdir()
    Image.fromarray(picture).save(photos / "portrait.jpg", quality=92)
    ramp = np.linspace(40, 200, 320, dtype=np.uint8)
    Image.fromarray(np.stack([np.tile(ramp, (240, 1))] * 3, axis=-1)).save(photos / "landscape.jpg", quality=92)
    write_h264(panned(picture, frames=12), photos / "clip.mp4", crf=28)
    whole = (photos / "portrait.jpg").read_bytes()
    (photos / "broken.jpg").write_bytes(whole[: len(whole) // 3])

    for label, source in (("real", picture), ("fake", blended_forgery(picture, face))):
        (folder / "data" / label).mkdir(parents=True)
        for i in range(8):
            window = source[20 : 260 + 2 * i, 80 + 5 * i : 330 + 5 * i]
            Image.fromarray(window).save(folder / "data" / label / f"{i}.jpg", quality=70 + 3 * i)

    def fresh() -> Path:
        return Path(shutil.copytree(folder, tmp_path_factory.mktemp("page"), dirs_exist_ok=True))

    return fresh


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the page's own, so that its first scan is one; only the exported networks are shared."""
    exported = cache_folder() / "onnx"
    exported.mkdir(exist_ok=True)
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "onnx").symlink_to(exported)
    monkeypatch.setenv("VERISIGHT_CACHE", str(folder))
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_the_page_runs(
    page: Path, stage: Callable[[], Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # a page may add to these two
    monkeypatch.setattr(catalogue, "ENTRIES", catalogue.ENTRIES)
    run_page(page, stage(), cache)


def test_hardly_any_block_is_left_out() -> None:
    left_out = [f"{b.page.name}:{b.line}: {b.left_out}" for page in PAGES for b in blocks_of(page) if b.left_out]
    print("\n".join(left_out))
    assert len(left_out) <= MOST_NOT_RUN, left_out


def write_page(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# T\n\n```python\nx = 1\nassert x == 2\n```\n", ["page.md:5: AssertionError", "assert x == 2"]),
        ("```python\nx = 1\n```\n\n```python\nprint(x, 'seen')\nx.no\n```\n", ["page.md:7: AttributeError", "1 seen"]),
        ("text\n\n```python\nx =\n```\n", ["page.md:4: SyntaxError"]),
        ("```python\nraise SystemExit(3)\n```\n", ["page.md:2: SystemExit: 3"]),
        ("# T\n\n```bash\ntrue\necho said; test -e absent\n```\n", ["page.md:5: exit code 1", "said"]),
        ("```bash\nfalse | cat\n```\n", ["page.md:2: exit code 1"]),
        ("1. step\n\n    ```console\n    $ ls absent\n    an output\n    ```\n", ["page.md:4: exit code 2"]),
        ("```bash\nverisight lst\n```\n", ["page.md:2: exit code 2", "lst"]),
        ("```bash\nmake demo\nmake coffee\n```\n", ["page.md:3:", "coffee"]),
        ("```bash\npip install '.[demo,nothing]'\n```\n", ["page.md:2:", "nothing"]),
        ("```bash\npip install -c absent.txt .\n```\n", ["page.md:2:", "absent.txt"]),
        ("```ruby\nputs 1\n```\n", ["page.md:1: language 'ruby'"]),
        ("```\nwhat is this\n```\n", ["page.md:1: language ''"]),
        ("```python\nx = 1\n", ["page.md:1: this block is never closed"]),
        ("<!-- not run: -->\n```bash\nfalse\n```\n", ["page.md:1: 'not run' needs a reason"]),
        ("<!-- exit code 3: -->\n```bash\nexit 3\n```\n", ["page.md:1: 'exit code 3' needs a reason"]),
        ("<!-- exit code 3: x -->\n```bash\nexit 2\n```\n", ["page.md:3: exit code 2 instead of 3"]),
        ("<!-- exit code 3: x -->\n```bash\ntrue\n```\n", ["page.md:3: exit code 0 instead of 3"]),
        ("<!-- not run: x -->\n\n```bash\nfalse\n```\n", ["page.md:4: exit code 1"]),
    ],
)
def test_a_block_that_fails_is_reported_with_page_line_and_output(tmp_path: Path, text: str, told: list[str]) -> None:
    with pytest.raises(BlockError) as caught:
        run_page(write_page(tmp_path, text), tmp_path, tmp_path)
    assert str(caught.value).startswith(told[0]), caught.value
    assert all(part in str(caught.value) for part in told), caught.value


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 1\n```\n\n```bash\necho 7 > n\n```\n\n```python\nassert x + int(open('n').read()) == 8\n```\n",
        "```text\nnot code\n```\n\n```json\n{\n```\n",
        "<!-- not run: needs a server -->\n```bash\nfalse\n```\n",
        "<!-- exit code 3: a file is broken -->\n```bash\nexit 3\n```\n",
        "````text\n```python\nfalse\n```\n````\n",
        "```console\n$ echo 1\n2\n```\n",
        "```bash\nfalse || test $? -eq 1\n```\n",
        "```bash\ngit clone https://example.org/x.git\nmake test\npip install -c constraints.txt -e '.[dev]'\n```\n",
        "```bash\nverisight --help | cat\n```\n",
    ],
)
def test_a_page_that_holds_passes(tmp_path: Path, text: str) -> None:
    run_page(write_page(tmp_path, text), tmp_path, tmp_path)

"""The `verisight` command: the verbs, and the one place where errors become exit codes."""

from __future__ import annotations

import logging
import sys

import typer

from verisight.cli import catalogue, comparing, data, learning, preparing, scanning
from verisight.core.errors import ExitCode, VerisightError

app = typer.Typer(
    name="verisight",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Can I trust this face, this clip, this model?\n\nFirst steps: [bold]verisight demo[/] shows the tool on a "
    "small scene, [bold]verisight scan DIR[/] judges your own files, [bold]verisight VERB --help[/] teaches a verb.",
    epilog="Exit codes: 0 done · 1 fault of ours · 2 usage · 3 finished, some inputs failed · 130 interrupted.",
)

for module in (scanning, data, preparing, learning, comparing, catalogue):
    module.register(app)


def run() -> None:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.WARNING, format="verisight: %(message)s", stream=sys.stderr)
    try:
        app(standalone_mode=True)
    except VerisightError as error:
        print(f"verisight: {error}", file=sys.stderr)
        sys.exit(ExitCode.USAGE)
    except SystemExit as end:  # typer makes one of Ctrl-C, without a word
        if _was_interrupted(end):
            print("verisight: interrupted; run the same command again to go on", file=sys.stderr)
            sys.exit(ExitCode.INTERRUPTED)
        raise


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether a Ctrl-C stands at the beginning of what led to an exception."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False

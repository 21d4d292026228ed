"""Progress bars: only on a terminal, and never in what a program reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from verisight.core.errors import VerisightError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn, Task

Item = TypeVar("Item")


def track(
    items: Iterable[Item],
    title: str,
    total: int | Callable[[], int | None] | None,
    console: Console | None = None,
) -> Iterator[Item]:
    """Iterate with a bar, a count, the rate, and the time left; silent where there is no terminal.

    total : how many there are; None where nobody knows; or what counts them, in a thread of its own while the first
        items are at work. Without a total the bar shows count, rate and elapsed time.
    console : that also prints other lines meanwhile, so that they stay above the bar; by default one on stderr.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _pace_column())
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True, redirect_stdout=False
    ) as bar:
        task = bar.add_task(title, total=None if callable(total) else total)
        if callable(total) and not bar.disable:
            # A daemon: nobody waits for the count when the loop is interrupted.
            threading.Thread(target=_count, args=(total, lambda n: bar.update(task, total=n)), daemon=True).start()
        for item in items:
            yield item
            bar.advance(task)


def pace(per_s: float | None, elapsed_s: float | None, left_s: float | None) -> str:
    """What stands at the end of a bar, such as `12.5/s, 0:01:40, 0:05:00 left`; what is not known is left out."""
    rate = "" if not per_s else f"{per_s:.0f}/s" if per_s >= 99.5 else f"{per_s:.3g}/s"
    parts = [rate, clock(elapsed_s or 0), "" if left_s is None else f"{clock(left_s)} left"]
    return ", ".join(part for part in parts if part)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: `2:05:09`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _pace_column() -> ProgressColumn:
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Pace(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(pace(task.speed, task.elapsed, task.time_remaining))

    return Pace()


def _count(total: Callable[[], int | None], put: Callable[[int | None], None]) -> None:
    """A count that fails leaves the total unknown: what is wrong with an item, its own turn says."""
    try:
        put(total())
    except (VerisightError, OSError):
        return

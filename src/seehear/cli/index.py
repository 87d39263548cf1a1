"""`seehear index` and `seehear reindex`: plan, index with progress, report."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from seehear.cli.output import (
    JsonOption,
    LibraryOption,
    clock,
    name_engine,
    note,
    say,
    say_json,
    shown,
)
from seehear.errors import MediaError, NothingDoneError, UsageError, counted

if TYPE_CHECKING:
    from rich.progress import TaskID

    from seehear.ingest import Indexer, Plan, Report
    from seehear.library import Library


EngineOption = Annotated[
    str, typer.Option(help="auto, tags or clip-ast; chosen once, when the library is created.")
]
ModelsOption = Annotated[
    Path | None, typer.Option(help="Folder of weights for clip-ast; with it, auto means clip-ast.")
]

ExcludeOption = Annotated[
    list[str] | None, typer.Option(help="Skip files that match this pattern (repeatable).")
]
PruneOption = Annotated[bool, typer.Option("--prune", help="Remove files that no longer exist.")]
RetryOption = Annotated[bool, typer.Option("--retry", help="Try again files that failed before.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done and do nothing.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Number of processes; default: all cores.")
]
RayOption = Annotated[str | None, typer.Option(help="Index on the Ray cluster at this address.")]
FailOption = Annotated[
    bool, typer.Option("--fail-on-error", help="Exit with code 5 if a file could not be indexed.")
]


def index(
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders with everything below.")],
    library: LibraryOption,
    engine: EngineOption = "auto",
    models: ModelsOption = None,
    exclude: ExcludeOption = None,
    prune: PruneOption = False,
    retry: RetryOption = False,
    dry_run: DryRunOption = False,
    workers: WorkersOption = None,
    ray: RayOption = None,
    fail_on_error: FailOption = False,
    as_json: JsonOption = False,
) -> None:
    """Index videos and sounds; only new and changed files are read.

    A file that cannot be read becomes a line of the report. Ctrl-C is safe: everything committed
    stays, and the next run continues from there.
    """
    for path in paths:
        if not path.expanduser().exists():
            raise UsageError(f"'{path}' does not exist; check the path")
    with _open(library, engine, models, dry_run) as opened, _Bars(quiet=as_json) as bars:
        name_engine(opened.engine.name)
        plan = opened.plan(
            paths, exclude=exclude or [], retry=retry, on_file=lambda d, t: bars("read", d, t)
        )
        bars.pause()
        note(_plan_line(plan))
        if dry_run:
            if as_json:
                say_json("plan", _plan_fields(plan), engine=opened.engine.name)
            return
        where = {"indexer": _on_ray(ray)} if ray else {}
        report = opened.add(paths, plan=plan, prune=prune, workers=workers, progress=bars, **where)
        bars.pause()
        if as_json:
            say_json("index", report, engine=opened.engine.name)
        else:
            _say_report(report)
    _end(plan, report, fail_on_error)


def reindex(
    library: LibraryOption,
    engine: EngineOption = "auto",
    models: ModelsOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Index all files again with another engine; the old index answers until it is done."""
    from seehear.library import Library

    with Library.open(library) as opened, _Bars(quiet=as_json) as bars:
        report = opened.reindex(engine, models=models, workers=workers, progress=bars)
        bars.pause()
        if as_json:
            say_json("reindex", report, engine=opened.engine.name)
        else:
            name_engine(opened.engine.name)
            _say_report(report)


def _on_ray(address: str) -> Indexer:
    from seehear.cluster import on_ray

    return on_ray(address)


@contextmanager
def _open(root: str, engine: str, models: Path | None, dry_run: bool) -> Generator[Library]:
    """The library at `root`, created if missing; a dry run creates it in a temporary folder."""
    from seehear.library import Library

    with ExitStack() as stack:
        if Library.is_at(root):
            opened = stack.enter_context(Library.open(root))
            _check_engine(opened, engine)
        else:
            location = root
            if dry_run:
                location = f"{stack.enter_context(TemporaryDirectory())}/library"
            made = Library.create(location, engine=engine, models=models)
            opened = stack.enter_context(made)
        yield opened


def _check_engine(opened: Library, engine: str) -> None:
    if engine not in ("auto", opened.engine.name):
        raise UsageError(
            f"this library was built with engine {opened.engine.name!r}; leave out --engine, or "
            f"change the engine with 'seehear reindex --engine {engine}'"
        )


def _plan_line(plan: Plan) -> str:
    words = [f"{counted(len(plan.new), 'new file')} ({plan.hours:.2f} h"]
    words[0] += f", {plan.without_sound} without sound)" if plan.without_sound else ")"
    counts = {
        "unchanged": plan.unchanged,
        "known by content": len(plan.renamed),
        "changed": len(plan.overwritten),
        "missing": len(plan.gone),
        "unreadable": len(plan.problems),
    }
    return "plan: " + ", ".join(words + [f"{n} {word}" for word, n in counts.items() if n])


def _plan_fields(plan: Plan) -> dict[str, object]:
    return {
        "new": [new.file.path for new in plan.new],
        "hours": plan.hours,
        "without_sound": plan.without_sound,
        "unchanged": plan.unchanged,
        "renamed": [file.path for file, _ in plan.renamed],
        "overwritten": plan.overwritten,
        "gone": plan.gone,
        "problems": plan.problems,
    }


def _say_report(report: Report) -> None:
    if report.indexed:
        say(
            f"indexed {counted(report.indexed, 'file')} as {counted(report.items, 'moment')} "
            f"({clock(report.media_s)} of media, {report.silent} without sound)"
        )
    else:
        unchanged = f"; {counted(report.unchanged, 'file')} unchanged" if report.unchanged else ""
        say(f"no new files{unchanged}")
    if report.spent_s and report.indexed:
        parts = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in report.spent_s.items())
        say(f"{report.media_s / report.wall_s:.1f}x real time ({parts} over all workers)")
    if report.renamed:
        say(f"{counted(report.renamed, 'file')} moved, copied or touched, recognised by content")
    if report.pruned:
        say(f"{counted(report.pruned, 'video')} removed")
    if report.gone:
        say(f"{counted(len(report.gone), 'indexed file')} missing; --prune removes them")
    for path, text in report.notes:
        say(f"  partly read: {shown(path)}: {text}")
    if report.problems:
        say(f"{counted(len(report.problems), 'file')} could not be indexed:")
    for path, reason in report.problems:
        say(f"  {shown(path)}: {reason}")


def _end(plan: Plan, report: Report, fail_on_error: bool) -> None:
    if report.is_interrupted:
        note("seehear: interrupted; everything committed stays, run the same command to continue")
        raise typer.Exit(130)
    if report.problems and fail_on_error:
        raise MediaError(f"{counted(len(report.problems), 'file')} could not be indexed")
    done = report.indexed + report.renamed + report.unchanged + report.pruned
    if not done and not plan.gone:
        raise NothingDoneError("no video or sound that can be indexed was found")


SAMPLE_S = 3.0  # of indexing before the time left is estimated
_TITLES = {"read": "read files", "index": "decode + encode"}


class _Bars:
    """A progress bar per stage with the time left; hidden if stderr is not a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description:>16}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet or not sys.stderr.isatty(),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._first: tuple[float, float] | None = None  # time and amount of the first file

    def __call__(self, stage: str, done: float, total: float) -> None:
        if stage not in self._tasks:
            self._progress.start()
            self._tasks[stage] = self._progress.add_task(_TITLES[stage], total=total)
            if stage == "index":
                self._first = time.monotonic(), done
        elif stage == "index" and self._first:
            self._estimate(done, total, *self._first)
        self._progress.update(self._tasks[stage], completed=done, total=total)

    def _estimate(self, done: float, total: float, begun: float, first: float) -> None:
        """Print the time left, once; the first file does not count, it waited for the engine."""
        spent_s = time.monotonic() - begun
        if spent_s < SAMPLE_S:
            return
        self._first = None
        left_s = spent_s * (total - done) / max(done - first, 0.1)
        if left_s > 40:
            note(f"about {left_s / 60:.0f} min left, estimated from the first files")

    def pause(self) -> None:
        self._progress.stop()

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

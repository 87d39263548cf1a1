"""The commands of `seehear-lab`; each imports what it needs when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seehear.errors import NothingDoneError, UsageError

if TYPE_CHECKING:
    from seehear_lab.experiments.finetune import FinetuneResult

data = typer.Typer(help="Check, copy or unpack data sets.", no_args_is_help=True)
Root = Annotated[Path, typer.Option("--root", help="Folder of the data set.")]
Set = Annotated[
    str, typer.Argument(help="A data set by name, or 'folder' for a folder with captions.jsonl.")
]


def print_line(line: str) -> None:
    """Print a line on standard output at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe by name, or a TOML file.")],
    root: Root,
    towers: Annotated[Path, typer.Option(help="Folder with clip/ and ast/ weights.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    device: Annotated[str, typer.Option(help="Device to train on: cpu, cuda ...")] = "cpu",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: train.batch_size=12.")
    ] = None,
) -> None:
    """Train a recipe, or resume it, and evaluate it on its test split."""
    from seehear_lab.evaluate.report import format_result
    from seehear_lab.experiments.progress import show_progress
    from seehear_lab.experiments.recipe import load_recipe
    from seehear_lab.experiments.run import RunPaths, run_recipe
    from seehear_lab.train.distributed import process_group, select_device

    loaded = load_recipe(recipe, changes=changes or ())
    paths = RunPaths(root=root, towers=towers, output=output)
    chosen, name = select_device(device), Path(recipe).stem
    with process_group(chosen) as world:
        with show_progress(is_shown=world.is_first) as on_log:
            results = run_recipe(name, loaded, paths, device=chosen, world=world, on_log=on_log)
        if not world.is_first:
            return
    for line in (line for result in results for line in format_result(result)):
        print_line(line)


def class_level(
    recipe: Annotated[str, typer.Argument(help="A class-level recipe by name, or a TOML file.")],
    root: Annotated[Path, typer.Option("--root", help="Folder with the data sets' folders.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of runs.")] = Path("runs"),
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: system.settings.lr=0.001.")
    ] = None,
) -> None:
    """Train a class-level recipe on every split and seed, print its metrics, write result.json."""
    from seehear_lab.class_level.grid import load_points
    from seehear_lab.class_level.readers import read_set
    from seehear_lab.class_level.report import as_json, rows_of, write
    from seehear_lab.class_level.run import run

    results = []
    for point in load_points(recipe, changes=changes or ()):
        outcome = run(point.recipe, root, on_log=print_line)
        results.append(as_json(point, read_set(point.recipe.set, root), outcome))
    for result in results:
        for row, *metrics, about in rows_of(result):
            print_line(f"{result['recipe']['set']} {row}: {' '.join(metrics)} ({about})")
    print_line(f"wrote {write(output / Path(recipe).stem, results)}")


def compare(
    first: Annotated[Path, typer.Argument(help="The folder of a run, or a TREC run file.")],
    second: Annotated[Path, typer.Argument(help="Another one, on the same test split.")],
    at: Annotated[int, typer.Option(min=1, help="K of R@K.")] = 1,
) -> None:
    """Compare two runs query by query: difference in R@K, 95 % interval over videos, p."""
    from seehear_lab.evaluate.trec import compare_runs

    found = compare_runs(first, second, at=at)
    gain = found.gain
    print_line(f"R@{at}: {found.first:.1f} and {found.second:.1f} (queries: {found.queries})")
    print_line(
        f"difference {gain.difference:+.1f} points ({gain.low:+.1f} to {gain.high:+.1f}), "
        f"p = {gain.p:.3f}"
    )


def show_table(
    name: Annotated[str, typer.Argument(help="A table by name, e.g. tefal-8 or dstc-1.")],
    runs: Annotated[Path, typer.Option(help="Folder with RECIPE/SEED/results.json.")] = Path(
        "runs"
    ),
) -> None:
    """Print a paper's table with published numbers and ours."""
    from seehear_lab.class_level.report import table_lines, table_names
    from seehear_lab.evaluate.report import align
    from seehear_lab.experiments.tables import remarks, table_rows

    if name in table_names():
        lines = table_lines(name, runs)
    else:
        lines = [*align(table_rows(name, runs)), *remarks(name, runs)]
    for line in lines:
        print_line(line)


@data.command("check")
def check_data(name: Set, root: Root) -> None:
    """Count videos and captions, probe every video, write no_audio.txt, list differences."""
    from seehear_lab.datasets.check import check
    from seehear_lab.datasets.spec import open_dataset

    found = check(open_dataset(name, root), on_log=print_line)
    for line in found.lines:
        print_line(line)
    if found.problems:
        raise NothingDoneError(f"problems found: {found.problems}; see the lines above")


@data.command("prepare")
def prepare_data(
    name: Set,
    root: Root,
    output: Annotated[Path, typer.Option("--output", "-o", help="Root of the copy.")],
) -> None:
    """Copy a data set at 3 frames per second, short side 224; resumes after an interruption."""
    from seehear_lab.datasets.prepare import prepare
    from seehear_lab.datasets.spec import open_dataset

    for each in prepare(open_dataset(name, root), output, on_log=print_line):
        print_line(f"left out: {each}")


@data.command("unpack")
def unpack_data(
    source: Annotated[
        str, typer.Argument(help="Tars, a folder of save_to_disk, or a data set on the hub.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for videos, captions.")],
) -> None:
    """Unpack webdataset tars or a Hugging Face data set; resumes after an interruption."""
    from seehear_lab.datasets.unpack import unpack

    for each in unpack(source, output, on_log=print_line):
        print_line(f"left out: {each}")


def finetune(
    library: Annotated[Path, typer.Argument(help="A library made with --models.")],
    captions: Annotated[Path, typer.Argument(help='Lines of {"video": ..., "caption": ...}.')],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the new weights.")],
    is_installed: Annotated[
        bool, typer.Option("--install", help="Use the new head in the library if it is better.")
    ] = False,
    towers: Annotated[
        bool, typer.Option("--all", help="Train CLIP and AST too, on the library's files.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="With --all, device to train on: cpu, cuda ...")
    ] = "cpu",
) -> None:
    """Fine-tune the head of a library on captions; a fifth of the items is held out to test it."""
    from seehear_lab.experiments.finetune import finetune as finetune_head
    from seehear_lab.experiments.finetune import install
    from seehear_lab.experiments.finetune_towers import finetune_towers
    from seehear_lab.experiments.progress import show_progress
    from seehear_lab.train.distributed import select_device

    if towers and is_installed:
        raise UsageError(
            "--install does not work with --all: new towers need new tokens; leave it out and, if "
            "the metrics are better, run: seehear reindex --models NEW-WEIGHTS"
        )
    with show_progress() as on_log:
        if towers:
            chosen = select_device(device)
            result = finetune_towers(library, captions, output, device=chosen, on_log=on_log)
        else:
            result = finetune_head(library, captions, output, on_log=on_log)
    _print_finetuning(result)
    if towers:
        print_line("the library is unchanged; to use the new towers, make its tokens again:")
        print_line(f"seehear reindex --library {library} --models {result.weights}")
    elif is_installed and result.comparison.difference > 0:
        install(library, result.weights)
        print_line(f"'{library}' uses them now; its tokens are unchanged")
    elif is_installed:
        print_line("not installed: the new head is not better")


def _print_finetuning(result: FinetuneResult) -> None:
    for line in result.skipped:
        print_line(f"left out: {line}")
    for name, each in (("before", result.before), ("after", result.after)):
        metrics = each.metrics
        print_line(
            f"{name}: R@1 {metrics.r1:.1f} MdR {metrics.mdr:g} (captions: {metrics.queries})"
        )
    gain = result.comparison
    print_line(
        f"R@1 {gain.difference:+.1f} ({gain.low:+.1f} to {gain.high:+.1f}), p = {gain.p:.3f}"
    )
    print_line(f"the new weights are in {result.weights}")


def match(
    library: Annotated[Path, typer.Argument(help="A library made with --models.")],
    is_installed: Annotated[
        bool, typer.Option("--install", help="Use it in the library if it is accurate enough.")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 300,
) -> None:
    """Learn from a library's moments which sounds belong to which frames."""
    from seehear_lab.experiments.match import install, train_matcher

    result, folder = train_matcher(library, steps=steps)
    print_line(
        f"degree of match: {result.own:.2f} with the own sound, {result.exchanged:.2f} with other "
        f"sounds (held-out moments: {result.items})"
    )
    print_line(f"balanced accuracy: {result.accuracy:.1f} % (chance: 50)")
    if is_installed:
        install(result, folder)
        print_line(f"installed into {folder}, for every library made with these weights")

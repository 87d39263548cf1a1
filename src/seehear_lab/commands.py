"""The lab's commands on data sets, recipes and libraries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from seehear.errors import NothingDoneError, UsageError

data = typer.Typer(help="Look after data sets.", no_args_is_help=True)
Root = Annotated[Path, typer.Option("--root", help="Folder of the data set.")]
Set = Annotated[str, typer.Argument(help="A data set by name, or 'folder' for captions.jsonl.")]


def say(line: str) -> None:
    """One line for the user."""
    sys.stdout.write(line + "\n")


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe by name, or a TOML file.")],
    root: Root,
    towers: Annotated[Path, typer.Option(help="Folder with clip/ and ast/ weights.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda ...")] = "cpu",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A change, e.g. train.batch_size=12.")
    ] = None,
) -> None:
    """Train a recipe and judge it on its test split; goes on where it was stopped."""
    from seehear_lab.evaluate.report import lines_of
    from seehear_lab.progress import told_steps
    from seehear_lab.recipe import load_recipe
    from seehear_lab.runs import Places, run_recipe
    from seehear_lab.train.world import joined_world, own_device

    read = load_recipe(recipe, changes=changes or ())
    places = Places(root=root, towers=towers, output=output)
    here = own_device(device)
    with joined_world(here) as world:
        with told_steps(is_shown=world.is_first) as tell:
            results = run_recipe(
                Path(recipe).stem, read, places, device=here, world=world, tell=tell
            )
        if not world.is_first:
            return
    for line in (line for result in results for line in lines_of(result)):
        say(line)


def compare(
    first: Annotated[Path, typer.Argument(help="A run of train, or a run file of TREC.")],
    second: Annotated[Path, typer.Argument(help="Another one, on the same test split.")],
    at: Annotated[int, typer.Option(min=1, help="R@K for this K.")] = 1,
) -> None:
    """Is one run better than another? Pair by pair, with a 95 % interval over videos."""
    from seehear_lab.evaluate.trec import compare_runs

    found = compare_runs(first, second, at=at)
    gain = found.gain
    say(f"R@{at} of {found.queries} queries: {found.first:.1f} and {found.second:.1f}")
    say(
        f"difference {gain.difference:+.1f} points ({gain.low:+.1f} to {gain.high:+.1f}), "
        f"p = {gain.p:.3f}"
    )


def show_table(
    name: Annotated[str, typer.Argument(help="A table by name, e.g. tefal-8 or dstc-1.")],
    runs: Annotated[Path, typer.Option(help="Folder with RECIPE/SEED/results.json.")] = Path(
        "runs"
    ),
) -> None:
    """Published and own numbers side by side; empty cells were not run."""
    from seehear_lab.class_level.report import table_lines, table_names
    from seehear_lab.tables import as_text, remarks, table

    is_own = name in table_names()
    lines = (
        table_lines(name, runs) if is_own else [*as_text(table(name, runs)), *remarks(name, runs)]
    )
    for line in lines:
        say(line)


@data.command("check")
def check_data(name: Set, root: Root) -> None:
    """Count, look for and probe every video; write no_audio.txt; say what papers have."""
    from seehear_lab.datasets.check import check
    from seehear_lab.datasets.spec import open_set

    found = check(open_set(name, root), tell=say)
    for line in found.lines:
        say(line)
    if found.problems:
        raise NothingDoneError(f"{found.problems} things differ from what is described")


@data.command("prepare")
def prepare_data(
    name: Set,
    root: Root,
    output: Annotated[Path, typer.Option("--output", "-o", help="Root of the copy.")],
) -> None:
    """The same set with copies at 3 pictures a second, shorter side 224; may be stopped."""
    from seehear_lab.datasets.prepare import prepare
    from seehear_lab.datasets.spec import open_set

    for each in prepare(open_set(name, root), output, tell=say):
        say(f"left out: {each}")


@data.command("unpack")
def unpack_data(
    source: Annotated[
        str, typer.Argument(help="Tars, a folder of save_to_disk, or a data set on the hub.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for videos, captions.")],
) -> None:
    """Make a plain folder of webdataset tars or of a Hugging Face data set; may be stopped."""
    from seehear_lab.datasets.unpack import unpack

    for each in unpack(source, output, tell=say):
        say(f"left out: {each}")


def tune(
    library: Annotated[Path, typer.Argument(help="A library made with --models.")],
    captions: Annotated[Path, typer.Argument(help='Lines of {"video": ..., "caption": ...}.')],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the new weights.")],
    put_in: Annotated[
        bool, typer.Option("--install", help="Put the new head into the library if it is better.")
    ] = False,
    towers: Annotated[
        bool, typer.Option("--all", help="Train CLIP and AST too, on the files themselves.")
    ] = False,
    device: Annotated[str, typer.Option(help="With --all, where to train: cpu, cuda ...")] = "cpu",
) -> None:
    """Fine-tune the head of a library on captions; judged on a fifth of the items, held out."""
    from seehear_lab.finetune import finetune, install
    from seehear_lab.finetune_towers import finetune_towers
    from seehear_lab.progress import told_steps
    from seehear_lab.train.world import own_device

    if towers and put_in:
        raise UsageError(
            "new towers need new tokens, which --install does not make; leave it out and, if the "
            "figures are better, run: seehear reindex --models NEW-WEIGHTS"
        )
    with told_steps() as tell:
        if towers:
            here = own_device(device)
            tuned = finetune_towers(library, captions, output, device=here, tell=tell)
        else:
            tuned = finetune(library, captions, output, tell=tell)
    for line in tuned.skipped:
        say(f"left out: {line}")
    for name, result in (("before", tuned.before), ("after", tuned.after)):
        figures = result.metrics
        say(f"{name}: R@1 {figures.r1:.1f} MdR {figures.mdr:g} of {figures.queries} captions")
    gain = tuned.comparison
    say(f"R@1 {gain.difference:+.1f} ({gain.low:+.1f} to {gain.high:+.1f}), p = {gain.p:.3f}")
    say(f"the new weights are in {tuned.weights}")
    is_better = gain.difference > 0
    if towers:
        say("the library is as it was; its tokens are of the old towers and must be made anew:")
        say(f"seehear reindex --library {library} --models {tuned.weights}")
    elif put_in and is_better:
        install(library, tuned.weights)
        say(f"'{library}' uses them now; its tokens were not made again")
    elif put_in:
        say("the library was left as it is: the new head is not better")


def match(
    library: Annotated[Path, typer.Argument(help="A library made with --models.")],
    put_in: Annotated[
        bool, typer.Option("--install", help="Let the library use it, if it is right often enough.")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 300,
) -> None:
    """Learn from a library's moments which sounds fit which pictures; judged on held-out ones."""
    from seehear_lab.match import install, teach

    taught, folder = teach(library, steps=steps, tell=lambda row: None)
    say(
        f"held-out moments: {taught.items}; degree of match {taught.own:.2f} with their own sound, "
        f"{taught.exchanged:.2f} with others'"
    )
    say(f"told apart in {taught.accuracy:.1f} % of cases (chance 50)")
    if put_in:
        install(taught, folder)
        say(f"the weights in {folder} tell it now, for every library made with them")

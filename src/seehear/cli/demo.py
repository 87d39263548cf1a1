"""`seehear demo`: make a small library, run five searches, write one page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from seehear.cli.output import JsonOption, name_engine, note, say, say_json
from seehear.cli.report import thumbnails, write_page
from seehear.cli.search import say_answer
from seehear.errors import counted

SEARCHES = (
    ("a cat", "a picture answers"),
    ("an emergency siren wailing", "only sound can answer"),
    ("a waterfall roaring", "only sound can answer"),
    ("a cup of espresso", "a picture answers"),
    ("a football match in a stadium", "nothing here should match"),
)


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to create.")] = Path("seehear-demo"),
    archives: Annotated[
        Path | None, typer.Option(help="Folder of the archives, if there is no network.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a small library of filmed and composed clips, run five searches, write a page.

    Composed clips are photographs with synthetic sound, not filmed video.
    """
    from seehear.cli import demo_media
    from seehear.engine import tags_files
    from seehear.library import Library

    if not (tags_files.default_folder() / "manifest.json").exists():
        note("fetching the weights of engine 'tags' (113 MB, once)")
        tags_files.install()
    media = folder / "media"
    if not media.exists():
        note("fetching one film and some photographs (25 MB, once), composing clips")
        demo_media.make(media, archives=archives)
    root = folder / "library"
    is_new = not root.exists()
    with Library.create(root, engine="tags") if is_new else Library.open(root) as library:
        name_engine(library.engine.name)
        indexed = library.add([media])
        note(f"indexed {counted(indexed.indexed, 'new file')}, {indexed.unchanged} unchanged")
        answers = [library.search(query, limit=3) for query, _ in SEARCHES]
        pages = [(answer, thumbnails(library, answer)) for answer in answers]
    page = folder / "hits.html"
    write_page(page, pages)
    if as_json:
        say_json("demo", {"page": str(page), "answers": [asdict(answer) for answer in answers]})
        return
    for answer, (query, expectation) in zip(answers, SEARCHES, strict=True):
        say(f'\n"{query}"  ({expectation})')
        say_answer(answer)
    say(f"\nThe same results as a page: {page}")
    say('With your own folder:  seehear index ~/Videos   then   seehear search "a dog barking"')

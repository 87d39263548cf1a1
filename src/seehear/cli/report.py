"""`seehear report`: the hits of a search as one self-contained HTML page."""

from __future__ import annotations

import base64
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Annotated

import typer

from seehear.cli.output import JsonOption, LibraryOption, clock, name_engine, say, say_json
from seehear.cli.search import (
    LikeOption,
    LimitOption,
    ModeOption,
    QueryArgument,
    largest_contribution,
    reasons,
)
from seehear.errors import UsageError, counted

if TYPE_CHECKING:
    from seehear.library import Library
    from seehear.types import Answer, Hit


def report(
    library: LibraryOption,
    query: QueryArgument = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path(
        "hits.html"
    ),
    like: LikeOption = None,
    mode: ModeOption = "both",
    limit: LimitOption = 24,
    as_json: JsonOption = False,
) -> None:
    """Search and write one self-contained page: pictures, heat strips, bars for seen and heard."""
    from seehear.library import Library

    with Library.open(library) as opened:
        name_engine(opened.engine.name)
        answer = opened.search(query, like=like or "", mode=mode, limit=limit)
        write_page(output, [(answer, thumbnails(opened, answer))])
    if as_json:
        page = {"page": str(output), "hits": len(answer.hits), "verdict": answer.verdict}
        say_json("report", page, engine=answer.engine)
    else:
        say(f"{counted(len(answer.hits), 'hit')} written to {output}")


def thumbnails(library: Library, answer: Answer) -> dict[str, bytes]:
    """Thumbnails of an answer's hits, by item id."""
    return {hit.item_id: library.thumbnail(hit.item_id) for hit in answer.hits}


def write_page(output: Path, answers: list[tuple[Answer, dict[str, bytes]]]) -> None:
    """One page with a section for each answer. Raises: UsageError if it cannot be written."""
    template = Template(
        resources.files("seehear.cli").joinpath("report.html").read_text(encoding="utf-8")
    )
    sections = "\n".join(_section(answer, pictures) for answer, pictures in answers)
    titles = " · ".join(_title(answer) for answer, _ in answers)
    page = template.substitute(title=escape(titles), engine=answers[0][0].engine, body=sections)
    try:
        output.expanduser().write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"'{output}' cannot be written: {error.strerror}") from error


def _title(answer: Answer) -> str:
    return answer.query.text or f"like {Path(answer.query.like).name}"


def _section(answer: Answer, pictures: dict[str, bytes]) -> str:
    top = largest_contribution(answer)
    cards = "\n".join(_card(hit, pictures[hit.item_id], top) for hit in answer.hits)
    verdict = f'<p class="verdict">{escape(answer.verdict)}</p>' if answer.verdict else ""
    facts = (
        f"{counted(answer.items_searched, 'moment')} in {counted(answer.videos_searched, 'file')}; "
        f"weights: sight {1 - answer.audio_weight:.0%}, sound {answer.audio_weight:.0%}"
    )
    return (
        f"<section><h2>{escape(_title(answer))}</h2><p>{facts}</p>{verdict}"
        f'<div class="grid">{cards}</div></section>'
    )


def _card(hit: Hit, picture: bytes, top: float) -> str:
    kind = "webp" if picture[8:12] == b"WEBP" else "jpeg"
    data = base64.b64encode(picture).decode()
    image = (
        f'<img alt="" src="data:image/{kind};base64,{data}">'
        if picture
        else '<div class="nothing">sound only</div>'
    )
    link = Path(hit.path).as_uri() + f"#t={hit.start_s:.1f},{hit.end_s:.1f}"
    match = {True: " · sound matches picture", False: " · unrelated sound", None: ""}[
        hit.av_correspondence
    ]
    badge = {"none": " · no sound", "silent": " · silent track", "sound": match}[hit.sound]
    why = "".join(f"<li>{escape(line)}</li>" for line in reasons(hit))
    return f"""<article class="{hit.confidence}"><a href="{escape(link)}">{image}</a>
<h3>{hit.rank}. {escape("/".join(Path(hit.path).parts[-2:]))}</h3>
<p>{clock(hit.start_s)} – {clock(hit.end_s)} · {hit.confidence} · {hit.score:.2f}{badge}</p>
{_contribution("seen", hit, max(hit.seen, 0) / top, hit.frame_times_s, hit.frame_weights)}
{_contribution("heard", hit, max(hit.heard, 0) / top, hit.sound_times_s, hit.sound_weights)}
<ul>{why}</ul><p class="path">{escape(hit.path)}</p></article>"""


def _contribution(
    modality: str, hit: Hit, part: float, times: tuple[float, ...], weights: tuple[float, ...]
) -> str:
    """A bar for how much a modality contributed, and a heat strip for when: one cell per token."""
    length = max(hit.end_s - hit.start_s, 1e-3)
    width = 100 / max(len(times), 1)
    cells = "".join(
        f'<rect x="{(time - hit.start_s) / length * 100 - width / 2:.2f}" width="{width:.2f}" '
        f'height="8" opacity="{weight * part:.2f}"><title>{clock(time)}</title></rect>'
        for time, weight in zip(times, weights, strict=True)
    )
    return (
        f'<div class="modality {modality}"><span>{modality}</span><svg viewBox="0 0 100 8" '
        f'preserveAspectRatio="none" role="img" aria-label="{modality}: {part:.0%} of the best">'
        f'<rect width="{100 * part:.1f}" height="8"></rect></svg><span>when</span>'
        f'<svg viewBox="0 0 100 8" preserveAspectRatio="none" role="img" '
        f'aria-label="when it was {modality}">{cells}</svg></div>'
    )

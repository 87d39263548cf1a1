"""What goes in and comes out, as the OpenAPI document says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Ident = Annotated[str, Field(pattern=r"^[0-9a-f]{32}-\d{4,}$", examples=["0" * 32 + "-0000"])]
Words = Annotated[str, Field(max_length=1000)]
Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
ModeName = Literal["both", "seen", "heard"]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Where(Shape):
    """Which files a search may look at."""

    folder: Annotated[str, Field(max_length=4096)] | None = None
    min_duration_s: Seconds | None = None
    max_duration_s: Seconds | None = None
    has_sound: bool | None = None
    sound_fits: bool | None = None
    added_since_us: Annotated[int, Field(ge=0, le=2**53)] | None = None


class Ask(Shape):
    """A search: words, or `item`, a moment that the wanted ones are like."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "a dog barking", "limit": 24}]}
    )
    text: Words = ""
    item: Ident | Literal[""] = ""
    mode: ModeName = "both"
    heard_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 24
    offset: Annotated[int, Field(ge=0, le=1000)] = 0
    exact: bool = False
    where: Where = Field(default_factory=Where)


class Tag(Shape):
    name: str
    share: float


class Strip(Shape):
    """When: the middle of each token in seconds of the file, and its weight (0..1)."""

    times_s: list[float]
    weights: list[float]
    tags: list[Tag]


class HitOut(Shape):
    """A found moment; `seen` and `heard` add up to `score`."""

    rank: int
    item: str
    video: str
    path: str
    name: str
    start_s: float
    end_s: float
    duration_s: float
    fps: float
    score: float
    band: Literal["strong", "fair", "weak"]
    seen: float
    heard: float
    sound: Literal["none", "silent", "sound"]
    sound_fits: bool | None
    sight: Strip
    hearing: Strip
    thumbnail: str
    media: str
    proxy: str
    frame: str


class AnswerOut(Shape):
    """The hits, best first; `next_offset` is null at the end."""

    engine: str
    verdict: str
    heard_share: float
    items_searched: int
    videos_searched: int
    hits: list[HitOut]
    next_offset: int | None


class ItemOut(Shape):
    item: str
    video: str
    path: str
    start_s: float
    end_s: float
    sound: Literal["none", "silent", "sound"]
    thumbnail: str
    media: str
    proxy: str
    frame: str


class ItemsOut(Shape):
    items: list[ItemOut]
    next: str | None = Field(description="`after` of the next page, null at the end")


class Failed(Shape):
    path: str
    reason: str


class StatusOut(Shape):
    root: str
    engine: str
    fingerprint: str
    videos: int
    items: int
    hours: float
    without_sound: int
    size_bytes: int
    failed: list[Failed]
    folders: list[str]


class IngestIn(Shape):
    """Files and folders of the machine that serves."""

    paths: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=4096)]],
        Field(min_length=1, max_length=100),
    ]
    prune: bool = False


class JobOut(Shape):
    id: str
    state: Literal["running", "done", "cancelled", "failed"]
    done: float
    total: float
    indexed: int
    items: int
    problems: list[Failed]
    error: str


class Chosen(Shape):
    """A stretch of a moment's file to hand on."""

    item: Ident
    start_s: Seconds | None = None
    end_s: Seconds | None = None
    title: Annotated[str, Field(max_length=200)] = ""


class ExportIn(Shape):
    format: Literal["csv", "json", "edl", "otio", "clips"]
    moments: Annotated[list[Chosen], Field(min_length=1, max_length=500)]
    exact: bool = Field(default=False, description="clips: encode again, exact to the frame")

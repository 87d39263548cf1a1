"""Request and response bodies, as in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ItemId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}-\d{4,}$", examples=["0" * 32 + "-0000"])]
Words = Annotated[str, Field(max_length=1000)]
Seconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False, examples=[4.5])]
VideoId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["0" * 32])]
FilePath = Annotated[str, Field(examples=["/films/farm.mp4"])]
Share = Annotated[float, Field(examples=[0.6])]
Link = Annotated[str, Field(examples=["/api/v1/items/" + "0" * 32 + "-0000/thumbnail"])]
SoundName = Annotated[Literal["none", "silent", "sound"], Field(examples=["sound"])]
ModeName = Literal["both", "seen", "heard"]


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FilterIn(Schema):
    """Restricts a search to some files."""

    folder: Annotated[str, Field(max_length=4096)] | None = Field(default=None, examples=["/films"])
    min_duration_s: Seconds | None = None
    max_duration_s: Seconds | None = None
    has_sound: bool | None = None
    av_correspondence: bool | None = None
    added_since_us: Annotated[int, Field(ge=0, le=2**53)] | None = None


class SearchIn(Schema):
    """A search by `text`, or by `item`, a moment of the library to find similar ones."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "a dog barking", "limit": 24}]}
    )
    text: Words = ""
    item: ItemId | Literal[""] = ""
    mode: ModeName = "both"
    audio_weight: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 24
    offset: Annotated[int, Field(ge=0, le=1000)] = 0
    exact: bool = False
    where: FilterIn = Field(default_factory=FilterIn)


class TagOut(Schema):
    name: Annotated[str, Field(examples=["Bark"])]
    share: Share


class TimelineOut(Schema):
    """When it matched: the middle of each token in seconds of the file, and its weight (0..1)."""

    times_s: Annotated[list[float], Field(examples=[[0.5, 1.5]])]
    weights: Annotated[list[float], Field(examples=[[1.0, 0.2]])]
    tags: list[TagOut]


class HitOut(Schema):
    """A found moment; `seen` and `heard` add up to `score`."""

    rank: Annotated[int, Field(examples=[1])]
    item: ItemId
    video: VideoId
    path: FilePath
    name: Annotated[str, Field(examples=["farm.mp4"])]
    start_s: Seconds
    end_s: Seconds
    duration_s: Seconds
    fps: Annotated[float, Field(examples=[25.0])]
    score: Annotated[float, Field(examples=[2.1])]
    confidence: Annotated[Literal["strong", "fair", "weak"], Field(examples=["strong"])]
    seen: Annotated[float, Field(examples=[1.3])]
    heard: Annotated[float, Field(examples=[0.8])]
    sound: SoundName
    av_correspondence: bool | None = Field(description="null where unknown")
    seen_timeline: TimelineOut
    heard_timeline: TimelineOut
    thumbnail: Link
    media: Link
    proxy: Link
    frame: Link


class AnswerOut(Schema):
    """The hits, best first; `next_offset` is null at the end."""

    engine: Annotated[str, Field(examples=["tags"])]
    verdict: Annotated[
        str, Field(examples=["nothing here matches well; these are only the nearest moments"])
    ]
    audio_weight: Share
    items_searched: Annotated[int, Field(examples=[60])]
    videos_searched: Annotated[int, Field(examples=[57])]
    hits: list[HitOut]
    next_offset: Annotated[int | None, Field(examples=[24])]


class ItemOut(Schema):
    item: ItemId
    video: VideoId
    path: FilePath
    start_s: Seconds
    end_s: Seconds
    sound: SoundName
    thumbnail: Link
    media: Link
    proxy: Link
    frame: Link


class ItemsOut(Schema):
    items: list[ItemOut]
    next: str | None = Field(
        description="`after` of the next page, null at the end", examples=["0" * 32 + "-0000"]
    )


class FailedOut(Schema):
    path: FilePath
    reason: Annotated[str, Field(examples=["it holds neither pictures nor sound"])]


class StatusOut(Schema):
    root: Annotated[str, Field(examples=["/films/.seehear"])]
    engine: Annotated[str, Field(examples=["tags"])]
    fingerprint: str
    has_av_correspondence: bool = Field(
        description="whether the filter `av_correspondence` can be used"
    )
    videos: int
    items: int
    hours: float
    without_sound: int
    size_bytes: int
    failed: list[FailedOut]
    folders: list[str]


class IngestIn(Schema):
    """Files and folders of the serving machine."""

    paths: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=4096)]],
        Field(min_length=1, max_length=100, examples=[["/films"]]),
    ]
    prune: bool = False


class JobOut(Schema):
    id: Annotated[str, Field(examples=["0" * 16])]
    state: Literal["running", "done", "cancelled", "failed"]
    done: float
    total: float
    indexed: int
    items: int
    problems: list[FailedOut]
    error: str


class MomentIn(Schema):
    """A stretch of a moment's file to export."""

    item: ItemId
    start_s: Seconds | None = None
    end_s: Seconds | None = None
    title: Annotated[str, Field(max_length=200, examples=["the dog barks"])] = ""


class ExportIn(Schema):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"format": "edl", "moments": [{"item": "0" * 32 + "-0000"}]}]
        },
    )
    format: Literal["csv", "json", "edl", "otio", "clips"]
    moments: Annotated[list[MomentIn], Field(min_length=1, max_length=500)]
    exact: bool = Field(default=False, description="clips: encode again, exact to the frame")

"""What each model costs: parameters, tokens and bytes that a library stores, work per candidate.

Papers' settings with CLIP ViT-B/32 and AST-base; an item of 12 frames and 1212 sound tokens, random
numbers; ten seconds in all, so `--quick` changes nothing. Parameters are those above CLIP and AST;
what sits inside CLIP's tower is counted with them. Work is what `score` does for one query and one
stored item, counted by torch. Sound counts as stored only where muting an item changes its score.
`--docs docs` rewrites the table of models.md.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPConfig, CLIPModel

sys.path.append(str(Path(__file__).parents[1]))
from _report import arguments, report
from seehear.models import build_model, list_models
from seehear.models.eclipse import AudioVisualEncoder
from seehear.nn.tokens import TokenBatch

FRAMES, SOUNDS, DIM, SOUND_DIM, WORDS = 12, 1212, 512, 768, 32
WIDTHS = {"dstc": (256, 1024), "dstc.query": (256, 1024)}  # query and frames, where not 512
GIVEN = {"ts2net": 50 * FRAMES, "centerclip": FRAMES // 2}  # tokens of a model's own encoder
KNOWN = {"xpool": 1_316_352, "ts2net selection": 263_424}  # of the papers' own code
PUBLISHED = {  # MSR-VTT-9k, text to video: R@1 / R@5 / R@10, and where it is printed
    "avigate": "50.2 / 74.7 / 82.9 (log of the authors' release)",
    "avma": "30.2 / 58.8 / 68.9 (1k-A; AVMA supplement, Table 2)",
    "centerclip": "44.2 / 71.6 / 82.1 (TEFAL, Table 3)",
    "clip4clip.meanp": "43.1 / 70.4 / 80.8 (TEFAL, Table 3)",
    "eclipse": "44.9 / 71.3 / 81.6 (TEFAL, Table 3)",
    "tefal": "49.4 / 75.9 / 83.9 (TEFAL, Table 3)",
    "ts2net": "47.0 / 74.5 / 83.8 (TEFAL, Table 3)",
    "xclip": "46.1 / 73.0 / 83.1 (TEFAL, Table 3)",
    "xpool": "46.9 / 72.8 / 82.2 (TEFAL, Table 3)",
}
OURS = {  # digits-av, R@1 of 1,000 on `whole` / `part`, three seeds; src/seehear_lab/LOG.md
    "clip4clip.seqtransf": "- / 7.3",
    "tefal": "90.4 / 27.0",
    "xpool": "4.5 / 3.2",
}
START, END = "<!-- table: benchmarks/lab/model_table.py -->", "<!-- end of table -->"


@dataclass(frozen=True)
class Row:
    """The figures of one model."""

    name: str
    parameters: int
    frames: int
    sounds: int
    size_bytes: int
    flops: float
    is_one_vector: bool


def item(name: str) -> TokenBatch:
    """What the encoder of a model gives for two clips."""
    frames, (_, dim) = GIVEN.get(name, FRAMES), WIDTHS.get(name, (DIM, DIM))
    return TokenBatch(
        frames=torch.randn(2, frames, dim),
        frame_mask=torch.ones(2, frames, dtype=torch.bool),
        audio=torch.randn(2, SOUNDS, SOUND_DIM),
        audio_mask=torch.ones(2, SOUNDS, dtype=torch.bool),
    )


def parameters(name: str, model: nn.Module) -> int:
    """Numbers to train above CLIP and AST, without the scale; ECLIPSE's are inside CLIP."""
    count = sum(x.numel() for key, x in model.named_parameters() if key != "logit_scale")
    if name == "eclipse":
        with torch.device("meta"):
            encoder = AudioVisualEncoder(CLIPModel(CLIPConfig()))
        count += sum(
            x.numel() for part in (encoder.listen, encoder.blocks) for x in part.parameters()
        )
    return count


@torch.inference_mode()
def measure(name: str) -> Row:
    """One model with its paper's settings."""
    torch.manual_seed(0)
    model, raw = build_model(name).eval(), item(name)
    dim = WIDTHS.get(name, (DIM, DIM))[0]
    query = torch.randn(1, 1 + WORDS, dim) if name == "xclip" else torch.randn(1, dim)
    items = model.encode_items(raw)
    with FlopCounterMode(display=False) as counter:
        scores = model.score(query, items)
    muted = model.encode_items(replace(raw, audio_mask=torch.zeros_like(raw.audio_mask)))
    hears = not torch.equal(model.score(query, muted), scores)
    kept = items.audio.shape[1:] if hears else (0, 0)
    frames = items.frames.shape[1:]
    return Row(
        name=name,
        parameters=parameters(name, model),
        frames=frames[0],
        sounds=kept[0],
        size_bytes=2 * (frames[0] * frames[1] + kept[0] * kept[1]),
        flops=counter.get_total_flops() / len(scores[0]),
        is_one_vector=_is_one_vector(model, query, items, scores),
    )


def _is_one_vector(model: Any, query: Tensor, items: TokenBatch, scores: Tensor) -> bool:
    """Whether the stored summary of an item says all that its score needs."""
    if query.ndim > 2:
        return False
    unit = torch.nn.functional.normalize(query, dim=-1)
    return torch.allclose(unit @ model.summary(items).T, scores, atol=1e-5)


def markdown(rows: list[Row]) -> str:
    """The table of docs/models.md."""
    heads = "model | paper | parameters | tokens stored: frames + sound | bytes | "
    heads += "MFLOP per candidate | needs stage 2 | published R@1 / 5 / 10, MSR-VTT-9k | "
    heads += "ours, digits-av"
    lines = [f"| {heads} |", "|---|---|---:|---:|---:|---:|---|---|---|"]
    for row in rows:
        work = "-" if row.is_one_vector else f"{row.flops / 1e6:,.2f}"
        stage_2 = "no" if row.is_one_vector else "yes"
        sizes = f"{row.parameters:,} | {row.frames} + {row.sounds} | {row.size_bytes:,} | {work}"
        figures = f"{PUBLISHED.get(row.name, '')} | {OURS.get(row.name, '')}"
        lines.append(f"| `{row.name}` | {paper(row.name)} | {sizes} | {stage_2} | {figures} |")
    return "\n".join(lines)


def paper(name: str) -> str:
    """Authors and place, as the first line of the model's file has them."""
    about = (import_module(f"seehear.models.{name.partition('.')[0]}").__doc__ or "").splitlines()
    return about[0].rpartition("(")[2].partition(")")[0]


def rewrite(path: Path, table: str) -> None:
    """Put the table between its two marks."""
    text = path.read_text(encoding="utf-8")
    head, rest = text.split(START)
    path.write_text(f"{head}{START}\n{table}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> int:
    options = arguments(__doc__ or "", docs="rewrite the table of models.md in this folder")
    rows = [measure(name) for name in list_models()]
    figures: list[tuple[str, float, str]] = []
    for row in rows:
        figures.append((f"{row.name}, parameters", row.parameters, ""))
        figures.append((f"{row.name}, stored", row.size_bytes / 1000, "kB"))
        figures.append((f"{row.name}, score", row.flops / 1e6, "MFLOP"))
    selection: Any = build_model("ts2net").get_submodule("select")
    counted = {row.name: row.parameters for row in rows}
    counted["ts2net selection"] = sum(x.numel() for x in selection.parameters())
    report(figures, packages=["torch", "transformers"], to=options.json)
    if options.docs:
        rewrite(options.docs / "models.md", markdown(rows))
    wrong = {name: counted[name] for name, known in KNOWN.items() if counted[name] != known}
    for name, count in wrong.items():
        print(f"{name} has {count:,} parameters, not the {KNOWN[name]:,} of its paper's code")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

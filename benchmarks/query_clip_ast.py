"""A warm text query of the engine clip-ast on 10,000 moments, against the same model in torch.

    python benchmarks/query_clip_ast.py [--quick] [--json FILE]

Ours: all of `Library.search`, from words to reasons: CLIP's text tower (ViT-B/32's sizes) in
onnxruntime, two stages over an X-Pool head, thresholds, attention of ten hits. Baseline: the same
text tower in torch, then X-Pool in torch on 1,000 candidates in memory. Weights are random and
moments made up: the figures are times and say nothing about quality. `--quick`: 1,000 moments and 3
layers a tower.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel

from _report import arguments, report
from _scoring_memory import model, theirs
from query import search_all
from seehear import Library
from seehear.engine import Engine, create_engine
from seehear.models import build_model
from seehear.store import Store
from seehear.types import Tokens
from store import make

DIM, FRAMES, CANDIDATES, BATCH, QUERIES = 512, 12, 1000, 500, 60
WORDS = ("red", "dog", "car", "sea", "song", "man", "horse", "tree", "street", "night")


def folder_of_weights(folder: Path, layers: int) -> tuple[Path, CLIPModel]:
    torch.manual_seed(0)
    tower = {"num_hidden_layers": layers, "hidden_act": "quick_gelu"}
    clip = CLIPModel(CLIPConfig(vision_config=tower, text_config=tower, projection_dim=DIM)).eval()
    clip.save_pretrained(folder / "clip", safe_serialization=True)
    words = {word: number for number, word in enumerate(("<unk>", "a", "photo", "of", *WORDS))}
    words |= {"<s>": 49406, "</s>": 49407}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 49406), ("</s>", 49407)]
    )
    tokenizer.save(str(folder / "clip" / "tokenizer.json"))
    head = build_model("xpool", dim=DIM)
    for parameter in head.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    save_file(head.state_dict(), folder / "head.safetensors")
    (folder / "head.json").write_text(json.dumps({"model": "xpool", "settings": {"dim": DIM}}))
    return folder, clip


def fill(root: Path, engine: Engine, count: int) -> None:
    rng, nothing = np.random.default_rng(0), np.zeros((BATCH, 0, DIM), np.float16)
    with Store.create(root, model=engine.manifest, seen_dim=DIM, heard_dim=DIM) as store:
        for at in range(0, count, BATCH):
            frames = rng.standard_normal((BATCH, FRAMES, DIM), np.float32)
            frames += 1.5 * rng.standard_normal((BATCH, 1, DIM), np.float32)
            frames -= frames.mean(-1, keepdims=True)
            frames /= frames.std(-1, keepdims=True)
            tokens = Tokens(
                frames=frames.astype(np.float16),
                frame_mask=np.ones((BATCH, FRAMES), bool),
                frame_times_s=np.tile(np.arange(FRAMES) + 0.5, (BATCH, 1)),
                audio=nothing,
                audio_mask=np.zeros((BATCH, 0), bool),
                audio_times_s=np.zeros((BATCH, 0)),
            )
            seen = engine.summary(tokens).frames[:, 0].astype(np.float16)
            store.put([item_of(at + row, tokens, row, seen[row]) for row in range(BATCH)])
        store.maintain()


def item_of(number: int, tokens: Tokens, row: int, seen: np.ndarray) -> tuple:
    one = Tokens(**{name: value[row : row + 1] for name, value in vars(tokens).items()})
    video, (item,) = make(number, np.zeros(1000), np.zeros(521), np.zeros((8, 1521)))
    item = replace(item, seen=seen, heard=np.zeros(DIM), sound="none", tokens=one)
    return replace(video, sound="none"), [item]


def reference(clip: CLIPModel, texts: list[str]) -> list[float]:
    """Milliseconds of the text tower and of X-Pool in torch on its candidates."""
    xpool = model(seed=1)
    tokens = np.random.default_rng(1).standard_normal((CANDIDATES, FRAMES, DIM), np.float32)
    taken = []
    for text in texts:
        begun = time.perf_counter()
        with torch.inference_mode():
            ids = torch.tensor([[49406, *range(1, 1 + len(text.split())), 49407]])
            query = clip.get_text_features(input_ids=ids).pooler_output.numpy()
        theirs(xpool, query, tokens)
        taken.append(1000 * (time.perf_counter() - begun))
    return taken[2:]


def main() -> int:
    options = arguments((__doc__ or "").splitlines()[0])
    count, layers = (1_000, 3) if options.quick else (10_000, 12)
    rng = np.random.default_rng(2)
    texts = [f"a photo of a {' '.join(rng.permutation(WORDS)[:6])}" for _ in range(QUERIES)]
    with tempfile.TemporaryDirectory() as place:
        os.environ["SEEHEAR_CACHE"] = str(Path(place) / "cache")
        weights, clip = folder_of_weights(Path(place) / "weights", layers)
        fill(Path(place) / "library", create_engine(models=weights), count)
        with Library.open(Path(place) / "library") as library:
            ours = search_all(library, texts[: QUERIES // 2])
            baseline = reference(clip, texts[: QUERIES // 4])
            again = search_all(library, texts[QUERIES // 2 :])
            begun = time.perf_counter()
            assert library.preload_frames() == count
            warming = time.perf_counter() - begun
            held = search_all(library, texts)["total"]
    rows: list[tuple[str, float, str]] = [("moments", count, "")]
    for part in ours:
        values = ours[part] + again[part]
        rows += [(f"{part}, p{p}", float(np.percentile(values, p)), "ms") for p in (50, 95)]
    median = float(np.median(baseline))
    rows.append((f"torch, {CANDIDATES} candidates, p50", median, "ms"))
    rows.append(("preloading the frames of all moments", warming, "s"))
    preloaded = [np.percentile(held, p) for p in (50, 95)]
    rows += [
        (f"total, preloaded, p{p}", float(x), "ms")
        for p, x in zip((50, 95), preloaded, strict=True)
    ]
    total = float(np.median(ours["total"] + again["total"]))
    rows.append(("the search is faster", median / total, "x"))
    report(rows, packages=["torch", "onnxruntime", "numba", "pylance"], to=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

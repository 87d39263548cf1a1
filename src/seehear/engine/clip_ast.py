"""The papers' engine: CLIP for sight, AST for sound, a trained text-conditioned head on both."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Num
from torch.nn import functional as F

from seehear.engine.clip_ast_files import ClipAstFiles
from seehear.engine.clip_ast_match import Matcher
from seehear.engine.clip_ast_scan import SightScan
from seehear.engine.clip_ast_scores import Scores
from seehear.engine.clip_ast_towers import Towers
from seehear.engine.example import example_query
from seehear.engine.scoring import layer_norm_no_affine, packed
from seehear.engine.sound_layouts import merged, time_pooled
from seehear.engine.tags_files import picture_tags
from seehear.nn.pooling import masked_mean
from seehear.nn.tokens import TokenBatch
from seehear.types import Clip, EncodedQuery, Explanation, MediaSpec, ModalityScores, Tokens

MERGED = 64  # sound tokens of the layout of that name
BANK_STEP = 8  # every 8th picture name calibrates scores: 125 sentences, encoded once


class ClipAstEngine:
    """TEFAL's two pools (or X-Pool's one) over stored tokens; cosines, split into seen and heard.

        z = z_seen + z_heard,   s = cos(t, z) = t.z_seen / |t||z| + t.z_heard / |t||z|

    Tokens are stored layer-normalised without gain and bias, as the head's first norm starts.
    Stage-1 vectors are the block's output under uniform attention, at unit length, or the mean of
    tokens if head.json says so. An item without sound scores by sight alone.

    Source: TEFAL, section 3.2; X-Pool, section 3.3.
    Differs: the papers take the mean before the norm, not after it.
    """

    name = "clip-ast"
    scores_summaries = False

    def __init__(self, files: ClipAstFiles) -> None:
        self._files = files
        self._towers = Towers(files)
        self._head = files.head()
        self.hears = hasattr(self._head, "hear")
        self._scores = Scores(self._head)
        self._matcher = Matcher.load(files.folder)
        self.seen_dim = self.heard_dim = int(self._head.see.norm_out.normalized_shape[0])
        self.media = MediaSpec(side_px=files.side_px, resize="pillow")

    @property
    def manifest(self) -> dict[str, Any]:
        return self._files.manifest

    def encode_clip(self, clip: Clip) -> Tokens:
        """Frame tokens: CLIP features; sound tokens: AST patches through the head's projection."""
        frames = np.zeros((0, self.seen_dim), np.float32)
        if len(clip.frames):
            frames = self._towers.encode_frames(clip.frames)
        audio, times = np.zeros((0, self.heard_dim), np.float32), np.zeros(0)
        if self.hears and clip.sound == "sound":
            patches, times = self._towers.encode_waveform(clip.waveform)
            patches, times = self.reduce_sound(patches, times)
            with torch.inference_mode():
                audio = self._head.project(torch.from_numpy(patches)).numpy()
        return Tokens(
            frames=self._stored(frames)[None],
            frame_mask=np.ones((1, len(frames)), bool),
            frame_times_s=np.asarray(clip.frame_times_s, np.float64)[None],
            audio=self._stored(audio)[None],
            audio_mask=np.ones((1, len(audio)), bool),
            audio_times_s=(clip.start_s + times)[None],
        )

    def reduce_sound(
        self, patches: Float32[np.ndarray, "token dim"], times: Float[np.ndarray, " token"]
    ) -> tuple[Float32[np.ndarray, "kept dim"], Float[np.ndarray, " kept"]]:
        """All patches, or means over frequency, or means of MERGED groups of about equal size.

        Group sizes differ by one in nineteen at most; the attention ignores that.
        """
        layout, rows = self._files.sound_tokens, self._towers.grid.rows
        if layout == "full":
            return patches, times
        grid = packed(np.column_stack([patches, times.astype(np.float32)]), np.array([len(times)]))
        fewer = (
            time_pooled(grid, frequencies=rows)
            if layout == "time"
            else merged(grid, into=MERGED, frequencies=rows)
        )
        return fewer.values[:, :-1], fewer.values[:, -1].astype(np.float64)

    def _stored(self, tokens: Float32[np.ndarray, "token dim"]) -> Num[np.ndarray, "token dim"]:
        """Layer norm without affine, as float16, or as int8 with each token divided by its maximum.

        The scale of an int8 token is not stored: its variance of one restores it.
        """
        normed = layer_norm_no_affine(tokens, eps=1e-5)
        if self._files.token_type == "float16":
            return normed.astype(np.float16)
        largest = np.maximum(np.abs(normed).max(1, keepdims=True, initial=0), 1e-9)
        return np.rint(normed * (127 / largest)).astype(np.int8)

    def summary(self, tokens: Tokens) -> Tokens:
        """u_v and u_a: each block's output under uniform attention, at unit length.

        With `"summaries": "mean"` in head.json: the mean of the tokens, as in the papers.
        """
        batch, is_mean = TokenBatch.from_tokens(tokens), self._files.summaries == "mean"
        with torch.inference_mode():
            by_sight = masked_mean if is_mean else self._head.see.pool_uniformly
            seen = F.normalize(by_sight(batch.frames, batch.frame_mask), dim=-1)
            heard = torch.zeros(len(seen), self.heard_dim)
            if self.hears:
                by_sound = masked_mean if is_mean else self._head.hear.pool_uniformly
                heard = F.normalize(by_sound(batch.audio, batch.audio_mask), dim=-1)
        nowhere = np.zeros((len(seen), 1))
        return Tokens(
            frames=seen.numpy()[:, None],
            frame_mask=np.any(tokens.frame_mask, axis=1, keepdims=True),
            frame_times_s=nowhere,
            audio=heard.numpy()[:, None],
            audio_mask=np.any(tokens.audio_mask, axis=1, keepdims=True),
            audio_times_s=nowhere,
        )

    def encode_text(self, text: str) -> EncodedQuery:
        return self._query(self._towers.encode_texts([text]))

    def encode_example(self, clip: Clip) -> EncodedQuery:
        return example_query(self.summary(self.encode_clip(clip)))

    def calibration_queries(self) -> EncodedQuery:
        return self._calibration_queries

    @cached_property
    def _calibration_queries(self) -> EncodedQuery:
        names = [f"a photo of a {name}" for name, _ in picture_tags()[::BANK_STEP]]
        return self._query(self._towers.encode_texts(names))

    def _query(self, text: Float32[np.ndarray, "query dim"]) -> EncodedQuery:
        share = np.full(len(text), 0.5 if self.hears else 0.0, np.float32)
        return EncodedQuery(seen=text, heard=text, audio_weight=share)

    def score(self, query: EncodedQuery, tokens: Tokens) -> ModalityScores:
        """An audio weight of 0 or 1 scores one modality alone; others score both fully."""
        if query.is_example:
            return self._score_example(query, tokens)
        share = query.audio_weight[0]
        return self._scores.modalities(query.seen, tokens, by=(bool(share < 1), bool(share > 0)))

    def _score_example(self, query: EncodedQuery, tokens: Tokens) -> ModalityScores:
        """Cosines of the stage-1 vectors times the weight; NaN for a missing modality."""
        summary = self.summary(tokens)
        share = query.audio_weight[:, None]
        seen = (1 - share) * (query.seen @ summary.frames[:, 0].T)
        heard = share * (query.heard @ summary.audio[:, 0].T)
        return ModalityScores(
            seen=np.where(summary.frame_mask[:, 0], seen, np.nan).astype(np.float32),
            heard=np.where(summary.audio_mask[:, 0], heard, np.nan).astype(np.float32),
        )

    def scan(self) -> SightScan | None:
        """None for a head with several attention heads, which is scored in torch."""
        block = self._scores.sight
        return SightScan(block) if block else None

    @property
    def has_av_correspondence(self) -> bool:
        return self._matcher is not None

    def av_correspondence(self, tokens: Tokens) -> list[bool | None]:
        """By the matcher in the folder of weights; None without one."""
        if self._matcher is None:
            return [None] * len(tokens.frames)
        return self._matcher.av_correspondence(tokens)

    def explain(self, query: EncodedQuery, tokens: Tokens) -> Explanation:
        """Attention over frames, and over seconds (the frequency rows of a column summed)."""
        frames = self._scores.attention(0, query.seen, tokens.frames, tokens.frame_mask)
        sounds = np.zeros(0, np.float32)
        if self.hears and tokens.audio_mask.any():
            sounds = self._scores.attention(1, query.seen, tokens.audio, tokens.audio_mask)
            times = tokens.audio_times_s[0]
            _, column = np.unique(times, return_inverse=True)
            sounds = np.bincount(column, sounds)[column].astype(np.float32)
        return Explanation(
            frame_weights=frames / max(float(frames.max(initial=0)), 1e-9),
            sound_weights=sounds / max(float(sounds.max(initial=0)), 1e-9),
            seen_tags=(),
            heard_tags=(),
        )

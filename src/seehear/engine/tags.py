"""The embedded default: frozen taggers for sight and sound; text is compared with tag names."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from seehear.encoders import efficientnet_lite, yamnet
from seehear.encoders.minilm import SentenceEncoder
from seehear.encoders.onnx_graph import session
from seehear.engine.example import example_query
from seehear.engine.tags_files import TagsFiles
from seehear.engine.vectors import unit
from seehear.types import Clip, EncodedQuery, Explanation, MediaSpec, ModalityScores, Tokens

# Fitted by benchmarks/fit_tags.py on data outside the test clips; see docs/decisions/002.
SIGHT_TEMPERATURE = 0.03
SOUND_TEMPERATURE = 0.06
GATE_TEMPERATURE, GATE_OFFSET = 0.18, 0.11
# Presence at or below the floor counts for little. Sight: what label smoothing (0.1 / 1000) gives
# every class when the picture network is trained. Sound: what non-matching pairs reach in ESC-10.
SIGHT_FLOOR, SOUND_FLOOR = 1e-4, 2e-2
FRAMES_AT_ONCE = 2  # keeps memory small and the caches warm; larger batches are no faster


class TagsEngine:
    """Query-conditioned attention over tag tokens, one block for sight, one for sound, a text gate.

    t = MiniLM(text), C and D = MiniLM(names of the 1000 picture tags and of the 521 sound tags):

        a = softmax(C t / tau_s),  b = softmax(D t / tau_a)           attention over tags
        e_s = a . mean_f p_f,      e_a = b . max_j sigmoid(z_j)       expected presence
        w = sigmoid((max D t - max C t - offset) / tau_g)             share of sound
        score = (1 - w) ln(1 + e_s / floor_s) + w ln(1 + e_a / floor_a)

    p_f: class probabilities of frame f; z_j: class logits of sound patch j. For an example
    (picture, sound, clip) e_s and e_a are the cosines between its pooled tags and the item's.

    Differs: weaker than CLIP + AST, whose results it does not reproduce.
    """

    name = "tags"
    media = MediaSpec(side_px=efficientnet_lite.SIDE_PX, sample_rate_hz=yamnet.SAMPLE_RATE_HZ)
    seen_dim, heard_dim = 1000, 521
    hears = True
    scores_summaries = True

    def __init__(self, files: TagsFiles) -> None:
        self._files = files

    @property
    def manifest(self) -> dict[str, Any]:
        return self._files.manifest

    @cached_property
    def _sight(self) -> Any:
        return session(self._files.sight)

    @cached_property
    def _sound(self) -> Any:
        return session(self._files.sound)

    @cached_property
    def _text(self) -> SentenceEncoder:
        return SentenceEncoder(self._files.text, self._files.tokenizer)

    @cached_property
    def _names(self) -> dict[str, np.ndarray]:
        with np.load(self._files.names, allow_pickle=False) as file:
            return dict(file)

    def encode_clip(self, clip: Clip) -> Tokens:
        """Frame tokens: class probabilities; sound tokens: class presences, one every 0.48 s."""
        frames = np.zeros((len(clip.frames), self.seen_dim), np.float16)
        for at in range(0, len(frames), FRAMES_AT_ONCE):
            pictures = efficientnet_lite.preprocess(clip.frames[at : at + FRAMES_AT_ONCE])
            frames[at : at + FRAMES_AT_ONCE] = self._sight.run(None, {"pictures": pictures})[0]
        audio = np.zeros((0, self.heard_dim), np.float16)
        if clip.sound == "sound":
            patches = yamnet.log_mel_patches(clip.waveform)
            audio = _sigmoid(self._sound.run(None, {"patches": patches})[0]).astype(np.float16)
        middles = clip.start_s + yamnet.PATCH_SHIFT_S * np.arange(len(audio)) + yamnet.PATCH_S / 2
        return Tokens(
            frames=frames[None],
            frame_mask=np.ones((1, len(frames)), bool),
            frame_times_s=np.asarray(clip.frame_times_s, np.float64)[None],
            audio=audio[None],
            audio_mask=np.ones((1, len(audio)), bool),
            audio_times_s=middles[None],
        )

    def summary(self, tokens: Tokens) -> Tokens:
        """Mean of the frames' probabilities, maximum of the sound tokens' presences."""
        seen = _mean(tokens.frames.astype(np.float32), tokens.frame_mask)
        heard = _max(tokens.audio.astype(np.float32), tokens.audio_mask)
        return Tokens(
            frames=seen[:, None],
            frame_mask=np.any(tokens.frame_mask, axis=1, keepdims=True),
            frame_times_s=np.zeros((len(seen), 1)),
            audio=heard[:, None],
            audio_mask=np.any(tokens.audio_mask, axis=1, keepdims=True),
            audio_times_s=np.zeros((len(seen), 1)),
        )

    def encode_text(self, text: str) -> EncodedQuery:
        return self._attend(self._text.encode([text]))

    def encode_example(self, clip: Clip) -> EncodedQuery:
        return example_query(self.summary(self.encode_clip(clip)))

    def calibration_queries(self) -> EncodedQuery:
        """The names of all tags as text queries."""
        return self._calibration_queries

    @cached_property
    def _calibration_queries(self) -> EncodedQuery:
        return self._attend(self._names["bank"])

    def _attend(self, text: Float32[np.ndarray, "query 384"]) -> EncodedQuery:
        sight = text @ self._names["sight"].T
        sound = text @ self._names["sound"].T
        share = _sigmoid((sound.max(1) - sight.max(1) - GATE_OFFSET) / GATE_TEMPERATURE)
        return EncodedQuery(
            seen=_softmax(sight / SIGHT_TEMPERATURE),
            heard=_softmax(sound / SOUND_TEMPERATURE),
            audio_weight=share.astype(np.float32),
        )

    def score(self, query: EncodedQuery, tokens: Tokens) -> ModalityScores:
        pooled = self.summary(tokens)
        scaled = unit if query.is_example else np.asarray
        frames, audio = scaled(pooled.frames[:, 0]), scaled(pooled.audio[:, 0])
        share = query.audio_weight[:, None]
        seen = (1 - share) * np.log1p(scaled(query.seen) @ frames.T / SIGHT_FLOOR)
        heard = share * np.log1p(scaled(query.heard) @ audio.T / SOUND_FLOOR)
        return ModalityScores(
            seen=np.where(pooled.frame_mask[:, 0], seen, np.nan).astype(np.float32),
            heard=np.where(pooled.audio_mask[:, 0], heard, np.nan).astype(np.float32),
        )

    @property
    def has_av_correspondence(self) -> bool:
        return False

    def scan(self) -> None:
        """None: summaries give the exact score."""

    def av_correspondence(self, tokens: Tokens) -> list[bool | None]:
        """Not supported by this engine."""
        return [None] * len(tokens.frames)

    def explain(self, query: EncodedQuery, tokens: Tokens) -> Explanation:
        pooled = self.summary(tokens)
        frames = tokens.frames[0][tokens.frame_mask[0]].astype(np.float32)
        audio = tokens.audio[0][tokens.audio_mask[0]].astype(np.float32)
        return Explanation(
            frame_weights=_relative(frames @ query.seen[0]),
            sound_weights=_relative(audio @ query.heard[0]),
            seen_tags=_top(query.seen[0], pooled.frames[0, 0], self._files.sight_names),
            heard_tags=_top(query.heard[0], pooled.audio[0, 0], self._files.sound_names),
        )


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponent = np.exp(logits - logits.max(1, keepdims=True))
    return (exponent / exponent.sum(1, keepdims=True)).astype(np.float32)


def _mean(
    tokens: Float[np.ndarray, "item token dim"], mask: Bool[np.ndarray, "item token"]
) -> Float32[np.ndarray, "item dim"]:
    total = np.where(mask[..., None], tokens, 0).sum(1, dtype=np.float32)
    return total / np.maximum(mask.sum(1), 1)[:, None].astype(np.float32)


def _max(
    tokens: Float[np.ndarray, "item token dim"], mask: Bool[np.ndarray, "item token"]
) -> Float32[np.ndarray, "item dim"]:
    return np.where(mask[..., None], tokens, 0).max(1, initial=0).astype(np.float32)


def _relative(weights: np.ndarray) -> np.ndarray:
    return weights / max(float(weights.max(initial=0.0)), 1e-9)


def _top(
    attention: np.ndarray, presence: np.ndarray, names: list[str], count: int = 3
) -> tuple[tuple[str, float], ...]:
    """Tags that contributed most to the match, else the item's strongest; only tags present."""
    for weight in (attention * presence, presence):
        best = [i for i in np.argsort(-weight)[:count] if presence[i] >= 0.05 and weight[i] > 0]
        best = [i for i in best if names[i] != "Silence"]  # a pause explains nothing
        if best:
            return tuple((names[i], round(float(presence[i]), 3)) for i in best)
    return ()

"""Token encoding: round trips, damaged bytes, padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from samples import make_tokens

from seehear.store.tables import codec
from seehear.types import Tokens

DTYPES = st.sampled_from(["f2", "f4", "i1"])


@st.composite
def tokens(draw: st.DrawFn) -> Tokens:
    dtype = draw(DTYPES)

    def sequence(dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = draw(st.integers(0, 6))
        values = draw(hnp.arrays(dtype, (1, rows, dim)))
        times = draw(hnp.arrays("f4", (1, rows)))
        return values, draw(hnp.arrays(bool, (1, rows))), times

    frames, frame_mask, frame_times_s = sequence(draw(st.integers(1, 4)))
    audio, audio_mask, audio_times_s = sequence(draw(st.integers(1, 4)))
    return Tokens(
        frames=frames,
        frame_mask=frame_mask,
        frame_times_s=frame_times_s,
        audio=audio,
        audio_mask=audio_mask,
        audio_times_s=audio_times_s,
    )


@given(tokens())
def test_round_trip_keeps_unmasked_tokens(made: Tokens):
    frames, frame_times_s, audio, audio_times_s = codec.unpack(codec.pack(made, "x-0000"), "x-0000")
    for got, sent, mask in (
        (frames, made.frames, made.frame_mask),
        (frame_times_s, made.frame_times_s, made.frame_mask),
        (audio, made.audio, made.audio_mask),
        (audio_times_s, made.audio_times_s, made.audio_mask),
    ):
        assert got.dtype == sent.dtype
        np.testing.assert_array_equal(got, sent[0][mask[0]])


@given(tokens(), st.data())
def test_any_changed_byte_is_detected(made: Tokens, data: st.DataObject):
    raw = bytearray(codec.pack(made, "x-0000"))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError):
        codec.unpack(bytes(raw), "x-0000")


@given(tokens(), st.data())
def test_any_truncation_is_detected(made: Tokens, data: st.DataObject):
    raw = codec.pack(made, "x-0000")
    with pytest.raises(ValueError):
        codec.unpack(raw[: data.draw(st.integers(0, len(raw) - 1))], "x-0000")


def test_bytes_of_another_item_are_refused():
    raw = codec.pack(make_tokens(1, frames=2, sounds=2), "x-0000")
    with pytest.raises(ValueError, match="checksum"):
        codec.unpack(raw, "x-0001")


def test_frames_come_before_audio():
    made = make_tokens(1, frames=2, sounds=2)
    raw = codec.pack(made, "x-0000")
    frames = made.frames.tobytes()
    assert raw[codec.PREFIX_BYTES : codec.PREFIX_BYTES + len(frames)] == frames
    assert raw.index(made.audio.tobytes()) > raw.index(made.frame_times_s.tobytes())


def test_padding_is_masked_and_zero():
    one, two = make_tokens(1, frames=1, sounds=0), make_tokens(2, frames=3, sounds=2)
    parts = [codec.unpack(codec.pack(each, "x"), "x") for each in (one, two)]
    padded = codec.pad(parts)
    assert padded.frame_mask.tolist() == [[True, False, False], [True, True, True]]
    assert padded.audio_mask.tolist() == [[False, False], [True, True]]
    np.testing.assert_array_equal(padded.frames[1], two.frames[0])
    np.testing.assert_array_equal(padded.frames[0, 0], one.frames[0, 0])
    assert not padded.frames[0, 1:].any() and not padded.audio[0].any()
    assert padded.frames.dtype == np.float16


def test_a_batch_of_two_is_refused():
    made = make_tokens(1, frames=1, sounds=1)
    two = Tokens(**{name: np.concatenate([value] * 2) for name, value in vars(made).items()})
    with pytest.raises(ValueError, match="one item"):
        codec.pack(two, "x")

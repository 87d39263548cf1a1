"""Score your own vectors with TEFAL: three texts against five clips, the last one silent."""

import torch

from seehear.models import build_model
from seehear.nn.tokens import TokenBatch

model = build_model("tefal", dim=512, sound_dim=768).eval()  # load_state_dict for trained weights
texts = torch.randn(3, 512)
is_frame = torch.ones(5, 12, dtype=torch.bool)
is_sound = torch.arange(5)[:, None].expand(5, 101) < 4
frames, sound = torch.randn(5, 12, 512), torch.randn(5, 101, 768)
clips = TokenBatch(frames=frames, frame_mask=is_frame, audio=sound, audio_mask=is_sound)
with torch.inference_mode():
    scores = model.score(model.encode_query(texts), model.encode_items(clips))  # [text clip]
print(scores)

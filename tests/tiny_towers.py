"""Write folders of tiny CLIP and AST models with random weights, and damage them."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["<unk>", "a", "dog", "barks", "cat", "the", "of", "on", "at", "red", "car", "song", "drum"]


def make_clip_folder(folder: Path, *, dim: int = 32, wide: int = 96, seed: int = 0) -> Path:
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    tower = {"hidden_size": 48, "intermediate_size": wide, "num_hidden_layers": 2}
    tower |= {"num_attention_heads": 4, "hidden_act": "quick_gelu"}
    ids = {"vocab_size": 120, "bos_token_id": 118, "eos_token_id": 119, "pad_token_id": 0}
    config = CLIPConfig(
        text_config=tower | ids | {"max_position_embeddings": 20},
        vision_config=tower | {"image_size": 64, "patch_size": 16},
        projection_dim=dim,
    )
    CLIPModel(config).save_pretrained(folder, safe_serialization=True)
    vocabulary = {word: i for i, word in enumerate(WORDS)} | {"<s>": 118, "</s>": 119}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 118), ("</s>", 119)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def make_ast_folder(folder: Path, *, rows: int = 1024, stride: int = 10, seed: int = 0) -> Path:
    from transformers import ASTConfig, ASTModel

    torch.manual_seed(seed)
    config = ASTConfig(
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_length=rows,
        num_mel_bins=128,
        frequency_stride=stride,
        time_stride=stride,
    )
    ASTModel(config).save_pretrained(folder, safe_serialization=True)
    return folder


def configure(folder: Path, **values: object) -> None:
    """Change values of a config.json; in that of CLIP, those of the picture tower."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.get("vision_config", config).update(values)
    path.write_text(json.dumps(config))


def cut(path: Path) -> None:
    """Truncate a file to its first half, like an interrupted download."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without(folder: Path, ending: str) -> None:
    """Remove the weights whose names end with `ending`."""
    path = folder / "model.safetensors"
    kept = {name: value for name, value in load_file(path).items() if not name.endswith(ending)}
    save_file(kept, path, metadata={"format": "pt"})

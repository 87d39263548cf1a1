"""Load a model of transformers from a folder, and refuse folders that are incomplete."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seehear.errors import ModelError, listed, shorten


def require_files(folder: Path, names: Sequence[str], what: str) -> None:
    """Check that a folder of weights has all its files.

    Raises: ModelError if one is missing.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{folder} is not a complete {what} folder: {', '.join(missing)} missing; it needs "
            f"{', '.join(names)} as published on the Hugging Face hub"
        )


def load_tower(model_class: Any, folder: Path, what: str) -> Any:
    """Load a model for inference; all of its weights must come from the folder.

    A classifier on top and old buffers (position_ids) are ignored.

    Raises: ModelError if a file is damaged or the weights do not fit config.json.
    """
    try:
        with silence_transformers():
            model, info = model_class.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # all of them are reported below
                output_loading_info=True,
            )
    except Exception as error:  # the libraries share no error class for damaged files
        raise ModelError(
            f"the {what} weights in {folder} are damaged or of another kind ({shorten(error)}); "
            "fetch config.json and model.safetensors again"
        ) from error
    own = {name for name, _ in model.named_children()}
    extra = [name.removeprefix(f"{model.base_model_prefix}.") for name in info["unexpected_keys"]]
    wrong = {
        "missing": info["missing_keys"],
        "of another shape": [name for name, *_ in info["mismatched_keys"]],
        "more than it names": [
            name
            for name in extra
            if name.split(".")[0] in own and not name.endswith("position_ids")
        ],
    }
    found = [f"{listed(sorted(names), most=3)} {how}" for how, names in wrong.items() if names]
    if found:
        raise ModelError(
            f"the {what} weights in {folder} do not fit their config.json: {', '.join(found)}; "
            "fetch config.json and model.safetensors of one published model"
        )
    return model.eval()


@contextmanager
def silence_transformers() -> Generator[None]:
    """Turn off the progress bars and warnings of transformers inside a `with` block."""
    from transformers.utils import logging

    level, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if has_bar:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bar:
            logging.enable_progress_bar()

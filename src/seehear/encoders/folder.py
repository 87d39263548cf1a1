"""A tower of transformers from a folder: every weight comes from there, or it is refused."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seehear.errors import ModelError

SHOWN = 3


def require(folder: Path, names: Sequence[str], what: str) -> None:
    """Raises: ModelError (exit code 3) when a folder of weights is absent or not whole."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{folder} is no complete {what} folder: {', '.join(missing)} missing; it needs "
            f"{', '.join(names)} as published on the Hugging Face hub"
        )


def load_tower(model_class: Any, folder: Path, what: str) -> Any:
    """The model of a folder, ready for inference; none of its weights is made up.

    Raises: ModelError (exit code 3) for files that are damaged, or weights that are not those of
    config.json. A classifier on top and old buffers (position_ids) are passed over.
    """
    try:
        with quiet():
            model, info = model_class.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # told below, all together
                output_loading_info=True,
            )
    except Exception as error:  # each library below has errors of its own for a damaged file
        raise ModelError(
            f"the {what} weights in {folder} are damaged or of another kind ({in_short(error)}); "
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
    found = [f"{_listed(names)} {how}" for how, names in wrong.items() if names]
    if found:
        raise ModelError(
            f"the {what} weights in {folder} do not fit their config.json: {', '.join(found)}; "
            "fetch config.json and model.safetensors of one published model"
        )
    return model.eval()


def in_short(error: BaseException, *, most: int = 200) -> str:
    """What an error of another library says, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]} ..."


@contextmanager
def quiet() -> Generator[None]:
    """Without progress bars, reports and remarks of transformers."""
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


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"

"""The docs name every command, option, exit code and model, and their examples work."""

import re
from pathlib import Path

import torch
import typer.main

import seehear
from seehear import errors
from seehear.cli import app
from seehear.engine.clip_ast_files import CHOICES, KEYS
from seehear.models import build_model, registry

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MANUAL = README + "".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md")))


def mentions(text: str, words: str) -> bool:
    """Do the words occur on their own? `--models` is no mention of `--mode`."""
    return re.search(rf"(?<![\w-]){re.escape(words)}(?![\w-])", text) is not None


def test_a_longer_word_is_no_mention() -> None:
    assert mentions("give `--mode heard`, --json", "--mode") and mentions("--json", "--json")
    assert not mentions("--models DIR, --mode-x", "--mode")


def test_every_command_is_in_the_docs() -> None:
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert mentions(MANUAL, f"seehear {name}"), f"'seehear {name}' is not documented"


def test_every_option_is_in_the_docs() -> None:
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for option in command.params:
            for flag in (*option.opts, *option.secondary_opts):
                if flag.startswith("--"):
                    is_there = mentions(MANUAL, flag)
                    assert is_there, f"{flag} of 'seehear {name}' is not documented"


def test_every_exit_code_is_in_the_docs() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.SeeHearError):
            assert f"`{kind.__name__}`" in MANUAL
            assert f"| {kind.exit_code} |" in MANUAL


def test_public_names_are_what_is_exported() -> None:
    for name in seehear.__all__:
        assert getattr(seehear, name).__name__ == name
    assert sorted(seehear.__all__) == seehear.__all__


def test_every_command_shown_in_the_docs_exists() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for name in re.findall(r"^\s*seehear ([a-z]+)", MANUAL, flags=re.MULTILINE):
        assert name in known, f"the docs show 'seehear {name}', which does not exist"


def test_python_in_the_readme_compiles_and_uses_real_names() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")
        for name in re.findall(r"library\.(\w+)\(", block):
            assert hasattr(seehear.Library, name), f"Library has no {name}"


def test_every_model_is_in_the_docs_with_its_size() -> None:
    rows = dict(
        re.findall(r"^\| `([a-z0-9.]+)` \| [^|]+ \| ([0-9,]+) \|", MANUAL, flags=re.MULTILINE)
    )
    models = [name for name, entry in registry._ENTRIES.items() if _is_product(entry.model)]
    assert sorted(rows) == sorted(models)
    for name in models:
        with torch.device("meta"):
            model = build_model(name)
        count = sum(x.numel() for key, x in model.named_parameters() if key != "logit_scale")
        if name != "eclipse":  # its parameters are in its encoder
            assert rows[name] == f"{count:,}"


def _is_product(model: object) -> bool:
    return model.__module__.startswith("seehear.")


def test_nothing_is_left_half_done() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"\bTODO\b|\bFIXME\b|NotImplementedError", path.read_text("utf-8")), (
            path
        )


def test_every_key_of_head_json_is_in_the_docs() -> None:
    models = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    for key, values in CHOICES.items():
        assert f"| `{key}` | {', '.join(f'`{value}`' for value in values)} |" in models
    assert set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`\w+`.*?) \|", models, re.M)))
    ) >= set(KEYS)

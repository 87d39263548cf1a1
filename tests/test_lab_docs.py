"""The docs of the lab name its commands, options, data sets, tables and recipes."""

import re
from pathlib import Path

import typer.main

from seehear_lab.cli import app
from seehear_lab.datasets.spec import list_specs
from seehear_lab.experiments.recipe import load_recipe
from seehear_lab.recipes.reader import list_recipes
from test_docs import mentions

DOCS = Path(__file__).resolve().parents[1] / "docs"
MANUAL = "".join((DOCS / name).read_text("utf-8") for name in ("lab.md", "class-level.md"))
README = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")


def commands() -> dict[str, object]:
    found: dict[str, object] = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {})
        found |= {f"{name} {sub}": each for sub, each in inner.items()} or {name: command}
    return found


def test_every_command_and_option_is_in_the_docs() -> None:
    for name, command in commands().items():
        assert mentions(MANUAL + README, f"seehear-lab {name}"), name
        for option in command.params:  # type: ignore[attr-defined]
            for flag in option.opts:
                if flag.startswith("--") and "-o" not in option.opts:
                    assert mentions(MANUAL + README, flag), f"{flag} of 'seehear-lab {name}'"


def test_every_set_table_and_shown_recipe_exists() -> None:
    for name in list_specs():
        assert f"`{name}`" in MANUAL
    for table in {load_recipe(name).table for name in list_recipes()}:
        assert f"`{table}`" in MANUAL
    for name in re.findall(r"seehear-lab train (\w+) ", MANUAL):
        assert name in list_recipes()

"""The pages say what the code does: keys, defaults, commands, messages and examples are held against it."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from functools import cache
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest
import typer
from test_house import LAYERS

from murine import api
from murine.cli import app
from murine.config import Recipe, recipe_from_dict
from murine.config.recipes import SECTIONS
from murine.config.tomlfile import parse_value, read_toml
from murine.models import MODELS
from murine.project import store
from murine.project.values import CLIP_COLUMN, RESERVED
from murine.train.checking import recipe_faults
from murine.train.runs import CONFIG_FILE, ENVIRONMENT_FILE, MODEL_FILE, SPLITS_FILE, WEIGHTS_FILE

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def part(text: str, heading: str) -> str:
    """Return what stands between a heading and the next of its rank."""
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading '{heading}'"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all rows of Markdown tables that begin with `code`."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])] for line in lines]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@cache
def tables() -> ModuleType:
    spec = util.spec_from_file_location("docs_tables", DOCS / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_reached_from_the_index() -> None:
    listed = blocks(page("index"), re.escape("{toctree}"))[0].split()
    assert sorted([p.stem for p in PAGES if p.stem != "index"]) == sorted(
        name for name in listed if not name.startswith(":") and not name.isdigit()
    )


def test_tables_from_the_code_stand_in_a_page_each_and_are_whole() -> None:
    wanted = [name for p in PAGES for name in tables().MARK.findall(p.read_text(encoding="utf-8"))]
    assert sorted(wanted) == sorted(tables().TABLES)
    for name, table in tables().TABLES.items():
        lines = [line for line in table().splitlines() if line.startswith("|")]
        assert len(lines) > 2, name
    filled = tables().fill(page("models"))
    for model, entry in MODELS.items():
        assert f"| `{model}` |" in filled
        if entry.published:
            assert f"{entry.published:,}" in filled


@pytest.mark.parametrize("section", SECTIONS)
def test_recipe_page_has_every_key_with_its_default(section: str) -> None:
    told = {code(row[0])[0]: row for row in rows(part(page("recipes"), f"## [{section}]"))}
    there = {f.name: f for f in fields(SECTIONS[section])}
    assert list(told) == list(there), f"docs/recipes.md, [{section}]"
    for name, item in there.items():
        assert len(told[name]) == 4, f"{section}.{name}"
        check_default(f"{section}.{name}", item, code(told[name][1])[0])
        for choice in item.metadata.get("choices", ()):
            assert f"`{choice}`" in told[name][3], f"{section}.{name}: {choice}"


def check_default(what: str, item: Field[object], shown: str) -> None:
    default = item.default
    assert default is not MISSING
    value = parse_value(shown)
    assert value == (list(default) if isinstance(default, tuple) else default), what
    assert type(value) is (list if isinstance(default, tuple) else type(default)), what


def test_recipe_page_names_the_top_of_a_recipe() -> None:
    text = page("recipes")
    told = [code(row[0])[0] for row in rows(part(text, "## At the top"))]
    others = {"model", "model_settings", "postprocess", *SECTIONS}
    assert told == [f.name for f in fields(Recipe) if f.name not in others]
    model = next(f.default for f in fields(Recipe) if f.name == "model")
    assert f'(default `"{model}"`)' in part(text, "## [model]")


def test_example_recipes_are_recipes(tmp_path: Path) -> None:
    examples = blocks(page("recipes"), "toml")
    assert examples
    for text in examples:
        (tmp_path / "example.toml").write_text(text)
        recipe_from_dict(read_toml(tmp_path / "example.toml", "example"), check=recipe_faults)


def test_project_page_has_every_key_and_column() -> None:
    text = part(page("formats"), "## A project")
    told = [name.split()[-1].strip("[]") for row in rows(text) for name in code(row[0])]
    keys = [*store._TOP, *store._ETHOGRAM, *store._LABELS, "labels.rename"]
    assert told == [*keys, *RESERVED, CLIP_COLUMN]


def test_run_folder_is_described() -> None:
    told = {code(row[0])[0] for row in rows(part(page("models"), "## A trained model"))}
    assert {CONFIG_FILE, MODEL_FILE, WEIGHTS_FILE, SPLITS_FILE, ENVIRONMENT_FILE} < told


def test_contributing_guide_puts_every_room_where_it_is() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    told = re.findall(r"^\d\. `([\w ]+)`", text, re.MULTILINE)
    package = ROOT / "src" / "murine"
    there = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    for line, layer in zip(told, LAYERS, strict=True):
        assert set(line.split()) == layer & there - {"__main__"}


def command_lines() -> Iterator[tuple[str, str]]:
    for path in [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.strip().startswith("murine "):
                    yield path.name, line.strip()
        for line in re.findall(r"`(murine [a-z][^`]*)`", text):
            yield path.name, line


def test_commands_and_options_in_the_pages_exist() -> None:
    commands = typer.main.get_command(app).commands
    lines = list(command_lines())
    assert len(lines) > 15
    for where, line in lines:
        words = shlex.split(line.split("   #")[0], comments=False)
        if words[1].startswith("-"):
            continue
        assert words[1] in commands, f"{where}: {line}"
        command = commands[words[1]]
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
        for word in words[2:]:
            if word.startswith("-"):
                assert word.split("=")[0] in options, f"{where}: {line}"


def test_messages_in_the_page_of_troubles_are_those_of_the_code() -> None:
    said = []
    for path in (ROOT / "src" / "murine").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                values = (v.value if isinstance(v, ast.Constant) else "..." for v in node.values)
                said.append("".join(map(str, values)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.append(node.value)
    everything = "\n".join(said)
    fragments = [text for row in rows(page("trouble")) for text in code(row[0])]
    assert len(fragments) > 25
    assert [text for text in fragments if text not in everything] == []


def test_api_page_has_every_public_name_and_each_says_what_it_is() -> None:
    text = page("api")
    named = re.findall(r"^\.\. auto(?:function|class):: (\w+)$", text, re.MULTILINE)
    registries = re.findall(r"`api\.([A-Z]+)`", text)
    assert sorted([*named, *registries]) == sorted(api.__all__)
    for name in named:
        assert len(getattr(api, name).__doc__ or "") > 20, name
    used = [name for block in blocks(text, "python") for name in re.findall(r"\bapi\.(\w+)", block)]
    assert set(used) <= set(api.__all__)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The examples of docs/extend.md as modules in a folder; returns the environment that finds them."""
    folder = tmp_path_factory.mktemp("extend")
    sources = blocks(page("extend"), "python")
    names = ("example_model", "example_format", "example_feature", "example_use")
    assert len(sources) == len(names)
    for name, source in zip(names, sources, strict=True):
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def run(words: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_examples_keep_the_contracts_of_all_models_and_formats(examples: dict[str, str]) -> None:
    plugins = ["-p", "example_model", "-p", "example_format", "-p", "no:cacheprovider"]
    files = ["tests/contract/test_models.py", "tests/contract/test_formats.py"]
    chosen = "(window_conv or intervals) and not reference"  # its reference numbers are not stored
    told = run(["-m", "pytest", "-q", "-n", "0", *plugins, *files, "-k", chosen], examples)
    passed = re.search(r"(\d+) passed", told)
    assert passed
    assert int(passed[1]) >= 20
    assert "failed" not in told


def test_example_feature_does_what_the_page_says(examples: dict[str, str]) -> None:
    recipe = blocks(page("extend"), "toml")[0]
    check = (
        "import example_model, example_format, example_feature, example_use, tomllib;"
        "from murine.config import recipe_from_dict; from murine.train.checking import recipe_faults;"
        f"recipe_from_dict(tomllib.loads({recipe!r}) | {{'input': {{'pose_features': ['elongation']}}}},"
        "check=recipe_faults); print('fine')"
    )
    assert run(["-c", check], examples).strip() == "fine"

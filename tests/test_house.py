"""The house rules: who imports whom, how long a file may be, everything written is also reachable."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "murine"
LONGEST = 350

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "registry", "types", "files", "progress", "columns", "cache", "predictions"}),
    frozenset({"formats", "video", "pose", "metrics", "postprocess", "models"}),
    frozenset(
        {
            "data",
            "project",
            "config",
            "train",
            "predict",
            "report",
            "simulate",
            "ensemble",
            "export",
            "scoring",
            "rating",
            "comparing",
            "groups",
            "reporting",
            "search",
            "reproduce",
        }
    ),
    frozenset({"cli", "demo", "api", "web", "cluster", "__main__"}),
)
# What one room may take from its own layer, besides itself.
SAME_LAYER_ALLOWED = {0, 2, 3}
# h5py: published weights of Keras are files of that kind.
OUTSIDE_ALLOWED = {"models": {"torch", "numpy", "safetensors", "h5py"}}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def layer(name: str) -> int:
    for number, names in enumerate(LAYERS):
        if name in names:
            return number
    raise AssertionError(f"murine.{name} has no layer; add it to LAYERS in tests/test_house.py")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            assert node.module is not None
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = room(path)
    if own == "__init__":
        return
    names = imports(path)
    for name in names:
        if not name.startswith("murine.") or name == "murine.__version__":
            continue
        other = name.split(".")[1]
        if other == own:
            continue
        # data.windows is pure arithmetic on frame numbers: anything of layer 1 may stand on it.
        if name.startswith("murine.data.windows"):
            continue
        assert layer(other) <= layer(own), f"{path} imports {name}, which lies above it"
        if layer(other) == layer(own):
            assert layer(own) in SAME_LAYER_ALLOWED, f"{path} imports its neighbour {name}"
    if own in OUTSIDE_ALLOWED:
        outside = {n.split(".")[0] for n in names} - sys.stdlib_module_names - {"murine"}
        assert outside <= OUTSIDE_ALLOWED[own], f"{path} imports {outside - OUTSIDE_ALLOWED[own]}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_readable(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{path} has {lines} lines; make it a folder with the same public names"


@pytest.mark.parametrize("folder", ["models", "formats"])
def test_every_file_is_imported(folder: str) -> None:
    """A model or format file nobody imports is never registered, so never tested."""
    folder_path = PACKAGE / folder
    reached: set[str] = set()
    waiting = [folder_path / "__init__.py"]
    while waiting:
        path = waiting.pop()
        for name in imports(path):
            base = f"murine.{folder}."
            if not name.startswith(base):
                continue
            inside = folder_path / Path(*name.removeprefix(base).split("."))
            for candidate in (inside.with_suffix(".py"), inside / "__init__.py"):
                key = str(candidate)
                if candidate.is_file() and key not in reached:
                    reached.add(key)
                    waiting.append(candidate)
    written = {str(p) for p in folder_path.rglob("*.py") if p != folder_path / "__init__.py"}
    assert written <= reached, f"not imported: {sorted(written - reached)}"


def test_the_package_imports_light_and_without_extras() -> None:
    """`import murine` loads neither the network library nor any extra: the command line stays quick."""
    code = (
        "import sys, murine; heavy = {'torch', 'matplotlib', 'tensorboard', 'pandas', 'sklearn', 'cv2', 'av'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_nothing_prints_or_swallows() -> None:
    for path in modules():
        if room(path) in {"cli", "demo"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{path}:{node.lineno}: bare except"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path}:{node.lineno}: the library does not print"


def test_public_functions_name_their_arguments() -> None:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.args.kwarg:
                # A wrapper that passes on another function's own arguments (ParamSpec) is typed, so allowed.
                typed = ast.unparse(node.args.kwarg.annotation or ast.Constant(None))
                assert typed.endswith(".kwargs"), (
                    f"{path}:{node.lineno}: **{node.args.kwarg.arg} is public"
                )

"""The command line as a user meets it, and a small study with everything in it to try commands on."""

from __future__ import annotations

import atexit
import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import small_study
import typer.main

from murine.cli import app
from murine.config import save_recipe

POSE_MODEL = "pose/study/models/tiny-pose"
VIDEO_MODEL = "video/study/models/tiny-video"

_COMMAND = typer.main.get_command(app)


@dataclass(frozen=True)
class Outcome:
    """What a command left on the screen."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The one JSON value on stdout; anything else there is an error, and so is a NaN."""
        return json.loads(self.out, parse_constant=_refuse)


def murine(*words: object) -> Outcome:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        _COMMAND([str(word) for word in words], prog_name="murine")
    return Outcome(int(end.value.code or 0), out.getvalue(), err.getvalue())


def done(*words: object) -> Outcome:
    """Run a command that must succeed."""
    outcome = murine(*words)
    assert outcome.code == 0, outcome.err or outcome.out
    return outcome


def refused(*words: object, says: str | tuple[str, ...], machine: bool = True) -> str:
    """Run a command that must fail on its user's account; return its message.

    Exit code 2, one message (which fits the patterns `says`) and nothing else, nothing written or
    changed in this folder; with `machine` also as one JSON object.
    """
    before = listing(Path())
    plain = murine(*words)
    assert plain.code == 2, plain
    assert plain.out == ""
    message = plain.err.removesuffix("\n")
    for pattern in (says,) if isinstance(says, str) else says:
        assert re.search(pattern, message), f"{pattern!r} is not in {message!r}"
    assert "Traceback" not in message
    assert "fault of its own" not in message
    assert "\n" not in message.replace("\n  - ", ""), "a list of faults is one message, more is not"
    assert listing(Path()) == before
    if machine:
        outcome = murine(*words, "--json")
        assert (outcome.code, outcome.err) == (2, "")
        assert set(outcome.value) == {"error"}
        assert outcome.value["error"]["message"] == message
        assert outcome.value["error"]["kind"].endswith("Error")
        assert listing(Path()) == before
    return message


def checked(study: str, says: str | tuple[str, ...]) -> None:
    """Check a project that has errors: the report names them, nothing is written."""
    before = listing(Path())
    plain, machine = murine("check", study), murine("check", study, "--json")
    assert (plain.code, machine.code) == (2, 2)
    assert plain.err == machine.err == ""
    report = machine.value
    assert report["ok"] is False
    texts = [fault["text"] for fault in report["faults"] if fault["severity"] == "error"]
    for pattern in (says,) if isinstance(says, str) else says:
        assert any(re.search(pattern, text) for text in texts), f"{pattern!r} is not in {texts}"
        assert re.search(pattern, plain.out)
    assert listing(Path()) == before


def start(*words: object, prelude: str = "", **extra: str) -> subprocess.Popen[str]:
    """Start `python -m murine WORDS`; `prelude` is Python run before it in the same process."""
    command = [sys.executable, "-m", "murine"]
    if prelude:
        script = f"{prelude}\nfrom murine.cli import main\nmain()\n"
        command = [sys.executable, "-c", script]
    return subprocess.Popen(
        [*command, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1", **extra},
    )


def finish(process: subprocess.Popen[str]) -> Outcome:
    """Wait for a process that `start` began."""
    out, err = process.communicate(timeout=120)
    return Outcome(process.returncode, out, err)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Return all files and folders below one, files with size and time of change: equal is untouched."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns) if path.is_file() else (0, 0)
        found[path.relative_to(folder).as_posix()] = stamp
    return found


def edit(path: str | Path, old: str, new: str) -> None:
    """Replace text that must be in a file."""
    text = Path(path).read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path}"
    Path(path).write_text(text.replace(old, new), encoding="utf-8")


def workplace(folder: Path) -> Path:
    """Return a fresh copy of the sample folder, to break things in.

    pose/: m0..m3 with pose, m0..m2 with labels (60 frames at 10 a second), project pose/study;
    video/: v0, v1 with labels (30 frames), project video/study; a trained network in each; out/:
    predictions of pose/study; p.toml, v.toml: their recipes.
    """
    return Path(shutil.copytree(_sample(), folder, copy_function=shutil.copy2))


@functools.cache
def _sample() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="murine-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    small_study.pose_study(folder / "pose", recordings=3, n=60, unlabelled=1)
    small_study.video_study(folder / "video", recordings=2, n=30)
    save_recipe(small_study.pose_recipe(epochs=4), folder / "p.toml")
    save_recipe(small_study.video_recipe(epochs=2), folder / "v.toml")
    done("train", folder / "pose" / "study", "-r", folder / "p.toml")
    done("train", folder / "video" / "study", "-r", folder / "v.toml")
    done("predict", folder / POSE_MODEL, folder / "pose" / "study", "-o", folder / "out")
    return folder


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")

"""Every command: its help, its JSON, its patterns, its way with words it does not know."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_samples import POSE_MODEL, VIDEO_MODEL, done, edit, finish, murine, refused, start, workplace

from murine import cli
from murine.cli import console
from murine.cli.console import guarded

COMMANDS = {
    name: example
    for group in (cli.study, cli.results, cli.making, cli.listing)
    for name, _, example in group.COMMANDS
}


@pytest.fixture
def _in_a_workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workplace(tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")


in_a_workplace = pytest.mark.usefixtures("_in_a_workplace")


def test_the_commands_are_those_promised() -> None:
    promised = (
        "init check train evaluate predict score report export simulate demo models formats recipes"
    )
    assert set(promised.split()) <= set(COMMANDS)


def test_help_shows_an_example_and_is_fast() -> None:
    """All pages of help in one process of their own, which must not load what only work needs."""
    script = f"""
import sys, typer.main
from murine.cli import app
command = typer.main.get_command(app)
for words in [[], *[[name] for name in {list(COMMANDS)!r}]]:
    print("=====", *words)
    try:
        command([*words, "--help"], prog_name="murine")
    except SystemExit as end:
        assert end.code == 0
heavy = {{"torch", "cv2", "av", "numpy", "scipy", "pyarrow", "h5py", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    _, overview, *pages = run.stdout.split("=====")
    assert len(pages) == len(COMMANDS)
    for page, (name, example) in zip(pages, COMMANDS.items(), strict=True):
        assert name in overview
        assert f"Example: {example}" in " ".join(page.split())
        assert example.startswith(f"murine {name}")
        assert "--json" in page


def test_the_examples_of_help_are_commands_that_exist() -> None:
    """Their options are known: nothing but the files is missing."""
    import shlex

    for example in COMMANDS.values():
        _, *words = shlex.split(example)
        if words[0] in ("simulate", "demo", "models", "formats", "recipes"):
            continue
        outcome = murine(*words)
        assert outcome.code == 2
        assert "Usage" not in outcome.err


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_refused(name: str) -> None:
    outcome = murine(name, "--colour", "red")
    assert (outcome.code, outcome.out) == (2, "")
    assert "No such option" in outcome.err
    assert murine("colour").code == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        *(((name, "--json", "--colour", "red"), "No such option: --colour") for name in COMMANDS),
        (("check", "--json"), "Missing argument 'STUDY'"),
        (("init", "--json"), "Missing argument 'STUDY'"),
        (("simulate", "new", "--animals", "many", "--json"), "Invalid value for '--animals'"),
        (("init", "new", "-v", "a.mp4", "b.mp4", "c.mp4", "--json"), "Put quotes around a pattern"),
        (("colour", "--json"), "No such command 'colour'"),
        (("--colour", "--json"), "No such option: --colour"),
    ],
)
def test_words_it_does_not_know_are_told_as_json(words: tuple[str, ...], says: str) -> None:
    outcome = murine(*words)
    assert (outcome.code, outcome.err) == (2, "")
    assert set(outcome.value) == {"error"}
    assert says in outcome.value["error"]["message"]
    assert outcome.value["error"]["kind"].endswith("Error")


@pytest.mark.parametrize("name", ["init", "check", "evaluate", "train", "predict", "score", "export"])
def test_a_missing_argument_is_refused(name: str) -> None:
    outcome = murine(name)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Missing argument" in outcome.err


def test_version() -> None:
    import murine as package

    assert done("--version").out == f"murine {package.__version__}\n"


@in_a_workplace
@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ("init new -v video/*.mkv -l video/*.csv", {"project", "recordings", "labelled", "ethogram"}),
        ("check pose/study", {"ok", "faults", "recordings", "classes"}),
        ("evaluate pose/study -r p.toml --set training.epochs=1", {"folder", "report", "scores"}),
        ("train pose/study -r p.toml --name n --set training.epochs=1", {"model"}),
        (f"predict {POSE_MODEL} pose/m3_pose.csv -o new", {"out", "predictions"}),
        ("score pose/study out", {"recordings", "pooled", "each"}),
        ("report out", {"report"}),
        ("report pose/study out", {"report"}),
        ("export out --to boris", {"written"}),
        (
            "simulate new --animals 1 --unlabelled 0 --seconds 10 --height 64 --width 64",
            {"folder", "recordings"},
        ),
        ("recipes pose/ms-tcn-pp", {"model", "training"}),
        ("models", None),
        ("formats", None),
        ("recipes", None),
    ],
)
def test_json_is_one_value_and_nothing_else(words: str, keys: set[str] | None) -> None:
    value = done(*words.split(), "--json").value
    if keys is None:
        assert isinstance(value, list)
        assert value
        assert all(isinstance(item, dict) for item in value)
    else:
        assert keys <= set(value)


@in_a_workplace
def test_json_names_files_that_are_there() -> None:
    value = done("predict", POSE_MODEL, "pose/study", "-o", "new", "--json").value
    assert [Path(p).name for p in value["predictions"]] == [f"m{i}.parquet" for i in (3, 0, 1, 2)]
    assert all(Path(p).is_file() for p in value["predictions"])
    assert (
        Path(done("report", "new", "--json").value["report"])
        .read_text()
        .lower()
        .startswith("<!doctype html>")
    )
    written = done("export", "new", "--to", "caltech", "--json").value["written"]
    assert sorted(Path(p).name for p in written) == [f"m{i}.txt" for i in range(4)]
    assert all(Path(p).is_file() for p in written)


def test_models_are_counted_both_ways() -> None:
    models = {m["name"]: m for m in done("models", "--json").value}
    published = {
        "baseline_sharing": 11_315_848,
        "baseline_standalone": 11_348_728,
        "srs_sharing": 9_671_872,
        "srs_standalone": 9_670_024,
    }
    assert {name: models[name]["keras_parameters"] for name in published} == published
    for model in models.values():
        # Keras counts the running mean and deviation of batch normalisation among the parameters
        assert model["keras_parameters"] >= model["parameters"]
        assert model["streams"]
        assert model["source"]
    # Trees grow with what they learn.
    assert [name for name, model in models.items() if not model["parameters"]] == ["trees"]
    assert models["baseline_sharing"]["parameters"] == 11_314_408  # 2 x 720 channels are normalised
    assert f"{published['srs_sharing']:,}" in done("models").out


# --- patterns ------------------------------------------------------------------------------------------


@in_a_workplace
@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        (["pose/m*_pose.csv"], "m0 m1 m2 m3"),
        (["pose/m[12]_pose.csv"], "m1 m2"),
        (["**/m3_pose.csv"], "m3"),
        (["pose/**_pose.csv"], "m0 m1 m2 m3"),
        (["pose/m?_pose.csv", "pose/m0_pose.csv", "./pose/m1_pose.csv"], "m0 m1 m2 m3"),
        (["'pose/m2_pose.csv'"], "m2"),  # as the Windows prompt hands it on
    ],
)
def test_patterns_a_shell_did_not_expand(inputs: list[str], found: str) -> None:
    done("predict", POSE_MODEL, *inputs, "-o", "new")
    assert sorted(p.stem for p in Path("new").glob("*.parquet")) == [f"{m}_pose" for m in found.split()]


@in_a_workplace
def test_a_pattern_that_finds_nothing_is_told() -> None:
    says = r"video/\*\.mp4: no file is found by this pattern \(from .*w\)"
    refused("predict", VIDEO_MODEL, "video/*.mp4", "-o", "new", says=says)
    words = ("--labels", "video/*.csv")
    refused(
        "init", "new", "--videos", "video/*.mp4", *words, says=r"no file is found by 'video/\*\.mp4'"
    )
    refused("init", "new", "--videos", "labels/", *words, says="no file is found by 'labels/'")


@in_a_workplace
def test_folders_with_brackets_and_spaces_in_their_names() -> None:
    folder = Path("Mäuse [alt] (2)")
    shutil.copytree("video", folder, ignore=shutil.ignore_patterns("study"))
    (folder / "._v0.mkv").write_bytes(b"what macOS leaves on foreign disks")
    done("predict", VIDEO_MODEL, f"{folder}/*.mkv", "-o", "one")
    done("predict", VIDEO_MODEL, folder, "-o", "two")
    for name in ("one", "two"):
        assert sorted(p.name for p in Path(name).glob("*.parquet")) == ["v0.parquet", "v1.parquet"]
    words = ("--videos", f"{folder}/*.mkv", "--labels", folder, "--json")
    assert done("init", "new study [1]", *words).value["recordings"] == 2
    assert done("check", "new study [1]", "--json").value["ok"] is True


@in_a_workplace
def test_an_unquoted_pattern_is_explained() -> None:
    """The shell has put the files in its place: the option takes the first, and the rest is too much."""
    outcome = murine(
        "init", "new", "--videos", "video/v0.mkv", "video/v1.mkv", "--labels", "video/*.csv"
    )
    assert outcome.code == 2
    assert "Put quotes around a pattern" in " ".join(outcome.err.replace("│", "").split())
    assert not Path("new").exists()


def test_windows_leaves_patterns_to_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else '--videos *.mp4' would become many words, of which the option takes one."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(cli, "app", lambda **options: given.update(options))
    cli.main()
    assert given == {"windows_expand_args": False}


# --- screens, pipes, faults of our own -----------------------------------------------------------------


@in_a_workplace
def test_a_screen_without_the_letters() -> None:
    """A Windows pipe knows few letters: text loses some, JSON loses none, nothing breaks."""
    for path in (*Path("video").glob("*.csv"), *Path("video").glob("study/project.toml")):
        edit(path, "walk", "早い")
    plain = finish(start("check", "video/study", PYTHONIOENCODING="cp1252", PYTHONUTF8="0"))
    assert plain.code == 0, plain.err
    assert "\n??  " in plain.out
    machine = finish(start("check", "video/study", "--json", PYTHONIOENCODING="cp1252", PYTHONUTF8="0"))
    assert [row["behaviour"] for row in machine.value["classes"]] == ["rest", "早い"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Windows end otherwise")
def test_a_reader_that_has_enough() -> None:
    process = start("recipes", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.wait(timeout=60)
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


def run_guarded(error: BaseException, *, as_json: bool = False) -> tuple[int, str, str]:
    import contextlib
    import io

    import typer

    @guarded
    def command(as_json: bool = False) -> None:
        raise error

    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(typer.Exit) as end,
    ):
        command(as_json=as_json)
    return end.value.exit_code, out.getvalue(), err.getvalue()


def test_a_fault_of_murine_is_not_the_users() -> None:
    code, out, err = run_guarded(ValueError("axis 7"))
    assert (code, out) == (1, "")
    assert "murine met a fault of its own: ValueError: axis 7" in err
    assert "MURINE_DEBUG=1" in err
    code, out, err = run_guarded(ValueError("axis 7"), as_json=True)
    assert (code, err) == (1, "")
    assert json.loads(out)["error"]["kind"] == "Bug"
    code, _, err = run_guarded(OSError("of no file"))
    assert code == 1
    assert "OSError: of no file" in err


def test_a_fault_of_murine_is_shown_whole_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MURINE_DEBUG", "1")
    with pytest.raises(ValueError, match="axis 7"):
        guarded(_raise)(ValueError("axis 7"))


def _raise(error: Exception) -> None:
    raise error


def test_faults_of_the_machine_are_told_plainly() -> None:
    code, _, err = run_guarded(PermissionError(13, "Permission denied", "labels.csv"))
    assert (code, err) == (
        2,
        "labels.csv: Permission denied. Check the path, and that you may read and write there.\n",
    )
    code, _, err = run_guarded(OSError(28, "No space left on device", "cache/x"))
    assert (code, err) == (2, "cache/x: the disk is full. Free some space and run the command again.\n")
    for error in (MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 3 GiB")):
        code, _, err = run_guarded(error)
        assert code == 2
        assert "the memory is not enough" in err
    code, _, err = run_guarded(KeyboardInterrupt())
    assert (code, err) == (
        2,
        "stopped. What was finished is kept; run the same command again to go on.\n",
    )


def test_logs_get_a_line_now_and_then_and_no_bars(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    terminal = console.Terminal()
    with terminal.task("training", 1000, "clips") as task:
        task.note("loss 0.5")
        for _ in range(10):
            now[0] += 25
            task.advance(100)
    assert capsys.readouterr().err.splitlines() == [
        "training: 300 of 1,000 clips loss 0.5",
        "training: 600 of 1,000 clips loss 0.5",
        "training: 900 of 1,000 clips loss 0.5",
    ]
    with console.Terminal().task("quick", None) as task:
        task.advance()
    assert capsys.readouterr() == ("", "")


# --- the demo ------------------------------------------------------------------------------------------


def test_a_stopped_demo_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from murine import demo
    from murine.config import load_recipe

    tiny = [
        "model.width=0.25",
        "training.epochs=1",
        "window.train_stride_s=1",
        "window.predict_stride_s=1",
    ]
    monkeypatch.setattr(demo, "ANIMALS", 3)
    monkeypatch.setattr(demo, "SECONDS", 12.0)
    monkeypatch.setattr(demo, "load_recipe", lambda name, changes: load_recipe(name, [*changes, *tiny]))
    monkeypatch.chdir(tmp_path)
    refused("demo", "d", "--seed", "-1", says="training.seed: expected at least 0")
    with monkeypatch.context() as patch:
        patch.setattr(demo, "train", lambda *a, **k: _raise_stop())
        assert murine("demo", "d", "-q").code == 2
    refused("demo", "d", "--seed", "3", says="holds an earlier demo. Say --force")
    scores = json.loads(Path("d/study/evaluations/dual-stream-small/scores.json").read_text())
    monkeypatch.setattr(demo, "simulate", lambda *a, **k: pytest.fail("the mice are there already"))
    value = done("demo", "d", "-q", "--json").value
    assert value["evaluation"] == scores["pooled"]
    assert value["baseline"]["macro_f1"] < 0.2
    assert all(Path(page).is_file() for page in value["reports"])
    assert value["unseen"]["n"] == 180
    refused("demo", "d", says="holds an earlier demo. Say --force")
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("all of it")
    refused("demo", "mine", "--force", says="holds other files")
    assert Path("mine/thesis.txt").read_text() == "all of it"


def _raise_stop() -> None:
    raise KeyboardInterrupt

"""Published data sets: what all readers do alike. What each one reads: test_datasets_<name>.py."""

from __future__ import annotations

import re
import tomllib
import zipfile
from pathlib import Path

import dataset_samples as samples
import pytest
from cli_samples import done, listing, refused

from murine.config import SplitSettings
from murine.data.splits import group_names, make_splits
from murine.errors import InputError, ProjectError
from murine.project import DATASETS, check, init_dataset, load_project
from murine.project.datasets.open_field import TEST, TRAIN

TREES = {
    "mit-clipped": samples.mit_clipped,
    "mit-full": samples.mit_full,
    "scorhe": samples.scorhe,
    "ucf101": samples.ucf101,
    "open-field": samples.open_field,
    "forced-swim": samples.forced_swim,
    "calms21": samples.calms21,
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trees")
    for name, make in TREES.items():
        make(folder / name)
    return folder


def test_every_data_set_has_a_tree_and_says_where_it_comes_from() -> None:
    assert sorted(TREES) == sorted(DATASETS)
    shown = done("init", "--help").out
    for name, dataset in DATASETS.items():
        assert name in shown
        assert dataset.name == name
        for told in (dataset.summary, dataset.source, dataset.url, dataset.licence, dataset.size):
            assert told
        assert len(dataset.tree.strip().splitlines()) > 3


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_init_makes_a_project_that_check_passes_and_leaves_the_source_alone(
    name: str, trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = listing(trees / name)
    outcome = done("init", "study", "--dataset", name, trees / name, "--json").value
    assert listing(trees / name) == before
    assert outcome["project"] == "study"
    assert outcome["labelled"] == outcome["recordings"] > 1
    report = check(Path("study"))
    assert [fault.text for fault in report.faults if fault.severity == "error"] == []
    assert tuple(outcome["ethogram"]["behaviours"]) == load_project(Path("study")).ethogram.behaviours


def test_the_study_is_called_after_the_data_set_where_no_name_is_given(
    trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = done("init", "--dataset", "mit-clipped", trees / "mit-clipped").out
    assert "mit-clipped: 9 recordings, 9 with labels" in told
    assert "note: 9 clips; the published database has 4,200" in told
    assert Path("mit-clipped/project.toml").exists()


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_a_wrong_folder_is_refused_with_the_expected_tree_and_what_was_found(
    name: str, tmp_path: Path
) -> None:
    wrong = tmp_path / "holiday"
    samples.text(wrong / "beach" / "names.doc", "x")
    for i in range(9):
        samples.text(wrong / f"IMG_{i}.jpg", "x")
    with pytest.raises(InputError) as caught:
        init_dataset(tmp_path / "study", name, wrong)
    told = str(caught.value)
    assert told.startswith(f"{wrong}: not {DATASETS[name].summary}, or not all of it:\n  - ")
    for line in DATASETS[name].tree.strip().splitlines():
        assert line in told
    found = told.split(f"Found in {wrong}:\n")[1]
    assert found.splitlines()[:3] == ["    beach/", "      names.doc", "    IMG_0.jpg"]
    assert found.splitlines()[-1] == "    ... and 4 more (4 .jpg)"
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_an_empty_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"Found in .*empty:\n    \(nothing\)"):
        init_dataset(tmp_path / "study", name, tmp_path / "empty")


def test_what_does_not_fit_on_the_command_line(
    trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = trees / "mit-clipped"
    with zipfile.ZipFile("clipped_database.zip", "w") as archive:
        archive.writestr("a", "b")
    refused("init", "s", "--dataset", "mit-cliped", source, says="Did you mean 'mit-clipped'")
    refused("init", "s", "--dataset", "mit-clipped", "nowhere", says="nowhere: there is no such folder")
    refused("init", "s", "--dataset", "mit-clipped", "clipped_database.zip", says="Unpack the archive")
    refused("init", "s", "--dataset", "ucf101", source, "--part", "x", says="'ucf101' has no parts")
    words = ("init", "s", "--dataset", "mit-full", source, "--part", "fdstar")
    refused(*words, says="no part 'fdstar'. Did you mean 'fd-star'")
    refused("init", "s", "--part", "fd-star", "--clips", source, says="name that with --dataset")
    words = ("init", "s", "--dataset", "mit-clipped", source, "--clips", source, "--fps", "3")
    refused(*words, says="leave --clips, --fps out")
    done("init", "s", "--dataset", "mit-clipped", source)
    refused("init", "s", "--dataset", "mit-clipped", source, says="there is a project already")
    done("init", "s", "--dataset", "mit-clipped", source, "--force", "--pattern", r"_(?P<n>\d+)$")
    assert load_project(Path("s")).group_columns() == ("source", "session", "n")


def test_a_project_inside_the_source_is_not_taken_for_a_part_of_it(tmp_path: Path) -> None:
    source = samples.mit_full(tmp_path / "full")
    first = init_dataset(source / "study", "mit-full", source).project
    again = init_dataset(source / "study", "mit-full", source, force=True).project
    assert [r.id for r in first.recordings] == [r.id for r in again.recordings]


def test_a_failure_while_writing_leaves_nothing(
    trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(project: object) -> None:
        raise ProjectError("study", ["no"])

    monkeypatch.setattr("murine.project.datasets.making.save_project", fail)
    with pytest.raises(ProjectError):
        init_dataset(tmp_path / "study", "mit-full", trees / "mit-full")
    assert list(tmp_path.iterdir()) == []


def test_the_splits_of_the_page_divide_the_made_up_trees(trees: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "datasets.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```toml\n(# (\S+)\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert {name for _, name in examples} == set(DATASETS) - {"scorhe"}
    samples.open_field(tmp_path / "open-field", (*TRAIN[:3], *TEST), frames=6)
    for number, (text, name) in enumerate(examples):
        source = tmp_path / name if name == "open-field" else trees / name
        project = init_dataset(tmp_path / f"s{number}", name, source).project
        settings = SplitSettings(**tomllib.loads(text)["split"])
        splits = make_splits(project.recordings, settings)
        assert len(splits) == (
            1 if settings.fixed else len({*group_names(project.recordings, settings)})
        )
        assert all(split.train and split.test for split in splits)
        if name in ("ucf101", "open-field"):
            assert bool(splits[0].validation) == (settings.validation > 0)

"""A project is made from files, written whole or not at all, and read back the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from project_samples import FPS, FRAMES, TWO, make_labels, make_pose, make_study, make_video

from murine import formats
from murine.errors import InputError, ProjectError, StorageError, VersionError
from murine.project import (
    Project,
    init,
    load_bouts,
    load_pose,
    load_project,
    save_project,
    timeline,
)
from murine.types import Ethogram, LabelChoice, Recording

EAT_WALK = Ethogram(("eat", "walk", "background"), True, "background")


def standard(folder: Path, **more: object) -> Project:
    make_study(folder)
    return init(
        folder / "study",
        videos=[str(folder / "videos" / "*.mp4")],
        labels=[str(folder / "labels" / "*.csv")],
        **more,  # type: ignore[arg-type]
    )


# --- the files of a project ---------------------------------------------------------------------------------------

CELL = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8).map(str.strip)
NAME = CELL.filter(lambda s: s and not set(s) & set('/\\:*?"<>|'))


@given(
    ids=st.lists(NAME, min_size=1, max_size=4, unique_by=str.casefold),
    behaviours=st.lists(NAME, min_size=2, max_size=3, unique=True),
    cells=st.lists(CELL, min_size=12, max_size=12),
    fps=st.one_of(st.none(), st.floats(0.001, 1e5)),
    tolerance=st.floats(0, 1e3),
)
@settings(max_examples=40, deadline=None)
def test_saved_project_reads_back_equal(
    ids: list[str],
    behaviours: list[str],
    cells: list[str],
    fps: float | None,
    tolerance: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.getbasetemp() / "parent" / "study"
    recordings = tuple(
        Recording(
            id,
            video=root.parent / f"{i}.mp4" if i % 2 else None,
            pose=root / "in side" / f"{i},.csv",
            labels=Path("/far/away.csv") if i else None,
            fps=None if fps is None else float(f"{fps:.12g}"),
            choice=LabelChoice(stream=cells[i] or None, subject=cells[4 + i] or None),
            groups={"cage": cells[8 + i], "weird, column": "x"},
        )
        for i, id in enumerate(ids)
    )
    ethogram = Ethogram(tuple(behaviours), True, behaviours[0])
    project = Project(root, "näme", ethogram, recordings, tolerance, {'"odd" = name': behaviours[1]})
    save_project(project)
    assert load_project(root) == project


def test_paths_inside_project_or_its_parent_are_relative(tmp_path: Path) -> None:
    standard(tmp_path)
    text = (tmp_path / "study" / "recordings.csv").read_text()
    assert text.splitlines()[1] == "m1,../videos/m1.mp4,,../labels/m1.csv,,,,"
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    shutil.move(tmp_path, moved)
    assert (
        len(load_bouts(load_project(moved / "study"), load_project(moved / "study").recordings[0])) == 2
    )


def test_table_as_spreadsheets_write_it(tmp_path: Path) -> None:
    standard(tmp_path)
    table = tmp_path / "study" / "recordings.csv"
    table.write_bytes(
        "id;video;pose;labels;fps;cage\r\nm1;../videos/m1.mp4;;../labels/m1.csv;29,97;Käfig 1\r\n;;;;;\r\n".encode(
            "utf-8-sig"
        )
    )
    (recording,) = load_project(tmp_path / "study").recordings
    assert recording.fps == 29.97
    assert recording.groups == {"cage": "Käfig 1"}
    assert recording.labels == tmp_path / "labels" / "m1.csv"


def test_all_faults_of_both_files_come_at_once(tmp_path: Path) -> None:
    standard(tmp_path)
    study = tmp_path / "study"
    (study / "project.toml").write_text(
        'names = "x"\nunit = "clip"\ntolerance_s = -1\n[ethogram]\nbehaviours = ["a", "a"]\n'
        "[labels]\nignored = []\n[labels.rename]\na = 1\n"
    )
    (study / "recordings.csv").write_text(
        "id,video,fps\nm1,x.mp4,fast\nm/2,x.mp4,\nm3,,\nm4,x.mp4,30,extra\nm5,x.mp4,-1\n"
    )
    with pytest.raises(ProjectError) as caught:
        load_project(study)
    assert caught.value.faults == (
        "project.toml: names: unknown setting. Did you mean 'name'?",
        "project.toml: labels.ignored: unknown setting. Did you mean 'ignore'?",
        'project.toml: labels.rename: expected lines such as "drinking" = "drink"',
        "project.toml: [ethogram]: behaviour names must differ; named twice: a",
        "project.toml: unit: expected 'frame' or 'recording'; came 'clip'",
        "project.toml: tolerance_s: expected at least 0; came -1",
        "recordings.csv line 2: fps must be a number; came 'fast'",
        "recordings.csv line 3: 'm/2' cannot name a recording: it becomes a file name",
        "recordings.csv line 4: recording 'm3' has neither a video nor a pose file",
        "recordings.csv line 5: 4 cells for 3 columns; a comma inside a cell needs quotes",
        "recordings.csv line 6: recording 'm5': fps must be positive; came -1.0",
    )


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("video,fps\nx.mp4,30\n", "no column 'id'; the columns are: video, fps"),
        ("id,video,video\nm1,x.mp4,\n", "columns named twice: video"),
        ("id,video\n", "it has no recording"),
        ("id,video\nm1,x.mp4\nM1,y.mp4\n", "two recordings are called 'M1'"),
        ("", "is empty"),
    ],
)
def test_faulty_table(tmp_path: Path, table: str, fault: str) -> None:
    standard(tmp_path)
    (tmp_path / "study" / "recordings.csv").write_text(table)
    with pytest.raises(ProjectError, match=fault):
        load_project(tmp_path / "study")


@pytest.mark.parametrize(
    ("settings_text", "fault"),
    [
        ("name = 'x'\n", r"\[ethogram\]: missing; expected behaviours"),
        ("ethogram = 3\n", r"expected a table \[ethogram\]"),
        (
            "[ethogram]\nbehaviours = 'eat'\n",
            "ethogram.behaviours: expected a list of texts; came 'eat'",
        ),
        ("[ethogram]\nbehaviours = ['a']\nbackground = 'b'\n", "background 'b' is not a behaviour"),
        ("[ethogram]\nbehaviours = ['a']\n[labels]\nignore = ['a']\n", "a cannot be ignored and"),
        ("[ethogram]\nbehaviours = ['eat']\n[labels.rename]\nx = 'eta'\n", "Did you mean 'eat'"),
    ],
)
def test_faulty_settings(tmp_path: Path, settings_text: str, fault: str) -> None:
    standard(tmp_path)
    (tmp_path / "study" / "project.toml").write_text(settings_text)
    with pytest.raises(ProjectError, match=fault):
        load_project(tmp_path / "study")


def test_not_a_project(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no project here"):
        load_project(tmp_path)


def test_project_of_a_newer_version(tmp_path: Path) -> None:
    standard(tmp_path)
    path = tmp_path / "study" / "project.toml"
    path.write_text(path.read_text().replace('murine_version = "', 'murine_version = "9'))
    with pytest.raises(VersionError, match="pip install --upgrade murine"):
        load_project(tmp_path / "study")


def test_unknown_recording_and_clip_label(tmp_path: Path) -> None:
    project = standard(tmp_path)
    assert project.recording("m2").id == "m2"
    with pytest.raises(InputError, match="Known: m1, m2"):
        project.recording("m3")
    clip = Recording("c", video=Path("c.mp4"), groups={"behaviour": "eta"})
    with pytest.raises(ProjectError, match=r"'eta' \(1x\) is no behaviour. Did you mean 'eat'"):
        Project(tmp_path, "x", EAT_WALK, (clip,), unit="recording")


# --- init ---------------------------------------------------------------------------------------------------------


def test_init_reads_behaviours_and_finds_the_background(tmp_path: Path) -> None:
    project = standard(tmp_path)
    assert project.ethogram == EAT_WALK
    assert [r.id for r in project.recordings] == ["m1", "m2"]
    assert [r.labels and r.labels.name for r in project.recordings] == ["m1.csv", "m2.csv"]
    assert project == load_project(tmp_path / "study")


def test_labels_without_gaps_need_no_background(tmp_path: Path) -> None:
    make_video(tmp_path / "m1.mp4")
    make_labels(tmp_path / "m1.csv", [(0, 15, "eat"), (15, 40, "walk")])
    project = init(
        tmp_path / "study", videos=[str(tmp_path / "m1.mp4")], labels=[str(tmp_path / "m1.csv")]
    )
    assert project.ethogram == Ethogram(("eat", "walk"), True)


def test_overlapping_labels_make_behaviours_not_exclusive(tmp_path: Path) -> None:
    make_study(tmp_path)
    make_labels(tmp_path / "labels" / "m2.csv", [(0, 15, "eat"), (10, 40, "walk")])
    files = {"videos": [str(tmp_path / "videos")], "labels": [str(tmp_path / "labels")]}
    assert init(tmp_path / "study", **files).ethogram == Ethogram(("eat", "walk"), False)
    with pytest.raises(InputError, match="take --background rest out"):
        init(tmp_path / "other", background="rest", **files)
    # Leaving one of them out leaves nothing to overlap.
    project = init(tmp_path / "third", exclude=["walk"], **files)
    assert project.ethogram == Ethogram(("eat", "background"), True, "background")
    assert project.ignore == ("walk",)
    assert load_bouts(project, project.recordings[1]).intervals() == [(0, 15, "eat")]


def test_background_may_be_a_behaviour_of_the_files(tmp_path: Path) -> None:
    assert standard(tmp_path, background="walk").ethogram == Ethogram(("eat", "walk"), True, "walk")


def test_excluding_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot leave out 'wlk'.*Did you mean 'walk'"):
        standard(tmp_path, exclude=["wlk"])
    assert not (tmp_path / "study").exists()


def test_videos_without_labels_are_kept_for_prediction(tmp_path: Path) -> None:
    make_video(tmp_path / "videos" / "m10.mp4", seed=10)
    project = standard(tmp_path)
    assert [r.id for r in project.recordings] == ["m1", "m2", "m10"]
    assert [r.id for r in project.labelled()] == ["m1", "m2"]
    with pytest.raises(InputError, match="'m10' has no labels; fill the column 'labels'"):
        load_bouts(project, project.recording("m10"))


def test_video_pose_and_labels_of_a_simulated_study(tmp_path: Path) -> None:
    make_study(tmp_path, poses=True)
    files = {kind: [str(tmp_path / folder / "*")] for kind, folder in
             (("videos", "videos"), ("poses", "pose"), ("labels", "labels"))}  # fmt: skip
    project = init(tmp_path / "study", **files, id_pattern=r"m(?P<animal>\d)")
    for recording in project.recordings:
        assert recording.pose is not None
        assert recording.pose.stem == recording.id == f"m{recording.groups['animal']}"
    assert len(load_pose(project, project.recordings[0])) == FRAMES


def test_every_unpaired_file_is_named(tmp_path: Path) -> None:
    make_study(tmp_path)
    make_labels(tmp_path / "labels" / "z7.csv", TWO[0])
    make_labels(tmp_path / "labels" / "z8.csv", TWO[0])
    with pytest.raises(ProjectError) as caught:
        init(tmp_path / "study", videos=[str(tmp_path / "videos")], labels=[str(tmp_path / "labels")])
    assert [f.split("/")[-1] for f in caught.value.faults] == [
        "z7.csv: no video has a name that fits.",
        "z8.csv: no video has a name that fits.",
    ]
    assert not (tmp_path / "study").exists()


def test_same_names_in_different_folders(tmp_path: Path) -> None:
    for day in ("day1", "day2"):
        make_video(tmp_path / "videos" / day / "m.mp4", seed=ord(day[-1]))
        make_labels(tmp_path / "labels" / day / "m.csv", TWO[0])
    project = init(
        tmp_path / "study",
        videos=[str(tmp_path / "videos/**/*.mp4")],
        labels=[str(tmp_path / "labels/**/*.csv")],
    )
    assert [r.id for r in project.recordings] == ["day1__m", "day2__m"]
    assert all(r.labels and r.labels.parent.name == r.id[:4] for r in project.recordings)


def test_two_videos_of_one_name_cannot_be_told_apart(tmp_path: Path) -> None:
    make_study(tmp_path)
    make_video(tmp_path / "videos" / "m1.mkv")
    with pytest.raises(ProjectError) as caught:
        init(tmp_path / "study", videos=[str(tmp_path / "videos")], labels=[str(tmp_path / "labels")])
    assert len(caught.value.faults) == 2
    assert "m1.mkv: another file gives the same id" in str(caught.value)


def test_unreadable_label_files_come_in_one_list(tmp_path: Path) -> None:
    make_study(tmp_path, recordings=4)
    (tmp_path / "labels" / "m1.csv").write_bytes(b"")
    for name in ("m2.csv", "m3.csv"):
        (tmp_path / "labels" / name).write_text("nothing known\n")
    with pytest.raises(ProjectError) as caught:
        init(tmp_path / "study", videos=[str(tmp_path / "videos")], labels=[str(tmp_path / "labels")])
    assert len(caught.value.faults) == 2
    assert "m1.csv: label file is empty" in caught.value.faults[0]
    assert "m2.csv and 1 more: the format was not recognised" in caught.value.faults[1]


def test_pose_alone_needs_a_rate_and_the_label_file_suggests_it(tmp_path: Path) -> None:
    make_pose(tmp_path / "m1_pose.csv")
    make_labels(tmp_path / "m1_events.csv", TWO[0], format="boris-tabular", media="m1.avi")
    files = {"poses": [str(tmp_path / "m1_pose.csv")], "labels": [str(tmp_path / "m1_events.csv")]}
    with pytest.raises(InputError, match=r"give it with --fps. The label files say 20"):
        init(tmp_path / "study", **files)
    project = init(tmp_path / "study", fps=FPS, **files)
    (recording,) = project.recordings
    assert (recording.id, recording.fps) == ("m1", FPS)
    assert len(timeline(recording)) == FRAMES
    bare = Recording("m1", pose=recording.pose, labels=recording.labels)
    with pytest.raises(InputError, match=r"column 'fps' of recordings.csv \(its label file says 20\)"):
        timeline(bare)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (
            {"videos": ["nothing/*.mp4"], "labels": ["*"]},
            r"videos: no file is found by 'nothing/\*.mp4'",
        ),
        ({"labels": ["labels"]}, "needs videos, poses or a folder of clips"),
        ({"videos": ["videos"]}, "needs labels for some of its recordings"),
        ({"videos": ["videos"], "clips": Path("x")}, "not both"),
        ({"clips": Path("x")}, "a folder of clips was expected"),
    ],
)
def test_init_without_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, object], fault: str
) -> None:
    make_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=fault):
        init(tmp_path / "study", **files)  # type: ignore[arg-type]
    assert not (tmp_path / "study").exists()


def test_streams_and_subjects_must_be_chosen(tmp_path: Path, data: Path) -> None:
    files = {
        "poses": [str(data / "rat-social/pose/1DLC*")],
        "labels": [str(data / "rat-social/annotations/1_annot.txt")],
    }
    with pytest.raises(
        ProjectError, match=r"holds 2 streams: S1, S2. Say which one is meant \(--stream\)"
    ):
        init(tmp_path / "study", fps=30, **files)
    with pytest.raises(ProjectError, match="no stream 'S3'"):
        init(tmp_path / "study", fps=30, stream="S3", **files)
    project = init(tmp_path / "study", fps=30, stream="S1", **files)
    assert project.recordings[0].choice == LabelChoice(stream="S1")


def test_observations_of_one_file_go_to_their_videos(tmp_path: Path) -> None:
    make_study(tmp_path)
    rows = [
        ("first", "/x/other.avi", 0.0, "eat", "START"),
        ("first", "/x/other.avi", 0.5, "eat", "STOP"),
        ("second", "/x/M2.avi", 0.5, "walk", "START"),
        ("second", "/x/M2.avi", 1.0, "walk", "STOP"),
        ("m1", "", 0.25, "eat", "START"),
        ("m1", "", 0.75, "eat", "STOP"),
    ]
    header = "Observation id,Media file name,Time,Behavior,Behavior type"
    text = "\n".join([header, *(",".join(map(str, row)) for row in rows)])
    (tmp_path / "all.csv").write_text(text + "\n")
    # By the name of the video, then by the name of the observation; "first" is of another study.
    project = init(
        tmp_path / "study", videos=[str(tmp_path / "videos")], labels=[str(tmp_path / "all.csv")]
    )
    assert [r.choice.observation for r in project.recordings] == ["m1", "second"]
    assert load_bouts(project, project.recordings[0]).intervals() == [(5, 15, "eat")]
    assert load_bouts(project, project.recordings[1]).intervals() == [(10, 20, "walk")]


def test_a_project_is_not_written_over_without_force(tmp_path: Path) -> None:
    project = standard(tmp_path)
    before = (tmp_path / "study" / "recordings.csv").read_bytes()
    with pytest.raises(InputError, match=r"a project already \(project.toml, recordings.csv\).*--force"):
        standard(tmp_path, tolerance_s=9.0)
    assert (tmp_path / "study" / "recordings.csv").read_bytes() == before
    assert standard(tmp_path, tolerance_s=9.0, force=True).tolerance_s == 9.0
    assert project.tolerance_s == 0.0


def test_nothing_is_left_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def full(source: str, target: Path) -> None:
        if Path(target).name == "project.toml":
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="the disk is full"):
        standard(tmp_path)
    assert not (tmp_path / "study").exists()


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "study").write_text("x")
    with pytest.raises(StorageError, match="a file is where a folder is needed"):
        standard(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("m(?P<animal", "is not a regular expression"),
        (r"m(\d)", "names no column"),
        (r"m(?P<video>\d)", "'video' cannot be filled"),
        (r"z(?P<animal>\d)", "fits none of the 2 ids, such as 'm1'"),
    ],
)
def test_id_patterns_that_do_not_work(tmp_path: Path, pattern: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        standard(tmp_path, id_pattern=pattern)


# --- clips --------------------------------------------------------------------------------------------------------


def test_clips_of_one_name_in_two_folders(tmp_path: Path) -> None:
    for i, name in enumerate(["eat/7.mp4", "walk/7.mp4", "walk/cage1_9.mp4", "rest/7.mp4"]):
        make_video(tmp_path / "clips" / name, frames=4, seed=i)
    project = init(
        tmp_path / "study",
        clips=tmp_path / "clips",
        exclude=["rest"],
        id_pattern=r"cage(?P<cage>\d)_",
    )
    assert project.unit == "recording"
    assert project.ethogram == Ethogram(("eat", "walk"), True)
    assert [(r.id, r.groups) for r in project.recordings] == [
        ("eat__7", {"behaviour": "eat", "cage": "unknown"}),
        ("walk__7", {"behaviour": "walk", "cage": "unknown"}),
        ("walk__cage1_9", {"behaviour": "walk", "cage": "1"}),
    ]
    assert project.group_columns() == ("cage",)
    assert load_bouts(project, project.recordings[1]).intervals() == [(0, 4, "walk")]


def test_mit_clips_keep_the_film_they_were_cut_from(tmp_path: Path) -> None:
    for i, name in enumerate(["day2_d_1.mp4", "day2_head_2.mp4"]):
        make_video(tmp_path / "clips" / name, frames=2, seed=i)
    project = init(tmp_path / "study", clips=tmp_path / "clips")
    assert project.ethogram.behaviours == ("drink", "micromovement")
    assert project.recordings[0].groups == {"behaviour": "drink", "source": "day2"}


def test_excluding_every_clip(tmp_path: Path) -> None:
    make_video(tmp_path / "clips" / "eat" / "7.mp4", frames=4)
    with pytest.raises(InputError, match="every behaviour is excluded"):
        init(tmp_path / "study", clips=tmp_path / "clips", exclude=["eat"])


# --- loading ------------------------------------------------------------------------------------------------------


def test_labels_and_times_come_from_the_decoded_video(tmp_path: Path) -> None:
    times = np.cumsum([0.0, *([0.05] * 19), *([0.1] * 20)])
    make_video(tmp_path / "m1.mkv", times=times)
    (tmp_path / "m1.csv").write_text("behaviour,start_s,stop_s\neat,0.5,1.15\n")
    project = init(
        tmp_path / "study", videos=[str(tmp_path / "m1.mkv")], labels=[str(tmp_path / "m1.csv")]
    )
    assert timeline(project.recordings[0]).times == pytest.approx(times, abs=1e-3)
    # Frame 10 begins at 0.5 s; after frame 19 they are further apart: 20 begins at 1.05 s, 21 at 1.15 s.
    assert load_bouts(project, project.recordings[0]).intervals() == [(10, 21, "eat")]


@pytest.mark.parametrize(
    ("frames", "tolerance"), [(FRAMES - 3, 0.15), (FRAMES + 3, 0.15), (FRAMES, 0.0)]
)
def test_pose_is_cut_or_filled_within_the_tolerance(
    tmp_path: Path, frames: int, tolerance: float
) -> None:
    make_study(tmp_path, recordings=1)
    make_pose(tmp_path / "m1_pose.csv", frames)
    files = {kind: [str(tmp_path / name)] for kind, name in
             (("videos", "videos"), ("poses", "m1_pose.csv"), ("labels", "labels"))}  # fmt: skip
    project = init(tmp_path / "study", tolerance_s=tolerance, **files)
    pose = load_pose(project, project.recordings[0])
    whole = formats.read_pose(tmp_path / "m1_pose.csv")
    shared = min(frames, FRAMES)
    assert len(pose) == FRAMES
    assert np.array_equal(pose.xy[:shared], whole.xy[:shared])
    assert pose.missing[shared:].all()
    assert pose.confidence is not None
    assert np.isnan(pose.confidence[shared:]).all()
    if frames != FRAMES:
        strict = init(tmp_path / "strict", **files)
        word = "many" if frames > FRAMES else "few"
        with pytest.raises(InputError, match=rf"3 frames \(0.15 s\) too {word}.*tolerance_s = 0.2"):
            load_pose(strict, strict.recordings[0])


def test_recording_without_pose(tmp_path: Path) -> None:
    project = standard(tmp_path)
    with pytest.raises(InputError, match="'m1' has no pose file"):
        load_pose(project, project.recordings[0])


def test_renamed_and_unknown_behaviours(tmp_path: Path) -> None:
    standard(tmp_path)
    make_labels(tmp_path / "labels" / "m1.csv", [(0, 10, "eating"), (10, 25, "walk")])
    project = load_project(tmp_path / "study")
    with pytest.raises(InputError, match=r"'eating' \(1 bout\). Did you mean 'eat'"):
        load_bouts(project, project.recordings[0])
    path = tmp_path / "study" / "project.toml"
    path.write_text(path.read_text() + 'eating = "eat"\n')
    project = load_project(tmp_path / "study")
    assert load_bouts(project, project.recordings[0]).intervals() == [(0, 10, "eat"), (10, 25, "walk")]


# --- real files ---------------------------------------------------------------------------------------------------


def test_rat_social_pairs_all_44_sessions(tmp_path: Path, data: Path) -> None:
    project = init(
        tmp_path / "study",
        poses=[str(data / "rat-social/pose")],
        labels=[str(data / "rat-social/annotations")],
        stream="S1",
        fps=30,
        tolerance_s=2.0,
    )
    assert len(project) == 44
    for r in project.recordings:
        assert r.labels is not None
        assert r.pose is not None
        assert r.labels.name == f"{r.id}_annot.txt"
        assert r.pose.name.startswith(f"{r.id}DLC")
    assert set(project.ethogram.behaviours) == {"base", "social", "nonsocial", "aggression"}
    assert project.ethogram.background is None


def test_rat_clips_by_session(tmp_path: Path, data: Path) -> None:
    project = init(
        tmp_path / "study",
        clips=data / "rat-clips/clips",
        exclude=["normal"],
        id_pattern=r"(?P<session>cage\d_\d+_\d+_\d+_\d+)_",
    )
    assert len(project) == 402
    assert len(project.ethogram) == 6
    sessions = {r.group("session") for r in project.recordings}
    assert len(sessions) == 11
    assert "unknown" in sessions

"""Check: every fault of a project in one list, each in words a user can act on; the numbers are right."""

from __future__ import annotations

import json
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from project_samples import FPS, FRAMES, TWO, make_labels, make_pose, make_study, make_video

from murine import formats
from murine.errors import InputError
from murine.project import CheckReport, Project, check, init, load_project, render_check
from murine.project.checking import check_project, in_threads
from murine.types import Ethogram, Recording


def standard(folder: Path, recordings: int = 2, *, poses: bool = False, **more: object) -> Path:
    make_study(folder, recordings, poses=poses)
    kinds = {"videos": "videos", "labels": "labels", **({"poses": "pose"} if poses else {})}
    files = {kind: [str(folder / name)] for kind, name in kinds.items()}
    init(folder / "study", **files, **more)  # type: ignore[arg-type]
    return folder / "study"


def faults(report: CheckReport, severity: str) -> list[str]:
    found = [f for f in report.faults if f.severity == severity]
    return [f"{f.recording}: {f.text}" if f.recordings else f.text for f in found]


def errors(study: Path) -> list[str]:
    report = check(study)
    assert report.ok == (not faults(report, "error"))
    return faults(report, "error")


def test_a_good_study_has_no_fault_and_the_right_numbers(tmp_path: Path) -> None:
    report = check(standard(tmp_path, poses=True))
    assert report.ok
    assert report.faults == ()
    rows = {c.behaviour: c for c in report.classes}
    assert [(c.frames, c.bouts, c.recordings) for c in rows.values()] == [
        (20, 2, 2),
        (30, 2, 2),
        (30, 3, 2),
    ]
    assert rows["walk"].seconds == pytest.approx(30 / FPS)
    assert sum(c.share for c in rows.values()) == pytest.approx(1.0)
    first = report.recordings[0]
    assert (first.id, first.frames, first.width, first.height) == ("m1", FRAMES, 24, 16)
    assert (first.fps, first.seconds) == (pytest.approx(FPS), pytest.approx(FRAMES / FPS))
    assert (first.pose_frames, first.missing, first.absent) == (FRAMES, 0.0, 0.0)
    assert (first.bouts, first.annotated) == (2, 1.0)


def test_json_and_text(tmp_path: Path) -> None:
    study = standard(tmp_path)
    shutil.rmtree(tmp_path / "videos")
    report = check(study)
    value = json.loads(json.dumps(report.to_dict()))
    assert value["ok"] is False
    assert value["faults"][0]["severity"] == "error"
    assert [r["id"] for r in value["recordings"]] == ["m1", "m2"]
    text = render_check(report)
    assert text.startswith("recording")
    first = tmp_path / "videos" / "m1.mp4"
    assert f"error: m1, m2: video not found. Check the name and the folder. (first: {first})" in text
    assert text.endswith("study: 1 error to mend.\n")
    assert "\t" not in text


# --- files that cannot be read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "truncated"])
def test_unreadable_video(tmp_path: Path, kind: str) -> None:
    study = standard(tmp_path)
    path = tmp_path / "videos" / "m1.mp4"
    whole = path.read_bytes()
    if kind == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"empty": b"", "text": b"Dear diary\n" * 99, "truncated": whole[: len(whole) // 2]}[kind]
        )
    found = errors(study)
    assert len(found) == 1, found
    assert found[0].startswith(f"m1: {path}")
    # The other recording was still looked at.
    assert check(study).recordings[1].frames == FRAMES


@pytest.mark.parametrize("column", ["pose", "labels"])
@pytest.mark.parametrize("kind", ["missing", "empty", "unknown"])
def test_unreadable_pose_or_labels(tmp_path: Path, column: str, kind: str) -> None:
    study = standard(tmp_path, poses=True)
    path = tmp_path / column / "m1.csv"
    if kind == "missing":
        path.unlink()
    else:
        path.write_text({"empty": "", "unknown": "Dear diary\n"}[kind])
    found = errors(study)
    assert len(found) == 1, found
    assert str(path) in found[0]
    assert {"missing": "not found", "empty": "empty", "unknown": "not recognised"}[kind] in found[0]


def test_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = standard(tmp_path, poses=True)
    read = formats.read_pose

    def denied(path: Path, part: str | None = None) -> object:
        if path.name == "m1.csv":
            raise PermissionError(13, "Permission denied")
        return read(path, part)

    monkeypatch.setattr(formats, "read_pose", denied)
    assert errors(study) == [f"m1: {tmp_path / 'pose' / 'm1.csv'}: cannot be read (Permission denied)"]


def test_every_fault_of_every_recording_in_one_list(tmp_path: Path) -> None:
    study = standard(tmp_path, recordings=5, poses=True)
    (tmp_path / "videos" / "m1.mp4").unlink()
    (tmp_path / "labels" / "m1.csv").write_text("")
    make_pose(tmp_path / "pose" / "m2.csv", FRAMES - 4)
    make_labels(tmp_path / "labels" / "m2.csv", [(0, 5, "eta"), (5, 9, "walk")])
    make_labels(tmp_path / "labels" / "m3.csv", [(0, 10, "eat"), (5, 15, "walk")])
    make_labels(tmp_path / "labels" / "m4.csv", [(0, 10, "eat"), (30, 48, "walk")], 48)
    make_pose(tmp_path / "pose" / "m5.csv", gone=[(slice(None), 1, slice(None))])
    found = errors(study)
    expected = ["m1: .*m1.mp4", "m1: .*m1.csv.*empty", "m2: .*4 frames", "m2: .*'eta'", "m3: .*overlaps",
                "m4: .*8 frames", "m5: .*'two' is absent"]  # fmt: skip
    assert len(found) == len(expected)
    for text, pattern in zip(found, expected, strict=True):
        assert re.search(pattern, text), (text, pattern)


# --- labels -------------------------------------------------------------------------------------------------------


def test_label_past_the_end(tmp_path: Path) -> None:
    study = standard(tmp_path)
    make_labels(tmp_path / "labels" / "m1.csv", [(0, 10, "eat"), (30, 47, "walk")], 47)
    (text,) = errors(study)
    assert "labels run 7 frames (0.35 s) past the end of the recording, which has 40 frames" in text
    assert "tolerance_s = 0.4" in text
    # Its other labels are counted all the same.
    assert check(study).recordings[0].bouts == 2


def test_label_past_the_end_within_the_tolerance_is_told_and_cut(tmp_path: Path) -> None:
    study = standard(tmp_path, tolerance_s=0.4)
    make_labels(tmp_path / "labels" / "m1.csv", [(0, 10, "eat"), (30, 47, "walk")], 47)
    report = check(study)
    assert report.ok
    assert faults(report, "note") == ["m1: labels run 7 frames past the end; they are cut (tolerance_s)"]
    assert report.classes[1].frames == 10 + 15


def test_unknown_behaviour_names_it_and_suggests(tmp_path: Path) -> None:
    study = standard(tmp_path)
    make_labels(tmp_path / "labels" / "m1.csv", [(0, 5, "eta"), (7, 9, "eta"), (10, 20, "sniff")])
    (text,) = errors(study)
    assert "'eta' (2 bouts). Did you mean 'eat'?" in text
    assert "'sniff' (1 bout)" in text


def test_overlapping_exclusive_bouts_are_both_named(tmp_path: Path) -> None:
    study = standard(tmp_path)
    make_labels(tmp_path / "labels" / "m1.csv", [(0, 12, "eat"), (10, 25, "walk")])
    (text,) = errors(study)
    assert "'eat' in frames [0, 12) overlaps 'walk' in frames [10, 25)" in text


def test_labels_of_another_video_by_length(tmp_path: Path) -> None:
    study = standard(tmp_path)
    head = "Observation id,Source,Media duration (s),Time,Behavior,Behavior type"
    rows = [f"m1,player #1:m1.mp4,20.000,{t},eat,{kind}" for t, kind in ((0.1, "START"), (0.6, "STOP"))]
    (tmp_path / "labels" / "m1.csv").write_text("\n".join([head, *rows]) + "\n")
    (text,) = errors(study)
    assert "was made on a video of 20.00 s, and this recording has 2.00 s" in text


def test_labels_of_another_video_by_name(tmp_path: Path) -> None:
    study = standard(tmp_path)
    kind = {"format": "boris-tabular"}
    make_labels(tmp_path / "labels" / "m1.csv", TWO[0], media="/films/m12.mp4", **kind)
    make_labels(tmp_path / "labels" / "m2.csv", TWO[1], media=r"C:\films\M2.avi", **kind)
    report = check(study)
    assert report.ok
    (text,) = faults(report, "warning")
    assert "was made on 'm12.mp4', and this recording is 'm1'" in text


def test_labels_made_at_another_rate(tmp_path: Path) -> None:
    study = standard(tmp_path)
    path = make_labels(tmp_path / "labels" / "m1.csv", TWO[0], format="boris-tabular", media="m1.mp4")
    path.write_text(path.read_text().replace(",20,", ",25,"))
    (text,) = faults(check(study), "warning")
    assert "says 25 frames/s, and the recording has 20" in text


def test_frames_without_a_behaviour_and_no_background(tmp_path: Path) -> None:
    study = standard(tmp_path)
    path = study / "project.toml"
    text = path.read_text().replace('["eat", "walk", "background"]', '["eat", "walk"]')
    path.write_text(text.replace('background = "background"\n', ""))
    found = errors(study)
    assert "15 frames (the first is 25) are labelled as none" in found[0]
    assert "15 frames (the first is 0) are labelled as none" in found[1]


def test_frames_nobody_annotated_are_told(tmp_path: Path) -> None:
    study = standard(tmp_path)
    make_labels(
        tmp_path / "labels" / "m1.csv",
        [(0, 10, "eat"), (10, 20, "walk"), (20, 40, formats.NOT_ANNOTATED)],
    )
    report = check(study)
    assert report.ok
    assert report.recordings[0].annotated == 0.5
    assert any(t.startswith("25.0 % of the frames are not annotated") for t in faults(report, "note"))


# --- pose ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frames", "word"), [(FRAMES - 6, "few"), (FRAMES + 6, "many")])
def test_pose_of_another_length_than_the_video(tmp_path: Path, frames: int, word: str) -> None:
    study = standard(tmp_path, poses=True)
    make_pose(tmp_path / "pose" / "m1.csv", frames)
    (text,) = errors(study)
    assert f"pose has {frames} frames and the video {FRAMES}: 6 frames (0.30 s) too {word}" in text
    settings = study / "project.toml"
    settings.write_text(settings.read_text().replace("tolerance_s = 0.0", "tolerance_s = 0.3"))
    report = check(study)
    assert report.ok
    assert "6 frames" in faults(report, "note")[0]


def test_pose_without_any_position(tmp_path: Path) -> None:
    study = standard(tmp_path, poses=True)
    make_pose(tmp_path / "pose" / "m1.csv", gone=[(slice(None), slice(None), slice(None))])
    (text,) = errors(study)
    assert "no keypoint has a position in any frame" in text


def test_absent_animal_and_unseen_keypoint(tmp_path: Path) -> None:
    study = standard(tmp_path, poses=True)
    make_pose(tmp_path / "pose" / "m1.csv", gone=[(slice(None), 0, slice(None))])
    make_pose(tmp_path / "pose" / "m2.csv", gone=[(slice(None), 1, 1), (slice(0, 10), 0, slice(None))])
    report = check(study)
    assert faults(report, "error") == [
        f"m1: {tmp_path / 'pose' / 'm1.csv'}: animal 'one' is absent in every frame"
    ]
    assert faults(report, "warning") == [
        f"m2: {tmp_path / 'pose' / 'm2.csv'}: never seen on 'two': tail"
    ]
    # m1: one animal of two gone; m2: 40 of 160 cells and two of another animal in 10 frames.
    assert [r.missing for r in report.recordings] == [0.5, pytest.approx((40 + 20) / 160)]
    assert [r.absent for r in report.recordings] == [1.0, 0.25]
    shares = {(p.animal, p.keypoint): p.missing for p in report.pose}
    assert shares == {
        ("one", ""): 50 / 80,
        ("one", "nose"): 50 / 80,
        ("one", "tail"): 50 / 80,
        ("two", ""): 0.0,
        ("two", "nose"): 0.0,
        ("two", "tail"): 0.5,
    }


def test_pose_of_other_keypoints(tmp_path: Path) -> None:
    study = standard(tmp_path, recordings=3, poses=True)
    make_pose(tmp_path / "pose" / "m3.csv", keypoints=("nose", "ear"))
    (text,) = errors(study)
    assert text.startswith(
        "m3: pose has animals one, two and keypoints nose, ear; other recordings have"
    )


# --- the study as a whole -----------------------------------------------------------------------------------------


def test_one_recording(tmp_path: Path) -> None:
    report = check(standard(tmp_path, recordings=1))
    assert report.ok
    assert faults(report, "warning")[0].startswith("only one recording is labelled")


def test_one_class(tmp_path: Path) -> None:
    for i in range(2):
        make_video(tmp_path / "videos" / f"m{i}.mp4", seed=i)
        make_labels(tmp_path / "labels" / f"m{i}.csv", [(0, FRAMES, "eat")])
    init(tmp_path / "study", videos=[str(tmp_path / "videos")], labels=[str(tmp_path / "labels")])
    (text,) = errors(tmp_path / "study")
    assert text.startswith("only one behaviour, 'eat': there is nothing to tell it from")


def test_class_without_a_positive_frame_and_class_in_one_recording(tmp_path: Path) -> None:
    study = standard(tmp_path)
    path = study / "project.toml"
    path.write_text(path.read_text().replace('["eat",', '["sleep", "eat",'))
    make_labels(tmp_path / "labels" / "m2.csv", [(0, 10, "walk")])
    report = check(study)
    (text,) = faults(report, "error")
    assert text.startswith("behaviour 'sleep' has no frame in any recording. Label it, or take it out")
    assert faults(report, "warning") == [
        "m1: behaviour 'eat' occurs only here: it cannot be learned and tested at once"
    ]


def test_no_labels_at_all_and_empty_columns(tmp_path: Path) -> None:
    study = standard(tmp_path)
    (study / "recordings.csv").write_text("id,video,cage\nm1,../videos/m1.mp4,1\nm2,../videos/m2.mp4,\n")
    report = check(study)
    assert faults(report, "error") == [
        "no recording has labels; fill the column 'labels' of recordings.csv"
    ]
    assert faults(report, "note") == [
        "m2: column 'cage' of recordings.csv is empty; it cannot be split by"
    ]


def test_unlabelled_recordings_are_told(tmp_path: Path) -> None:
    make_video(tmp_path / "videos" / "m3.mp4", seed=3)
    assert faults(check(standard(tmp_path)), "note") == [
        "m3: 1 recording without labels: for prediction only"
    ]


def test_variable_rate_is_told(tmp_path: Path) -> None:
    study = standard(tmp_path)
    times = np.cumsum([0.0, *([0.05] * 19), *([0.1] * 20)])
    make_video(tmp_path / "videos" / "m1.mkv", times=times)
    table = study / "recordings.csv"
    table.write_text(table.read_text().replace("m1.mp4", "m1.mkv"))
    report = check(study)
    assert report.ok
    assert any(
        "variable frame rate: frames are 50.0 to 100.0 ms apart" in t for t in faults(report, "note")
    )
    assert report.recordings[0].variable
    assert "~: the rate varies" in render_check(report)


def test_copies_are_told(tmp_path: Path) -> None:
    study = standard(tmp_path, recordings=3)
    shutil.copy(tmp_path / "videos" / "m1.mp4", tmp_path / "videos" / "m3.mp4")
    (text,) = faults(check(study), "warning")
    assert text.startswith("m1, m3: video: the same content 2 times")


def test_equal_faults_of_many_clips_are_one_line(tmp_path: Path) -> None:
    for i in range(12):
        make_video(tmp_path / "clips" / ("eat" if i % 2 else "walk") / f"{i}.mp4", frames=3 + i, seed=i)
    project = init(tmp_path / "study", clips=tmp_path / "clips")
    for recording in (*project.recordings[:4], *project.recordings[6:11]):
        assert recording.video is not None
        recording.video.write_bytes(b"")
    report = check(tmp_path / "study")
    (fault,) = [f for f in report.faults if f.severity == "error"]
    assert len(fault.recordings) == 9
    assert fault.recording == "eat__1, eat__11, eat__3 and 6 more"
    assert len(render_check(report).splitlines()) < 12


def test_progress_counts_recordings_and_ctrl_c_stops(tmp_path: Path) -> None:
    study = standard(tmp_path)
    waiting = threading.Event()

    def slow(item: int) -> int:
        if item == 1:
            waiting.wait(30)  # an hour of video; the thread is a daemon and is not waited for
        return item

    results = in_threads(slow, range(5), 2)
    assert next(results)[1] == 0
    results.close()
    waiting.set()

    def broken(item: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_threads(broken, range(5), 2))
    assert list(in_threads(lambda x: x, [], 2)) == []
    assert len(load_project(study)) == 2


def test_what_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no project here"):
        check(tmp_path / "nothing")


# --- real files ---------------------------------------------------------------------------------------------------


def test_e3v813a(tmp_path: Path, data: Path) -> None:
    init(
        tmp_path / "study",
        poses=[str(data / "formats/deeplabcut/e3v813a_pose.csv")],
        labels=[str(data / "formats/boris/e3v813a_events.csv")],
        fps=30,
    )
    report = check(tmp_path / "study")
    assert report.ok
    assert len(report.faults) == 1  # one recording
    assert report.recordings[0].frames == 5700
    assert [(c.behaviour, c.bouts) for c in report.classes] == [("interact", 10), ("background", 11)]


def test_rat_social_sessions_with_labels_past_the_pose(tmp_path: Path, data: Path) -> None:
    sessions = (8, 10, 13)
    init(
        tmp_path / "study",
        poses=[str(data / f"rat-social/pose/{n}DLC*.csv.gz") for n in sessions],
        labels=[str(data / f"rat-social/annotations/{n}_annot.txt") for n in sessions],
        stream="S1",
        fps=30,
    )
    report = check(tmp_path / "study")
    found = faults(report, "error")
    assert [text.split(":")[0] for text in found] == ["8", "13"]
    assert "labels run 7 frames" in found[0]
    assert "labels run 9 frames" in found[1]
    for row in report.recordings:
        assert row.missing is not None
        assert 0.22 < row.missing < 0.42
        assert row.absent is not None
        assert row.absent > 0.2
    ends = [p.missing for p in report.pose if p.keypoint == "tail-e"]
    assert all(0.5 < share < 0.8 for share in ends)


def test_rat_clips_copy_is_found(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "clips"
    for name in (
        "grooming/10800.mp4",
        "grooming/10800(1).mp4",
        "grooming/11584.mp4",
        "rearing/10032.mp4",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / "rat-clips/clips" / name, folder / name)
    init(tmp_path / "study", clips=folder)
    report = check(tmp_path / "study")
    assert report.ok
    assert [f.recordings for f in report.faults if "same content" in f.text] == [
        ("grooming__10800(1)", "grooming__10800")
    ]
    assert all(r.frames == 16 for r in report.recordings)


def test_labels_that_go_on_in_the_next_video_are_not_past_the_end(tmp_path: Path) -> None:
    """One observation of two films in a queue, 2 s each: its last label ends at 3.5 s."""
    for i in (1, 2):
        make_video(tmp_path / f"m{i}.mkv", seed=i)
    head = "Observation id,Source,Media duration (s),FPS,Subject,Behavior,Behavior type,Time"
    rows = [
        f"both,player #1:m1.mkv;m2.mkv,2.000;2.000,20.000,No focal subject,{behaviour},{kind},{time}"
        for behaviour, kind, time in (
            ("eat", "START", "0.0"), ("eat", "STOP", "1.0"), ("walk", "START", "1.0"), ("walk", "STOP", "3.5"),
        )
    ]  # fmt: skip
    labels = tmp_path / "both.csv"
    labels.write_text("\n".join([head, *rows]) + "\n")
    films = tuple(Recording(f"m{i}", video=tmp_path / f"m{i}.mkv", labels=labels) for i in (1, 2))
    ethogram = Ethogram(("eat", "walk", "none"), background="none")
    report = check_project(Project(tmp_path / "study", "queue", ethogram, films, tolerance_s=0.3))
    assert [row.bouts for row in report.recordings] == [2, 1]
    assert not [f for f in report.faults if "past the end" in f.text]


def test_a_label_file_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = standard(tmp_path)
    form = formats.FORMATS["bouts"]
    assert isinstance(form, formats.LabelFormat)
    parsed: list[str] = []

    def counted(path: Path) -> formats.LabelTable:
        parsed.append(path.name)
        return form.parse(path)

    monkeypatch.setitem(formats.FORMATS._items, "bouts", replace(form, parse=counted))
    assert check(study).ok
    assert sorted(parsed) == ["m1.csv", "m2.csv"]

"""Detection, names, clips: what holds whatever the format."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from murine import formats
from murine.errors import InputError, StorageError
from murine.formats.clips import find_clips
from murine.formats.text import read_head
from murine.types import Bouts, Ethogram, LabelChoice, Pose, Timeline

DETECTED = {
    "boris/aggregated_events.tsv": "boris-aggregated",
    "boris/e3v813a_events.csv": "boris-tabular",
    "boris/multi_behaviours.boris": "boris-project",
    "boris/project.boris": "boris-project",
    "boris/simultaneous_events.csv": "boris-tabular",
    "boris/tabular_events.csv": "boris-tabular",
    "boris/tabular_events.tsv": "boris-tabular",
    "deeplabcut/e3v813a_pose.csv": "deeplabcut-csv",
    "deeplabcut/single.h5": "deeplabcut-h5",
    "calms21/mouse083_pose_only.csv": "deeplabcut-csv",
    "jabs/pose_v2.h5": "jabs",
    "jabs/pose_v3.h5": "jabs",
    "jabs/pose_v5.h5": "jabs",
    "nwb/pose.nwb": "nwb-pose",
    "raters/forced_swim_four_raters.csv": "raters",
    "raters/open_field_three_raters.csv": "raters",
    "simba/crim13_targets_inserted.csv": "simba-pose",
    "sleap/single.analysis.h5": "sleap-analysis",
    "sleap/single.slp": "sleap",
    "sleap/two_tracks.analysis.h5": "sleap-analysis",
}


@pytest.mark.parametrize("name", DETECTED)
def test_detected_by_content_whatever_the_name(name: str, data: Path, tmp_path: Path) -> None:
    content = (data / "formats" / name).read_bytes()
    (tmp_path / "file.xyz").write_bytes(content)
    assert formats.detect(tmp_path / "file.xyz").name == DETECTED[name]
    if not name.endswith(("h5", "nwb", "slp")):
        (tmp_path / "file.gz").write_bytes(gzip.compress(content))
        assert formats.detect(tmp_path / "file.gz").name == DETECTED[name]


def test_every_sample_is_of_one_format_of_a_kind(data: Path) -> None:
    for path in sorted((data / "formats").rglob("*.*")):
        found = [f for f in formats.FORMATS.values() if f.sniff(path, read_head(path))]
        assert len({f.kind for f in found}) == len(found) >= 1, path.name
    simba = data / "formats" / "simba" / "crim13_targets_inserted.csv"
    assert formats.detect(simba).kind == "pose"
    assert formats.detect(simba, "labels").name == "simba"


def test_the_wrong_kind_is_told(data: Path) -> None:
    with pytest.raises(InputError, match=r"holds labels \(boris-tabular\) where pose was expected"):
        formats.read_pose(data / "formats/boris/e3v813a_events.csv")
    with pytest.raises(InputError, match=r"holds pose \(deeplabcut-csv\) where labels was expected"):
        formats.describe_labels(data / "formats/deeplabcut/single.csv")
    with pytest.raises(InputError, match="It is a video"):
        formats.read_pose(data / "videos/round_arena_416x404_25fps.mp4")


def test_doubt_names_the_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_text("frame,dig\n0,1\n")
    twin = formats.FORMATS["frames"]
    monkeypatch.setitem(formats.FORMATS._items, "twin", twin)
    with pytest.raises(InputError, match=r"x\.csv: could be any of frames, frames"):
        formats.detect(tmp_path / "x.csv")


def test_names_are_carried_over_to_the_project() -> None:
    found = Bouts.build(
        Ethogram(("Dig", "sniff", "junk"), exclusive=False), 20,
        [(0, 5, "Dig"), (3, 8, "sniff"), (6, 9, "junk")], [[0, 15]],
    )  # fmt: skip
    project = Ethogram(("rest", "dig"))
    with pytest.raises(
        InputError, match=r"x\.csv: .*'Dig' \(1 bout\). Did you mean 'dig'\?; 'sniff' \(1 bout\)"
    ):
        formats.align(found, project, source="x.csv", ignore={"junk"})
    aligned = formats.align(found, project, rename={"Dig": "dig"}, ignore=("sniff", "junk"))
    assert aligned.intervals() == [(0, 5, "dig")]
    assert aligned.ethogram == project
    assert aligned.annotated.tolist() == [[0, 15]]
    both = formats.align(found, project, rename={"Dig": "dig", "sniff": "dig"}, ignore={"junk"})
    assert both.intervals() == [(0, 8, "dig")]


def test_exclusive_behaviours_that_overlap_are_named() -> None:
    found = Bouts.build(
        Ethogram(("a", "b", "c"), exclusive=False), 20, [(0, 5, "a"), (3, 8, "b"), (9, 12, "c")]
    )
    with pytest.raises(
        InputError, match=r"x\.csv: 'a' in frames \[0, 5\) overlaps 'b' in frames \[3, 8\)"
    ):
        formats.align(found, Ethogram(("a", "b", "c")), source="x.csv")
    # Only the behaviours that are kept count.
    assert len(formats.align(found, Ethogram(("a", "c")), ignore={"b"})) == 2


def test_a_stream_or_subject_that_the_file_cannot_have(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("behaviour,start,stop\ndig,0,4\n")
    timeline = Timeline.uniform(9, 10)
    with pytest.raises(InputError, match="names no stream; leave the stream empty instead of 'S1'"):
        formats.read_labels(tmp_path / "x.csv", timeline, LabelChoice(stream="S1"))
    with pytest.raises(InputError, match="no subject 'm1'"):
        formats.read_labels(tmp_path / "x.csv", timeline, LabelChoice(subject="m1"))


def test_what_cannot_be_written(tmp_path: Path) -> None:
    bouts, timeline = Bouts.build(Ethogram(("a",)), 5, [(0, 5, "a")]), Timeline.uniform(5, 10)
    with pytest.raises(
        InputError, match=r"unknown format 'borris-tabular'\. Did you mean 'boris-tabular'"
    ):
        formats.write_labels(tmp_path / "x", bouts, timeline, "borris-tabular")
    with pytest.raises(InputError, match="labels cannot be written as 'deeplabcut-csv'; choose one of"):
        formats.write_labels(tmp_path / "x", bouts, timeline, "deeplabcut-csv")
    with pytest.raises(InputError, match="bouts of 5 frames do not fit a timeline of 6"):
        formats.write_labels(tmp_path / "x", bouts, Timeline.uniform(6, 10), "caltech")
    with pytest.raises(InputError, match="pose cannot be written as 'deeplabcut-h5'"):
        formats.write_pose(tmp_path / "x", Pose([[[[1, 2]]]], ("a",), ("k",)), "deeplabcut-h5")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        formats.write_labels(tmp_path / "file" / "x.txt", bouts, timeline, "caltech")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_clips_in_a_folder_per_behaviour(tmp_path: Path) -> None:
    touch(tmp_path, "rear/b.mp4", "rear/a.MPG", "walk/x/c.avi", "walk/notes.txt", ".hidden/d.mp4", "rear/.e.mp4",
          "readme.md")  # fmt: skip
    clips = find_clips(tmp_path)
    assert [(c.behaviour, c.path.name) for c in clips] == [
        ("rear", "a.MPG"),
        ("rear", "b.mp4"),
        ("walk", "c.avi"),
    ]


def test_clips_with_mit_names(tmp_path: Path) -> None:
    names = {
        "d": "drink",
        "gb": "groom",
        "groomback": "groom",
        "he": "micromovement",
        "rs": "rest",
        "w": "walk",
    }
    touch(tmp_path, *(f"20080321_cam1_{label}_{i}.mpg" for i, label in enumerate(names)))
    clips = {c.path.name: c for c in find_clips(tmp_path)}
    for i, (label, behaviour) in enumerate(names.items()):
        clip = clips[f"20080321_cam1_{label}_{i}.mpg"]
        assert (clip.behaviour, clip.groups) == (behaviour, {"video": "20080321_cam1"})


def test_clips_that_tell_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is none"):
        find_clips(tmp_path / "none")
    with pytest.raises(InputError, match="no video found"):
        find_clips(tmp_path)
    touch(tmp_path, "holiday.mp4")
    with pytest.raises(InputError, match=r"holiday\.mp4: the name does not tell the behaviour"):
        find_clips(tmp_path)
    (tmp_path / "holiday.mp4").rename(tmp_path / "v_jump_1.mp4")
    with pytest.raises(InputError, match="unknown label 'jump'"):
        find_clips(tmp_path)
    touch(tmp_path, "rear/a.mp4")
    with pytest.raises(InputError, match=r"1 clips lie beside the folders"):
        find_clips(tmp_path)


def test_rat_clips(data: Path) -> None:
    clips = find_clips(data / "rat-clips/clips")
    assert len(clips) == 468
    assert sorted({c.behaviour for c in clips}) == [
        "face_washing", "genital_licking", "grooming", "head_raising", "normal", "rearing", "wall_supported_rearing",
    ]  # fmt: skip

"""Files paired by name: numbers are whole, doubt is named, nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.project.pairing import Named, natural, pair, plain_stem, stem, tokens

DLC = "DLC_dlcrnetms5_DLC_ratJan24shuffle1_5000_el_filtered.csv.gz"


def named(*paths: str, media: dict[str, str] | None = None) -> list[Named]:
    return [Named.of(Path(p), media=[media[p]] if media and p in media else []) for p in paths]


def pairs(anchors: list[Named], others: list[Named]) -> dict[str, str]:
    found, faults = pair(anchors, others, "label file", "video")
    assert not faults
    return {others[o].shown: anchors[a].shown for o, a in found.items()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("10" + DLC, "10"),
        ("mouse.1.mp4", "mouse.1"),
        ("e3v813a_pose.csv", "e3v813a_pose"),
        ("aDeepCut_resnet50_x.h5", "a"),
        ("cage1-nightDLC_resnet50_homecageshuffle1_200000.h5", "cage1-night"),
        ("x.csv.gz", "x"),
        ("10800(1).mp4", "10800(1)"),
        ("noend", "noend"),
        ("DLC_something.csv", "DLC_something"),
    ],
)
def test_stem(name: str, expected: str) -> None:
    assert stem(Path(name)) == expected


def test_plain_stem_drops_words_that_say_what_a_file_is() -> None:
    assert plain_stem(Path("e3v813a_pose.csv")) == "e3v813a"
    assert plain_stem(Path("m1_tracking_filtered.csv")) == "m1"
    assert plain_stem(Path("compose.csv")) == "compose"


def test_tokens_keep_numbers_whole() -> None:
    assert tokens("10_annot") == ("10",)
    assert tokens("e3v813a-20210610T12") == ("e", "3", "v", "813", "a", "20210610", "t", "12")
    assert tokens("pose") == ("pose",)  # nothing else to go by


def test_natural_order() -> None:
    assert sorted(["10", "2", "1", "b2", "b10", "B1"], key=natural) == [
        "1",
        "2",
        "10",
        "B1",
        "b2",
        "b10",
    ]


def test_1_is_not_10() -> None:
    poses = named(*(f"pose/{n}{DLC}" for n in (10, 1, 11, 100)))
    labels = named(*(f"annotations/{n}_annot.txt" for n in (1, 100, 10, 11)))
    found = pairs(poses, labels)
    assert {k.split("/")[1]: v.split("/")[1].split("DLC")[0] for k, v in found.items()} == {
        "1_annot.txt": "1",
        "10_annot.txt": "10",
        "11_annot.txt": "11",
        "100_annot.txt": "100",
    }


@pytest.mark.parametrize(
    ("videos", "labels"),
    [
        (("videos/x.mp4", "videos/y.mp4"), ("labels/x.csv", "labels/y.csv")),
        (("mouse1.mp4", "mouse2.mp4"), ("mouse1_JK.csv", "mouse2_JK.csv")),
        (("mouse1_cam0.mp4", "mouse2_cam0.mp4"), ("scored mouse1.tsv", "scored mouse2.tsv")),
        (("video_1.mp4", "video_2.mp4"), ("Annotation 1.csv", "Annotation 2.csv")),
        (("mouse1_cam.mp4", "mouse2_cam.mp4"), ("rat1_JK.csv", "rat2_JK.csv")),
        (("m1.mp4", "m1_2.mp4"), ("m1_events.csv", "m1_2_events.csv")),
        (("a/day1/m.mp4", "a/day2/m.mp4"), ("b/day1/m.csv", "b/day2/m.csv")),
        (("only.mp4",), ("whatever.csv",)),
        (("e3v813a_pose.csv", "e4v1b_pose.csv"), ("e3v813a_events.csv", "e4v1b_events.csv")),
    ],
)
def test_pairs_in_order(videos: tuple[str, ...], labels: tuple[str, ...]) -> None:
    assert pairs(named(*videos), named(*labels)) == dict(zip(labels, videos, strict=True))


def test_media_name_in_the_label_file_goes_before_its_own_name() -> None:
    videos = named("m1.mp4", "m2.mp4")
    media = {"m1.csv": r"C:\films\M2.avi", "b.csv": "/x/m1.avi"}
    assert pairs(videos, named("m1.csv", "b.csv", media=media)) == {
        "m1.csv": "m2.mp4",
        "b.csv": "m1.mp4",
    }


def test_fewer_labels_than_videos() -> None:
    videos = named("m1.mp4", "m2.mp4", "m3.mp4")
    assert pairs(videos, named("m2_JK.csv")) == {"m2_JK.csv": "m2.mp4"}


@pytest.mark.parametrize(
    ("videos", "labels", "fault"),
    [
        (("m1.mp4", "m2.mp4"), ("m3.csv",), "m3.csv: no video has a name that fits. The nearest is 'm"),
        (("m1.mp4", "m2.mp4"), ("notes.csv",), "notes.csv: no video has a name that fits."),
        (("m1.mp4", "m2.mp4"), ("m1_m2.csv",), "m1_m2.csv: fits 2 videos equally well: m1.mp4, m2.mp4"),
        (("m1.mp4", "m2.mp4"), ("m1_a.csv", "m1_b.csv"), "m1_a.csv, m1_b.csv all fit m1.mp4"),
        (("2021_1.mp4", "2021_2.mp4"), ("2022_1.csv", "2022_2.csv"), "2022_1.csv: no video"),
    ],
)
def test_doubt_is_named(videos: tuple[str, ...], labels: tuple[str, ...], fault: str) -> None:
    found, faults = pair(named(*videos), named(*labels), "label file", "video")
    assert not found
    assert any(fault in text for text in faults.values()), faults


@given(
    numbers=st.lists(st.integers(0, 2000), min_size=2, max_size=8, unique=True),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_numbered_files_pair_whatever_their_order(numbers: list[int], data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.sampled_from(numbers), min_size=1, unique=True))
    videos = named(*(f"rat{n}_top.mp4" for n in numbers))
    labels = named(*(f"rat{n}_top_annot.txt" for n in kept))
    assert pairs(videos, labels) == {f"rat{n}_top_annot.txt": f"rat{n}_top.mp4" for n in kept}

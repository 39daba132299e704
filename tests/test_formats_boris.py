"""BORIS files: real samples with times worked out by hand, today's layouts, faults by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from murine import formats
from murine.errors import InputError
from murine.types import Bouts, Ethogram, LabelChoice, Timeline

FPS30, FPS25 = Timeline.uniform(5700, 30), Timeline.uniform(9000, 25)


def project(data: Path, observation: str, **more: object) -> Bouts:
    timeline = more.pop("timeline", FPS25)
    choice = LabelChoice(observation=observation, subject=str(more.pop("subject", "all")))
    path = data / "formats/boris/project.boris"
    return formats.read_labels(path, timeline, choice, **more)  # type: ignore[arg-type]


def test_e3v813a(data: Path) -> None:
    path = data / "formats/boris/e3v813a_events.csv"
    bouts = formats.read_labels(path, FPS30)
    # 29.850 s x 30 = 895.5 -> boundary 896; 34.725 s -> 1041.75 -> 1042; ... 180.550 s -> 5416.5 -> 5417
    assert bouts.intervals()[0] == (896, 1042, "interact")
    assert bouts.intervals()[-1] == (5225, 5417, "interact")
    assert len(bouts) == 10
    assert bouts.annotated.tolist() == [[0, 5700]]
    assert bouts.ethogram == Ethogram(("interact",))
    summary = formats.describe_labels(path)
    assert (summary.format, summary.subjects, summary.observations) == (
        "boris-tabular",
        ("adult",),
        ("DLC3",),
    )
    assert (summary.fps, summary.last, summary.unit) == (30.0, 180.55, "seconds")
    assert summary.counts == {"interact": 10}
    assert summary.media[0].endswith("e3v813a-20210610T122332-122642_reencode.avi")


@pytest.mark.parametrize("name", ["tabular_events.csv", "tabular_events.tsv"])
def test_tabular(name: str, data: Path) -> None:
    path = data / "formats/boris" / name
    with pytest.raises(InputError, match=rf"{name}: holds 2 subjects: subject1, subject2"):
        formats.read_labels(path, FPS25)
    first = formats.read_labels(path, FPS25, LabelChoice(subject="subject1"))
    # 3.3 -> 82.5 -> 83; 7.75 -> 193.75 -> 194; 9.9 -> 247.5 -> 248; 16.2 -> 405; 18.35 -> 458.75; 24.475 -> 611.875
    assert first.intervals() == [(83, 194, "s"), (248, 405, "s"), (459, 612, "s")]
    second = formats.read_labels(path, FPS25, LabelChoice(subject="subject2"))
    assert second.intervals() == [(961, 1153, "s")]
    assert len(formats.read_labels(path, FPS25, LabelChoice(subject="all"))) == 4


def test_overlapping_behaviours_are_not_exclusive_and_both_files_agree(data: Path) -> None:
    folder = data / "formats/boris"
    table = formats.read_labels(folder / "simultaneous_events.csv", FPS25)
    whole = formats.read_labels(folder / "multi_behaviours.boris", FPS25)
    # 9.955 -> 248.875; 11.256 -> 281.4; 26.605 -> 665.1; 28.205 -> 705.1; 30.63 -> 765.75; 31.705 -> 792.6
    assert (
        table.intervals() == [(249, 281, "mm"), (665, 793, "mm"), (705, 766, "aa")] == whole.intervals()
    )
    assert not table.ethogram.exclusive
    assert whole.ethogram.behaviours == ("aa", "mm")


def test_aggregated(data: Path, tmp_path: Path) -> None:
    path = data / "formats/boris/aggregated_events.tsv"
    summary = formats.describe_labels(path)
    assert summary.counts == {"s": 10, "p": 8}
    assert summary.subjects == ("subject1", "subject2")
    assert summary.last == 320.365
    choice = LabelChoice(subject="No focal subject")
    with pytest.raises(
        InputError, match=r"several videos \(video_test_25fps_180s.mp4, video_test_25fps_360s.mp4\)"
    ):
        formats.read_labels(path, FPS25, choice)
    # The lines of the first video alone: 1.8 -> 45; 8.125 -> 203.1; points lie in frame floor(t x 25).
    text = path.read_text()
    first = tmp_path / "first.tsv"
    first.write_text("\n".join(line for line in text.split("\n") if "360s" not in line))
    bouts = formats.read_labels(first, FPS25, choice)
    assert bouts.intervals() == [
        (45, 203, "s"), (256, 584, "s"), (669, 787, "s"), (820, 821, "p"), (853, 854, "p"), (873, 874, "p"),
    ]  # fmt: skip


def test_project_lists_its_observations(data: Path) -> None:
    path = data / "formats/boris/project.boris"
    with pytest.raises(InputError, match="holds 12 observations: offset positif, offset neg"):
        formats.read_labels(path, FPS25)
    with pytest.raises(InputError, match=r"no observation 'observation #3'\. Did you mean"):
        formats.read_labels(path, FPS25, LabelChoice(observation="observation #3"))
    assert len(formats.describe_labels(path).observations) == 12
    one = formats.describe_labels(path, LabelChoice(observation="observation #1"))
    assert (one.counts, one.last) == ({"s": 4}, 46.1)


def test_a_queue_of_videos_is_told_apart_by_the_recordings_name(data: Path) -> None:
    name = "observation #2"
    with pytest.raises(InputError, match="covers several videos"):
        project(data, name)
    first = project(data, name, media="video_test_25fps_180s.mp4", timeline=Timeline.uniform(4499, 25))
    assert len(first) == 6
    assert first.intervals()[-1] == (873, 874, "p")  # 34.925 s
    second = project(
        data, name, media="folder/video_test_25fps_360s.avi", timeline=Timeline.uniform(8999, 25)
    )
    # (227.765 - 179.96) x 25 = 1195.1; (253.490 - 179.96) x 25 = 1838.25
    assert second.intervals()[0] == (1195, 1838, "s")
    assert second.intervals()[-1] == (3436, 3510, "s")
    joined = project(data, name, timeline=Timeline.uniform(13498, 25))
    assert joined.intervals()[0] == (45, 203, "s")
    assert joined.intervals()[-1] == (7935, 8009, "s")  # 317.39 s to 320.365 s
    assert len(joined) == len(first) + len(second)


def test_a_second_player_has_its_own_offset(data: Path) -> None:
    # Event at 199.96 s; the second video begins 20 s late: its last frame begins at 179.92 s.
    late = project(
        data, "offset positif", media="video_test_25fps_180s.mp4", timeline=Timeline.uniform(4499, 25)
    )
    assert late.intervals() == [(60, 61, "p")]
    early = project(
        data, "offset neg", media="video_test_25fps_180s.mp4", timeline=Timeline.uniform(4499, 25)
    )
    assert [a for a, _, _ in early.intervals()] == [500, 555, 587, 704]


def test_unpaired_events_are_named_only_where_they_matter(data: Path) -> None:
    with pytest.raises(
        InputError, match=r"'live not paired', event 12: 's' at 26.862 s starts and never stops"
    ):
        project(data, "live not paired")
    # Two subjects at once: 8.886 .. 18.438 and 16.678 .. ; the union of all is one bout.
    live = project(data, "live")
    assert (222, 666, "s") in live.intervals()
    assert not live.ethogram.exclusive


def test_modifiers_do_not_split_and_an_observation_without_events_is_annotated(data: Path) -> None:
    bouts = project(data, "modifiers")
    assert bouts.intervals()[-2:] == [(479, 699, "r"), (761, 1021, "r")]
    empty = project(data, "observation without events")
    assert len(empty) == 0
    assert empty.annotated.tolist() == [[0, 9000]]
    assert empty.ethogram.behaviours == ("p", "s", "q", "r", "m")


TODAY = (
    "Observation id,Observation date,Description,Observation duration,Observation type,Source,Time offset (s),"
    "Media duration (s),FPS,cage,Subject,Behavior,Behavioral category,Modifier #1,Behavior type,Time,"
    "Media file name,Image index,Image file path,Comment\n"
)


def today(path: Path, events: list[tuple[str, str, str]], source: str = "player #1:a.mp4", length: str = "60.000",
          offset: str = "0.000", observation: str = "obs, 1") -> Path:  # fmt: skip
    rows = [
        f'"{observation}",2024-01-01 10:00:00,"two\nlines",60.000,Media file(s),{source},{offset},{length},10.000,c1,'
        f"No focal subject,{behaviour},cat,,{kind},{time},a.mp4,NA,NA,"
        for time, behaviour, kind in events
    ]
    path.write_text(TODAY + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_todays_layout(tmp_path: Path) -> None:
    events = [("11.00", "walk", "START"), ("12.00", "sniff", "POINT"), ("13.04", "walk", "STOP")]
    path = today(tmp_path / "new.csv", events, offset="10.000")
    bouts = formats.read_labels(path, Timeline.uniform(600, 10))
    # The offset of 10 s is taken off again: 1.0 .. 3.04 s, the point at 2.0 s.
    assert bouts.intervals() == [(10, 30, "walk"), (20, 21, "sniff")]
    summary = formats.describe_labels(path)
    assert (summary.format, summary.fps, summary.observations) == ("boris-tabular", 10.0, ("obs, 1",))
    assert summary.media == ("a.mp4",)


def test_todays_queue_tells_when_each_video_begins(tmp_path: Path) -> None:
    events = [
        ("5", "walk", "START"),
        ("62", "walk", "STOP"),
        ("70", "dig", "START"),
        ("71", "dig", "STOP"),
    ]
    path = today(
        tmp_path / "q.csv", events, "player #1:a.mp4;b.mp4|player #2:side.mp4", "60.000;30.000|90.000"
    )
    first = formats.read_labels(path, Timeline.uniform(600, 10), media="a.mp4")
    assert first.intervals() == [(50, 600, "walk")]
    second = formats.read_labels(path, Timeline.uniform(300, 10), media="b.mp4")
    assert second.intervals() == [(0, 20, "walk"), (100, 110, "dig")]
    with pytest.raises(InputError, match="when it begins, is not told"):
        formats.read_labels(path, Timeline.uniform(900, 10), media="side.mp4")


PREAMBLE = "Observation id,o\n,\nMedia file(s),\n,\nPlayer #1,a.mp4\n,\nTime offset (s),{offset}\n,\n"
HEADER = "Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Comment,Status\n"


def old(path: Path, rows: str, offset: str = "0.0") -> Path:
    path.write_text(PREAMBLE.format(offset=offset) + HEADER + rows, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("1,a.mp4,9,10,m,dig,,,START\n", "line 10: 'dig' at 1 s starts and never stops"),
        ("1,a.mp4,9,10,m,dig,,,STOP\n", "line 10: 'dig' at 1 s stops without having started"),
        (
            "1,a.mp4,9,10,m,dig,,,START\n2,a.mp4,9,10,m,dig,,,START\n",
            "line 11: 'dig' at 2 s starts again; .*line 10",
        ),
        (
            "2,a.mp4,9,10,m,dig,,,START\n1,a.mp4,9,10,m,dig,,,STOP\n",
            "line 11: 'dig' at 1 s stops before it starts",
        ),
        ("1,a.mp4,9,10,m,dig,,,BEGIN\n", "line 10: status 'BEGIN'"),
        ("one,a.mp4,9,10,m,dig,,,START\n", "line 10: time 'one'"),
        ("nan,a.mp4,9,10,m,dig,,,START\n", "line 10: time 'nan'"),
        ("1,a.mp4,9,10,m,,,,START\n", "line 10: no behaviour"),
        ("1,a.mp4,9,10,m,dig\n", "line 10: 6 cells where the header has 9"),
        (
            "1,a.mp4,9,10,m,dig,,,START\n12.3,a.mp4,9,10,m,dig,,,STOP\n",
            r"23 frames \(2.30 s\) past the end.*= 2.3",
        ),
        ("1,a.mp4,9,10,m,dig,,,START\n92,a.mp4,9,10,m,dig,,,STOP\n", "past the end.*another recording"),
    ],
)
def test_faults_are_named(rows: str, told: str, tmp_path: Path) -> None:
    path = old(tmp_path / "x.csv", rows)
    with pytest.raises(InputError, match=rf"x\.csv.*{told}"):
        formats.read_labels(path, Timeline.uniform(100, 10))


def test_a_bout_before_the_recording_is_refused(tmp_path: Path) -> None:
    path = old(tmp_path / "x.csv", "1,a.mp4,9,10,m,dig,,,START\n2,a.mp4,9,10,m,dig,,,STOP\n", offset="5")
    with pytest.raises(InputError, match=r"x\.csv, line 10: 'dig' begins at -4 seconds.*time offset"):
        formats.read_labels(path, Timeline.uniform(100, 10))


def test_the_end_is_cut_within_the_tolerance(tmp_path: Path) -> None:
    rows = (
        "9,a.mp4,9,10,m,dig,,,START\n10.5,a.mp4,9,10,m,dig,,,STOP\n"
        "10.6,a.mp4,9,10,m,rest,,,START\n11,a.mp4,9,10,m,rest,,,STOP\n"
    )
    path = old(tmp_path / "x.csv", rows)
    timeline = Timeline.uniform(100, 10)
    with pytest.raises(InputError, match="tolerance_s = 1 in"):
        formats.read_labels(path, timeline)
    bouts = formats.read_labels(path, timeline, tolerance_s=1.0)
    assert bouts.intervals() == [(90, 100, "dig")]  # the bout that lies wholly past the end is gone
    assert bouts.ethogram.behaviours == ("dig", "rest")
    half = old(tmp_path / "y.csv", "9,a.mp4,9,10,m,dig,,,START\n10.04,a.mp4,9,10,m,dig,,,STOP\n")
    assert formats.read_labels(half, timeline).intervals() == [(90, 100, "dig")]


def test_times_meet_the_frames_of_a_variable_rate(tmp_path: Path) -> None:
    timeline = Timeline(np.array([0.0, 0.1, 0.2, 1.0, 1.1, 5.0, 5.1]))
    path = old(
        tmp_path / "x.csv",
        "0.16,a.mp4,9,10,m,dig,,,START\n1.04,a.mp4,9,10,m,dig,,,STOP\n4.99,a.mp4,9,10,m,sniff,,,POINT\n",
    )
    # 0.16 s is nearest to 0.2 (frame 2), 1.04 s to 1.0 (frame 3); at 4.99 s frame 4 is still shown.
    assert formats.read_labels(path, timeline).intervals() == [(2, 3, "dig"), (4, 5, "sniff")]


def test_a_point_at_a_rounded_time_is_its_own_frame(tmp_path: Path) -> None:
    # Frame 1 at 30 fps begins at 0.03333 s, which BORIS writes as 0.033.
    path = old(tmp_path / "x.csv", "0.033,a.mp4,9,30,m,sniff,,,POINT\n0.067,a.mp4,9,30,m,dig,,,POINT\n")
    assert formats.read_labels(path, Timeline.uniform(9, 30)).intervals() == [
        (1, 2, "sniff"),
        (2, 3, "dig"),
    ]


def test_a_bout_shorter_than_half_a_frame_gets_a_free_frame_only(tmp_path: Path) -> None:
    rows = (
        "1.01,a.mp4,9,10,m,dig,,,START\n1.02,a.mp4,9,10,m,dig,,,STOP\n"
        "2,a.mp4,9,10,m,rest,,,START\n2.52,a.mp4,9,10,m,rest,,,STOP\n2.52,a.mp4,9,10,m,dig,,,START\n2.53,a.mp4,9,10,m,dig,,,STOP\n"
        "2.53,a.mp4,9,10,m,walk,,,START\n3,a.mp4,9,10,m,walk,,,STOP\n"
    )
    bouts = formats.read_labels(old(tmp_path / "x.csv", rows), Timeline.uniform(100, 10))
    assert bouts.intervals() == [(10, 11, "dig"), (20, 25, "rest"), (25, 30, "walk")]
    assert bouts.ethogram.exclusive


def test_clock_times_and_decimal_commas(tmp_path: Path) -> None:
    rows = "00:00:01.500;a;9;10;m;dig;;;START\n2,5;a;9;10;m;dig;;;STOP\n"
    path = tmp_path / "x.csv"
    path.write_text(HEADER.replace(",", ";") + rows)
    assert formats.read_labels(path, Timeline.uniform(100, 10)).intervals() == [(15, 25, "dig")]


def test_only_part_was_observed(tmp_path: Path, data: Path) -> None:
    whole = json.loads((data / "formats/boris/multi_behaviours.boris").read_text())
    whole["observations"]["testvid"]["observation time interval"] = [5, 40]
    whole["observations"]["testvid"]["time offset"] = 2.0
    (tmp_path / "x.boris").write_text(json.dumps(whole))
    bouts = formats.read_labels(tmp_path / "x.boris", FPS25)
    assert bouts.annotated.tolist() == [[125, 1000]]
    assert bouts.intervals()[0] == (
        199,
        231,
        "mm",
    )  # (9.955 - 2) x 25 = 198.9, (11.256 - 2) x 25 = 231.4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: p["behaviors_conf"].pop("0"), "behaviour 'aa' is not in the project's ethogram"),
        (
            lambda p: p["observations"]["testvid"]["events"].pop(),
            "'mm' at 26.605 s starts and never stops",
        ),
        (
            lambda p: p["observations"]["testvid"]["events"][0].__setitem__(0, None),
            "event 1: has no time",
        ),
        (lambda p: p["observations"]["testvid"].pop("events"), "not as BORIS writes it"),
        (lambda p: p.pop("observations"), "no 'observations'"),
    ],
)
def test_broken_projects(change: object, told: str, tmp_path: Path, data: Path) -> None:
    whole = json.loads((data / "formats/boris/multi_behaviours.boris").read_text())
    change(whole)  # type: ignore[operator]
    (tmp_path / "x.boris").write_text(json.dumps(whole))
    with pytest.raises(InputError, match=rf"x\.boris: .*{told}"):
        formats.read_labels(tmp_path / "x.boris", FPS25)


def test_a_written_project_has_what_a_real_one_has(tmp_path: Path, data: Path) -> None:
    bouts = Bouts.build(Ethogram(("walk", "groom")), 50, [(0, 10, "walk"), (10, 20, "groom")], [[0, 40]])
    path = tmp_path / "x.boris"
    formats.write_labels(
        path,
        bouts,
        Timeline.uniform(50, 25),
        "boris-project",
        subject="m1",
        recording="r",
        media="r.mp4",
    )
    ours = json.loads(path.read_text())
    real = json.loads((data / "formats/boris/multi_behaviours.boris").read_text())
    assert set(ours) == set(real)
    theirs, mine = real["observations"]["testvid"], ours["observations"]["r"]
    assert set(mine) == set(theirs)
    assert {k: type(v) for k, v in mine.items()} == {k: type(v) for k, v in theirs.items()}
    assert set(mine["media_info"]) == set(theirs["media_info"])
    assert set(ours["behaviors_conf"]["0"]) == set(real["behaviors_conf"]["0"])
    assert mine["events"][:3] == [
        [0.0, "m1", "walk", "", ""], [0.4, "m1", "walk", "", ""], [0.4, "m1", "groom", "", ""],
    ]  # fmt: skip
    keys = [b["key"] for b in ours["behaviors_conf"].values()]
    assert keys == ["w", "g", "n"]
    assert ours["behaviors_conf"]["2"]["code"] == "not annotated"


def test_a_written_table_looks_like_a_real_one(tmp_path: Path, data: Path) -> None:
    bouts = Bouts.build(Ethogram(("interact",)), 5700, [(896, 1042, "interact")])
    formats.write_labels(
        tmp_path / "x.csv",
        bouts,
        FPS30,
        "boris-tabular",
        subject="adult",
        recording="DLC3",
        media="v.avi",
    )
    ours = (tmp_path / "x.csv").read_text().split("\n")
    real = (data / "formats/boris/e3v813a_events.csv").read_text().split("\n")
    assert [line.split(",")[0] for line in ours[:16]] == [line.split(",")[0] for line in real[:16]]
    assert ours[15] == real[15]
    assert ours[16] == "29.867,v.avi,190.000,30,adult,interact,,,START"
    assert ours[17] == "34.733,v.avi,190.000,30,adult,interact,,,STOP"

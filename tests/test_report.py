"""Reports: the numbers on the page, nothing from outside, nothing a name can break."""

from __future__ import annotations

import base64
import itertools
import json
import re
import struct
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from murine.errors import InputError, StorageError
from murine.metrics import majority_baseline, score_frames
from murine.postprocess import apply
from murine.report import ReportData, ReportRecording, save_figures, write_report
from murine.report.drawing import new_figure, picture, shorten
from murine.report.palette import BACKGROUND, FEW, MANY, colours, ink_on, rgb
from murine.report.rasters import blend, block_means, hatch, shares, tint
from murine.report.summary import summarise
from murine.report.tables import budgets, clips, most_confused
from murine.report.words import count, duration, flatten, listing, percent, plain
from murine.types import Bouts, Ethogram, Prediction, Timeline

RATE = 10.0
ABC = Ethogram(("groom", "rear", "rest"), background="rest")
ODD = Ethogram(('<b>groom</b> & "x"', "$rear$", "休息"), exclusive=False)


def recording(
    name: str, seed: int, ethogram: Ethogram = ABC, frames: int = 300, hidden: int = 0, sure: float = 0.3
) -> ReportRecording:
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.integers(0, len(ethogram), frames // 20 + 1), 20)[:frames]
    values = rng.dirichlet(np.ones(len(ethogram)), frames)
    values[np.arange(frames), truth] += sure
    values /= values.sum(axis=1, keepdims=True)
    truth[:hidden] = -1
    timeline = Timeline.uniform(frames, RATE)
    prediction = Prediction(name, ethogram, values, timeline)
    bouts = apply(prediction)
    return ReportRecording(
        name,
        timeline,
        Bouts.from_classes(ABC, truth) if ethogram is ABC else bouts,
        bouts,
        prediction.probabilities,
        {"cage": name[-1]},
    )


def folds(names: list[str]) -> list[dict]:
    return [
        {"name": f"fold {i}", "train": [m for m in names if m != n], "validation": [], "test": [n]}
        | {"groups": {m: m for m in names}, "notes": []}
        for i, n in enumerate(names)
    ]


@pytest.fixture(scope="module")
def study() -> ReportData:
    recordings = [recording("m1", 1), recording("m2", 2, hidden=60), recording("m3", 3)]
    return ReportData(
        "A study",
        "evaluation",
        ABC,
        recordings,
        splits=folds(["m1", "m2", "m3"]),
        settings={"model": "srs_sharing", "training": {"epochs": 3, "augment": ["mirror"]}},
        provenance={"data_hash": "0f" * 16, "path": Path("a") / "b"},
        warnings=["the lamp failed on day 2"],
        notes=["first try"],
    )


@pytest.fixture(scope="module")
def page(study: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report") / "report.html", study)


class Reader(HTMLParser):
    """Collects rows of tables and checks that every tag is closed where it should be."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data.strip()


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def pooled(study: ReportData):
    truth = np.concatenate([r.true_frames for r in study.recordings])
    values = np.concatenate([r.probabilities for r in study.recordings])
    return score_frames(truth, values, study.ethogram), majority_baseline(truth, study.ethogram)


def test_the_page_shows_the_scores_beside_the_baseline(page, study):
    ours, base = pooled(study)
    rows = {row[0]: row for row in reversed(read(page).rows) if row}
    assert rows["Macro F1"][1:4:2] == [f"{ours.macro_f1:.3f}", f"{base.macro_f1:.3f}"]
    assert rows["Accuracy"][1:4:2] == [f"{ours.accuracy:.3f}", f"{base.accuracy:.3f}"]
    key = "macro_f1_foreground_without_background_frames"
    assert rows["Macro F1 without background frames"][1] == f"{getattr(ours, key):.3f}"
    groom = ours.behaviour("groom")
    assert rows["m2"][5] == "80.0 %"
    behaviours = [row for row in read(page).rows if row and row[0] == "groom"]
    assert behaviours[0][1:6] == [
        f"{v:.3f}" for v in (groom.f1, groom.precision, groom.recall, groom.average_precision, groom.auc)
    ]
    assert behaviours[0][6:8] == [f"{groom.support:,}", f"{groom.said:,}"]


def test_the_json_copy_holds_the_same_numbers(page, study):
    form = json.loads(page.with_suffix(".json").read_text())
    ours, base = pooled(study)
    assert form["scores"] == json.loads(json.dumps(ours.to_dict()))
    assert form["baseline"]["accuracy"] == base.accuracy
    assert [r["annotated"] for r in form["recordings"]] == [1.0, 0.8, 1.0]
    assert form["splits"][0]["test"] == ["m1"]
    assert form["provenance"]["path"] == "a/b"
    assert form["budgets"][0]["human"]["bouts"] > 0
    assert 0 < form["segments"]["f1_50"] < 100


def test_a_page_needs_nothing_from_outside(page):
    text = page.read_text(encoding="utf-8")
    reader = read(page)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in reader.tags}
    for _, attributes in reader.tags:
        for key in ("src", "href", "srcset", "data"):
            if key in attributes:
                assert attributes[key].startswith(("data:image/", "#"))
    assert "@import" not in text
    assert "url(" not in text
    anchors = {a["id"] for _, a in reader.tags if "id" in a}
    links = {a["href"][1:] for tag, a in reader.tags if tag == "a"}
    assert links <= anchors
    images = [a for tag, a in reader.tags if tag == "img"]
    assert len(images) == 8 + 3 * 2
    assert all(a["alt"] for a in images)


def test_a_page_says_in_words_what_was_done_and_what_may_be_wrong(page):
    text = " ".join(read(page).text.split())
    for words in (
        "3 recordings (90.0 s in all)",
        "In 3 rounds of training",
        "had not seen the recording",
        "always saying “",
        "the lamp failed on day 2",
        "first try",
        "6.7 % of the frames are not annotated",
        "training.augment",
        "0f" * 16,
    ):
        assert words in text


def test_a_written_page_is_the_same_again(page, study, tmp_path):
    again = write_report(tmp_path / "again.html", study)
    stamp = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")
    first, second = (stamp.sub("", p.read_text(encoding="utf-8")) for p in (page, again))
    assert first == second


def test_names_cannot_break_the_page(tmp_path):
    bad = recording("r1", 0, ODD)
    odd = ReportRecording(
        "<i>r1</i>", bad.timeline, bad.truth, bad.predicted, bad.probabilities, {"<u>": "</td><u>"}
    )
    data = ReportData(
        "</title><script>alert(1)</script>", "evaluation", ODD, [odd], settings={"</table>": "<b>"}
    )
    path = write_report(tmp_path / "r.html", data)
    reader = read(path)
    found = {tag for tag, attributes in reader.tags if tag != "i" or "style" not in attributes}
    assert not {"script", "u", "i"} & found
    assert "<script>alert(1)</script>" in reader.text
    assert '<b>groom</b> & "x"' in [row[0] for row in reader.rows if row]
    assert not [a for tag, a in reader.tags if tag == "b" and a]
    drawn = [a["src"] for tag, a in reader.tags if tag == "img"]
    svg = [base64.b64decode(d.split(",")[1]).decode() for d in drawn if "svg" in d.split(",")[0]]
    assert any("$rear$" in s for s in svg)
    assert any("休息" in s for s in svg)


def test_labels_alone_and_predictions_alone(tmp_path, study):
    for kind in ("labels", "prediction"):
        keep = [
            ReportRecording(r.id, r.timeline, r.truth if kind == "labels" else None)
            if kind == "labels"
            else ReportRecording(r.id, r.timeline, None, r.predicted, r.probabilities)
            for r in study.recordings
        ]
        data = ReportData("Only one side", kind, ABC, keep)
        path = write_report(tmp_path / f"{kind}.html", data)
        reader = read(path)
        rows = {row[0]: row for row in reversed(reader.rows) if row}
        assert "Macro F1" not in rows
        table = budgets(data)
        assert list(table) == ["human" if kind == "labels" else "predicted"]
        assert rows["groom"][3] == str(next(iter(table.values())).bouts[0])
        form = json.loads(path.with_suffix(".json").read_text())
        assert form["scores"] is None
    assert "cannot tell how good" in reader.text


def test_budgets_compare_the_annotated_frames_only():
    timeline = Timeline.uniform(100, RATE)
    human = Bouts.build(ABC, 100, [(0, 30, "groom")], annotated=[[0, 50]])
    predicted = Bouts.build(ABC, 100, [(10, 30, "groom"), (60, 100, "groom"), (30, 60, "rest")])
    data = ReportData("t", "evaluation", ABC, [ReportRecording("r", timeline, human, predicted)])
    found = budgets(data)
    assert found["human"].seconds == pytest.approx([3.0, 0.0, 2.0])
    assert found["predicted"].seconds == pytest.approx([2.0, 0.0, 3.0])
    assert found["human"].share == pytest.approx([0.6, 0.0, 0.4])
    assert found["predicted"].bouts.tolist() == [1, 0, 2]  # no behaviour is the background


def clip_study(count: int = 20) -> ReportData:
    rng = np.random.default_rng(0)
    items = []
    for i in range(count):
        truth = i % 3
        values = np.full((8, 3), 0.1) + 0.7 * (np.arange(3) == (truth if i >= 5 else (truth + 1) % 3))
        values[:, 2] += 0.01 * rng.random()
        values /= values.sum(axis=1, keepdims=True)
        timeline = Timeline.uniform(8, 25.0)
        prediction = Prediction("c", ABC, values, timeline)
        bouts = Bouts.from_classes(ABC, np.full(8, truth))
        items.append(
            ReportRecording(f"clip{i}", timeline, bouts, apply(prediction), prediction.probabilities)
        )
    return ReportData("Clips", "evaluation", ABC, items, unit="recording")


def test_clips_are_shown_as_a_grid(tmp_path):
    data = clip_study()
    path = write_report(tmp_path / "clips.html", data)
    reader = read(path)
    squares = [a for tag, a in reader.tags if tag == "i" and "title" in a]
    assert len(squares) == 20
    assert sum(a.get("class") == "wrong" for a in squares) == 5
    assert len([a for tag, a in reader.tags if tag == "img"]) == 3
    form = json.loads(path.with_suffix(".json").read_text())
    assert form["scores"]["n"] == 20
    assert form["scores"]["accuracy"] == 0.75
    assert [c["id"] for c in form["clips"] if not c["right"]] == [f"clip{i}" for i in range(5)]
    assert path.stat().st_size < 200_000


def test_long_recordings_are_no_clips(study):
    assert clips(study) is None
    assert clips(clip_study(12)) is None
    assert len(clips(clip_study(13))) == 13


def test_the_summary_tells_a_hopeless_model_and_one_that_may_have_cheated():
    timeline = Timeline.uniform(200, RATE)
    human = Bouts.build(ABC, 200, [(0, 150, "groom"), (150, 200, "rest")])
    same = Bouts.build(ABC, 200, [(0, 200, "groom")])
    flicker = Bouts.from_classes(ABC, np.arange(200) % 3)
    hopeless = summarise(
        ReportData("t", "evaluation", ABC, [ReportRecording("r", timeline, human, same)]).complete()
    )
    text = " ".join(hopeless.doubts)
    assert "hardly better than always saying" in text
    assert "Nothing here says which recordings the model was trained on" in text
    assert "Never labelled here: rear" in text
    assert "One recording only" in text
    assert "had not seen" not in " ".join(hopeless.done)
    assert "75.0 % of 200 labelled frames are right; always saying “groom”" in hopeless.good[0]
    data = ReportData(
        "t",
        "evaluation",
        ABC,
        [ReportRecording(name, timeline, human, flicker) for name in "ab"],
        splits=folds(["a"]),
    )
    loose = summarise(data.complete())
    assert any("No fold tested b" in line for line in loose.doubts)
    assert any("flickers: 100.0 times" in line for line in loose.doubts)
    assert "had not seen" not in " ".join(loose.done)


def test_what_a_behaviour_is_taken_for(study):
    data = study.complete()
    table = np.array(data.scores["confusion"], dtype=float)
    found = most_confused(data, "groom")
    assert found.share == table[0, 1:].max() / table[0].sum()
    assert found.behaviour == ABC.behaviours[1 + int(table[0, 1:].argmax())]


def test_figures_are_saved_as_png(tmp_path, study):
    written = save_figures(study, tmp_path / "figures")
    names = sorted(p.name for p in written)
    assert names == sorted(
        ["overview.png", "behaviours.png", "confusion.png", "curves.png", "budget.png", "durations.png"]
        + ["transitions_human.png", "transitions_predicted.png"]
        + [f"{kind}_m{i}.png" for kind in ("ethogram", "probabilities") for i in (1, 2, 3)]
    )
    for path in written:
        head = path.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        assert min(struct.unpack(">II", head[16:24])) > 50
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == names


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 90), st.integers(0, 2**32 - 1), st.booleans())
def test_pixels_keep_the_mean_over_time(frames, width, seed, variable):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.05, 0.5, frames)) if variable else np.arange(frames) / RATE
    timeline = Timeline(times)
    values = rng.random((frames, 2))
    means = block_means(values, timeline, width)
    lengths = np.diff(timeline.seconds(np.arange(frames + 1)))
    assert means.shape == (width, 2)
    assert means.mean(axis=0) == pytest.approx((values * lengths[:, None]).sum(axis=0) / lengths.sum())
    assert means.min() >= values.min() - 1e-9
    assert means.max() <= values.max() + 1e-9
    assert block_means(np.ones((frames, 1)), timeline, width) == pytest.approx(np.ones((width, 1)))


def test_a_pixel_per_frame_shows_the_frame():
    values = np.random.default_rng(0).random((50, 3))
    assert block_means(values, Timeline.uniform(50, 25.0), 50) == pytest.approx(values)


def test_strips_show_what_they_should():
    timeline = Timeline.uniform(4, RATE)
    frames = np.array([[1, 0], [0, 1], [-1, -1], [0, 0]], dtype=np.int8)
    share, hidden = shares(frames, timeline, 4)
    assert hidden == pytest.approx([0, 0, 1, 0])
    lane = hatch(tint(share[:, 0], "#0072B2", 6), hidden)
    assert tuple(lane[0, 0]) == rgb("#0072B2")
    assert tuple(lane[0, 1]) == tuple(lane[0, 3]) == rgb("#F3F4F6")
    assert len({tuple(v) for v in lane[:, 2]}) == 2
    band = blend(np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]]), ["#000000", "#FF0000"], 1)
    assert [tuple(v) for v in band[0]] == [(0, 0, 0), (128, 0, 0), rgb("#F3F4F6")]


def seen_by(colour: str, kind: str) -> np.ndarray:
    """Linear light as a dichromat sees it (Vienot, Brettel and Mollon 1999)."""
    linear = (np.array(rgb(colour)) / 255) ** 2.2
    weights = {
        "deuteranope": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
        "protanope": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "trichromat": np.eye(3),
    }[kind]
    return np.clip(np.array(weights) @ linear, 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize("kind", ["trichromat", "deuteranope", "protanope"])
@pytest.mark.parametrize("palette", [(*FEW, BACKGROUND), (*MANY, BACKGROUND)], ids=["few", "many"])
def test_colours_stay_apart_for_colour_blind_eyes(palette, kind):
    for first, second in itertools.combinations(palette, 2):
        assert np.linalg.norm(seen_by(first, kind) - seen_by(second, kind)) > 0.08, (first, second)


def test_colours_are_one_per_behaviour():
    many = Ethogram(tuple(f"b{i}" for i in range(40)), background="b3")
    found = colours(many)
    assert list(found) == list(many.behaviours)
    assert len(set(found.values())) == 40
    assert found["b3"] == BACKGROUND
    assert all(re.fullmatch("#[0-9A-F]{6}", c) for c in found.values())
    assert ink_on("#332288") == "#FFFFFF"
    assert ink_on("#DDCC77") == "#000000"


def test_large_drawings_become_png_and_foreign_letters_stay_svg():
    rng = np.random.default_rng(0)
    for text, kind in (("plain", "png"), ("休息", "svg")):
        figure = new_figure(2.0)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.plot(rng.random(20_000), rng.random(20_000), ".")
        axes.text(0.5, 0.5, text)
        assert picture(figure, "x").uri.startswith(f"data:image/{kind}")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0, "0.00 s"),
        (9.996, "10.0 s"),
        (59.94, "59.9 s"),
        (119.6, "2 min 0 s"),
        (3599.7, "1 h 0 min"),
        (7320, "2 h 2 min"),
    ],
)
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text


def test_other_words():
    assert count(1, "recording") == "1 recording"
    assert count(2000, "recording") == "2,000 recordings"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing(list("abcdef")) == "a, b, c and 3 more"
    assert percent(0.1234) == "12.3 %"
    assert shorten("a" * 30) == "a" * 18 + "…" + "a" * 5
    assert flatten({"a": {"b": [1, 2], "c": None}, "p": [{"name": "median"}], "t": True}) == [
        ("a.b", "1, 2"),
        ("a.c", "–"),
        ("p.1.name", "median"),
        ("t", "yes"),
    ]
    assert plain({"x": np.float32(0.5), "y": float("nan"), "z": (np.arange(2), Path("a"))}) == {
        "x": 0.5,
        "y": None,
        "z": [[0, 1], "a"],
    }


def test_what_does_not_belong_together_is_refused(study):
    first = study.recordings[0]
    other = Ethogram(("groom", "rear"))
    with pytest.raises(InputError, match="at least one recording"):
        ReportData("t", "labels", ABC, [])
    with pytest.raises(InputError, match="Align them first"):
        ReportData("t", "labels", other, [first])
    with pytest.raises(InputError, match="cover 300 frames, its times 7"):
        ReportData("t", "labels", ABC, [ReportRecording("r", Timeline.uniform(7, 1.0), first.truth)])
    with pytest.raises(InputError, match="needs labels and predicted bouts"):
        ReportData("t", "evaluation", ABC, [ReportRecording("r", first.timeline, first.truth)])
    with pytest.raises(InputError, match="evaluation, prediction or labels"):
        ReportData("t", "scores", ABC, [first])


def test_a_report_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        write_report(tmp_path / "file" / "report.html", clip_study())


@pytest.mark.slow
def test_a_large_study_stays_small(tmp_path):
    names = [f"session{i}" for i in range(44)]
    recordings = [recording(n, i, frames=15_000) for i, n in enumerate(names)]
    data = ReportData("Large", "evaluation", ABC, recordings, splits=folds(names))
    assert write_report(tmp_path / "r.html", data).stat().st_size < 15_000_000

"""Raters among themselves: values, files, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from murine.cli import app
from murine.errors import InputError
from murine.metrics import agree, fleiss_kappa, score_bouts
from murine.metrics.agreement import most
from murine.rating import agree_paths
from murine.types import Bouts, Ethogram

TWO = Ethogram(("groom", "rest"))
LOOSE = Ethogram(("groom", "rest"), exclusive=False)

# Ten things, five categories, fourteen raters: the well-known example, kappa .210.
FOURTEEN = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def rated(classes: list[int], ethogram: Ethogram = TWO) -> list[Bouts]:
    return [Bouts.from_classes(ethogram, classes)]


def test_fleiss() -> None:
    assert fleiss_kappa(np.array(FOURTEEN)) == pytest.approx(0.210, abs=5e-4)
    assert fleiss_kappa(np.array([[3, 0], [0, 3]])) == 1.0
    assert fleiss_kappa(np.array([[3, 0], [3, 0]])) is None
    with pytest.raises(InputError, match="same number of raters"):
        fleiss_kappa(np.array([[3, 0], [1, 1]]))


def test_two_raters_have_cohens_kappa_and_no_majority() -> None:
    a, b = rated([0, 0, 0, 1, 1, 1, 0, 1]), rated([0, 0, 1, 1, 1, 0, 0, 1])
    found = agree({"anna": a, "ben": b})
    assert found.kappa == score_bouts(a[0], b[0]).frames.kappa == pytest.approx(0.5)
    assert found.f1("groom") == (0.75, 0.75)
    assert found.against_majority == {}
    assert found.fleiss_all == pytest.approx(0.5)


def test_each_against_what_most_others_say() -> None:
    raters = {
        "anna": rated([0, 0, 1, 1, 0]),
        "ben": rated([0, 0, 1, 0, 1]),
        "cleo": rated([0, 0, 0, 1, 1]),
    }
    found = agree(raters)
    assert len(found.pairs) == 3
    # Ben and Cleo agree on frames 0, 1 and 4 only; Anna is right on two of them.
    assert found.against_majority["anna"].frames.n == 3
    assert found.against_majority["anna"].frames.accuracy == pytest.approx(2 / 3)


def test_what_most_say_where_some_are_divided_or_did_not_look() -> None:
    a, b, c = (
        np.array(x, dtype=np.int8) for x in ([[1, 0], [1, 0]], [[1, 0], [0, 1]], [[0, 1], [-1, -1]])
    )
    assert most([a, b, c], TWO).tolist() == [[1, 0], [-1, -1]]
    assert most([a, b, c], LOOSE).tolist() == [[1, 0], [-1, -1]]
    assert most([a, a, c], LOOSE).tolist() == [[1, 0], [1, 0]]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="two raters"):
        agree({"anna": rated([0, 1])})
    with pytest.raises(InputError, match="anna 1, ben 2"):
        agree({"anna": rated([0, 1]), "ben": rated([0, 1]) * 2})
    with pytest.raises(InputError, match="anna and ben: the truth has 2 frames"):
        agree({"anna": rated([0, 1]), "ben": rated([0, 1, 1])})


def test_three_people_of_the_open_field(data: Path) -> None:
    table = data / "formats" / "raters" / "open_field_three_raters.csv"
    found = agree_paths([table], fps=25.0, leave_out=["_DEFAULT"])
    assert len(found.recordings) == 20
    assert found.agreement.raters == ("Oliver", "Jin", "Furkan")
    mean, least = found.agreement.f1("Supported")
    assert mean == pytest.approx(0.888, abs=0.002)
    assert least == pytest.approx(0.876, abs=0.002)
    assert found.agreement.fleiss["Grooming"] == pytest.approx(0.707, abs=0.002)
    assert "_DEFAULT" not in found.agreement.fleiss


def write(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("behavior,start_s,stop_s", *rows)) + "\n")
    return path


def test_a_file_or_a_folder_of_each_rater(tmp_path: Path) -> None:
    anna = write(tmp_path / "anna" / "m1.csv", "groom,0,2", "rear,3,4")
    ben = write(tmp_path / "ben" / "m1.csv", "groom,0,1", "rear,3,4")
    files = agree_paths([anna, ben], fps=10.0)
    assert files.agreement.raters == ("anna/m1", "ben/m1")
    assert files.agreement.f1("groom")[0] == pytest.approx(2 * 10 / 30)
    write(tmp_path / "ben" / "m2.csv", "groom,0,1")
    folders = agree_paths([tmp_path / "anna", tmp_path / "ben"], fps=10.0)
    assert (folders.recordings, folders.left_out) == (("m1",), ("m2",))
    assert folders.agreement.kappa == files.agreement.kappa


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--raters", "Oliver,Jinn"], "no rater 'Jinn'. Did you mean 'Jin'?"),
        (["--raters", "Jin"], "needs two or more"),
        ([], "Give one with --fps"),
        (["--fps", "25", "--leave-out", "Floating2"], "Floating2"),
    ],
)
def test_bad_words_get_one_line(data: Path, options: list[str], says: str) -> None:
    table = data / "formats" / "raters" / "forced_swim_four_raters.csv"
    outcome = CliRunner().invoke(app, ["agree", str(table), *options])
    assert outcome.exit_code == 2
    assert says in outcome.output
    assert outcome.output.count("\n") == 1


def test_two_spellings_are_no_disagreement(tmp_path: Path) -> None:
    anna = write(tmp_path / "anna.csv", "groom,0,2")
    ben = write(tmp_path / "ben.csv", "grooming,0,1")
    with pytest.raises(InputError, match="'groom' only of anna, 'grooming' only of ben"):
        agree_paths([anna, ben], fps=10.0)


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    anna = write(tmp_path / "anna.csv", "groom,0,2", "rear,3,4")
    ben = write(tmp_path / "ben.csv", "groom,0,1", "rear,3,4")
    words = ["agree", str(anna), str(ben), "--fps", "10"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0
    assert "anna - ben" in told.output
    value = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert value["recordings"] == ["anna"]
    assert value["pairs"][0]["frames"]["per_class"]["groom"]["f1"] == pytest.approx(2 / 3)

"""DeepLabCut tables: every layout, the real samples with numbers read off by hand."""

from __future__ import annotations

import gzip
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from murine import formats
from murine.errors import InputError
from murine.formats.deeplabcut import prefixes
from murine.types import Pose

# file: frames, animals, keypoints, first and last keypoint name, first cell (x, y, likelihood)
SAMPLES = {
    "single.csv": (97, ("animal",), 14, "Nose", "Right_fhip", (280.45084, 328.91183, 0.99999607)),
    "single.h5": (100, ("animal",), 14, "Nose", "Right_fhip", (321.78641, 279.99442, 0.99999952)),
    "multi_animal.csv": (
        97, ("mouse_black_tail", "mouse_white_tail"), 14, "Nose", "Right_fhip", (188.547, 379.996, 0.991),
    ),
    "multi_animal.h5": (
        100, ("mouse_black_tail", "mouse_white_tail"), 14, "Nose", "Right_fhip", (188.547, 379.996, 0.991),
    ),
    "two_by_prefix.csv": (98, ("B", "W"), 14, "Nose", "Right_fhip", (261.76999, 215.63528, 0.9999963)),
    "two_by_prefix.h5": (100, ("B", "W"), 14, "Nose", "Right_fhip", (261.76999, 215.63528, 0.9999963)),
    "stray_index_column.csv": (1998, ("animal",), 18, "tl", "tailtip", (445.63277, 277.73365, 0.00656515)),
    "three_mice_no_likelihood.h5": (1800, ("mouse1", "mouse2", "mouse3"), 12, "nose", None, (101, 440, None)),
    "e3v813a_pose.csv": (5700, ("adult", "juvenile"), 7, "nose", "tail", (606.248, 718.07, 0.88881)),
    "../calms21/mouse083_pose_only.csv": (
        4881, ("Resident", "Intruder"), 7, "nose", "tail_base", (403.97611, 193.31476, 0.70476723),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_real_samples(name: str, data: Path) -> None:
    path = data / "formats" / "deeplabcut" / name
    frames, animals, count, first, last, cell = SAMPLES[name]
    pose = formats.read_pose(path)
    assert (len(pose), pose.animals, len(pose.keypoints), pose.keypoints[0]) == (
        frames,
        animals,
        count,
        first,
    )
    assert last is None or pose.keypoints[-1] == last
    np.testing.assert_allclose(pose.xy[0, 0, 0], cell[:2], rtol=1e-6)
    if cell[2] is None:
        assert pose.confidence is None
    else:
        assert pose.confidence is not None
        np.testing.assert_allclose(pose.confidence[0, 0, 0], cell[2], rtol=1e-6)
    summary = formats.describe_pose(path)
    assert (summary.n_frames, summary.animals, summary.keypoints) == (frames, animals, pose.keypoints)


def test_cells_from_the_middle_and_the_end_of_real_files(data: Path) -> None:
    folder = data / "formats" / "deeplabcut"
    e3v = formats.read_pose(folder / "e3v813a_pose.csv")
    np.testing.assert_allclose(e3v.xy[5699, 0, 0], [1170.288, 1050.927], rtol=1e-6)
    np.testing.assert_allclose(e3v.xy[0, 1, 6], [414.064, 311.286], rtol=1e-6)
    prefixed = formats.read_pose(folder / "two_by_prefix.csv")
    np.testing.assert_allclose(prefixed.xy[97, 0, 0], [276.56079, 276.57684], rtol=1e-6)
    stray = formats.read_pose(folder / "stray_index_column.csv")
    np.testing.assert_allclose(stray.xy[1997, 0, 0], [260.41039, 138.76001], rtol=1e-6)
    # Cells (0, 0, 0.0): ears and first spine point of the black mouse.
    multi = formats.read_pose(folder / "multi_animal.csv")
    assert multi.missing[0, 0, :5].tolist() == [False, True, True, True, False]
    assert multi.confidence is not None
    assert np.isnan(multi.confidence[0, 0, 1])


@pytest.mark.parametrize("name", ["single", "multi_animal", "two_by_prefix", "three_mice_no_likelihood"])
def test_h5_agrees_with_pandas(name: str, data: Path) -> None:
    path = data / "formats" / "deeplabcut" / f"{name}.h5"
    pose = formats.read_pose(path)
    table = pd.read_hdf(path)
    width = 2 if pose.confidence is None else 3
    values = table.to_numpy(dtype=np.float64).reshape(len(table), *pose.xy.shape[1:3], width)
    xy = values[..., :2].astype(np.float32)
    xy[(xy == 0).all(axis=-1)] = np.nan
    np.testing.assert_array_equal(pose.xy, xy)


def test_rat_social_reads_fast_and_agrees_with_pandas(data: Path) -> None:
    path = data / "rat-social/pose/10DLC_dlcrnetms5_DLC_ratJan24shuffle1_5000_el_filtered.csv.gz"
    formats.read_pose(path)
    begin = time.process_time()
    pose = formats.read_pose(path)
    assert time.process_time() - begin < 0.5
    assert (len(pose), pose.animals) == (14957, ("individual1", "individual2"))
    assert pose.keypoints == ("top", "body", "tail", "tail-m", "tail-e")
    # Not header=[0, 1, 2, 3]: pandas then takes the first row, all blank, for the names of the index.
    values = pd.read_csv(path, header=None, skiprows=4, index_col=0).to_numpy().reshape(-1, 2, 5, 3)
    np.testing.assert_array_equal(pose.xy, values[..., :2].astype(np.float32))
    assert round(float(pose.missing.mean()), 3) == 0.37


def test_single_zero_cells_of_real_files_are_missing(data: Path) -> None:
    # Session 40 has three cells (0, 0) with likelihood 0.63 to 0.69, the last of them in the last frame.
    path = next((data / "rat-social/pose").glob("40DLC*.csv.gz"))
    pose = formats.read_pose(path)
    values = pd.read_csv(path, header=None, skiprows=4, index_col=0).to_numpy().reshape(-1, 2, 5, 3)
    zeros = (values[..., :2] == 0).all(axis=-1)
    assert zeros.sum() == 3
    assert (pose.missing == (np.isnan(values[..., 0]) | zeros)).all()
    assert round(float(pose.missing.mean()), 4) == 0.4226


@pytest.mark.slow
def test_every_rat_social_file_reads(data: Path) -> None:
    files = sorted((data / "rat-social/pose").glob("*.csv.gz"))
    poses = [formats.read_pose(f) for f in files]
    assert len(files) == 44
    assert all(0.2 < pose.missing.mean() < 0.48 for pose in poses)


def frame(columns: list[tuple[str, ...]], names: list[str], rows: int = 6) -> pd.DataFrame:
    values = np.random.default_rng(1).uniform(1, 300, (rows, len(columns)))
    return pd.DataFrame(values, columns=pd.MultiIndex.from_tuples(columns, names=names))


def columns(
    *keypoints: str, animals: tuple[str, ...] = (), coordinates: str = "xyl"
) -> list[tuple[str, ...]]:
    words = {"x": "x", "y": "y", "l": "likelihood"}
    who: list[tuple[str, ...]] = [(a,) for a in animals] if animals else [()]
    return [("DLC", *a, k, words[c]) for a in who for k in keypoints for c in coordinates]


THREE, FOUR = ["scorer", "bodyparts", "coords"], ["scorer", "individuals", "bodyparts", "coords"]


@pytest.mark.parametrize("layout", ["fixed", "table"])
@pytest.mark.parametrize("mixed", [False, True])
def test_h5_layouts(layout: str, mixed: bool, tmp_path: Path) -> None:
    table = frame(columns("nose", "tail base", animals=("a", "b")), FOUR)
    if mixed:  # a column of whole numbers lies in a block of its own
        table[table.columns[3]] = np.arange(6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.to_hdf(tmp_path / "x.h5", key="df_with_missing", format=layout, mode="w")
    pose = formats.read_pose(tmp_path / "x.h5")
    expected = table.to_numpy().reshape(6, 2, 2, 3).astype(np.float32)
    expected[(expected[..., :2] == 0).all(axis=-1)] = np.nan
    np.testing.assert_array_equal(pose.xy, expected[..., :2])
    assert (pose.animals, pose.keypoints) == (("a", "b"), ("nose", "tail base"))
    assert formats.describe_pose(tmp_path / "x.h5").n_frames == 6


def test_h5_of_training_images_or_one_header_row_is_refused(tmp_path: Path) -> None:
    images = frame(columns("nose"), THREE)
    images.index = [f"labeled-data/v/img{i}.png" for i in range(6)]
    plain = pd.DataFrame({"x": [1.0, 2.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images.to_hdf(tmp_path / "images.h5", key="k", mode="w")
        plain.to_hdf(tmp_path / "plain.h5", key="k", mode="w")
        plain.to_hdf(tmp_path / "plain_table.h5", key="k", mode="w", format="table")
        images.to_hdf(tmp_path / "two.h5", key="k", mode="w")
        images.to_hdf(tmp_path / "two.h5", key="l", mode="a")
    with pytest.raises(InputError, match=r"images\.h5.*training images"):
        formats.read_pose(tmp_path / "images.h5")
    for name in ("plain.h5", "plain_table.h5"):
        with pytest.raises(InputError, match=f"{name}.*one header row"):
            formats.read_pose(tmp_path / name)
    with pytest.raises(InputError, match="one pandas table was expected in the file; found: /k, /l"):
        formats.read_pose(tmp_path / "two.h5")


def test_h5_runs_no_code(tmp_path: Path) -> None:
    table = frame(columns("nose"), THREE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.to_hdf(tmp_path / "x.h5", key="k", format="table", mode="w")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["k/table"].attrs["values_block_0_kind"] = np.bytes_(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match=r"x\.h5.*unknown kind"):
        formats.read_pose(tmp_path / "x.h5")


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_h5_is_refused(cut: float, data: Path, tmp_path: Path) -> None:
    content = (data / "formats/deeplabcut/multi_animal.h5").read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(InputError, match=r"cut\.h5.*cut short"):
        formats.read_pose(path)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_other_header_words_case_and_semicolons(tmp_path: Path) -> None:
    text = "animals;m1;m1;m1;m2;m2;m2\nkeypoints;nose;nose;nose;nose;nose;nose\ncoord;X;Y;likelihood;X;Y;likelihood\n"
    pose = formats.read_pose(write(tmp_path / "x.csv", text + "0;1;2;.5;3;4;.25\n1;5;6;1;;;\n"))
    assert pose.animals == ("m1", "m2")
    assert pose.xy[0].tolist() == [[[1, 2]], [[3, 4]]]
    assert pose.missing[1].tolist() == [[False], [True]]


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    text = "scorer,D,D\r\nbodyparts,nose,nose\r\ncoords,x,y\r\n0,1.5,2\r\n"
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    pose = formats.read_pose(path)
    assert pose.xy[0, 0, 0].tolist() == [1.5, 2.0]
    assert pose.confidence is None


def test_missing_is_nan_zero_zero_or_half_a_point(tmp_path: Path) -> None:
    text = "scorer,D,D,D\nbodyparts,n,n,n\ncoords,x,y,likelihood\n"
    rows = "0,,,1.0\n1,0.0,0.0,0.7\n2,NaN,4,0.5\n3,0.0,4,0.5\n4,3,4,\n"
    pose = formats.read_pose(write(tmp_path / "x.csv", text + rows))
    assert pose.missing[:, 0, 0].tolist() == [True, True, True, False, False]
    assert pose.confidence is not None
    np.testing.assert_array_equal(
        pose.confidence[:, 0, 0], np.float32([np.nan, np.nan, np.nan, 0.5, np.nan])
    )


def test_rows_go_where_the_frame_number_says(tmp_path: Path) -> None:
    head = "scorer,D,D\nbodyparts,n,n\ncoords,x,y\n"
    pose = formats.read_pose(write(tmp_path / "x.csv", head + "2,1,1\n3,2,2\n5,3,3\n"))
    assert pose.missing[:, 0, 0].tolist() == [True, True, False, False, True, False]
    assert formats.describe_pose(tmp_path / "x.csv").n_frames == 6
    for rows in ("0,1,1\n0,2,2\n", "3,1,1\n2,2,2\n", "0.5,1,1\n", "-1,1,1\n", ",1,1\n", "5000,1,1\n"):
        with pytest.raises(InputError, match=r"x\.csv.*frame number of row"):
            formats.read_pose(write(tmp_path / "x.csv", head + rows))


def test_the_arenas_own_points_are_told_not_mixed_in(tmp_path: Path) -> None:
    text = (
        "scorer,D,D,D,D,D,D\nindividuals,m1,m1,m2,m2,single,single\nbodyparts,n,n,n,n,corner,corner\n"
        "coords,x,y,x,y,x,y\n0,1,1,2,2,9,9\n"
    )
    path = write(tmp_path / "x.csv", text)
    assert formats.read_pose(path).animals == ("m1", "m2")
    assert formats.describe_pose(path).left_out == ("corner",)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("bodyparts", "limbs", "no DeepLabCut header"),
        ("coords,x,y,x,y", "coords,x,y,x,z", "coordinates z"),
        ("coords,x,y,x,y", "coords,x,y,x", "differ in length"),
        ("coords,x,y,x,y", "coords,x,y,x,x", "two columns hold the same"),
        ("bodyparts,n,n,t,t", "bodyparts,n,n,t,u", "lacks its x or y"),
        ("0,1,2,3,4\n", "", "without a single frame"),
        ("\n0,1,2,3,4\n", "", "without a single frame"),
        ("0,1,2,3,4\n", "0,1,2,3,4\n1,2,3\n", "does not fit the header"),
        ("0,1,2,3,4\n", "0,1,2,three,4\n", "does not fit the header"),
        ("0,1,2,3,4\n", "labeled-data/v/img1.png,1,2,3,4\n", "training images"),
        ("0,1,2,3,4\n", "labeled-data,v,img1.png,1,2\n", "training images"),
    ],
)
def test_faults_are_named(old: str, new: str, told: str, tmp_path: Path) -> None:
    text = "scorer,D,D,D,D\nbodyparts,n,n,t,t\ncoords,x,y,x,y\n0,1,2,3,4\n"
    path = write(tmp_path / "x.csv", text.replace(old, new))
    with pytest.raises(InputError, match=rf"x\.csv.*{told}"):
        formats.read_pose(path)


@pytest.mark.parametrize(
    ("names", "animals"),
    [
        (["B_nose", "B_ear", "B_tail_1", "W_nose", "W_ear", "W_tail_1"], ["B", "W"]),
        (["mouse_1_nose", "mouse_1_ear", "mouse_1_hip", "mouse_2_nose", "mouse_2_ear", "mouse_2_hip"],
         ["mouse_1", "mouse_2"]),
        (["adult-nose", "pup-nose", "adult-ear", "pup-ear", "adult-tail", "pup-tail"], ["adult", "pup"]),
        (["left_ear", "left_hip", "left_paw", "right_ear", "right_hip", "right_paw"], None),
        (["ear_left", "ear_right", "ear_tip", "hip_left", "hip_right", "hip_tip"], None),
        (["spine_1", "spine_2", "spine_3", "tail_1", "tail_2", "tail_3"], None),
        (["B_nose", "B_ear", "B_hip", "W_nose", "W_ear", "W_tail"], None),  # the sets differ
        (["B_nose", "B_ear", "B_hip", "W_nose", "W_ear", "W_hip", "corner"], None),  # one without a prefix
        (["B_nose", "B_tail", "W_nose", "W_tail"], None),  # too few points to be sure
        (["nose", "ear", "tail"], None),
    ],
)  # fmt: skip
def test_animals_by_prefix_only_where_sure(names: list[str], animals: list[str] | None) -> None:
    found = prefixes(names)
    assert (None if found is None else list(found)) == animals


def test_written_tables_open_in_pandas(tmp_path: Path) -> None:
    xy = np.random.default_rng(0).uniform(1, 500, (5, 2, 3, 2)).astype(np.float32)
    xy[1, 0, 2] = np.nan
    pose = Pose(xy, ("a", "b"), ("nose", "neck", "tail"), np.where(np.isnan(xy[..., 0]), np.nan, 0.5))
    formats.write_pose(tmp_path / "x.csv.gz", pose, scorer="DLC_net")
    table = pd.read_csv(tmp_path / "x.csv.gz", header=[0, 1, 2, 3], index_col=0)
    assert list(table.columns.names) == FOUR
    np.testing.assert_array_equal(table.to_numpy().reshape(5, 2, 3, 3)[..., :2].astype(np.float32), xy)
    assert gzip.decompress((tmp_path / "x.csv.gz").read_bytes()).startswith(b"scorer,DLC_net,DLC_net")
    formats.write_pose(tmp_path / "y.csv", Pose(xy[:, :1], ("animal",), pose.keypoints))
    assert (tmp_path / "y.csv").read_text().split("\n")[1].startswith("bodyparts,nose,nose,neck")

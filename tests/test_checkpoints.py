"""I3D's weights as others wrote them: three layouts, what is said of them, and every way in which they do not fit."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import i3d_names
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from murine.errors import InputError
from murine.models import MODELS, Model, create_model
from murine.models.inception.checkpoints import LAYOUTS
from murine.models.inception.crc32c import crc32c, masked_crc32c
from murine.models.inception.sorted_table import (
    Damaged,
    decompress_snappy,
    read_sorted_table,
    read_varint,
)
from murine.models.inception.tensor_bundle import read_bundle

TINY = Path(__file__).parent / "reference" / "i3d_tiny"
FIRST = "a PyTorch port with names such as Mixed_3b.b1a.conv3d"
SECOND = "a PyTorch port with names such as mixed_3b.branch_1.0.conv3d"
PORTS: dict[str, tuple[Callable[[], list[str]], str]] = {
    FIRST: (i3d_names.first_port, "bn"),
    SECOND: (i3d_names.second_port, "batch3d"),
}
each_port = pytest.mark.parametrize("words", list(PORTS))


def narrow(name: str = "i3d_rgb", classes: int = 3) -> Model:
    """A small network none of whose tensors equals another."""
    model = create_model(name, classes=classes, settings={"width": 1 / 64, "size": [32, 32]})
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.copy_(torch.rand(value.shape, generator=random) + 0.1)
    return model.eval()


def read(path: Path, model: Model) -> tuple[dict[str, Tensor], str]:
    reader = MODELS[model.configuration["name"]].read_weights
    assert reader is not None
    return reader(path, model)


def fault(path: Path, model: Model) -> str:
    with pytest.raises(InputError) as found:
        read(path, model)
    return str(found.value)


def copy_tiny(folder: Path) -> Path:
    for ending in (".index", ".data-00000-of-00001"):
        shutil.copy(TINY.with_name(TINY.name + ending), folder)
    return folder / "i3d_tiny.index"


def test_the_names_are_those_of_57_units_and_a_head() -> None:
    theirs = [set(layout.table()) for layout in LAYOUTS]
    ends = ("conv_3d/w", "batch_norm/beta", "batch_norm/moving_mean", "batch_norm/moving_variance")
    units = i3d_names.released()
    assert theirs[0] == {f"{unit}/{end}" for unit in units[:-1] for end in ends} | {
        f"{units[-1]}/conv_3d/{end}" for end in "wb"
    }
    for found, (names, norm) in zip(theirs[1:], PORTS.values(), strict=True):
        state = i3d_names.port_state(narrow().state_dict(), names(), norm)
        extras = {n for n in state if n.endswith((f"{norm}.weight", "num_batches_tracked"))}
        assert found == state.keys() - extras
        assert len(found) == 230


@pytest.mark.parametrize("named", ["i3d_tiny.index", "i3d_tiny.data-00000-of-00001", "i3d_tiny"])
def test_tensorflow_checkpoint_by_any_of_its_names(named: str) -> None:
    model = narrow()
    state, words = read(TINY.with_name(named), model)
    assert words == "the released TensorFlow checkpoint; state of its training left out (1)"
    assert state.keys() == model.state_dict().keys()
    stored = read_bundle(TINY.with_suffix(".index"))
    assert len(stored) == 231  # the text that TensorFlow wrote beside them is left out
    assert int(stored["global_step"]) == 50_000
    for theirs, ours in zip(i3d_names.released()[:-1], list(state)[:228:4], strict=True):
        kernel = stored[f"RGB/inception_i3d/{theirs}/conv_3d/w"]
        assert np.array_equal(state[ours].numpy(), np.moveaxis(kernel, (3, 4), (1, 0))), theirs
        unit = ours.removesuffix("conv.weight")
        for end, own in (
            ("beta", "bias"),
            ("moving_mean", "running_mean"),
            ("moving_variance", "running_var"),
        ):
            value = stored[f"RGB/inception_i3d/{theirs}/batch_norm/{end}"]
            assert np.array_equal(state[f"{unit}norm.{own}"].numpy(), value.ravel()), theirs


@each_port
@pytest.mark.parametrize("kind", ["pt", "safetensors", "training", "parallel"])
@pytest.mark.parametrize("name", ["i3d_rgb", "i3d_flow"])
def test_ports_to_pytorch(words: str, kind: str, name: str, tmp_path: Path) -> None:
    model = narrow(name)
    names, norm = PORTS[words]
    theirs = i3d_names.port_state(model.state_dict(), names(), norm)
    path = tmp_path / "rgb_imagenet.pt"
    if kind == "safetensors":
        safetensors.torch.save_file(theirs, path)  # what a file is, is seen inside it
    elif kind == "training":
        torch.save({"epoch": 7, "state_dict": theirs}, path)
    elif kind == "parallel":
        torch.save({f"module.{key}": value for key, value in theirs.items()}, path)
    else:
        torch.save(theirs, path)
    state, said = read(path, create_model(name, classes=3, settings=model.configuration["settings"]))
    assert said == words
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


@each_port
def test_scales_that_were_trained_predict_the_same(words: str, tmp_path: Path) -> None:
    """PyTorch's own batch norm with its scale against our unit after reading."""
    model = narrow()
    names, norm = PORTS[words]
    theirs = i3d_names.port_state(model.state_dict(), names(), norm)
    scale = torch.tensor([-1.5, 0.25, 2.0])
    theirs[f"{names()[2]}.{norm}.weight"] = scale
    torch.save(theirs, tmp_path / "trained.pt")
    state, said = read(tmp_path / "trained.pt", model)
    assert said == f"{words}; scales of batch norm moved into the kernels"
    unit = model.body.conv_2c
    x = torch.randn(1, 1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        conv, own = unit.conv(x), unit.norm
        plain = torch.nn.functional.batch_norm(
            conv, own.running_mean, own.running_var, scale, own.bias, eps=1e-3
        )
        model.load_state_dict(state)
        torch.testing.assert_close(unit(x), plain.relu())


def test_a_head_for_other_classes_is_left_out_and_said(tmp_path: Path) -> None:
    state, words = read(TINY.with_suffix(".index"), narrow(classes=5))
    assert words.startswith(
        "the released TensorFlow checkpoint; its head, for 3 classes, left out; state"
    )
    assert len(state) == 228
    assert not any(key.startswith("head.") for key in state)
    missing = narrow(classes=5).load_state_dict(state, strict=False).missing_keys
    assert missing == ["head.weight", "head.bias"]


@each_port
def test_all_that_does_not_fit_is_listed(words: str, tmp_path: Path) -> None:
    names, norm = PORTS[words]
    theirs = i3d_names.port_state(narrow().state_dict(), names(), norm)
    a, b, c, head = names()[4], names()[9], names()[30], names()[-1]
    del theirs[f"{a}.conv3d.weight"], theirs[f"{b}.{norm}.running_var"], theirs[f"{head}.conv3d.bias"]
    theirs[f"{c}.{norm}.bias"] = torch.zeros(99)
    theirs[f"{c}.{norm}.weight"] = torch.zeros(98)
    theirs["fc.weight"] = torch.zeros(2, 3)
    torch.save(theirs, tmp_path / "mixed.pt")
    told = fault(tmp_path / "mixed.pt", narrow())
    assert told.startswith(f"{tmp_path / 'mixed.pt'}: {words}, but not the weights of this network")
    lines = told.splitlines()[1:]
    width = len(theirs[f"{c}.{norm}.running_mean"])
    assert sorted(lines) == sorted(
        [
            "  - not of I3D: fc.weight (2, 3)",
            f"  - missing: {a}.conv3d.weight",
            f"  - missing: {b}.{norm}.running_var",
            f"  - missing: {head}.conv3d.bias",
            f"  - {c}.{norm}.bias: (99,) came where ({width},) was expected",
            f"  - {c}.{norm}.weight: (98,) came where ({width},) was expected",
        ]
    )


def test_the_other_stream_and_other_networks_are_named(tmp_path: Path) -> None:
    told = fault(TINY.with_suffix(".index"), narrow("i3d_flow"))
    assert "the stream RGB; this network is that of Flow" in told
    assert "model 'i3d_rgb'" in told
    names, norm = PORTS[FIRST]
    flow = i3d_names.port_state(narrow("i3d_flow").state_dict(), names(), norm)
    torch.save(flow, tmp_path / "flow.pt")
    told = fault(tmp_path / "flow.pt", narrow())
    assert "Conv3d_1a_7x7.conv3d.weight: (1, 2, 7, 7, 7) came where (1, 3, 7, 7, 7)" in told
    torch.save({"layer1.0.conv1.weight": torch.zeros(2)}, tmp_path / "resnet.pt")
    told = fault(tmp_path / "resnet.pt", narrow())
    assert "none of its 1 tensors has a name of I3D's; the first are layer1.0.conv1.weight" in told
    assert all(layout.words in told for layout in LAYOUTS)
    flat = {"inception_3a/1x1.weight": torch.zeros(1), "inception_3a/1x1.bias": torch.zeros(1)}
    safetensors.torch.save_file(flat, tmp_path / "googlenet.safetensors")
    told = fault(tmp_path / "googlenet.safetensors", narrow())
    assert "choose model 'inflated_rgb' or 'inflated_flow'" in told


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    for content, word in (
        (b"", "is empty"),
        (b"epoch,loss\n1,0.5\n2,0.4\n", "no file of weights that murine reads"),
        (b"PK\x03\x04" + b"\0" * 40, "not readable as tensors"),
        (b"\x80\x02}q\x00X", "not readable as tensors"),
        (struct.pack("<Q", 999) + b'{"a":', "a damaged safetensors file"),
    ):
        (tmp_path / "weights.pt").write_bytes(content)
        assert word in fault(tmp_path / "weights.pt", narrow()), content
    assert "not found" in fault(tmp_path / "nothing.pt", narrow())
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    assert "holds no table of tensors" in fault(tmp_path / "list.pt", narrow())
    torch.save({"a": print}, tmp_path / "code.pt")
    assert "could run code and is refused" in fault(tmp_path / "code.pt", narrow())


def test_damaged_and_incomplete_tensorflow_checkpoints(tmp_path: Path) -> None:
    index = copy_tiny(tmp_path)
    data = tmp_path / "i3d_tiny.data-00000-of-00001"
    whole, records = data.read_bytes(), index.read_bytes()
    data.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    assert "the checksum of 'RGB/inception_i3d/" in fault(index, narrow())
    data.write_bytes(whole[:9000])
    assert "lies beyond the end of its data file" in fault(index, narrow())
    data.unlink()
    assert "the weights that belong to i3d_tiny.index not found" in fault(index, narrow())
    data.write_bytes(whole)
    index.write_bytes(records[:500] + bytes([records[500] ^ 1]) + records[501:])
    assert "the checksum of the block at byte 0 does not fit" in fault(index, narrow())
    index.write_bytes(records[:-100])
    assert "no file of weights that murine reads" in fault(index, narrow())


def test_checksums() -> None:
    assert crc32c(b"") == 0
    assert crc32c(b"123456789") == 0xE3069283  # the check value that every table of such sums gives
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert masked_crc32c(bytes(32)) == (((0x8A9136AA >> 15) | (0x8A9136AA << 17)) + 0xA282EAD8) % 2**32
    text = np.random.default_rng(0).integers(0, 256, 700_001).astype(np.uint8).tobytes()
    for size in (63, 64, 127, 128, 129, 5000, len(text)):  # in lanes of every number
        assert crc32c(text[:size]) == slow_crc32c(text[:size]), size


def slow_crc32c(data: bytes) -> int:
    state = 0xFFFFFFFF
    table = [0] * 256
    for value in range(256):
        entry = value
        for _ in range(8):
            entry = entry >> 1 ^ (0x82F63B78 if entry & 1 else 0)
        table[value] = entry
    for byte in data:
        state = table[(state ^ byte) & 255] ^ state >> 8
    return state ^ 0xFFFFFFFF


def test_snappy() -> None:
    literal = b"\x05" + bytes([4 << 2]) + b"abcde"
    assert decompress_snappy(literal) == b"abcde"
    run = (
        bytes([9, 0 << 2]) + b"a" + bytes([1 | (4 << 2), 1])
    )  # a copy that overlaps itself: 8 from 1 back
    assert decompress_snappy(run) == b"a" * 9
    long = bytes(range(100)) * 3
    two = b"\xac\x02" + bytes([60 << 2, 99]) + long[:100]
    two += (
        bytes([2 | (63 << 2)]) + struct.pack("<H", 100) + bytes([3 | (63 << 2)]) + struct.pack("<I", 100)
    )
    two += (
        bytes([2 | (63 << 2)]) + struct.pack("<H", 100) + bytes([2 | (7 << 2)]) + struct.pack("<H", 100)
    )
    assert decompress_snappy(two) == long
    for broken in (
        b"\x05" + bytes([4 << 2]) + b"abc",
        b"\x04" + bytes([1, 9]),
        b"\xff",
        literal + b"\0",
    ):
        with pytest.raises(Damaged):
            decompress_snappy(broken)


def test_an_index_of_compressed_blocks(tmp_path: Path) -> None:
    """TensorFlow of 2017 compressed the blocks of its index; the same records, packed as it did."""
    index = copy_tiny(tmp_path)
    expected = read_bundle(index)
    index.write_bytes(packed_table(read_sorted_table(index.read_bytes())))
    found = read_bundle(index)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], value) for name, value in expected.items())


def test_the_flow_stream_and_a_checkpoint_of_both(tmp_path: Path) -> None:
    index = copy_tiny(tmp_path)
    rgb = read_sorted_table(index.read_bytes())
    flow = {name.replace(b"RGB/", b"Flow/"): value for name, value in rgb.items()}
    settings = {"width": 1 / 64, "flow_channels": 3}  # the sample has three channels
    model = create_model("i3d_flow", classes=3, settings=settings)
    expected = read(TINY.with_suffix(".index"), narrow())[0]
    for records in (flow, dict(sorted({**flow, **rgb}.items()))):
        index.write_bytes(packed_table(records))
        state, words = read(index, model)
        assert words.startswith("the released TensorFlow checkpoint")
        assert all(torch.equal(state[name], value) for name, value in expected.items())


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def block(records: list[tuple[bytes, bytes]]) -> bytes:
    """Names share their beginnings with the name before; nothing is shared at the first and every 16th."""
    out, restarts, last = b"", [], b""
    for at, (name, value) in enumerate(records):
        shared = 0
        if at % 16:
            while shared < min(len(name), len(last)) and name[shared] == last[shared]:
                shared += 1
        else:
            restarts.append(len(out))
        out += varint(shared) + varint(len(name) - shared) + varint(len(value)) + name[shared:] + value
        last = name
    restarts = restarts or [0]
    return out + struct.pack(f"<{len(restarts)}I", *restarts) + struct.pack("<I", len(restarts))


def packed_table(records: dict[bytes, bytes]) -> bytes:
    """A sorted table of several Snappy blocks, each of literal pieces of at most 60 bytes."""
    out, handles = b"", []

    def store(content: bytes) -> bytes:
        nonlocal out
        pieces = [content[at : at + 60] for at in range(0, len(content), 60)]
        packed = (
            varint(len(content)) + b"".join(bytes([(len(p) - 1) << 2]) + p for p in pieces) + b"\x01"
        )
        handle = varint(len(out)) + varint(len(packed) - 1)
        out += packed + struct.pack("<I", masked_crc32c(packed))
        return handle

    rows = list(records.items())
    for at in range(0, len(rows), 50):
        handles.append((rows[min(at + 49, len(rows) - 1)][0], store(block(rows[at : at + 50]))))
    meta, listing = store(block([])), store(block(handles))
    return out + (meta + listing).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def test_a_number_without_an_end() -> None:
    assert read_varint(b"\xac\x02", 0) == (300, 2)
    for broken in (b"", b"\x80", b"\xff" * 12):
        with pytest.raises(Damaged):
            read_varint(broken, 0)

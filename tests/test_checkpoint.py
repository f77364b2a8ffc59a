"""Weights on disk: exact round trips, and files that are whole or not there."""

import json
import os
import stat
import tracemalloc
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import portanet as pn
from portanet import nn, optim
from portanet.data import formats
from portanet.storage import read_tensors, write_tensors
from portanet.train.checkpoints import read_run


def model(seed=0):
    return nn.Sequential(
        {"c1": nn.Conv2d(1, 2, 3), "norm": nn.BatchNorm2d(2), "f": nn.Linear(2, 3)}
    ).initialize(seed)


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    return tmp_path / f"weights{request.param}"


def test_round_trip(path):
    saved, loaded = model(0), model(1)
    saved.params["c1.weight"] = np.arange(18.0).reshape(2, 1, 3, 3)
    pn.save_weights(saved, path)
    pn.load_weights(loaded, path)
    for name, array in saved.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], array)
        assert loaded.state_dict()[name].dtype == array.dtype
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_arrays_in_any_memory_order_survive(path):
    layer = nn.Linear(4, 3)
    layer.own_params.replace(
        {"weight": np.asfortranarray(np.arange(12.0, dtype="f4").reshape(3, 4))}
    )
    pn.save_weights(layer, path)
    other = nn.Linear(4, 3)
    pn.load_weights(other, path)
    np.testing.assert_array_equal(other.params["weight"], np.arange(12.0).reshape(3, 4))


def test_between_backends(path, library):
    with pn.use_backend("numpy"):
        saved = model(0)
        pn.save_weights(saved, path)
    with pn.use_backend(library.name) as backend:
        other = model(1)
        pn.load_weights(other, path)
        assert pn.backend_of(*other.params.values()).name == library.name
        for key, array in saved.params.items():
            np.testing.assert_array_equal(backend.to_numpy(other.params[key]), array)


def test_npz_is_read_by_numpy_alone(tmp_path):
    pn.save_weights(model(), tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz", allow_pickle=False) as file:
        assert {"c1.weight", "c1.bias", "f.weight", "f.bias"} < set(file.files)
        assert file["c1.weight"].shape == (2, 1, 3, 3)


def test_damaged_files_are_refused_and_change_nothing(path):
    pn.save_weights(model(0), path)
    whole = path.read_bytes()
    target = model(1)
    before = target.state_dict()
    for damaged in (b"", b"not weights at all", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(pn.CheckpointError, match=path.name):
            pn.load_weights(target, path)
    for name, array in before.items():
        np.testing.assert_array_equal(target.state_dict()[name], array)


def test_object_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "w.npz", weight=np.array([{"a": 1}], dtype=object))
    with pytest.raises(
        pn.CheckpointError,
        match=r"w\.npz: weight: expected an array of real numbers, got dtype object",
    ) as caught:
        pn.load_weights(nn.Linear(1, 1), tmp_path / "w.npz")
    assert "pickle" not in str(caught.value)


def zipped(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weight.npy", data)
    return path.read_bytes()


def test_damaged_npz_files_are_told_in_our_words(tmp_path):
    path, layer = tmp_path / "w.npz", nn.Linear(4, 3)
    np.save(tmp_path / "w.npy", np.arange(12.0).reshape(3, 4))
    array = (tmp_path / "w.npy").read_bytes()
    last = array[-8:]  # the bytes of the last number, changed below under the old checksum
    for damaged, message in (
        (b"not a zip", "not a zip file of arrays, or damaged"),
        (array, "not a zip file of arrays, or damaged"),
        (zipped(path, array)[:-30], "not a zip file of arrays, or damaged"),
        (zipped(path, b"text"), "not a zip file of arrays, or damaged"),
        (zipped(path, array[:-9]), "weight: truncated: expected 96 bytes"),
        (zipped(path, array + b"!"), "weight: holds more than the 96 bytes"),
        (zipped(path, array).replace(last, last[::-1]), "CRC"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(pn.CheckpointError, match=rf"w\.npz: .*{message}") as told:
            pn.load_weights(layer, path)
        assert "pickle" not in str(told.value)


def test_a_file_that_expands_beyond_reason_is_refused(tmp_path, monkeypatch):
    path, layer = tmp_path / "w.npz", nn.Linear(40, 30, bias=False)
    np.savez_compressed(path, weight=np.zeros((30, 40)))
    monkeypatch.setattr(formats, "ROOM", 100)
    monkeypatch.setattr(formats, "FOLD", 2)
    pn.load_weights(layer, path)  # as large as the model is
    with pytest.raises(pn.CheckpointError, match=r"w\.npz: weight: expands to more than"):
        pn.load_weights(nn.Linear(30, 30, bias=False), path)
    with pytest.raises(pn.CheckpointError, match=r"w\.npz: weight: expands to more than"):
        pn.read_weights(path)


def test_what_fits_is_taken_from_a_file(path):
    saved, other = model(0), nn.Sequential({"c1": nn.Conv2d(1, 2, 3), "head": nn.Linear(2, 5)})
    pn.save_weights(saved, path)
    before = other.initialize(1).state_dict()
    missing, unexpected = pn.load_weights(other, path, strict=False)
    assert missing == ["head.weight", "head.bias"]
    assert set(unexpected) == set(saved.state_dict()) - set(other.state_dict())
    for name, array in other.state_dict().items():
        expected = before[name] if name in missing else saved.state_dict()[name]
        np.testing.assert_array_equal(array, expected, err_msg=name)
    with pytest.raises(ValueError, match=r"missing 'head\.weight'"):
        pn.load_weights(other, path)
    misshapen = nn.Sequential({"c1": nn.Conv2d(2, 2, 3)})
    with pytest.raises(ValueError, match=r"'c1\.weight': .*expected shape \(2, 2, 3, 3\)"):
        pn.load_weights(misshapen, path, strict=False)


def test_weights_can_be_read_without_a_model(path, tmp_path):
    saved = model(0)
    pn.save_weights(saved, path)
    arrays = pn.read_weights(path)
    assert arrays.keys() == saved.state_dict().keys()
    for name, array in saved.state_dict().items():
        assert type(arrays[name]) is np.ndarray
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    other = nn.Linear(2, 3)
    other.load_state_dict({n[2:]: a for n, a in arrays.items() if n.startswith("f.")})
    np.testing.assert_array_equal(other.params["weight"], saved.params["f.weight"])


def test_the_weights_of_a_run_can_be_read(tmp_path):
    layer = nn.Linear(2, 1)
    pn.Trainer(layer, nn.MSELoss(), optim.SGD(layer)).save(tmp_path / "run.safetensors")
    arrays = pn.read_weights(tmp_path / "run.safetensors")
    assert arrays.keys() == {"weight", "bias"}
    np.testing.assert_array_equal(arrays["weight"], layer.params["weight"])


class CheckedOptions(nn.Layer):
    def __init__(self, *names):
        for name in names:
            self.add_parameter(name, (2,), nn.Ones())


def test_any_name_can_be_saved(path):
    names = ("file", "args", "kwds", "x", "x_npy", "allow_pickle", "größe")
    saved, loaded = CheckedOptions(*names), CheckedOptions(*names)
    for i, name in enumerate(names):
        saved.params[name] = np.array([i, -i], dtype="f4")
    pn.save_weights(saved, path)
    pn.load_weights(loaded, path)
    for i, name in enumerate(names):
        np.testing.assert_array_equal(loaded.params[name], [i, -i])
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            assert set(file.files) == set(names)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions(path):
    def mode(file):
        return stat.S_IMODE(file.stat().st_mode)

    plain = path.with_name("plain")
    before = os.umask(0o027)
    try:
        plain.touch()
        pn.save_weights(model(), path)
    finally:
        os.umask(before)
    assert mode(path) == mode(plain) == 0o640
    path.chmod(0o604)
    pn.save_weights(model(), path)
    assert mode(path) == 0o604


def test_errors(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=path.name):
        pn.load_weights(model(), path)
    with pytest.raises(ValueError, match=r"written as \.safetensors or \.npz"):
        pn.save_weights(model(), tmp_path / "weights.pt")
    missing = tmp_path / "missing" / path.name
    with pytest.raises(FileNotFoundError) as caught:
        pn.save_weights(model(), missing)
    assert caught.value.filename == str(missing)
    assert str(caught.value).endswith(f"No such file or directory: {str(missing)!r}")
    pn.save_weights(model(), path)
    with pytest.raises(ValueError, match=r"unexpected 'norm\.weight'"):
        pn.load_weights(nn.Sequential({"c1": nn.Conv2d(1, 2, 3), "f": nn.Linear(2, 3)}), path)


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    pn.save_weights(model(0), path)
    whole = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        pn.save_weights(model(1), path)
    assert path.read_bytes() == whole
    assert [p.name for p in path.parent.iterdir()] == [path.name]


STATES = ["", "{", "[]", "5", '{"model":5}', '{"__array__":[1]}', '{"__tuple__":5}', "{}"]


@pytest.mark.parametrize("state", [*STATES, '{"model":{"__array__":"no"}}', "[" * 100_000])
def test_states_that_are_none_are_told(tmp_path, state):
    path, layer = tmp_path / "w.safetensors", nn.Linear(4, 3)
    write_tensors(path, layer.state_dict(), {"state": state})
    with pytest.raises(pn.CheckpointError, match=r"w\.safetensors: holds no"):
        pn.load_weights(layer, path)
    with pytest.raises(pn.CheckpointError, match=r"w\.safetensors: holds no"):
        read_run(path)


def test_a_state_without_a_checksum_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"weight": np.ones((3, 4))}, path, {"state": "{}"})
    with pytest.raises(pn.CheckpointError, match=r"w\.safetensors: not a readable"):
        pn.load_weights(nn.Linear(4, 3), path)


def test_numbers_that_numpy_has_not_are_named(tmp_path):
    header = b'{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(pn.CheckpointError, match=r"it holds BF16, which NumPy has not; .* float32"):
        pn.load_weights(model(), tmp_path / "w.safetensors")


KINDS = ["?", "i1", "u1", "<i2", "<u2", "<i4", ">i4", "<u4", "<i8", ">u8", "<f2", "<f4", ">f4"]


def test_arrays_of_all_kinds_come_back_here_and_elsewhere(tmp_path):
    """Of any bytes, in any order, of no axes and no numbers; those of other machines, too."""
    path, numbers = tmp_path / "w.safetensors", np.arange(-3, 9).reshape(3, 4)
    arrays = {f"kind {kind}": numbers.astype(kind) for kind in [*KINDS, "<f8", ">f8", "<c8"]}
    arrays |= {"none": np.zeros((0, 3), "f4"), "one": np.asarray(7.0), "größe": numbers.T}
    arrays |= {"F": np.asfortranarray(numbers), "gaps": numbers[::2, 1::2], "back": numbers[::-1]}
    write_tensors(path, arrays, {"word": 'größe\n"', "checksums": "0" * 64})
    back, words = read_tensors(path)
    assert words["word"] == 'größe\n"'
    for found in (back, load_file(path)):
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)
            assert found[name].dtype == array.dtype.newbyteorder("=")
            assert found[name].shape == array.shape


def test_readers_that_map_the_file_find_each_number_in_its_place(tmp_path):
    path, arrays = tmp_path / "w.safetensors", {}
    for kind in ("u1", "f4", "?", "f8", "f2"):
        arrays[kind] = np.ones(3, kind)
    write_tensors(path, arrays, {})
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    for kind, array in arrays.items():
        start, end = header[kind]["data_offsets"]
        assert (8 + length + start) % array.itemsize == 0
        assert end - start == array.nbytes


@pytest.mark.parametrize("kind", ["c16", "M8[s]", "U3", "O"])
def test_what_the_format_has_not_is_named(tmp_path, kind):
    with pytest.raises(TypeError, match=r"a\.b: no safetensors file holds"):
        write_tensors(tmp_path / "w.safetensors", {"a.b": np.zeros(3, kind)}, {})
    assert not list(tmp_path.iterdir())


def test_writing_takes_no_memory_beyond_the_arrays(tmp_path):
    arrays = {f"a{k}": np.zeros(1 << 20, "f4") for k in range(4)}  # 16 MiB
    write_tensors(tmp_path / "w.safetensors", {}, {})  # what is imported then
    tracemalloc.start()
    try:
        write_tensors(tmp_path / "w.safetensors", arrays, {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_weights_of_other_programs_have_no_checksum(tmp_path):
    path, layer = tmp_path / "w.safetensors", nn.Linear(4, 3, bias=False)
    save_file({"weight": np.ones((3, 4))}, path, {"format": "pt"})
    pn.load_weights(layer, path)
    np.testing.assert_array_equal(layer.params["weight"], np.ones((3, 4)))

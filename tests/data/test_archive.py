"""crepe.data.archive: whole archives are taken, and nothing else."""

import gzip
import io
import resource
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crepe.data import archive
from crepe.errors import CrepeError
from tests.support.misbehaving import tgz

TRAIN, TEST, CLASSES = b'"1","a"\n' * 3000, b'"2","b"\n', b"one\ntwo\n"
WHOLE = {"x_csv/classes.txt": CLASSES, "x_csv/readme.txt": b"read", "x_csv/test.csv": TEST, "x_csv/train.csv": TRAIN}


def special(name: str, type_: bytes, **values: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = type_
    for key, value in values.items():
        setattr(info, key, value)
    return info


def with_members(*members: tarfile.TarInfo, format: Literal[0, 1, 2] = tarfile.GNU_FORMAT) -> bytes:
    """A whole archive with further members, empty ones, in front."""
    return gzip.compress(b"".join(info.tobuf(format) for info in members) + gzip.decompress(tgz(WHOLE)), mtime=0)


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes], Path]:
    def put(content: bytes) -> Path:
        path = tmp_path / "x.tgz"
        path.write_bytes(content)
        return path

    return put


def taken(path: Path, **options: Any) -> dict[str, bytes]:
    """What `extracted` gives; it leaves nothing else behind, whether it ends well or not."""
    folder = path.parent / "work"
    before = sorted(path.parent.rglob("*"))
    try:
        with archive.extracted(path, folder, **options) as files:
            (temporary,) = folder.iterdir()
            assert sorted(temporary.iterdir()) == sorted(files.values())
            return {name: file.read_bytes() for name, file in files.items()}
    finally:
        assert sorted(path.parent.rglob("*")) == sorted({*before, folder})


def test_takes_the_three_files(put):
    path = put(tgz(WHOLE))
    archive.check(path)
    assert taken(path) == {"classes.txt": CLASSES, "test.csv": TEST, "train.csv": TRAIN}


def test_classes_may_be_missing_and_folders_any(put):
    assert taken(put(tgz({"train.csv": TRAIN, "./a/b/test.csv": TEST}))) == {"test.csv": TEST, "train.csv": TRAIN}


def test_uses_the_systems_folder(put):
    with archive.extracted(put(tgz(WHOLE))) as files:
        assert files["test.csv"].read_bytes() == TEST
        folder = files["test.csv"].parent
    assert not folder.exists()


def test_temporary_folder_goes_when_the_block_fails(put):
    path = put(tgz(WHOLE))
    with pytest.raises(ZeroDivisionError), archive.extracted(path, path.parent / "work"):
        raise ZeroDivisionError
    assert list((path.parent / "work").iterdir()) == []


def test_genuine_archives(shared, tmp_path):
    for path in sorted((shared / "data2").glob("*.tgz")):
        archive.check(path)
        with tarfile.open(path) as tar, archive.extracted(path, tmp_path) as files:
            assert sorted(files) == ["classes.txt", "test.csv", "train.csv"]
            for name, file in files.items():
                assert file.read_bytes() == tar.extractfile(f"{path.stem}/{name}").read()


@pytest.mark.parametrize("missing", ["train.csv", "test.csv"])
def test_missing_file_is_named_with_what_is_there(put, missing):
    members = {name: content for name, content in WHOLE.items() if not name.endswith(missing)}
    with pytest.raises(CrepeError, match=f"x.tgz: holds no {missing}, only 'x_csv/classes.txt', 'x_csv/readme.txt', "):
        taken(put(tgz(members)))


def test_long_listing_is_cut(put):
    with pytest.raises(
        CrepeError, match=r"no train.csv and no test.csv, only 'f0', .*'f9', \.\.\.; it is no dataset's"
    ):
        taken(put(tgz({f"f{index}": b"" for index in range(20)})))


def test_twice_is_an_error(put):
    with pytest.raises(CrepeError, match=r"holds test\.csv twice, the second time as 'y/test\.csv'"):
        taken(put(tgz(WHOLE | {"y/test.csv": TEST})))


@pytest.mark.parametrize(
    "member",
    [
        special("x_csv/train.csv", tarfile.SYMTYPE, linkname="/etc/passwd"),
        special("x_csv/train.csv", tarfile.LNKTYPE, linkname="x_csv/test.csv"),
        special("x_csv/train.csv", tarfile.CHRTYPE, devmajor=1, devminor=5),
        special("x_csv/train.csv", tarfile.BLKTYPE, devmajor=1, devminor=5),
        special("x_csv/train.csv", tarfile.FIFOTYPE),
    ],
    ids=["symbolic link", "hard link", "character device", "block device", "fifo"],
)
def test_only_plain_files(put, member):
    path = put(with_members(member))
    archive.check(path)
    with pytest.raises(CrepeError, match=r"'x_csv/train.csv' is a link, a device or a sparse file, not a plain file"):
        taken(path)


def test_sparse_files_are_refused(put):
    # A gibibyte of zeros in a header of 512 bytes
    info = special("x_csv/train.csv", tarfile.GNUTYPE_SPARSE)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:398], header[398:410] = b"%011o\0" % 2**32, b"%011o\0" % 0
    header[483:495] = b"\x80" + (2**30).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = put(gzip.compress(bytes(header) + gzip.decompress(tgz(WHOLE))))
    with tarfile.open(path) as tar:
        assert tar.getmembers()[0].issparse()
        assert tar.getmembers()[0].size == 2**30
    with pytest.raises(CrepeError, match="is a link, a device or a sparse file"):
        taken(path)


@pytest.mark.parametrize(
    "name", ["/tmp/{}/outside", "../outside", "x/../../outside", "..", "/", ".", "a\nb", "\x1b[31m"]
)
def test_other_names_are_ignored(put, tmp_path, name):
    members = {name.format(tmp_path.name): b"evil", **WHOLE}
    assert taken(put(tgz(members)))["train.csv"] == TRAIN


@pytest.mark.parametrize("folder", ["/", "/etc/", "../", "../../", "x/../../", "//", "\\..\\/"])
def test_paths_are_dropped(put, folder):
    members = {f"{folder}train.csv": b"not outside", f"{folder}test.csv": TEST}
    assert taken(put(tgz(members))) == {"train.csv": b"not outside", "test.csv": TEST}


def test_links_and_devices_of_other_names_are_ignored(put):
    link = special("x_csv", tarfile.SYMTYPE, linkname="/tmp")
    device = special("x_csv/null", tarfile.CHRTYPE, devmajor=1, devminor=3)
    folder = special("x_csv/test.csv", tarfile.DIRTYPE)
    assert taken(put(with_members(link, device, folder))) == {
        "classes.txt": CLASSES,
        "test.csv": TEST,
        "train.csv": TRAIN,
    }


def test_names_of_any_length_and_script(put):
    members = {f"{'é' * 150}/train.csv": TRAIN, f"{'x' * 300}/test.csv": TEST}
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz", format=kind) as tar:
            for name, content in members.items():
                tar.addfile(special(name, tarfile.REGTYPE, size=len(content)), io.BytesIO(content))
        assert taken(put(stream.getvalue())) == {"train.csv": TRAIN, "test.csv": TEST}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is an HTML page"),
        (b"\xef\xbb\xbf\r\n <HTML lang=en>", "is an HTML page"),
        (b"PK\x03\x04zip", r"is not a gzip-compressed tar: it starts with b'PK\\x03\\x04zip'"),
        (gzip.compress(b"", mtime=0)[:10], "is not a whole gzip-compressed tar"),
        (gzip.compress(b"", mtime=0), r"is not a whole gzip-compressed tar \(empty file\)"),
        (gzip.compress(TRAIN, mtime=0), "is not a whole gzip-compressed tar"),
        (gzip.compress(b"<html>", mtime=0), "is not a whole gzip-compressed tar"),
    ],
)
def test_no_archive(put, content, reason):
    path = put(content)
    for function in (archive.check, taken):
        with pytest.raises(CrepeError, match=f"x.tgz: {reason}"):
            function(path)


def test_no_file(tmp_path):
    for path, fault in ((tmp_path / "none.tgz", "is missing"), (tmp_path, "cannot be read: ")):
        with pytest.raises(CrepeError, match=f"{path}: {fault}"):
            archive.check(path)
        with pytest.raises(CrepeError, match=f"{path}: {fault}"), archive.extracted(path):
            pass


@pytest.mark.parametrize("cut", [1, 4, 8, 9, 100])
def test_truncated_gzip(put, cut):
    path = put(tgz(WHOLE)[:-cut])
    for function, remedy in ((archive.check, ""), (taken, "; run `crepe download` again")):
        with pytest.raises(CrepeError, match=rf"is not a whole gzip-compressed tar \(.*\){remedy}$"):
            function(path)


def test_wrong_checksum_at_the_end(put):
    content = bytearray(tgz(WHOLE))
    content[-8] ^= 1
    path = put(bytes(content))
    for function in (archive.check, taken):
        with pytest.raises(CrepeError, match="CRC check failed"):
            function(path)


@pytest.mark.parametrize("size", [100, 512, 700, 1024, 2000])
def test_tar_that_ends_early_inside_whole_gzip(put, size):
    # 512 and 1024: a header without its content
    path = put(gzip.compress(gzip.decompress(tgz(WHOLE))[:size]))
    with pytest.raises(CrepeError):
        taken(path)


def test_damaged_header_is_not_the_end(put):
    tar = bytearray(gzip.decompress(tgz({"a/train.csv": b"t", "a/test.csv": b"t", "a/classes.txt": b"one"})))
    tar[2048] ^= 1
    path = put(gzip.compress(bytes(tar)))
    for function in (archive.check, taken):
        with pytest.raises(CrepeError, match="a header inside is damaged"):
            function(path)


def test_what_follows_the_end_of_a_tar_is_ignored_as_tar_does(put):
    path = put(gzip.compress(gzip.decompress(tgz(WHOLE)) + b"rest of an old tape"))
    archive.check(path)
    assert taken(path)["train.csv"] == TRAIN


def test_gzip_in_several_members(put):
    tar = gzip.decompress(tgz(WHOLE))
    path = put(gzip.compress(tar[:1000]) + gzip.compress(tar[1000:]))
    archive.check(path)
    assert taken(path)["train.csv"] == TRAIN


def test_bomb_is_refused(put):
    path = put(tgz({"x/train.csv": bytes(30_000_000), "x/test.csv": TEST}))
    assert path.stat().st_size < 50_000
    archive.check(path)
    for function in (archive.check, taken):
        with pytest.raises(CrepeError, match="unpacks to more than 20,000,000 bytes"):
            function(path, maximum=20_000_000)


def test_bomb_is_known_by_its_header(put):
    path = put(with_members(special("x/train.csv", tarfile.REGTYPE, size=2**35)))
    for function in (archive.check, taken):
        with pytest.raises(CrepeError, match="unpacks to more than 17,179,869,184 bytes"):
            function(path)


def test_bomb_behind_the_end_of_the_tar(put):
    path = put(tgz(WHOLE) + gzip.compress(bytes(30_000_000)))
    with pytest.raises(CrepeError, match="unpacks to more than 20,000,000 bytes"):
        archive.check(path, maximum=20_000_000)


def test_bomb_in_a_header_takes_no_memory(put):
    # A pax header of 1 GB, which tarfile would read whole
    path = put(gzip.compress(special("x", tarfile.XHDTYPE, size=2**30).tobuf(tarfile.GNU_FORMAT) + bytes(2**22)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CrepeError, match="a header claims 1,073,741,824 bytes"):
        archive.check(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_too_many_members(put):
    path = put(tgz({f"f{index}": b"" for index in range(archive.MEMBERS + 1)}))
    with pytest.raises(CrepeError, match="holds more than 1000 members"):
        archive.check(path)


@pytest.mark.parametrize("size", [-1, -512, -700, -(2**40)])
def test_negative_sizes_end(put, size):
    path = put(with_members(special("x", tarfile.REGTYPE, size=size)))
    for function in (archive.check, taken):
        with pytest.raises(CrepeError, match="is not a whole gzip-compressed tar"):
            function(path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_negative_sizes_of_headers(put, kind):
    path = put(with_members(special("x", kind, size=-1024)))
    with pytest.raises(CrepeError, match="a header claims -1,024 bytes"):
        archive.check(path)


@pytest.mark.parametrize("headers", [{"GNU.sparse.map": "a,b"}, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}])
def test_nonsense_in_headers(put, headers):
    path = put(with_members(special("x/train.csv", tarfile.REGTYPE, pax_headers=headers), format=tarfile.PAX_FORMAT))
    with pytest.raises(CrepeError, match="is not a whole gzip-compressed tar"):
        archive.check(path)


def test_chain_of_headers(put):
    path = put(with_members(*[special("long", tarfile.GNUTYPE_LONGNAME) for _ in range(5000)]))
    with pytest.raises(CrepeError, match="not a whole gzip-compressed tar"):
        archive.check(path)


def test_disk_full(put):
    path = put(tgz(WHOLE))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(CrepeError, match=r"train\.csv: cannot be written: File too large"):
            taken(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_folder_that_cannot_be_made(put):
    path = put(tgz(WHOLE))
    with pytest.raises(CrepeError, match=f"{path}/work: cannot be written"), archive.extracted(path, path / "work"):
        pass


FUZZ = settings(max_examples=200)
BASE = tgz(WHOLE)


def outcome(path: Path) -> tuple[dict[str, bytes], str]:
    """What `extracted` gives, or what it says."""
    try:
        return taken(path), ""
    except CrepeError as error:
        return {}, str(error)


@FUZZ
@given(st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_changed_bytes_never_give_other_content(tmp_path_factory, changes):
    content = bytearray(BASE)
    for position, mask in changes:
        content[position] ^= mask
    path = tmp_path_factory.mktemp("fuzz") / "x.tgz"
    path.write_bytes(content)
    files, fault = outcome(path)
    assert files == {"classes.txt": CLASSES, "test.csv": TEST, "train.csv": TRAIN} or fault.startswith(f"{path}: ")


@FUZZ
@given(
    st.lists(st.tuples(st.integers(0, 2047), st.integers(0, 255)), min_size=1, max_size=8),
    st.sampled_from(b"0125xgLKS"),
)
def test_any_headers_end_in_files_or_an_error(tmp_path_factory, changes, type_):
    tar = bytearray(gzip.decompress(BASE))
    for position, byte in changes:
        tar[position] = byte
    for start in (0, 1024):
        tar[start + 156] = type_
        tar[start + 148 : start + 156] = b" " * 8
        tar[start + 148 : start + 156] = b"%06o\0 " % sum(tar[start : start + 512])
    path = tmp_path_factory.mktemp("fuzz") / "x.tgz"
    path.write_bytes(gzip.compress(bytes(tar)))
    files, fault = outcome(path)
    assert {"train.csv", "test.csv"} <= set(files) or fault.startswith(f"{path}: ")

"""Archives: members come out as bytes, and what is not a plain file stays inside."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from models.archive import read_members
from models.errors import ModelError


def refusal(archive: Path, filename: str, sizes: dict[str, int]) -> str:
    """Return why members of an archive are refused."""
    members = read_members(archive, filename, sizes)
    with pytest.raises(ModelError) as caught:
        [b"".join(chunks) for _, chunks in members]
    assert caught.value.code == "member_refused"
    return caught.value.message


def special(kind: bytes) -> tarfile.TarInfo:
    """Return a member that is a link, a folder or a device."""
    info = tarfile.TarInfo("bait")
    info.type = kind
    info.linkname = "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE]
)
def test_links_folders_and_devices_of_an_sdist_are_refused(
    tmp_path: Path, kind: bytes
) -> None:
    archive = tmp_path / "archive"
    with tarfile.open(archive, "w:gz") as opened:
        opened.addfile(special(kind))

    assert "bait is not a file" in refusal(archive, "bait-1.0.tar.gz", {"bait": 0})


def test_a_link_in_a_wheel_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    info = zipfile.ZipInfo("bait")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(info, "/etc/passwd")

    assert "bait is not a file" in refusal(archive, "bait.whl", {"bait": 11})


def write_zip(path: Path, name: str, content: bytes) -> None:
    """Write a zip file with one member."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(name, content)


def write_tar(path: Path, name: str, content: bytes) -> None:
    """Write a compressed tar file with one member."""
    with tarfile.open(path, "w:gz") as opened:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        opened.addfile(info, io.BytesIO(content))


FORMATS = pytest.mark.parametrize(
    ("filename", "write"), [("x.whl", write_zip), ("x.tar.gz", write_tar)]
)
Write = Callable[[Path, str, bytes], None]


@FORMATS
def test_a_member_of_another_size_is_refused_unread(
    tmp_path: Path, filename: str, write: Write
) -> None:
    archive = tmp_path / "archive"
    write(archive, "bomb", bytes(20_000_000))

    message = refusal(archive, filename, {"bomb": 20})

    assert "20000000 bytes instead of 20" in message


@FORMATS
def test_an_absent_member_is_named(tmp_path: Path, filename: str, write: Write) -> None:
    archive = tmp_path / "archive"
    write(archive, "here", b"x")

    assert "gone is not in it" in refusal(archive, filename, {"gone": 1})


@FORMATS
def test_names_that_lead_outside_write_nothing_there(
    tmp_path: Path, filename: str, write: Write
) -> None:
    archive = tmp_path / "deep" / "archive"
    archive.parent.mkdir()
    write(archive, "../../evil", b"bytes")

    members = read_members(archive, filename, {"../../evil": 5})

    assert [b"".join(chunks) for _, chunks in members] == [b"bytes"]
    assert list(tmp_path.rglob("*evil*")) == []


@FORMATS
@pytest.mark.parametrize("keep", [0, 30, 200])
def test_a_damaged_archive_is_refused(
    tmp_path: Path, filename: str, write: Write, keep: int
) -> None:
    archive = tmp_path / "archive"
    write(archive, "data", bytes(range(256)) * 100)
    archive.write_bytes(archive.read_bytes()[:keep])

    assert filename in refusal(archive, filename, {"data": 25_600})

"""What is kept between runs is believed only where nobody else can have written it."""

from __future__ import annotations

import hmac
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.kept import KEY_BYTES, KeptFiles, private_key

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="files have no modes there"
)
as_anyone = pytest.mark.skipif(
    sys.platform != "win32" and os.getuid() == 0, reason="root may write anywhere"
)


def content(kept: KeptFiles, name: str) -> bytes | None:
    """Returns what is kept under a name."""
    found = kept.read(name)
    return None if found is None else bytes(found)


@pytest.fixture
def kept(tmp_path: Path) -> KeptFiles:
    return KeptFiles(tmp_path / "kept")


def mode(path: Path) -> int:
    """Returns who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def file_of(kept: KeptFiles, name: str, content: bytes = b"content") -> Path:
    """Returns the file that a name is written to."""
    before = set(kept.folder.glob("*.kept"))
    assert kept.write(name, content)
    (path,) = set(kept.folder.glob("*.kept")) - before
    return path


def test_what_was_written_is_read_again_also_by_the_next_run(kept: KeptFiles) -> None:
    assert kept.write("one", b"first")
    assert kept.write("two", b"")
    assert kept.write("one", b"second")

    for each in (kept, KeptFiles(kept.folder)):
        assert content(each, "one") == b"second"
        assert content(each, "two") == b""
        assert content(each, "three") is None


@given(names=st.lists(st.text(st.characters(codec="utf-8")), unique=True, max_size=5))
@settings(max_examples=30)
def test_any_name_does_and_none_leaves_the_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    root = tmp_path_factory.mktemp("root")
    kept = KeptFiles(root / "kept")
    for name in [*names, "../../up", "/etc/up"]:
        assert kept.write(name, name.encode())

    assert all(content(kept, name) == name.encode() for name in names)
    assert [path.name for path in root.iterdir()] == ["kept"]


def test_nobody_else_may_look(kept: KeptFiles) -> None:
    path = file_of(kept, "one")

    assert mode(kept.folder) == 0o700
    assert mode(path) == 0o600
    assert mode(kept.folder / "key") == 0o600


def test_no_setting_of_the_user_opens_the_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        kept = KeptFiles(tmp_path / "kept")
        path = file_of(kept, "one")
    finally:
        os.umask(before)

    assert mode(kept.folder) == 0o700
    assert mode(path) == 0o600
    assert mode(kept.folder / "key") == 0o600


@pytest.mark.parametrize("at", [0, 31, 32, -1])
def test_a_file_that_was_altered_is_removed(kept: KeptFiles, at: int) -> None:
    path = file_of(kept, "one")
    altered = bytearray(path.read_bytes())
    altered[at] ^= 1
    path.write_bytes(altered)

    assert content(kept, "one") is None
    assert not path.exists()
    assert kept.write("one", b"again")
    assert content(kept, "one") == b"again"


@pytest.mark.parametrize("n_bytes", [0, 1, 31, 32, 38])
def test_a_file_that_was_cut_short_is_removed(kept: KeptFiles, n_bytes: int) -> None:
    path = file_of(kept, "one")
    os.truncate(path, n_bytes)

    assert content(kept, "one") is None
    assert not path.exists()


def test_a_file_that_grew_is_removed(kept: KeptFiles) -> None:
    path = file_of(kept, "one")
    path.write_bytes(path.read_bytes() + b"\0")

    assert content(kept, "one") is None
    assert not path.exists()


def test_a_file_in_the_place_of_another_is_removed(kept: KeptFiles) -> None:
    one, two = file_of(kept, "one", b"first"), file_of(kept, "two", b"second")
    one.replace(two)

    assert content(kept, "two") is None
    assert content(kept, "one") is None
    assert not two.exists()


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o660, 0o610])
def test_a_file_that_others_may_open_is_removed(kept: KeptFiles, open_to: int) -> None:
    path = file_of(kept, "one")
    path.chmod(open_to)

    assert content(kept, "one") is None
    assert not path.exists()


def test_a_link_is_not_followed_and_what_it_names_stays(
    kept: KeptFiles, tmp_path: Path
) -> None:
    path = file_of(kept, "one")
    elsewhere = path.rename(tmp_path / "elsewhere")
    path.symlink_to(elsewhere)

    assert content(kept, "one") is None
    assert not path.is_symlink()
    assert elsewhere.exists()


def test_a_link_is_not_written_through(kept: KeptFiles, tmp_path: Path) -> None:
    path = file_of(kept, "one")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    path.unlink()
    path.symlink_to(elsewhere)

    assert kept.write("one", b"again")

    assert elsewhere.read_bytes() == b"mine"
    assert content(kept, "one") == b"again"


def test_what_is_no_file_counts_as_absent(kept: KeptFiles) -> None:
    path = file_of(kept, "one")
    path.unlink()
    path.mkdir()

    assert content(kept, "one") is None
    assert not kept.write("one", b"again")
    assert [each.name for each in kept.folder.glob(".*")] == []


def test_a_file_under_another_key_is_removed(kept: KeptFiles) -> None:
    path = file_of(kept, "one")
    (kept.folder / "key").unlink()

    other = KeptFiles(kept.folder)

    assert content(other, "one") is None
    assert not path.exists()


def test_a_seal_without_a_key_is_not_enough(kept: KeptFiles) -> None:
    path = file_of(kept, "one")
    forged = b"forged"
    for seal in (
        sha256(forged).digest(),
        hmac.digest(b"", b"one\0" + forged, "sha256"),
        bytes(32),
    ):
        path.write_bytes(seal + forged)
        path.chmod(0o600)
        assert content(kept, "one") is None


def test_what_is_used_stays_and_what_is_not_makes_room(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path / "kept", cap_bytes=3 * (100 + 32))
    for age, name in enumerate(("old", "used", "new")):
        path = file_of(kept, name, bytes(100))
        os.utime(path, (1_000 + age, 1_000 + age))
    assert content(kept, "old") is not None

    assert kept.write("newest", bytes(100))

    read = {name: content(kept, name) for name in ("old", "used", "new", "newest")}
    assert [name for name, content in read.items() if content is None] == ["used"]


def test_the_cap_is_never_passed(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path / "kept", cap_bytes=1_000)
    for number in range(30):
        size = 37 * number
        assert kept.write(str(number), bytes(size)) == (size + 32 <= 1_000)
        total = sum(path.stat().st_size for path in kept.folder.glob("*.kept"))
        assert total <= 1_000


def test_what_is_larger_than_the_cap_pushes_nothing_out(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path / "kept", cap_bytes=1_000)
    assert kept.write("small", b"small")

    assert not kept.write("large", bytes(1_000))

    assert content(kept, "small") == b"small"
    assert content(kept, "large") is None


def test_two_writers_leave_one_whole_content(tmp_path: Path) -> None:
    contents = [bytes([n]) * 50_000 for n in range(8)]

    def write(data: bytes) -> bytes | None:
        kept = KeptFiles(tmp_path / "kept")
        assert kept.write("one", data)
        return content(kept, "one")

    with ThreadPoolExecutor(8) as writers:
        seen = list(writers.map(write, contents))

    assert set(seen) <= set(contents)
    assert content(KeptFiles(tmp_path / "kept"), "one") in contents
    assert len(list((tmp_path / "kept").iterdir())) == 2  # the key, and one file


def test_all_who_come_first_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as comers:
        keys = set(comers.map(private_key, [tmp_path / "folder" / "key"] * 8))

    (key,) = keys
    assert len(key) == KEY_BYTES
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["key"]
    assert private_key(tmp_path / "other") != key


@pytest.mark.parametrize("open_to", [0o644, 0o660])
def test_a_key_that_others_know_is_an_error(tmp_path: Path, open_to: int) -> None:
    private_key(tmp_path / "key")
    (tmp_path / "key").chmod(open_to)

    with pytest.raises(PermissionError, match="chmod 600"):
        private_key(tmp_path / "key")
    assert (tmp_path / "key").exists()


def test_a_key_is_no_link(tmp_path: Path) -> None:
    private_key(tmp_path / "elsewhere")
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="key"):
        private_key(tmp_path / "key")


@pytest.mark.parametrize("n_bytes", [0, 8])
def test_a_key_that_is_too_short_seals_nothing(tmp_path: Path, n_bytes: int) -> None:
    kept = KeptFiles(tmp_path / "kept")
    os.truncate(kept.folder / "key", n_bytes)

    with pytest.raises(OSError, match="key"):
        KeptFiles(kept.folder)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OSError, match="file"):
        KeptFiles(tmp_path / "file" / "kept")


def test_a_folder_that_is_gone_keeps_nothing_and_fails_nothing(
    kept: KeptFiles, tmp_path: Path
) -> None:
    kept.write("one", b"first")
    kept.folder.rename(tmp_path / "gone")

    assert not kept.write("one", b"again")
    assert content(kept, "one") is None


@as_anyone
def test_a_folder_that_may_not_be_written_to_is_still_read(kept: KeptFiles) -> None:
    kept.write("one", b"first")
    kept.folder.chmod(0o500)
    try:
        again = KeptFiles(kept.folder)
        assert content(again, "one") == b"first"
        assert not again.write("two", b"second")
    finally:
        kept.folder.chmod(0o700)

"""The file of a store: which one a URL names, how it is made, and what is refused or warned of."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from asyncsched.exceptions import ConfigurationError
from asyncsched.stores import _file
from asyncsched.stores._file import UnusableFileError

MOUNTS = r"""
/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export /srv/shared nfs4 rw 0 0
tmpfs /srv/shared/scratch tmpfs rw 0 0
user@host: /mnt/with\040space fuse.sshfs rw 0 0
/dev/vdb /mnt/twice ext4 rw 0 0
//host/share /mnt/twice cifs rw 0 0
hostshare /mnt/9 9p rw 0 0
/dev/fuse /mnt/local fuse.ntfs rw 0 0
"""


def built(path: Path) -> None:
    path.write_text("built")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/app/jobs.db", "/var/lib/app/jobs.db"),
        ("sqlite:///jobs", "/jobs"),
        ("sqlite:///a%20b/ü.db", "/a b/ü.db"),
        ("sqlite:///a%3Fb%23c%25.db", "/a?b#c%.db"),
        ("sqlite:///a b.db", "/a b.db"),
    ],
)
def test_a_url_names_one_file(url: str, path: str) -> None:
    assert _file.path_of(url) == Path(path)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite://", "names no absolute path"),
        ("sqlite://jobs.db", "names no absolute path"),
        ("sqlite://./jobs.db", "names no absolute path"),
        ("sqlite://:memory:", "names no absolute path"),
        ("sqlite://host/jobs.db", "names no absolute path"),
        ("sqlite:///", "names no file"),
        ("sqlite:////var/lib/jobs.db", "has an empty part"),
        ("sqlite:///var/lib/", "names no file"),
        ("sqlite:///var/../etc/jobs.db", r"\.\."),
        ("sqlite:///var/./jobs.db", r"has an empty part, \. or"),
        ("sqlite:///var/%2e%2e/jobs.db", r"\.\."),
        ("sqlite:///:memory:", r"the store in memory is Scheduler\(\)"),
        ("sqlite:///jobs.db?mode=ro", "has options, and there are none"),
        ("sqlite:///jobs.db?", "has options, and there are none"),
        ("sqlite:///jobs.db#x", "has options, and there are none"),
        ("sqlite:///jobs%00.db", "cannot be printed"),
        ("sqlite:///jobs\n.db", "cannot be printed"),
        ("sqlite:///jobs%FF.db", "is not UTF-8"),
    ],
)
def test_any_other_url_is_refused_with_the_rule(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{why}.*three slashes and an absolute path"):
        _file.path_of(url)


def test_a_refusal_hides_what_may_be_secret() -> None:
    with pytest.raises(ConfigurationError) as caught:
        _file.path_of("sqlite:///jobs.db?key=s3cr3t")
    assert "s3cr3t" not in str(caught.value)


def test_a_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    _file.make_ready(path, built)
    _file.make_ready(path, built)  # and then it is there

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "built"
    assert os.listdir(tmp_path) == ["jobs.db"]


def test_a_file_that_could_not_be_made_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        _file.make_ready(tmp_path / "jobs.db", lambda _: 1 / 0)
    assert os.listdir(tmp_path) == []


def test_a_file_that_another_process_has_made_meanwhile_is_used(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_text("theirs")
    _file._make(path, built)

    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["jobs.db"]


@pytest.mark.parametrize(("mode", "is_safe"), [(0o777, False), (0o773, False), (0o1777, True), (0o775, True)])
def test_a_folder_in_which_everybody_may_replace_files_is_refused(tmp_path: Path, mode: int, is_safe: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    if is_safe:
        _file.make_ready(folder / "jobs.db", built)
    else:
        with pytest.raises(UnusableFileError, match=f"everybody may replace files in .*folder .mode {mode:o}"):
            _file.make_ready(folder / "jobs.db", built)
        assert list(folder.iterdir()) == []


def test_a_folder_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _file.make_ready(tmp_path / "none" / "jobs.db", built)
    (tmp_path / "file").touch()
    with pytest.raises(UnusableFileError, match="is no folder"):
        _file.make_ready(tmp_path / "file" / "jobs.db", built)


def test_a_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.touch()
    path.chmod(0o666)
    with pytest.raises(UnusableFileError, match=r"everybody may write .*jobs\.db .mode 666"):
        _file.make_ready(path, built)


def test_a_link_or_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("link", "dangling", "."):
        with pytest.raises(UnusableFileError, match="is no plain file"):
            _file.make_ready(tmp_path / name, built)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_that_a_stranger_has_put_there_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    path = folder / "jobs.db"
    path.touch()
    os.chown(path, 65533, 65533)
    with pytest.raises(UnusableFileError, match="belongs to neither this user"):
        _file.make_ready(path, built)
    os.chown(folder, 65533, 65533)
    _file.make_ready(path, built)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/jobs.db", "ext4"),
        ("/srv/shared/app/jobs.db", "nfs4"),
        ("/srv/shared/scratch/jobs.db", "tmpfs"),
        ("/srv/sharedness/jobs.db", "ext4"),
        ("/mnt/with space/jobs.db", "fuse.sshfs"),
        ("/mnt/twice/jobs.db", "cifs"),
        ("/mnt/9/jobs.db", "9p"),
        ("/mnt/local/jobs.db", "fuse.ntfs"),
    ],
)
def test_the_file_system_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.strip() + "\n")
    monkeypatch.setattr(_file, "MOUNTS", mounts)

    warnings = _file.warnings(Path(path))
    if kind in {"nfs4", "fuse.sshfs", "cifs", "9p"}:
        assert warnings == (
            f"{path} is on a network file system ({kind}), whose locks cannot be relied on; use a local disk, or Redis",
        )
    else:
        assert warnings == ()


def test_a_system_that_tells_nothing_warns_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_file, "MOUNTS", tmp_path / "none")
    monkeypatch.setattr(_file, "BOOT_ID", tmp_path / "none")

    assert _file.warnings(tmp_path / "jobs.db") == ()
    assert _file.boot_id() == ""


def test_which_files_are_open_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, closed = tmp_path / "opened", tmp_path / "closed"
    closed.touch()
    with opened.open("w"):
        assert _file.is_open_here(_file.identity(opened))
        assert not _file.is_open_here(_file.identity(opened, closed))
        assert not _file.is_open_here(_file.identity(opened, tmp_path / "none"))
    assert not _file.is_open_here(_file.identity(opened))
    monkeypatch.setattr(_file, "DESCRIPTORS", str(tmp_path / "none"))
    assert _file.is_open_here(_file.identity(closed)), "who cannot tell believes it"

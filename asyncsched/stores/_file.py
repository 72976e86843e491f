"""Owns the file of a store on this host: what URL names it, how it is made, and what makes it unusable or unsafe.

Knows nothing of what stands in it.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote

from asyncsched.exceptions import ConfigurationError
from asyncsched.stores._settings import masked

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEME = "sqlite://"
RULE = "a sqlite:// URL has three slashes and an absolute path, and nothing else: sqlite:///var/lib/app/jobs.db"

MOUNTS = Path("/proc/mounts")
DESCRIPTORS = "/dev/fd"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

NETWORK_FILE_SYSTEM = re.compile(
    r"(fuse\.)?(9p|afs|beegfs|ceph|cifs|coda|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs\d?|ocfs2|rclone|s3fs|smb\d|smbfs|sshfs)"
)

Identity = tuple[tuple[int, int] | None, ...]


class UnusableFileError(Exception):
    """The file, or what is around it, is not as the rules want it; the message says what, and the rule."""


def path_of(url: str) -> Path:
    """Return the file that a ``sqlite://`` URL names.

    Raises:
        ConfigurationError: it is not of the one form that there is.
    """
    rest = url.removeprefix(SCHEME)
    if "?" in rest or "#" in rest:
        _refuse(url, "it has options, and there are none (write %3F and %23 for ? and # in a path)")
    if not rest.startswith("/"):
        _refuse(url, "it names no absolute path")
    try:
        path = unquote(rest, errors="strict")
    except UnicodeDecodeError:
        _refuse(url, "its path is not UTF-8")
    if not path.isprintable():
        _refuse(url, "its path holds a character that cannot be printed")
    if path.startswith("//") or os.path.normpath(path) != path or path == "/":
        _refuse(url, "its path has an empty part, . or .., or names no file")
    if path.endswith("/:memory:"):
        _refuse(url, "the store in memory is Scheduler()")
    return Path(path)


def _refuse(url: str, why: str) -> NoReturn:
    raise ConfigurationError(f"store: {masked(url)!r}: {why}; {RULE}")


def make_ready(path: Path, build: Callable[[Path], object]) -> None:
    """Make the file if there is none, for its owner alone; SQLite gives the files beside it the same mode.

    Args:
        path: the file.
        build: makes of an empty file, which nobody else knows, what it is to be.

    Raises:
        UnusableFileError: others could put a file of theirs in its place, or write into it.
        OSError: it cannot be made.
    """
    _check_folder(path.parent)
    if not os.path.lexists(path):
        _make(path, build)
    _check_file(path)


def _make(path: Path, build: Callable[[Path], object]) -> None:
    # It gets its name when it is complete: processes that make one at once would lock each other out. And under that
    # name it is never open here: closing it would end the locks that other connections of this process have on it.
    descriptor, new = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".new", dir=path.parent)
    os.close(descriptor)
    try:
        build(Path(new))
        with suppress(FileExistsError):  # another process was faster
            os.link(new, path)
    finally:
        os.unlink(new)
    if is_posix():
        _make_last(path.parent)


def _make_last(folder: Path) -> None:
    """Let the names in a folder outlive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_folder(folder: Path) -> None:
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnusableFileError(f"{folder} is no folder")
    # Not a warning: whoever may rename in it can hand the scheduler a file of their own, at any time.
    if is_posix() and found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise UnusableFileError(f"everybody may replace files in {folder} (mode {stat.S_IMODE(found.st_mode):o})")


def _check_file(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise UnusableFileError(f"{path} is no plain file (a symbolic link is none)")
    if not os.access(path, os.R_OK | os.W_OK):
        raise UnusableFileError(f"this user may not read and write {path} (mode {stat.S_IMODE(found.st_mode):o})")
    if not is_posix():
        return
    if found.st_mode & stat.S_IWOTH:
        raise UnusableFileError(f"everybody may write {path} (mode {stat.S_IMODE(found.st_mode):o})")
    if found.st_uid not in (os.geteuid(), path.parent.stat().st_uid, 0):
        raise UnusableFileError(f"{path} belongs to neither this user, nor its folder's owner, nor root")


def is_posix() -> bool:
    """Return whether modes and owners of files mean something here."""
    return os.name == "posix"  # elsewhere the bits of a mode say nothing of others


def identity(*paths: Path) -> Identity:
    """Return which files have these names now; ``None`` for one that is not there."""
    return tuple(map(_identity, paths))


def is_open_here(identity: Identity) -> bool:
    """Return whether this process has all of these files open, as far as the system tells."""
    try:
        descriptors = os.listdir(DESCRIPTORS)
    except OSError:
        return True
    held = set()
    for descriptor in descriptors:
        with suppress(OSError):  # the one of the listing is closed by now
            found = os.fstat(int(descriptor))
            held.add((found.st_dev, found.st_ino))
    return held.issuperset(identity)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def boot_id() -> str:
    """Return what tells this start of the system from all others; empty where the system does not say."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def warnings(path: Path) -> tuple[str, ...]:
    """Return what about the place of the file is unsafe, as far as the system tells."""
    try:
        kind = _file_system(path.resolve(), MOUNTS.read_text())
    except OSError:
        return ()
    if not NETWORK_FILE_SYSTEM.fullmatch(kind):
        return ()
    return (
        f"{path} is on a network file system ({kind}), whose locks cannot be relied on; use a local disk, or Redis",
    )


def _file_system(path: Path, mounts: str) -> str:
    """Return the type of what is mounted where ``path`` is, by the text of ``/proc/mounts``."""
    kinds = {}
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        kinds[Path(point.encode().decode("unicode_escape"))] = kind  # the last one covers those before
    return next((kinds[folder] for folder in path.parents if folder in kinds), "")

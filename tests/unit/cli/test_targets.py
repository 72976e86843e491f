"""What a command works on: options over variables, and what is said of an app or a URL that cannot be used."""

from __future__ import annotations

import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from _command_line import Line

from asyncsched import Scheduler
from asyncsched.cli._exits import Exit, Refusal
from asyncsched.cli._loading import load_scheduler
from asyncsched.cli._target import Target, open_store, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A, U, P = "ASYNCSCHED_APP", "ASYNCSCHED_URL", "ASYNCSCHED_PREFIX"


@pytest.mark.parametrize(
    ("options", "variables", "target"),
    [
        (("m:s", None, None), {}, Target(app="m:s")),
        (("m:s", None, None), {U: "redis://v", P: "v:"}, Target(app="m:s")),
        ((None, "redis://o", None), {A: "m:s"}, Target(url="redis://o")),
        ((None, "redis://o", "p:"), {P: "v:"}, Target(url="redis://o", prefix="p:")),
        ((None, "redis://o", None), {P: "v:"}, Target(url="redis://o", prefix="v:")),
        ((None, "redis://o", ""), {P: "v:"}, Target(url="redis://o")),
        ((None, None, None), {A: "m:s"}, Target(app="m:s")),
        ((None, None, None), {U: "redis://v", P: "v:"}, Target(url="redis://v", prefix="v:")),
        ((None, None, None), {A: "m:s", U: "redis://v"}, Target(app="m:s")),
        ((None, None, None), {A: "", U: "redis://v"}, Target(url="redis://v")),
    ],
)
def test_options_win_over_variables(
    options: tuple[str | None, str | None, str | None], variables: dict[str, str], target: Target
) -> None:
    assert target_of(*options, variables) == target


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((None, None, None), "which cluster"),
        (("", "", None), "which cluster"),
        (("m:s", "redis://o", None), "exclude each other"),
        (("m:s", None, "p:"), "--prefix goes with --url"),
    ],
)
def test_what_names_no_cluster_or_two(options: tuple[str | None, str | None, str | None], said: str) -> None:
    with pytest.raises(Refusal, match=said) as refused:
        target_of(*options, {})
    assert refused.value.code is Exit.USAGE


# Apps


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.startswith("its_"):
            del sys.modules[name]


SERVICE = """
    from asyncsched import Scheduler

    print("hello from the import")
    scheduler = Scheduler(node="one")
    other = Scheduler(node="two")

    class state:
        inner = scheduler

    def make():
        return scheduler

    def make_of(url):
        return scheduler

    def make_nothing():
        return 7

    def make_trouble():
        raise ValueError("no\\nconfiguration")

    def leave():
        raise SystemExit(3)

    async def make_later():
        return scheduler
"""


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(dedent(text))


@pytest.mark.parametrize("path", ["its_service:scheduler", "its_service:state.inner", "its_service:make"])
def test_an_app_from_the_current_folder(folder: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, "its_service.py", SERVICE)
    assert isinstance(load_scheduler(path), Scheduler)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello from the import\n"), "standard output is the command's"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("its_service", "write it as module:name, such as myservice.main:scheduler"),
        (":scheduler", "write it as module:name"),
        ("its_service:", "write it as module:name"),
        ("its_service:a b", "write it as module:name"),
        ("its_missing:scheduler", "there is no module 'its_missing' in "),
        ("its_service.deeper:scheduler", "there is no module 'its_service.deeper' in "),
        ("its_service:schedule", "its_service has no 'schedule'; its schedulers: scheduler, other"),
        ("its_service:state.iner", "its_service has no 'iner'"),
        ("its_service:state", "it is a type: neither a Scheduler nor a function"),
        ("its_service:make_of", "it is a function: neither a Scheduler nor a function without arguments"),
        ("its_service:make_nothing", "calling it gives a int, and no Scheduler"),
        ("its_service:make_later", "an async function cannot make the scheduler here"),
        ("its_service:make_trouble", "calling it failed: ValueError: no configuration ("),
        ("its_service:leave", "calling it failed: SystemExit: 3 ("),
        ("its_broken:scheduler", "importing its_broken failed: ModuleNotFoundError: No module named 'its_driver' ("),
        ("its_syntax:scheduler", "importing its_syntax failed: SyntaxError"),
        ("its_exit:scheduler", "importing its_exit failed: SystemExit: 0"),
        ("..:scheduler", "importing .. failed"),
    ],
)
def test_an_app_that_cannot_be_loaded(folder: Path, path: str, said: str) -> None:
    write(folder, "its_service.py", SERVICE)
    write(folder, "its_broken.py", "\nimport its_driver\n")
    write(folder, "its_syntax.py", "def (:\n")
    write(folder, "its_exit.py", "import sys\nsys.exit(0)\n")
    with pytest.raises(Refusal) as refused:
        load_scheduler(path)
    assert refused.value.code is Exit.USAGE
    assert said in refused.value.line
    assert "\n" not in refused.value.line


def test_the_place_of_an_error_in_the_users_code_is_named(folder: Path) -> None:
    write(folder, "its_broken.py", "\nimport its_driver\n")
    with pytest.raises(Refusal, match=r"\(.*its_broken\.py:2\)$"):
        load_scheduler("its_broken:scheduler")


def test_a_name_that_is_nearly_there_is_named(folder: Path) -> None:
    write(folder, "its_things.py", "schedulers = []\n")
    with pytest.raises(Refusal, match=r"its_things has no 'scheduler' \(did you mean 'schedulers'\?\)"):
        load_scheduler("its_things:scheduler")


# URLs


@pytest.mark.parametrize(
    "url", ["http://host", "localhost:6379", "redis:/host", "mysql://ann:secret@host/db", "", "sqlite://"]
)
def test_a_url_that_cannot_be_used_is_a_matter_of_usage(url: str) -> None:
    with pytest.raises(Refusal) as refused:
        open_store(url, "", None)
    assert refused.value.code is Exit.USAGE
    assert "secret" not in refused.value.line


def test_a_prefix_that_cannot_be_used() -> None:
    with pytest.raises(Refusal, match="prefix"):
        open_store("redis://host", "a b", None)


# Preview


def test_a_preview_is_the_codes(folder: Path, line: Line) -> None:
    write(
        folder,
        "its_jobs.py",
        """
        from asyncsched import Scheduler

        scheduler = Scheduler()
        scheduler.job("report").daily_at("08:00").timezone("Europe/Berlin").weekdays().random_delay(1, 5)
        """,
    )
    given = ["preview", "report", "--app", "its_jobs:scheduler"]
    out = line.out(*given, "--count", "2", "--after", "2026-11-28T00:00Z")
    words = [line.split() for line in out.splitlines()]
    assert words[0] == ["IN", "THE", "JOB'S", "TIME", "ZONE", "UTC"]
    assert words[1][-6:] == ["Mon", "2026-11-30", "08:00:00", "CET", "2026-11-30", "07:00:00"]
    assert "  a delay of 1 to 5 s is drawn when it runs" in out
    told = line.json(*given, "--count", "1")
    assert (told[0]["at"], told[0]["delay"]) == ("2026-11-30T07:00:00.000000Z", None)
    assert line.refused("preview", "reprot", "--app", "its_jobs:scheduler")[1].startswith(
        "no job is named 'reprot' (did you mean 'report'?)"
    )
    assert line.refused("preview", "report") == (
        2,
        "preview needs the code of the jobs: name it with --app module:scheduler",
    )
    assert line.refused("run")[0] == 2

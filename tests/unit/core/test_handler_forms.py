"""Which form a handler has, and what is no handler."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from asyncsched._handlers import invoke_object, invoker
from asyncsched.exceptions import ConfigurationError


class Protocol:
    async def exec(self, ctx: object) -> None: ...

    async def error(self) -> Exception: ...  # type: ignore[empty-body]

    async def done(self) -> None: ...


async def async_plain() -> None: ...


async def async_ctx(ctx: object) -> None: ...


def plain() -> None: ...


def plain_ctx(anything: object) -> None: ...


def optional(number: int = 3) -> None: ...


def optional_ctx(ctx: object = None) -> None: ...


def anything(*args: object, **kwargs: object) -> None: ...


class Callables:
    async def method(self, ctx: object) -> None: ...

    async def __call__(self) -> None: ...


class PlainCallable:
    def __call__(self, ctx: object) -> None: ...


@functools.wraps(async_ctx)
async def wrapped(*args: object) -> None: ...


@pytest.mark.parametrize(
    ("form", "how"),
    [
        (async_plain, "invoke_async"),
        (async_ctx, "invoke_async_with_context"),
        (plain, "invoke_in_thread"),
        (plain_ctx, "invoke_in_thread_with_context"),
        (optional, "invoke_in_thread"),
        (optional_ctx, "invoke_in_thread_with_context"),
        (anything, "invoke_in_thread"),
        (lambda: async_plain(), "invoke_in_thread"),
        (Callables(), "invoke_async"),
        (Callables().method, "invoke_async_with_context"),
        (PlainCallable(), "invoke_in_thread_with_context"),
        (functools.partial(async_ctx, 1), "invoke_async"),
        (functools.partial(plain_ctx), "invoke_in_thread_with_context"),
        (wrapped, "invoke_async_with_context"),
        (Protocol, "invoke_class"),
        (Protocol(), "invoke_object"),
    ],
)
def test_the_form_of_a_handler(form: object, how: str) -> None:
    assert invoker(form, "j").__name__ == how  # type: ignore[attr-defined]


def generator() -> Any:
    yield


async def async_generator() -> Any:
    yield


class Half:
    async def exec(self, ctx: object) -> None: ...


class NeedsMore(Protocol):
    def __init__(self, more: object) -> None: ...


def two(first: object, second: object) -> None: ...


def keyword(*, ctx: object) -> None: ...


@pytest.mark.parametrize(
    "form", [5, None, "text", int, min, generator, async_generator, Half(), NeedsMore, two, keyword]
)
def test_what_is_no_handler_is_refused_by_name(form: object) -> None:
    with pytest.raises(ConfigurationError, match="job 'j'"):
        invoker(form, "j")


async def test_a_coroutine_is_refused_and_closed() -> None:
    with pytest.raises(ConfigurationError, match="without calling it"):
        invoker(async_plain(), "j")


def test_a_function_with_the_methods_of_the_protocol_is_no_function() -> None:
    async def work() -> None: ...

    work.exec = work.error = work.done = work  # type: ignore[attr-defined]
    assert invoker(work, "j") is invoke_object

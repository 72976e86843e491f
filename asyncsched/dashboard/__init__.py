"""The dashboard: an ASGI app that shows a cluster and, where a service allows it, steers it. Needs the extra
``dashboard``; ``docs/dashboard.md`` has the rest."""

from asyncsched._extras import needed

needed("starlette", "starlette", "dashboard", "dashboards")
needed("jinja2", "jinja2", "dashboard", "dashboards")

from asyncsched.dashboard._app import dashboard  # noqa: E402 - after the message that says what is missing
from asyncsched.dashboard._serve import serve  # noqa: E402

__all__ = ["dashboard", "serve"]

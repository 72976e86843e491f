"""Owns how the site has what the pages link to outside of docs/: such files become part of it, under project/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_OUTSIDE = re.compile(r"\]\(\.\./([^)#\s]+)")
_INTO_DOCS = re.compile(r"\]\(docs/")
_FROM_BESIDE = re.compile(r"\]\((?!docs/|https?:|#)([^)#\s]+)")
_BESIDE = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages beside docs/, and whatever else a page links to."""
    linked = set(_BESIDE)
    for page in Path(config["docs_dir"]).glob("**/*.md"):
        linked.update(_OUTSIDE.findall(page.read_text("utf-8")))
    for beside in _BESIDE:
        linked.update(_FROM_BESIDE.findall((ROOT / beside).read_text("utf-8")))
    for name in sorted(linked):
        if (ROOT / name).is_file():
            files.append(File.generated(config, f"project/{name}", abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to where these files are in the site. Blocks that are not to be run are Python all the same."""
    markdown = markdown.replace("```python no-run", "```python")
    if page.file.src_uri.startswith("project/"):
        return _INTO_DOCS.sub("](../", markdown)
    return _OUTSIDE.sub(r"](project/\1", markdown)

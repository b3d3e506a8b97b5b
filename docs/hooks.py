"""A hook of mkdocs: links from a page to a file outside `docs/` become plain text, because the site has only the pages.

On a git host these links work. A link to a file that does not exist is an error in both places.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.hooks")
_LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]*|[^):#\s]*/)\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Replace each link to a file outside the pages by its text; mkdocs calls this for every page."""
    docs = Path(config["docs_dir"]).resolve()
    folder = (docs / page.file.src_uri).parent

    def replace(match: re.Match[str]) -> str:
        """Return the text of a link out of the site, or the link as it is."""
        target = (folder / match[2]).resolve()
        if not target.exists():
            log.warning("%s links to %s, which does not exist", page.file.src_uri, match[2])
        if target.is_relative_to(docs) and target.suffix == ".md":
            return match[0]
        return f"`{match[1]}`" if "/" in match[1] or "." in match[1] else match[1]

    return _LINK.sub(replace, markdown)

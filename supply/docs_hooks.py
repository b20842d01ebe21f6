"""Hooks of mkdocs (mkdocs.yml): patterns in `nav` become pages, and links that leave docs/ lead to the repository.

The pages are written for the repository, where `../tests/…` is a link that works. The site has no such files.
"""

import re
from pathlib import Path
from typing import Any, Final

_FENCE: Final = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[(?P<text>[^\]\[]*)\]\((?P<target>[^)\s]+)(?P<title>\s+\"[^\"]*\")?\)")


def on_config(config: Any) -> Any:
    """Replace the patterns of `nav` by the pages that they match."""
    if config.nav:
        config.nav = list(_expanded(config.nav, Path(config.docs_dir)))
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite the links of a page that leave docs/."""
    del files
    return with_links_to_repository(markdown, Path(page.file.abs_src_path), Path(config.docs_dir), config.repo_url)


def with_links_to_repository(markdown: str, page: Path, docs: Path, repository: str | None) -> str:
    """Return a page whose links out of `docs` lead to the repository; without its URL, only their text is left."""

    def rewritten(link: re.Match[str]) -> str:
        target, _, anchor = link["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return link[0]
        file = (page.parent / target).resolve()
        if file.is_relative_to(docs.resolve()):
            return link[0]
        if not repository:
            return link["text"]
        kind = "tree" if file.is_dir() else "blob"
        path = file.relative_to(docs.resolve().parent)
        url = f"{repository.rstrip('/')}/{kind}/HEAD/{path}" + (f"#{anchor}" if anchor else "")
        return f"[{link['text']}]({url}{link['title'] or ''})"

    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(rewritten, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join((*parts, _LINK.sub(rewritten, markdown[end:])))


def _expanded(entries: list[Any], docs: Path) -> list[Any]:
    """Return entries of `nav` with pages in the place of patterns; entries without pages are left out."""
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, str):
            found += _matches(entry, docs)
        else:
            ((title, inner),) = entry.items()
            pages = _expanded(inner, docs) if isinstance(inner, list) else _matches(inner, docs)
            if pages:
                # A page alone needs no section.
                found.append({title: pages[0] if len(pages) == 1 else pages})
    return found


def _matches(pattern: str, docs: Path) -> list[str]:
    if "*" not in pattern:
        return [pattern]
    pages = [path.relative_to(docs).as_posix() for path in docs.glob(pattern)]
    return sorted(pages, key=lambda page: (not page.endswith(("index.md", "README.md")), page))

"""The frame of every HTML file that a job leaves behind: no script, nothing from the network, light and dark.

In: a title and the markup of the body, in which everything that is not ours is escaped. Out: the page. Why one home: a
page that somebody opens from a mail must be as safe as the others, and they should look like one product.
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from recengine.durable import whole

__all__ = ("STYLE", "document", "write")

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Content-Security-Policy of the page: a browser loads nothing for it."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b2330; --soft: #5c6878; --rule: #dde2e9; --paper: #fff; --card: #f6f7f9;
  --mark: #3b76d8; --gap: #d9731a; --good: #187a3d; --plum: #8b4fc4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #98a4b3; --rule: #333c48; --paper: #14181e;
  --card: #1c222a; --mark: #5b93ec; --gap: #f0964a; --good: #5cc486; --plum: #b88ae6 } }
"""
"""The colours, for a page and for a drawing that stands alone."""

_BODY = """
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
h1 { margin: 0; font-size: 1.7rem }
p { margin: .3rem 0 } .soft { color: var(--soft) }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: .8rem .9rem; min-width: 0 }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .8rem; white-space: nowrap }
th, td { padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--rule); vertical-align: middle }
.num { font-variant-numeric: tabular-nums; font-size: .85rem }
svg text { fill: var(--soft); font: 10px system-ui, sans-serif } svg .end { text-anchor: end }
svg .mid { text-anchor: middle }
"""


def document(title: str, style: str, body: Iterable[str]) -> str:
    """Put a page together; `title` is escaped here and becomes its heading, `style` comes after the common rules."""
    return "".join(
        [
            "<!doctype html><html lang=en><head><meta charset=utf-8>",
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            "<meta name=viewport content='width=device-width, initial-scale=1'>",
            f"<title>{escape(title)}</title><style>{STYLE}{_BODY}{style}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *body,
            "</body></html>\n",
        ]
    )


def write(text: str, target: Path) -> None:
    """Write a page or a drawing; the file appears under its name only when it is complete.

    Raises
    ------
    DirectoryInvalid : the folder is missing or cannot be written.
    """
    with whole(target) as out:
        out.write(text.encode())

"""The page `/docs`: the description of the API for people, made here from the schema.

Why our own: the usual pages load their scripts from somebody else's servers. This one is plain HTML without a script,
so it works offline and under a policy that allows none.
"""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

__all__ = ("POLICY", "page")

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Content-Security-Policy of the page."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc } h3 { margin: 2rem 0 .3rem; font-size: 1rem }
code, .verb { font-family: ui-monospace, monospace; font-size: .9em } .verb { font-weight: bold; color: #06c }
table { border-collapse: collapse; width: 100% } td { border-top: 1px solid #ddd; padding: .25rem .8rem .25rem 0;
vertical-align: top } td:first-child { width: 14rem } nav a { margin-right: 1rem } a { color: #06c }
"""


def page(schema: Mapping[str, Any]) -> bytes:
    """Render an OpenAPI document."""
    info = schema["info"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>",
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>",
        "<nav><a href='#routes'>Routes</a><a href='#types'>Types</a><a href='openapi.json'>openapi.json</a></nav>",
        "<h2 id=routes>Routes</h2>",
    ]
    for path, verbs in schema["paths"].items():
        for verb, operation in verbs.items():
            if isinstance(operation, Mapping) and "responses" in operation:
                parts += _operation(path, verb, operation)
    parts.append("<h2 id=types>Types</h2>")
    for name, kind in sorted(schema.get("components", {}).get("schemas", {}).items()):
        parts += _kind(name, kind)
    return "".join(parts).encode()


def _operation(path: str, verb: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h3><span class=verb>{escape(verb.upper())}</span> <code>{escape(path)}</code></h3>"
    yield f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p><table>"
    for given in operation.get("parameters", ()):
        where = f"{given['in']}{', required' if given.get('required') else ''}"
        yield _row(given["name"], f"{_said(given.get('schema', {}))} ({where})", given.get("description", ""))
    body = operation.get("requestBody")
    if body:
        kinds = " or ".join(_said(content.get("schema", {})) for content in body["content"].values())
        yield _row("body", kinds, body.get("description", ""))
    for status, response in operation["responses"].items():
        kinds = " or ".join(_said(content.get("schema", {})) for content in (response.get("content") or {}).values())
        yield _row(status, kinds, response.get("description", ""))
    yield "</table>"


def _kind(name: str, kind: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h3 id='{escape(name)}'><code>{escape(name)}</code></h3><p>{escape(kind.get('description', ''))}</p><table>"
    required = set(kind.get("required", ()))
    for field, what in kind.get("properties", {}).items():
        need = " (required)" if field in required else ""
        yield _row(field, f"{_said(what)}{need}", what.get("description", ""))
    yield "</table>"


def _row(name: object, kind: str, meaning: str) -> str:
    more = f"<br>{escape(meaning)}" if meaning else ""
    return f"<tr><td><code>{escape(str(name))}</code><td>{kind}{more}"


def _said(schema: Mapping[str, Any]) -> str:
    """Say a schema in a few words of HTML."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return " or ".join(_said(one) for one in schema[several])
    kind = schema.get("type", "anything")
    word = escape(kind if isinstance(kind, str) else " or ".join(kind))
    if "items" in schema:
        word = f"list of {_said(schema['items'])}"
    bounds = [
        f"{name} {schema[key]}"
        for key, name in (
            ("minimum", "&ge;"),
            ("maximum", "&le;"),
            ("minLength", "length &ge;"),
            ("maxLength", "length &le;"),
            ("minItems", "entries &ge;"),
            ("maxItems", "entries &le;"),
        )
        if key in schema
    ]
    return f"{word}{', ' if bounds else ''}{', '.join(bounds)}"

"""The report on features as one HTML page: no script, nothing from the network, light and dark.

In: `Report`. Out: the page. Order of reading: what stands out, all features in one table, then what was dropped,
importance, drift, correlation, and every feature by itself.
"""

from collections.abc import Iterable, Iterator
from html import escape

import msgspec

from recengine.jobs import standalone
from recengine.jobs.feature_charts import heatmap, meter, spark, spread
from recengine.jobs.feature_facts import FeatureFacts, Pair
from recengine.metrics.drift import DRIFTED, MOVED
from recengine.types import F64

__all__ = ("Report", "page")

_STYLE = """
:root { --before: #6b7686; --after: #3b76d8; --plus: #2f6bd0; --minus: #d9731a; --warn: #a15c00; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --before: #b4bdc9; --after: #5b93ec; --plus: #6ba1f5; --minus: #f0964a;
  --warn: #e3ab52; --bad: #f28b82 } }
h2 { margin: 3rem 0 .6rem; font-size: 1.2rem } h3 { margin: 0; font-size: .95rem }
.sub { color: var(--soft) } a { color: inherit }
nav { margin: .8rem 0 0; display: flex; flex-wrap: wrap } nav a { margin-right: 1.2rem; color: var(--after) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .7rem; margin: 1.5rem 0 0 }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: .7rem .9rem }
.tile b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums }
td .num { white-space: nowrap } code, .name { font: .87rem/1.4 ui-monospace, monospace } .name { white-space: nowrap }
.good { color: var(--good) } .warn { color: var(--warn) } .bad { color: var(--bad) }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); gap: .9rem }
.card p { font-size: .83rem } .card svg { margin: .6rem 0 .2rem }
svg { display: inline-block; vertical-align: middle } svg.chart { display: block; width: 100%; height: auto }
svg.heat { max-width: 100%; height: auto } svg.heat text { font-size: 8.5px }
.after { fill: var(--after) } .then { fill: var(--before) }
.before { fill: none; stroke: var(--before); stroke-width: 1.4 }
.axis { stroke: var(--rule) } .track { fill: var(--rule) } .hit { fill: transparent } .lost { fill: var(--minus) }
.plus { fill: var(--plus) } .minus { fill: var(--minus) } g:hover > .after { fill-opacity: .7 }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; vertical-align: -1px;
  margin: 0 .3rem 0 .9rem }
"""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the page."""

    title: str
    made: str
    """When, as ISO text."""
    rows: int
    taken: float
    """Share of the rows whose item was taken up."""
    periods: tuple[str, str]
    """The earlier and the later one, in words."""
    source: str
    """Whose selection this is: the live deployment's, or one made for the report."""
    features: tuple[FeatureFacts, ...]
    auc: float | None
    """Of the probe that selection ranks with."""
    names: tuple[str, ...]
    """Of the correlation matrix."""
    matrix: F64
    pairs: tuple[Pair, ...]
    """The strongest first."""


def page(report: Report) -> str:
    """Render the page."""
    return standalone.document(
        f"Features of {report.title}",
        _STYLE,
        [
            *_head(report),
            *_overview(report.features),
            *_drops(report.features),
            *_importance(report),
            *_drift(report),
            *_correlation(report),
            *_each(report.features),
        ],
    )


def _head(report: Report) -> Iterator[str]:
    kept, dropped = (sum(f.kept is chosen for f in report.features) for chosen in (True, False))
    drifted = sum((f.drift or 0) >= DRIFTED for f in report.features)
    empty = sum(f.missing >= 0.5 for f in report.features)
    yield f"<p class=sub>{report.rows:,} rows, {report.taken:.1%} of them taken up. {escape(report.source)}. "
    yield f"Made {escape(report.made)}.</p>"
    earlier, later = (escape(period) for period in report.periods)
    yield f"<p class=sub>Two periods:<span class=key style='border:2px solid var(--before)'></span>{earlier}"
    yield f"<span class=key style='background:var(--after)'></span>{later}</p>"
    links = ("overview", "dropped", "importance", "drift", "correlation", "each")
    yield f"<nav>{''.join(f'<a href=#{link}>{link}</a>' for link in links)}</nav><div class=tiles>"
    tiles = (
        (len(report.features), "features", ""),
        (kept, "kept", "good"),
        (dropped, "dropped", ""),
        (drifted, f"drifted (PSI {DRIFTED:g} and more)", "bad" if drifted else ""),
        (empty, "missing in half of the rows", "warn" if empty else ""),
    )
    yield from (f"<div class=tile><b class='{kind}'>{n}</b>{escape(text)}</div>" for n, text, kind in tiles)
    yield "</div>"


def _overview(features: tuple[FeatureFacts, ...]) -> Iterator[str]:
    yield "<h2 id=overview>All features</h2><div class=scroll><table><tr><th>feature<th>of<th>spread<th>missing"
    yield "<th>drift<th>importance<th>selection"
    most = max((f.importance or 0.0 for f in features), default=0.0) or 1.0
    for f in features:
        lost = meter(f.missing, f"{f.missing:.1%}", "lost") if f.missing else "<span class=soft>none</span>"
        yield f"<tr><td class=name><a href='#f-{escape(f.name)}'>{escape(f.name)}</a><td>{escape(f.entity)}"
        yield f"<td>{spark(f.bars)}<td>{lost}<td>{_drifted(f.drift)}<td>{_important(f, most)}"
        yield f"<td>{_chosen(f, short=True)}"
    yield "</table></div>"


def _drops(features: tuple[FeatureFacts, ...]) -> Iterator[str]:
    yield "<h2 id=dropped>Dropped</h2>"
    dropped = [f for f in features if f.kept is False]
    if not dropped:
        yield "<p class=soft>Nothing was dropped.</p>"
        return
    yield "<table><tr><th>feature<th>why"
    yield from (f"<tr><td class=name>{escape(f.name)}<td>{escape(f.dropped)}" for f in dropped)
    yield "</table>"


def _importance(report: Report) -> Iterator[str]:
    yield "<h2 id=importance>Importance</h2><p class=soft>Importance: what the probe's AUC loses when the feature is "
    yield "shuffled. Information: what the feature alone tells of the outcome, in nats."
    yield "</p>" if report.auc is None else f" The probe's AUC is {report.auc:.3f}.</p>"
    ranked = sorted((f for f in report.features if f.importance is not None or f.information is not None), key=_rank)
    if not ranked:
        yield "<p class=soft>No selection has judged these features.</p>"
        return
    most = max((f.importance or 0.0 for f in ranked), default=0.0) or 1.0
    told = max((f.information or 0.0 for f in ranked), default=0.0) or 1.0
    yield "<div class=scroll><table><tr><th>feature<th>importance<th>information<th>selection"
    for f in ranked:
        information = "" if f.information is None else meter(f.information / told, f"{f.information:.4f}", "then")
        yield f"<tr><td class=name>{escape(f.name)}<td>{_important(f, most)}<td>{information}"
        yield f"<td>{_chosen(f, short=True)}"
    yield "</table></div>"


def _drift(report: Report) -> Iterator[str]:
    yield "<h2 id=drift>Drift</h2><p class=soft>Population stability index between the two periods: "
    yield f"{MOVED:g} is worth a look, {DRIFTED:g} a reason to train anew. "
    yield "The calendar and all-time totals move by themselves.</p>"
    moved = sorted((f for f in report.features if (f.drift or 0) >= MOVED), key=lambda f: (-(f.drift or 0), f.name))
    if not moved:
        yield "<p>No feature moved.</p>"
        return
    most = max(f.drift or 0.0 for f in moved)
    yield "<div class=scroll><table><tr><th>feature<th>spread<th><th>index<th>missing, earlier and later"
    for f in moved:
        yield f"<tr><td class=name>{escape(f.name)}<td>{spark(f.bars)}"
        yield f"<td>{meter((f.drift or 0) / most, '')}<td>{_drifted(f.drift)}"
        yield f"<td class=num>{f.missing_before:.1%}, {f.missing_after:.1%}"
    yield "</table></div>"


def _correlation(report: Report) -> Iterator[str]:
    yield "<h2 id=correlation>Correlation</h2><p class=soft>Of ranks (Spearman), numbers only."
    yield "<span class=key style='background:var(--plus)'></span>rise together"
    yield "<span class=key style='background:var(--minus)'></span>one rises, the other falls</p>"
    yield f"<div class=scroll>{heatmap(report.names, report.matrix)}</div>"
    if report.pairs:
        yield "<h3>The strongest pairs</h3><table><tr><th>feature<th>feature<th>correlation"
        for pair in report.pairs:
            yield f"<tr><td class=name>{escape(pair.one)}<td class=name>{escape(pair.other)}"
            yield f"<td class=num>{pair.correlation:+.3f}"
        yield "</table>"


def _each(features: tuple[FeatureFacts, ...]) -> Iterator[str]:
    yield "<h2 id=each>Every feature</h2><div class=cards>"
    for f in features:
        numbers = ", ".join(f"{name} {_plain(value)}" for name, value in f.summary.items())
        about = " &middot; ".join(_said((f.entity, f.dtype, f"transform {f.transform}", f"version {f.version}")))
        gone = f"{f.missing:.1%} ({f.missing_before:.1%} earlier, {f.missing_after:.1%} later)" if f.missing else "none"
        yield f"<section class=card id='f-{escape(f.name)}'><h3 class=name>{escape(f.name)}</h3><p>{escape(f.note)}</p>"
        yield f"{spread(f.bars, f'spread of {f.name}')}<p class=num>{escape(numbers)}</p>"
        yield f"<p>missing {gone} &middot; drift {_drifted(f.drift)}</p>"
        yield f"<p class=soft>{about}</p><p>{_chosen(f)}</p></section>"
    yield "</div>"


def _chosen(f: FeatureFacts, *, short: bool = False) -> str:
    if f.kept is None:
        return "<span class=soft>not selected from</span>"
    why = f.dropped.partition(":")[0] if short else f.dropped  # the figures stand behind the colon
    return "<span class=good>kept</span>" if f.kept else f"<span class=soft>dropped: {escape(why)}</span>"


def _drifted(index: float | None) -> str:
    if index is None:
        return "<span class=soft>not known</span>"
    kind, word = ("bad", "drifted") if index >= DRIFTED else ("warn", "moved") if index >= MOVED else ("soft", "steady")
    return f"<span class='{kind} num'>{word} {index:.2f}</span>"


def _important(f: FeatureFacts, most: float) -> str:
    return "" if f.importance is None else meter(f.importance / most, f"{f.importance:.4f}")


def _rank(f: FeatureFacts) -> tuple[float, float, str]:
    return (-(f.importance or 0.0), -(f.information or 0.0), f.name)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1_000 else f"{value:.4g}"


def _said(words: Iterable[str]) -> list[str]:
    return [escape(word) for word in words if word]

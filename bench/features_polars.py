"""Forty features as of each row's moment, in polars: the rival of `bench/features.py`, as one would write it well.

Running sums by item, user and pair, and one `join_asof` a group and window boundary; nothing is exploded into one row a
(row, event), and no Python runs over rows. What looks hard grows by events: entropy by the change of n log n, the
commonest category as a running maximum of (count, code), visits by gaps.
"""

import polars as pl

BUCKET = 3_600_000_000
DAYS = (1, 7, 30)
VISIT = 30 * 60 * 1_000_000
SHRINK, RATINGS = 20, 5

_T = pl.col("time")
_HERE = pl.col("time") // BUCKET


def _before(probes: pl.DataFrame, table: pl.DataFrame, by: list[str], *, at: str = "time") -> pl.DataFrame:
    """Join each probe with the last row of `table` strictly before its moment."""
    keys = {"by": by} if by else {}
    table = table.rename({"time": "_then"})
    strict = {"strategy": "backward", "allow_exact_matches": False, "check_sortedness": False}
    asked = probes.select("row", at, *by).sort(at)
    joined = asked.join_asof(table, left_on=at, right_on="_then", **strict, **keys)
    return joined.sort("row").drop("row", at, *by, "_then")


def _edges(probes: pl.DataFrame) -> pl.DataFrame:
    """Give each probe the moments at which its windows begin."""
    return probes.with_columns(((_HERE - 24 * days + 1) * BUCKET).alias(f"edge_{days}") for days in DAYS)


def _items(events: pl.DataFrame, probes: pl.DataFrame) -> pl.DataFrame:
    running = events.select(
        "time",
        "item",
        ce=pl.col("engaged").cum_sum().over("item"),
        cc=pl.col("converted").cum_sum().over("item"),
        rs=(pl.col("amount") * pl.col("rated")).cum_sum().over("item"),
        rn=pl.col("rated").cum_sum().over("item"),
        first=_T.first().over("item"),
        last=pl.when(pl.col("engaged") > 0).then(_T).forward_fill().over("item"),
    )
    overall = events.select(
        "time",
        ge=pl.col("engaged").cum_sum(),
        gc=pl.col("converted").cum_sum(),
        gs=(pl.col("amount") * pl.col("rated")).cum_sum(),
        gn=pl.col("rated").cum_sum(),
    )
    now = pl.concat((_before(probes, running, ["item"]), _before(probes, overall, [])), how="horizontal")
    for days in DAYS:
        edge = _before(probes, running.select("time", "item", "ce", "cc"), ["item"], at=f"edge_{days}")
        now = pl.concat((now, edge.rename({"ce": f"ce_{days}", "cc": f"cc_{days}"})), how="horizontal")
    zero = [c for c in now.columns if c not in ("first", "last")]
    now = now.with_columns(pl.col(zero).fill_null(0)).with_columns(probes["time"])
    w1, w2, w3 = ((pl.col("ce") - pl.col(f"ce_{d}")) for d in DAYS)
    c2, c3 = ((pl.col("cc") - pl.col(f"cc_{d}")) for d in DAYS[1:])
    mean = pl.col("gs") / pl.col("gn") / 1024
    return now.select(
        item_engaged_1d=w1,
        item_engaged_7d=w2,
        item_engaged_30d=w3,
        item_engaged="ce",
        item_converted_7d=c2,
        item_converted_30d=c3,
        item_conversion_30d=(c3 + SHRINK * (pl.col("gc") / pl.col("ge"))) / (w3 + SHRINK),
        item_trend=w2 / 7 - (w3 - w2) / 23,
        item_freshness=(_HERE - pl.col("first") // BUCKET) / 24,
        item_idle=(_HERE - pl.col("last") // BUCKET) / 24,
        item_rating=(pl.col("rs") / 1024 + RATINGS * mean) / (pl.col("rn") + RATINGS),
        item_ratings="rn",
    )


def _nlogn(n: pl.Expr) -> pl.Expr:
    return pl.when(n > 1).then(n * n.log(2)).otherwise(0.0)


def _users(events: pl.DataFrame, probes: pl.DataFrame) -> pl.DataFrame:
    engaged, priced = pl.col("engaged"), (pl.col("engaged") > 0) & pl.col("price").is_not_null()
    dear = pl.when(engaged > 0)
    gap = _T.diff().over("user")
    quarter = _HERE % 24 // 6
    events = events.with_columns(visit=(gap.is_null() | (gap > VISIT)).cast(pl.Int64).cum_sum().over("user"))
    running = events.with_columns(
        place=pl.int_range(pl.len()).over("user", "visit"),
        kc=engaged.cum_sum().over("user", "category"),
        kb=engaged.cum_sum().over("user", "brand"),
    ).select(
        "time",
        "user",
        uc=engaged.cum_sum().over("user"),
        us=(pl.col("amount") * pl.col("converted")).cum_sum().over("user"),
        un=pl.col("converted").cum_sum().over("user"),
        ufirst=_T.first().over("user"),
        ulast="time",
        entropy=((_nlogn(pl.col("kc")) - _nlogn(pl.col("kc") - 1)) * engaged).cum_sum().over("user"),
        dear_c=dear.then(pl.col("kc") * 65_536 - pl.col("category")).cum_max().forward_fill().over("user"),
        dear_b=dear.then(pl.col("kb") * 65_536 - pl.col("brand")).cum_max().forward_fill().over("user"),
        ps=pl.when(priced).then("price").otherwise(0.0).cum_sum().over("user"),
        pn=priced.cast(pl.Int64).cum_sum().over("user"),
        rs=(pl.col("amount") * pl.col("rated")).cum_sum().over("user"),
        rn=pl.col("rated").cum_sum().over("user"),
        **{f"q{k}": (engaged * (quarter == k)).cum_sum().over("user") for k in range(4)},
        visits="visit",
        single=((pl.col("place") == 0).cast(pl.Int64) - (pl.col("place") == 1).cast(pl.Int64)).cum_sum().over("user"),
        began=_T.first().over("user", "visit"),
        sv=(engaged * pl.col("viewed")).cum_sum().over("user", "visit"),
        sc=(engaged * pl.col("converted")).cum_sum().over("user", "visit"),
        se=engaged.cum_sum().over("user", "visit"),
        sp=pl.col("place") + 1,
    )
    now = _before(probes, running, ["user"])
    for days in DAYS:
        edge = _before(probes, running.select("time", "user", "uc", "us"), ["user"], at=f"edge_{days}")
        now = pl.concat((now, edge.rename({"uc": f"uc_{days}", "us": f"us_{days}"})), how="horizontal")
    keep = ("ufirst", "ulast", "dear_c", "dear_b", "began")
    now = now.with_columns(pl.col([c for c in now.columns if c not in keep]).fill_null(0)).with_columns(probes["time"])
    some = pl.when(pl.col("uc") > 0)
    top_c, top_b = (-(-pl.col(c) // 65_536) for c in ("dear_c", "dear_b"))  # the ceiling: key = count 65536 - code
    mine = pl.when(quarter == 0).then("q0").when(quarter == 1).then("q1").when(quarter == 2).then("q2").otherwise("q3")
    current = pl.col("ulast").is_not_null() & (_T - pl.col("ulast") <= VISIT)
    of_visit = {name: pl.when(current).then(value).otherwise(0) for name, value in (
        ("session_hours", (_T - pl.col("began")) / BUCKET),
        ("session_views", pl.col("sv")),
        ("session_interactions", pl.col("se") - pl.col("sv") - pl.col("sc")),
        ("session_conversions", pl.col("sc")),
        ("session_position", pl.col("sp")),
    )}  # fmt: skip
    return now.select(
        **{f"user_events_{d}d": pl.col("uc") - pl.col(f"uc_{d}") for d in DAYS},
        user_events="uc",
        user_idle=(_HERE - pl.col("ulast") // BUCKET) / 24,
        user_tenure=(_HERE - pl.col("ufirst") // BUCKET) / 24,
        user_spend_30d=(pl.col("us") - pl.col("us_30")) / 1024,
        user_spend=pl.col("us") / 1024,
        user_conversion=some.then(pl.col("un") / pl.col("uc")),
        user_diversity=some.then(pl.col("uc").log(2) - pl.col("entropy") / pl.col("uc")),
        user_category=top_c * 65_536 - pl.col("dear_c"),
        user_category_share=top_c / pl.col("uc"),
        user_brand=top_b * 65_536 - pl.col("dear_b"),
        user_price=pl.when(pl.col("pn") > 0).then(pl.col("ps") / pl.col("pn")),
        user_rating=pl.when(pl.col("rn") > 0).then(pl.col("rs") / pl.col("rn") / 1024),
        user_hours=some.then(mine / pl.col("uc")),
        user_bounce=pl.when(pl.col("visits") > 0).then(pl.col("single") / pl.col("visits")),
        **of_visit,
    )


def _pairs(events: pl.DataFrame, probes: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    out = []
    engaged = events.filter(pl.col("engaged") > 0)
    for name, key in (("pair", "item"), ("category", "category"), ("brand", "brand")):
        running = engaged.select("time", "user", key, n=pl.int_range(1, pl.len() + 1).over("user", key), last="time")
        found = _before(probes, running, ["user", key]).with_columns(probes["time"])
        values = {f"{name}_events": pl.col("n").fill_null(0), f"{name}_idle": (_T - pl.col("last")) / (24 * BUCKET)}
        out.append(found.select(**values))
    share = pl.when(told["user_events"] > 0).then(out[1]["category_events"] / told["user_events"])
    return pl.concat(out, how="horizontal").with_columns(category_share=share)


def features(events: pl.DataFrame, probes: pl.DataFrame) -> pl.DataFrame:
    """Compute 41 columns of every probe.

    Parameters
    ----------
    events : in order of time: user, item, time, engaged, viewed, converted, rated (0 or 1), amount, and the item's
        category, brand and price.
    probes : row, user, item, time, and the item's category and brand.
    """
    probes = _edges(probes)
    users = _users(events, probes)
    return pl.concat((_items(events, probes), users, _pairs(events, probes, users)), how="horizontal")

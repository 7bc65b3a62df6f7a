"""`recengine index`: how well the nearest neighbours of a vector are found, how fast, and with how much memory."""

from argparse import Namespace

from recengine.cli import show
from recengine.engine import Engine
from recengine.errors import BadUsage
from recengine.jobs import index_page

__all__ = ("report",)


def report(args: Namespace) -> None:
    """Measure the kinds of index over the live deployment, and say, or draw, what was found."""
    if args.out is not None and args.out.suffix not in index_page.ENDINGS:  # before minutes of work
        endings = " or ".join(index_page.ENDINGS)
        raise BadUsage(f"{args.out.name}: expected a name that ends in {endings}, got {args.out.suffix!r}")
    options = {"queries": args.queries, "threads": args.threads} | ({"kinds": args.kinds} if args.kinds else {})
    with Engine.open(args.dir) as engine, show.progress(args.json) as progress:
        found = engine.index_report(progress=progress, **options)
    if args.out is not None:
        index_page.write(found, args.out)

    def human() -> None:
        show.line(f"{found.items} items of {found.factors} factors ({found.model}), asked by {found.users} users")
        rows = [
            [p.kind, p.effort, p.recall, p.ms, p.ms_p99, round(p.bytes_per_vector), "yes" if p.live else ""]
            for p in found.points
        ]
        show.table(["kind", "effort", f"recall@{found.at}", "ms", "ms, 99 %", "bytes a vector", "live"], rows)
        show.line(index_page.said(found))
        if args.out is not None:
            show.line(f"the curves are in {args.out}")

    show.result(args.json, found, human)

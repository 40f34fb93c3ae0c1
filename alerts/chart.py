"""The chart of an alert as a picture, for mail, where neither a browser nor a script draws one."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from datetime import date

from charts.palette import COLOURS, GROUND, INK, NEUTRAL

# Inches and dots per inch: readable in a mail, and some 30 kB.
_SIZE, _DPI = (7.2, 2.7), 110


def picture(
    days: Sequence[tuple[date, float]],
    title: str,
    failure_point: str | None,
    bound: float | None = None,
    interval: tuple[date, date, float, float] | None = None,
) -> bytes:
    """Daily rates as a PNG.

    Parameters
    ----------
    days: days and shares of turns. title: shown as it is, whatever it contains.
    bound: a share at which a dashed line is drawn. interval: first and last day, low and high of
    a band.
    """
    # The object-oriented interface: it needs no display, and keeps no state between threads.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    colour = COLOURS.get(failure_point or "", INK[0])
    figure = Figure(figsize=_SIZE, dpi=_DPI, facecolor=GROUND[0], layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    when = [float(date2num(day)) for day, _ in days]
    axes.plot(when, [rate for _, rate in days], color=colour, marker="o", markersize=3)
    if interval:
        first, last, low, high = interval
        edges = [float(date2num(first)) - 0.5, float(date2num(last)) + 0.5]
        axes.fill_between(edges, low, high, color=colour, alpha=0.18, linewidth=0)
    if bound is not None:
        axes.axhline(bound, color=INK[0], linestyle="--", linewidth=1)
        axes.annotate(
            f"bound {100 * bound:.3g} %", (0, bound), xycoords=("axes fraction", "data"),
            xytext=(4, 3), textcoords="offset points", color=INK[0], fontsize=8,
        )  # fmt: skip
    locator = AutoDateLocator(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=NEUTRAL, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    # Between dollar signs it would be read as a formula, which may be a broken one.
    axes.set_title(title, loc="left", fontsize=9, color=INK[0], parse_math=False)
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A script that its font lacks is drawn as boxes; the mail's text has the words.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        canvas.print_png(target, metadata={"Software": "faultline"})
    return target.getvalue()

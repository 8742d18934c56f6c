"""Speed against Dice as a picture: what a second more buys. Made when it is asked for, plotly is large."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from livdemo.ui.scores import COLOURS
from livdemo.ui.wall import Entry


def speed_figure(entries: Sequence[Entry]) -> go.Figure:
    """Seconds for the volume (across) against Dice of liver and tumour (up), one point per model and label."""
    figure = go.Figure()
    timed = [entry for entry in entries if entry.prediction is not None and entry.scores is not None]
    for index, (label, symbol) in enumerate((("liver", "square"), ("tumour", "circle"))):
        points = [
            (entry.prediction.seconds, entry.scores.metrics[index].dice, entry.title)
            for entry in timed
            if entry.prediction and entry.scores and index < len(entry.scores.metrics)
        ]
        points = [point for point in points if not math.isnan(point[1])]
        figure.add_scatter(
            x=[seconds for seconds, _, _ in points],
            y=[dice for _, dice, _ in points],
            text=[title for _, _, title in points],
            name=label,
            mode="markers+text",
            textposition="top center",
            marker={"size": 11, "symbol": symbol, "color": COLOURS[label]},
            hovertemplate="%{text}, " + label + "<br>Dice %{y:.3f}<br>%{x:.1f} s<extra></extra>",
        )
    slowest = max((entry.prediction.seconds for entry in timed if entry.prediction), default=1.0)
    grid = "rgba(139,152,169,.25)"
    figure.update_layout(
        height=360,
        margin={"l": 52, "r": 16, "t": 34, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#7c8998"},  # readable on light and dark
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.14},
        xaxis={"title": "seconds for the volume", "range": [0, slowest * 1.18], "gridcolor": grid, "zeroline": False},
        yaxis={"title": "Dice, whole volume", "range": [-0.04, 1.1], "gridcolor": grid, "zeroline": False},
    )
    return figure

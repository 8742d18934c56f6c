"""What is taken home: CSV and JSON, a mask per model on the CT's grid, and one HTML page that opens offline.

Every export says where it comes from: case, checkpoint and hash, preprocessing, definitions, versions, date.
"""

from .figures import (
    COLUMNS,
    DISCLAIMER,
    FIRST_COLUMNS,
    ONE_EMPTY,
    format_metric,
    metric_figures,
    metric_rows,
    results_table,
    significant,
)
from .files import write_mask, write_report
from .page import report_html
from .provenance import provenance

__all__ = [
    "COLUMNS",
    "DISCLAIMER",
    "FIRST_COLUMNS",
    "ONE_EMPTY",
    "format_metric",
    "metric_figures",
    "metric_rows",
    "provenance",
    "report_html",
    "results_table",
    "significant",
    "write_mask",
    "write_report",
]

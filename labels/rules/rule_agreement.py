"""How well the derived failure points match those of annotators.

    python -m labels.rules.rule_agreement FILE...

prints, for each file of traces (JSON lines, optionally gzipped, or Parquet), the agreement, the
confusion matrix and the disagreements by cause; with `--list` also every turn to review.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from data.errors import FaultlineError, IngestError
from data.schema.trace import TURNS
from labels.rules.failure_point import COLUMNS, Agreement, compare


def read(path: Path) -> pa.Table:
    """The columns of a trace file that failure points need, as a table.

    Raises IngestError if the file does not exist or is not a trace file.
    """
    if not path.is_file():
        raise IngestError(
            f"There is no file {path}; give a file of traces (.jsonl, .gz, .parquet)."
        )
    with duckdb.connect() as con:
        con.register("empty", TURNS.empty_table().select(COLUMNS))
        empty = con.table("empty")
        types = {name: str(kind) for name, kind in zip(empty.columns, empty.types, strict=True)}
        try:
            if path.suffix == ".parquet":
                traces = con.read_parquet(str(path)).select(*COLUMNS)
            else:
                traces = con.read_json(str(path), columns=types, format="newline_delimited")
            table: pa.Table = traces.to_arrow_table()
            return table.cast(pa.schema([TURNS.field(name) for name in COLUMNS]))
        except (duckdb.Error, pa.ArrowInvalid) as error:
            reason = str(error).splitlines()[0]
            raise IngestError(f"{path} cannot be read as traces: {reason}") from error


def report(agreement: Agreement) -> Iterator[str]:
    """The agreement in words, line by line."""
    if agreement.rate is None:
        yield "no turn has an annotator's failure point"
        return
    share = f"{agreement.rate:.2%}"
    yield f"{agreement.agreed} of {agreement.annotated} annotated turns agree ({share})"
    yield f"{'annotated':>12} {'derived':>12} {'turns':>8}"
    for row in agreement.confusion.to_pylist():
        yield f"{row['annotated'] or '-':>12} {row['derived'] or '-':>12} {row['turns']:>8}"
    causes = agreement.disagreements.group_by(["annotated", "derived", "reason"])
    for row in causes.aggregate([("turn_id", "count")]).to_pylist():
        yield (
            f"{row['turn_id_count']:>8} x {row['annotated']} by the annotator, "
            f"{row['derived']} by rule: {row['reason']}"
        )


def main(arguments: list[str] | None = None) -> int:
    """Print the report of each file. Returns the exit code: 0, or that of the first error."""
    parser = argparse.ArgumentParser(
        prog="python -m labels.rules.rule_agreement", description=__doc__
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--list", action="store_true", help="list every disagreement")
    options = parser.parse_args(arguments)
    for path in options.files:
        try:
            agreement = compare(read(path))
        except FaultlineError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        print(path.name)
        for line in report(agreement):
            print(f"  {line}")
        if options.list:
            for row in agreement.disagreements.to_pylist():
                print("  " + "  ".join(row.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Times the report of 10 000 series: repeats the tables of a finished run under new UIDs and runs
`ctpipe run` on them.

    python3 benches/report.py --ctpipe target/release/ctpipe --artifacts artifacts

Needs a finished run, such as the demonstration. The volumes are not repeated, so no examples are
drawn.
"""
import argparse
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

import pyarrow
import pyarrow.parquet

STAGES = ("ingest", "preprocess", "split", "train", "evaluate")
TABLES = ("ingest/series.parquet", "preprocess/volumes.parquet", "split/split.parquet", "evaluate/predictions.parquet")
PIPELINE = """\
seed: 1
stages:
  report:
    inputs: { series: ./ingest, volumes: ./preprocess, split: ./split, model: ./train, metrics: ./evaluate }
    params: { examples: 0, flagged: 0 }
"""


def repeated(path, rows):
    """Repeats the rows under other UIDs and patients until there are `rows` of them."""
    table = pyarrow.parquet.read_table(path)
    copies = []
    for copy in range(-(-rows // table.num_rows)):
        again = table
        for name in {"series_uid", "patient_key"} & set(table.column_names):
            renamed = [f"{value[:-6]}{copy:06d}" if copy else value for value in table.column(name).to_pylist()]
            index = table.schema.get_field_index(name)
            again = again.set_column(index, table.schema.field(name), pyarrow.array(renamed))
        copies.append(again)
    # By default, pyarrow names the elements of lists differently and compresses with snappy.
    strings = pyarrow.list_(pyarrow.field("item", pyarrow.string()))
    fields = [pyarrow.field(f.name, strings if pyarrow.types.is_list(f.type) else f.type, f.nullable) for f in table.schema]
    grown = pyarrow.concat_tables(copies).slice(0, rows).cast(pyarrow.schema(fields))
    pyarrow.parquet.write_table(grown, path, use_compliant_nested_type=False, compression="zstd")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ctpipe", type=pathlib.Path, required=True)
    parser.add_argument("--artifacts", type=pathlib.Path, required=True)
    parser.add_argument("--series", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ctpipe-bench-") as folder:
        folder = pathlib.Path(folder)
        for stage in STAGES:
            shutil.copytree(arguments.artifacts / stage, folder / stage)
            (folder / stage / "manifest.json").unlink()
        for path in folder.rglob("*.parquet"):
            path.chmod(0o644)
        for table in TABLES:
            repeated(folder / table, arguments.series)
        (folder / "pipeline.yaml").write_text(PIPELINE)
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run([arguments.ctpipe.resolve(), "run", "--force"], cwd=folder, check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        size = (folder / "artifacts/report/report.html").stat().st_size
        print(f"{arguments.series} series: {statistics.median(seconds):.1f} s, report.html {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

"""Reads a series as its users would, without terrarium, and prints what each reader saw.

usage: tables.py FILE; each line: reader, rows, CPU time in ms, rows with a number of processes.
"""

import sys

import duckdb
import pandas
import polars
import pyarrow.dataset
import pyarrow.ipc

path = sys.argv[1]

table = pandas.read_feather(path)
assert str(table["time"].dtype) == "datetime64[ms, UTC]", table["time"].dtype
print("pandas", len(table), int(table["cpu_ms"].sum()), int(table["processes"].count()))

table = polars.read_ipc(path)
print("polars", len(table), table["cpu_ms"].sum(), table["processes"].count())

table = pyarrow.ipc.open_file(path).read_all()
series = pyarrow.dataset.dataset(path, format="ipc")
seen = duckdb.sql("SELECT count(*), sum(cpu_ms)::BIGINT, count(processes) FROM series").fetchall()[0]
assert seen[0] == len(table)
print("duckdb", *seen)

# A stream reader, which looks at no footer.
with open(path, "rb") as file:
    file.seek(8)
    table = pyarrow.ipc.open_stream(file).read_all().to_pandas()
print("stream", len(table), int(table["cpu_ms"].sum()), int(table["processes"].count()))

"""Reads a store as its users would, without terrarium, and prints what each reader saw.

usage: store.py STORE; each line: reader, processes, rows of imports, distinct modules, seconds of imports of the highest.
"""

import pathlib
import sys

import deltalake
import duckdb
import duckdb_extension_delta

store = pathlib.Path(sys.argv[1])

processes = deltalake.DeltaTable(store / "processes").to_pandas()
imports = deltalake.DeltaTable(store / "imports").to_pandas()
assert str(processes["started"].dtype).endswith("UTC]"), processes["started"].dtype
assert set(imports["process_id"]) <= set(processes["process_id"])
print("pandas", len(processes), len(imports), imports["module"].nunique(), int(imports["took_us"].max()))

# The extension comes as a package, so that nothing is fetched from elsewhere.
extensions = pathlib.Path(duckdb_extension_delta.__file__).parent / "extensions"
extension = next(extensions.glob("*/delta.duckdb_extension*"))
base = duckdb.connect(config={"allow_unsigned_extensions": "true"})
base.execute(f"LOAD '{extension}'")
of = lambda table: f"delta_scan('{store / table}')"
seen = base.execute(
    f"SELECT (SELECT count(*) FROM {of('processes')}), count(*), count(DISTINCT module), max(took_us) FROM {of('imports')}"
).fetchall()[0]
print("duckdb", *seen)
joined = base.execute(
    f"SELECT count(*) FROM {of('imports')} i JOIN {of('processes')} p USING (cluster, date, process_id)"
).fetchall()[0][0]
assert joined == seen[1], (joined, seen)

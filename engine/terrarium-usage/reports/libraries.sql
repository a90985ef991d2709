-- title: Libraries loaded, and who asked for them
-- question: What did these processes load, in which version, and who imported it?
-- column: package: name that import begins with
-- column: distribution: what it was installed as
-- column: version: its version
-- column: direct: the program or the user's own code asks for it, in some process
-- column: imported_by: who imported it first, in most processes; __main__ is the program
-- column: processes: processes that loaded it
-- column: modules: modules of it in one process, at most
-- column: import_ms: milliseconds that its import took in one process, at most
-- chart: bars; label=package; values=processes; axis=processes
-- raw: yes
-- note: Reads every row of the time asked for; `top` is quicker.
WITH loaded AS (
  SELECT * FROM chosen_loads
  WHERE origin <> 'python' AND package <> '(own code)'
  -- What code makes at run time belongs to nothing that was installed; imported records may not tell where a library lay.
    AND NOT (origin = 'unknown' AND distribution IS NULL AND direct IS NOT NULL)
),
each AS (
  SELECT package, distribution, version, process_id, bool_or(direct) AS direct, count(*) AS modules, max(took_us) AS took_us
  FROM loaded GROUP BY package, distribution, version, process_id
),
-- Who imported any of it from outside of it.
importers AS (
  SELECT package, distribution, version, split_part(imported_by, '.', 1) AS imported_by, count(*) AS n
  FROM loaded WHERE imported_by IS NOT NULL AND split_part(imported_by, '.', 1) <> package
  GROUP BY package, distribution, version, split_part(imported_by, '.', 1)
),
first AS (
  SELECT package, distribution, version, imported_by,
    row_number() OVER (PARTITION BY package, distribution, version ORDER BY n DESC, imported_by) AS place
  FROM importers
)
SELECT
  e.package,
  e.distribution,
  e.version,
  bool_or(e.direct) AS direct,
  max(f.imported_by) AS imported_by,
  count(*) AS processes,
  max(e.modules) AS modules,
  round(max(e.took_us) / 1e3, 1) AS import_ms
FROM each e
LEFT JOIN first f ON f.place = 1 AND e.package = f.package
  AND (e.distribution IS NOT DISTINCT FROM f.distribution) AND (e.version IS NOT DISTINCT FROM f.version)
GROUP BY e.package, e.distribution, e.version
ORDER BY direct DESC, processes DESC, modules DESC, e.package
LIMIT {limit}

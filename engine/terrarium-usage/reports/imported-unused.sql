-- title: Loaded, and asked for by nobody
-- question: Which libraries are only ever loaded because others import them, and what does that cost?
-- column: package: name that import begins with
-- column: users: people in whose processes it was loaded
-- column: processes: processes that loaded it
-- column: brought_by: the library that imported it in most of them
-- column: import_s: seconds that its import took in all processes together, at least
-- column: per_process_ms: milliseconds of one process, on average
-- chart: bars; label=package; values=import_s; axis=seconds spent importing
-- raw: yes
-- note: No program nor anybody's own code names it, in all of this time. terrarium sees imports, not calls: the library that brings it may well need it.
WITH each AS (
  SELECT package, process_id, bool_or(direct) AS direct, max(took_us) AS took_us
  FROM chosen_loads
  WHERE origin <> 'python' AND package <> '(own code)' AND direct IS NOT NULL AND NOT (origin = 'unknown' AND distribution IS NULL)
  GROUP BY package, process_id
),
never AS (
  SELECT e.package, count(DISTINCT p.user_no) AS users, count(*) AS processes, sum(e.took_us) AS took_us
  FROM each e JOIN (SELECT process_id, user_no FROM processes WHERE date BETWEEN DATE '{since}' AND DATE '{until}') p
    ON e.process_id = p.process_id
  GROUP BY e.package HAVING NOT bool_or(e.direct)
),
importers AS (
  SELECT package, split_part(imported_by, '.', 1) AS importer, count(*) AS n,
    row_number() OVER (PARTITION BY package ORDER BY count(*) DESC, split_part(imported_by, '.', 1)) AS place
  FROM chosen_loads WHERE imported_by IS NOT NULL AND split_part(imported_by, '.', 1) <> package
  GROUP BY package, split_part(imported_by, '.', 1)
)
SELECT n.package, n.users, n.processes, i.importer AS brought_by, round(n.took_us / 1e6, 1) AS import_s,
  round(n.took_us / 1e3 / n.processes, 2) AS per_process_ms
FROM never n LEFT JOIN importers i ON i.package = n.package AND i.place = 1
ORDER BY import_s DESC NULLS LAST, users DESC, n.package
LIMIT {limit}

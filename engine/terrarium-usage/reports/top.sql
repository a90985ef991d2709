-- title: Most used libraries
-- question: Which packages are used by most people?
-- column: package: name that import begins with
-- column: users: people in whose processes it was loaded, each once
-- column: direct: those of them whose program or own code asks for it
-- column: indirect: those for whom it came along with others
-- column: not_told: those of whom only imported records are there, which do not tell
-- column: processes: processes that loaded it
-- column: import_s: seconds that its imports took in all processes together, at least
-- chart: bars; label=package; values=direct,indirect,not_told; names=asked for it,came along,not told; axis=users
-- note: Python's own modules and own code are left out.
SELECT
  package,
  user_count(users) AS users,
  coalesce(user_count(CASE WHEN direct THEN users END), 0) AS direct,
  coalesce(user_count(CASE WHEN direct IS NOT NULL THEN users END), 0)
    - coalesce(user_count(CASE WHEN direct THEN users END), 0) AS indirect,
  user_count(users) - coalesce(user_count(CASE WHEN direct IS NOT NULL THEN users END), 0) AS not_told,
  sum(processes) AS processes,
  round(sum(CASE WHEN direct IS NOT NULL THEN import_us END) / 1e6, 1) AS import_s
FROM daily
WHERE date BETWEEN DATE '{since}' AND DATE '{until}'
  AND package IS NOT NULL AND package <> '(own code)' AND origin <> 'python'
  -- What code makes at run time belongs to nothing that was installed; imported records may not tell where a library lay.
  AND NOT (origin = 'unknown' AND distribution IS NULL AND direct IS NOT NULL)
GROUP BY package
ORDER BY users DESC, direct DESC, processes DESC, package
LIMIT {limit}

-- title: Most used libraries
-- question: Which packages are used by most people?
-- column: package: name that import begins with
-- column: users: people in whose processes it was loaded, each once
-- column: direct: those of them whose program or own code asks for it
-- column: processes: processes that loaded it
-- column: import_s: seconds that its imports took in all processes together, at least
-- chart: bars; label=package; values=direct,indirect; names=asked for it,came along; axis=users
-- note: Python's own modules and own code are left out.
SELECT
  package,
  user_count(users) AS users,
  coalesce(user_count(CASE WHEN direct THEN users END), 0) AS direct,
  user_count(users) - coalesce(user_count(CASE WHEN direct THEN users END), 0) AS indirect,
  sum(processes) AS processes,
  round(sum(import_us) / 1e6, 1) AS import_s
FROM daily
WHERE date BETWEEN DATE '{since}' AND DATE '{until}'
  AND package IS NOT NULL AND package <> '(own code)' AND origin <> 'python'
  -- What code makes at run time belongs to nothing that was installed.
  AND NOT (origin = 'unknown' AND distribution IS NULL)
GROUP BY package
ORDER BY users DESC, direct DESC, processes DESC, package
LIMIT {limit}

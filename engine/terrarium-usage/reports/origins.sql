-- title: Where libraries lie
-- question: From what kind of place do processes load what they import?
-- column: origin: kind of place, by the site's rules
-- column: users: people whose processes loaded something from there
-- column: modules: modules loaded from there, each counted in each process
-- column: share: percent of all such modules
-- column: process_hours: hours of processes that importing them took, at least, without what they import from elsewhere
-- chart: bars; label=origin; values=modules; axis=modules loaded
-- public: origin
-- note: Python's own modules are left out.
SELECT
  origin,
  users,
  CAST(round(modules) AS BIGINT) AS modules,
  round(100.0 * modules / sum(modules) OVER (), 1) AS share,
  round(process_hours, 3) AS process_hours
FROM origin_loads('')
WHERE origin <> 'python'
ORDER BY modules DESC, origin
LIMIT {limit}

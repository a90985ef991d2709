-- title: Most used libraries
-- question: Which libraries are used by most people, in most jobs, for most node-hours?
-- column: package: name that import begins with
-- column: users: people in whose processes it was loaded, each once
-- column: direct: those of them whose program or own code asks for it
-- column: indirect: those for whom it came along with others
-- column: not_told: those of whom only imported records are there, which do not tell
-- column: jobs: batch jobs in which it was loaded, each once
-- column: jobs_least: jobs that were seen, where records are samples
-- column: jobs_most: upper end of the 95 % interval of jobs then
-- column: node_hours: nodes × hours of those jobs, as accounting has them
-- column: node_hours_least: node-hours of jobs that were seen, where records are samples
-- column: node_hours_most: upper end of the 95 % interval of node_hours then
-- optional: not_told, jobs_least, jobs_most, node_hours_least, node_hours_most
-- by: users, jobs, node_hours
-- chart: bars; label=package; values=direct,indirect,not_told; names=asked for it,came along,not told; axis=users
-- public: package
-- note: Python's own modules and own code are left out. A library's node-hours are those of whole jobs that loaded it: they do not add up.
WITH each AS (SELECT * FROM usage('package')),
split AS (
  SELECT package,
    coalesce(user_count(CASE WHEN direct THEN user_set END), 0) AS direct,
    coalesce(user_count(CASE WHEN direct IS NOT NULL THEN user_set END), 0) AS told
  FROM usage('package, direct') GROUP BY package
)
SELECT
  e.package,
  e.users,
  s.direct,
  s.told - s.direct AS indirect,
  CASE WHEN e.users > s.told THEN e.users - s.told END AS not_told,
  CAST(round(e.jobs) AS BIGINT) AS jobs,
  round(e.jobs_least) AS jobs_least,
  round(e.jobs_most) AS jobs_most,
  round(e.node_hours, 1) AS node_hours,
  round(e.node_hours_least, 1) AS node_hours_least,
  round(e.node_hours_most, 1) AS node_hours_most
FROM each e JOIN split s ON e.package = s.package
ORDER BY {by} DESC, users DESC, direct DESC, jobs DESC, package
LIMIT {limit}

-- title: Versions in use
-- question: Which versions of which packages are in use, by how many?
-- column: distribution: what it was installed as
-- column: version: its version
-- column: users: people in whose processes it was loaded, each once
-- column: processes: processes that loaded it
-- column: last_day: last day on which it was loaded
-- chart: bars; label=distribution+version; values=users; axis=users
-- note: Versions are those of the files that were loaded, by their metadata.
SELECT
  distribution,
  version,
  user_count(users) AS users,
  sum(processes) AS processes,
  max(date) AS last_day
FROM daily
WHERE date BETWEEN DATE '{since}' AND DATE '{until}' AND distribution IS NOT NULL
GROUP BY distribution, version
ORDER BY users DESC, processes DESC, distribution, version
LIMIT {limit}

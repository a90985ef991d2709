-- title: In base, and not used
-- question: Which packages of the base environment does nobody load?
-- column: distribution: what it is installed as
-- column: version: the version that base has
-- column: users: people who loaded it from base in this time
-- column: elsewhere: people who loaded it from elsewhere
-- column: import_names: names that it gives to import; none: a tool or data, which no import shows
-- column: environments: base environments that hold it
-- chart: bars; label=distribution; values=elsewhere; axis=users of it from elsewhere
-- limit: 50
-- note: Fewest users first. Packages that others need are loaded along with them, and count as used.
WITH bases AS (
  SELECT cluster, environment_id, prefix, package, version, import_names,
    dense_rank() OVER (PARTITION BY cluster, prefix ORDER BY seen DESC, environment_id) AS age
  FROM environments WHERE class = 'base'
),
held AS (
  SELECT regexp_replace(lower(package), '[-_.]+', '-', 'g') AS name, max(package) AS distribution, max(version) AS version,
    max(array_to_string(import_names, ' ')) AS import_names, count(DISTINCT environment_id) AS environments
  FROM bases WHERE age = 1 AND package IS NOT NULL GROUP BY 1
),
used AS (
  SELECT regexp_replace(lower(distribution), '[-_.]+', '-', 'g') AS name,
    coalesce(user_count(CASE WHEN origin = 'base' THEN user_set END), 0) AS users,
    coalesce(user_count(CASE WHEN origin <> 'base' THEN user_set END), 0) AS elsewhere
  FROM usage('distribution, origin') WHERE distribution IS NOT NULL GROUP BY 1
)
SELECT h.distribution, h.version, coalesce(u.users, 0) AS users, coalesce(u.elsewhere, 0) AS elsewhere, h.import_names, h.environments
FROM held h LEFT JOIN used u ON h.name = u.name
ORDER BY users, elsewhere, h.import_names = '', h.distribution
LIMIT {limit}

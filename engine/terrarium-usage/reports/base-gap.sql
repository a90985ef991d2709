-- title: Often used, and not in base
-- question: Which packages do people bring along because the base environment lacks them?
-- column: distribution: what it is installed as
-- column: users: people who loaded it from an environment of their own
-- column: direct: those whose program or own code asks for it
-- column: jobs: jobs in which that was
-- column: was_in_base: last time that a base environment which had it was seen; empty: never
-- optional: was_in_base
-- chart: bars; label=distribution; values=direct,indirect; names=asked for it,came along; axis=users
-- note: In base is what the newest base environment of each place holds. Names are compared as installers do (PEP 503).
WITH each AS (
  SELECT distribution, user_set, direct, regexp_replace(lower(distribution), '[-_.]+', '-', 'g') AS name
  FROM usage('distribution, environment_class, direct')
  WHERE distribution IS NOT NULL AND environment_class NOT IN ('base', 'system')
),
jobs AS (SELECT distribution, jobs FROM usage('distribution, is_own') WHERE distribution IS NOT NULL AND is_own),
bases AS (
  SELECT environment_id, prefix, seen, dense_rank() OVER (PARTITION BY cluster, prefix ORDER BY seen DESC, environment_id) AS age,
    regexp_replace(lower(package), '[-_.]+', '-', 'g') AS name
  FROM environments WHERE class = 'base'
),
held AS (SELECT name, max(seen) AS seen, min(age) AS age FROM bases WHERE name IS NOT NULL GROUP BY name)
SELECT
  min(e.distribution) AS distribution,
  user_count(e.user_set) AS users,
  coalesce(user_count(CASE WHEN e.direct THEN e.user_set END), 0) AS direct,
  user_count(e.user_set) - coalesce(user_count(CASE WHEN e.direct THEN e.user_set END), 0) AS indirect,
  CAST(round(max(j.jobs)) AS BIGINT) AS jobs,
  CAST(max(h.seen) AS DATE) AS was_in_base
FROM each e JOIN jobs j ON e.distribution = j.distribution LEFT JOIN held h ON e.name = h.name
WHERE h.age IS NULL OR h.age > 1
GROUP BY e.name
ORDER BY users DESC, direct DESC, distribution
LIMIT {limit}

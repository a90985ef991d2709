-- title: Frameworks, from base and from own environments
-- question: Who uses these libraries from the base environment, who from an own one, who from both?
-- column: package: name that import begins with
-- column: users: people in whose processes it was loaded, each once
-- column: base_only: those who used it from the base environment only
-- column: both: those who used it from both
-- column: own_only: those who used it from environments of their own only
-- column: direct: those whose program or own code asks for it
-- column: jobs: jobs in which it was loaded
-- column: node_hours: nodes × hours of those jobs
-- libraries: torch, tensorflow, jax
-- chart: bars; label=package; values=base_only,both,own_only; names=base only,both,own only; axis=users
-- public: package, environment_class
-- note: From base is: in a base environment, or in an overlay on top of base whose copy of the library is that of base.
WITH each AS (
  SELECT package, user_set,
    environment_class = 'base' OR (environment_class = 'overlay' AND origin = 'base') AS is_base
  FROM usage('package, environment_class, origin', '{libraries}')
),
sets AS (
  SELECT package,
    user_set(user_set) AS everyone,
    user_set(CASE WHEN is_base THEN user_set END) AS base,
    user_set(CASE WHEN is_base IS NOT TRUE THEN user_set END) AS own
  FROM each GROUP BY package
),
asked AS (SELECT package, user_count(CASE WHEN direct THEN user_set END) AS direct FROM usage('package, direct', '{libraries}') GROUP BY package)
SELECT
  s.package,
  users_in(s.everyone) AS users,
  users_in(users_without(s.base, s.own)) AS base_only,
  users_in(users_both(s.base, s.own)) AS both,
  users_in(users_without(s.own, s.base)) AS own_only,
  coalesce(a.direct, 0) AS direct,
  CAST(round(u.jobs) AS BIGINT) AS jobs,
  round(u.node_hours, 1) AS node_hours
FROM sets s JOIN usage('package', '{libraries}') u ON s.package = u.package LEFT JOIN asked a ON s.package = a.package
ORDER BY users DESC, s.package
LIMIT {limit}

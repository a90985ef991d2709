-- title: Environments, by field of science
-- question: Who takes the base environment as it is, who changes it, who brings an own one?
-- column: domain: field of science; all: everyone, outside of jobs, too
-- column: users: people who ran Python
-- column: base: those who ran it in the base environment as it is
-- column: modified: those who ran it in a copy of base, or on top of it
-- column: own: those who ran it in an environment of their own
-- column: system: those who ran it in the system's
-- column: base_only: those who ran it in base as it is and nowhere else
-- column: own_share: percent of them who ran it in an own one or a changed one
-- chart: bars; label=domain; values=base,modified,own; names=base as it is,changed,own; layout=grouped; axis=users
-- not: origin, direct
-- note: Who ran several kinds counts in each.
WITH each AS (
  SELECT coalesce(domain, 'no field') AS domain, environment_class AS class, user_set FROM usage('domain, environment_class')
  UNION ALL SELECT 'all' AS domain, environment_class AS class, user_set FROM usage('environment_class')
),
sets AS (
  SELECT domain,
    user_set(user_set) AS everyone,
    user_set(CASE WHEN class = 'base' THEN user_set END) AS base,
    user_set(CASE WHEN class IN ('clone', 'overlay') THEN user_set END) AS modified,
    user_set(CASE WHEN starts_with(class, 'own-') THEN user_set END) AS own,
    user_set(CASE WHEN class = 'system' THEN user_set END) AS system,
    user_set(CASE WHEN class <> 'base' THEN user_set END) AS others,
    user_set(CASE WHEN class NOT IN ('base', 'system') THEN user_set END) AS changed
  FROM each GROUP BY domain
)
SELECT domain, users_in(everyone) AS users, users_in(base) AS base, users_in(modified) AS modified, users_in(own) AS own,
  users_in(system) AS system, users_in(users_without(base, others)) AS base_only,
  round(100.0 * users_in(changed) / users_in(everyone), 1) AS own_share
FROM sets
ORDER BY domain = 'all' DESC, users DESC, domain
LIMIT {limit}

-- title: Libraries against everyone, over time
-- question: Do people choose a library, or does it come along with all that they run?
-- column: {step}: the {step}
-- column: package: name that import begins with
-- column: users: people in whose processes it was loaded
-- column: direct: those whose program or own code asks for it
-- column: indirect: those for whom it only came along
-- column: everyone: all who ran Python then
-- column: share: percent of everyone
-- column: direct_share: percent of everyone, of those who asked for it
-- libraries: numpy, zstandard, cryptography, PIL, yaml
-- chart: dates; x={step}; series=package; value=users; reference=everyone; axis=users
-- public: package, {step}
-- limit: 100000
-- note: A library whose users follow everyone's and of whom few ask for it comes along; one that is adopted is asked for.
WITH each AS (
  SELECT {step}, package,
    user_count(user_set) AS users,
    coalesce(user_count(CASE WHEN direct THEN user_set END), 0) AS direct
  FROM usage('{step}, package, direct', '{libraries}') GROUP BY {step}, package
)
SELECT a.{step}, e.package, e.users, e.direct, e.users - e.direct AS indirect, a.users AS everyone,
  round(100.0 * e.users / a.users, 1) AS share, round(100.0 * e.direct / a.users, 1) AS direct_share
FROM usage('{step}') a JOIN each e ON a.{step} = e.{step}
ORDER BY e.package, a.{step}
LIMIT {limit}

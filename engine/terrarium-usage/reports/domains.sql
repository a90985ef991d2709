-- title: Most used libraries of each field of science
-- question: Which 15 libraries does each field use most?
-- column: domain: field of science
-- column: place: place of the library in it
-- column: package: name that import begins with
-- column: users: people of the field in whose jobs it was loaded
-- column: share: percent of the field's people who ran Python
-- column: jobs: jobs in which it was loaded
-- column: node_hours: nodes × hours of those jobs
-- chart: bars; label=domain+package; values=users; axis=users
-- limit: 300
-- note: The field is that of the project which the job was charged to, so what runs outside of jobs is not here.
WITH each AS (
  SELECT domain, package, users, jobs, node_hours,
    row_number() OVER (PARTITION BY domain ORDER BY users DESC, jobs DESC, package) AS place
  FROM usage('domain, package') WHERE domain IS NOT NULL
),
everyone AS (SELECT domain, users FROM usage('domain'))
SELECT e.domain, e.place, e.package, e.users, round(100.0 * e.users / a.users, 1) AS share,
  CAST(round(e.jobs) AS BIGINT) AS jobs, round(e.node_hours, 1) AS node_hours
FROM each e JOIN everyone a ON e.domain = a.domain
WHERE e.place <= 15
ORDER BY a.users DESC, e.domain, e.place
LIMIT {limit}

-- title: Where Python jobs run
-- question: How do Python jobs split over partitions?
-- column: queue: partition or queue
-- column: users: people whose jobs ran there
-- column: jobs: jobs with Python
-- column: share: percent of such jobs
-- column: node_hours: nodes × hours of those jobs
-- column: node_hours_share: percent of such node-hours
-- chart: bars; label=queue; values=jobs; axis=jobs with Python
-- not: origin, direct
-- note: Only jobs that accounting knows.
SELECT queue, users, CAST(round(jobs) AS BIGINT) AS jobs,
  round(100.0 * jobs / sum(jobs) OVER (), 1) AS share,
  round(node_hours, 1) AS node_hours,
  round(100.0 * node_hours / sum(node_hours) OVER (), 1) AS node_hours_share
FROM usage('queue') WHERE queue IS NOT NULL
ORDER BY jobs DESC, queue
LIMIT {limit}

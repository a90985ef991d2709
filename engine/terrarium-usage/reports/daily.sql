-- title: Python, day by day
-- question: How much is run each {step}?
-- column: {step}: the {step}
-- column: users: people who ran Python
-- column: in_jobs: those of them in batch jobs
-- column: outside: those of them outside of jobs: login nodes, notebooks
-- column: jobs: batch jobs with Python
-- column: node_hours: nodes × hours of those jobs
-- step: day
-- chart: dates; x={step}; values=users,in_jobs,outside; names=everyone,in jobs,outside of jobs; axis=users
-- limit: 100000
-- not: origin, direct
-- note: A job counts on each day on which a process of it began.
WITH each AS (SELECT {step}, in_job, users, jobs, node_hours FROM usage('{step}, in_job'))
SELECT a.{step}, a.users,
  coalesce(max(CASE WHEN e.in_job THEN e.users END), 0) AS in_jobs,
  coalesce(max(CASE WHEN NOT e.in_job THEN e.users END), 0) AS outside,
  CAST(round(a.jobs) AS BIGINT) AS jobs,
  round(a.node_hours, 1) AS node_hours
FROM usage('{step}') a LEFT JOIN each e ON a.{step} = e.{step}
GROUP BY a.{step}, a.users, a.jobs, a.node_hours
ORDER BY a.{step}
LIMIT {limit}

-- title: Jobs by data source
-- question: How many jobs does each source see, and how many are seen by several?
-- column: sources: who recorded processes of the job
-- column: jobs: jobs that were recorded by these and no others
-- column: share: percent of all jobs recorded
-- column: users: whose jobs they were
-- chart: bars; label=sources; values=jobs; axis=jobs
-- raw: yes
-- not: origin, direct
-- note: A job is one by its scheduler and number. What no source saw is not here: the report completeness has what accounting knows.
WITH each AS (
  SELECT DISTINCT cluster, scheduler, job_id, user_no, source FROM chosen_jobs WHERE job_id IS NOT NULL
),
jobs AS (
  SELECT cluster, scheduler, job_id, max(user_no) AS user_no, string_agg(DISTINCT source, ' + ' ORDER BY source) AS sources
  FROM each GROUP BY cluster, scheduler, job_id
)
SELECT sources, count(*) AS jobs, round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS share, count(DISTINCT user_no) AS users
FROM jobs GROUP BY sources
ORDER BY jobs DESC, sources
LIMIT {limit}

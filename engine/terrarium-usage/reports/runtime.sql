-- title: How long jobs run, by library
-- question: For how long do jobs run in which a library is loaded?
-- column: package: name that import begins with
-- column: jobs: jobs in which it was loaded and whose time is known
-- column: below_10m: percent of them that ran below 10 minutes
-- column: below_1h: from 10 minutes to below an hour
-- column: below_4h: from 1 to below 4 hours
-- column: below_12h: from 4 to below 12 hours
-- column: below_24h: from 12 to below 24 hours
-- column: longer: 24 hours and longer
-- column: mean_node_hours: node-hours of a job, on average
-- libraries:
-- chart: bars; label=package; values=n_10m,n_1h,n_4h,n_12h,n_24h,n_longer; names=below 10 min,to 1 h,to 4 h,to 12 h,to 24 h,longer; layout=share; axis=jobs
-- note: Without libraries named, the 15 that most people use.
WITH wanted AS (SELECT package FROM usage('package') WHERE {only} ORDER BY users DESC, jobs DESC, package LIMIT {most}),
each AS (SELECT package, minutes, jobs, node_hours FROM usage('package, minutes') WHERE minutes IS NOT NULL)
SELECT e.package,
  CAST(round(sum(jobs)) AS BIGINT) AS jobs,
  round(100.0 * sum(CASE WHEN minutes < 10 THEN jobs ELSE 0 END) / sum(jobs), 1) AS below_10m,
  round(100.0 * sum(CASE WHEN minutes = 10 THEN jobs ELSE 0 END) / sum(jobs), 1) AS below_1h,
  round(100.0 * sum(CASE WHEN minutes = 60 THEN jobs ELSE 0 END) / sum(jobs), 1) AS below_4h,
  round(100.0 * sum(CASE WHEN minutes = 240 THEN jobs ELSE 0 END) / sum(jobs), 1) AS below_12h,
  round(100.0 * sum(CASE WHEN minutes = 720 THEN jobs ELSE 0 END) / sum(jobs), 1) AS below_24h,
  round(100.0 * sum(CASE WHEN minutes = 1440 THEN jobs ELSE 0 END) / sum(jobs), 1) AS longer,
  round(sum(node_hours) / sum(jobs), 2) AS mean_node_hours,
  sum(CASE WHEN minutes < 10 THEN jobs ELSE 0 END) AS n_10m,
  sum(CASE WHEN minutes = 10 THEN jobs ELSE 0 END) AS n_1h,
  sum(CASE WHEN minutes = 60 THEN jobs ELSE 0 END) AS n_4h,
  sum(CASE WHEN minutes = 240 THEN jobs ELSE 0 END) AS n_12h,
  sum(CASE WHEN minutes = 720 THEN jobs ELSE 0 END) AS n_24h,
  sum(CASE WHEN minutes = 1440 THEN jobs ELSE 0 END) AS n_longer
FROM each e JOIN wanted w ON e.package = w.package
GROUP BY e.package HAVING sum(jobs) > 0
ORDER BY jobs DESC, e.package
LIMIT {limit}

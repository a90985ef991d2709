-- title: Versions in use
-- question: Which versions are in use, how old are they, and which are not supported any more?
-- column: distribution: what it was installed as; python is the interpreter
-- column: version: its version
-- column: users: people in whose processes it was loaded, each once
-- column: jobs: jobs in which it was loaded
-- column: released: day of its release
-- column: age_days: days since then
-- column: end_of_life: day from which on it gets no more fixes
-- column: ended: that day has passed
-- column: rule: who says so: table (a site's, or that of Python's releases), or SPEC 0 (two years after the release)
-- optional: released, age_days, end_of_life, ended, rule
-- computed: versions
-- chart: bars; label=distribution+version; values=users; axis=users
-- note: Versions are those of the files that were loaded, by their metadata. Dates of releases come from the table that --releases names; those of Python's own are known.
SELECT distribution, version, users, CAST(round(jobs) AS BIGINT) AS jobs
FROM usage('distribution, version') WHERE distribution IS NOT NULL AND version IS NOT NULL
UNION ALL
SELECT 'python' AS distribution, version, count(DISTINCT user_no) AS users,
  count(DISTINCT concat(cluster, ' ', scheduler, ' ', job_id)) FILTER (WHERE job_id IS NOT NULL) AS jobs
FROM (SELECT regexp_replace(python, '^([0-9]+[.][0-9]+).*$', '\1') AS version, user_no, cluster, scheduler, job_id
  FROM chosen_processes WHERE python IS NOT NULL AND python <> '')
GROUP BY version
ORDER BY users DESC, jobs DESC, distribution, version
LIMIT {limit}

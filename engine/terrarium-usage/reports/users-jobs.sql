-- title: People against jobs
-- question: Which libraries have many users and few jobs, and which many jobs of few?
-- column: package: name that import begins with
-- column: users: people in whose processes it was loaded
-- column: by_users: its place by users
-- column: jobs: jobs in which it was loaded
-- column: by_jobs: its place by jobs
-- column: jobs_per_user: jobs of a user, on average
-- chart: bars; label=package; values=by_users,by_jobs; names=place by users,place by jobs; layout=grouped; axis=place (1 is first)
-- note: A few people with very many jobs lead any count of jobs. By users, everybody counts the same.
WITH each AS (
  SELECT package, users, CAST(round(jobs) AS BIGINT) AS jobs,
    rank() OVER (ORDER BY users DESC) AS by_users, rank() OVER (ORDER BY jobs DESC) AS by_jobs
  FROM usage('package')
)
SELECT package, users, by_users, jobs, by_jobs, round(jobs * 1.0 / users, 1) AS jobs_per_user
FROM each WHERE by_users <= {limit} OR by_jobs <= {limit}
ORDER BY least(by_users, by_jobs), by_users, by_jobs, package
LIMIT {limit}

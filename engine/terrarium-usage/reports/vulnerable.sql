-- title: Vulnerable versions in use
-- question: Who loads versions with known vulnerabilities, and what mends them?
-- column: distribution: what it was installed as
-- column: version: its version
-- column: users: people in whose processes it was loaded
-- column: jobs: jobs in which it was loaded
-- column: severity: of the worst: low, medium, high, critical
-- column: score: CVSS base score of the worst
-- column: advisories: how many hold for this version
-- column: worst: the worst of them
-- column: fixed: the first version without any of them, if each has one
-- column: summary: what the worst one is about
-- optional: score, fixed, summary
-- computed: vulnerable
-- chart: bars; label=distribution+version; values=users; axis=users
-- limit: 50
-- note: From a folder of OSV records that --advisories names (https://osv.dev, ecosystem PyPI); it is as new as that folder. That a version is loaded does not say that the vulnerable part of it is used.
SELECT distribution, version, users, CAST(round(jobs) AS BIGINT) AS jobs
FROM usage('distribution, version') WHERE distribution IS NOT NULL AND version IS NOT NULL
ORDER BY users DESC, jobs DESC, distribution, version

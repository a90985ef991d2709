-- title: What is used together
-- question: Which libraries are loaded in the same jobs?
-- column: package: a library
-- column: other: another
-- column: together: job-days in which both were loaded
-- column: of_package: percent of the first one's
-- column: of_other: percent of the other's
-- column: correlation: Pearson's, over all job-days with Python: 1 always together, 0 by chance, -1 never
-- libraries:
-- chart: heat; row=package; column=other; value=correlation; scale=signed; key=correlation
-- limit: 100000
-- note: A job-day is a job on a day, or what a person did outside of jobs on a day. Without libraries named, the 20 that most people use.
SELECT package, other, together,
  round(100.0 * together / of_package, 1) AS of_package,
  round(100.0 * together / of_other, 1) AS of_other,
  round((CAST(of_all AS DOUBLE) * together - CAST(of_package AS DOUBLE) * of_other)
    / nullif(sqrt(CAST(of_package AS DOUBLE) * (of_all - of_package)) * sqrt(CAST(of_other AS DOUBLE) * (of_all - of_other)), 0), 3) AS correlation
FROM together('{libraries}')
WHERE package <> other AND of_package > 0 AND of_other > 0
ORDER BY together DESC, package, other
LIMIT {limit}

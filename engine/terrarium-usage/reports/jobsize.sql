-- title: How large jobs are, by library
-- question: On how many nodes do jobs run in which a library is loaded?
-- column: package: name that import begins with
-- column: jobs: jobs in which it was loaded and whose nodes are known
-- column: nodes_1: percent of them on 1 node
-- column: nodes_2_4: on 2 to 4 nodes
-- column: nodes_5_16: on 5 to 16
-- column: nodes_17_64: on 17 to 64
-- column: nodes_65_256: on 65 to 256
-- column: nodes_more: on more
-- column: largest: most nodes of one job
-- libraries:
-- chart: bars; label=package; values=n_1,n_2,n_5,n_17,n_65,n_more; names=1 node,2–4,5–16,17–64,65–256,more; layout=share; axis=jobs
-- note: Without libraries named, the 15 that most people use. That a library is loaded in a large job does not say that all nodes work with it.
WITH wanted AS (SELECT package FROM usage('package') WHERE {only} ORDER BY users DESC, jobs DESC, package LIMIT {most}),
each AS (SELECT package, nodes, jobs FROM usage('package, nodes') WHERE nodes IS NOT NULL)
SELECT e.package,
  CAST(round(sum(jobs)) AS BIGINT) AS jobs,
  round(100.0 * sum(CASE WHEN nodes = 1 THEN jobs ELSE 0 END) / sum(jobs), 1) AS nodes_1,
  round(100.0 * sum(CASE WHEN nodes BETWEEN 2 AND 4 THEN jobs ELSE 0 END) / sum(jobs), 1) AS nodes_2_4,
  round(100.0 * sum(CASE WHEN nodes BETWEEN 5 AND 16 THEN jobs ELSE 0 END) / sum(jobs), 1) AS nodes_5_16,
  round(100.0 * sum(CASE WHEN nodes BETWEEN 17 AND 64 THEN jobs ELSE 0 END) / sum(jobs), 1) AS nodes_17_64,
  round(100.0 * sum(CASE WHEN nodes BETWEEN 65 AND 256 THEN jobs ELSE 0 END) / sum(jobs), 1) AS nodes_65_256,
  round(100.0 * sum(CASE WHEN nodes > 256 THEN jobs ELSE 0 END) / sum(jobs), 1) AS nodes_more,
  max(nodes) AS largest,
  sum(CASE WHEN nodes = 1 THEN jobs ELSE 0 END) AS n_1,
  sum(CASE WHEN nodes BETWEEN 2 AND 4 THEN jobs ELSE 0 END) AS n_2,
  sum(CASE WHEN nodes BETWEEN 5 AND 16 THEN jobs ELSE 0 END) AS n_5,
  sum(CASE WHEN nodes BETWEEN 17 AND 64 THEN jobs ELSE 0 END) AS n_17,
  sum(CASE WHEN nodes BETWEEN 65 AND 256 THEN jobs ELSE 0 END) AS n_65,
  sum(CASE WHEN nodes > 256 THEN jobs ELSE 0 END) AS n_more
FROM each e JOIN wanted w ON e.package = w.package
GROUP BY e.package HAVING sum(jobs) > 0
ORDER BY jobs DESC, e.package
LIMIT {limit}

-- title: Time spent importing, by where it lies
-- question: How many node-hours go into importing from home and shared file systems?
-- column: origin: kind of place, by the site's rules
-- column: users: people whose processes loaded something from there
-- column: modules: modules loaded from there, each counted in each process
-- column: process_hours: hours of processes that importing them took, at least, without what they import from elsewhere
-- column: node_hours: hours of nodes: a parallel job waits on all of its nodes for its first rank
-- column: share: percent of all node-hours spent importing
-- column: per_module_ms: milliseconds of one module, on average
-- chart: bars; label=origin; values=node_hours; axis=node-hours spent importing
-- note: Time is measured by the audit events of the interpreter and is a lower bound. Ranks but the first are not timed: each is taken to wait as long.
SELECT origin, users, CAST(round(modules) AS BIGINT) AS modules,
  round(process_hours, 3) AS process_hours, round(node_hours, 3) AS node_hours,
  round(100.0 * node_hours / nullif(sum(node_hours) OVER (), 0), 1) AS share,
  round(process_hours * 3.6e6 / nullif(modules, 0), 2) AS per_module_ms
FROM origin_loads('')
ORDER BY node_hours DESC, modules DESC, origin
LIMIT {limit}

-- title: Where libraries lie
-- question: From what kind of place do processes load what they import?
-- column: origin: kind of place, by the site's rules
-- column: users: people whose processes loaded something from there
-- column: modules: modules loaded from there, each counted in each process
-- column: share: percent of all such modules
-- column: import_s: seconds that imports of packages there took, at least
-- chart: bars; label=origin; values=modules; axis=modules loaded
-- note: Python's own modules are left out. A package counts where it was found, with all that it imports in its time.
SELECT
  origin,
  user_count(users) AS users,
  sum(modules) AS modules,
  round(100.0 * sum(modules) / sum(sum(modules)) OVER (), 1) AS share,
  round(sum(import_us) / 1e6, 1) AS import_s
FROM daily
WHERE date BETWEEN DATE '{since}' AND DATE '{until}' AND package IS NOT NULL AND origin <> 'python'
GROUP BY origin
ORDER BY modules DESC
LIMIT {limit}

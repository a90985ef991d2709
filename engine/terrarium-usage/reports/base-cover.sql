-- title: What to add to base
-- question: Which fewest packages, added to base, let most owners of own environments come back?
-- column: packages: packages added so far
-- column: package: the one added here
-- column: owners: owners of own environments for whom base has all that they ask for then
-- column: share: percent of all owners
-- column: gained: owners more than with one package less
-- column: needed_by: owners who ask for this package
-- column: most: no choice of so many packages lets more owners come back than this
-- computed: base-cover
-- chart: curve; x=packages; y=owners; label=package; x-axis=packages added to base; y-axis=owners who could come back
-- limit: 50
-- note: Owners are those who loaded a library in an own environment. An owner needs what his programs and own code ask for in own environments; what that depends on would come with it. Versions are not compared. The order is found by heuristics that reach 98 % of the best choice on average, on cases small enough to try them all.
WITH need AS (
  SELECT DISTINCT user_no, distribution, regexp_replace(lower(distribution), '[-_.]+', '-', 'g') AS name
  FROM usage('user_no, distribution, environment_class, direct')
  WHERE starts_with(environment_class, 'own-') AND direct AND distribution IS NOT NULL
),
bases AS (
  SELECT regexp_replace(lower(package), '[-_.]+', '-', 'g') AS name,
    dense_rank() OVER (PARTITION BY cluster, prefix ORDER BY seen DESC, environment_id) AS age
  FROM environments WHERE class = 'base'
),
held AS (SELECT DISTINCT name FROM bases WHERE age = 1 AND name IS NOT NULL),
names AS (SELECT name, min(distribution) AS distribution FROM need GROUP BY name),
owners AS (
  SELECT DISTINCT user_no FROM usage('user_no, environment_class, direct')
  WHERE starts_with(environment_class, 'own-') AND direct IS NOT NULL
)
SELECT o.user_no, m.distribution FROM owners o LEFT JOIN (
  SELECT DISTINCT n.user_no, s.distribution FROM need n JOIN names s ON n.name = s.name LEFT JOIN held h ON n.name = h.name WHERE h.name IS NULL
) m ON o.user_no = m.user_no

-- title: What is used inside of {library}
-- question: Which parts of a library do people load?
-- column: part: the name behind the library's own: linalg of scipy.linalg
-- column: users: people whose processes loaded it
-- column: share: percent of the library's users
-- column: share_of_all: percent of all who ran Python
-- column: direct: users whose program or own code names something of it
-- column: processes: processes that loaded it
-- column: modules: modules of it in one process, at most
-- libraries: torch
-- chart: bars; label=part; values=users; axis=users
-- raw: yes
-- note: What a library loads by itself when it is imported is here with nearly all of its users; what is loaded only when it is needed tells what is used.
WITH parts AS (
  SELECT process_id, split_part(module, '.', 2) AS part, count(*) AS modules, bool_or(direct) AS direct
  FROM chosen_loads WHERE package = '{library}' AND module <> package
  GROUP BY process_id, split_part(module, '.', 2)
),
who AS (SELECT process_id, user_no FROM processes WHERE date BETWEEN DATE '{since}' AND DATE '{until}'),
each AS (SELECT p.*, w.user_no FROM parts p JOIN who w ON p.process_id = w.process_id),
everyone AS (SELECT users FROM usage('')),
of_library AS (SELECT users FROM usage('package', '{library}'))
SELECT
  e.part,
  count(DISTINCT e.user_no) AS users,
  round(100.0 * count(DISTINCT e.user_no) / max(l.users), 1) AS share,
  round(100.0 * count(DISTINCT e.user_no) / max(a.users), 1) AS share_of_all,
  count(DISTINCT CASE WHEN e.direct THEN e.user_no END) AS direct,
  count(*) AS processes,
  max(e.modules) AS modules
FROM each e CROSS JOIN of_library l CROSS JOIN everyone a
GROUP BY e.part
ORDER BY users DESC, processes DESC, part
LIMIT {limit}

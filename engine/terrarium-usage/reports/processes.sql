-- title: Processes recorded
-- question: How much was recorded, and how did it end?
-- column: date: day of the start
-- column: processes: processes recorded
-- column: python: those with Python in them
-- column: users: people whose processes they were
-- column: gone: Python processes that ended without a word: killed, crashed, or their node went
-- column: opted_out: processes of people who opted out
-- column: incomplete: processes in whose records something is missing
-- chart: bars; label=date; values=python,other; names=Python,other programs; axis=processes
-- raw: yes
-- not: origin, direct
-- note: What ended with its node is not here: its records were in that node's memory.
SELECT
  date,
  count(*) AS processes,
  count(python) AS python,
  count(*) - count(python) AS other,
  count(DISTINCT user_no) AS users,
  count(CASE WHEN "end" = 'gone' AND python IS NOT NULL THEN 1 END) AS gone,
  count(CASE WHEN extent = 'opted-out' THEN 1 END) AS opted_out,
  count(CASE WHEN dropped > 0 OR is_cut THEN 1 END) AS incomplete
FROM chosen_processes
GROUP BY date
ORDER BY date DESC
LIMIT {limit}

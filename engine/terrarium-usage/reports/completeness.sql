-- title: How complete the figures are
-- question: What share of processes is missing, opted out, sampled, or joined to no job?
-- column: what: recorded; with Python; opted out; incomplete (records are missing in them); lost (could not be recorded); samples (recorded by chance); doubtful (imported, and not all is told); in jobs; joined no accounting (of those in jobs)
-- column: processes: how many
-- column: share: percent of processes recorded; of lost: of recorded and lost; of joined no accounting: of those in jobs
-- computed: completeness
-- chart: bars; label=what; values=processes; axis=processes
-- not: env, origin, direct
-- note: What ended with its node is not here: its records were in that node's memory. What runs where nothing records is in no figure; the report coverage compares sources.
SELECT 1

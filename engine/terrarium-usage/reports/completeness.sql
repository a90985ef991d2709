-- title: How complete the figures are
-- question: What share of processes is missing, opted out, sampled, or joined to no job?
-- column: what: what is counted
-- column: processes: how many
-- column: share: percent of processes recorded, or as said
-- computed: completeness
-- chart: bars; label=what; values=processes; axis=processes
-- note: What ended with its node is not here: its records were in that node's memory. What runs where nothing records is in no figure; the report coverage compares sources.
SELECT 1

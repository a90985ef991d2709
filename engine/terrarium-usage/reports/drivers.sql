-- title: What drives a library
-- question: Who takes up a library, and what else do they take up in the same month?
-- column: package: name that import begins with
-- column: newcomers: people who first loaded it in a month when they had run Python before
-- column: domain: the field of science that most of them are of
-- column: of_domain: how many of them are
-- column: with: the library that most of them first loaded in the same month
-- column: of_with: how many did
-- column: asked: how many of them asked for the library itself
-- libraries:
-- chart: bars; label=package; values=asked,along; names=asked for it,came along; axis=people who took it up
-- computed: drivers
-- note: Who is new to Python here is left out: all is new then. Without libraries named, those with most newcomers.
SELECT package, month, user_set FROM usage('package, month')
;
SELECT month, user_set FROM usage('month')
;
SELECT package, user_set FROM usage('package, direct') WHERE direct
;
SELECT user_no, domain, jobs FROM usage('user_no, domain') WHERE domain IS NOT NULL

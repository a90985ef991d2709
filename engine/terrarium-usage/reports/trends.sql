-- title: Emerging and fading libraries
-- question: Which libraries gain people, which lose them, and is that more than chance?
-- column: package: name that import begins with
-- column: direction: emerging, or fading, where chance is an unlikely cause; else empty
-- column: users: people in whose processes it was loaded in all that time
-- column: first: percent of those who ran Python in the first month
-- column: last: percent of those in the last month
-- column: change: percentage points by which the fitted line changes over the time
-- column: p: how likely a change as large comes by chance where nothing changes
-- column: q: the same after so many libraries were looked at (Benjamini and Hochberg): below 0.05 is believed
-- computed: trends
-- chart: bars; label=package; values=first,last; names=first month,last month; layout=grouped; axis=percent of those who ran Python
-- note: Only months that lie within the time as a whole, and libraries of ten people and more. A test for trend (Cochran and Armitage) by person: who comes again each month counts once.
SELECT package, month, user_set FROM usage('package, month') WHERE {only}
;
SELECT month, user_set FROM usage('month')

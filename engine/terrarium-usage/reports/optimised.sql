-- title: Linear algebra of processes with NumPy
-- question: What share of processes runs on an optimised BLAS?
-- column: blas: the library of linear algebra that was mapped
-- column: users: people whose processes those were
-- column: jobs: batch jobs in which they were
-- column: processes: processes with NumPy
-- column: share: percent of processes with NumPy
-- column: cuda: those of them with CUDA's own mapped
-- chart: bars; label=blas; values=processes; axis=processes with NumPy
-- raw: yes
-- not: origin, direct
-- note: By the names of the shared libraries in memory when the process ended. Of several, the first of this order: MKL, NVPL, Arm, Cray, BLIS, OpenBLAS, ATLAS, reference.
WITH with_numpy AS (SELECT DISTINCT process_id FROM chosen_loads WHERE package = 'numpy'),
each AS (
  SELECT user_no, cluster, scheduler, job_id, lower(array_to_string(objects, ' ')) AS objects
  FROM chosen_processes WHERE process_id IN (SELECT process_id FROM with_numpy) AND array_length(objects) > 0
)
SELECT
  CASE
    WHEN objects LIKE '%libmkl%' THEN 'MKL'
    WHEN objects LIKE '%libnvpl%' THEN 'NVPL'
    WHEN objects LIKE '%libarmpl%' THEN 'Arm Performance Libraries'
    WHEN objects LIKE '%libsci%' AND objects NOT LIKE '%libscipy%' THEN 'Cray LibSci'
    WHEN objects LIKE '%libblis%' THEN 'BLIS'
    WHEN objects LIKE '%openblas%' THEN 'OpenBLAS'
    WHEN objects LIKE '%libatlas%' OR objects LIKE '%libsatlas%' OR objects LIKE '%libtatlas%' THEN 'ATLAS'
    WHEN objects LIKE '%libblas.so%' OR objects LIKE '%libcblas.so%' THEN 'reference BLAS'
    ELSE 'none seen'
  END AS blas,
  count(DISTINCT user_no) AS users,
  count(DISTINCT concat(cluster, ' ', scheduler, ' ', job_id)) FILTER (WHERE job_id IS NOT NULL) AS jobs,
  count(*) AS processes,
  round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS share,
  count(CASE WHEN objects LIKE '%libcudart%' OR objects LIKE '%libcublas%' OR objects LIKE '%libcuda.so%' THEN 1 END) AS cuda
FROM each GROUP BY 1
ORDER BY processes DESC, blas
LIMIT {limit}

-- title: Jobs with GPUs that do not use them
-- question: Which jobs have GPUs and load nothing that could use them?
-- column: project: account that they were charged to
-- column: jobs: jobs with GPUs of which a process was recorded with its shared libraries
-- column: no_gpu_library: those in which no process had a GPU's library in memory
-- column: cpu_build: those of them that load PyTorch, TensorFlow or JAX all the same: builds for CPUs only
-- column: users: people whose jobs had no such library
-- column: gpu_hours: GPUs × hours of jobs without one
-- chart: bars; label=project; values=no_gpu_library; axis=jobs without a GPU's library
-- raw: yes
-- not: origin, direct
-- note: A GPU's library is one of CUDA, ROCm or oneAPI. Programs without Python are looked at where terrarium recorded them, too; what it did not record may well use the GPU.
WITH of_gpu AS (
  SELECT process_id, cluster, scheduler, job_id, project, user_no, gpus, job_started, job_ended,
    regexp_like(array_to_string(objects, ' '), 'libcuda|libcublas|libnccl|libtorch_cuda|libamdhip|librocblas|libhsa-runtime|libze_loader|libsycl') AS has_library
  FROM chosen_jobs WHERE gpus > 0 AND extent = 'full' AND objects IS NOT NULL
),
frameworks AS (
  SELECT DISTINCT process_id FROM chosen_loads WHERE package IN ('torch', 'tensorflow', 'jax')
),
jobs AS (
  SELECT g.cluster, g.scheduler, g.job_id, max(g.project) AS project, max(g.user_no) AS user_no,
    max(g.gpus) * (max(date_part('epoch', job_ended)) - min(date_part('epoch', job_started))) / 3600.0 AS gpu_hours,
    max(CASE WHEN has_library THEN 1 ELSE 0 END) AS library, count(f.process_id) AS framework
  FROM of_gpu g LEFT JOIN frameworks f ON g.process_id = f.process_id
  GROUP BY g.cluster, g.scheduler, g.job_id, g.job_started
)
SELECT project, count(*) AS jobs,
  count(CASE WHEN library = 0 THEN 1 END) AS no_gpu_library,
  count(CASE WHEN library = 0 AND framework > 0 THEN 1 END) AS cpu_build,
  count(DISTINCT CASE WHEN library = 0 THEN user_no END) AS users,
  round(sum(CASE WHEN library = 0 THEN gpu_hours ELSE 0 END), 1) AS gpu_hours
FROM jobs GROUP BY project
ORDER BY gpu_hours DESC, no_gpu_library DESC, project
LIMIT {limit}

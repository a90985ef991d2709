//! GPUs: what the job is told, and whether their memory is released, asked of a stand-in for NVIDIA's library.
//!
//! There was no GPU where this was written: the driver's answers are those of tests/programs/nvml_stub.c.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use terrarium_core::sample::Metric;

use crate::support::{Tier, program, requires, sh, terrarium, tiers};

#[test]
fn none_is_told_to_every_runtime() {
    for tier in tiers() {
        sh(
            tier,
            &["--gpus", "none", "-q"],
            "echo $CUDA_VISIBLE_DEVICES/$HIP_VISIBLE_DEVICES/$ROCR_VISIBLE_DEVICES",
        )
        .run()
        .out_has("-1/-1/-1");
    }
}

#[test]
fn an_allocation_is_narrowed() {
    for tier in tiers() {
        let show = "echo $CUDA_VISIBLE_DEVICES/$CUDA_DEVICE_ORDER";
        sh(tier, &["--gpus", "1", "-q"], show)
            .env("CUDA_VISIBLE_DEVICES", "2,5")
            .run()
            .out_has("5/PCI_BUS_ID");
        sh(tier, &["--gpus", "2", "-q"], show)
            .env("CUDA_VISIBLE_DEVICES", "2,5")
            .run()
            .code_is(125)
            .err_has("GPU 2 is not there; 2 GPUs (0 to 1) are visible here");
    }
}

#[test]
fn device_nodes_of_other_gpus_cannot_be_opened() {
    requires!(tiers().contains(&Tier::Root), "making device nodes needs root");
    // In a mount namespace with a /dev of its own: nodes of the null device under the names of GPUs.
    let dev = crate::support::directory().join("dev");
    fs::create_dir_all(&dev).unwrap();
    let read = "for n in null nvidia0 kfd; do cat /dev/$n && echo $n opens || echo $n is closed; done";
    let script = format!(
        "mount -t tmpfs -o mode=755 dev {0} && cd {0} && mkdir shm && for n in null nvidia0 kfd; do mknod -m 666 $n c 1 3; done \
         && cd / && mount --move {0} /dev && {1} run -q --gpus none -- sh -c '{read}'; {1} run -q -- sh -c '{read}'",
        dev.display(),
        terrarium().display()
    );
    let output =
        std::process::Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let expected = "null opens\nnvidia0 is closed\nkfd is closed\nnull opens\nnvidia0 opens\nkfd opens\n";
    assert_eq!(out, expected, "{output:?}");
}

/// The directory of the stand-in library and a file for its answers.
fn stub(name: &str) -> Option<(String, String)> {
    let library = crate::support::workspace().join("target/test-programs/nvml");
    let _ = program("daemons");
    let helper = terrarium().with_file_name("terrarium-nvml");
    if !library.join("libnvidia-ml.so.1").exists() || !helper.exists() {
        return None;
    }
    let place = crate::support::directory().join(format!("nvml-{name}"));
    fs::create_dir_all(&place).unwrap();
    let own = place.join("libnvidia-ml.so.1");
    fs::copy(library.join("libnvidia-ml.so.1"), own).unwrap();
    Some((place.display().to_string(), place.join("answers").display().to_string()))
}

#[test]
fn memory_that_is_released_is_nothing_to_speak_of() {
    let stub = stub("released");
    requires!(stub.is_some(), "terrarium-nvml or the stand-in library is not built (make build)");
    let (library, answers) = stub.unwrap();
    // Held by a living process outside the job: not the job's.
    fs::write(&answers, format!("0 {} 1000000\n", std::process::id())).unwrap();
    let done = sh(tiers()[0], &["--gpus", "0"], "true")
        .env("CUDA_VISIBLE_DEVICES", "0")
        .env("LD_LIBRARY_PATH", &library)
        .env("NVML_STUB_FILE", &answers)
        .run();
    done.code_is(0);
    assert!(!done.err.contains("GPU memory"), "{}", done.err);
}

#[test]
fn memory_that_is_not_released_is_named() {
    let stub = stub("held");
    requires!(stub.is_some(), "terrarium-nvml or the stand-in library is not built (make build)");
    let (library, answers) = stub.unwrap();
    // A PID that no longer exists: what a driver shows that has not cleaned up after the job.
    fs::write(&answers, "0 4194000 1073741824\n").unwrap();
    let done = sh(tiers()[0], &["--gpus", "0"], "true")
        .env("CUDA_VISIBLE_DEVICES", "0")
        .env("LD_LIBRARY_PATH", &library)
        .env("NVML_STUB_FILE", &answers)
        .run();
    done.code_is(0).err_has("GPU memory is still held after the job: GPU 0: PID 4194000 (1.0 GiB)");
}

#[test]
fn a_driver_that_hangs_is_given_up() {
    let stub = stub("hang");
    requires!(stub.is_some(), "terrarium-nvml or the stand-in library is not built (make build)");
    let (library, answers) = stub.unwrap();
    fs::write(&answers, "").unwrap();
    let before = std::time::Instant::now();
    let done = sh(tiers()[0], &["--gpus", "0"], "true")
        .env("CUDA_VISIBLE_DEVICES", "0")
        .env("LD_LIBRARY_PATH", &library)
        .env("NVML_STUB_FILE", &answers)
        .env("NVML_STUB_HANG", "1")
        .run();
    assert!(before.elapsed().as_secs() < 60);
    done.code_is(0).err_has("did not answer within 5 s");
}

#[test]
fn a_missing_driver_is_said_only_if_gpus_were_asked_for() {
    let tier = tiers()[0];
    sh(tier, &["--gpus", "0"], "true")
        .env("CUDA_VISIBLE_DEVICES", "0")
        .run()
        .code_is(0)
        .err_has("whether GPU memory was released is not known");
    let done = sh(tier, &[], "true").env("CUDA_VISIBLE_DEVICES", "0").run();
    assert!(!done.err.contains("GPU"), "{}", done.err);
}

#[test]
fn use_and_memory_of_a_job_are_seen_while_it_runs() {
    let stub = stub("watched");
    requires!(stub.is_some(), "terrarium-nvml or the stand-in library is not built (make build)");
    let (library, answers) = stub.unwrap();
    // Every user records there.
    fs::set_permissions(&library, fs::Permissions::from_mode(0o777)).unwrap();
    for tier in tiers() {
        let file = std::path::Path::new(&library).join(format!("{tier:?}.arrow"));
        let started =
            sh(tier, &["--gpus", "0,1", "--record", file.to_str().unwrap()], "sleep $SECONDS_TO_SLEEP")
                .env("CUDA_VISIBLE_DEVICES", "0,1")
                .env("LD_LIBRARY_PATH", &library)
                .env("NVML_STUB_FILE", &answers)
                .env("NVML_STUB_GPUS", "2")
                .env("NVML_STUB_USE", "70")
                .env("SECONDS_TO_SLEEP", if crate::support::is_small() { "20" } else { "5" })
                .start();
        let is_sleep = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep")
        };
        crate::support::wait_until("the job", || started.marked().iter().any(is_sleep));
        let pid = started.marked().into_iter().find(is_sleep).unwrap();
        // A process of somebody else's on the other GPU does not count.
        fs::write(&answers, format!("0 {pid} 1000000\n1 {} 5000000\n", std::process::id())).unwrap();
        let done = started.finish();
        done.code_is(0);
        let series = terrarium_observe::series::read(fs::File::open(&file).unwrap()).unwrap();
        let gpu = series.report.unwrap().usage.gpu.unwrap();
        assert_eq!(
            (gpu.devices, gpu.used, gpu.memory_peak.map(|b| b.0)),
            (2, 1, Some(1_000_000)),
            "{tier:?}"
        );
        let uses: Vec<_> = series.samples.iter().filter_map(|s| s.get(Metric::GpuUse)).collect();
        assert!(uses.contains(&70) && uses.iter().all(|u| [0, 70].contains(u)), "{tier:?}: {uses:?}");
        fs::remove_file(&answers).unwrap();
    }
}

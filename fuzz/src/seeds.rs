//! Writes the files that the fuzzer begins with into a directory.

#[path = "../../crates/terrarium-spool/tests/examine/mod.rs"]
#[expect(dead_code, reason = "the fuzzer examines")]
mod examine;

fn main() -> std::io::Result<()> {
    let directory = std::env::args_os().nth(1).unwrap_or_else(|| "corpus/spool".into());
    let directory = std::path::PathBuf::from(directory);
    std::fs::create_dir_all(&directory)?;
    for (number, seed) in examine::seeds().iter().enumerate() {
        std::fs::write(directory.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}

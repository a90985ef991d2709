//! The `terrarium` command.

fn main() -> std::process::ExitCode {
    terrarium::main(std::env::args_os())
}

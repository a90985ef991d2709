//! How the library is linked: small, with as few mappings as can be, and without the C library's start files.

fn main() {
    for argument in [
        // No crti.o and crtbegin.o: they call what musl does not have.
        "-nostartfiles",
        "-Wl,-z,noseparate-code",
        "-Wl,-z,now",
        // What this would protect are a few addresses; it costs each process a mapping and a system call.
        "-Wl,-z,norelro",
        "-Wl,-z,nodelete",
        "-Wl,-z,noexecstack",
        "-Wl,--hash-style=gnu",
        "-Wl,--build-id=none",
        "-Wl,-soname,libterrarium_hook.so",
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    // Nothing may be missing, least of all what the panic handler calls.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,defs");
    }
    // One mapping for what is read and executed, one for what is written. Other linkers than LLVM's, which rustc takes by itself
    // on this target only, need no such word.
    if std::env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-linux-gnu") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,--no-rosegment");
    }
    println!("cargo::rerun-if-changed=build.rs");
}

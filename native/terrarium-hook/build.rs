//! How the library is linked: small, with as few mappings as can be, and without the C library's start files.

fn main() {
    for argument in [
        // No crti.o and crtbegin.o: they call what musl does not have.
        "-nostartfiles",
        // One mapping for what is read and executed, one for what is written.
        "-Wl,-z,noseparate-code",
        "-Wl,-z,now",
        "-Wl,-z,nodelete",
        "-Wl,-z,noexecstack",
        "-Wl,--hash-style=gnu",
        "-Wl,--build-id=none",
        "-Wl,-soname,libterrarium_hook.so",
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}

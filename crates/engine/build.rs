//! Debug builds have fault points (see `src/fault.rs`); what a hospital runs has none.

#[allow(clippy::disallowed_methods)] // cargo speaks to build scripts through the environment
fn main() {
    println!("cargo::rustc-check-cfg=cfg(fault_points)");
    println!("cargo::rerun-if-changed=build.rs");
    // Of the profile that is built, whatever it says of the standard library's own checks.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        println!("cargo::rustc-cfg=fault_points");
    }
}

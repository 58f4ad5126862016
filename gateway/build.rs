//! Embeds the page. A debug build without one embeds a page that says so; a release build without one stops.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=web/dist");
    println!("cargo::rerun-if-changed=web/missing");
    let is_built = Path::new("web/dist/index.html").is_file();
    #[expect(clippy::disallowed_methods, reason = "Cargo tells a build script by its environment")]
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    assert!(is_built || !is_release, "gateway/web/dist is missing. Build the page first: ./x web");
    memory_serve::load_directory(if is_built { "./web/dist" } else { "./web/missing" });
}

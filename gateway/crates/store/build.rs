//! The migrations are embedded by `sqlx::migrate!`, which does not see a file that is added later.

fn main() {
    println!("cargo::rerun-if-changed=../../../migrations");
}

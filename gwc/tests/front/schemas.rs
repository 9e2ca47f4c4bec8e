//! The published schemas: fresh, and in agreement with what the compiler takes.
//!
//! `GWC_UPDATE=1 cargo test -p gwc schemas` writes the files anew.

use std::path::Path;

#[test]
fn the_files_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas");
    for (name, schema) in gwc::schemas::all() {
        let file = folder.join(format!("{name}.schema.json"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("GWC_UPDATE").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(kept == text, "{} is stale: run with GWC_UPDATE=1", file.display());
    }
}

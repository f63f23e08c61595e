//! What was measured, for programs.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Writes `value` to `file`, whose directory is made if it is not there, and says so.
pub(crate) fn write_json(file: &Path, value: &Value) {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).expect("a directory for the figures");
    }
    let text = serde_json::to_string_pretty(value).expect("figures can be written as JSON");
    fs::write(file, text + "\n").expect("the figures can be written");
    println!("figures: {}", file.display());
}

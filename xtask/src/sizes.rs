//! File sizes: small files are read, long ones are scrolled.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::run::{Outcome, workspace};

/// Lines above which a file is a defect.
const MOST_LINES: usize = 800;
const SHOWN: usize = 10;

/// Prints the longest Rust files and fails when one is too long.
pub(crate) fn check() -> Outcome {
    let mut files = Vec::new();
    collect(workspace(), &mut files).map_err(|error| format!("could not look for Rust files: {error}"))?;
    let mut sizes = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(|error| format!("could not read {}: {error}", file.display()))?;
        sizes.push((text.lines().count(), file));
    }
    sizes.sort_by(|a, b| b.cmp(a));
    println!("the longest Rust files:");
    for (lines, file) in sizes.iter().take(SHOWN) {
        println!("{lines:>6}  {}", shown(file));
    }
    match sizes.first() {
        Some((lines, file)) if *lines > MOST_LINES => {
            Err(format!("{} has {lines} lines, more than {MOST_LINES}", shown(file)))
        }
        _ => Ok(()),
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            let name = name.to_string_lossy();
            if name != "target" && !name.starts_with('.') {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn shown(file: &Path) -> String {
    file.strip_prefix(workspace()).unwrap_or(file).display().to_string()
}

//! Where the workspace is and builds.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::{Doing, Result};

/// The workspace's root.
#[must_use]
pub fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest)
}

/// The workspace's `target/`, whatever Cargo itself builds into: upstream parts are worth sharing.
#[must_use]
pub fn target() -> PathBuf {
    workspace().join("target")
}

/// Opens a file, made if need be, and waits until nobody else holds it.
///
/// # Errors
/// When it cannot be opened or locked.
pub fn locked(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .and_then(|file| file.lock().map(|()| file))
        .doing(|| format!("lock {}", path.display()))
}

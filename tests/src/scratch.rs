//! Directories for the data of one test, removed with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use parts::{Doing, Result, locked, target};
use tempfile::TempDir;

const PREFIX: &str = "house-";
const LOCK: &str = "lock";

/// A directory under the workspace's `target/tmp/`, removed on drop.
///
/// A test that is killed leaves its directory behind, with some 100 MB of etcd's. The lock on a file inside is gone
/// then, and the next test to want a directory clears it away.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes a new, empty directory, and clears away those of dead tests.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn new() -> Result<Self> {
        let parent = target().join("tmp");
        fs::create_dir_all(&parent).doing(|| format!("make {}", parent.display()))?;
        // Held while a directory has no lock of its own yet, and while others look for such.
        let door = locked(&parent.join(LOCK))?;
        clear_dead(&parent);
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&parent)
            .doing(|| format!("make a directory in {}", parent.display()))?;
        let lock = locked(&dir.path().join(LOCK))?;
        drop(door);
        Ok(Self { dir, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file into it and says where.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::write(&path, content).doing(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

fn clear_dead(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let dead = match File::open(path.join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Killed while it was being made or removed.
            Err(_) => true,
        };
        if dead {
            // Whoever cannot remove it leaves it to the next one.
            let _ = fs::remove_dir_all(path);
        }
    }
}

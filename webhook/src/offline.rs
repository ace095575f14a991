//! Without a cluster: states from files, and a certificate that nobody needs to trust for long.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use certs::{Authorities, Lifetimes, Resolver};
use policy::lifeline::config::{Config, ConfigError};
use policy::lifeline::judge::Assumptions;
use policy::snapshot::{LoadError, Loader};

use crate::validate::{Change, Judge};
use crate::verdict::{Decision, State, verdict};

/// Endings of files that hold manifests.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];
/// Directories deep. A link that leads round and round ends here.
const DEPTH: usize = 16;

/// Why files cannot be judged from.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no manifest.
    #[error(transparent)]
    Manifest(#[from] LoadError),
    /// It has no node.
    #[error("{0}: no Node in it, and without nodes there is nothing to judge; kubectl get nodes -o yaml prints them")]
    Empty(String),
    /// It is no configuration.
    #[error("{path}: {}", mistakes(.errors))]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        errors: Vec<ConfigError>,
    },
    /// The certificate cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] certs::Error),
}

fn mistakes(errors: &[ConfigError]) -> String {
    let each = errors.iter().map(|error| format!("line {} column {}: {}", error.line, error.column, error.message));
    each.collect::<Vec<_>>().join("; ")
}

/// Judges changes to a state that stays as it is.
#[derive(Debug)]
pub struct Fixed(State);

impl Fixed {
    /// Reads manifests, and a configuration if there is one.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or nothing can be judged from what is in it.
    pub fn read(snapshot: &[PathBuf], config: Option<&Path>) -> Result<Self, Unusable> {
        let mut files = Vec::new();
        for path in snapshot {
            collect(path, DEPTH, &mut files)?;
        }
        let mut loader = Loader::default();
        for path in &files {
            loader.read(&path.display().to_string(), &text(path)?)?;
        }
        let state = loader.finish().snapshot;
        if state.cluster.nodes.is_empty() {
            let names: Vec<String> = snapshot.iter().map(|path| path.display().to_string()).collect();
            return Err(Unusable::Empty(names.join(", ")));
        }
        let config = match config {
            None => Config::default(),
            Some(path) => {
                Config::read(&text(path)?).map_err(|errors| Unusable::Config { path: path.to_owned(), errors })?
            }
        };
        Ok(Self(State::new(&state, Arc::new(config), &Assumptions::default())))
    }
}

impl Judge for Fixed {
    fn judge(&self, change: &Change<'_>) -> Result<Decision, String> {
        verdict(&self.0, change)
    }
}

fn text(path: &Path) -> Result<String, Unusable> {
    std::fs::read_to_string(path).map_err(|source| Unusable::Unreadable { path: path.to_owned(), source })
}

/// Files of manifests, those of a directory in the order of their names.
fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Unusable> {
    let unreadable = |source| Unusable::Unreadable { path: path.to_owned(), source };
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries: Result<Vec<_>, _> = std::fs::read_dir(path).map_err(unreadable)?.collect();
    let mut entries: Vec<PathBuf> = entries.map_err(unreadable)?.into_iter().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        let ending = entry.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if entry.is_dir() && depth > 0 {
            collect(&entry, depth - 1, files)?;
        } else if ENDINGS.contains(&ending) {
            files.push(entry);
        }
    }
    Ok(())
}

/// A certificate for the names of this machine, and its authority in PEM.
///
/// # Errors
///
/// It cannot be made.
pub fn certificate() -> Result<(Resolver, String), Unusable> {
    let now = SystemTime::now();
    let authorities = Authorities::new(now, Lifetimes::default())?;
    let leaf = authorities.issue(&["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()], now)?;
    Ok((Resolver::new(leaf.certified_key()?), authorities.bundle()))
}

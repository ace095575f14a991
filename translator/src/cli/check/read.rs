//! Reading a state and a change to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use policy::lifeline::config::{Config, ConfigError};
use policy::lifeline::judge::Change;
use policy::snapshot::{Key, Loader, Manifest, Snapshot, Source, manifests};

use crate::cli::args::CheckArgs;
use crate::cli::input;
use crate::finding::codes::{command as codes, lifelines};
use crate::finding::{Finding, Location, show};

/// Endings of files that hold manifests.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// Why something cannot be read, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Failure(pub(in crate::cli) String);

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What the command line names.
pub(super) struct Input {
    pub(super) snapshot: Snapshot,
    pub(super) changes: Vec<Change>,
    /// Every text that was read, by the name that it is shown with.
    pub(super) texts: BTreeMap<String, String>,
}

pub(super) fn input(args: &CheckArgs) -> Result<Input, Vec<Failure>> {
    let mut texts = BTreeMap::new();
    let snapshot = snapshot(&args.snapshot, args.recursive, &mut texts)?;
    let mut changes = Vec::new();
    let mut places: BTreeMap<Key, String> = BTreeMap::new();
    let mut failures = Vec::new();
    for (paths, put) in [(&args.filename, true), (&args.delete, false)] {
        for manifest in objects(paths, args.recursive, &mut texts)? {
            let place = manifest.source.as_deref().map(place).unwrap_or_default();
            if let Some(before) = places.insert(manifest.key.clone(), place.clone()) {
                let message =
                    format!("{place}: {} is in the change already, at {before}; keep one of them", manifest.key);
                failures.push(Failure(message));
            }
            changes.push(if put { Change::Put(manifest) } else { Change::Delete(manifest.key) });
        }
    }
    let given = !args.filename.is_empty() || !args.delete.is_empty();
    if given && changes.is_empty() {
        failures.push(Failure("the change has no object in it; check the files of -f and --delete".to_owned()));
    }
    if failures.is_empty() { Ok(Input { snapshot, changes, texts }) } else { Err(failures) }
}

/// Reads the state of a cluster.
pub(in crate::cli) fn snapshot(
    paths: &[PathBuf],
    recursive: bool,
    texts: &mut BTreeMap<String, String>,
) -> Result<Snapshot, Vec<Failure>> {
    let mut loader = Loader::default();
    let files = files(paths, recursive).map_err(|failure| vec![failure])?;
    for path in &files {
        let (name, text) = text(path, texts).map_err(|failure| vec![failure])?;
        loader.read(&name, &text).map_err(|error| vec![Failure(error.to_string())])?;
    }
    let loaded = loader.finish();
    let twice = loaded.duplicates.iter().map(|twice| {
        let (before, again) = (place(&twice.before), place(&twice.again));
        Failure(format!("{again}: {} is in the snapshot already, at {before}; keep one of them", twice.key))
    });
    let mut failures: Vec<Failure> = twice.collect();
    if loaded.snapshot.cluster.nodes.is_empty() {
        let help = "kubectl get nodes -o yaml prints them";
        failures
            .push(Failure(format!("the snapshot has no Node, and without nodes there is nothing to judge; {help}")));
    }
    if failures.is_empty() { Ok(loaded.snapshot) } else { Err(failures) }
}

fn objects(
    paths: &[PathBuf],
    recursive: bool,
    texts: &mut BTreeMap<String, String>,
) -> Result<Vec<Manifest>, Vec<Failure>> {
    let mut all = Vec::new();
    for path in files(paths, recursive).map_err(|failure| vec![failure])? {
        let (name, text) = text(&path, texts).map_err(|failure| vec![failure])?;
        all.extend(manifests(&name, &text).map_err(|error| vec![Failure(error.to_string())])?);
    }
    Ok(all)
}

/// Reads a LifelineConfig. Its mistakes are shown with an excerpt each.
pub(in crate::cli) fn config(path: &Path) -> Result<Config, Vec<Failure>> {
    let name = input::name(path);
    let text = input::text(path, &codes::SNAPSHOT_UNREADABLE).map_err(|finding| vec![Failure(finding.message)])?;
    Config::read(&text).map_err(|errors| {
        let source = show::Source { name: &name, text: &text };
        let mut stderr = anstream::stderr().lock();
        for error in &errors {
            let _ = writeln!(stderr, "{}\n", show::text(&mistake(error), Some(source), true));
        }
        let mistakes = if errors.len() == 1 { "one mistake".to_owned() } else { format!("{} mistakes", errors.len()) };
        vec![Failure(format!("{name}: {mistakes} in the configuration; nothing was judged"))]
    })
}

fn mistake(error: &ConfigError) -> Finding {
    let at = Location { line: error.line, column: error.column, bytes: error.bytes.clone() };
    let finding = Finding::new(lifelines::of(error.code), error.message.clone()).at(error.path.clone(), Some(at));
    match &error.help {
        Some(help) => finding.help(help.clone()),
        None => finding,
    }
}

fn text(path: &Path, texts: &mut BTreeMap<String, String>) -> Result<(String, String), Failure> {
    let name = input::name(path);
    let text = input::text(path, &codes::SNAPSHOT_UNREADABLE).map_err(|finding| Failure(finding.message))?;
    texts.insert(name.clone(), text.clone());
    Ok((name, text))
}

/// The files that paths mean, in the order given, those of a directory by name.
fn files(paths: &[PathBuf], recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = all.len();
            directory(path, recursive, &mut BTreeSet::new(), &mut all)?;
            if all.len() == before {
                let deeper = if recursive { "" } else { ", and -R for those in directories below" };
                return Err(Failure(format!(
                    "{}: no .yaml, .yml or .json file in it; check the path{deeper}",
                    path.display()
                )));
            }
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}

fn directory(
    path: &Path,
    recursive: bool,
    seen: &mut BTreeSet<PathBuf>,
    all: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure(format!("{}: {error}", path.display()));
    // A link to a directory above would lead round and round.
    if !seen.insert(path.canonicalize().map_err(unreadable)?) {
        return Ok(());
    }
    let entries: Result<Vec<PathBuf>, _> =
        std::fs::read_dir(path).map_err(unreadable)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries.map_err(unreadable)?;
    entries.sort();
    for entry in entries {
        let ending = entry.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if entry.is_dir() {
            if recursive {
                directory(&entry, recursive, seen, all)?;
            }
        } else if ENDINGS.contains(&ending) {
            all.push(entry);
        }
    }
    Ok(())
}

/// `file:line`.
fn place(source: &Source) -> String {
    format!("{}:{}", source.file, source.line)
}

//! Reading a state and a change to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use policy::lifeline::config::{Config, ConfigError};
use policy::lifeline::judge::Change;
use policy::snapshot::{Key, Loader, Manifest, Snapshot, Source, manifests};

use crate::cli::args::{CheckArgs, StateArgs};
#[cfg(feature = "live")]
use crate::cli::live;
use crate::cli::{Exit, complain, input};
use crate::finding::codes::{command as codes, lifelines};
use crate::finding::{Finding, Location, has_errors, show};
use crate::matrix::{self, Expanded, Settings};

/// Endings of files that hold manifests.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// API group of what is for this program, and in no cluster.
const OWN_GROUP: &str = "lifeline.dev";

/// Why something cannot be read, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Failure {
    message: String,
    /// How the command ends for it.
    exit: Exit,
}

impl Failure {
    /// The input is at fault.
    pub(in crate::cli) fn input(message: String) -> Self {
        Self { message, exit: Exit::BadInput }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// Says what cannot be read.
pub(in crate::cli) fn refuse(failures: &[Failure]) -> Exit {
    for failure in failures {
        complain(&failure.to_string());
    }
    failures.first().map_or(Exit::BadInput, |failure| failure.exit)
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
    let snapshot = state(&args.state, &mut texts)?;
    let mut changes = Vec::new();
    let mut places: BTreeMap<Key, String> = BTreeMap::new();
    let mut failures = Vec::new();
    for (paths, put) in [(&args.filename, true), (&args.delete, false)] {
        for manifest in objects(paths, args.state.recursive, &mut texts)? {
            let place = manifest.source.as_deref().map(place).unwrap_or_default();
            if manifest.key.group == OWN_GROUP {
                let help = if manifest.key.kind == "LifelineConfig" {
                    "give it with --config"
                } else {
                    "translate it with --cni, and check the objects that come of it"
                };
                failures.push(Failure::input(format!("{place}: {} is no object of a cluster; {help}", manifest.key)));
            }
            if let Some(before) = places.insert(manifest.key.clone(), place.clone()) {
                let message =
                    format!("{place}: {} is in the change already, at {before}; keep one of them", manifest.key);
                failures.push(Failure::input(message));
            }
            changes.push(if put { Change::Put(manifest) } else { Change::Delete(manifest.key) });
        }
    }
    let given = !args.filename.is_empty() || !args.delete.is_empty();
    if given && changes.is_empty() {
        failures.push(Failure::input("the change has no object in it; check the files of -f and --delete".to_owned()));
    }
    if failures.is_empty() { Ok(Input { snapshot, changes, texts }) } else { Err(failures) }
}

/// Reads the state of a cluster, from files or from the cluster itself.
pub(in crate::cli) fn state(args: &StateArgs, texts: &mut BTreeMap<String, String>) -> Result<Snapshot, Vec<Failure>> {
    #[cfg(feature = "live")]
    if args.live {
        let lists = live::read(&args.connection).map_err(|message| vec![Failure { message, exit: Exit::Io }])?;
        texts.extend(lists);
        return load(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    }
    snapshot(&args.snapshot, args.recursive, texts)
}

/// Reads the state of a cluster from files.
pub(in crate::cli) fn snapshot(
    paths: &[PathBuf],
    recursive: bool,
    texts: &mut BTreeMap<String, String>,
) -> Result<Snapshot, Vec<Failure>> {
    let mut files = Vec::new();
    for path in self::files(paths, recursive).map_err(|failure| vec![failure])? {
        files.push(text(&path, texts).map_err(|failure| vec![failure])?);
    }
    load(files.iter().map(|(name, text)| (name.as_str(), text.as_str())))
}

/// Puts a state together of named texts.
fn load<'t>(texts: impl Iterator<Item = (&'t str, &'t str)>) -> Result<Snapshot, Vec<Failure>> {
    let mut loader = Loader::default();
    for (name, text) in texts {
        loader.read(name, text).map_err(|error| vec![Failure::input(error.to_string())])?;
    }
    let loaded = loader.finish();
    let twice = loaded.duplicates.iter().map(|twice| {
        let (before, again) = (place(&twice.before), place(&twice.again));
        Failure::input(format!("{again}: {} is in the snapshot already, at {before}; keep one of them", twice.key))
    });
    let mut failures: Vec<Failure> = twice.collect();
    if loaded.snapshot.cluster.nodes.is_empty() {
        let help = "kubectl get nodes -o yaml prints them";
        let message = format!("the snapshot has no Node, and without nodes there is nothing to judge; {help}");
        failures.push(Failure::input(message));
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
        all.extend(manifests(&name, &text).map_err(|error| vec![Failure::input(error.to_string())])?);
    }
    Ok(all)
}

/// Reads a LifelineConfig. Its mistakes are shown with an excerpt each.
pub(in crate::cli) fn config(path: &Path) -> Result<Config, Vec<Failure>> {
    let name = input::name(path);
    let text =
        input::text(path, &codes::SNAPSHOT_UNREADABLE).map_err(|finding| vec![Failure::input(finding.message)])?;
    Config::read(&text).map_err(|errors| {
        let source = show::Source { name: &name, text: &text };
        let mut stderr = anstream::stderr().lock();
        for error in &errors {
            let _ = writeln!(stderr, "{}\n", show::text(&mistake(error), Some(source), true));
        }
        let mistakes = if errors.len() == 1 { "one mistake".to_owned() } else { format!("{} mistakes", errors.len()) };
        vec![Failure::input(format!("{name}: {mistakes} in the configuration; nothing was judged"))]
    })
}

/// Reads a port matrix, and gives back its text too. Findings are shown with an excerpt each.
pub(in crate::cli) fn matrix(
    path: &Path,
    set: &[(String, String)],
    addons: &[(String, bool)],
) -> Result<(Expanded, String), Vec<Failure>> {
    let name = input::name(path);
    let text = input::matrix(path).map_err(|finding| vec![Failure::input(finding.message)])?;
    // Whether an administrator gets in is for the one who writes policies of the matrix.
    let settings = Settings { set: set.to_vec(), addons: addons.to_vec(), no_admin_path: true, ..Settings::default() };
    let (matrix, findings) = matrix::expand(&text, &name, &settings);
    match (matrix, show(&findings, &name, &text)) {
        (Some(matrix), false) => Ok((matrix, text)),
        _ => Err(vec![Failure::input(format!("{name}: the matrix cannot be read"))]),
    }
}

/// Shows findings about a file; whether any is an error.
pub(in crate::cli) fn show(findings: &[Finding], name: &str, text: &str) -> bool {
    let mut stderr = anstream::stderr().lock();
    for finding in findings {
        let _ = writeln!(stderr, "{}\n", show::text(finding, Some(show::Source { name, text }), true));
    }
    has_errors(findings)
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
    let text = input::text(path, &codes::SNAPSHOT_UNREADABLE).map_err(|finding| Failure::input(finding.message))?;
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
                return Err(Failure::input(format!(
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
    let unreadable = |error: std::io::Error| Failure::input(format!("{}: {error}", path.display()));
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

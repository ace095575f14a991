//! Writing objects: one stream, or one file each.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use serde::Serialize;

use crate::render::Manifest;

/// Writing a host endpoint costs some 10 microseconds, a thread about as much as ten of them.
const OBJECTS_PER_THREAD: usize = 256;

/// Objects as one YAML stream. `header` is a comment without `#`, one line.
///
/// # Errors
///
/// An object cannot be written as YAML, which is a defect of this program.
pub fn yaml(objects: &[Manifest], header: Option<&str>) -> Result<String, serde_saphyr::ser::Error> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(objects.len() / OBJECTS_PER_THREAD + 1);
    let part = objects.len().div_ceil(threads).max(1);
    let parts = thread::scope(|scope| {
        let (here, others) = objects.split_at(part.min(objects.len()));
        let others: Vec<_> = others.chunks(part).map(|objects| scope.spawn(|| documents(objects))).collect();
        let mut parts = vec![documents(here)];
        parts.extend(others.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))));
        parts
    });
    let mut text = String::new();
    if let (Some(header), false) = (header, objects.is_empty()) {
        text.push_str(&format!("# {header}\n"));
    }
    for part in parts {
        text.push_str(&part?);
    }
    Ok(text)
}

fn documents(objects: &[Manifest]) -> Result<String, serde_saphyr::ser::Error> {
    let mut text = String::with_capacity(objects.len() * 1024);
    for manifest in objects {
        text.push_str("---\n");
        write_yaml(&mut text, &manifest.object)?;
    }
    Ok(text)
}

fn write_yaml(text: &mut String, value: &impl Serialize) -> Result<(), serde_saphyr::ser::Error> {
    // A selector folded over lines may end in a line break, which Calico's selector language refuses.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_fmt_writer_with_options(&mut *text, value, options)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<&'a crate::render::AnyObject>,
}

/// Objects as one JSON `List`, in order.
///
/// # Errors
///
/// An object cannot be written as JSON, which is a defect of this program.
pub fn json(objects: &[Manifest]) -> Result<String, serde_json::Error> {
    let items = objects.iter().map(|manifest| &manifest.object).collect();
    let mut text = serde_json::to_string_pretty(&List { api_version: "v1", kind: "List", items })?;
    text.push('\n');
    Ok(text)
}

/// Name of the file that lists what a run wrote into a directory.
const INDEX: &str = ".lifeline-files";

/// Why a directory was not written.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The file system said no.
    #[error("{action} {path}: {error}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        error: io::Error,
    },
    /// A file of this name is somebody else's.
    #[error("{path} was not written by translate; move it away, or choose another directory", path = .0.display())]
    Foreign(PathBuf),
    /// An object cannot be written as YAML.
    #[error(transparent)]
    Yaml(#[from] serde_saphyr::ser::Error),
}

/// Writes one file per object, named so that their order is the order of application.
///
/// All files are written beside their places first, and moved only when every one is complete; files of an earlier run that
/// are no longer wanted are removed, files of others are never touched.
///
/// # Errors
///
/// The directory or a file in it cannot be written, or a file of others is in the way. Then nothing has changed.
pub fn directory(path: &Path, objects: &[Manifest], header: Option<&str>) -> Result<(), DirectoryError> {
    let io_error = |action: &'static str, path: &Path| {
        let path = path.to_owned();
        move |error| DirectoryError::Io { action, path, error }
    };
    let existed = path.is_dir();
    fs::create_dir_all(path).map_err(io_error("cannot create", path))?;
    let index = path.join(INDEX);
    let earlier: BTreeSet<String> = match fs::read_to_string(&index) {
        Ok(text) => text.lines().map(str::to_owned).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
        Err(error) => return Err(io_error("cannot read", &index)(error)),
    };
    let width = objects.len().to_string().len().max(2);
    let mut files = Vec::with_capacity(objects.len() + 1);
    for (number, manifest) in objects.iter().enumerate() {
        let title = manifest.object.title().to_lowercase().replace('/', "-");
        let name = format!("{number:0width$}-{title}.yaml");
        if !earlier.contains(&name) && path.join(&name).exists() {
            return Err(DirectoryError::Foreign(path.join(&name)));
        }
        let mut text = header.map(|header| format!("# {header}\n")).unwrap_or_default();
        write_yaml(&mut text, &manifest.object)?;
        files.push((name, text));
    }
    let names: BTreeSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
    files.push((INDEX.to_owned(), names.iter().map(|name| format!("{name}\n")).collect()));

    let staged = |name: &str| path.join(format!(".{name}.new"));
    let result = files.iter().try_for_each(|(name, text)| {
        let place = staged(name);
        write_synced(&place, text).map_err(io_error("cannot write", &place))
    });
    if let Err(error) = result {
        for (name, _) in &files {
            let _ = fs::remove_file(staged(name));
        }
        if !existed {
            let _ = fs::remove_dir(path);
        }
        return Err(error);
    }
    for (name, _) in &files {
        let place = path.join(name);
        fs::rename(staged(name), &place).map_err(io_error("cannot replace", &place))?;
    }
    for name in earlier.difference(&names).filter(|name| !name.contains('/')) {
        let place = path.join(name);
        match fs::remove_file(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("cannot remove", &place)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Writes a file whole or not at all.
///
/// # Errors
///
/// The file system said no; the file is as it was.
pub fn file(path: &Path, text: &str) -> io::Result<()> {
    // A device or a pipe (`/dev/stderr`) cannot be moved onto.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let staged = path.with_file_name(name);
    write_synced(&staged, text).and_then(|()| fs::rename(&staged, path)).inspect_err(|_| {
        let _ = fs::remove_file(&staged);
    })
}

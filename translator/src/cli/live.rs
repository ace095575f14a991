//! `translate snapshot`, and `--live`: what a judgement needs, from a cluster itself.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::args::{ConnectionArgs, SnapshotArgs};
use super::progress::Progress;
use super::{Exit, complain};
use crate::live::{Connection, capture};
use crate::output;

pub(super) fn run(args: &SnapshotArgs) -> Exit {
    let lists = match read(&args.connection) {
        Ok(lists) => lists,
        Err(message) => {
            complain(&message);
            return Exit::Io;
        }
    };
    match write(&args.output, &lists) {
        Ok(()) => Exit::Clean,
        Err(error) => {
            complain(&format!("cannot write {}: {error}; nothing is written", args.output.display()));
            Exit::Io
        }
    }
}

/// Reads a cluster: lists of manifests, each with the name of a file for it.
pub(super) fn read(args: &ConnectionArgs) -> Result<Vec<(String, String)>, String> {
    let ConnectionArgs { kubeconfig, context, user, groups, request_timeout } = args;
    let connection = Connection {
        kubeconfig: kubeconfig.clone(),
        context: context.clone(),
        user: user.clone(),
        groups: groups.clone(),
        timeout: request_timeout.map(Duration::from_secs),
    };
    let progress = Progress::new();
    let captured =
        capture(&connection, &|what| progress.show(&format!("reading {what}"))).map_err(|error| error.to_string())?;
    Ok(captured.into_iter().map(|one| (format!("{}.json", one.name), format!("{:#}\n", one.list))).collect())
}

/// Writes a directory whole or not at all. One that has anything in it is somebody else's.
fn write(path: &Path, lists: &[(String, String)]) -> io::Result<()> {
    let there = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if there {
        return Err(io::Error::other("it is not empty; remove it, or choose another"));
    }
    let mut name = path.file_name().ok_or_else(|| io::Error::other("it has no name"))?.to_owned();
    name.push(".new");
    let staged = path.with_file_name(name);
    fs::create_dir(&staged)?;
    let written = lists.iter().try_for_each(|(name, text)| output::file(&staged.join(name), text));
    written.and_then(|()| fs::rename(&staged, path)).inspect_err(|_| {
        let _ = fs::remove_dir_all(&staged);
    })
}

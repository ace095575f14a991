//! Reading what the command line names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use policy::snapshot::{Loader, Snapshot};
use serde::Deserialize;

use crate::finding::codes::{command as command_codes, matrix as codes, proof as proof_codes};
use crate::finding::{Code, Finding};
use crate::yaml::MAX_BYTES;

/// Folders within folders that are looked into.
const DEEPEST: usize = 16;

/// Reads a matrix, no further than a matrix may be long.
pub(super) fn matrix(path: &Path) -> Result<String, Finding> {
    read(path, Some(MAX_BYTES), &codes::INPUT_UNREADABLE)
}

/// Reads a file of any length.
pub(super) fn text(path: &Path, code: &'static Code) -> Result<String, Finding> {
    read(path, None, code)
}

/// Reads the manifests of a cluster: a file, or every .yaml, .yml and .json file of a folder and those below it.
pub(super) fn snapshot(path: &Path) -> Result<Snapshot, Finding> {
    let code = &proof_codes::SNAPSHOT_UNREADABLE;
    let mut files = Vec::new();
    collect(path, &mut files).map_err(|error| {
        Finding::new(code, format!("{}: {error}", name(path))).help("check the path and its permissions")
    })?;
    let mut loader = Loader::default();
    for file in files {
        let text = text(&file, code)?;
        loader.read(&name(&file), &text).map_err(|error| Finding::new(code, error.to_string()))?;
    }
    let loaded = loader.finish();
    if loaded.snapshot.cluster.nodes.is_empty() {
        let help = "kubectl get nodes,pods,namespaces -A -o json > cluster.json";
        return Err(Finding::new(code, format!("{}: there is no node in it", name(path))).help(help));
    }
    Ok(loaded.snapshot)
}

/// The files of a folder in the order of their names; links are followed no deeper than folders go.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut folders = vec![(path.to_owned(), 0)];
    if path == Path::new("-") || !std::fs::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let is_manifest = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
            if std::fs::metadata(&path)?.is_dir() {
                if depth < DEEPEST {
                    folders.push((path, depth + 1));
                }
            } else if is_manifest {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(())
}

/// How a path is shown.
pub(super) fn name(path: &Path) -> String {
    if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() }
}

fn read(path: &Path, most: Option<usize>, code: &'static Code) -> Result<String, Finding> {
    let unreadable = |why: String| {
        let finding = Finding::new(code, format!("{}: {why}", name(path)));
        finding.help("check the path and its permissions; `-` is standard input")
    };
    let mut bytes = Vec::new();
    let limit = most.map_or(u64::MAX, |most| most as u64 + 1);
    let result = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(unreadable("it is a directory".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(unreadable(error.to_string())),
        }
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    result.map_err(|error| unreadable(error.to_string()))?;
    if let Some(most) = most.filter(|most| bytes.len() > *most) {
        let message = format!("{}: it has more than the {most} bytes that are read", name(path));
        let help = "a matrix is a page or two; check that this is the right file";
        return Err(Finding::new(&codes::INPUT_TOO_LARGE, message).help(help));
    }
    String::from_utf8(bytes)
        .map_err(|error| unreadable(format!("it is not UTF-8 text, from byte {} on", error.utf8_error().valid_up_to())))
}

#[derive(Deserialize)]
struct ConfigMap {
    kind: String,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// Reads the data of the ConfigMap `cilium-config`.
pub(super) fn cilium_config(path: &Path) -> Result<BTreeMap<String, String>, Finding> {
    let code = &command_codes::CILIUM_CONFIG_UNREADABLE;
    let text = text(path, code)?;
    let wrong = |why: String| {
        Finding::new(code, format!("{}: {why}", name(path)))
            .help("make it with: kubectl -n kube-system get configmap cilium-config -o yaml")
    };
    let map: ConfigMap = serde_saphyr::from_str(&text).map_err(|error| {
        let error = error.to_string();
        wrong(format!("it is not a ConfigMap: {}", error.lines().next().unwrap_or_default()))
    })?;
    if map.kind != "ConfigMap" {
        return Err(wrong(format!("it is a `{}`, not a ConfigMap", map.kind)));
    }
    Ok(map.data)
}

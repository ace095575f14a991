//! Reading what the command line names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use crate::finding::codes::{command as command_codes, matrix as codes};
use crate::finding::{Code, Finding};
use crate::yaml::MAX_BYTES;

/// Reads a matrix, no further than a matrix may be long.
pub(super) fn matrix(path: &Path) -> Result<String, Finding> {
    read(path, Some(MAX_BYTES), &codes::INPUT_UNREADABLE)
}

/// Reads a file of any length.
pub(super) fn text(path: &Path, code: &'static Code) -> Result<String, Finding> {
    read(path, None, code)
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

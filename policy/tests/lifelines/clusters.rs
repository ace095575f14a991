//! Each folder of `tests/data/clusters` holds the objects of a cluster, perhaps a configuration, and `expected.md`: what is
//! to be detected.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use policy::lifeline::config::Config;
use policy::lifeline::detect::{Detected, detect};
use policy::snapshot::{Loader, Snapshot};

use crate::rows::{flows, missing};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/clusters").join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn snapshot(name: &str) -> Snapshot {
    let mut loader = Loader::default();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder(name)).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|it| it == "yaml")) {
        let file = path.file_name().expect("a file").to_string_lossy();
        if file != "config.yaml" {
            loader.read(&file, &read(path)).expect("manifests");
        }
    }
    let loaded = loader.finish();
    assert_eq!((loaded.duplicates, loaded.ignored), (Vec::new(), [].into()), "{name}");
    loaded.snapshot
}

fn config(name: &str) -> Config {
    let path = folder(name).join("config.yaml");
    if !path.exists() {
        return Config::default();
    }
    Config::read(&read(&path)).unwrap_or_else(|errors| panic!("{name}: {errors:?}"))
}

/// Rows of the table whose first column has a name, cells trimmed and without backticks.
fn table(text: &str, first: &str) -> BTreeSet<String> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()
    };
    let mut lines = text.lines();
    assert!(lines.any(|line| line.starts_with('|') && cells(line)[0] == first), "there is no table of {first}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let mut all = BTreeSet::new();
    for line in rows {
        assert!(all.insert(cells(line).join(" | ")), "{line} stands twice");
    }
    all
}

/// One row for each lifeline that an origin tells of.
fn origins(detected: &Detected) -> BTreeSet<String> {
    let row = |id: &str, origin: &policy::lifeline::Origin| {
        let object = origin.object.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{object} | {} | {id}", origin.field)
    };
    let lifelines = detected.lifelines.iter();
    lifelines.flat_map(|lifeline| lifeline.origins.iter().map(|origin| row(&lifeline.id, origin))).collect()
}

/// The same of the table, which has one row for each origin.
fn expected_origins(text: &str) -> BTreeSet<String> {
    let apart = |row: String| {
        let (origin, ids) = row.rsplit_once(" | ").expect("three columns");
        ids.split(' ').map(|id| format!("{origin} | {id}")).collect::<Vec<_>>()
    };
    table(text, "object").into_iter().flat_map(apart).collect()
}

fn compare(name: &str, what: &str, expected: &BTreeSet<String>, found: &BTreeSet<String>) -> Vec<String> {
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>, sign: &str| -> Vec<String> {
        a.difference(b).map(|row| format!("{name} {what} {sign} {row}")).collect()
    };
    [only(expected, found, "-"), only(found, expected, "+")].concat()
}

/// What differs from the expected tables: `-` was not found, `+` was not expected.
fn differences(name: &str) -> Vec<String> {
    let snapshot = snapshot(name);
    let detected = detect(&snapshot, &config(name));
    let expected = read(&folder(name).join("expected.md"));
    [
        compare(name, "flows", &table(&expected, "lifeline"), &flows(&detected, &snapshot)),
        compare(name, "origins", &expected_origins(&expected), &origins(&detected)),
        compare(name, "missing", &table(&expected, "missing"), &missing(&detected)),
    ]
    .concat()
}

#[test]
fn lifelines_are_those_written_down() {
    let mut names: Vec<String> = std::fs::read_dir(folder(""))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let differences: Vec<String> = names.iter().flat_map(|name| differences(name)).collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

//! Every preset comes to what the tables of its distribution say, for each of its toggles.
//!
//! The tables are in `data/expansions`, written down from the sources and not from the presets; its README has the format.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::LazyLock;

use policy::net::Family;
use serde::Deserialize;
use translator::finding::{Finding, Severity};
use translator::matrix::{Action, Direction, Expanded, Peer, PortRange, Row, Settings, Traffic, expand, lint};
use translator::presets;

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expansion {
    preset: String,
    source: String,
    cni: String,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    addons: BTreeMap<String, bool>,
    #[serde(default)]
    no_admin_path: bool,
    roles: BTreeMap<String, Role>,
    #[serde(default)]
    counts: BTreeMap<String, usize>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    ingress: BTreeSet<Entry>,
    egress: Option<BTreeSet<Entry>>,
}

/// One row and one of its protocols.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    protocol: String,
    #[serde(default)]
    ports: Option<String>,
    #[serde(default)]
    source_ports: Option<String>,
    #[serde(default)]
    types: Option<Vec<u8>>,
    #[serde(alias = "to")]
    from: BTreeSet<String>,
}

/// File name without extension, and what is in it.
static EXPANSIONS: LazyLock<Vec<(String, Expansion)>> = LazyLock::new(|| {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/expansions");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the directory is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            let text = std::fs::read_to_string(&path).expect("readable");
            let expansion = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, expansion)
        })
        .collect()
});

impl Expansion {
    fn settings(&self) -> Settings {
        Settings {
            set: self.set.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            addons: self.addons.iter().map(|(name, on)| (name.clone(), *on)).collect(),
            cni: Some(self.cni.clone()),
            no_admin_path: self.no_admin_path,
            ..Settings::default()
        }
    }
}

fn join(ranges: &[PortRange]) -> Option<String> {
    let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    (!ranges.is_empty()).then(|| ranges.join(","))
}

fn protocol(number: u8) -> String {
    match number {
        4 => "IPIP".to_owned(),
        50 => "ESP".to_owned(),
        112 => "VRRP".to_owned(),
        number => number.to_string(),
    }
}

fn peers(matrix: &Expanded, row: &Row) -> BTreeSet<String> {
    let words = |peer: &Peer| match peer {
        Peer::Any => vec!["any".to_owned()],
        Peer::Nodes => vec!["nodes".to_owned()],
        Peer::Pods => vec!["pods".to_owned()],
        Peer::Services => vec!["services".to_owned()],
        Peer::Localhost => vec!["localhost".to_owned()],
        Peer::Role(role) => vec![format!("role:{}", matrix.roles[*role].name)],
        Peer::Cidrs { cidrs, .. } => cidrs.iter().map(ToString::to_string).collect(),
        Peer::NodeSelector { .. } | Peer::PodSelector { .. } | Peer::Fqdns { .. } => {
            panic!("{}: the format has no word for {peer:?}", row.title())
        }
    };
    row.peers.iter().flat_map(words).collect()
}

fn entries(matrix: &Expanded, row: &Row) -> Vec<Entry> {
    let plain =
        row.except.is_empty() && row.action == Action::Allow && row.family.is_none() && row.interfaces.is_none();
    assert!(plain, "{}: the format has no words for all of it", row.title());
    let from = peers(matrix, row);
    let entry = |traffic: &Traffic| {
        let (protocol, ports, source_ports, types) = match traffic {
            Traffic::Any => ("Any".to_owned(), None, None, None),
            Traffic::Ports { transport, ports, source_ports } => {
                (transport.name().to_owned(), join(ports), join(source_ports), None)
            }
            Traffic::Icmp { family, types } => {
                let name = if *family == Family::IPv4 { "ICMP" } else { "ICMPv6" };
                assert!(types.iter().all(|one| one.code.is_none()), "{}: the format has no codes", row.title());
                let types: Vec<u8> = types.iter().map(|one| one.icmp_type).collect();
                (name.to_owned(), None, None, (!types.is_empty()).then_some(types))
            }
            Traffic::Number(number) => (protocol(*number), None, None, None),
        };
        Entry { protocol, ports, source_ports, types, from: from.clone() }
    };
    row.traffic.iter().map(entry).collect()
}

fn rows(matrix: &Expanded, role: usize, direction: Direction) -> impl Iterator<Item = &Row> {
    matrix.rows.iter().filter(move |row| row.direction == direction && row.roles.contains(&role))
}

/// What is missing and what is too much, one line each.
fn difference(wanted: &BTreeSet<Entry>, found: &BTreeSet<Entry>) -> Vec<String> {
    let missing = wanted.difference(found).map(|entry| format!("missing: {entry:?}"));
    let extra = found.difference(wanted).map(|entry| format!("too much: {entry:?}"));
    missing.chain(extra).collect()
}

/// How an expansion differs from its table.
fn check(expansion: &Expansion) -> Vec<String> {
    let Some(preset) = presets::find(&expansion.preset) else {
        return vec![format!("there is no preset `{}`", expansion.preset)];
    };
    let (matrix, findings) = expand(preset.text, preset.name, &expansion.settings());
    let Some(matrix) = matrix else {
        return findings.iter().map(|finding| format!("{}: {}", finding.code.id, finding.message)).collect();
    };
    let mut differences = Vec::new();
    if expansion.source.is_empty() {
        differences.push("no source is named".to_owned());
    }
    let wanted: BTreeSet<&str> = expansion.roles.keys().map(String::as_str).collect();
    let found: BTreeSet<&str> = matrix.roles.iter().map(|role| role.name.as_str()).collect();
    if wanted != found {
        differences.push(format!("roles: {wanted:?} in the table, {found:?} in the preset"));
    }
    for (index, role) in matrix.roles.iter().enumerate() {
        let Some(wanted) = expansion.roles.get(&role.name) else { continue };
        let of = |direction| rows(&matrix, index, direction).flat_map(|row| entries(&matrix, row)).collect();
        let mut compare = |direction: Direction, wanted: &BTreeSet<Entry>| {
            let lines = difference(wanted, &of(direction));
            differences.extend(lines.into_iter().map(|line| format!("{} {direction}: {line}", role.name)));
        };
        compare(Direction::Ingress, &wanted.ingress);
        match (&wanted.egress, matrix.frame.egress.deny) {
            (Some(egress), true) => compare(Direction::Egress, egress),
            (None, false) => {}
            (Some(_), false) => differences.push(format!("{}: the settings do not deny egress", role.name)),
            (None, true) => differences.push(format!("{}: the table has no egress", role.name)),
        }
        if let Some(count) = expansion.counts.get(&role.name) {
            // The sources count the accept for established connections, which no row is needed for.
            let accepts = rows(&matrix, index, Direction::Ingress).count() + 1;
            if accepts != *count {
                differences.push(format!("{}: {count} accepts in the table, {accepts} in the preset", role.name));
            }
        }
    }
    differences
}

#[test]
fn presets_come_to_what_the_tables_say() {
    let mut report = String::new();
    for (name, expansion) in EXPANSIONS.iter() {
        for line in check(expansion) {
            report.push_str(&format!("{name}: {line}\n"));
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// Warnings of the lints.
fn warnings(matrix: &Expanded) -> Vec<Finding> {
    lint(matrix).into_iter().filter(|finding| finding.severity() > Severity::Note).collect()
}

/// A warning that a table brings about on purpose.
fn is_meant(name: &str, expansion: &Expansion, code: &str) -> bool {
    match code {
        // Tables are written with addresses that nobody has.
        "lint-example-address" => true,
        // The page opens every port to anyone, and Kube-OVN's on some roles only.
        "lint-open-to-anyone" | "lint-addon-placement" => {
            expansion.set.get("sources").is_some_and(|sources| sources == "literal")
        }
        // Pods of both families, services of one.
        "lint-one-family" => name == "harvester-literal-pods",
        _ => false,
    }
}

#[test]
fn presets_come_through_the_lints() {
    let mut report = String::new();
    let mut met = BTreeSet::new();
    for (name, expansion) in EXPANSIONS.iter() {
        let Some(preset) = presets::find(&expansion.preset) else { continue };
        let Some(matrix) = expand(preset.text, preset.name, &expansion.settings()).0 else { continue };
        for finding in warnings(&matrix) {
            met.insert(finding.code.id);
            if !is_meant(name, expansion, finding.code.id) {
                report.push_str(&format!("{name}: {} {}: {}\n", finding.code.id, finding.path, finding.message));
            }
        }
    }
    assert!(report.is_empty(), "{report}");
    let meant = ["lint-addon-placement", "lint-example-address", "lint-one-family", "lint-open-to-anyone"];
    assert_eq!(met.into_iter().collect::<Vec<_>>(), meant, "what is meant to be found is found");
}

#[test]
fn taking_a_lifeline_from_a_preset_is_noticed() {
    for (name, expansion) in EXPANSIONS.iter().filter(|(name, expansion)| *name == expansion.preset) {
        let preset = presets::find(&expansion.preset).expect("a preset");
        let (matrix, _) = expand(preset.text, preset.name, &expansion.settings());
        let matrix = matrix.unwrap_or_else(|| panic!("{name}"));
        for (flow, code) in [
            ("kubelet-api", "lint-missing-lifeline"),
            ("kube-apiserver", "lint-missing-lifeline"),
            ("supervisor", "lint-missing-lifeline"),
            ("overlay", "lint-missing-overlay"),
        ] {
            let mut without = matrix.clone();
            // Agents' tunnels are on the port of the API server (K3s) or of the supervisor (RKE2).
            let shares = |row: &Row| {
                matches!(flow, "kube-apiserver" | "supervisor") && row.flow.as_deref() == Some("exec-tunnel")
            };
            without.rows.retain(|row| row.flow.as_deref() != Some(flow) && !shares(row));
            if without.rows.len() == matrix.rows.len() || carried_otherwise(&matrix, flow) {
                continue;
            }
            let found = warnings(&without).iter().any(|finding| finding.code.id == code);
            assert!(found, "{name} without {flow}");
        }
    }
}

/// Whether a preset's rows of a flow are not what the flow rests on.
fn carried_otherwise(matrix: &Expanded, flow: &str) -> bool {
    let ingress =
        matrix.rows.iter().any(|row| row.flow.as_deref() == Some(flow) && row.direction == Direction::Ingress);
    // The ends of these are on the control plane, which need not be on nodes.
    let elsewhere = matrix.cluster.hosted_control_plane && matches!(flow, "kube-apiserver" | "supervisor");
    elsewhere || (!ingress && !matrix.frame.egress.deny)
}

#[test]
fn every_preset_has_a_table_for_its_fewest_settings() {
    let named: BTreeSet<&str> = EXPANSIONS.iter().map(|(name, _)| name.as_str()).collect();
    for preset in presets::all() {
        assert!(named.contains(preset.name), "write tests/data/expansions/{}.yaml", preset.name);
    }
}

#[test]
fn files_are_named_after_their_preset() {
    for (name, expansion) in EXPANSIONS.iter() {
        let rest = name.strip_prefix(&expansion.preset);
        assert!(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-')), "{name}: {}", expansion.preset);
    }
}

#[test]
fn a_table_that_differs_is_noticed() {
    let (_, expansion) = EXPANSIONS.iter().find(|(name, _)| name == "harvester").expect("a table");
    let mut expansion = expansion.clone();
    assert_eq!(check(&expansion), [""; 0]);
    let role = expansion.roles.get_mut("worker").expect("a role");
    let first = role.ingress.pop_first().expect("an entry");
    let other = Entry { ports: Some("1".to_owned()), ..first };
    role.ingress.insert(other);
    let differences = check(&expansion);
    assert!(differences.len() == 2 && differences[0].starts_with("worker ingress: missing"), "{differences:?}");
    expansion.counts.insert("worker".to_owned(), 1);
    assert_eq!(check(&expansion).len(), 3);
}

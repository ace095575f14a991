//! Reads a matrix and expands it in one pass: parameters first, then everything that refers to them.

mod context;
mod enforcement;
mod frame;
mod labels;
mod parameters;
mod peers;
mod roles;
mod rows;
mod values;
mod when;

use policy::net::Cidr;
use sha2::{Digest, Sha256};

use self::context::Context;
use self::when::Facts;
use super::{Direction, Expanded, Peer, Settings, Traffic, Transport};
use crate::finding::codes::matrix as codes;
use crate::finding::{Finding, Severity, has_errors};
use crate::yaml;

/// `apiVersion` of a matrix.
pub const API_VERSION: &str = "lifeline.dev/v1alpha1";
/// `kind` of a matrix.
pub const KIND: &str = "PortMatrix";

/// Reads a matrix and expands it.
///
/// `source` is how the matrix is called in the output (`preset harvester`, a file name). The matrix is returned unless a
/// finding is an error; then all errors of the text are in the list.
pub fn expand(text: &str, source: &str, settings: &Settings) -> (Option<Expanded>, Vec<Finding>) {
    let (root, mut findings) = yaml::read(text);
    let Some(root) = root else { return (None, findings) };
    let mut context = Context::new();
    let expanded = matrix(&mut context, &root, text, source, settings);
    // A value that readers disagree about is reported as that, not again for what one reading of it would be.
    let reported: Vec<_> = findings.iter().filter_map(|finding| finding.at.clone()).collect();
    findings.extend(
        context.findings.into_iter().filter(|finding| finding.at.as_ref().is_none_or(|at| !reported.contains(at))),
    );
    findings.sort_by_key(|finding| finding.at.as_ref().map_or(0, |at| at.bytes.start));
    if has_errors(&findings) {
        // What follows from a mistake is no news next to it.
        findings.retain(|finding| finding.severity() > Severity::Note);
        return (None, findings);
    }
    (expanded, findings)
}

fn matrix(context: &mut Context, root: &yaml::Node, text: &str, source: &str, settings: &Settings) -> Option<Expanded> {
    // Another kind of object would only give a list of unknown fields; say what is wrong instead.
    if let yaml::Value::Map(entries) = &root.value {
        let value = |name: &str| {
            entries.iter().find(|(key, _)| key.text == name).and_then(|(_, node)| match &node.value {
                yaml::Value::Scalar { text, .. } => Some((text.as_str(), node)),
                _ => None,
            })
        };
        for (name, wanted) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            if let Some((found, node)) = value(name)
                && found != wanted
            {
                let message = format!("`{name}` is `{found}`, not `{wanted}`");
                context.report(&codes::WRONG_KIND, node, name, message, format!("write `{name}: {wanted}`"));
            }
        }
        if !context.findings.is_empty() {
            return None;
        }
    }
    let top = context.fields(root, "", &["apiVersion", "kind", "metadata", "spec"])?;
    context.required(&top, "apiVersion", &format!("write `apiVersion: {API_VERSION}`"));
    context.required(&top, "kind", &format!("write `kind: {KIND}`"));
    let name = metadata(context, &top);
    let spec = context.required(&top, "spec", "the matrix itself goes under `spec`")?;
    let spec =
        context.fields(spec, "spec", &["parameters", "addons", "cluster", "peers", "enforcement", "roles", "rows"])?;
    if !within_limits(context, &spec) {
        return None;
    }
    context.read_parameters(spec.get("parameters"), settings);
    let addons = context.read_addons(spec.get("addons"), settings);
    let (mut cluster, stated) = context.cluster(spec.get("cluster"), settings);
    let frame = context.enforcement(spec.get("enforcement"));
    let roles = context.roles(&spec);
    let peers = context.peers(spec.get("peers"), &roles);
    let facts = Facts::new(&cluster, stated, addons, settings, context);
    facts.complete(&mut cluster);
    let rows = context.rows(&spec, &roles, &peers, &facts);
    let (frame, options) = frame?;
    let expanded = Expanded {
        name: name?,
        source: source.to_owned(),
        digest: digest(text, settings),
        frame_rows: frame::rows(&frame, &options, roles.len()),
        cluster,
        frame,
        roles,
        rows,
    };
    if !has_errors(&context.findings) && !settings.no_admin_path && !has_admin_path(&expanded) {
        let mut parameters: Vec<String> =
            context.admin_parameters.iter().map(|name| format!("--set {name}=CIDR")).collect();
        parameters.sort();
        parameters.dedup();
        let help = if parameters.is_empty() {
            "add a row with `flow: admin-ssh`; `--no-admin-path` says that another way in exists".to_owned()
        } else {
            format!("give {}; `--no-admin-path` says that another way in exists", parameters.join(" or "))
        };
        let finding = Finding::new(&codes::NO_ADMIN_PATH, "no row in force lets an administrator in from outside");
        context.findings.push(finding.at("spec.rows", None).help(help));
    }
    // In a direction that is open anyway, nothing is lost with such a row.
    for row in std::mem::take(&mut context.vanished) {
        let denied = match row.direction {
            Direction::Ingress => expanded.frame.ingress.deny,
            Direction::Egress => expanded.frame.egress.deny,
        };
        if denied {
            context.findings.push(row.finding);
        }
    }
    Some(expanded)
}

/// Most entries of a part of the matrix. Real matrices have a tenth of it; checks compare entries pair by pair.
const MOST: [(&str, usize); 5] = [("parameters", 200), ("addons", 200), ("peers", 500), ("roles", 64), ("rows", 2_000)];

fn within_limits(context: &mut Context, spec: &context::Fields<'_>) -> bool {
    let mut within = true;
    for (name, most) in MOST {
        let Some(node) = spec.get(name) else { continue };
        let count = match &node.value {
            yaml::Value::Seq(items) => items.len(),
            yaml::Value::Map(entries) => entries.len(),
            yaml::Value::Scalar { .. } => 0,
        };
        if count > most {
            let message = format!("there are {count} {name}; at most {most} are read");
            let help = "a matrix is a page or two; check that this is the right file";
            let mut at = node.at.clone();
            at.bytes.end = at.bytes.start;
            let finding = Finding::new(&codes::INPUT_TOO_LARGE, message);
            context.findings.push(finding.at(spec.at(name), Some(at)).help(help));
            within = false;
        }
    }
    within
}

fn metadata(context: &mut Context, top: &context::Fields<'_>) -> Option<String> {
    let node = context.required(top, "metadata", "write `metadata: {name: my-matrix}`")?;
    let metadata = context.fields(node, "metadata", &["name", "annotations", "labels"])?;
    for name in ["annotations", "labels"] {
        if let Some(node) = metadata.get(name) {
            let path = metadata.at(name);
            for (key, value) in context.entries(node, &path).unwrap_or_default() {
                context.text(value, &context::child(&path, &key.text));
            }
        }
    }
    let node = context.required(&metadata, "name", "the name becomes part of every object's name")?;
    let name = context.text(node, "metadata.name")?;
    if !node.is_text() || !values::is_dns_label(name, 40) {
        let message = format!("`{name}` cannot be part of an object's name");
        let help = "use lower-case letters, digits and dashes, beginning with a letter, at most 40";
        context.report(&codes::BAD_NAME, node, "metadata.name", message, help);
        return None;
    }
    Some(name.to_owned())
}

/// Whether someone from outside the cluster's nodes and pods can reach a shell or the Talos API.
fn has_admin_path(matrix: &Expanded) -> bool {
    if !matrix.frame.ingress.deny {
        return true;
    }
    matrix.rows.iter().any(|row| {
        let admin_flow = matches!(row.flow.as_deref(), Some("admin-ssh" | "admin-talos"));
        let admin_port = row.traffic.iter().any(|traffic| match traffic {
            Traffic::Any => true,
            Traffic::Ports { transport: Transport::Tcp, ports, .. } => {
                ports.is_empty()
                    || [22, 50000]
                        .iter()
                        .any(|port| ports.iter().any(|range| range.first <= *port && *port <= range.last))
            }
            _ => false,
        });
        // A row that says it is the way in may start in the node network, where a jump host can stand.
        let inside = |cidr: &Cidr| {
            let cluster = &matrix.cluster;
            let nodes = cluster.node_cidrs.iter().filter(|_| !admin_flow);
            nodes.chain(&cluster.pod_cidrs).chain(&cluster.service_cidrs).any(|network| network.contains(*cidr))
        };
        row.direction == Direction::Ingress
            && row.action == super::Action::Allow
            && (admin_flow || admin_port)
            && row.peers.iter().any(|peer| match peer {
                Peer::Any => true,
                Peer::Cidrs { cidrs, .. } => !cidrs.iter().all(inside),
                _ => false,
            })
    })
}

/// Digest of everything that shapes the expansion, so that two outputs can be told apart by their annotation.
fn digest(text: &str, settings: &Settings) -> String {
    let mut hasher = Sha256::new();
    let mut part = |name: &str, value: &str| {
        hasher.update(name.as_bytes());
        hasher.update(value.len().to_le_bytes());
        hasher.update(value.as_bytes());
    };
    part("matrix", text);
    // Only the last value of a name counts, and the order of names does not.
    let set: std::collections::BTreeMap<_, _> = settings.set.iter().cloned().collect();
    let addons: std::collections::BTreeMap<_, _> = settings.addons.iter().cloned().collect();
    let assume: std::collections::BTreeMap<_, _> = settings.assume.iter().cloned().collect();
    for (name, value) in &set {
        part("set", &format!("{name}={value}"));
    }
    for (name, on) in &addons {
        part("addon", &format!("{name}={on}"));
    }
    for (name, value) in &assume {
        part("assume", &format!("{name}={value}"));
    }
    part("cni", settings.cni.as_deref().unwrap_or_default());
    use std::fmt::Write as _;
    hasher.finalize().iter().fold("sha256:".to_owned(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

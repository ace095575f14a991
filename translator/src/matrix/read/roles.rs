//! `spec.roles`, and whether they exclude each other and leave nobody out.

use super::context::{Context, Fields};
use super::values::is_dns_label;
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::Role;
use crate::matrix::selectors::{self, Selector};

/// Names with a meaning of their own.
pub(super) const BUILTINS: [&str; 6] = ["any", "nodes", "pods", "services", "localhost", "all"];

impl Context {
    /// A name for a role or a peer.
    pub(super) fn check_name(&mut self, key: &crate::yaml::Key, path: &str, what: &str) {
        if BUILTINS.contains(&key.text.as_str()) {
            let help =
                "choose another name; the pods' and nodes' prefixes go to `cluster.podCIDRs` and `cluster.nodeCIDRs`";
            self.report_key(&codes::RESERVED_NAME, key, path, format!("`{}` has a meaning of its own", key.text), help);
        } else if !is_dns_label(&key.text, 30) {
            let help = "use lower-case letters, digits and dashes, beginning with a letter, at most 30";
            let message = format!("`{}` cannot be the name of a {what}", key.text);
            self.report_key(&codes::BAD_NAME, key, path, message, help);
        }
    }

    /// Reads `spec.roles`.
    pub(super) fn roles(&mut self, spec: &Fields<'_>) -> Vec<Role> {
        let Some(node) = self.required(spec, "roles", "name at least one role and its nodes") else {
            return Vec::new();
        };
        let Some(entries) = self.entries(node, "spec.roles") else { return Vec::new() };
        if entries.is_empty() {
            let help = "name at least one role: `roles: {node: {nodeSelector: {}}}`";
            self.report(&codes::NO_ROLES, node, "spec.roles", "there are no roles".to_owned(), help);
        }
        let mut roles = Vec::new();
        let mut whole = true;
        for (key, node) in entries {
            let path = format!("spec.roles.{}", key.text);
            self.check_name(key, &path, "role");
            let selector = self.fields(node, &path, &["nodeSelector"]).and_then(|fields| {
                let help = "a label selector; `{}` selects every node";
                let node = self.required(&fields, "nodeSelector", help)?;
                self.label_selector(node, &fields.at("nodeSelector"))
            });
            whole &= selector.is_some();
            // A role with a broken selector stays known by name, so that rows naming it are not reported too.
            roles.push(Role {
                name: key.text.clone(),
                selector: selector.unwrap_or_default(),
                at: Some(key.at.clone()),
            });
        }
        if whole && !roles.is_empty() {
            self.check_cover(&roles);
        }
        roles
    }

    fn check_cover(&mut self, roles: &[Role]) {
        let selectors: Vec<Selector> = roles.iter().map(|role| Selector::new(&role.selector)).collect();
        for (index, role) in roles.iter().enumerate() {
            let path = format!("spec.roles.{}", role.name);
            if !selectors[index].is_satisfiable() {
                let finding = Finding::new(&codes::BAD_SELECTOR, format!("no node can be in `{}`", role.name));
                self.findings.push(finding.at(&path, role.at.clone()).help("its requirements contradict each other"));
                continue;
            }
            for (other, wider) in roles.iter().enumerate().filter(|(other, _)| *other != index) {
                let covered = selectors[index].is_within(&selectors[other]);
                let both_ways = covered && selectors[other].is_within(&selectors[index]);
                if covered && (!both_ways || other < index) {
                    let message = format!("every node of `{}` is in `{}` too", role.name, wider.name);
                    let help = format!("exclude the labels of `{}` from `{}`", role.name, wider.name);
                    self.findings
                        .push(Finding::new(&codes::ROLES_OVERLAP, message).at(&path, role.at.clone()).help(help));
                } else if other < index
                    && !selectors[other].is_within(&selectors[index])
                    && let Some(example) = selectors[index].overlap(&selectors[other])
                {
                    let message = format!("a node with {example} is in `{}` and in `{}`", role.name, wider.name);
                    let help = "give --nodes to check the real nodes, or make the selectors exclude each other";
                    self.findings
                        .push(Finding::new(&codes::ROLES_MAY_OVERLAP, message).at(&path, role.at.clone()).help(help));
                }
            }
        }
        match selectors::gap(&selectors) {
            Some(gap) if gap.is_unlabelled() => {
                let message = "a node without any of these labels is in no role and stays open".to_owned();
                let help = "let one role take the rest, with `operator: DoesNotExist` on the others' labels";
                self.findings.push(
                    Finding::new(&codes::ROLES_GAP, message)
                        .at("spec.roles", roles.first().and_then(|role| role.at.clone()))
                        .help(help),
                );
            }
            Some(gap) => {
                let message = format!("a node with {gap} is in no role and stays open");
                let help = "check that no node is labelled so; with --nodes the real nodes are checked";
                self.findings.push(
                    Finding::new(&codes::ROLES_MAY_MISS, message)
                        .at("spec.roles", roles.first().and_then(|role| role.at.clone()))
                        .help(help),
                );
            }
            None => {}
        }
    }
}

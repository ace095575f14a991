//! Findings about the agent's configuration and the frame, before any row is looked at.

use super::context::Context;
use super::labels;
use super::row::{denied_by_default, same};
use super::{Enforcement, Version};
use crate::finding::Finding;
use crate::finding::codes::cilium::{
    CILIUM_DEFAULT_DENY_FORCED, CILIUM_ENFORCEMENT_ALWAYS, CILIUM_HOST_FIREWALL_OFF, CILIUM_IPSEC,
    CILIUM_LABEL_FILTER_UNKNOWN, CILIUM_LABEL_FILTERED, CILIUM_LABEL_LOST_ON_UPGRADE, CILIUM_NAME_INVALID,
    CILIUM_NOT_ENFORCED, CILIUM_VERSION_UNSUPPORTED, INTERFACES_AGENT_WIDE, LOG_NOT_EXPRESSIBLE,
};
use crate::matrix::{Direction, Interfaces};
use crate::render::Manifest;

/// Whether the agent denies without any policy.
pub(super) fn always(context: &Context<'_>) -> bool {
    context.options.config.enable_policy == Some(Enforcement::Always)
}

/// The findings.
pub(super) fn findings(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    version(context, &mut findings);
    enforcement(context, &mut findings);
    role_labels(context, &mut findings);
    interfaces(context, &mut findings);
    log(context, &mut findings);
    findings
}

fn version(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let version = context.version();
    if !version.is_supported() {
        let (oldest, newest) = (Version::OLDEST, Version::NEWEST);
        let message = format!("policies are written for Cilium {oldest} to {newest}, not for {version}");
        findings.push(Finding::new(&CILIUM_VERSION_UNSUPPORTED, message));
    }
}

fn enforcement(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let config = &context.options.config;
    if config.enable_non_default_deny_policies == Some(false) {
        let message = "with `enable-non-default-deny-policies: \"false\"` the first object applied would cut every flow \
                       that it does not allow";
        findings.push(Finding::new(&CILIUM_DEFAULT_DENY_FORCED, message).help("remove the setting"));
    }
    if config.enable_host_firewall != Some(true) {
        let how = if config.enable_host_firewall.is_none() { "not stated to be true" } else { "false" };
        let message = format!("`enable-host-firewall` is {how}, and nothing is enforced until it is");
        findings.push(Finding::new(&CILIUM_HOST_FIREWALL_OFF, message));
    }
    let unenforced = [
        (config.enable_policy == Some(Enforcement::Never), "enable-policy: never"),
        (config.policy_audit_mode == Some(true), "policy-audit-mode: \"true\""),
        (
            config.enable_cilium_clusterwide_network_policy == Some(false),
            "enable-cilium-clusterwide-network-policy: \"false\"",
        ),
    ];
    for (_, setting) in unenforced.iter().filter(|(set, _)| *set) {
        findings.push(Finding::new(&CILIUM_NOT_ENFORCED, format!("with `{setting}` nothing is dropped")));
    }
    if always(context) {
        let message = "with `enable-policy: always` both directions are denied before the first object exists";
        findings.push(
            Finding::new(&CILIUM_ENFORCEMENT_ALWAYS, message)
                .help("apply every object before the host firewall is switched on"),
        );
    }
    if config.enable_ipsec == Some(true) {
        let message = "`enable-ipsec` is true, and the agents do not start with it and the host firewall";
        findings.push(Finding::new(&CILIUM_IPSEC, message));
    }
}

fn role_labels(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let config = &context.options.config;
    for role in &context.matrix.roles {
        let path = format!("spec.roles.{}.nodeSelector", role.name);
        if let Some(key) = labels::dropped_of_host(&context.host_labels, &role.selector) {
            let message =
                format!("role `{}` is selected by `{key}`, which Cilium does not show to policies", role.name);
            findings.push(
                Finding::new(&CILIUM_LABEL_FILTERED, message).at(path, role.at.clone()).help(
                    "select the role by `node-role.kubernetes.io/*`, `node.kubernetes.io/*` or a label of your own",
                ),
            );
        } else if let Some(key) = labels::dropped_of_host(&config.host_labels(Version::NEWEST), &role.selector) {
            let message = format!("role `{}` is selected by `{key}`, which Cilium 1.19 drops", role.name);
            findings.push(Finding::new(&CILIUM_LABEL_LOST_ON_UPGRADE, message).at(path, role.at.clone()));
        }
    }
    if let Some(file) = config.label_prefix_file.as_deref().filter(|file| !file.is_empty()) {
        let message = format!("`label-prefix-file` is `{file}`, so which labels of the nodes are kept cannot be told");
        findings.push(Finding::new(&CILIUM_LABEL_FILTER_UNKNOWN, message));
    }
}

fn interfaces(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let devices = context.options.config.devices.as_deref().filter(|devices| !devices.is_empty());
    let message = match (&context.matrix.frame.interfaces, devices) {
        (Interfaces::All, None) => return,
        (Interfaces::Named(names), Some(devices)) if same(names, devices) => return,
        (Interfaces::All, Some(devices)) => {
            format!("the matrix polices every interface, the agents only `devices: {}`", devices.join(" "))
        }
        (Interfaces::Named(names), Some(devices)) => {
            format!("the matrix polices {}, the agents `devices: {}`", names.join(", "), devices.join(" "))
        }
        (Interfaces::Named(names), None) => {
            format!("the matrix polices {}, the agents every interface that they are attached to", names.join(", "))
        }
    };
    let wanted = match &context.matrix.frame.interfaces {
        Interfaces::All => "leave `devices` empty, so that Cilium detects them".to_owned(),
        Interfaces::Named(names) => format!("set the agent's `devices` to `{}` and state it", names.join(" ")),
    };
    findings.push(Finding::new(&INTERFACES_AGENT_WIDE, message).at("spec.enforcement.interfaces", None).help(wanted));
}

fn log(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let frame = &context.matrix.frame;
    let logged = [(Direction::Ingress, &frame.ingress), (Direction::Egress, &frame.egress)];
    let of: Vec<String> = logged
        .into_iter()
        .filter(|(direction, default)| default.log.is_some() && denied_by_default(context.matrix, *direction))
        .map(|(direction, _)| direction.to_string())
        .collect();
    if !of.is_empty() {
        let message = format!("dropped {} packets are not logged, because a Cilium policy cannot", of.join(" and "));
        findings.push(
            Finding::new(&LOG_NOT_EXPRESSIBLE, message)
                .at("spec.enforcement", None)
                .help("watch drops with `hubble observe --verdict DROPPED`"),
        );
    }
}

/// Objects whose name the API server would refuse.
pub(super) fn names(objects: &[Manifest]) -> Vec<Finding> {
    let invalid = objects.iter().map(|manifest| manifest.object.title()).find(|title| {
        let (_, name) = title.split_once('/').unwrap_or(("", title));
        !is_dns_subdomain(name)
    });
    invalid
        .map(|title| {
            let message = format!("`{title}` would not be a name that Kubernetes takes");
            Finding::new(&CILIUM_NAME_INVALID, message).object(title).help("choose another prefix")
        })
        .into_iter()
        .collect()
}

fn is_dns_subdomain(name: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        part.bytes().all(|byte| edge(byte) || byte == b'-')
            && part.bytes().next().is_some_and(edge)
            && part.bytes().last().is_some_and(edge)
    };
    name.len() <= 253 && name.split('.').all(part)
}

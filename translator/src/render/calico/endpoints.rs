//! Host endpoints: written out, or made by calico-kube-controllers.

use std::net::IpAddr;

use policy::calico::api::{
    AutoHostEndpointConfig, ControllersConfig, HostEndpointSpec, HostEndpointTemplate,
    KubeControllersConfigurationSpec, NodeControllerConfig,
};
use policy::object::ObjectMeta;

use super::fleet::Fleet;
use super::names::Names;
use super::options::{Dataplane, HostEndpoints, Options};
use super::{object, shared_metadata, wave};
use crate::finding::Finding;
use crate::finding::codes::calico as codes;
use crate::matrix::{Expanded, Interfaces};
use crate::render::loss::{Loss, Packets};
use crate::render::meta::{INTERFACE_LABEL, metadata};
use crate::render::{AnyObject, Manifest, Node};

/// Allows everything that no tier decided. It is built into Calico, not an object.
const DEFAULT_ALLOW: &str = "projectcalico-default-allow";
/// Labels of a node that mean something else on a host endpoint: pods have the first, automatic endpoints the second, and
/// calico-kube-controllers deletes what has it and is not its own.
const NOT_COPIED: [&str; 2] = ["projectcalico.org/namespace", "projectcalico.org/created-by"];

/// The objects that make the host endpoints.
pub(super) fn objects(
    matrix: &Expanded,
    options: &Options,
    fleet: &Fleet<'_>,
    findings: &mut Vec<Finding>,
    losses: &mut Vec<Loss>,
) -> Vec<Manifest> {
    let place = |finding: Finding| finding.at("spec.enforcement.interfaces", None);
    if let Interfaces::Named(names) = &matrix.frame.interfaces {
        for name in names {
            if !is_interface(name) {
                let message = format!("`{name}` is not an interface that a host endpoint can name");
                findings.push(place(Finding::new(&codes::INTERFACE_REFUSED, message)));
            } else if options.dataplane == Some(Dataplane::Ebpf) && !is_policed_by_ebpf(name) {
                let message = format!("eBPF does not police `{name}` unless `bpfDataIfacePattern` names it");
                let finding = Finding::new(&codes::INTERFACE_OUTSIDE_EBPF, message);
                findings.push(place(finding.lost("every packet on the interface is admitted")));
                let packets = Packets::Interface { name: name.clone() };
                losses.push(Loss { code: &codes::INTERFACE_OUTSIDE_EBPF, packets });
            }
        }
    }
    match (options.host_endpoints, &matrix.frame.interfaces) {
        (HostEndpoints::None, Interfaces::All) => Vec::new(),
        (HostEndpoints::None, Interfaces::Named(_)) => {
            let message = format!("only host endpoints with the label `{INTERFACE_LABEL}` are policed");
            findings.push(place(Finding::new(&codes::ENDPOINTS_NEED_LABEL, message)));
            Vec::new()
        }
        (HostEndpoints::Written, _) if !fleet.is_known() => {
            let message = "host endpoints are to be written, but there is no node list";
            findings.push(Finding::new(&codes::WRITTEN_ENDPOINTS_NEED_NODES, message).help("give `--nodes`"));
            Vec::new()
        }
        (HostEndpoints::Written, interfaces) => written(matrix, options, fleet, interfaces),
        (HostEndpoints::Auto, interfaces) => automatic(matrix, options, interfaces, findings),
    }
}

fn written(matrix: &Expanded, options: &Options, fleet: &Fleet<'_>, interfaces: &Interfaces) -> Vec<Manifest> {
    let mut names = Names::default();
    let mut objects = Vec::new();
    for (node, _) in fleet.in_roles() {
        match interfaces {
            Interfaces::All => objects.push(endpoint(matrix, options, node, None, &mut names)),
            Interfaces::Named(interfaces) => {
                objects.extend(interfaces.iter().map(|name| endpoint(matrix, options, node, Some(name), &mut names)));
            }
        }
    }
    objects
}

fn endpoint(matrix: &Expanded, options: &Options, node: &Node, interface: Option<&str>, names: &mut Names) -> Manifest {
    let prefix = &options.name_prefix;
    let name = match interface {
        None => names.take(&format!("{prefix}-{}", node.name), &node.name, 253),
        Some(interface) => {
            let wanted = format!("{prefix}-{}-{}", node.name, interface.replace('.', "-"));
            names.take(&wanted, &format!("{} {interface}", node.name), 253)
        }
    };
    let mut metadata = metadata(matrix, name);
    // A node's own labels are what the policies select by, so they win.
    metadata.labels.extend(node.labels.clone());
    metadata.labels.entry("kubernetes.io/hostname".to_owned()).or_insert_with(|| hostname(&node.name));
    metadata.labels.retain(|key, _| !NOT_COPIED.contains(&key.as_str()) && key != INTERFACE_LABEL);
    if let Some(interface) = interface {
        metadata.labels.insert(INTERFACE_LABEL.to_owned(), interface.to_owned());
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in node.internal.iter().chain(&node.tunnel) {
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    let spec = HostEndpointSpec {
        node: node.name.clone(),
        interface_name: Some(interface.unwrap_or("*").to_owned()),
        // Also for an endpoint of one interface: they are what other nodes' rules match when they select this node.
        expected_ips: (!addresses.is_empty()).then(|| addresses.iter().map(ToString::to_string).collect()),
        profiles: Some(vec![DEFAULT_ALLOW.to_owned()]),
        ports: None,
    };
    manifest(false, AnyObject::HostEndpoint(object(options.api, "HostEndpoint", metadata, spec)))
}

/// A label value holds 63 characters, the name of a node up to 253.
fn hostname(node: &str) -> String {
    node[..node.len().min(63)].trim_end_matches(['-', '.']).to_owned()
}

fn automatic(
    matrix: &Expanded,
    options: &Options,
    interfaces: &Interfaces,
    findings: &mut Vec<Finding>,
) -> Vec<Manifest> {
    let version = options.version;
    let enabled = || Some("Enabled".to_owned());
    let host_endpoint = match interfaces {
        Interfaces::All => AutoHostEndpointConfig {
            auto_create: enabled(),
            create_default_host_endpoint: version.has_templates().then(|| "Enabled".to_owned()),
            templates: None,
        },
        Interfaces::Named(names) => {
            let templates = match templates(matrix, options, names) {
                Ok((templates, mut warnings)) => {
                    findings.append(&mut warnings);
                    templates
                }
                Err(finding) => {
                    findings.push(*finding);
                    return Vec::new();
                }
            };
            AutoHostEndpointConfig {
                auto_create: enabled(),
                create_default_host_endpoint: Some("Disabled".to_owned()),
                templates: Some(templates),
            }
        }
    };
    let node = NodeControllerConfig { host_endpoint: Some(host_endpoint), ..NodeControllerConfig::default() };
    let controllers = ControllersConfig { node: Some(node), ..ControllersConfig::default() };
    let spec = KubeControllersConfigurationSpec { controllers, ..KubeControllersConfigurationSpec::default() };
    let metadata: ObjectMeta = shared_metadata(matrix, "makes a host endpoint for every node, those to come included");
    let object = object(options.api, "KubeControllersConfiguration", metadata, spec);
    vec![manifest(true, AnyObject::KubeControllersConfiguration(object))]
}

/// One template for each interface, or one for the interface with the node's address where names are not known.
fn templates(
    matrix: &Expanded,
    options: &Options,
    names: &[String],
) -> Result<(Vec<HostEndpointTemplate>, Vec<Finding>), Box<Finding>> {
    let place = |finding: Finding| finding.at("spec.enforcement.interfaces", None);
    let refuse = |message: String| {
        let finding = Finding::new(&codes::INTERFACE_NEEDS_NODES, message);
        Err(Box::new(place(finding.help("give `--nodes` with `--host-endpoints written`"))))
    };
    let everything = || vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    if !options.version.has_templates() {
        return refuse(format!("Calico {} makes automatic host endpoints for all interfaces only", options.version));
    }
    // In Canal Calico does no networking and notes no interfaces, and no address but the node's own either.
    let canal = matches!(matrix.cluster.cni.as_deref(), Some("canal" | "flannel"));
    if canal || !options.version.has_interface_patterns() {
        let [name] = names else {
            return refuse("several interfaces cannot be told apart by the node's address".to_owned());
        };
        let nets: Vec<String> = matrix.cluster.node_cidrs.iter().map(ToString::to_string).collect();
        // Without the node network the tunnel devices, which have addresses of the node too, would be policed.
        if name == "lo" || (nets.is_empty() && !canal) {
            return refuse(format!("`{name}` cannot be told from others by the node's address"));
        }
        let template = HostEndpointTemplate {
            interface_cidrs: Some(if nets.is_empty() { everything() } else { nets }),
            ..template(options, name)
        };
        let message = format!("`{name}` is taken to be the interface that carries the node's address");
        let warning = place(Finding::new(&codes::INTERFACE_BY_ADDRESS, message));
        return Ok((vec![template], vec![warning]));
    }
    if let Some(name) = names.iter().find(|name| is_left_out(name)) {
        return refuse(format!("calico-node does not note the interface `{name}`"));
    }
    let templates = names
        .iter()
        .map(|name| HostEndpointTemplate {
            interface_pattern: Some(format!("^{}$", name.replace('.', "\\."))),
            // Every address of the node, not the interface's alone: they are what other nodes' rules match.
            interface_cidrs: Some(everything()),
            ..template(options, name)
        })
        .collect();
    let mut warnings = Vec::new();
    if matrix.cluster.cni.as_deref() != Some("calico") {
        let message = "host endpoints are made for the interfaces that calico-node notes, if it notes any";
        warnings.push(place(Finding::new(&codes::ENDPOINTS_NEED_DETECTION, message)));
    }
    Ok((templates, warnings))
}

fn template(options: &Options, interface: &str) -> HostEndpointTemplate {
    let name = Names::default().take(&format!("{}-{}", options.name_prefix, interface.replace('.', "-")), "", 253);
    HostEndpointTemplate {
        generate_name: name,
        labels: [(INTERFACE_LABEL.to_owned(), interface.to_owned())].into(),
        ..HostEndpointTemplate::default()
    }
}

fn manifest(shared: bool, object: AnyObject) -> Manifest {
    Manifest { wave: wave::ENDPOINTS, shared, object }
}

/// Whether Calico takes the name, and a label value can hold it.
fn is_interface(name: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    (1..=15).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        && edge(name.bytes().next())
        && edge(name.bytes().last())
}

/// Interfaces that calico-node does not note
/// (projectcalico/calico:node/pkg/lifecycle/startup/autodetection/autodetection_linux.go, DEFAULT_INTERFACES_TO_EXCLUDE).
fn is_left_out(name: &str) -> bool {
    const LEFT_OUT: [&str; 19] = [
        "docker",
        "cbr",
        "dummy",
        "podman",
        "virbr",
        "lxcbr",
        "veth",
        "lo",
        "br-",
        "cali",
        "tunl",
        "flannel",
        "kube-ipvs",
        "cni",
        "vxlan.calico",
        "vxlan-v6.calico",
        "wireguard.cali",
        "wg-v6.cali",
        "nodelocaldns",
    ];
    LEFT_OUT.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether the default `bpfDataIfacePattern` matches (projectcalico/calico:felix/config/config_params.go).
fn is_policed_by_ebpf(name: &str) -> bool {
    let card = ["en", "wl", "ww", "sl", "ib"]
        .iter()
        .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['P', 'o', 'p', 's', 'x'])));
    card || ["eth", "wlan", "wwan", "bond"].iter().any(|prefix| name.starts_with(prefix))
}

//! Host endpoints, written and automatic; nodes and roles.

use super::super::{Dataplane, HostEndpoints, Version};
use super::*;

fn interfaces(names: &[&str]) -> Expanded {
    let mut matrix = matrix(vec![ingress(tcp(22), vec![Peer::Any])]);
    matrix.frame.interfaces = Interfaces::Named(names.iter().map(|name| (*name).to_owned()).collect());
    matrix
}

fn options(host_endpoints: HostEndpoints) -> Options {
    Options { host_endpoints, ..Options::new("test") }
}

fn version(minor: u32) -> Options {
    Options { version: Version { major: 3, minor }, ..Options::new("test") }
}

#[test]
fn automatic_endpoints_are_switched_on() {
    let matrix = matrix(vec![ingress(tcp(22), vec![Peer::Any])]);
    for (minor, default) in [(29, None), (30, Some("Enabled")), (32, Some("Enabled"))] {
        let rendered = render(&matrix, None, &version(minor));
        let object = kube_controllers(&rendered).expect("the configuration");
        assert!(object.metadata.labels.is_empty());
        let node = object.spec.controllers.node.clone().expect("the node controller");
        let endpoint = node.host_endpoint.expect("its endpoints");
        assert_eq!(endpoint.auto_create.as_deref(), Some("Enabled"));
        assert_eq!(endpoint.create_default_host_endpoint.as_deref(), default);
        assert_eq!(endpoint.templates, None);
    }
}

#[test]
fn named_interfaces_are_templates_that_carry_every_address_of_the_node() {
    let rendered = render(&interfaces(&["eth0", "bond0.12"]), None, &version(31));
    let object = kube_controllers(&rendered).expect("the configuration");
    let node = object.spec.controllers.node.clone().expect("the node controller");
    let endpoint = node.host_endpoint.expect("its endpoints");
    assert_eq!(endpoint.create_default_host_endpoint.as_deref(), Some("Disabled"));
    let templates = endpoint.templates.expect("templates");
    let shown: Vec<_> = templates
        .iter()
        .map(|template| {
            (
                template.generate_name.as_str(),
                template.interface_pattern.as_deref(),
                &*template.labels["lifeline.dev/interface"],
            )
        })
        .collect();
    assert_eq!(shown, [("test-eth0", Some("^eth0$"), "eth0"), ("test-bond0-12", Some("^bond0\\.12$"), "bond0.12")]);
    assert_eq!(templates[0].interface_cidrs.as_deref(), Some(&["0.0.0.0/0".to_owned(), "::/0".to_owned()][..]));
    assert!(!codes(&rendered).contains(&"endpoints-need-detection"));
}

#[test]
fn interfaces_that_calico_does_not_note_need_a_node_list() {
    for name in ["lo", "br-ex", "docker0", "cni0", "flannel.1"] {
        let rendered = render(&interfaces(&[name]), None, &version(31));
        assert!(codes(&rendered).contains(&"interface-needs-nodes"), "{name}");
        assert!(rendered.objects.is_empty());
    }
    assert!(codes(&render(&interfaces(&["eth0"]), None, &version(29))).contains(&"interface-needs-nodes"));
    assert!(codes(&render(&interfaces(&["eth0", "eth1"]), None, &version(30))).contains(&"interface-needs-nodes"));
}

#[test]
fn one_interface_is_found_by_the_nodes_address_where_names_are_not_known() {
    let mut canal = interfaces(&["mgmt-br"]);
    canal.cluster.cni = Some("canal".to_owned());
    let mut unknown_network = canal.clone();
    unknown_network.cluster.node_cidrs.clear();
    for (matrix, minor, wanted) in [
        (&interfaces(&["mgmt-br"]), 30, vec!["10.0.0.0/24"]),
        (&canal, 31, vec!["10.0.0.0/24"]),
        (&unknown_network, 31, vec!["0.0.0.0/0", "::/0"]),
    ] {
        let rendered = render(matrix, None, &version(minor));
        assert!(codes(&rendered).contains(&"interface-by-address"));
        let object = kube_controllers(&rendered).expect("the configuration");
        let endpoint = object.spec.controllers.node.clone().and_then(|node| node.host_endpoint).expect("endpoints");
        let template = &endpoint.templates.expect("templates")[0];
        assert_eq!(template.interface_cidrs.as_deref().expect("prefixes"), wanted);
        assert_eq!(template.interface_pattern, None);
        assert_eq!(template.labels["lifeline.dev/interface"], "mgmt-br");
    }
}

#[test]
fn whether_interfaces_are_noted_is_reported_when_the_cni_is_not_known() {
    let mut matrix = interfaces(&["eth0"]);
    matrix.cluster.cni = None;
    assert!(codes(&rendered(&matrix)).contains(&"endpoints-need-detection"));
}

#[test]
fn written_endpoints_carry_the_nodes_labels_addresses_and_the_profile() {
    let mut nodes = nodes();
    nodes[2].labels.insert("projectcalico.org/namespace".to_owned(), "trap".to_owned());
    nodes[2].labels.insert("projectcalico.org/created-by".to_owned(), "calico-kube-controllers".to_owned());
    nodes[2].labels.insert("app.kubernetes.io/part-of".to_owned(), "theirs".to_owned());
    nodes[2].labels.remove("kubernetes.io/hostname");
    let matrix = matrix(vec![ingress(tcp(22), vec![Peer::Any])]);
    let rendered = render(&matrix, Some(&nodes), &options(HostEndpoints::Written));
    let endpoints = endpoints(&rendered);
    assert_eq!(
        endpoints.iter().map(|endpoint| &*endpoint.metadata.name).collect::<Vec<_>>(),
        ["test-cp-1", "test-cp-2", "test-w-1"]
    );
    let worker = endpoints[2];
    assert_eq!((worker.spec.node.as_str(), worker.spec.interface_name.as_deref()), ("w-1", Some("*")));
    assert_eq!(worker.spec.expected_ips.as_deref(), Some(&["10.0.0.11".to_owned(), "10.42.7.0".to_owned()][..]));
    assert_eq!(worker.spec.profiles.as_deref(), Some(&["projectcalico-default-allow".to_owned()][..]));
    assert_eq!(worker.metadata.labels["kubernetes.io/hostname"], "w-1");
    assert_eq!(worker.metadata.labels["app.kubernetes.io/part-of"], "theirs");
    assert!(worker.metadata.labels.keys().all(|key| !key.starts_with("projectcalico.org/")));
    assert_eq!(kube_controllers(&rendered), None);
}

#[test]
fn written_endpoints_are_one_for_each_interface_that_is_named() {
    let rendered = render(&interfaces(&["eth0", "eth1.5"]), Some(&nodes()), &options(HostEndpoints::Written));
    let shown: Vec<_> = endpoints(&rendered)
        .iter()
        .filter(|endpoint| endpoint.spec.node == "cp-1")
        .map(|endpoint| (endpoint.metadata.name.clone(), endpoint.spec.interface_name.clone().expect("a name")))
        .collect();
    let pair = |name: &str, interface: &str| (name.to_owned(), interface.to_owned());
    assert_eq!(shown, [pair("test-cp-1-eth0", "eth0"), pair("test-cp-1-eth1-5", "eth1.5")]);
    assert!(endpoints(&rendered).iter().all(|endpoint| endpoint.spec.expected_ips.is_some()));
}

#[test]
fn written_endpoints_need_nodes() {
    let matrix = matrix(vec![ingress(tcp(22), vec![Peer::Any])]);
    let rendered = render(&matrix, None, &options(HostEndpoints::Written));
    assert!(codes(&rendered).contains(&"written-endpoints-need-nodes"));
    assert!(rendered.objects.is_empty());
}

#[test]
fn endpoints_of_others_are_told_from_the_one_for_all_interfaces() {
    let rendered = render(&interfaces(&["eth0"]), None, &options(HostEndpoints::None));
    assert!(codes(&rendered).contains(&"endpoints-need-label"));
    assert!(policies(&rendered).iter().all(|policy| {
        policy.spec.selector.as_ref().is_some_and(|selector| selector.contains("lifeline.dev/interface == 'eth0'"))
    }));
    assert!(endpoints(&rendered).is_empty() && kube_controllers(&rendered).is_none());
}

#[test]
fn a_node_without_a_role_stays_open_and_is_reported() {
    let mut matrix = matrix(vec![ingress(tcp(22), vec![Peer::Any])]);
    matrix.roles[WORKER].selector = selecting(requirement("worker", Operator::Exists));
    let rendered = render(&matrix, Some(&nodes()), &options(HostEndpoints::Written));
    assert_eq!(endpoints(&rendered).len(), 2);
    assert!(codes(&rendered).contains(&"node-without-role"));
    assert!(codes(&rendered).contains(&"role-without-nodes"));
}

#[test]
fn a_node_in_two_roles_is_an_error() {
    let mut matrix = matrix(vec![ingress(tcp(22), vec![Peer::Any])]);
    matrix.roles[WORKER].selector = LabelSelector::default();
    let rendered = render(&matrix, Some(&nodes()), &Options::new("test"));
    assert_eq!(codes(&rendered).iter().filter(|code| **code == "node-in-two-roles").count(), 2);
    assert!(rendered.objects.is_empty());
}

#[test]
fn interface_names_are_checked() {
    for name in ["eth0:1", "", "sixteen-letters0", "-eth0", "eth0_"] {
        let rendered = render(&interfaces(&[name]), Some(&nodes()), &options(HostEndpoints::Written));
        assert!(codes(&rendered).contains(&"interface-refused"), "{name}");
    }
}

#[test]
fn interfaces_that_ebpf_leaves_alone_are_reported() {
    for (name, policed) in [("eth0", true), ("enp0s3", true), ("ens5", true), ("mgmt-br", false), ("enc1", false)] {
        let options = Options { dataplane: Some(Dataplane::Ebpf), ..options(HostEndpoints::Written) };
        let rendered = render(&interfaces(&[name]), Some(&nodes()), &options);
        assert_eq!(codes(&rendered).contains(&"interface-outside-ebpf"), !policed, "{name}");
    }
}

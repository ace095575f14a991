//! Failsafe lists and what is said about them.

use policy::calico::api::ProtoPort;

use super::super::{Dataplane, Failsafe};
use super::*;

fn list(list: Option<&Vec<ProtoPort>>) -> Vec<String> {
    let list = list.expect("a list");
    list.iter()
        .map(|entry| match &entry.net {
            None => format!("{} {}", entry.protocol, entry.port),
            Some(net) => format!("{} {} {net}", entry.protocol, entry.port),
        })
        .collect()
}

fn inbound(rendered: &Rendered) -> Vec<String> {
    list(felix(rendered).expect("FelixConfiguration").failsafe_inbound_host_ports.as_ref())
}

fn outbound(rendered: &Rendered) -> Vec<String> {
    list(felix(rendered).expect("FelixConfiguration").failsafe_outbound_host_ports.as_ref())
}

fn flow(flow: &str, row: Row) -> Row {
    Row { flow: Some(flow.to_owned()), ..row }
}

fn cluster() -> Vec<Row> {
    let admins = || named("admins", &["192.168.0.0/24", "fd00::/64"]);
    vec![
        flow("admin-ssh", ingress(tcp(22), vec![admins()])),
        flow("kube-apiserver", Row { roles: vec![CONTROL_PLANE], ..ingress(tcp(6443), vec![Peer::Nodes, admins()]) }),
        flow(
            "etcd-peer",
            Row {
                roles: vec![CONTROL_PLANE],
                ..ingress(ports(Transport::Tcp, &[(2379, 2380)]), vec![Peer::Role(CONTROL_PLANE)])
            },
        ),
        flow("supervisor", Row { roles: vec![CONTROL_PLANE], ..ingress(tcp(9345), vec![Peer::Role(WORKER)]) }),
        flow("kubelet-api", ingress(tcp(10250), vec![Peer::Nodes])),
        flow("nodeport", ingress(ports(Transport::Tcp, &[(30000, 32767)]), vec![Peer::Any])),
    ]
}

#[test]
fn the_lists_are_computed_from_the_lifelines_and_narrowed_to_known_addresses() {
    let mut matrix = matrix(cluster());
    matrix.frame.egress.deny = true;
    let iptables = Options { dataplane: Some(Dataplane::Iptables), ..Options::new("test") };
    let rendered = render(&matrix, Some(&nodes()), &iptables);
    assert_eq!(
        inbound(&rendered),
        [
            "TCP 22 192.168.0.0/24",
            "TCP 22 fd00::/64",
            "TCP 2379 10.0.0.1/32",
            "TCP 2379 10.0.0.2/32",
            "TCP 2380 10.0.0.1/32",
            "TCP 2380 10.0.0.2/32",
            "TCP 6443 10.0.0.0/24",
            "TCP 6443 192.168.0.0/24",
            "TCP 6443 fd00::/64",
            "TCP 9345 10.0.0.0/24",
        ]
    );
    assert_eq!(
        outbound(&rendered),
        [
            "TCP 53",
            "TCP 2379 10.0.0.1/32",
            "TCP 2379 10.0.0.2/32",
            "TCP 2380 10.0.0.1/32",
            "TCP 2380 10.0.0.2/32",
            "TCP 6443",
            "TCP 9345",
            "UDP 53",
            "UDP 67",
        ]
    );
}

#[test]
fn unknown_addresses_leave_an_entry_open() {
    let mut matrix = matrix(cluster());
    matrix.cluster.node_cidrs.clear();
    let rendered = rendered(&matrix);
    let inbound = inbound(&rendered);
    for open in ["TCP 2379", "TCP 2380", "TCP 6443", "TCP 9345"] {
        assert!(inbound.contains(&open.to_owned()), "{open} in {inbound:?}");
    }
    assert!(!inbound.contains(&"TCP 22".to_owned()));
}

#[test]
fn a_direction_that_is_open_keeps_calicos_own_entries() {
    let rendered = rendered(&matrix(cluster()));
    let outbound = outbound(&rendered);
    for own in ["TCP 179", "TCP 2379", "TCP 5473", "TCP 6443", "TCP 6666", "UDP 53", "UDP 67", "TCP 9345", "TCP 53"] {
        assert!(outbound.contains(&own.to_owned()), "{own} in {outbound:?}");
    }
}

#[test]
fn rows_that_do_not_name_their_flow_are_read_by_their_ports() {
    let rendered = rendered(&matrix(vec![
        ingress(ports(Transport::Tcp, &[(22, 22), (80, 80)]), vec![Peer::Any]),
        flow("image-pull", ingress(tcp(2379), vec![Peer::Any])),
    ]));
    assert_eq!(inbound(&rendered), ["TCP 22"]);
}

#[test]
fn only_tcp_and_udp_and_only_single_ports() {
    let rendered = rendered(&matrix(vec![
        flow("cni-control", ingress(ports(Transport::Sctp, &[(5000, 5000)]), vec![Peer::Any])),
        flow("cni-control", ingress(ports(Transport::Tcp, &[(5000, 5100)]), vec![Peer::Any])),
        flow("cni-control", ingress(ports(Transport::Tcp, &[(6641, 6644)]), vec![Peer::Any])),
    ]));
    assert_eq!(inbound(&rendered), ["TCP 6641", "TCP 6642", "TCP 6643", "TCP 6644"]);
}

#[test]
fn dhcp_of_the_frame_is_in_both_lists() {
    let mut matrix = matrix(Vec::new());
    matrix.frame_rows = vec![Row {
        origin: Origin::Frame("dhcp"),
        traffic: vec![udp(68), udp(546)],
        ..ingress(Traffic::Any, vec![Peer::Any])
    }];
    let rendered = rendered(&matrix);
    assert_eq!(inbound(&rendered), ["UDP 68", "UDP 546"]);
    assert!(outbound(&rendered).contains(&"UDP 67".to_owned()));
}

#[test]
fn a_row_of_one_family_is_an_entry_of_that_family() {
    let row = Row { family: Some(Family::IPv6), ..ingress(tcp(22), vec![Peer::Any]) };
    assert_eq!(inbound(&rendered(&matrix(vec![row]))), ["TCP 22 ::/0"]);
}

#[test]
fn on_nftables_the_api_servers_service_address_stays_open() {
    let mut matrix = matrix(cluster());
    matrix.frame.egress.deny = true;
    for (dataplane, judged) in [(None, true), (Some(Dataplane::Nftables), true), (Some(Dataplane::Ebpf), false)] {
        let rendered = render(&matrix, None, &Options { dataplane, ..Options::new("test") });
        assert_eq!(outbound(&rendered).contains(&"TCP 443 10.43.0.0/16".to_owned()), judged);
        assert_eq!(codes(&rendered).contains(&"service-address-judged"), judged);
    }
}

#[test]
fn default_writes_calicos_lists_keep_writes_nothing_none_writes_empty_lists() {
    let matrix = matrix(cluster());
    let with = |failsafe, admin_path| render(&matrix, None, &Options { failsafe, admin_path, ..Options::new("test") });
    let default = with(Failsafe::Default, true);
    assert_eq!(inbound(&default).len(), 9);
    assert_eq!(outbound(&default).len(), 9);
    assert!(!codes(&default).contains(&"failsafe-delta"));
    let keep = with(Failsafe::Keep, true);
    assert_eq!(felix(&keep), None);
    let none = with(Failsafe::None, false);
    assert!(inbound(&none).is_empty() && outbound(&none).is_empty());
    assert!(codes(&none).contains(&"failsafe-delta"));
    assert!(with(Failsafe::None, true).objects.is_empty());
}

#[test]
fn the_delta_is_one_note() {
    let rendered = render(&matrix(cluster()), Some(&nodes()), &Options::new("test"));
    let notes: Vec<&str> = rendered
        .findings
        .iter()
        .filter(|finding| finding.code.id == "failsafe-delta")
        .map(|finding| finding.message.as_str())
        .collect();
    assert_eq!(
        notes,
        [
            "failsafe ports differ from Calico's own: inbound new TCP 9345, gone TCP 179, TCP 5473, TCP 6666, TCP 6667, UDP 68, \
          TCP 22 narrowed to 192.168.0.0/24, fd00::/64, TCP 2379 narrowed to 10.0.0.1/32, 10.0.0.2/32, TCP 2380 narrowed to \
          10.0.0.1/32, 10.0.0.2/32, TCP 6443 narrowed to 10.0.0.0/24, 192.168.0.0/24, fd00::/64; outbound new TCP 53, TCP 9345"
        ]
    );
}

#[test]
fn an_entry_that_other_roles_do_not_need_is_wider_there() {
    let rendered = render(&matrix(cluster()), Some(&nodes()), &Options::new("test"));
    let wider: Vec<&str> = rendered
        .findings
        .iter()
        .filter(|finding| finding.code.id == "failsafe-wider-than-matrix")
        .map(|finding| finding.message.as_str())
        .collect();
    assert_eq!(
        wider,
        [
            "the failsafe port TCP 2379 is open inbound on `worker`, from 10.0.0.1/32, 10.0.0.2/32",
            "the failsafe port TCP 2380 is open inbound on `worker`, from 10.0.0.1/32, 10.0.0.2/32",
            "the failsafe port TCP 6443 is open inbound on `worker`, from 10.0.0.0/24, 192.168.0.0/24, fd00::/64",
            "the failsafe port TCP 9345 is open inbound on `control-plane`, `worker`, from 10.0.0.0/24",
        ]
    );
    let defeated = rendered.findings.iter().filter(|finding| finding.code.id == "failsafe-defeats-row");
    assert_eq!(defeated.map(|finding| finding.path.as_str()).collect::<Vec<_>>(), ["spec.rows[3]"]);
}

#[test]
fn calicos_own_lists_defeat_rows_that_restrict_their_ports() {
    for failsafe in [Failsafe::Default, Failsafe::Keep] {
        let options = Options { failsafe, ..Options::new("test") };
        let mut matrix = matrix(cluster());
        matrix.rows.push(Row {
            origin: Origin::Row(6),
            action: Action::Deny,
            ..egress(udp(53), vec![inline(&["8.8.8.8/32"])])
        });
        let rendered = render(&matrix, Some(&nodes()), &options);
        let defeated: Vec<&str> = rendered
            .findings
            .iter()
            .filter(|finding| finding.code.id == "failsafe-defeats-row")
            .map(|finding| finding.path.as_str())
            .collect();
        assert_eq!(defeated, ["spec.rows[0]", "spec.rows[1]", "spec.rows[2]", "spec.rows[6]"]);
        let fates: Vec<Fate> = (0..7).map(|index| fate(&rendered, index)).collect();
        assert_eq!(fates, [Fate::Wider, Fate::Wider, Fate::Wider, Fate::Wider, Fate::Exact, Fate::Exact, Fate::Wider]);
    }
}

#[test]
fn shared_objects_carry_no_labels_of_ours() {
    let rendered = rendered(&matrix(cluster()));
    for manifest in rendered.objects.into_iter().filter(|manifest| manifest.shared) {
        let mut object = manifest.object;
        assert!(object.metadata_mut().labels.is_empty());
        assert_eq!(object.metadata_mut().name, "default");
    }
}

#[test]
fn a_port_of_the_cnis_own_is_not_opened_to_everyone() {
    let unknown = |row: Row| {
        let mut matrix = matrix(vec![flow("cni-control", row)]);
        matrix.cluster.node_cidrs.clear();
        inbound(&rendered(&matrix))
    };
    assert_eq!(unknown(ingress(tcp(6641), vec![Peer::Nodes])), Vec::<String>::new());
    // Typha's port is open on Calico's own list, and so is what the row itself opens.
    assert_eq!(unknown(ingress(tcp(5473), vec![Peer::Nodes])), ["TCP 5473"]);
    assert_eq!(unknown(ingress(tcp(6641), vec![Peer::Any])), ["TCP 6641"]);
    let narrowed = matrix(vec![flow("cni-control", ingress(tcp(6641), vec![Peer::Nodes]))]);
    assert_eq!(inbound(&rendered(&narrowed)), ["TCP 6641 10.0.0.0/24"]);
}

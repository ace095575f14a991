use super::super::{Enforcement, TunnelProtocol};
use super::*;
use crate::finding::{Severity, codes, has_errors};
use crate::matrix::Log;

fn codes_of(config: AgentConfig) -> Vec<&'static str> {
    one(row(tcp(22), vec![Peer::Any]), config).codes()
}

fn role_by(key: &str) -> Expanded {
    let mut matrix = matrix(vec![row(tcp(22), vec![Peer::Any])]);
    matrix.roles[1].selector = labels(&[(key, "x")]);
    matrix
}

#[test]
fn what_is_not_enforced_is_said() {
    assert_eq!(codes_of(config()), [""; 0]);
    assert_eq!(codes_of(AgentConfig { enable_host_firewall: None, ..config() }), ["cilium-host-firewall-off"]);
    for silent in [
        AgentConfig { enable_policy: Some(Enforcement::Never), ..config() },
        AgentConfig { policy_audit_mode: Some(true), ..config() },
        AgentConfig { enable_cilium_clusterwide_network_policy: Some(false), ..config() },
    ] {
        assert_eq!(codes_of(silent), ["cilium-not-enforced"]);
    }
    assert_eq!(codes_of(AgentConfig { enable_ipsec: Some(true), ..config() }), ["cilium-ipsec"]);
}

#[test]
fn an_open_direction_is_opened_by_a_rule_where_everything_is_denied() {
    let always = AgentConfig { enable_policy: Some(Enforcement::Always), ..config() };
    let outcome = one(row(tcp(22), vec![Peer::Any]), always);
    assert_eq!(outcome.codes(), ["cilium-enforcement-always"]);
    let rules = outcome.rules("t-failsafe");
    assert_eq!(rules.len(), 2);
    let egress = serde_json::to_value(&rules[0].egress).expect("JSON");
    assert_eq!(egress, serde_json::json!([{"toEntities": ["all"]}]));
}

#[test]
fn forced_default_deny_is_an_error() {
    let outcome =
        one(row(tcp(22), vec![Peer::Any]), AgentConfig { enable_non_default_deny_policies: Some(false), ..config() });
    assert_eq!(outcome.codes(), ["cilium-default-deny-forced"]);
    assert!(has_errors(&outcome.0.findings) && outcome.0.objects.is_empty());
}

#[test]
fn versions_that_are_not_written_for_are_an_error() {
    let options = Options { version: Version::new(1, 17), ..options(config()) };
    let outcome = Outcome::of(&matrix(vec![row(tcp(22), vec![Peer::Any])]), None, &options);
    assert_eq!(outcome.codes(), ["cilium-version-unsupported"]);
}

#[test]
fn names_that_kubernetes_refuses_are_an_error() {
    for prefix in ["", "-a", "A", "a_b", &"a".repeat(250)] {
        let options = Options { name_prefix: prefix.to_owned(), ..options(config()) };
        let outcome = Outcome::of(&matrix(vec![row(tcp(22), vec![Peer::Any])]), None, &options);
        assert_eq!(outcome.codes(), ["cilium-name-invalid"], "{prefix}");
    }
}

#[test]
fn roles_by_labels_that_are_dropped_are_refused() {
    for key in ["kubernetes.io/hostname", "kubernetes.io/os", "topology.kubernetes.io/zone"] {
        let outcome = Outcome::of(&role_by(key), None, &options(config()));
        assert_eq!(outcome.codes(), ["cilium-label-filtered"], "{key}");
        assert_eq!(outcome.0.findings[0].path, "spec.roles.worker.nodeSelector");
    }
    for key in ["example.com/pool", "node.kubernetes.io/pool", "pool"] {
        assert_eq!(Outcome::of(&role_by(key), None, &options(config())).codes(), [""; 0], "{key}");
    }
}

#[test]
fn the_agents_own_label_settings_count() {
    let inclusive = AgentConfig { labels: Some(vec!["k8s:app".to_owned()]), ..config() };
    let codes = codes_of(inclusive);
    assert_eq!(codes, ["cilium-label-filtered"; 2], "both roles look at node-role");
    let excluded = AgentConfig { exclude_node_label_patterns: Some(vec!["pool".to_owned()]), ..config() };
    let outcome = Outcome::of(&role_by("example.com/pool"), None, &options(excluded));
    assert_eq!(outcome.codes(), ["cilium-label-filtered"]);
    let file = AgentConfig { label_prefix_file: Some("/etc/labels.json".to_owned()), ..config() };
    assert_eq!(codes_of(file), ["cilium-label-filter-unknown"]);
}

#[test]
fn a_label_that_1_19_drops_is_reported_for_1_18() {
    let options = Options { version: Version::new(1, 18), ..options(config()) };
    let outcome = Outcome::of(&role_by("topology.kubernetes.io/zone"), None, &options);
    assert_eq!(outcome.codes(), ["cilium-label-lost-on-upgrade"]);
}

#[test]
fn interfaces_are_exact_only_where_the_agent_has_the_same() {
    let devices = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let wide = vec!["interfaces-agent-wide"];
    for (frame, agent, codes) in [
        (vec!["eth0", "eth1"], devices(&["eth1", "eth0"]), vec![]),
        (vec!["eth0"], devices(&["eth1"]), wide.clone()),
        (vec!["eth0"], None, wide.clone()),
        (vec!["eth0"], devices(&[]), wide.clone()),
        (vec![], devices(&["eth0"]), wide),
        (vec![], None, vec![]),
    ] {
        let mut matrix = matrix(vec![row(tcp(22), vec![Peer::Any])]);
        if !frame.is_empty() {
            matrix.frame.interfaces = Interfaces::Named(frame.iter().map(|name| (*name).to_owned()).collect());
        }
        let outcome = Outcome::of(&matrix, None, &options(AgentConfig { devices: agent, ..config() }));
        assert_eq!(outcome.codes(), codes, "{frame:?}");
    }
}

#[test]
fn interfaces_of_a_row_are_refused_unless_they_are_the_agents() {
    let of_row = || Row { interfaces: Some(vec!["eth1".to_owned()]), ..row(tcp(22), vec![Peer::Any]) };
    assert_eq!(one(of_row(), config()).codes(), ["row-not-expressible"]);
    let devices = Some(vec!["eth1".to_owned()]);
    let outcome = one(of_row(), AgentConfig { devices, ..config() });
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec!["interfaces-agent-wide"]), "the frame has all");
}

#[test]
fn a_log_line_is_reported_for_directions_that_drop() {
    let mut matrix = matrix(vec![row(tcp(22), vec![Peer::Any])]);
    matrix.frame.ingress.log = Some(Log { prefix: Some("DROP".to_owned()), rate: None, level: None });
    matrix.frame.egress.log = matrix.frame.ingress.log.clone();
    let outcome = Outcome::of(&matrix, None, &options(config()));
    assert_eq!(outcome.codes(), ["log-not-expressible"]);
    assert!(outcome.0.findings[0].message.starts_with("dropped ingress packets"));
}

#[test]
fn node_ports_depend_on_kube_proxy_replacement() {
    let service = |peer| Row { flow: Some("nodeport".to_owned()), roles: vec![0, 1], ..row(tcp(30080), vec![peer]) };
    for (replaced, peer, codes, fate) in [
        (Some(true), Peer::Pods, vec!["cilium-node-ports-not-policed"], Fate::Wider),
        (None, Peer::Pods, vec!["cilium-kube-proxy-replacement-unknown"], Fate::Exact),
        (Some(false), Peer::Pods, vec![], Fate::Exact),
        (Some(true), Peer::Any, vec![], Fate::Exact),
        (None, Peer::Any, vec![], Fate::Exact),
    ] {
        let outcome = one(service(peer), AgentConfig { kube_proxy_replacement: replaced, ..config() });
        assert_eq!((outcome.codes(), outcome.fate()), (codes, fate), "{replaced:?}");
    }
}

#[test]
fn what_the_frame_says_of_node_ports_is_held_against_the_agent() {
    let unknown = "cilium-kube-proxy-replacement-unknown";
    for (forward, replaced, code) in [
        (Forward::Enforce, Some(true), Some("cilium-node-ports-not-policed")),
        (Forward::Enforce, Some(false), None),
        (Forward::Enforce, None, Some(unknown)),
        (Forward::Ignore, Some(true), None),
        (Forward::Ignore, Some(false), Some("cilium-node-ports-policed")),
        (Forward::Ignore, None, Some(unknown)),
    ] {
        let mut matrix = matrix(vec![row(tcp(22), vec![Peer::Any])]);
        matrix.frame.forward = forward;
        let config = AgentConfig { kube_proxy_replacement: replaced, ..config() };
        let outcome = Outcome::of(&matrix, None, &options(config));
        assert_eq!(outcome.codes(), code.into_iter().collect::<Vec<_>>(), "{forward:?} {replaced:?}");
    }
}

#[test]
fn the_tunnel_must_be_admitted() {
    let geneve = || AgentConfig { tunnel_protocol: Some(TunnelProtocol::Geneve), ..config() };
    let udp = |port| {
        let traffic =
            Traffic::Ports { transport: Transport::Udp, ports: vec![range(port, port)], source_ports: vec![] };
        Row { roles: vec![0, 1], ..row(traffic, vec![Peer::Nodes]) }
    };
    assert_eq!(one(udp(6081), geneve()).codes(), [""; 0]);
    assert_eq!(one(udp(8472), geneve()).codes(), ["cilium-tunnel-not-allowed"]);
    let encrypted = AgentConfig { enable_wireguard: Some(true), ..geneve() };
    assert_eq!(one(udp(6081), encrypted).codes(), ["cilium-tunnel-not-allowed"]);
}

#[test]
fn probes_must_be_admitted_where_egress_is_denied() {
    let mut matrix = matrix(vec![Row { direction: Direction::Egress, ..row(tcp(443), vec![Peer::Nodes]) }]);
    matrix.frame.egress.deny = true;
    let outcome = Outcome::of(&matrix, None, &options(config()));
    assert_eq!(outcome.codes(), ["cilium-probes-not-allowed"]);
}

#[test]
fn a_full_policy_map_is_reported_before_it_overflows() {
    let ranges: Vec<Cidr> = (0..200).map(|index| format!("192.168.{index}.0/24").parse().expect("a prefix")).collect();
    let row = row(
        Traffic::Ports { transport: Transport::Tcp, ports: vec![range(1, 65534)], source_ports: Vec::new() },
        vec![Peer::Cidrs { name: None, cidrs: ranges }],
    );
    for (max, code) in
        [(16384, None), (7000, Some("cilium-policy-map-nearly-full")), (5000, Some("cilium-policy-map-overflow"))]
    {
        let outcome = one(row.clone(), AgentConfig { bpf_policy_map_max: Some(max), ..config() });
        assert_eq!(outcome.codes(), code.into_iter().collect::<Vec<_>>(), "{max}");
    }
}

#[test]
fn every_code_is_explained() {
    let mut ids: Vec<&str> = codes::cilium::CODES.iter().map(|code| code.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), codes::cilium::CODES.len());
    for code in codes::cilium::CODES {
        assert!(code.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        assert!(code.explanation.len() > 150 && code.explanation.ends_with('.'), "{}", code.id);
        assert!(!code.title.ends_with('.') && !code.example.is_empty() && !code.fix.is_empty(), "{}", code.id);
        assert!(code.severity <= Severity::Error);
    }
}

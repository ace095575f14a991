//! Flows that the cluster lives on and that no row admits.

use super::roles::{control_plane, every};
use super::rows::{admitting, default_of, listed, nodes_among, opens, port, role_names, roles_field};
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Cluster, Direction, Expanded, Interfaces, Origin, Peer, PortRange, Row, Traffic, Transport};

/// Which roles need it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// Every one.
    Every,
    /// Those of the control plane, or one where it cannot be told which they are.
    ControlPlane,
    /// One at least.
    Some,
}

/// Where the port comes from.
#[derive(Clone, Copy)]
enum Number {
    Fixed(u16),
    Kubelet,
    ApiServer,
}

/// A flow that the distribution lives on.
struct Lifeline {
    /// Ids of `flow`; a row with one of them carries it, whatever its port.
    flows: &'static [&'static str],
    what: &'static str,
    direction: Direction,
    transport: Transport,
    port: Number,
    on: On,
    /// Distributions that have it.
    only: Distributions,
    /// Whether it is there where the control plane is hosted elsewhere.
    hosted: bool,
    breaks: &'static str,
}

enum Distributions {
    All,
    /// These, by name.
    These(&'static [&'static str]),
    /// All but these; one that is not stated is among them.
    AllBut(&'static [&'static str]),
}

use Direction::{Egress, Ingress};
use Distributions::{All, AllBut, These};

const KUBELET: &str = "exec, logs, port-forward and metrics fail";
const API: &str = "nodes become NotReady and controllers stop";
const ETCD: &str = "the API server loses its store";
const JOIN: &str = "nodes cannot join or restart, which shows only then";

/// Distributions whose store is not etcd on its usual ports, or need not be.
const OTHER_STORE: &[&str] = &["k3s", "k0s", "microk8s", "kops"];

const fn line(
    flows: &'static [&'static str],
    what: &'static str,
    direction: Direction,
    port: Number,
    on: On,
    only: Distributions,
    breaks: &'static str,
) -> Lifeline {
    Lifeline { flows, what, direction, transport: Transport::Tcp, port, on, only, hosted: false, breaks }
}

const SUPERVISOR: &[&str] = &["supervisor"];

#[rustfmt::skip]
const LIFELINES: [Lifeline; 24] = [
    Lifeline { hosted: true, ..line(&["kubelet-api"], "the kubelet", Ingress, Number::Kubelet, On::Every, All, KUBELET) },
    line(&["kubelet-api"], "the kubelets", Egress, Number::Kubelet, On::ControlPlane, All, KUBELET),
    line(&["kube-apiserver"], "the API server", Ingress, Number::ApiServer, On::ControlPlane, All, API),
    Lifeline { hosted: true, ..line(&["kube-apiserver"], "the API server", Egress, Number::ApiServer, On::Every, All, API) },
    line(&["etcd-client"], "etcd's clients", Ingress, Number::Fixed(2379), On::Some, AllBut(OTHER_STORE), ETCD),
    line(&["etcd-client"], "etcd's clients", Egress, Number::Fixed(2379), On::Some, AllBut(OTHER_STORE), ETCD),
    line(&["etcd-peer"], "etcd's members", Ingress, Number::Fixed(2380), On::Some, AllBut(&["k3s", "microk8s", "kops"]), ETCD),
    line(&["etcd-peer"], "etcd's members", Egress, Number::Fixed(2380), On::Some, AllBut(&["k3s", "microk8s", "kops"]), ETCD),
    line(&["etcd-peer", "etcd-client"], "dqlite", Ingress, Number::Fixed(19001), On::Some, These(&["microk8s"]), ETCD),
    line(&["etcd-peer", "etcd-client"], "dqlite", Egress, Number::Fixed(19001), On::Some, These(&["microk8s"]), ETCD),
    line(SUPERVISOR, "the RKE2 supervisor", Ingress, Number::Fixed(9345), On::ControlPlane, These(&["rke2", "harvester"]), JOIN),
    line(SUPERVISOR, "the RKE2 supervisor", Egress, Number::Fixed(9345), On::Every, These(&["rke2", "harvester"]), JOIN),
    line(SUPERVISOR, "trustd", Ingress, Number::Fixed(50001), On::ControlPlane, These(&["talos"]), JOIN),
    line(SUPERVISOR, "trustd", Egress, Number::Fixed(50001), On::Every, These(&["talos"]), JOIN),
    line(SUPERVISOR, "the k0s join API", Ingress, Number::Fixed(9443), On::ControlPlane, These(&["k0s"]), JOIN),
    line(SUPERVISOR, "the k0s join API", Egress, Number::Fixed(9443), On::Some, These(&["k0s"]), JOIN),
    line(SUPERVISOR, "the MicroK8s cluster agent", Ingress, Number::Fixed(25000), On::ControlPlane, These(&["microk8s"]), JOIN),
    line(SUPERVISOR, "the MicroK8s cluster agent", Egress, Number::Fixed(25000), On::Every, These(&["microk8s"]), JOIN),
    line(SUPERVISOR, "the machine config server", Ingress, Number::Fixed(22623), On::ControlPlane, These(&["openshift"]), JOIN),
    line(SUPERVISOR, "the machine config server", Egress, Number::Fixed(22623), On::Every, These(&["openshift"]), JOIN),
    line(SUPERVISOR, "kops-controller", Ingress, Number::Fixed(3988), On::ControlPlane, These(&["kops"]), JOIN),
    line(&["exec-tunnel"], "konnectivity", Ingress, Number::Fixed(8132), On::ControlPlane, These(&["k0s"]), KUBELET),
    Lifeline { hosted: true, ..line(&["exec-tunnel"], "konnectivity", Egress, Number::Fixed(8132), On::Every, These(&["k0s"]), KUBELET) },
    Lifeline { hosted: true, transport: Transport::Udp,
        ..line(&["exec-tunnel"], "the control plane's WireGuard", Ingress, Number::Fixed(51820), On::Every, These(&["lke"]), KUBELET) },
];

impl Lifeline {
    fn is_wanted(&self, matrix: &Expanded) -> bool {
        let cluster = &matrix.cluster;
        let distribution = cluster.distribution.as_deref();
        let of_distribution = match self.only {
            All => true,
            These(names) => distribution.is_some_and(|name| names.contains(&name)),
            AllBut(names) => distribution.is_none_or(|name| !names.contains(&name)),
        };
        of_distribution && default_of(matrix, self.direction).deny && (self.hosted || !cluster.hosted_control_plane)
    }

    fn ports(&self, cluster: &Cluster) -> PortRange {
        port(match self.port {
            Number::Fixed(number) => number,
            Number::Kubelet => cluster.kubelet_port,
            Number::ApiServer => cluster.api_server_port,
        })
    }

    fn is_in(&self, row: &Row, matrix: &Expanded) -> bool {
        if row.flow.as_deref().is_some_and(|flow| self.flows.contains(&flow)) {
            return true;
        }
        let ports = self.ports(&matrix.cluster);
        // The clients of a hosted control plane's nodes are no nodes, unless a row for this very port says so.
        let listed = listed(row).any(|(_, range)| range.overlaps(ports));
        let inside = matrix.cluster.hosted_control_plane && !listed && !outside_among(row);
        opens(row, self.transport, ports) && nodes_among(matrix, row) && !inside
    }
}

/// Whether someone can be meant who is no node.
fn outside_among(row: &Row) -> bool {
    row.peers.iter().any(|peer| matches!(peer, Peer::Any | Peer::Cidrs { .. } | Peer::Fqdns { .. }))
}

pub(super) fn lint(matrix: &Expanded, findings: &mut Vec<Finding>) {
    loopback(matrix, findings);
    for lifeline in LIFELINES.iter().filter(|lifeline| lifeline.is_wanted(matrix)) {
        let lacking = lacking(matrix, lifeline.direction, lifeline.on, |row| lifeline.is_in(row, matrix));
        if lacking.is_empty() {
            continue;
        }
        let ports = lifeline.ports(&matrix.cluster);
        let transport = lifeline.transport.name();
        let names = role_names(matrix, &lacking);
        let what = lifeline.what;
        let message = match lifeline.direction {
            Ingress => format!("no row admits {what} ({transport} {ports}) on {names}"),
            Egress => format!("egress is denied, and no row lets {names} reach {what} ({transport} {ports})"),
        };
        let side = if lifeline.direction == Ingress { "from: nodes" } else { "direction: egress, to: nodes" };
        let protocol = if lifeline.transport == Transport::Udp { "protocol: UDP, " } else { "" };
        let help = format!(
            "without it {}; add `{{roles: {}, {protocol}ports: {ports}, {side}, flow: {}}}` with the peers that need it",
            lifeline.breaks,
            roles_field(matrix, &lacking),
            lifeline.flows[0]
        );
        findings.push(Finding::new(&codes::MISSING_LIFELINE, message).at("spec.rows", None).help(help));
    }
    host_to_pod(matrix, findings);
}

/// The roles that need something and have no row for it.
fn lacking(matrix: &Expanded, direction: Direction, on: On, is_in: impl Fn(&Row) -> bool) -> Vec<usize> {
    let has = |role: &usize| admitting(matrix, direction).any(|row| row.roles.contains(role) && is_in(row));
    let every = every(matrix);
    let (roles, one_is_enough) = match on {
        On::Every => (every, false),
        On::Some => (every, true),
        On::ControlPlane => match control_plane(matrix) {
            found if found.is_empty() => (every, true),
            found => (found, false),
        },
    };
    if one_is_enough && roles.iter().any(has) {
        return Vec::new();
    }
    roles.into_iter().filter(|role| !has(role)).collect()
}

/// Loopback is policed with every interface; probes and the control plane talk over it.
fn loopback(matrix: &Expanded, findings: &mut Vec<Finding>) {
    let policed = match &matrix.frame.interfaces {
        Interfaces::All => true,
        Interfaces::Named(names) => names.iter().any(|name| name == "lo"),
    };
    for direction in [Ingress, Egress] {
        if !policed || !default_of(matrix, direction).deny {
            continue;
        }
        let by_frame =
            matrix.frame_rows.iter().any(|row| row.origin == Origin::Frame("loopback") && row.direction == direction);
        let by_rows = admitting(matrix, direction).any(|row| {
            row.flow.as_deref() == Some("loopback")
                || row.peers.iter().any(|peer| matches!(peer, Peer::Localhost | Peer::Any))
                    && row.traffic.contains(&Traffic::Any)
        });
        if !by_frame && !by_rows {
            let message = format!("no row admits loopback for {direction}, although every interface is policed");
            let help =
                "without it probes kill calico-node and kube-proxy; write `loopback: allow`, or name the interfaces";
            let finding = Finding::new(&codes::MISSING_LIFELINE, message);
            findings.push(finding.at("spec.enforcement.loopback", None).help(help));
        }
    }
}

/// Nodes reach pods: the kubelet's probes, the API server's webhooks.
fn host_to_pod(matrix: &Expanded, findings: &mut Vec<Finding>) {
    if !matrix.frame.egress.deny {
        return;
    }
    let pods = &matrix.cluster.pod_cidrs;
    let lacking = lacking(matrix, Egress, On::Every, |row| {
        matches!(row.flow.as_deref(), Some("host-to-pod" | "kubelet-probes"))
            || row.peers.iter().any(|peer| match peer {
                Peer::Pods | Peer::PodSelector { .. } => true,
                Peer::Any => row.traffic.contains(&Traffic::Any),
                Peer::Cidrs { cidrs, .. } => cidrs.iter().any(|cidr| pods.iter().any(|pods| pods.overlaps(*cidr))),
                _ => false,
            })
    });
    if !lacking.is_empty() {
        let message = format!("egress is denied, and no row lets {} reach pods", role_names(matrix, &lacking));
        let help = format!(
            "without it probes and webhooks fail; add `{{roles: {}, direction: egress, protocol: Any, to: pods, flow: host-to-pod}}`",
            roles_field(matrix, &lacking)
        );
        findings.push(Finding::new(&codes::MISSING_LIFELINE, message).at("spec.rows", None).help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::found as found_code;
    use super::*;

    /// Rows that every cluster with etcd on its own nodes needs.
    const SOUND: &str = "{roles: all, ports: 10250, from: [nodes, pods]}
        {roles: control-plane, ports: 6443, from: any}
        {roles: control-plane, ports: 2379-2380, from: control-plane}";

    fn found(before: &str, rows: &str) -> Vec<String> {
        found_code(&codes::MISSING_LIFELINE, before, rows)
    }

    #[test]
    fn a_sound_matrix_misses_nothing() {
        assert_eq!(found("", SOUND), [""; 0]);
        let flows = "{roles: all, ports: 10000, from: nodes, flow: kubelet-api}
            {roles: control-plane, ports: 443, from: any, flow: kube-apiserver}
            {roles: worker, ports: 4001, from: worker, flow: etcd-client}
            {roles: worker, ports: 4002, from: worker, flow: etcd-peer}";
        assert_eq!(found("", flows), [""; 0], "a flow counts whatever its port");
        assert_eq!(found("", "{roles: all, protocol: Any, from: 10.0.0.0/8}"), [""; 0]);
        let pods = found("cluster: {podCIDRs: [10.0.0.0/8]}", "{roles: all, protocol: Any, from: [pods, 10.0.0.0/8]}");
        assert_eq!(pods.len(), 4, "pods are not whom the control plane lives on");
    }

    #[test]
    fn each_missing_flow_is_reported() {
        for (left_out, message) in [
            (0, "no row admits the kubelet (TCP 10250) on `control-plane`, `worker`"),
            (1, "no row admits the API server (TCP 6443) on `control-plane`"),
            (2, "no row admits etcd's clients (TCP 2379) on `control-plane`, `worker`"),
        ] {
            let rows: Vec<&str> =
                SOUND.lines().enumerate().filter(|(index, _)| *index != left_out).map(|(_, row)| row).collect();
            let messages = found("", &rows.join("\n"));
            assert_eq!(messages.first(), Some(&format!("spec.rows: {message}")));
        }
        let worker = SOUND.replace("roles: all", "roles: worker");
        assert_eq!(found("", &worker), ["spec.rows: no row admits the kubelet (TCP 10250) on `control-plane`"]);
        let moved = "cluster: {kubeletPort: 10000, apiServerPort: 443}";
        assert_eq!(found(moved, SOUND).len(), 2);
    }

    #[test]
    fn distributions_have_flows_of_their_own() {
        for (distribution, message) in [
            ("rke2", "the RKE2 supervisor (TCP 9345) on `control-plane`"),
            ("harvester", "the RKE2 supervisor (TCP 9345) on `control-plane`"),
            ("talos", "trustd (TCP 50001) on `control-plane`"),
            ("k0s", "the k0s join API (TCP 9443) on `control-plane`"),
            ("microk8s", "dqlite (TCP 19001) on `control-plane`, `worker`"),
            ("openshift", "the machine config server (TCP 22623) on `control-plane`"),
            ("lke", "the control plane's WireGuard (UDP 51820) on `control-plane`, `worker`"),
        ] {
            let messages = found(&format!("cluster: {{distribution: {distribution}}}"), SOUND);
            assert!(messages.iter().any(|found| found.ends_with(message)), "{distribution} {messages:?}");
        }
        let row = format!("{SOUND}\n{{roles: control-plane, ports: 9345, from: nodes}}");
        assert_eq!(found("cluster: {distribution: rke2}", &row), [""; 0]);
        let no_etcd: Vec<&str> = SOUND.lines().take(2).collect();
        assert_eq!(found("cluster: {distribution: k3s}", &no_etcd.join("\n")), [""; 0], "the store may be elsewhere");
    }

    #[test]
    fn a_hosted_control_plane_leaves_the_kubelet() {
        let hosted = "cluster: {hostedControlPlane: true}";
        assert_eq!(found(hosted, "{roles: all, ports: 10250, from: 10.0.0.0/8}"), [""; 0]);
        assert_eq!(found(hosted, "{roles: all, ports: 10250, from: [nodes, pods]}"), [""; 0]);
        assert_eq!(found(hosted, "{roles: all, ports: 22, from: any}").len(), 1);
        assert_eq!(found(hosted, "{roles: all, protocol: Any, from: nodes}").len(), 1, "the API server is no node");
    }

    #[test]
    fn one_role_is_enough_where_none_is_known_as_the_control_plane() {
        let roles = "roles:
  red: {nodeSelector: {matchExpressions: [{key: red, operator: Exists}]}}
  blue: {nodeSelector: {matchExpressions: [{key: red, operator: DoesNotExist}]}}";
        let rows = "{roles: all, ports: 10250, from: nodes}\n{roles: blue, ports: [6443, 2379-2380], from: nodes}";
        assert_eq!(found(roles, rows), [""; 0]);
        assert_eq!(found(roles, "{roles: all, ports: [10250, 2379-2380], from: nodes}").len(), 1);
    }

    #[test]
    fn denied_egress_needs_the_other_end() {
        let deny = "enforcement: {egress: {default: deny}}";
        let messages = found(deny, SOUND);
        for message in [
            "no row lets `control-plane` reach the kubelets (TCP 10250)",
            "no row lets `control-plane`, `worker` reach the API server (TCP 6443)",
            "no row lets `control-plane`, `worker` reach etcd's clients (TCP 2379)",
            "no row lets `control-plane`, `worker` reach pods",
        ] {
            assert!(messages.iter().any(|found| found.ends_with(message)), "{message}: {messages:#?}");
        }
        let rows = format!(
            "{SOUND}
            {{roles: control-plane, direction: egress, ports: [10250, 2379-2380], to: nodes}}
            {{roles: all, direction: egress, ports: 6443, to: control-plane}}
            {{roles: all, direction: egress, protocol: Any, to: pods}}"
        );
        assert_eq!(found(deny, &rows), [""; 0]);
    }

    #[test]
    fn loopback_is_missed_where_it_is_policed_and_denied() {
        let denied = "enforcement: {loopback: deny}";
        assert!(found(denied, SOUND)[0].starts_with("spec.enforcement.loopback: no row admits loopback for ingress"));
        let row = format!("{SOUND}\n{{roles: all, protocol: Any, from: localhost}}");
        assert_eq!(found(denied, &row), [""; 0]);
        assert_eq!(found("enforcement: {loopback: deny, interfaces: [eth0]}", SOUND), [""; 0]);
    }
}

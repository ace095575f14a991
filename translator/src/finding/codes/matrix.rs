//! Codes of the matrix: reading, expanding, linting.

use crate::finding::{Code, Severity};

/// The file cannot be read.
pub static INPUT_UNREADABLE: Code = Code {
    id: "input-unreadable",
    severity: Severity::Error,
    title: "the file cannot be read",
    explanation: "The file does not exist, is a directory, may not be read, or is not UTF-8 text. Nothing was written.",
    example: "translate --cni calico -f missing.yaml",
    fix: "Check the path and the permissions. `-f -` reads standard input.",
};
/// There is no document in the input.
pub static INPUT_EMPTY: Code = Code {
    id: "input-empty",
    severity: Severity::Error,
    title: "there is no document in the input",
    explanation: "The input has no YAML document: it is empty, or holds only comments or a null.",
    example: "translate --cni calico -f /dev/null",
    fix: "Start from a preset: `translate presets show kubeadm > matrix.yaml`.",
};
/// The input is larger than is read.
pub static INPUT_TOO_LARGE: Code = Code {
    id: "input-too-large",
    severity: Severity::Error,
    title: "the input is larger than is read",
    explanation: "A matrix is read up to 4 MiB and 200,000 values. A real one is a page or two, so a larger input is the wrong file or an attack.",
    example: "translate --cni calico -f nodes.json",
    fix: "Check that this is the matrix. Node lists go to `--nodes`.",
};
/// The input is nested deeper than is read.
pub static INPUT_TOO_DEEP: Code = Code {
    id: "input-too-deep",
    severity: Severity::Error,
    title: "the input is nested deeper than is read",
    explanation: "A matrix is read up to 32 levels of nesting; the schema needs no more than eight.",
    example: "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    fix: "Look for brackets that were left open.",
};
/// The input is not YAML.
pub static YAML_SYNTAX: Code = Code {
    id: "yaml-syntax",
    severity: Severity::Error,
    title: "the input is not YAML",
    explanation: "The text breaks the rules of YAML at the place shown. What follows was not read, so there may be more errors.",
    example: "rows: [{ports: 22}",
    fix: "Mend the syntax. Flow style needs every bracket closed; block style needs even indentation and no tabs.",
};
/// The input holds more than one document.
pub static YAML_NOT_ONE_DOCUMENT: Code = Code {
    id: "yaml-not-one-document",
    severity: Severity::Error,
    title: "the input holds more than one document",
    explanation: "A matrix is one document. With two, it would be a guess which one is meant.",
    example: "kind: PortMatrix\n---\nkind: PortMatrix",
    fix: "Keep one matrix in a file, and translate each on its own.",
};
/// Aliases are not read.
pub static YAML_ALIAS: Code = Code {
    id: "yaml-alias",
    severity: Severity::Error,
    title: "aliases are not read",
    explanation: "An alias (`*name`) can make a small text expand without bound, and hides what a row says from a reviewer.",
    example: "cidrs: *admins",
    fix: "Write the value out, or give it a name as a parameter or a peer.",
};
/// Tags are not read.
pub static YAML_TAG: Code = Code {
    id: "yaml-tag",
    severity: Severity::Error,
    title: "tags are not read",
    explanation: "A tag (`!!str`) changes how a value is read in ways that differ between readers.",
    example: "ports: !!str 22",
    fix: "Leave the tag out; quote the value if it is text.",
};
/// A key stands twice in one mapping.
pub static YAML_REPEATED_KEY: Code = Code {
    id: "yaml-repeated-key",
    severity: Severity::Error,
    title: "a key stands twice in one mapping",
    explanation: "Some readers take the first value, some the last, some refuse. A firewall must not depend on that.",
    example: "ports: 22\nports: 6443",
    fix: "Keep one. Several ports go into a list: `ports: [22, 6443]`.",
};
/// A value means different things to different YAML readers.
pub static YAML_AMBIGUOUS_SCALAR: Code = Code {
    id: "yaml-ambiguous-scalar",
    severity: Severity::Error,
    title: "a value means different things to different YAML readers",
    explanation: "YAML 1.1 reads `yes`, `on`, `010`, `22:23` and `1_000` as booleans and numbers, YAML 1.2 does not. A matrix has to mean the same everywhere, so such a value is refused unless it is quoted.",
    example: "purpose: on",
    fix: "Quote it if it is text (`\"on\"`); write numbers plainly (`8`, `1000`), ranges with a dash (`2379-2380`), booleans as `true` or `false`.",
};
/// The schema has no such field.
pub static UNKNOWN_FIELD: Code = Code {
    id: "unknown-field",
    severity: Severity::Error,
    title: "the schema has no such field",
    explanation: "A field that nobody reads is a restriction that nobody enforces, so unknown fields are refused.",
    example: "rows:\n- {roles: all, port: 22, from: any}",
    fix: "Use the field that the message suggests, or see `translate schema`.",
};
/// A field is missing.
pub static MISSING_FIELD: Code = Code {
    id: "missing-field",
    severity: Severity::Error,
    title: "a field is missing",
    explanation: "The field has no default, because any default would be a guess about who may reach a node.",
    example: "rows:\n- {roles: all, ports: 22}",
    fix: "Add the field.",
};
/// A value has the wrong type.
pub static WRONG_TYPE: Code = Code {
    id: "wrong-type",
    severity: Severity::Error,
    title: "a value has the wrong type",
    explanation: "The field takes another kind of value.",
    example: "ports: {from: 1, to: 2}",
    fix: "Write the form that the message shows.",
};
/// A value is not one of those the field takes.
pub static WRONG_VALUE: Code = Code {
    id: "wrong-value",
    severity: Severity::Error,
    title: "a value is not one of those the field takes",
    explanation: "The field takes one of a few words, in exactly this spelling.",
    example: "direction: inbound",
    fix: "Use one of the words listed in the message.",
};
/// This is not a PortMatrix of a version that is read.
pub static WRONG_KIND: Code = Code {
    id: "wrong-kind",
    severity: Severity::Error,
    title: "this is not a PortMatrix of a version that is read",
    explanation: "`apiVersion` must be `lifeline.dev/v1alpha1` and `kind` must be `PortMatrix`.",
    example: "apiVersion: v1\nkind: ConfigMap",
    fix: "Check that this is the matrix; policies, nodes and configuration have options of their own.",
};
/// A name cannot be used in Kubernetes objects.
pub static BAD_NAME: Code = Code {
    id: "bad-name",
    severity: Severity::Error,
    title: "a name cannot be used in Kubernetes objects",
    explanation: "Names of the matrix, roles and peers become parts of object names, so they are DNS labels: lower-case letters, digits and dashes, beginning with a letter. Parameters are camelCase words. The matrix's name has at most 40 characters, roles and peers 30.",
    example: "roles: {Control_Plane: ...}",
    fix: "Write it in lower case with dashes: `control-plane`.",
};
/// A name has a meaning of its own.
pub static RESERVED_NAME: Code = Code {
    id: "reserved-name",
    severity: Severity::Error,
    title: "a name has a meaning of its own",
    explanation: "`any`, `nodes`, `pods`, `services`, `localhost` and `all` are built in, and roles and peers share one set of names. A second meaning would never be reached.",
    example: "peers: {pods: {cidrs: [10.0.0.0/8]}}",
    fix: "Choose another name. The pods' and nodes' prefixes go to `cluster.podCIDRs` and `cluster.nodeCIDRs`.",
};
/// A prefix is not in canonical form.
pub static BAD_CIDR: Code = Code {
    id: "bad-cidr",
    severity: Severity::Error,
    title: "a prefix is not in canonical form",
    explanation: "Prefixes are written with their length, without host bits and without leading zeros. `10.0.0.5/24` may mean a host or a network, and `010.0.0.0/8` is 8.0.0.0/8 to some readers.",
    example: "cidrs: [10.0.0.5/24]",
    fix: "Write the network (`10.0.0.0/24`) or the one address (`10.0.0.5/32`).",
};
/// A port is not a number from 1 to 65535, or a range of them.
pub static BAD_PORT: Code = Code {
    id: "bad-port",
    severity: Severity::Error,
    title: "a port is not a number from 1 to 65535, or a range of them",
    explanation: "Ports are decimal integers, ranges `first-last` with a dash. Names, port 0, hexadecimal and octal forms are not read.",
    example: "ports: 0",
    fix: "Write `22`, `2379-2380`, or a list of these.",
};
/// No such protocol.
pub static BAD_PROTOCOL: Code = Code {
    id: "bad-protocol",
    severity: Severity::Error,
    title: "no such protocol",
    explanation: "Protocols are TCP, UDP, SCTP, ICMP, ICMPv6, IPIP, ESP, AH, GRE, VRRP, Any, or a number from 0 to 255.",
    example: "protocol: tcp",
    fix: "Use the spelling listed, or the IANA protocol number.",
};
/// An ICMP match is not valid.
pub static BAD_ICMP: Code = Code {
    id: "bad-icmp",
    severity: Severity::Error,
    title: "an ICMP match is not valid",
    explanation: "`icmp` takes a list of `{type, code}`, type 0 to 255, code 0 to 255 and only with a type, and only on rows whose protocols are ICMP or ICMPv6.",
    example: "icmp: [{code: 4}]",
    fix: "Give the type: `icmp: [{type: 3, code: 4}]`.",
};
/// Fields of a row contradict each other.
pub static BAD_ROW: Code = Code {
    id: "bad-row",
    severity: Severity::Error,
    title: "fields of a row contradict each other",
    explanation: "Some fields exclude each other or need one another: `from` belongs to ingress and `to` to egress; ports need TCP, UDP or SCTP; `listen: loopback` rows document a listener and name no peer.",
    example: "rows:\n- {roles: all, direction: egress, ports: 53, from: any}",
    fix: "Change the field that the message names.",
};
/// A label selector is not valid.
pub static BAD_SELECTOR: Code = Code {
    id: "bad-selector",
    severity: Severity::Error,
    title: "a label selector is not valid",
    explanation: "Selectors follow Kubernetes: keys are `[prefix/]name`, `In` and `NotIn` need values, `Exists` and `DoesNotExist` take none, values have at most 63 characters.",
    example: "matchExpressions: [{key: a, operator: In}]",
    fix: "Mend the requirement that is shown.",
};
/// A row names a role that the matrix does not define.
pub static UNKNOWN_ROLE: Code = Code {
    id: "unknown-role",
    severity: Severity::Error,
    title: "a row names a role that the matrix does not define",
    explanation: "Rows name the roles of `spec.roles`, or `all`.",
    example: "roles: controlplane",
    fix: "Use the name that the message suggests, or define the role.",
};
/// A row names a peer that the matrix does not define.
pub static UNKNOWN_PEER: Code = Code {
    id: "unknown-peer",
    severity: Severity::Error,
    title: "a row names a peer that the matrix does not define",
    explanation: "A peer is `any`, `nodes`, `pods`, `services`, `localhost`, a role, a name of `spec.peers`, a `$parameter`, or a prefix.",
    example: "from: admin",
    fix: "Use the name that the message suggests, or define the peer.",
};
/// No such parameter.
pub static UNKNOWN_PARAMETER: Code = Code {
    id: "unknown-parameter",
    severity: Severity::Error,
    title: "no such parameter",
    explanation: "The matrix defines no parameter of this name. A misspelt `--set` would silently leave the default in force.",
    example: "translate --preset harvester --set adminCIDR=10.0.0.0/8",
    fix: "Use the name that the message suggests; `translate presets show NAME` lists them.",
};
/// No such addon.
pub static UNKNOWN_ADDON: Code = Code {
    id: "unknown-addon",
    severity: Severity::Error,
    title: "no such addon",
    explanation: "The matrix defines no addon of this name.",
    example: "translate --preset harvester --addon monitoring=off",
    fix: "Use one of the names in the message.",
};
/// No such lifeline.
pub static UNKNOWN_FLOW: Code = Code {
    id: "unknown-flow",
    severity: Severity::Error,
    title: "no such lifeline",
    explanation: "`flow` names a lifeline of the catalogue, so that failsafes and checks know what the row carries.",
    example: "flow: kubelet",
    fix: "Use one of the ids in the message, or leave `flow` out.",
};
/// Peers refer to each other in a circle.
pub static CYCLIC_PEER: Code = Code {
    id: "cyclic-peer",
    severity: Severity::Error,
    title: "peers refer to each other in a circle",
    explanation: "A peer may be made of other peers, but not of itself, directly or through others.",
    example: "peers: {a: {peers: [b]}, b: {peers: [a]}}",
    fix: "Break the circle at one of the peers named.",
};
/// A parameter without default was not given.
pub static MISSING_PARAMETER: Code = Code {
    id: "missing-parameter",
    severity: Severity::Error,
    title: "a parameter without default was not given",
    explanation: "The value differs from cluster to cluster and no safe default exists, so it has to be stated.",
    example: "translate --preset lke --cni calico",
    fix: "Give it: `--set NAME=VALUE`.",
};
/// A parameter cannot have this value.
pub static BAD_PARAMETER: Code = Code {
    id: "bad-parameter",
    severity: Severity::Error,
    title: "a parameter cannot have this value",
    explanation: "The value does not fit the parameter's type or its list of values.",
    example: "--set enableNodePort=maybe",
    fix: "Give a value of the type that the message names. Lists are separated by commas.",
};
/// A condition rests on a fact that nobody stated.
pub static WHEN_UNDECIDABLE: Code = Code {
    id: "when-undecidable",
    severity: Severity::Error,
    title: "a condition rests on a fact that nobody stated",
    explanation: "Whether the row is in force depends on the fact. Leaving the row out could cut a flow, keeping it could open one, so neither is done.",
    example: "when: {cni: calico}   # and no spec.cluster.cni",
    fix: "State the fact in `spec.cluster`, or for one run with `--assume cni=calico`.",
};
/// No row lets an administrator in from outside the cluster.
pub static NO_ADMIN_PATH: Code = Code {
    id: "no-admin-path",
    severity: Severity::Error,
    title: "no row lets an administrator in from outside the cluster",
    explanation: "When a policy goes wrong, somebody has to reach the nodes without the cluster's help. No row in force carries the flow `admin-ssh` or `admin-talos`, or opens TCP 22 or 50000, to anyone but nodes and pods. The person who is paged would have to drive there.",
    example: "rows without SSH, or adminCIDRs set to the empty list",
    fix: "Add a row such as `{roles: all, ports: 22, from: $adminCIDRs, flow: admin-ssh}` and give the addresses. If there is a console or a management network that no policy touches, say so with `--no-admin-path`.",
};
/// The matrix has no roles or no rows.
pub static NO_ROLES: Code = Code {
    id: "no-roles",
    severity: Severity::Error,
    title: "the matrix has no roles or no rows",
    explanation: "Without a role no node is protected, and without a row nothing is said.",
    example: "spec: {roles: {}, rows: []}",
    fix: "Define at least one role, and one row.",
};
/// Two roles select the same nodes.
pub static ROLES_OVERLAP: Code = Code {
    id: "roles-overlap",
    severity: Severity::Error,
    title: "two roles select the same nodes",
    explanation: "A node in two roles gets the rows of both, so it is open to more than its role says. Here one selector covers the other entirely, so every node of the narrower role is in both.",
    example: "roles: {all-nodes: {nodeSelector: {}}, worker: {nodeSelector: {matchLabels: {a: b}}}}",
    fix: "Make them exclude each other: add `{key: ..., operator: DoesNotExist}` to the wider one.",
};
/// A node could carry the labels of two roles.
pub static ROLES_MAY_OVERLAP: Code = Code {
    id: "roles-may-overlap",
    severity: Severity::Note,
    title: "a node could carry the labels of two roles",
    explanation: "The selectors do not exclude each other. Whether a node is in both depends on its labels; with `--nodes` this is checked.",
    example: "",
    fix: "Give `--nodes`, or make the selectors exclude each other.",
};
/// A node without role labels is in no role.
pub static ROLES_GAP: Code = Code {
    id: "roles-gap",
    severity: Severity::Error,
    title: "a node without role labels is in no role",
    explanation: "A node that no role selects gets no policy and stays open. Workers of most distributions carry no role label at all.",
    example: "roles: {worker: {nodeSelector: {matchLabels: {node-role.kubernetes.io/worker: \"\"}}}}",
    fix: "Let one role take the rest: `{key: node-role.kubernetes.io/control-plane, operator: DoesNotExist}`.",
};
/// Some labels would put a node in no role.
pub static ROLES_MAY_MISS: Code = Code {
    id: "roles-may-miss",
    severity: Severity::Note,
    title: "some labels would put a node in no role",
    explanation: "A node with the labels shown is selected by no role and stays open. With `--nodes` the real nodes are checked.",
    example: "",
    fix: "Check that no node is labelled so, or widen a selector.",
};
/// Two options exclude each other.
pub static CONFLICTING_OPTIONS: Code = Code {
    id: "conflicting-options",
    severity: Severity::Error,
    title: "two options exclude each other",
    explanation: "The options ask for different things.",
    example: "translate --preset talos -f matrix.yaml",
    fix: "Leave one of them out.",
};
/// The node list cannot be read.
pub static NODES_UNREADABLE: Code = Code {
    id: "nodes-unreadable",
    severity: Severity::Error,
    title: "the node list cannot be read",
    explanation: "`--nodes` takes what `kubectl get nodes -o json` (or yaml) prints: a List of Node objects.",
    example: "translate --nodes pods.json",
    fix: "Make the list again: `kubectl get nodes -o json > nodes.json`.",
};
/// A well-known port with a protocol it does not use.
pub static WRONG_PROTOCOL: Code = Code {
    id: "lint-wrong-protocol",
    severity: Severity::Warning,
    title: "a well-known port with a protocol it does not use",
    explanation: "BGP, etcd, the API server, the kubelet and Typha speak TCP; VXLAN, Geneve, WireGuard, NTP and DHCP speak UDP. VRRP, IP-in-IP and ESP are protocols, not ports. The row opens something nobody uses and leaves the real flow closed. A row is not reported where another one of the same role admits the port with its own protocol.",
    example: "{ports: 179, protocol: UDP}",
    fix: "Use the protocol that the message names.",
};
/// A node-port range other than the API server's.
pub static NODE_PORT_RANGE: Code = Code {
    id: "lint-node-port-range",
    severity: Severity::Warning,
    title: "a node-port range other than the API server's",
    explanation: "The API server hands out node ports from 30000-32767 unless `--service-node-port-range` says otherwise; then `cluster.nodePorts` should say the same. A single node port, or a small part of the range, is no mistake.",
    example: "ports: 30000-32768",
    fix: "Write 30000-32767, or state the range in `cluster.nodePorts`.",
};
/// No row for the overlay of the CNI.
pub static MISSING_OVERLAY: Code = Code {
    id: "lint-missing-overlay",
    severity: Severity::Warning,
    title: "no row for the overlay of the CNI",
    explanation: "The cluster's CNI carries pod traffic in an encapsulation that no row admits. With default deny, pods on different nodes lose each other, and so do webhooks and DNS.\n\nCalico admits its own overlay between its nodes before any policy, Cilium admits nothing by itself. The row is wanted on Calico too: policies before NAT, other filters on the way and the next CNI have no such mercy. The port is taken from `cluster.cni` and `cluster.encapsulation`; a row with `flow: overlay` on a port that no CNI has by default counts as a changed port.",
    example: "cluster: {cni: cilium, encapsulation: vxlan} without UDP 8472",
    fix: "Add the row that the message names.",
};
/// A control port is open to anyone.
pub static OPEN_TO_ANYONE: Code = Code {
    id: "lint-open-to-anyone",
    severity: Severity::Warning,
    title: "a control port is open to anyone",
    explanation: "etcd, the kubelet, Typha, overlays and metrics have no business with the outside. VXLAN, Geneve and IP-in-IP take packets from whoever sends them, and with them any address of a pod; metrics are read by anyone who asks. WireGuard is not among them, because it answers nobody without a key.",
    example: "{ports: 2379-2380, from: any}",
    fix: "Name the peers that need it: roles, `nodes`, or prefixes.",
};
/// A port of a pod that can move is open on some roles only.
pub static ADDON_PLACEMENT: Code = Code {
    id: "lint-addon-placement",
    severity: Severity::Warning,
    title: "a port of a pod that can move is open on some roles only",
    explanation: "The pod behind the port belongs to a Deployment on the host network and can be scheduled to any role that takes its kind; it stops answering the day it moves. Roles that are there for etcd alone do not count.",
    example: "{roles: worker, ports: 10660}",
    fix: "Open the port on every role that may host the pod.",
};
/// Nothing admits a flow the cluster lives on.
pub static MISSING_LIFELINE: Code = Code {
    id: "lint-missing-lifeline",
    severity: Severity::Warning,
    title: "nothing admits a flow the cluster lives on",
    explanation: "Default deny without a row for this flow cuts it. Often nothing is seen until a node restarts or joins, because connections that are open already stay so.\n\nWhich flows there are follows from `cluster.distribution`, `cluster.hostedControlPlane` and the ports stated; a role counts as control plane by its name or by the label node-role.kubernetes.io/control-plane. A row counts by its `flow`, or by its port where nodes are among its peers.",
    example: "a matrix without a row for TCP 10250",
    fix: "Add the row, or give the row that admits it its `flow`.",
};
/// A row names prefixes of one family on a dual-stack cluster.
pub static ONE_FAMILY: Code = Code {
    id: "lint-one-family",
    severity: Severity::Warning,
    title: "a row names prefixes of one family on a dual-stack cluster",
    explanation: "The node or pod prefixes have both families, the row's prefixes only one: over the other family the peer is refused. Rows for administrators and others outside the cluster are not judged, because they may well have one family only.",
    example: "nodeCIDRs: [10.0.0.0/8, fd00::/8] with from: 192.0.2.0/24",
    fix: "Add the other family's prefixes, or state `family` if it is meant.",
};
/// Egress is denied and DNS is not open over both UDP and TCP.
pub static DNS_EGRESS: Code = Code {
    id: "lint-dns-egress",
    severity: Severity::Warning,
    title: "egress is denied and DNS is not open over both UDP and TCP",
    explanation: "Names are resolved over UDP 53 and, for large answers, TCP 53. Without them image pulls, time and discovery fail by and by.",
    example: "egress: {default: deny} and no row for 53",
    fix: "Add `{roles: all, direction: egress, to: any, ports: 53, protocol: [UDP, TCP], flow: dns}`.",
};
/// Packets are dropped without a log line.
pub static NO_LOG: Code = Code {
    id: "lint-no-log",
    severity: Severity::Note,
    title: "packets are dropped without a log line",
    explanation: "The first question at night is what was dropped. Calico can log before it drops. Cilium has no such rule: there Hubble and `cilium monitor` show drops.",
    example: "ingress: {default: deny}",
    fix: "Add `log: {}` to the direction.",
};
/// A row has no effect.
pub static DEAD_ROW: Code = Code {
    id: "lint-dead-row",
    severity: Severity::Warning,
    title: "a row has no effect",
    explanation: "Another row for the same roles already admits all of it, a deny row takes all of it away, the port is bound to loopback only on this distribution, or its protocol and its peers have no family in common.\n\nRows with two different flows are told apart, and so are rows beside one that opens every port: they say what the opening is used for.",
    example: "{ports: 22, from: 10.0.0.0/8} beside {ports: 22, from: any}",
    fix: "Leave it out, or narrow the other row.",
};
/// An address from a documentation range.
pub static EXAMPLE_ADDRESS: Code = Code {
    id: "lint-example-address",
    severity: Severity::Warning,
    title: "an address from a documentation range",
    explanation: "192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32 and 3fff::/20 belong to examples. Nobody comes from there, so the row admits nobody.",
    example: "--set adminCIDRs=203.0.113.0/24",
    fix: "Put the real prefixes in.",
};
/// A row is not in force because its parameter is empty.
pub static ROW_VANISHED: Code = Code {
    id: "row-without-peers",
    severity: Severity::Note,
    title: "a row is not in force because its parameter is empty",
    explanation: "Every peer of the row, or every port, comes from parameters that are empty, so it admits nobody and is left out.",
    example: "--set adminCIDRs=",
    fix: "Give the parameter a value if the row is meant.",
};
/// The codes of this part.
pub const CODES: &[&Code] = &[
    &INPUT_UNREADABLE,
    &INPUT_EMPTY,
    &INPUT_TOO_LARGE,
    &INPUT_TOO_DEEP,
    &YAML_SYNTAX,
    &YAML_NOT_ONE_DOCUMENT,
    &YAML_ALIAS,
    &YAML_TAG,
    &YAML_REPEATED_KEY,
    &YAML_AMBIGUOUS_SCALAR,
    &UNKNOWN_FIELD,
    &MISSING_FIELD,
    &WRONG_TYPE,
    &WRONG_VALUE,
    &WRONG_KIND,
    &BAD_NAME,
    &RESERVED_NAME,
    &BAD_CIDR,
    &BAD_PORT,
    &BAD_PROTOCOL,
    &BAD_ICMP,
    &BAD_ROW,
    &BAD_SELECTOR,
    &UNKNOWN_ROLE,
    &UNKNOWN_PEER,
    &UNKNOWN_PARAMETER,
    &UNKNOWN_ADDON,
    &UNKNOWN_FLOW,
    &CYCLIC_PEER,
    &MISSING_PARAMETER,
    &BAD_PARAMETER,
    &WHEN_UNDECIDABLE,
    &NO_ADMIN_PATH,
    &NO_ROLES,
    &ROLES_OVERLAP,
    &ROLES_MAY_OVERLAP,
    &ROLES_GAP,
    &ROLES_MAY_MISS,
    &CONFLICTING_OPTIONS,
    &NODES_UNREADABLE,
    &WRONG_PROTOCOL,
    &NODE_PORT_RANGE,
    &MISSING_OVERLAY,
    &OPEN_TO_ANYONE,
    &ADDON_PLACEMENT,
    &MISSING_LIFELINE,
    &ONE_FAMILY,
    &DNS_EGRESS,
    &NO_LOG,
    &DEAD_ROW,
    &EXAMPLE_ADDRESS,
    &ROW_VANISHED,
];

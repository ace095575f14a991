//! Codes about host endpoints, interfaces and nodes.

use crate::finding::{Code, Severity};

/// Written host endpoints need the nodes.
pub static WRITTEN_ENDPOINTS_NEED_NODES: Code = Code {
    id: "written-endpoints-need-nodes",
    severity: Severity::Error,
    title: "host endpoints cannot be written without a node list",
    explanation: "A host endpoint names its node and that node's addresses. Without the list there is nothing to write.",
    example: "translate --cni calico --preset kubeadm --host-endpoints written",
    fix: "kubectl get nodes -o json > nodes.json, and give `--nodes nodes.json`; or let calico-kube-controllers make them \
with `--host-endpoints auto`.",
};

/// A node has no role.
pub static NODE_WITHOUT_ROLE: Code = Code {
    id: "node-without-role",
    severity: Severity::Warning,
    title: "a node matches no role and stays open",
    explanation: "No role of the matrix selects the node, so no policy of the output applies to it and no host endpoint is \
written for it. It is as reachable as before.",
    example: "roles: {worker: {nodeSelector: {matchLabels: {node-role.kubernetes.io/worker: \"true\"}}}}   # kubeadm sets no such label",
    fix: "Label the node, or widen a role's selector: the role for everything else is best written with `DoesNotExist`.",
};

/// A node has two roles.
pub static NODE_IN_TWO_ROLES: Code = Code {
    id: "node-in-two-roles",
    severity: Severity::Error,
    title: "a node matches two roles",
    explanation: "Roles part the nodes. On a node with two roles the rows of both would add up, and which role's \
restriction holds would be a guess.",
    example: "roles:\n  server: {nodeSelector: {matchLabels: {server: \"true\"}}}\n  storage: {nodeSelector: {matchLabels: {storage: \"true\"}}}",
    fix: "Make the selectors exclude each other, or make a third role for the nodes that do both.",
};

/// A role has no nodes.
pub static ROLE_WITHOUT_NODES: Code = Code {
    id: "role-without-nodes",
    severity: Severity::Warning,
    title: "a role selects none of the given nodes",
    explanation: "The policies of the role are written, but none of the listed nodes is in it. Either there is no such node \
yet, or the selector does not say what the labels say, and the nodes that are meant are in another role or in none.",
    example: "roles: {witness: {nodeSelector: {matchLabels: {node-role.harvesterhci.io/witness: \"true\"}}}}   # no witness in the cluster",
    fix: "Compare the selector with `kubectl get nodes --show-labels`.",
};

/// An interface name cannot be used.
pub static INTERFACE_REFUSED: Code = Code {
    id: "interface-refused",
    severity: Severity::Error,
    title: "an interface name cannot be used",
    explanation: "Calico takes interface names of at most 15 letters, digits and `_.-`. The name also becomes the value of \
the label that keeps the policies on this interface, and a label value begins and ends with a letter or digit.",
    example: "enforcement: {interfaces: [\"eth0:1\"]}",
    fix: "Name the interface itself, as `ip link` lists it, not an alias.",
};

/// An interface needs a node list.
pub static INTERFACE_NEEDS_NODES: Code = Code {
    id: "interface-needs-nodes",
    severity: Severity::Error,
    title: "automatic host endpoints cannot name this interface",
    explanation: "The matrix names interfaces, and automatic host endpoints are made from what calico-node notes about each \
node. From 3.31 it notes interfaces with their names, except those it takes for internal ones (`lo`, `docker*`, `br-*`, \
`cni*`, `veth*`, ...), and none at all where Calico does no networking (Canal). On 3.30, and on Canal, endpoints can be made by \
address only, which finds one interface: the one that carries the node's address. On 3.29 there is no way. An endpoint \
that is never made leaves its interface open, without a word.",
    example: "enforcement: {interfaces: [eth0, eth1]}   # --calico-version 3.30, without --nodes",
    fix: "Give `--nodes` with `--host-endpoints written`: each interface then gets an endpoint by name.",
};

/// The interface is found by the node's address.
pub static INTERFACE_BY_ADDRESS: Code = Code {
    id: "interface-by-address",
    severity: Severity::Warning,
    title: "the interface is taken to be the one with the node's address",
    explanation: "Automatic host endpoints cannot name the interface here (Calico before 3.31, or Canal), so they are made \
for whichever interface carries an address that the node is registered with. If the node's address sits on another \
interface, such as a VLAN on top of the named one, that one is policed and the named one is not.",
    example: "cluster: {cni: canal}\nenforcement: {interfaces: [mgmt-br]}   # without --nodes",
    fix: "Check `ip address` on one node of each kind, or give `--nodes` to write endpoints by name.",
};

/// calico-node must note the interfaces.
pub static ENDPOINTS_NEED_DETECTION: Code = Code {
    id: "endpoints-need-detection",
    severity: Severity::Warning,
    title: "host endpoints depend on the interfaces that calico-node notes",
    explanation: "Endpoints by interface name are made from the annotation `projectcalico.org/Interfaces` of each node, \
which calico-node writes when it detects addresses itself (IP=autodetect) and does the networking. The matrix does not \
say that Calico is the CNI. Without the annotation no endpoint is made, nothing is policed, and nothing says so.",
    example: "enforcement: {interfaces: [eth0]}   # cluster.cni is not stated",
    fix: "State `cluster.cni: calico` if it is, check the annotation on a node, or give `--nodes` to write the endpoints.",
};

/// Host endpoints of others need our label.
pub static ENDPOINTS_NEED_LABEL: Code = Code {
    id: "endpoints-need-label",
    severity: Severity::Warning,
    title: "the host endpoints of others need a label",
    explanation: "The matrix polices certain interfaces only, and the host endpoints are left to others. The policies select \
endpoints with the label `lifeline.dev/interface: <name>`, because an endpoint for all interfaces of a node carries the \
same node labels and must not be closed with them. Endpoints without the label are not policed.",
    example: "translate --cni calico --host-endpoints none   # enforcement: {interfaces: [eth0]}",
    fix: "Put the labels of the node and `lifeline.dev/interface: <name>` on each host endpoint.",
};

/// eBPF does not police the interface.
pub static INTERFACE_OUTSIDE_EBPF: Code = Code {
    id: "interface-outside-ebpf",
    severity: Severity::Warning,
    title: "eBPF does not police this interface by default",
    explanation: "In eBPF mode Felix attaches its programs to interfaces whose name matches `bpfDataIfacePattern`, by default \
the usual names of network cards and bonds. A host endpoint on any other interface, such as a bridge, is accepted and has no \
effect: the interface stays open.",
    example: "enforcement: {interfaces: [mgmt-br]}   # --dataplane ebpf",
    fix: "Extend `bpfDataIfacePattern` in FelixConfiguration `default` by the interface, or name the card beneath it.",
};

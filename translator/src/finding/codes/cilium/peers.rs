//! What peers bring about.

use crate::finding::{Code, Severity};

/// A role cannot be told from other nodes.
pub static ROLE_PEER_WIDER: Code = Code {
    id: "role-peer-wider",
    severity: Severity::Warning,
    title: "Cilium cannot tell the nodes of one role from the others",
    explanation: "By default every other node has the same identity for Cilium, `remote-node`; address ranges do not match \
nodes either. A row whose peer is a role or a set of nodes therefore admits every node of the cluster. For etcd that \
means: a worker can open a connection to the etcd port, and only etcd's own client certificates stand in its way.\n\n\
The entity `kube-apiserver` would look narrower and is never written: it follows the live EndpointSlice of the API \
server. When that is empty, as after a power cut, etcd members could not reach each other, so the API server would not \
come up, so the EndpointSlice would stay empty.",
    example: "rows:\n- {roles: control-plane, ports: 2379-2380, from: control-plane, flow: etcd-peer}",
    fix: "Set `nodeSelectorLabels=true` in Helm (`enable-node-selector-labels`) and state it; peers are then selected by \
label. Or set `policy-cidr-match-mode: nodes` and give the nodes with `--nodes`.",
};

/// Joining nodes may be cut.
pub static CILIUM_JOINING_NODES_UNKNOWN: Code = Code {
    id: "cilium-joining-nodes-unknown",
    severity: Severity::Warning,
    title: "a node that is joining may not reach the control plane",
    explanation: "Cilium knows a node once it is registered with the API server. Until then, and again after its Node \
object was deleted, its packets come from the outside world for all other nodes. The row lets nodes reach a service that \
a node needs in order to register, and the matrix does not say which addresses nodes have, so nothing admits a node that \
is not registered yet. The cluster works until somebody adds or replaces a node.",
    example: "rows:\n- {roles: control-plane, ports: 6443, from: nodes, flow: kube-apiserver}   # cluster.nodeCIDRs is \
missing",
    fix: "State the prefixes of the node network in `spec.cluster.nodeCIDRs`.",
};

/// Joining nodes are admitted by address, whatever their role.
pub static CILIUM_JOINING_NODES_WIDER: Code = Code {
    id: "cilium-joining-nodes-wider",
    severity: Severity::Warning,
    title: "the node network is admitted as well, because a joining node has no role yet",
    explanation: "The row lets the nodes of a role reach a service that a node needs in order to join: API server, \
supervisor, or, for a new member, etcd. A node that is not registered has neither identity nor labels for Cilium, only an \
address. To keep joining possible the prefixes of the node network are admitted too. That admits every machine in those \
prefixes that is not a registered node, and with `policy-cidr-match-mode: nodes` every registered node in them.",
    example: "rows:\n- {roles: control-plane, ports: 50001, from: worker, flow: supervisor}",
    fix: "Nothing, where the node network holds nodes only. Otherwise narrow `spec.cluster.nodeCIDRs`, or leave out `flow` \
if the row is not needed for joining.",
};

/// Node addresses were written into a policy.
pub static CILIUM_NODE_ADDRESSES_FROZEN: Code = Code {
    id: "cilium-node-addresses-frozen",
    severity: Severity::Note,
    title: "addresses of today's nodes are written into policies",
    explanation: "Peers that are roles are written as the addresses of the nodes in `--nodes`, which \
`policy-cidr-match-mode: nodes` makes match exactly these nodes. A node that joins later is not among them until the \
output is made again and applied; an address that is given to another machine still is.",
    example: "translate --cni cilium --nodes nodes.json --cilium-config cilium-config.yaml ...",
    fix: "Translate again whenever nodes of such a role come or go, or use `enable-node-selector-labels` instead.",
};

/// CIDR peers do not match nodes and pods.
pub static CIDR_MISSES_NODES: Code = Code {
    id: "cidr-misses-nodes",
    severity: Severity::Warning,
    title: "an address range does not match nodes or pods in it",
    explanation: "For Cilium an address range means the outside world. Registered nodes and pods have identities of their \
own and are not matched by a range that holds their addresses, not even by a /32. The row names a range that holds, or \
may hold, addresses of some nodes or pods: their packets do not match it. A machine in the range is matched until it \
joins as a node and not afterwards.\n\n\
Where the range holds all nodes (`spec.cluster.nodeCIDRs`) or all pods (`podCIDRs`), they are added to the row by \
identity and nothing is lost. The finding remains where only some are in it, or where the prefixes are not stated.",
    example: "rows:\n- {roles: all, ports: 9100, from: 10.0.0.0/8}   # nodes are 10.0.1.0/24, cluster.nodeCIDRs is missing",
    fix: "State `spec.cluster.nodeCIDRs` and `podCIDRs`; add `nodes` or `pods` to the row if they are meant; or set \
`policy-cidr-match-mode: nodes` and state it.",
};

/// A node peer cannot be held to one family.
pub static CILIUM_FAMILY_NOT_EXPRESSIBLE: Code = Code {
    id: "cilium-family-not-expressible",
    severity: Severity::Warning,
    title: "a peer cannot be held to one address family",
    explanation: "The row holds for one family. Cilium matches nodes and pods by identity, and an identity has addresses \
of both families, so packets of the other family are admitted from the same nodes or pods. Addresses outside the cluster \
are held to the family.",
    example: "rows:\n- {roles: all, ports: 22, from: nodes, family: IPv4}",
    fix: "Leave out `family`, or state that the other one is not in use (`enable-ipv6: \"false\"`, or node and pod prefixes \
of one family).",
};

/// Exceptions cannot be applied to nodes and pods.
pub static CILIUM_EXCEPT_NOT_APPLIED: Code = Code {
    id: "cilium-except-not-applied",
    severity: Severity::Warning,
    title: "excepted addresses of nodes or pods are admitted all the same",
    explanation: "The row excepts an address range that holds, or may hold, addresses of nodes or pods that the row \
admits otherwise. Cilium matches nodes and pods by identity, not by address, so an exception does not reach them. A deny \
rule would, but it would also cut the same peers in every other row. Addresses outside the cluster are excepted as \
written.",
    example: "rows:\n- {roles: all, ports: 443, from: any, except: [10.0.0.0/8]}   # nodes are in 10.0.1.0/24",
    fix: "State `spec.cluster.nodeCIDRs` and `podCIDRs` if the range holds none of them, or name the peers instead of \
excepting some.",
};

/// Nodes or pods of other clusters are admitted.
pub static CILIUM_MESH_PEERS_WIDER: Code = Code {
    id: "cilium-mesh-peers-wider",
    severity: Severity::Warning,
    title: "nodes or pods of the other clusters in the mesh are admitted as well",
    explanation: "The cluster is part of a mesh (`cluster-id` is not 0). The entity `remote-node` holds the nodes of every \
cluster of the mesh, and a pod selector holds the pods of all of them unless `policy-default-local-cluster` is true. The \
matrix means this cluster only.",
    example: "data: {cluster-id: \"3\", cluster-name: west}",
    fix: "State `cluster-name`, set `policy-default-local-cluster: \"true\"`, and for nodes `enable-node-selector-labels: \
\"true\"`.",
};

//! Codes about rows that Calico's objects say with a difference.

use crate::finding::{Code, Severity};

/// An ICMP code was left out.
pub static ICMP_CODE_LEFT_OUT: Code = Code {
    id: "icmp-code-left-out",
    severity: Severity::Warning,
    title: "an ICMP code is left out, the type alone is written",
    explanation: "In nftables mode Felix writes a rule with ICMP type and code in a form that nft refuses; it tries ten \
times and then panics, so that one such rule stops Felix on every nftables node and no policy is updated any more. The \
type is therefore written without its code wherever the dataplane is nftables or was not stated. An allow row admits \
every code of the type; a deny row drops every code.",
    example: "rows:\n- {roles: all, protocol: ICMP, icmp: [{type: 3, code: 4}], from: any}",
    fix: "State `--dataplane iptables` or `--dataplane ebpf` if that is what runs; the code is written then. Otherwise \
leave the code out of the row: types with codes (3, 11, 12) are best admitted whole.",
};

/// A role peer also admits addresses of the node network.
pub static ROLE_PEER_WIDER: Code = Code {
    id: "role-peer-wider",
    severity: Severity::Warning,
    title: "nodes of a role are admitted by network until their host endpoint exists",
    explanation: "Calico knows which addresses a role has from the labels of host endpoints. A node whose endpoint is not \
there yet has none: one that is only joining, and any node while endpoints are being made. A rule by label alone would \
cut it off, and for the API server, the supervisor or etcd it could then never join.\n\n\
So the row also admits addresses of the node network, except those that a host endpoint shows to be a node of another \
role. Nodes of the wrong role are kept out as soon as their endpoint exists; what is admitted beyond the matrix is the \
rest of the node network: addresses that no node has.",
    example: "rows:\n- {roles: control-plane, ports: 2379-2380, from: control-plane}   # without --nodes",
    fix: "Give the node list with `--nodes`; the row then matches the addresses of the role's nodes, and only rows that a \
joining node needs stay wider. Keep `nodeCIDRs` to the nodes' own network.",
};

/// A joining node is not admitted.
pub static JOINING_NODES_UNKNOWN: Code = Code {
    id: "joining-nodes-unknown",
    severity: Severity::Warning,
    title: "a joining node cannot reach what it needs to join",
    explanation: "The row lets nodes reach the API server, the supervisor port or etcd. A node that is only joining has no \
host endpoint, no label and no registered address, so nothing in the output matches it: its packets are dropped, and it \
never becomes a node. The same holds for a node whose registration was lost and for one that comes back with a new \
address. Nodes that are already there are not affected, which is why this shows on the day of a scale-up or a repair.",
    example: "cluster: {}   # no nodeCIDRs\nrows:\n- {roles: control-plane, ports: 9345, from: nodes, flow: supervisor}",
    fix: "State the prefixes of the node network in `cluster.nodeCIDRs`. Where that is not possible, add a peer that covers \
the addresses that new nodes will have.",
};

/// Node peers are matched by host endpoints only.
pub static NODE_PEERS_BY_ENDPOINT_ONLY: Code = Code {
    id: "node-peers-by-endpoint-only",
    severity: Severity::Warning,
    title: "nodes are known by their host endpoints only",
    explanation: "Neither the node network nor a node list was given, so rows whose peer is a node match the addresses of \
host endpoints and nothing else. While endpoints are being made, one by one, a node that has one already drops what \
comes from a node that has none yet. The same happens for every node that is added later, until its endpoint exists, and \
if calico-kube-controllers is down that is until it is back.",
    example: "translate --cni calico --preset kubeadm   # without nodeCIDRs and without --nodes",
    fix: "State `cluster.nodeCIDRs`, or give `--nodes`. Otherwise apply the output without its last wave, wait until every \
node has its host endpoint (`kubectl get hostendpoints`), and apply the rest then.",
};

/// Node ports are not held to the rows.
pub static NODE_PORTS_NOT_POLICED: Code = Code {
    id: "node-ports-not-policed",
    severity: Severity::Warning,
    title: "a row restricts node ports, which are forwarded past the policies",
    explanation: "A packet to a node port is translated to the address of a pod and forwarded. Calico's ordinary host \
policies judge only packets that end at the node itself, so they never see it: whoever can reach the node reaches the \
node port, whatever the row's peer is. Only a service whose backend runs in the node's own network is held to the row.",
    example: "enforcement: {forward: ignore}\nrows:\n- {roles: worker, ports: 30000-32767, from: load-balancers, flow: nodeport}",
    fix: "Write `enforcement.forward: enforce`: node ports are then judged before translation. Or restrict the services \
themselves (`loadBalancerSourceRanges`, policies on the pods), and write `from: any` in the row.",
};

/// The node port range covers a port of the overlay.
pub static NODE_PORTS_COVER_OVERLAY: Code = Code {
    id: "node-ports-cover-overlay",
    severity: Severity::Error,
    title: "the node port range covers a port of the overlay",
    explanation: "With `forward: enforce` the node port range is denied before translation, and before Calico's own \
exceptions for VXLAN and WireGuard, which come later. A range that covers their port would cut all pod traffic between \
nodes, at once, established or not.",
    example: "cluster: {nodePorts: 1024-65535}\nenforcement: {forward: enforce}",
    fix: "Narrow the node port range (30000-32767 is the default), or write `enforcement.forward: ignore`.",
};

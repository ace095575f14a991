//! What the agent's configuration or the frame of the matrix brings about.

use crate::finding::{Code, Severity};

/// The version asked for is not one that is written for.
pub static CILIUM_VERSION_UNSUPPORTED: Code = Code {
    id: "cilium-version-unsupported",
    severity: Severity::Error,
    title: "policies are not written for this version of Cilium",
    explanation: "What a host policy means differs between versions of Cilium: which label keys reach a node selector, \
which protocols can be named, whether packets of unknown protocols are dropped before any policy is asked. The output is \
checked against 1.18, 1.19 and 1.20. For another version nobody has checked it, so none is written.",
    example: "translate --cni cilium --cilium-version 1.15 --preset talos",
    fix: "Name the version that runs in the cluster (`cilium version`), or upgrade to one that is supported.",
};

/// The name prefix cannot be part of an object name.
pub static CILIUM_NAME_INVALID: Code = Code {
    id: "cilium-name-invalid",
    severity: Severity::Error,
    title: "an object name would not be a DNS name",
    explanation: "Kubernetes takes names of at most 253 characters, made of lower-case letters, digits, `-` and `.`, each \
part beginning and ending with a letter or digit. The prefix, joined with the name of a role or peer, is not such a name, \
and the API server would refuse the object.",
    example: "translate --cni cilium --name-prefix Edge_Cluster --preset talos",
    fix: "Choose a prefix such as `edge-cluster`.",
};

/// The agent forces default deny on every policy.
pub static CILIUM_DEFAULT_DENY_FORCED: Code = Code {
    id: "cilium-default-deny-forced",
    severity: Severity::Error,
    title: "the agent turns every policy into a default deny",
    explanation: "With `enable-non-default-deny-policies: \"false\"` Cilium ignores `enableDefaultDeny: false`. The first \
object that is applied would then cut everything that it does not itself allow, before the objects with the other rows \
exist: API server, kubelet and overlay go down in the middle of `kubectl apply`, and nothing can be repaired through an \
API server that cannot be reached. The failsafe policy, which must not deny by itself, cannot be written at all.",
    example: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cilium-config, namespace: kube-system}\ndata: \
{enable-non-default-deny-policies: \"false\"}",
    fix: "Remove the setting (it is true by default), restart the agents, and translate again.",
};

/// Host policies are not (known to be) switched on.
pub static CILIUM_HOST_FIREWALL_OFF: Code = Code {
    id: "cilium-host-firewall-off",
    severity: Severity::Note,
    title: "nothing is enforced until the host firewall is switched on",
    explanation: "Cilium reads host policies and does nothing with them unless `enable-host-firewall` is true, which it is \
not by default. The objects can be applied safely; they take effect, all at once, when the agents restart with the \
setting. Look at what would be dropped first: set `policy-audit-mode: \"true\"` together with it and read `hubble observe \
--verdict AUDIT`.",
    example: "translate --cni cilium --preset talos   # enable-host-firewall is not stated",
    fix: "Set `hostFirewall.enabled=true` in Helm, or state the fact (`--cilium-config FILE`) if it is already so.",
};

/// The agent does not enforce policies.
pub static CILIUM_NOT_ENFORCED: Code = Code {
    id: "cilium-not-enforced",
    severity: Severity::Warning,
    title: "the agent is configured not to enforce these policies",
    explanation: "The stated configuration makes Cilium ignore or merely report what the objects deny: `enable-policy: \
never`, `policy-audit-mode: \"true\"` or `enable-cilium-clusterwide-network-policy: \"false\"`. The cluster looks \
protected and is not. When the setting changes, everything takes effect at once. Audit mode that was switched on for one \
endpoint is lost when its agent restarts.",
    example: "data: {enable-host-firewall: \"true\", policy-audit-mode: \"true\"}",
    fix: "Finish the trial, then remove the setting and restart the agents.",
};

/// Everything is denied with or without policies.
pub static CILIUM_ENFORCEMENT_ALWAYS: Code = Code {
    id: "cilium-enforcement-always",
    severity: Severity::Note,
    title: "the agent denies both directions whatever the policies say",
    explanation: "With `enable-policy: always` and the host firewall on, a node without any policy drops every packet in \
both directions. The order in which the objects are applied protects nobody then: apply all of them before the host \
firewall is switched on. A direction that the matrix leaves open gets an explicit rule that allows everything, in the \
failsafe policy; deleting that object would close the direction.",
    example: "data: {enable-policy: always}",
    fix: "Prefer `enable-policy: default`, under which only the closing policy denies.",
};

/// IPsec and the host firewall exclude each other.
pub static CILIUM_IPSEC: Code = Code {
    id: "cilium-ipsec",
    severity: Severity::Warning,
    title: "the agent does not start with IPsec and the host firewall",
    explanation: "Cilium refuses to start when both `enable-ipsec` and `enable-host-firewall` are true. Switching the host \
firewall on in this cluster takes the agents down, and with them every change of pod networking, until it is switched \
off again.",
    example: "data: {enable-ipsec: \"true\"}",
    fix: "Use WireGuard for encryption, or police the nodes by other means than Cilium.",
};

/// Every policy's nodes would be none, or all.
pub static CILIUM_LABEL_FILTERED: Code = Code {
    id: "cilium-label-filtered",
    severity: Severity::Error,
    title: "Cilium drops a label that a role is selected by",
    explanation: "Cilium does not show every label of a node to policies. `kubernetes.io/hostname`, `kubernetes.io/os`, \
`kubernetes.io/arch`, `beta.kubernetes.io/*` and, from 1.19 on, `topology.kubernetes.io/*` never reach a node selector; \
the agent's settings `labels` and `exclude-node-label-patterns` can drop more, and one inclusive pattern in `labels` \
drops every label that no pattern names, `node-role.kubernetes.io/*` among them.\n\n\
Nothing reports this: `matchLabels`, `In` and `Exists` on a dropped label select no node, so the role is not protected; \
`NotIn` and `DoesNotExist` select every node, so one role's rules fall on all.",
    example: "roles:\n  edge: {nodeSelector: {matchLabels: {topology.kubernetes.io/zone: edge-1}}}",
    fix: "Select the role by a label that stays: `node-role.kubernetes.io/*`, `node.kubernetes.io/*` or one of your own \
(`kubectl label node NAME example.com/role=edge`). If the agent's `labels` setting drops it, add `k8s:` and the key to it.",
};

/// A label that will be dropped after an upgrade.
pub static CILIUM_LABEL_LOST_ON_UPGRADE: Code = Code {
    id: "cilium-label-lost-on-upgrade",
    severity: Severity::Warning,
    title: "a role is selected by a label that the next version of Cilium drops",
    explanation: "Cilium 1.18 shows `topology.kubernetes.io/*` labels to policies, 1.19 and later do not. After the upgrade \
the role's policies select no node, or with `NotIn` and `DoesNotExist` every node, and nothing reports it.",
    example: "roles:\n  edge: {nodeSelector: {matchLabels: {topology.kubernetes.io/zone: edge-1}}}   # --cilium-version 1.18",
    fix: "Label the nodes with a key of your own and select by that before the upgrade.",
};

/// A file on the nodes decides which labels are kept.
pub static CILIUM_LABEL_FILTER_UNKNOWN: Code = Code {
    id: "cilium-label-filter-unknown",
    severity: Severity::Warning,
    title: "which labels Cilium keeps cannot be told",
    explanation: "The setting `label-prefix-file` replaces Cilium's built-in label filter with a file on the nodes, which \
is not part of the configuration that was stated. If the file does not keep the labels that the roles are selected by, \
the policies select no node and nothing reports it.",
    example: "data: {label-prefix-file: /etc/cilium/labels.json}",
    fix: "Check on a node with `cilium-dbg endpoint list` that the host endpoint carries the labels of its role, or say the \
same with the setting `labels`.",
};

/// Interfaces are the agent's business.
pub static INTERFACES_AGENT_WIDE: Code = Code {
    id: "interfaces-agent-wide",
    severity: Severity::Warning,
    title: "a Cilium policy cannot name interfaces",
    explanation: "Cilium polices the interfaces that its agents are attached to: those in the setting `devices`, or those \
that it detects, which are the ones with a default route or a node address. A policy cannot say on which of them it \
holds. On interfaces that the matrix does not name but the agent polices, packets are dropped that the matrix leaves \
alone; on interfaces that the agent does not police, nothing is dropped.",
    example: "spec:\n  enforcement: {interfaces: [mgmt-br]}",
    fix: "Set `devices` to the same list in Helm and state it (`--cilium-config FILE`); the finding then goes away.",
};

/// No log lines.
pub static LOG_NOT_EXPRESSIBLE: Code = Code {
    id: "log-not-expressible",
    severity: Severity::Warning,
    title: "Cilium writes no log line before it drops a packet",
    explanation: "The matrix asks for dropped packets to be logged with a prefix, rate or level. A host policy of Cilium \
has no such action. Drops can be watched instead: they are events of the monitor and of Hubble, with node, peer, port and \
the reason. What reads the kernel log for the prefix will find nothing.",
    example: "spec:\n  enforcement: {ingress: {default: deny, log: {prefix: DROP_, rate: 10/min}}}",
    fix: "Use `hubble observe --verdict DROPPED --to-identity host`, or Hubble's metric `hubble_drop_total`.",
};

/// Node ports bypass host policies.
pub static CILIUM_NODE_PORTS_NOT_POLICED: Code = Code {
    id: "cilium-node-ports-not-policed",
    severity: Severity::Warning,
    title: "with kube-proxy replacement host policies do not see node ports",
    explanation: "When Cilium replaces kube-proxy it translates the node port to the pod before the host firewall looks at \
the packet. A packet that is then on its way to a pod is not judged by host policies at all: whoever reaches the node \
reaches the service, whatever the rows say. Only where the backend runs in the host's network is the packet judged, and \
then on the backend's port, not on the node port.",
    example: "rows:\n- {roles: worker, ports: 30000-32767, from: load-balancers, flow: nodeport}   # \
kube-proxy-replacement: \"true\"",
    fix: "Restrict the sources of a service with `loadBalancerSourceRanges`, with a network policy on its pods, or in front \
of the nodes.",
};

/// Node ports are held to the ingress rows although the matrix leaves them alone.
pub static CILIUM_NODE_PORTS_POLICED: Code = Code {
    id: "cilium-node-ports-policed",
    severity: Severity::Warning,
    title: "without kube-proxy replacement node ports are held to the ingress rows",
    explanation: "The matrix leaves packets for node ports to the pods (`forward: ignore`). Without kube-proxy replacement \
Cilium's host firewall sees such a packet before kube-proxy translates it, addressed to the node itself, and drops it \
unless a row admits the port. No row of these roles does, so services of type NodePort and LoadBalancer are not reached \
through their nodes.",
    example: "spec:\n  enforcement: {ingress: {default: deny}, forward: ignore}   # and no row for 30000-32767",
    fix: "Add a row for the node port range with the clients as its peers, for TCP and UDP.",
};

/// Whether kube-proxy is replaced is not stated.
pub static CILIUM_KUBE_PROXY_REPLACEMENT_UNKNOWN: Code = Code {
    id: "cilium-kube-proxy-replacement-unknown",
    severity: Severity::Warning,
    title: "whether node ports are policed depends on a setting that is not stated",
    explanation: "With kube-proxy replacement host policies never see node port packets, so rows for node ports restrict \
nobody. Without it they are held to the ingress rows. The output is the same in both cases, what it does is not.",
    example: "translate --cni cilium --preset harvester   # kube-proxy-replacement is not stated",
    fix: "State `kube-proxy-replacement` (`--cilium-config FILE`).",
};

/// The tunnel that pods talk through is not allowed.
pub static CILIUM_TUNNEL_NOT_ALLOWED: Code = Code {
    id: "cilium-tunnel-not-allowed",
    severity: Severity::Warning,
    title: "Cilium's own tunnel is cut",
    explanation: "The stated configuration encapsulates pod traffic between nodes, or encrypts it with WireGuard. The outer \
packets are host traffic like any other and are judged in both directions on every node; one direction is no reply to \
the other. No row admits them between nodes, so pods lose every pod on another node, DNS included.",
    example: "data: {tunnel-protocol: geneve}   # and a row for UDP 8472 only",
    fix: "Add a row with `flow: overlay` for the port that the message names, from and to `nodes`.",
};

/// Probes are egress of the host.
pub static CILIUM_PROBES_NOT_ALLOWED: Code = Code {
    id: "cilium-probes-not-allowed",
    severity: Severity::Warning,
    title: "kubelet probes and webhook calls to pods are cut",
    explanation: "Unlike Calico, Cilium judges packets from a node to the pods on it: kubelet probes, and calls from the \
API server to webhooks and aggregated APIs. With egress denied by default and no row that allows pods as destination, \
every liveness probe on the node fails at once and the kubelet restarts the containers.",
    example: "spec:\n  enforcement: {egress: {default: deny}}   # and no row with `direction: egress, to: pods`",
    fix: "Add `{roles: all, direction: egress, to: pods, purpose: probes and webhooks, flow: kubelet-probes}`.",
};

/// A deny row overlaps a failsafe.
pub static CILIUM_DENY_CUTS_FAILSAFE: Code = Code {
    id: "cilium-deny-cuts-failsafe",
    severity: Severity::Warning,
    title: "a deny row takes packets from a flow that the cluster lives on",
    explanation: "In Cilium a deny wins over every allow, however specific, in whatever policy. The failsafe policy keeps \
API server, kubelet, etcd, overlay and the admin path alive against mistakes in other policies, but not against a deny. \
The row denies packets that a row with such a flow allows.",
    example: "rows:\n- {roles: all, ports: 10250, from: nodes, flow: kubelet-api}\n- {roles: all, action: deny, from: \
10.0.0.0/8}",
    fix: "Narrow the deny row, or leave the peers out of the allow row if they are really meant to be cut.",
};

/// The policy map is nearly full.
pub static CILIUM_POLICY_MAP_NEARLY_FULL: Code = Code {
    id: "cilium-policy-map-nearly-full",
    severity: Severity::Warning,
    title: "the rows nearly fill an endpoint's policy map",
    explanation: "Cilium compiles the policies of a node into a table of fixed size (`bpf-policy-map-max`, 16384 by \
default) with an entry per peer identity and port prefix; a port range takes up to 30 prefixes. When the table is full, \
further changes are not taken over: the node keeps old rules without a word except in the agent's log. The estimate \
counts what the matrix says; other policies and further identities come on top.",
    example: "rows:\n- {roles: all, ports: [1-1022, 1025-40000], from: $thousandPrefixes}",
    fix: "Summarise prefixes and port ranges, or raise `bpf-policy-map-max`.",
};

/// The policy map overflows.
pub static CILIUM_POLICY_MAP_OVERFLOW: Code = Code {
    id: "cilium-policy-map-overflow",
    severity: Severity::Error,
    title: "the rows do not fit into an endpoint's policy map",
    explanation: "Cilium compiles the policies of a node into a table of fixed size (`bpf-policy-map-max`, 16384 by \
default) with an entry per peer identity and port prefix. The rows of one role need more entries than the table has. \
Cilium would keep the rules that were there before, or lock the endpoint down, depending on its settings; both are worse \
than no output.",
    example: "rows:\n- {roles: all, ports: 1-65534, from: $thousandPrefixes}",
    fix: "Summarise prefixes and port ranges, or raise `bpf-policy-map-max` and state it.",
};

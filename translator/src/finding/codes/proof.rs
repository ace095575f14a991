//! Codes of the proof.

use crate::finding::{Code, Severity};

/// The objects were not proved, because the caller said so.
pub static PROOF_SKIPPED: Code = Code {
    id: "proof-skipped",
    severity: Severity::Note,
    title: "the objects are not held to the matrix",
    explanation: "`translate` works out what the CNI does with the objects that it writes, for every kind of node and both \
directions, and compares that with what the rows mean, both ways; and for every prefix of the apply order and the delete \
order, that no allowed flow is cut. With `--no-prove` none of this was done: the objects may be right, but nothing has \
checked it.",
    example: "translate --cni calico --preset kubeadm --no-prove",
    fix: "Leave `--no-prove` out.",
};

/// Something is not known, so that nothing is proved.
pub static NOT_PROVED: Code = Code {
    id: "not-proved",
    severity: Severity::Warning,
    title: "the objects could not be held to the matrix",
    explanation: "What the CNI does with the objects rests on something that the verdict engine does not know: a setting of \
the agent that is in no file given, an object or field of a newer version, policies too large to judge exactly. The message \
says what. The objects are written, and nothing is claimed about them.",
    example: "translate --cni cilium --preset talos --cilium-option label-prefix-file=/etc/labels",
    fix: "State what the message names, or check the result in a cluster.",
};

/// The proof leaves something out.
pub static PROOF_LEAVES_OUT: Code = Code {
    id: "proof-leaves-out",
    severity: Severity::Note,
    title: "the proof leaves some packets out",
    explanation: "The objects were held to the matrix, but for the packets that the message names. Addresses of nodes and \
pods that are outside the prefixes which the matrix states for them, and external addresses of nodes, are among those that \
a rule matches in one CNI and not in another: whether they are the node's depends on how a packet comes in. A role for which \
no labels can be found that no other role has cannot be modelled without a node list.",
    example: "translate --cni calico -f matrix.yaml --nodes nodes.json   # a node has an ExternalIP",
    fix: "State every prefix of nodes and pods in `cluster`, and give `--nodes`.",
};

/// The cluster that was given does something else.
pub static CLUSTER_DISAGREES: Code = Code {
    id: "cluster-disagrees",
    severity: Severity::Warning,
    title: "the cluster does something else with the objects than the matrix says",
    explanation: "With `--snapshot` the objects are proved in two steps: among the nodes and pods of that cluster alone, and \
together with everything else that is in it. The first was proved. In the second something that is not in the objects \
decides otherwise: a policy in an earlier tier, a FelixConfiguration of a single node, a setting of the agents that was not \
stated to `translate`. The message has one packet and the step that decides it; there may be more.",
    example: "translate --cni calico -f matrix.yaml --snapshot cluster/   # a GlobalNetworkPolicy there allows everything",
    fix: "Change what the message names, or state it: `--cilium-config`, `--calico-version`, `--dataplane`, `--tier-order`.",
};

/// The cluster that was given cannot be read.
pub static SNAPSHOT_UNREADABLE: Code = Code {
    id: "snapshot-unreadable",
    severity: Severity::Error,
    title: "the cluster's manifests cannot be read",
    explanation: "`--snapshot` takes a file or a folder of manifests, YAML or JSON, as `kubectl get -o yaml` prints them: \
nodes, pods, namespaces and the CNI's own objects. Nothing of it is guessed, so what cannot be read is an error.",
    example: "translate --cni calico --preset kubeadm --snapshot notes.txt",
    fix: "Make the files again, such as with: kubectl get nodes,pods,namespaces -A -o json > cluster.json.",
};

/// The codes of this part.
pub static CODES: &[&Code] =
    &[&PROOF_SKIPPED, &NOT_PROVED, &PROOF_LEAVES_OUT, &CLUSTER_DISAGREES, &SNAPSHOT_UNREADABLE];

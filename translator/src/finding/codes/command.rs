//! Codes of the command itself.

use crate::finding::{Code, Severity};

/// Objects that are shared with others are not in the delete list.
pub static SHARED_OBJECTS_KEPT: Code = Code {
    id: "shared-objects-kept",
    severity: Severity::Note,
    title: "objects that are shared with others are not in the delete list",
    explanation: "FelixConfiguration `default` and KubeControllersConfiguration `default` hold settings of the whole \
                  cluster. Deleting them would drop the overlay's ports, WireGuard and everything else that is set there, \
                  so `--order delete` leaves them out.\n\nThe fields that translate set can be given back by hand, after the \
                  other objects are gone.",
    example: "translate --cni calico --preset kubeadm --order delete | kubectl delete -f -",
    fix: "kubectl patch felixconfiguration default --type=merge -p \
          '{\"spec\":{\"failsafeInboundHostPorts\":null,\"failsafeOutboundHostPorts\":null}}' and kubectl patch \
          kubecontrollersconfiguration default --type=merge -p \
          '{\"spec\":{\"controllers\":{\"node\":{\"hostEndpoint\":{\"autoCreate\":\"Disabled\"}}}}}'",
};

/// The agent's configuration cannot be read.
pub static CILIUM_CONFIG_UNREADABLE: Code = Code {
    id: "cilium-config-unreadable",
    severity: Severity::Error,
    title: "the agent's configuration cannot be read",
    explanation: "`--cilium-config` takes the ConfigMap `cilium-config` as `kubectl -n kube-system get configmap \
                  cilium-config -o yaml` prints it. Facts in it decide which form of a peer Cilium matches, so a value that \
                  cannot be read is not guessed.",
    example: "translate --cni cilium --preset talos --cilium-config nodes.yaml",
    fix: "Make the file again, or state single facts with `--cilium-option key=value`.",
};

/// The cluster's CNI is not the one that is written for.
pub static CNI_MISMATCH: Code = Code {
    id: "cni-mismatch",
    severity: Severity::Warning,
    title: "the cluster's CNI is not the one that policies are written for",
    explanation: "The matrix states which CNI carries the cluster's pod traffic, and its overlay rows follow from that. Cilium \
                  enforces its host policies only where it is that CNI; Calico's are enforced by Felix, which also runs \
                  beside Flannel (Canal), but not beside Cilium.",
    example: "translate --cni cilium --preset harvester   # Harvester runs Canal",
    fix: "Write for the CNI that the cluster runs, or state the right one in `spec.cluster.cni`.",
};

/// A file of `check` cannot be read.
pub static SNAPSHOT_UNREADABLE: Code = Code {
    id: "snapshot-unreadable",
    severity: Severity::Error,
    title: "a file of the snapshot, the change or the configuration cannot be read",
    explanation: "`check` reads manifests as kubectl prints them: YAML or JSON, one object, a stream of several, or a list. \
                  A file that cannot be read is no part of the state, and a judgement about half a state proves nothing, so \
                  nothing is judged.",
    example: "translate check --snapshot no-such-directory",
    fix: "Check the path and its permissions; `-` is standard input.",
};

/// The codes of this part.
pub const CODES: &[&Code] = &[&SNAPSHOT_UNREADABLE, &SHARED_OBJECTS_KEPT, &CILIUM_CONFIG_UNREADABLE, &CNI_MISMATCH];

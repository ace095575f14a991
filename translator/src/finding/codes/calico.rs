//! Codes of the Calico output.

mod endpoints;
mod failsafe;
mod rows;

pub use endpoints::*;
pub use failsafe::*;
pub use rows::*;

use crate::finding::{Code, Severity};

/// The version of Calico is not known.
pub static CALICO_VERSION_UNSUPPORTED: Code = Code {
    id: "calico-version-unsupported",
    severity: Severity::Error,
    title: "this version of Calico is not known",
    explanation: "Versions of Calico differ in how policies are named, which tiers exist and what makes host endpoints. \
The output is known to mean the same on 3.29 to 3.32. Tiers came with 3.29; on an older version every policy would land \
in the `default` tier, where the closing policy could drop what other policies allow.",
    example: "translate --cni calico --preset kubeadm --calico-version 3.28",
    fix: "Upgrade Calico, or state the version that really runs: `kubectl get clusterinformation default -o yaml` shows it.",
};

/// A name or number for the output cannot be used.
pub static CALICO_OPTION_REFUSED: Code = Code {
    id: "calico-option-refused",
    severity: Severity::Error,
    title: "a name or number for the Calico objects cannot be used",
    explanation: "The tier must be one of our own. In a tier that Calico makes (`default`, `kube-admin`, `calico-system`, \
...) its owner sets the order and the default action, and may set them again at any time; the output relies on a tier \
that passes what it does not decide until the closing policy is there. Two more names, `knp` and `ossg`, are read by \
Calico as marks of generated policies, so that a policy of such a tier lands in the tier `default`.\n\n\
Tier and prefix become parts of names, so both are DNS labels. Orders are finite numbers.",
    example: "translate --cni calico --preset kubeadm --tier default",
    fix: "Leave `--tier` out (it is `lifeline` then), or give a name that nobody else uses.",
};

/// A selector cannot be written in Calico's language.
pub static SELECTOR_REFUSED: Code = Code {
    id: "selector-refused",
    severity: Severity::Error,
    title: "a selector cannot be written for Calico",
    explanation: "Calico's selectors are text of at most 1024 characters. Label keys may hold letters, digits and `_./-`; a \
value is quoted and cannot be escaped. A selector beyond that is refused by the API server, or, on paths that do not \
check, makes Felix treat the whole policy as absent: an allow that vanishes cuts its flows, a deny that vanishes opens \
the node. So nothing is written.",
    example: "roles:\n  worker: {nodeSelector: {matchExpressions: [{key: pool, operator: NotIn, values: [... 200 names ...]}]}}",
    fix: "Give the nodes one label that says what the long selector says, and select on that.",
};

/// The log settings are not per policy in Calico.
pub static LOG_SETTINGS_GLOBAL: Code = Code {
    id: "log-settings-global",
    severity: Severity::Warning,
    title: "prefix, rate or level of the log are not written",
    explanation: "The closing policy logs what it is about to drop, as the matrix asks. Prefix, rate and level of the log \
line are not part of a Calico policy: Felix has one setting for the whole node (FelixConfiguration `logPrefix`, \
`logActionRateLimit`), which other policies share. They are left as they are, so the lines begin with `calico-packet` \
unless somebody chose otherwise, and are not limited in rate unless Felix is.",
    example: "enforcement: {ingress: {default: deny, log: {prefix: HARVESTER_DROP_, rate: 10/min}}}",
    fix: "Set FelixConfiguration `default` yourself if the prefix matters to a log collector, or write `log: true` alone.",
};

/// In nftables mode Felix judges the address of a service.
pub static SERVICE_ADDRESS_JUDGED: Code = Code {
    id: "service-address-judged",
    severity: Severity::Warning,
    title: "on nftables, packets to service addresses are judged before they are translated",
    explanation: "Egress is denied by default, and the dataplane is nftables or was not stated. There Felix judges a packet \
from the node to a ClusterIP twice: once with the address of the service, and once more with the address of the backend \
it was translated to. The matrix names backends, as is right for iptables and eBPF, so the first judgement drops the \
packet. Host-networked pods talk to the API server through the address of the service `kubernetes`; calico-node is one of \
them. With failsafe ports computed from the matrix and known service prefixes, TCP 443 to them is kept open for that \
reason; every other service is cut.",
    example: "translate --cni calico --dataplane nftables -f matrix.yaml   # egress: {default: deny}",
    fix: "Add an egress row to the service prefixes (`to: <cidr>`), which loses nothing because the backend is judged as \
well; or state `--dataplane iptables` or `ebpf` if that is what runs.",
};

/// The codes of this part.
pub static CODES: &[&Code] = &[
    &CALICO_OPTION_REFUSED,
    &CALICO_VERSION_UNSUPPORTED,
    &ENDPOINTS_NEED_DETECTION,
    &ENDPOINTS_NEED_LABEL,
    &FAILSAFE_DEFEATS_ROW,
    &FAILSAFE_DELTA,
    &FAILSAFE_NONE_REFUSED,
    &FAILSAFE_WIDER_THAN_MATRIX,
    &ICMP_CODE_LEFT_OUT,
    &INTERFACE_BY_ADDRESS,
    &INTERFACE_NEEDS_NODES,
    &INTERFACE_OUTSIDE_EBPF,
    &INTERFACE_REFUSED,
    &JOINING_NODES_UNKNOWN,
    &LOG_SETTINGS_GLOBAL,
    &NODE_IN_TWO_ROLES,
    &NODE_PEERS_BY_ENDPOINT_ONLY,
    &NODE_PORTS_COVER_OVERLAY,
    &NODE_PORTS_NOT_POLICED,
    &NODE_WITHOUT_ROLE,
    &ROLE_PEER_WIDER,
    &ROLE_WITHOUT_NODES,
    &SELECTOR_REFUSED,
    &SERVICE_ADDRESS_JUDGED,
    &WRITTEN_ENDPOINTS_NEED_NODES,
];

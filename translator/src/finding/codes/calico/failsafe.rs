//! Codes about failsafe ports.

use crate::finding::{Code, Severity};

/// How the failsafe ports differ from Calico's own.
pub static FAILSAFE_DELTA: Code = Code {
    id: "failsafe-delta",
    severity: Severity::Note,
    title: "the failsafe ports differ from Calico's own",
    explanation: "Failsafe ports are what every host endpoint admits before any policy is asked: the way back in after a \
mistake. FelixConfiguration `default` gets lists computed from the lifelines of the matrix, and a list replaces Calico's \
own as a whole. The message says what is new, what is gone, and what is narrowed to prefixes.\n\n\
The lists hold for every node and every policy, not only for those written here. FELIX_FAILSAFE* variables of calico-node, \
and a FelixConfiguration for a single node, win over them.",
    example: "translate --cni calico --preset rke2",
    fix: "Nothing, if the change is what you want. `--failsafe default` writes Calico's own lists, `--failsafe keep` writes \
none and leaves what is there.",
};

/// A failsafe port admits more than the matrix.
pub static FAILSAFE_WIDER_THAN_MATRIX: Code = Code {
    id: "failsafe-wider-than-matrix",
    severity: Severity::Warning,
    title: "a failsafe port admits more than the matrix does",
    explanation: "Failsafe ports know no roles, no source ports and no exceptions: a port that one role needs is open on \
every node with a host endpoint. The message says on which roles the port is open beyond the matrix, and for whom. Where \
nothing listens on the port, nothing is reachable; where something does, the matrix does not protect it.\n\n\
This is the price of a way back in that no policy can close. A port that must not be reachable on a role needs a guard \
outside Calico: bind the listener elsewhere, or filter in front of the node.",
    example: "rows:\n- {roles: control-plane, ports: 2379-2380, from: control-plane, flow: etcd-peer}   # open on workers too",
    fix: "State `cluster.nodeCIDRs` and give `--nodes`, so that the ports are narrowed to addresses. `--failsafe none` \
(with `--no-admin-path`) writes none at all, at your own risk.",
};

/// A failsafe port defeats a row.
pub static FAILSAFE_DEFEATS_ROW: Code = Code {
    id: "failsafe-defeats-row",
    severity: Severity::Warning,
    title: "a failsafe port defeats the restriction of a row",
    explanation: "The row admits a port from certain peers, or denies it, but the same port is a failsafe port: Felix \
accepts it before it looks at any policy. The row has no effect for whatever the failsafe port covers. With Calico's own \
lists that is SSH, the API server's 6443, etcd, BGP and Typha from anywhere.",
    example: "translate --cni calico --failsafe default -f matrix.yaml   # {ports: 22, from: admins}",
    fix: "Use `--failsafe matrix`, which narrows the failsafe ports to the peers of the rows. Peers need to be known by \
address for that: state `cluster.nodeCIDRs` and `cluster.podCIDRs`, and give `--nodes`.",
};

/// No failsafe ports without another way in.
pub static FAILSAFE_NONE_REFUSED: Code = Code {
    id: "failsafe-none-refused",
    severity: Severity::Error,
    title: "switching the failsafe ports off needs the word that there is another way in",
    explanation: "Without failsafe ports the first mistaken policy locks everybody out: SSH, the API server, and Felix's own \
way to the policies, so that not even the repair arrives. That is a choice only for whoever has consoles or out-of-band \
management on every node.",
    example: "translate --cni calico --preset kubeadm --failsafe none",
    fix: "Leave `--failsafe` out, or add `--no-admin-path` if another way in exists and was tried.",
};

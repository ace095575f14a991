//! What protocols, ports and ICMP types bring about.

use crate::finding::{Code, Severity};

/// Source ports cannot be named.
pub static CILIUM_SOURCE_PORTS_IGNORED: Code = Code {
    id: "cilium-source-ports-ignored",
    severity: Severity::Warning,
    title: "Cilium cannot look at source ports",
    explanation: "A rule of Cilium names destination ports only, so the row admits its destination ports from every source \
port. For DHCP this means that the client's port (UDP 68 or 546) is open to other senders than a DHCP server; nothing but \
the DHCP client listens there. The row is kept because a renewed or rebound lease is otherwise lost, and with it the \
node's address.",
    example: "rows:\n- {roles: all, protocol: UDP, sourcePorts: 67, ports: 68, from: any, flow: dhcp4}",
    fix: "Narrow the peers of the row to the servers, or accept it.",
};

/// A protocol number became every protocol.
pub static CILIUM_PROTOCOL_WIDER: Code = Code {
    id: "cilium-protocol-wider",
    severity: Severity::Warning,
    title: "a protocol without ports opens every protocol and port from its peers",
    explanation: "Cilium names TCP, UDP, SCTP and ICMP, and only where the agent says so (`enable-extended-ip-protocols`) a \
few more: VRRP and IGMP from 1.19 on, GRE, IPIP, IPv6-in-IP, ESP and AH from 1.20 on. Any other protocol can only be \
admitted by admitting everything from the peer. The peers of this row may therefore use every protocol and every port of \
the node, SSH, etcd and kubelet included.",
    example: "rows:\n- {roles: all, protocol: IPIP, from: 192.168.128.0/17, flow: overlay}",
    fix: "Set `enable-extended-ip-protocols: \"true\"` on Cilium 1.20 and state both; narrow the peers; or leave the row out \
if Cilium carries the pods' traffic and the protocol is a leftover of another network plugin.",
};

/// SCTP rules do not bite.
pub static CILIUM_SCTP_UNTRACKED: Code = Code {
    id: "cilium-sctp-untracked",
    severity: Severity::Warning,
    title: "SCTP is not admitted until the agent tracks it",
    explanation: "Without `enable-sctp: \"true\"` Cilium does not look into SCTP packets. 1.18 and 1.19 drop them before any \
policy is asked; 1.20 asks the policies but a rule with a port never matches. The row is written and has no effect until \
the setting changes.",
    example: "rows:\n- {roles: all, protocol: SCTP, ports: 38412, from: radio}",
    fix: "Set `sctp.enabled=true` in Helm and state it (`--cilium-config FILE`).",
};

/// ICMP codes cannot be named.
pub static CILIUM_ICMP_CODE_IGNORED: Code = Code {
    id: "cilium-icmp-code-ignored",
    severity: Severity::Warning,
    title: "Cilium looks at the type of an ICMP packet only",
    explanation: "The row names a type and a code. A rule of Cilium names the type, so every code of that type is \
admitted. For errors such as destination unreachable (3) this is harmless and usually wanted.",
    example: "rows:\n- {roles: all, protocol: ICMP, icmp: [{type: 3, code: 4}], from: any, flow: icmp-pmtu}",
    fix: "Leave out the code.",
};

/// ICMP type 0 cannot be written without opening all types.
pub static CILIUM_ICMP_TYPE_ZERO: Code = Code {
    id: "cilium-icmp-type-zero",
    severity: Severity::Warning,
    title: "ICMP type 0 is left out, because Cilium takes it for every type",
    explanation: "Cilium keeps the type of an ICMP packet where it keeps a port, and there 0 means any. A rule for type 0 \
(the IPv4 echo reply) therefore matches every ICMP type. The type is left out of the row; its other types are written. \
Nothing is lost in practice: the answer to a ping that the node sent belongs to a tracked flow and passes without a rule. \
Only echo replies that nobody asked for are dropped.",
    example: "rows:\n- {roles: all, protocol: ICMP, icmp: [{type: 8}, {type: 0}], from: nodes, flow: icmp-health}",
    fix: "Remove type 0 from the row, or leave out `icmp` altogether if every type is meant.",
};

/// Some ICMPv6 types never pass.
pub static CILIUM_ICMPV6_TYPE_DROPPED: Code = Code {
    id: "cilium-icmpv6-type-dropped",
    severity: Severity::Warning,
    title: "Cilium's host firewall drops this ICMPv6 type whatever the policies say",
    explanation: "With the host firewall on, Cilium passes the ICMPv6 types that IPv6 needs (errors, neighbour discovery, \
multicast listener reports and a few more) without asking policies, asks them about echo, and drops every other type on \
the way in and out of the node's interfaces: among them 137 (redirect), 138 to 140, 144 to 147 and 150. No rule changes \
that. The rule is written all the same: packets from pods and from the tunnel do not meet this list.",
    example: "rows:\n- {roles: all, protocol: ICMPv6, icmp: [{type: 137}], from: any}",
    fix: "Remove the type from the row.",
};

package main

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/cilium/cilium/pkg/u8proto"
)

type testCase struct {
	ID             string                     `json:"id"`
	Config         map[string]json.RawMessage `json:"config"`
	Node           string                     `json:"node"`
	Nodes          []testNode                 `json:"nodes"`
	KubeAPIServers []netip.Addr               `json:"kubeAPIServers"`
	Pods           []testPod                  `json:"pods"`
	CIDRGroups     []json.RawMessage          `json:"cidrGroups"`
	Previous       []json.RawMessage          `json:"previous"`
	Policies       []json.RawMessage          `json:"policies"`
	Packets        []testPacket               `json:"packets"`
	// Says is what a hand-made case states. The objects of such a case reach the agent without an API server.
	Says string `json:"says"`
}

type testNode struct {
	Name             string            `json:"name"`
	Labels           map[string]string `json:"labels"`
	InternalIPs      []string          `json:"internalIPs"`
	ExternalIPs      []string          `json:"externalIPs"`
	CiliumInternalIP string            `json:"ciliumInternalIP"`
	HealthIP         string            `json:"healthIP"`
	IngressIP        string            `json:"ingressIP"`
	PodCIDRs         []string          `json:"podCIDRs"`
	Cluster          string            `json:"cluster"`
}

type testPod struct {
	IP              netip.Addr        `json:"ip"`
	Namespace       string            `json:"namespace"`
	NamespaceLabels map[string]string `json:"namespaceLabels"`
	Labels          map[string]string `json:"labels"`
	Node            string            `json:"node"`
	ServiceAccount  string            `json:"serviceAccount"`
	Unmanaged       bool              `json:"unmanaged"`
	Cluster         string            `json:"cluster"`
	NamedPorts      []struct {
		Name     string `json:"name"`
		Port     int    `json:"port"`
		Protocol string `json:"protocol"`
	} `json:"namedPorts"`
}

type testPacket struct {
	Dir      string     `json:"dir"`
	Peer     netip.Addr `json:"peer"`
	Proto    string     `json:"proto"`
	DPort    uint16     `json:"dport"`
	ICMPType uint8      `json:"icmpType"`
}

type answer struct {
	ID          string            `json:"id"`
	Verdicts    []string          `json:"verdicts"`
	Invalid     []refused         `json:"invalid"`
	Identities  map[string]string `json:"identities"`
	DefaultDeny directions        `json:"defaultDeny"`
	Enforced    directions        `json:"enforced"`
	HostLabels  []string          `json:"hostLabels"`
}

type refused struct {
	Name  string `json:"name"`
	Stage string `json:"stage"`
	Error string `json:"error"`
}

type directions struct {
	Ingress bool `json:"ingress"`
	Egress  bool `json:"egress"`
}

// protocolAndPort is what policy looks at: of ICMP the type stands for the port, and what has no ports has port 0.
func (p *testPacket) protocolAndPort() (u8proto.U8proto, uint16, error) {
	switch p.Proto {
	case "TCP", "UDP", "SCTP":
		protocol, err := u8proto.ParseProtocol(p.Proto)
		return protocol, p.DPort, err
	case "ICMP":
		return u8proto.ICMP, uint16(p.ICMPType), nil
	case "ICMPv6":
		return u8proto.ICMPv6, uint16(p.ICMPType), nil
	}
	number, ok := map[string]u8proto.U8proto{
		"IGMP": 2, "IPIP": 4, "IPV6": 41, "GRE": 47, "ESP": 50, "AH": 51, "VRRP": 112,
	}[p.Proto]
	if !ok {
		return 0, 0, fmt.Errorf("%q is not a protocol of a case", p.Proto)
	}
	return number, 0, nil
}

package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
)

// The way from Felix to the API server, over an interface of its own. The port is one of Felix' default failsafes.
const (
	apiInterface = "api0"
	apiNode      = "169.254.77.2/30"
	apiPeer      = "169.254.77.1/30"
	apiListener  = "169.254.77.1:6443"
)

// firstTable is the routing table of the first interface; those of the others follow.
const firstTable = 101

type iface struct {
	Name  string       `json:"name"`
	Addrs []netip.Addr `json:"addrs"`
}

// A node is the namespace that Felix rules, with a veth pair for each interface whose other end is in another
// namespace, the world.
type node struct {
	inside, outside *namespace
	felix           *felix
	env             map[string]string
	links           map[string]*link
	names           []string
	raw4, raw6      map[string]int
}

// Whatever a packet claims to be, the kernel's own checks must not decide about it.
var permissive = map[string]string{
	"ipv4/ip_forward":                        "1",
	"ipv4/conf/all/rp_filter":                "0",
	"ipv4/conf/default/rp_filter":            "0",
	"ipv4/conf/all/accept_local":             "1",
	"ipv4/conf/all/route_localnet":           "1",
	"ipv4/conf/all/send_redirects":           "0",
	"ipv4/conf/default/send_redirects":       "0",
	"ipv6/conf/all/disable_ipv6":             "0",
	"ipv6/conf/default/disable_ipv6":         "0",
	"ipv6/conf/all/forwarding":               "1",
	"ipv6/conf/default/forwarding":           "1",
	"ipv6/conf/default/accept_dad":           "0",
	"ipv6/conf/default/addr_gen_mode":        "1",
	"ipv6/conf/default/router_solicitations": "0",
}

func newNode(s setup, own nodeSetup, api *apiServer) (*node, error) {
	inside, err := newNamespace()
	if err != nil {
		return nil, err
	}
	outside, err := newNamespace()
	if err != nil {
		return nil, err
	}
	n := &node{
		inside: inside, outside: outside, env: own.Env,
		felix: newFelix(inside, s.Felix, s.Directory, own.Name),
		links: map[string]*link{}, raw4: map[string]int{}, raw6: map[string]int{},
	}
	for _, ns := range []*namespace{inside, outside} {
		if err := ns.sysctl(permissive); err != nil {
			return nil, err
		}
	}
	if err := n.plug(s.Interfaces); err != nil {
		return nil, err
	}
	if err := n.openSockets(); err != nil {
		return nil, err
	}
	if err := n.watch(); err != nil {
		return nil, err
	}
	return n, n.relay(api.host)
}

// plug makes the interfaces. Which one a forwarded packet leaves through is said by its mark.
func (n *node) plug(interfaces []iface) error {
	var inside, outside strings.Builder
	inside.WriteString("link set lo up\n")
	names := []string{apiInterface}
	for _, i := range interfaces {
		names = append(names, i.Name)
	}
	n.names = names[1:]
	for _, name := range names {
		fmt.Fprintf(&inside, "link add %s type veth peer name %s netns %s\nlink set %s up\n", name, name, n.outside.path, name)
		fmt.Fprintf(&outside, "link set %s up\n", name)
	}
	fmt.Fprintf(&inside, "addr add %s dev %s\n", apiNode, apiInterface)
	fmt.Fprintf(&outside, "addr add %s dev %s\n", apiPeer, apiInterface)
	if _, err := n.inside.command(inside.String(), "ip", "-batch", "-"); err != nil {
		return err
	}
	var rules strings.Builder
	for i := range n.names {
		fmt.Fprintf(&rules, "rule add fwmark %d/0xff lookup %d\n", i+1, firstTable+i)
	}
	if err := n.both(rules.String()); err != nil {
		return err
	}
	if _, err := n.outside.command(outside.String(), "ip", "-batch", "-"); err != nil {
		return err
	}
	return n.setAddresses(interfaces)
}

// setAddresses gives interfaces exactly these addresses.
func (n *node) setAddresses(interfaces []iface) error {
	var batch strings.Builder
	for _, i := range interfaces {
		fmt.Fprintf(&batch, "addr flush dev %s\n", i.Name)
		for _, address := range i.Addrs {
			if i.Name == "lo" && address.IsLoopback() {
				continue
			}
			fmt.Fprintf(&batch, "addr add %s/%d dev %s\n", address, address.BitLen(), i.Name)
		}
		if i.Name == "lo" {
			batch.WriteString("addr add 127.0.0.1/8 dev lo\naddr add ::1/128 dev lo\n")
		}
	}
	if _, err := n.inside.command(batch.String(), "ip", "-batch", "-"); err != nil {
		return err
	}
	// With its last address an interface loses its routes.
	var routes strings.Builder
	for i, name := range n.names {
		table := firstTable + i
		fmt.Fprintf(&routes, "route replace default dev %s table %d\n", name, table)
		// For packets of the node itself, which say through which interface.
		fmt.Fprintf(&routes, "route replace default dev %s metric %d\n", name, table)
	}
	return n.both(routes.String())
}

// both runs ip for both families.
func (n *node) both(batch string) error {
	for _, family := range []string{"-4", "-6"} {
		if _, err := n.inside.command(batch, "ip", family, "-batch", "-"); err != nil {
			return err
		}
	}
	return nil
}

// relay lets Felix reach the API server, which listens in the namespace that this process came from.
func (n *node) relay(server string) error {
	var listener net.Listener
	err := n.outside.do(func() (err error) {
		listener, err = net.Listen("tcp", apiListener)
		return err
	})
	if err != nil {
		return err
	}
	go func() {
		for {
			felix, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer felix.Close()
				api, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				defer api.Close()
				go func() {
					_, _ = io.Copy(api, felix)
					// Ends the other direction too.
					_ = api.Close()
				}()
				_, _ = io.Copy(felix, api)
			}()
		}
	}()
	return nil
}

// start starts Felix, or starts it anew with other parameters.
func (n *node) start(env map[string]string) error {
	return n.felix.start(merged(n.env, env))
}

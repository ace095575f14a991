package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The sets of the table below. Each is there for both families.
const (
	arrived   = "arrived"
	accepted  = "accepted"
	invalid   = "invalid"
	untracked = "untracked"
)

var sets = []string{arrived, accepted, invalid, untracked}

// mostPackets is how many fit into the identification of IPv4.
const mostPackets = 60000

// lossPatience is how long packets may take from being sent to arriving, which under load is not at once.
const lossPatience = 5 * time.Second

const poll = 20 * time.Millisecond

// watch adds a table beside Calico's. It writes down each packet where it comes in, what connection tracking says of it,
// and whether it is still there behind every chain of Calico's, where it ends: so no packet makes a flow or is answered.
func (n *node) watch() error {
	var b strings.Builder
	b.WriteString("table inet lifeline {\n")
	for _, set := range sets {
		fmt.Fprintf(&b, "set %s4 { typeof ip id; size 65535; flags dynamic; }\n", set)
		fmt.Fprintf(&b, "set %s6 { typeof ip6 flowlabel; size 65535; flags dynamic; }\n", set)
	}
	add := func(set string) string {
		return fmt.Sprintf("ip id != 0 add @%s4 { ip id }\nip6 flowlabel != 0 add @%s6 { ip6 flowlabel }\n", set, set)
	}
	chain := func(name, hook string, priority int, rules ...string) {
		fmt.Fprintf(&b, "chain %s {\ntype filter hook %s priority %d;\n%s\n}\n", name, hook, priority, strings.Join(rules, "\n"))
	}
	own := make([]string, len(n.names))
	ways := make([]string, len(n.names))
	for i, name := range n.names {
		own[i] = name
		ways[i] = fmt.Sprintf("02:00:00:00:00:%02x : %d", i+1, i+1)
	}
	others := fmt.Sprintf("iifname != { lo, %s } accept", strings.Join(own, ", "))
	leaving := fmt.Sprintf("oifname != { lo, %s } accept", strings.Join(own, ", "))
	mark := fmt.Sprintf("iifname != lo meta mark set ether saddr map { %s }", strings.Join(ways, ", "))
	tracking := "ct state invalid jump is_invalid\nct state untracked jump is_untracked"
	fmt.Fprintf(&b, "chain is_invalid {\n%s}\nchain is_untracked {\n%s}\n", add(invalid), add(untracked))
	chain("arrive", "prerouting", -400, others, mark, add(arrived))
	chain("leave", "output", -400, leaving, add(arrived))
	// Behind connection tracking, before every other stage of Calico's.
	chain("arriving", "prerouting", -199, others, tracking)
	chain("leaving", "output", -199, leaving, tracking)
	chain("in", "input", 1000, others, add(accepted), "drop")
	chain("out", "postrouting", 1000, leaving, add(accepted), "drop")
	b.WriteString("}\n")
	_, err := n.inside.command(b.String(), "nft", "-f", "-")
	return err
}

// clear removes what Felix has put into the kernel.
func (n *node) clear() error {
	listed, err := n.inside.command("", "nft", "-j", "list", "tables")
	if err != nil {
		return err
	}
	var ruleset struct {
		Nftables []struct {
			Table *struct {
				Family string `json:"family"`
				Name   string `json:"name"`
			} `json:"table"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(listed, &ruleset); err != nil {
		return err
	}
	var b strings.Builder
	for _, entry := range ruleset.Nftables {
		if entry.Table != nil && entry.Table.Name != "lifeline" {
			fmt.Fprintf(&b, "delete table %s %s\n", entry.Table.Family, entry.Table.Name)
		}
	}
	if _, err := n.inside.command(b.String(), "nft", "-f", "-"); err != nil {
		return err
	}
	_, err = n.inside.command("", "ipset", "destroy")
	return err
}

// burst sends packets and says which of them get through, and what connection tracking makes of them.
func (n *node) burst(packets []packet) ([]bool, []string, error) {
	if len(packets) > mostPackets {
		return nil, nil, fmt.Errorf("at most %d packets", mostPackets)
	}
	if err := n.flush(); err != nil {
		return nil, nil, err
	}
	for i, p := range packets {
		if err := n.inject(p, i+1); err != nil {
			return nil, nil, fmt.Errorf("packet %d, %+v: %w", i, p, err)
		}
	}
	for end := time.Now().Add(lossPatience); ; time.Sleep(poll) {
		seen, err := n.read()
		if err != nil {
			return nil, nil, err
		}
		if len(seen[arrived]) == len(packets) {
			break
		}
		if time.Now().After(end) {
			return nil, nil, fmt.Errorf("%d of %d packets arrived", len(seen[arrived]), len(packets))
		}
	}
	// The last one had arrived, and need not have been through.
	seen, err := n.read()
	if err != nil {
		return nil, nil, err
	}
	passed := make([]bool, len(packets))
	states := make([]string, len(packets))
	for i := range packets {
		passed[i] = seen[accepted][i+1]
		states[i] = "new"
		if seen[invalid][i+1] {
			states[i] = invalid
		}
		if seen[untracked][i+1] {
			states[i] = untracked
		}
	}
	return passed, states, nil
}

func (n *node) inject(p packet, id int) error {
	if p.Src.Is4() != p.Dst.Is4() {
		return errors.New("its addresses are of two families")
	}
	l, found := n.links[p.Iface]
	if !found {
		return fmt.Errorf("there is no interface %q", p.Iface)
	}
	ip := p.bytes(id)
	switch p.Dir {
	case "in":
		return l.send(0, ip)
	case "fwd":
		way := slices.Index(n.names, p.Out) + 1
		if way == 0 {
			return fmt.Errorf("there is no interface %q", p.Out)
		}
		return l.send(way, ip)
	case "out":
		// A packet that is dropped on its way out is refused.
		if err := n.emit(p, ip); err != nil && !errors.Is(err, syscall.EPERM) {
			return err
		}
		return nil
	}
	return fmt.Errorf("there is no direction %q", p.Dir)
}

func (n *node) flush() error {
	var b strings.Builder
	for _, set := range sets {
		fmt.Fprintf(&b, "flush set inet lifeline %s4\nflush set inet lifeline %s6\n", set, set)
	}
	_, err := n.inside.command(b.String(), "nft", "-f", "-")
	return err
}

// read says which packets are in which set.
func (n *node) read() (map[string]map[int]bool, error) {
	listed, err := n.inside.command("", "nft", "-j", "list", "sets", "table", "inet", "lifeline")
	if err != nil {
		return nil, err
	}
	var ruleset struct {
		Nftables []struct {
			Set *struct {
				Name string `json:"name"`
				Elem []int  `json:"elem"`
			} `json:"set"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(listed, &ruleset); err != nil {
		return nil, fmt.Errorf("%w in %s", err, listed)
	}
	found := map[string]map[int]bool{}
	for _, set := range sets {
		found[set] = map[int]bool{}
	}
	for _, entry := range ruleset.Nftables {
		if entry.Set == nil {
			continue
		}
		set := found[strings.TrimRight(entry.Set.Name, "46")]
		for _, id := range entry.Set.Elem {
			set[id] = true
		}
	}
	return found, nil
}

// mostStarts is how often Felix may start during a sync. One that starts more often never gets anywhere.
const mostStarts = 10

// sync sends packets again and again until they are accepted and dropped as wanted, and every table is as wanted.
func (n *node) sync(op operation) ([]bool, error) {
	before := n.felix.starts()
	for end := time.Now().Add(time.Duration(op.Seconds) * time.Second); ; time.Sleep(poll) {
		passed, _, err := n.burst(op.Packets)
		if err != nil {
			return nil, err
		}
		missing := ""
		if slices.Equal(passed, op.Accept) {
			if missing, err = n.missing(op.Rules); err != nil || missing == "" {
				return passed, err
			}
		}
		starts := n.felix.starts() - before
		if !time.Now().After(end) && starts <= mostStarts {
			continue
		}
		if missing != "" {
			return nil, fmt.Errorf("in table %s there is no %s after %d starts", missing, op.Rules[missing], starts)
		}
		return passed, nil
	}
}

// missing is the first table that lacks what it should have. Felix writes one table after the other.
func (n *node) missing(rules map[string]string) (string, error) {
	for table, text := range rules {
		listed, err := n.inside.command("", "nft", append([]string{"-n", "list", "table"}, strings.Fields(table)...)...)
		var exit *exec.ExitError
		// One that aborts says nothing about the table.
		if err != nil && !(errors.As(err, &exit) && exit.Exited()) {
			return "", err
		}
		// A table that is not there is refused, and has nothing in it.
		if err != nil || !strings.Contains(string(listed), text) {
			return table, nil
		}
	}
	return "", nil
}

// Command rig is a node's network without the node: it makes network namespaces, runs Felix in them, and finds out by
// packets what the kernel makes of Felix's rules.
//
// The first line of standard input is a setup, each further line an operation, all in JSON; each is answered by one
// line. Everything ends with standard input: the namespaces have no names, so they go with the last process in them.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// longestLine is far above the largest burst.
const longestLine = 64 << 20

type operation struct {
	Op string `json:"op"`
	// Node that it concerns; absent for those that concern the API server.
	Node       string            `json:"node"`
	Requests   []request         `json:"requests"`
	Packets    []packet          `json:"packets"`
	Interfaces []iface           `json:"interfaces"`
	Env        map[string]string `json:"env"`
	// Accept is what a sync waits for, packet by packet, and Rules what has to be in the rules of each table, by family
	// and name; it waits for at most Seconds.
	Accept  []bool            `json:"accept"`
	Rules   map[string]string `json:"rules"`
	Seconds int               `json:"seconds"`
	// Still says whether Felix is to stand still or to go on.
	Still bool `json:"still"`
}

type answer struct {
	Error     string   `json:"error,omitempty"`
	Responses []reply  `json:"responses,omitempty"`
	Accepted  []bool   `json:"accepted,omitempty"`
	Conntrack []string `json:"conntrack,omitempty"`
	// Starts counts how often Felix was started, by its own wish too.
	Starts int `json:"starts,omitempty"`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == enterArgument {
		fail(enter(os.Args[2:]))
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, longestLine)
	out := json.NewEncoder(os.Stdout)
	var r *rig
	for in.Scan() {
		var response answer
		var err error
		if r == nil {
			r, err = newRig(in.Bytes())
		} else {
			response, err = r.perform(in.Bytes())
		}
		if err != nil {
			response.Error = err.Error()
		}
		if err := out.Encode(response); err != nil {
			fail(err)
		}
		if r == nil {
			os.Exit(1)
		}
	}
	if r != nil {
		r.stop()
	}
	if err := in.Err(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "rig:", err)
	os.Exit(1)
}

type setup struct {
	// API is the kubeconfig of the API server, as this process reaches it.
	API       string      `json:"api"`
	Felix     string      `json:"felix"`
	Directory string      `json:"directory"`
	Nodes     []nodeSetup `json:"nodes"`
	// Interfaces that every node has besides lo.
	Interfaces []iface `json:"interfaces"`
}

type nodeSetup struct {
	Name string `json:"name"`
	// Env are parameters of Felix that stay the same.
	Env map[string]string `json:"env"`
}

type rig struct {
	api   *apiServer
	nodes map[string]*node
}

func newRig(line []byte) (*rig, error) {
	var s setup
	if err := json.Unmarshal(line, &s); err != nil {
		return nil, err
	}
	api, err := newAPIServer(s.API)
	if err != nil {
		return nil, err
	}
	r := &rig{api: api, nodes: map[string]*node{}}
	for _, wanted := range s.Nodes {
		n, err := newNode(s, wanted, api)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", wanted.Name, err)
		}
		r.nodes[wanted.Name] = n
	}
	return r, nil
}

func (r *rig) stop() {
	for _, n := range r.nodes {
		n.felix.stop()
	}
}

func (r *rig) perform(line []byte) (answer, error) {
	var op operation
	if err := json.Unmarshal(line, &op); err != nil {
		return answer{}, err
	}
	if op.Op == "objects" {
		return answer{Responses: r.api.send(op.Requests)}, nil
	}
	n, found := r.nodes[op.Node]
	if !found {
		return answer{}, fmt.Errorf("there is no node %q", op.Node)
	}
	switch op.Op {
	case "start":
		return answer{}, n.start(op.Env)
	case "stop":
		n.felix.stop()
		return answer{}, nil
	case "hold":
		return answer{}, n.felix.hold(op.Still)
	case "clear":
		return answer{}, n.clear()
	case "addresses":
		return answer{}, n.setAddresses(op.Interfaces)
	case "burst":
		accepted, conntrack, err := n.burst(op.Packets)
		return answer{Accepted: accepted, Conntrack: conntrack, Starts: n.felix.starts()}, err
	case "sync":
		accepted, err := n.sync(op)
		return answer{Accepted: accepted, Starts: n.felix.starts()}, err
	}
	return answer{}, errors.New("no such operation: " + op.Op)
}

// Command cilium-check judges Cilium objects with the agent's own parser.
//
// It reads one cilium.io/v2 object per line, as JSON, and writes one line for each:
// {"kind": "...", "name": "...", "stage": "", "error": ""}. The stage is "decode" or "sanitize" when the agent
// would refuse the object, and both are empty when it would use it.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/cilium/pkg/defaults"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy/api"
)

// longestLine is far above what an API server takes in one request.
const longestLine = 64 << 20

func main() {
	cluster := settings()
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, longestLine)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		if err := out.Encode(judge(in.Bytes(), cluster)); err != nil {
			fail(err)
		}
	}
	if err := in.Err(); err != nil {
		fail(err)
	}
}

// settings reads the agent options that decide what is valid, by the agent's names and with its defaults.
func settings() string {
	c := option.Config
	flag.BoolVar(&c.EnableNodeSelectorLabels, option.EnableNodeSelectorLabels, c.EnableNodeSelectorLabels, "")
	flag.BoolVar(&c.EnableExtendedIPProtocols, option.EnableExtendedIPProtocols, c.EnableExtendedIPProtocols, "")
	flag.BoolVar(&c.EnableNonDefaultDenyPolicies, option.EnableNonDefaultDenyPolicies, c.EnableNonDefaultDenyPolicies, "")
	flag.BoolVar(&c.EnableICMPRules, option.EnableICMPRules, c.EnableICMPRules, "")
	flag.BoolVar(&c.EnableL7Proxy, option.EnableL7Proxy, c.EnableL7Proxy, "")
	flag.Func(option.PolicyCIDRMatchMode, "comma-separated", func(modes string) error {
		c.PolicyCIDRMatchMode = strings.Split(modes, ",")
		return nil
	})
	cluster := flag.String("cluster-name", defaults.ClusterName, "")
	flag.Parse()
	if flag.NArg() > 0 {
		fail(fmt.Errorf("unexpected argument %q", flag.Arg(0)))
	}
	api.InitEntities(*cluster)
	return *cluster
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "cilium-check:", err)
	os.Exit(1)
}

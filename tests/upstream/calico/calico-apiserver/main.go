// Command calico-apiserver serves projectcalico.org/v3 as an aggregated API on top of crd.projectcalico.org/v1.
package main

import (
	"fmt"
	"os"

	"github.com/projectcalico/calico/apiserver/cmd/apiserver/server"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/cli"
	"lifeline.dev/tests/upstream/stdin"
)

func main() {
	stdin.DieWith()
	// Its storage has neither progress notices nor bookmarks, on which these two features rest.
	err := feature.DefaultMutableFeatureGate.SetFromMap(map[string]bool{
		string(features.ConsistentListFromCache): false,
		string(features.WatchList):               false,
	})
	if err != nil {
		fail(err)
	}
	command, _, err := server.NewCommandStartCalicoServer(os.Stdout)
	if err != nil {
		fail(err)
	}
	os.Exit(cli.Run(command))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "calico-apiserver:", err)
	os.Exit(1)
}

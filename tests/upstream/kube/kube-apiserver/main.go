// Command kube-apiserver is the real Kubernetes API server, built from its module.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"lifeline.dev/tests/upstream/stdin"
)

func main() {
	stdin.DieWith()
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}

// Command etcd is the store behind the test API server.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"lifeline.dev/tests/upstream/stdin"
)

func main() {
	stdin.DieWith()
	etcdmain.Main(os.Args)
}

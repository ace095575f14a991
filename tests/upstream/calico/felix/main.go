// Command felix is Calico's node agent, which renders policy into the kernel's packet filter.
package main

import (
	"github.com/projectcalico/calico/felix/daemon"
	"lifeline.dev/tests/upstream/stdin"
)

func main() {
	stdin.DieWith()
	// Settings come from the environment alone: the file does not exist.
	daemon.Run("/nonexistent", "v3.31.0", "", "")
}

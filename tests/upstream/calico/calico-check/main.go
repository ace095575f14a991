// Command calico-check judges Calico objects with Calico's own validator.
//
// It reads one projectcalico.org/v3 object per line, as JSON, and writes one line for each:
// {"kind": "...", "name": "...", "stage": "", "error": ""}. The stage is "decode" or "validate" when Calico's client
// library would refuse the object, and both are empty when it would store it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// longestLine is far above what an API server takes in one request.
const longestLine = 64 << 20

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, longestLine)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		if err := out.Encode(judge(in.Bytes())); err != nil {
			fail(err)
		}
	}
	if err := in.Err(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "calico-check:", err)
	os.Exit(1)
}

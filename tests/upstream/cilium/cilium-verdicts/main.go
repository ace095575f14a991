// Command cilium-verdicts says what Cilium's own policy engine does with the packets of cases.
//
// It reads one case per line, as JSON, and writes one line of verdicts for each. Both formats are those of the recorded
// verdicts in tests/data/conformance. A case can have, beyond those, "previous": its policies as they were before an
// update.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// longestLine is far above any case.
const longestLine = 64 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "cilium-verdicts:", err)
		os.Exit(1)
	}
}

func run() error {
	admission, err := newSchema()
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, longestLine)
	buffered := bufio.NewWriter(os.Stdout)
	out := json.NewEncoder(buffered)
	out.SetEscapeHTML(false)
	for in.Scan() {
		var one testCase
		if err := json.Unmarshal(in.Bytes(), &one); err != nil {
			return fmt.Errorf("not a case: %w", err)
		}
		answer, err := judge(&one, admission)
		if err != nil {
			return fmt.Errorf("case %s: %w", one.ID, err)
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
		// Whoever asks may wait for this answer before asking on.
		if err := buffered.Flush(); err != nil {
			return err
		}
	}
	return in.Err()
}

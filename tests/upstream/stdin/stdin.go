// Package stdin ties the life of a test server to the life of the test that started it.
package stdin

import (
	"io"
	"os"
)

// Env is the environment variable that turns [DieWith] on.
const Env = "LIFELINE_DIE_WITH_STDIN"

// DieWith ends this process as soon as its standard input reaches end of file, if Env is "1".
//
// The test holds the other end of the pipe and never writes to it. The kernel closes that end when the test
// ends, however it ends, SIGKILL included, so no server outlives its test. Nothing is shut down in order:
// the data of a test server is thrown away.
func DieWith() {
	if os.Getenv(Env) != "1" {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// A namespace is a thread that lives in a network namespace of its own. Sockets and processes that it makes are there.
type namespace struct {
	work chan func()
	path string
}

func newNamespace() (*namespace, error) {
	ns := &namespace{work: make(chan func())}
	made := make(chan error)
	go func() {
		// Never unlocked: no other goroutine may ever get this thread.
		runtime.LockOSThread()
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			made <- fmt.Errorf("make a network namespace: %w", err)
			return
		}
		ns.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), syscall.Gettid())
		made <- nil
		for work := range ns.work {
			work()
		}
	}()
	return ns, <-made
}

// do runs f in the namespace.
func (ns *namespace) do(f func() error) error {
	done := make(chan error)
	ns.work <- func() { done <- f() }
	return <-done
}

// command runs a program in the namespace and returns what it prints.
func (ns *namespace) command(input string, name string, args ...string) ([]byte, error) {
	var out, complaint bytes.Buffer
	err := ns.do(func() error {
		command := exec.Command(name, args...)
		command.Stdin = strings.NewReader(input)
		command.Stdout, command.Stderr = &out, &complaint
		return command.Run()
	})
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.Bytes(), err
}

// sysctl sets kernel parameters, for every interface there is and will be.
func (ns *namespace) sysctl(settings map[string]string) error {
	return ns.do(func() error {
		for name, value := range settings {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
				return err
			}
		}
		return nil
	})
}

package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// enterArgument makes this program the one that prepares the file system for Felix and then becomes Felix.
const enterArgument = "enter"

// pause between two starts of a Felix that ends by itself, which it does when its configuration changes.
const pause = 50 * time.Millisecond

// A felix is kept running in a namespace until it is stopped.
type felix struct {
	ns      *namespace
	program string
	log     string

	mutex   sync.Mutex
	count   int
	process *os.Process
	still   bool
	stopped chan struct{}
	ended   chan struct{}
}

func newFelix(ns *namespace, program, directory, name string) *felix {
	return &felix{ns: ns, program: program, log: filepath.Join(directory, "felix-"+name+".log")}
}

// enter gives Felix directories of its own for its locks and sockets. Its mount namespace ends with it.
func enter(args []string) error {
	if err := syscall.Mount("lifeline", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	if err := os.Mkdir("/run/calico", 0o700); err != nil {
		return err
	}
	return syscall.Exec(args[0], args, os.Environ())
}

func (f *felix) start(env map[string]string) error {
	f.stop()
	f.stopped, f.ended = make(chan struct{}), make(chan struct{})
	process, err := f.launch(env)
	if err != nil {
		close(f.ended)
		return err
	}
	go f.keep(env, process)
	return nil
}

func (f *felix) stop() {
	if f.stopped == nil {
		return
	}
	close(f.stopped)
	<-f.ended
	f.stopped = nil
}

func (f *felix) starts() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.count
}

// hold has Felix stand still, also one that is started meanwhile, or go on.
func (f *felix) hold(still bool) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.still = still
	signal := syscall.SIGCONT
	if still {
		signal = syscall.SIGSTOP
	}
	// One that has ended is started anew.
	if err := f.process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// keep starts Felix anew whenever it ends, as an init system would.
func (f *felix) keep(env map[string]string, process *exec.Cmd) {
	defer close(f.ended)
	for {
		exited := make(chan struct{})
		go func() {
			// How it ended is in its log.
			_ = process.Wait()
			close(exited)
		}()
		select {
		case <-exited:
		case <-f.stopped:
			_ = process.Process.Kill()
			<-exited
			return
		}
		select {
		case <-time.After(pause):
		case <-f.stopped:
			return
		}
		var err error
		if process, err = f.launch(env); err != nil {
			fmt.Fprintln(os.Stderr, "rig: start Felix:", err)
			<-f.stopped
			return
		}
	}
}

func (f *felix) launch(env map[string]string) (*exec.Cmd, error) {
	log, err := os.OpenFile(f.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command("/proc/self/exe", enterArgument, f.program)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "LIFELINE_DIE_WITH_STDIN=1"}
	for name, value := range env {
		command.Env = append(command.Env, name+"="+value)
	}
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	// It ends when this process does, because then nobody holds the other end, which Wait closes.
	if _, err := command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := f.ns.do(command.Start); err != nil {
		return nil, err
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.count++
	f.process = command.Process
	if f.still {
		return command, f.process.Signal(syscall.SIGSTOP)
	}
	return command, nil
}

func merged(all ...map[string]string) map[string]string {
	result := map[string]string{}
	for _, one := range all {
		maps.Copy(result, one)
	}
	return result
}

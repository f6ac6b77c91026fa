// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/api/handlers"
	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

// SessionOptions say what is run in a container, and what it is connected to.
type SessionOptions struct {
	Command []string // argv; not empty
	Env     []string // NAME=value, beside the container's own
	// Stdin is read until its end, which the command sees; nil = it has none.
	// Session closes it, which must have a Read that is under way return.
	Stdin io.ReadCloser
	// Stdout and Stderr take what the command writes, one write at a time. With a
	// Terminal everything goes to Stdout.
	Stdout, Stderr io.Writer
	// Terminal gives the command a terminal of its own.
	Terminal bool
	// Sizes are those of the terminal, the first before the command is started; nil
	// = the default.
	Sizes <-chan TerminalSize
}

// TerminalSize is that of a terminal, in characters.
type TerminalSize struct{ Columns, Rows int }

// Session runs a command in the folder of the agent's code, or where the image
// says, of a running container of ours, and returns its exit code; 126 and 127
// are those of a shell. When ctx or the connection ends first, everything that
// the command started is ended, if need be by the helper in the container, which
// does so too when this process is killed.
func (r *Runtime) Session(ctx context.Context, obj plan.Object, o SessionOptions) (code int, err error) {
	ctx = r.with(ctx)
	c, err := containers.Inspect(ctx, obj.Handle, nil)
	switch {
	case notFound(err):
		return 0, fmt.Errorf("%s is gone", obj.Name)
	case err != nil:
		return 0, r.explain("inspect "+obj.Name, err)
	case c.State.Status != "running":
		return 0, fmt.Errorf("%s is not running: it is %s", obj.Name, c.State.Status)
	}
	s := &session{rt: r, container: c, SessionOptions: o}
	s.helped = slices.ContainsFunc(c.Mounts, func(m define.InspectMount) bool { return m.Destination == helper.Dir })
	s.own = helper.Session{Name: rand.Text(), Command: o.Command}
	return s.run(ctx)
}

// session is one command that somebody runs.
type session struct {
	SessionOptions
	rt        *Runtime
	container *define.InspectContainerData
	helped    bool // the helper is in the container
	own       helper.Session
}

func (s *session) run(ctx context.Context) (code int, err error) {
	leash := s.leash(ctx)
	id, err := s.create(ctx)
	if err != nil {
		leash.letGo()
		return 0, err
	}
	if err = s.attach(ctx, id); err == nil {
		if code, err = s.rt.execCode(ctx, id); err == nil {
			leash.letGo()
			return code, nil
		}
		if notFound(err) { // with its container
			err = fmt.Errorf("%s was removed while the command ran", s.container.Name)
		}
	}
	if leash == nil {
		s.rt.endExec(ctx, s.container.ID, id)
	}
	leash.pull()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return 0, err
}

// create makes what [session.attach] starts.
func (s *session) create(ctx context.Context) (id string, err error) {
	config := new(handlers.ExecCreateConfig)
	config.Cmd, config.WorkingDir, config.Env = s.Command, mountedCode(s.container), s.Env
	if s.helped {
		config.Cmd = append([]string{helper.Server}, s.own.Args()...)
	}
	config.Tty, config.AttachStdin = s.Terminal, s.Stdin != nil
	config.AttachStdout, config.AttachStderr = true, true
	config.DetachKeys = noDetaching
	id, err = containers.ExecCreate(ctx, s.container.ID, config)
	if err != nil {
		return "", s.rt.explain("exec in "+s.container.Name, err)
	}
	return id, nil
}

// attach starts the command and is its standard files until it closes them, or
// ctx ends.
func (s *session) attach(ctx context.Context, id string) error {
	var size TerminalSize
	if s.Sizes != nil {
		size = <-s.Sizes
	}
	st, err := s.rt.startExec(ctx, id, s.Terminal, size)
	if err != nil {
		return err
	}
	defer st.Close()
	done := make(chan struct{})
	var ended []<-chan struct{}
	beside := func(f func()) {
		end := make(chan struct{})
		ended = append(ended, end)
		go func() {
			defer close(end)
			f()
		}()
	}
	beside(func() {
		select {
		case <-ctx.Done():
			st.Close()
		case <-done:
		}
	})
	if s.Stdin != nil {
		beside(func() { st.feed(s.Stdin) })
	}
	if s.Sizes != nil {
		beside(func() { s.resize(ctx, id, done) })
	}
	if s.Terminal {
		_, err = io.Copy(s.Stdout, st)
	} else {
		err = st.split(s.Stdout, s.Stderr)
	}
	close(done)
	st.Close()
	if s.Stdin != nil {
		s.Stdin.Close()
	}
	for _, end := range ended {
		<-end
	}
	return err
}

// resize passes on the sizes of the terminal.
func (s *session) resize(ctx context.Context, id string, done <-chan struct{}) {
	for {
		select {
		case size := <-s.Sizes:
			// What ends meanwhile needs no size any more.
			_ = containers.ResizeExecTTY(ctx, id, new(containers.ResizeExecTTYOptions).WithHeight(size.Rows).WithWidth(size.Columns))
		case <-done:
			return
		}
	}
}

const (
	// leashTimeout bounds what it takes to end a session, or to let go of one.
	leashTimeout = 10 * time.Second
	// leashDelay is how long a session goes on without a leash: most are over by
	// then, and a leash costs as much as they do.
	leashDelay = 200 * time.Millisecond
)

// leash is the process in the container that ends the session when its input ends.
// A nil one does nothing.
type leash struct {
	told chan string   // the last word: helper.LetGo, or nothing
	done chan struct{} // closed when there is no leash any more
}

// leash puts the session on a leash; nil where there is no helper.
func (s *session) leash(ctx context.Context) *leash {
	if !s.helped {
		return nil
	}
	l := &leash{told: make(chan string, 1), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.hold(s.rt.with(context.WithoutCancel(ctx)), s)
	}()
	return l
}

func (l *leash) hold(ctx context.Context, s *session) {
	delay := time.NewTimer(leashDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case word := <-l.told:
		if word == helper.LetGo {
			return
		}
		l.told <- word
	}
	st, err := s.startLeash(ctx)
	word := <-l.told
	if err != nil {
		return // a session without one is as those where there is no helper
	}
	defer st.Close()
	defer time.AfterFunc(leashTimeout, func() { st.Close() }).Stop()
	if _, err := io.WriteString(st, word); err != nil {
		return
	}
	st.closeWrite()
	_ = st.split(io.Discard, io.Discard) // until it has ended
}

func (s *session) startLeash(ctx context.Context) (*execStream, error) {
	config := new(handlers.ExecCreateConfig)
	config.Cmd = append([]string{helper.Server}, s.own.LeashArgs()...)
	config.AttachStdin, config.AttachStdout, config.AttachStderr = true, true, true
	config.DetachKeys = noDetaching
	id, err := containers.ExecCreate(ctx, s.container.ID, config)
	if err != nil {
		return nil, err
	}
	return s.rt.startExec(ctx, id, false, TerminalSize{})
}

// letGo ends the leash, and nothing else.
func (l *leash) letGo() { l.end(helper.LetGo) }

// pull ends the session.
func (l *leash) pull() { l.end("") }

func (l *leash) end(word string) {
	if l == nil {
		return
	}
	l.told <- word
	<-l.done
}

// errLost says that the service went away, or that the connection did.
var errLost = errors.New("the connection to the command was lost")

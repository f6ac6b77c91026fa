// SPDX-License-Identifier: Apache-2.0

package dispatchtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// Memory is a runtime without containers. Its exported fields are set before it is
// used. Its methods may be called from any goroutine.
type Memory struct {
	// Programs are what containers can run, by the last word of their command.
	Programs map[string]Program
	// CreateTime is how long it takes to make a container.
	CreateTime time.Duration
	// IPv6: networks have such addresses as well.
	IPv6 bool
	// Fault makes an operation fail, named as the method; nil = none does.
	Fault func(op string, l plan.Launch) error
	// Created is told of each container; nil = nobody is.
	Created func(plan.Launch)

	mu         sync.Mutex
	containers map[string]*container
	networks   map[string]*network
	volumes    map[string]int64
	made       int
	processes  sync.WaitGroup
}

// Program is what a process does. Its result is the exit status.
type Program func(p *Process) int

// Process is what a program sees. The streams fail once it was killed.
type Process struct {
	Launch         plan.Launch
	Env            map[string]string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminated     <-chan struct{} // closed by SIGTERM
	Killed         <-chan struct{} // closed by SIGKILL, and by the removal
	// Request reaches the host over the network of the container.
	Request func(method, url, contentType string, body io.Reader, header ...string) (Response, error)
}

// Response is the answer to a [Process].
type Response struct {
	Status int
	Header map[string][]string
	Body   string
}

type container struct {
	launch  plan.Launch
	handle  string
	name    string
	address []netip.Addr

	stdin    *io.PipeReader
	input    *io.PipeWriter
	attached *attached

	started bool
	term    chan struct{}
	kill    chan struct{}
	ended   chan struct{} // closed once exit is known, or it is removed
	exit    int
	done    bool // it has ended by itself or by a signal
	killed  bool
	removed bool
}

var _ dispatch.Runtime = (*Memory)(nil)

// Close waits for all processes, which it kills.
func (m *Memory) Close() {
	for _, h := range m.Left() {
		_ = m.Remove(context.Background(), h)
	}
	m.processes.Wait()
}

// Left are the handles of the containers that are there.
func (m *Memory) Left() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.containers))
}

// Find returns the launches of the containers that are there and that match.
func (m *Memory) Find(match func(plan.Launch) bool) []plan.Launch {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []plan.Launch
	for _, h := range slices.Sorted(maps.Keys(m.containers)) {
		if c := m.containers[h]; match(c.launch) {
			out = append(out, c.launch)
		}
	}
	return out
}

// Lose ends all that is attached, as when a service ends.
func (m *Memory) Lose() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.containers {
		if c.attached != nil {
			c.attached.cut(errors.New("the service has ended"))
			_ = c.input.CloseWithError(io.ErrClosedPipe)
		}
	}
}

// Fill has a volume hold so many bytes.
func (m *Memory) Fill(volume string, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.volumes == nil {
		m.volumes = map[string]int64{}
	}
	m.volumes[volume] = bytes
}

func (m *Memory) fault(op string, l plan.Launch) error {
	if m.Fault == nil {
		return nil
	}
	return m.Fault(op, l)
}

// Create implements [dispatch.Runtime].
func (m *Memory) Create(ctx context.Context, l plan.Launch) (string, []netip.Addr, error) {
	if err := m.fault("Create", l); err != nil {
		return "", nil, err
	}
	if err := sleep(ctx, m.CreateTime); err != nil {
		return "", nil, err
	}
	if m.Programs[program(l)] == nil {
		return "", nil, fmt.Errorf("image not known: %s", l.Spec.Image)
	}
	m.mu.Lock()
	m.made++
	c := &container{
		launch: l, handle: fmt.Sprintf("%012x", m.made), name: l.Name + "-" + l.Key,
		term: make(chan struct{}), kill: make(chan struct{}), ended: make(chan struct{}),
	}
	for _, other := range m.containers {
		if other.name == c.name {
			m.mu.Unlock()
			return "", nil, fmt.Errorf("the name %s is in use", c.name)
		}
	}
	c.stdin, c.input = io.Pipe()
	if l.Spec.Network != "" {
		c.address = []netip.Addr{netip.AddrFrom4([4]byte{10, byte(88 + m.made>>16), byte(m.made >> 8), byte(m.made)})}
		if m.IPv6 {
			c.address = append(c.address, netip.AddrFrom16([16]byte{0: 0xfd, 12: byte(m.made >> 24), 13: byte(m.made >> 16), 14: byte(m.made >> 8), 15: byte(m.made)}))
		}
	}
	if m.containers == nil {
		m.containers = map[string]*container{}
	}
	m.containers[c.handle] = c
	m.mu.Unlock()
	if m.Created != nil {
		m.Created(l)
	}
	return c.handle, c.address, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// program is what a container runs.
func program(l plan.Launch) string {
	words := slices.Concat(l.Spec.Main.Command, l.Spec.Main.Args)
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

func (m *Memory) find(handle string) (*container, error) {
	c := m.containers[handle]
	if c == nil {
		return nil, fmt.Errorf("%w: %s", fs.ErrNotExist, handle)
	}
	return c, nil
}

// Attach implements [dispatch.Runtime].
func (m *Memory) Attach(_ context.Context, handle string, stdout, stderr io.Writer) (dispatch.Attached, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.find(handle)
	if err != nil {
		return nil, err
	}
	if err := m.fault("Attach", c.launch); err != nil {
		return nil, err
	}
	if c.attached != nil || c.started {
		return nil, errors.New("the container is attached or started already")
	}
	c.attached = &attached{c: c, stdout: stdout, stderr: stderr, closed: make(chan struct{})}
	return c.attached, nil
}

// Start implements [dispatch.Runtime].
func (m *Memory) Start(_ context.Context, handle string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.find(handle)
	if err != nil {
		return err
	}
	if err := m.fault("Start", c.launch); err != nil {
		return err
	}
	if c.started {
		return errors.New("the container is started already")
	}
	if c.attached != nil && c.attached.isOver() {
		return fmt.Errorf("attached to %s: %w", handle, net.ErrClosed)
	}
	c.started = true
	if !c.launch.Stdin {
		_ = c.input.Close()
	}
	run := m.Programs[program(c.launch)]
	p := &Process{
		Launch: c.launch, Env: map[string]string{}, Stdin: c.stdin,
		Stdout: &stream{c, 1}, Stderr: &stream{c, 2}, Terminated: c.term, Killed: c.kill,
		Request: m.client(c),
	}
	for _, v := range slices.Concat(c.launch.Env, c.launch.Spec.Env) {
		p.Env[v.Name] = v.Value
	}
	m.processes.Go(func() {
		code := run(p)
		m.mu.Lock()
		defer m.mu.Unlock()
		c.end(code)
	})
	return nil
}

// end notes the end of the process.
func (c *container) end(code int) {
	if c.done {
		return
	}
	c.done, c.exit = true, code
	_ = c.stdin.CloseWithError(io.ErrClosedPipe)
	if c.attached != nil {
		c.attached.cut(nil)
	}
	if !c.removed {
		close(c.ended)
	}
}

// Wait implements [dispatch.Runtime].
func (m *Memory) Wait(ctx context.Context, handle string) (int, error) {
	m.mu.Lock()
	c, err := m.find(handle)
	m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.removed && c.killed {
		return 0, fs.ErrNotExist
	}
	return c.exit, nil
}

// Signal implements [dispatch.Runtime].
func (m *Memory) Signal(_ context.Context, handle string, s string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.find(handle)
	if err != nil {
		return err
	}
	if err := m.fault("Signal", c.launch); err != nil {
		return err
	}
	switch {
	case c.done || !c.started:
	case s == dispatch.Kill:
		close(c.kill)
		c.end(128 + 9)
	default:
		select {
		case <-c.term:
		default:
			close(c.term)
		}
	}
	return nil
}

// Remove implements [dispatch.Runtime].
func (m *Memory) Remove(_ context.Context, handle string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.containers[handle]
	if c == nil {
		return nil
	}
	if err := m.fault("Remove", c.launch); err != nil {
		return err
	}
	m.remove(c)
	return nil
}

func (m *Memory) remove(c *container) {
	delete(m.containers, c.handle)
	c.killed = !c.done
	c.removed = true
	if c.killed {
		close(c.kill)
		c.end(0)
		close(c.ended)
	}
}

// Sweep implements [dispatch.Runtime].
func (m *Memory) Sweep(_ context.Context, session string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault("Sweep", plan.Launch{}); err != nil {
		return nil, err
	}
	var names []string
	for _, c := range slices.SortedFunc(maps.Values(m.containers), func(a, b *container) int { return cmp.Compare(a.handle, b.handle) }) {
		if c.launch.Session != session {
			names = append(names, c.name)
			m.remove(c)
		}
	}
	return names, nil
}

// Used implements [dispatch.Runtime].
func (m *Memory) Used(_ context.Context, volume string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault("Used", plan.Launch{}); err != nil {
		return 0, err
	}
	return m.volumes[volume], nil
}

// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
)

// dialSSH speaks to git-upload-pack over ssh. go-git's own transport is not
// used: a server that stalls before the session is there would hold it for
// ever, and it reads ~/.ssh/config in part.
func (s *Store) dialSSH(u URL, src Source) (remote, error) {
	h := &heed{max: s.opt.MaxBytes, login: true, advice: s.opt.Auth.advice(u)}
	return &conversation{u: u, heed: h, once: true, open: func(ctx context.Context) (session, error) {
		return s.openSSH(ctx, u, src, h)
	}}, nil
}

func (s *Store) openSSH(ctx context.Context, u URL, src Source, h *heed) (session, error) {
	keys, err := s.opt.Auth.sshKeys(u, src.SecretRef)
	if err != nil {
		return nil, err
	}
	defer keys.close()
	hosts, err := s.opt.Auth.hosts(u, src.SecretRef)
	if err != nil {
		return nil, err
	}
	user, err := s.opt.Auth.sshUser(u)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", u.addr())
	if err != nil {
		return nil, err
	}
	// Neither the handshake nor a session knows a context.
	o := &overSSH{conn: conn, heed: h, stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	if err := o.start(u, &ssh.ClientConfig{
		User: user, Auth: keys.methods, HostKeyAlgorithms: hosts.algorithms,
		HostKeyCallback: func(name string, addr net.Addr, key ssh.PublicKey) error {
			err := hosts.check(name, addr, key)
			h.mu.Lock()
			h.hostKey = err
			h.mu.Unlock()
			return err
		},
	}); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// overSSH is a session with a git-upload-pack that is run over ssh.
type overSSH struct {
	conn    net.Conn
	stop    func() bool // ends the watch over the context
	heed    *heed
	client  *ssh.Client
	session *ssh.Session
	in      io.WriteCloser
	out     io.Reader
	stderr  firstBytes
	asked   bool // for a pack
}

func (o *overSSH) start(u URL, c *ssh.ClientConfig) error {
	conn, chans, reqs, err := ssh.NewClientConn(o.conn, u.addr(), c)
	if err != nil {
		return err
	}
	o.client = ssh.NewClient(conn, chans, reqs)
	if o.session, err = o.client.NewSession(); err != nil {
		return err
	}
	o.session.Stderr = &o.stderr
	if o.in, err = o.session.StdinPipe(); err != nil {
		return err
	}
	out, err := o.session.StdoutPipe()
	if err != nil {
		return err
	}
	o.out = o.heed.limit(out)
	return o.session.Start("git-upload-pack " + quote(u.sshPath()))
}

func (o *overSSH) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	adv := packp.NewAdvRefs()
	err := adv.Decode(o.out)
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && adv.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case err != nil:
		// A program that cannot serve says why on stderr, and ends.
		_ = o.session.Wait()
		o.heed.complained(o.stderr.String())
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	return adv, nil
}

func (o *overSSH) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	o.asked = true
	if err := req.Validate(); err != nil {
		return nil, err
	}
	if err := o.ask(req); err != nil {
		return nil, fmt.Errorf("ask for objects: %w", err)
	}
	res := packp.NewUploadPackResponse(req)
	if err := res.Decode(io.NopCloser(o.out)); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return res, nil
}

func (o *overSSH) ask(req *packp.UploadPackRequest) error {
	var b bytes.Buffer
	if err := req.UploadRequest.Encode(&b); err != nil {
		return err
	}
	if err := req.UploadHaves.Encode(&b, false); err != nil {
		return err
	}
	if err := pktline.NewEncoder(&b).EncodeString("done\n"); err != nil {
		return err
	}
	_, err := o.in.Write(b.Bytes())
	return err
}

func (o *overSSH) Close() error {
	if o.in != nil && !o.asked {
		_, _ = o.in.Write(pktline.FlushPkt) // goodbye; the server may be gone
	}
	if o.session != nil {
		_ = o.session.Close()
	}
	o.stop()
	var err error
	if o.client != nil {
		err = o.client.Close()
	} else {
		err = o.conn.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (h *heed) complained(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = text
}

// firstBytes keeps the beginning of what is written to it.
type firstBytes struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (c *firstBytes) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := min(len(p), maxComplaint-c.b.Len()); n > 0 {
		c.b.Write(p[:n])
	}
	return len(p), nil
}

func (c *firstBytes) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.String()
}

// sshPath is what the server is asked for. As git has it, /~user/path means the
// home folder of a user.
func (u URL) sshPath() string {
	if strings.HasPrefix(u.Path, "/~") {
		return u.Path[1:]
	}
	return u.Path
}

// quote is git's own quoting for the shell at the other end.
func quote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}

// port reads a port that ParseURL let through.
func port(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
